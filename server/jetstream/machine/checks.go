package machine

import (
	"strconv"
	"strings"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// verdict is what the checks of a message found, when not an error.
type verdict struct {
	duplicate bool
	unwanted  bool   // no consumer of an interest stream matches
	seq       uint64 // of the first, when duplicate
}

// check judges a message of a publisher. What is reported first, when several things are
// wrong, is visible; the order differs for streams with replicas.
func (m *Machine) check(it *item, msg *message) (verdict, *api.Error) {
	if m.features.replicated {
		return m.checkReplicated(it, msg)
	}
	return m.checkSingle(it, msg)
}

// checkSingle is the order of a stream with one replica.
func (m *Machine) checkSingle(it *item, msg *message) (verdict, *api.Error) {
	if tooLarge(it) {
		return verdict{}, storeError(msgs.ErrTooLarge)
	}
	if m.cfg.Sealed {
		return verdict{}, api.ErrStreamSealed
	}
	if err := m.checkSizes(msg); err != nil {
		return verdict{}, err
	}
	if msg.h.Has != 0 {
		if v, err := m.checkHeadersSingle(it, msg); err != nil || v.duplicate {
			return v, err
		}
	}
	if err := m.checkCounter(msg); err != nil {
		return verdict{}, err
	}
	if err := m.checkSizes(msg); err != nil { // once more: what a counter becomes is longer
		return verdict{}, err
	}
	if it.limits&ServerExceeded != 0 {
		return verdict{}, api.ErrInsufficientResources
	}
	if m.unwanted(msg) {
		return verdict{unwanted: true}, nil
	}
	if err := accountError(it.limits); err != nil {
		return verdict{}, err
	}
	return verdict{}, m.checkTTL(msg)
}

func (m *Machine) checkHeadersSingle(it *item, msg *message) (verdict, *api.Error) {
	for _, check := range [...]func(*Machine, *item, *message) *api.Error{
		(*Machine).checkIncrement, (*Machine).checkStream, (*Machine).checkTTLAllowed,
		(*Machine).checkLastOfSubject, (*Machine).checkLast, (*Machine).checkSchedule,
		(*Machine).checkScheduler, (*Machine).checkSourceHeader,
	} {
		if err := check(m, it, msg); err != nil {
			return verdict{}, err
		}
	}
	if seq, ok := m.duplicate(msg); ok {
		return verdict{duplicate: true, seq: seq}, nil
	}
	if err := m.checkLastID(msg); err != nil {
		return verdict{}, err
	}
	return verdict{}, m.checkRollup(msg)
}

// checkReplicated is the order of a stream with several replicas.
func (m *Machine) checkReplicated(it *item, msg *message) (verdict, *api.Error) {
	switch {
	case m.cfg.Sealed:
		return verdict{}, api.ErrStreamSealed
	case it.limits&ServerExceeded != 0:
		return verdict{}, api.ErrInsufficientResources
	}
	if err := accountError(it.limits); err != nil {
		return verdict{}, err
	}
	switch {
	case m.features.maxMsgSize > 0 && len(it.header)+len(it.data) > m.features.maxMsgSize:
		return verdict{}, api.ErrStreamMessageExceedsMaximum
	case tooLarge(it):
		return verdict{}, storeError(msgs.ErrTooLarge)
	case len(it.header) > api.HeaderMax:
		return verdict{}, api.ErrStreamHeaderExceedsMaximum
	}
	return m.checkConsistency(it, msg)
}

// checkConsistency is what a stream with replicas, and a batch on any stream, checks of a message's
// headers and against what is stored.
func (m *Machine) checkConsistency(it *item, msg *message) (verdict, *api.Error) {
	if msg.h.Has != 0 {
		if v, err := m.checkHeadersReplicated(it, msg); err != nil || v.duplicate {
			return v, err
		}
	} else if err := m.checkCounter(msg); err != nil {
		return verdict{}, err
	}
	if m.unwanted(msg) {
		return verdict{unwanted: true}, nil
	}
	return verdict{}, nil
}

func (m *Machine) checkHeadersReplicated(it *item, msg *message) (verdict, *api.Error) {
	for _, check := range [...]func(*Machine, *item, *message) *api.Error{
		(*Machine).checkIncrement, (*Machine).checkStream, (*Machine).checkTTLDisabled,
	} {
		if err := check(m, it, msg); err != nil {
			return verdict{}, err
		}
	}
	if err := m.checkTTL(msg); err != nil {
		return verdict{}, err
	}
	if seq, ok := m.duplicate(msg); ok {
		return verdict{duplicate: true, seq: seq}, nil
	}
	if err := m.checkSourceHeader(it, msg); err != nil {
		return verdict{}, err
	}
	if err := m.checkCounter(msg); err != nil {
		return verdict{}, err
	}
	for _, check := range [...]func(*Machine, *item, *message) *api.Error{
		(*Machine).checkLast, (*Machine).checkLastOfSubject, (*Machine).checkSchedule, (*Machine).checkScheduler,
	} {
		if err := check(m, it, msg); err != nil {
			return verdict{}, err
		}
	}
	if err := m.checkRollup(msg); err != nil {
		return verdict{}, err
	}
	if err := m.store.Admit(msg.subject, len(msg.header), len(msg.data), msg.rollup != noRollup); err != nil {
		return verdict{}, storeError(err)
	}
	return verdict{}, m.checkLastID(msg)
}

// accountError is what the leader's judgement of the account's limits means.
func accountError(l LeaderLimits) *api.Error {
	switch {
	case l&NoTier != 0:
		return api.ErrNoLimits
	case l&AccountExceeded != 0:
		return api.ErrAccountResourcesExceeded
	}
	return nil
}

// checkIncrement judges what can be judged of a counter's header without the counter.
func (m *Machine) checkIncrement(_ *item, msg *message) *api.Error {
	h := msg.h
	if h.Has&api.HasIncr == 0 {
		return nil
	}
	const excluded = api.HasRollup | api.HasExpectation
	switch {
	case !api.ValidIncr(h.Incr):
		return api.ErrMessageIncrInvalid
	case !m.cfg.AllowMsgCounter:
		return api.ErrMessageIncrDisabled
	case len(msg.data) > 0:
		return api.ErrMessageIncrPayload
	case h.Has&excluded != 0:
		return api.ErrMessageIncrInvalid
	}
	return nil
}

func (m *Machine) checkStream(_ *item, msg *message) *api.Error {
	if msg.h.Has&api.HasExpectedStream != 0 && string(msg.h.ExpectedStream) != m.cfg.Name {
		return api.ErrStreamNotMatch
	}
	return nil
}

// checkTTLAllowed refuses a TTL that is one; one that is none is found by checkTTL, later.
func (m *Machine) checkTTLAllowed(_ *item, msg *message) *api.Error {
	if msg.h.Has&api.HasTTL == 0 || m.cfg.AllowMsgTTL {
		return nil
	}
	if _, ok := api.ParseTTL(msg.h.TTL); ok {
		return api.ErrMessageTTLDisabled
	}
	return nil
}

func (m *Machine) checkTTLDisabled(_ *item, msg *message) *api.Error {
	if msg.h.Has&api.HasTTL != 0 && !m.cfg.AllowMsgTTL {
		return api.ErrMessageTTLDisabled
	}
	return nil
}

// checkTTL reads the TTL and puts it in force.
func (m *Machine) checkTTL(msg *message) *api.Error {
	if msg.h.Has&api.HasTTL == 0 {
		return nil
	}
	ttl, ok := api.ParseTTL(msg.h.TTL)
	if !ok {
		return api.ErrMessageTTLInvalid
	}
	m.lifetime(msg, ttl)
	return nil
}

// checkLastOfSubject compares with the newest sequence of the message's subject, or of another.
func (m *Machine) checkLastOfSubject(_ *item, msg *message) *api.Error {
	h := msg.h
	if h.Has&api.HasExpectedLastSubjSeq == 0 {
		if h.Has&api.HasExpectedLastSubjSeqSubj != 0 {
			return api.ErrStreamExpectedLastSeqPerSubjectInvalid
		}
		return nil
	}
	subj := msg.subject
	if h.Has&api.HasExpectedLastSubjSeqSubj != 0 {
		subj = h.ExpectedLastSubjSeqSubj
	}
	if last := m.lastOf(subj); last != h.ExpectedLastSubjSeq {
		return wrongLast(last)
	}
	return nil
}

// wrongLastText is what comes before the sequence.
var wrongLastText = strings.TrimSuffix(api.ErrStreamWrongLastSequence.Description, "{seq}")

// wrongLast is api.NewStreamWrongLastSequence, for those who compare and set all the time.
func wrongLast(last uint64) *api.Error {
	e := *api.ErrStreamWrongLastSequence
	e.Description = wrongLastText + strconv.FormatUint(last, 10)
	return &e
}

// lastOf is the newest sequence of a subject, or of all that a pattern matches; 0 for none.
func (m *Machine) lastOf(subj []byte) uint64 {
	if !subject.HasWildcard(subj) {
		return m.store.Subject(subj).Last
	}
	seq, _ := m.store.Prev(filterOf(string(subj)), m.store.State().Last)
	return seq
}

func (m *Machine) checkLast(_ *item, msg *message) *api.Error {
	if msg.h.Has&api.HasExpectedLastSeq == 0 {
		return nil
	}
	if last := m.store.State().Last; last != msg.h.ExpectedLastSeq {
		return wrongLast(last)
	}
	return nil
}

// checkSourceHeader refuses what only sources may say.
func (m *Machine) checkSourceHeader(_ *item, msg *message) *api.Error {
	if msg.h.Has&api.HasStreamSource != 0 {
		return api.ErrMessageSourceHdrNotAllowed
	}
	return nil
}

// duplicate finds the message that was stored under the same id within the window.
func (m *Machine) duplicate(msg *message) (seq uint64, ok bool) {
	if msg.h.Has&api.HasMsgID == 0 {
		return 0, false
	}
	return m.dedupe.find(msg.h.MsgID, m.now)
}

func (m *Machine) checkLastID(msg *message) *api.Error {
	if msg.h.Has&api.HasExpectedLastMsgID != 0 && string(msg.h.ExpectedLastMsgID) != string(m.lastID) {
		return api.NewStreamWrongLastMsgID(string(m.lastID))
	}
	return nil
}

// checkRollup reads the rollup.
func (m *Machine) checkRollup(msg *message) *api.Error {
	if msg.rollup != noRollup || msg.h.Has&api.HasRollup == 0 {
		return nil
	}
	if !m.cfg.AllowRollup || m.cfg.DenyPurge {
		return api.ErrStreamRollupFailed.With("rollup not permitted")
	}
	all, ok := api.ParseRollup(msg.h.Rollup)
	switch {
	case !ok:
		return api.ErrStreamRollupFailed.With("rollup value invalid: " + quoted(msg.h.Rollup))
	case all:
		msg.rollup = rollupAll
	default:
		msg.rollup = rollupSubject
	}
	return nil
}

// checkSizes judges a message as it will be stored.
func (m *Machine) checkSizes(msg *message) *api.Error {
	switch {
	case m.features.maxMsgSize > 0 && len(msg.header)+len(msg.data) > m.features.maxMsgSize:
		return api.ErrStreamMessageExceedsMaximum
	case len(msg.header) > api.HeaderMax:
		return api.ErrStreamHeaderExceedsMaximum
	}
	return nil
}

// unwanted tells that an interest stream has no consumer for the message.
func (m *Machine) unwanted(msg *message) bool {
	return m.features.interest && !m.opts.Interest.Wanted(msg.subject)
}
