package machine

import (
	"math/big"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// batchScratch is what judging an atomic batch needs, kept for the next.
type batchScratch struct {
	subjects map[string]uint64 // written by the batch: how many
	ids      map[string]struct{}
	totals   map[string]*big.Int // of counters, as the batch leaves them
	judging  bool
	msgs     int64
	bytes    int64
}

// applyBatch stores a batch wholly, or nothing of it. It tells of it as item 0: what was
// asked is whether the batch is committed.
func (m *Machine) applyBatch(r *codec.Reader) {
	m.maxPayload = int(r.Uint())
	id, n := r.Bytes(), r.Count(3)
	body := *r
	r.P = nil
	if r.Bad || !wellFormed(body, n) {
		r.Bad = true
		return
	}
	m.batch.begin()
	if err := m.judgeBatch(body, n); err != nil {
		m.refuse(0, err)
		return
	}
	m.storeBatch(body, n, string(id))
}

// wellFormed tells that a batch can be read to its end, before anything of it is applied.
func wellFormed(r codec.Reader, n int) bool {
	var it item
	for range n {
		if !it.read(&r) {
			return false
		}
	}
	return !r.More() && n > 0
}

func (b *batchScratch) begin() {
	if b.subjects == nil {
		b.subjects, b.ids = make(map[string]uint64), make(map[string]struct{})
	}
	clear(b.subjects)
	clear(b.ids)
	clear(b.totals)
	b.msgs, b.bytes, b.judging = 0, 0, false
}

// judgeBatch looks at every message of a batch, as it would be after those before it.
func (m *Machine) judgeBatch(r codec.Reader, n int) *api.Error {
	for i := range n {
		m.it.read(&r)
		msg := m.batchMessage(&m.it, i)
		if err := m.judgeBatched(&m.it, msg, i); err != nil {
			return err
		}
	}
	return nil
}

func (m *Machine) batchMessage(it *item, i int) *message {
	m.head.Parse(it.header)
	it.subject = m.transform(it.subject, m.now, i)
	msg := m.next(it)
	msg.remember = true
	return msg
}

func (m *Machine) judgeBatched(it *item, msg *message, i int) *api.Error {
	h := msg.h
	if m.cfg.Sealed {
		return api.ErrStreamSealed
	}
	if h.Has&api.HasExpectedLastMsgID != 0 {
		return api.NewAtomicPublishUnsupportedHeaderBatch(api.HdrExpectedLastMsgID)
	}
	if err := m.judgeAgainstBatch(msg, i); err != nil {
		return err
	}
	m.batch.judging = true
	v, err := m.checkConsistency(it, msg)
	m.batch.judging = false
	switch {
	case err != nil:
		return err
	case v.duplicate:
		return api.ErrAtomicPublishContainsDuplicateMessage
	case v.unwanted:
		return nil
	}
	if err := m.admitBatched(msg); err != nil {
		return storeError(err)
	}
	m.batch.subjects[string(msg.subject)]++
	return nil
}

// judgeAgainstBatch is what one message of a batch may not do because of those before it.
func (m *Machine) judgeAgainstBatch(msg *message, i int) *api.Error {
	h := msg.h
	if h.Has&api.HasMsgID != 0 {
		if _, twice := m.batch.ids[string(h.MsgID)]; twice {
			return api.ErrAtomicPublishContainsDuplicateMessage
		}
		m.batch.ids[string(h.MsgID)] = struct{}{}
	}
	if h.Has&api.HasExpectedLastSeq != 0 && i > 0 {
		if last := m.store.State().Last + uint64(i); last != h.ExpectedLastSeq {
			return wrongLast(last)
		}
		return api.ErrStreamWrongLastSequenceConstant
	}
	if h.Has&api.HasExpectedLastSubjSeq != 0 {
		subj := msg.subject
		if h.Has&api.HasExpectedLastSubjSeqSubj != 0 {
			subj = h.ExpectedLastSubjSeqSubj
		}
		if m.batch.subjects[string(subj)] > 0 {
			return api.ErrStreamWrongLastSequenceConstant
		}
	}
	return m.judgeBatchRollup(msg, i)
}

func (m *Machine) judgeBatchRollup(msg *message, i int) *api.Error {
	if msg.h.Has&api.HasRollup == 0 || !m.cfg.AllowRollup || m.cfg.DenyPurge {
		return nil
	}
	all, ok := api.ParseRollup(msg.h.Rollup)
	switch {
	case ok && all && i > 0:
		return api.ErrStreamRollupFailed.With("batch rollup all invalid")
	case ok && !all && m.batch.subjects[string(msg.subject)] > 0:
		return api.ErrStreamRollupFailed.With("batch rollup sub invalid")
	}
	return nil
}

// storeBatch stores a batch that was found good.
func (m *Machine) storeBatch(r codec.Reader, n int, id string) {
	last := uint64(0)
	for i := range n {
		m.it.read(&r)
		msg := m.batchMessage(&m.it, i)
		if m.fill(&m.it, msg) {
			last = m.skip(msg)
			continue
		}
		seq, err := m.put(msg)
		if err != nil { // admitBatched let pass what the store does not: a bug, and the same on every replica
			m.refuse(0, err)
			return
		}
		last = seq
	}
	a := &m.ack
	a.Sequence, a.Duplicate, a.Value, a.BatchId, a.BatchSize = last, false, "", id, uint64(n)
	m.effects.Acked(0, a)
}

// total notes a counter as a message of the batch leaves it.
func (b *batchScratch) total(subj []byte, n *big.Int) {
	if b.totals == nil {
		b.totals = make(map[string]*big.Int)
	}
	b.totals[string(subj)] = n
}

// admitBatched tells whether the store will take a message after those of the batch before it. It is at least
// as strict as the store.
func (m *Machine) admitBatched(msg *message) error {
	l, b := &m.limits, &m.batch
	if !l.DiscardNew {
		return nil
	}
	st, of, mine := m.store.State(), m.store.Subject(msg.subject), b.subjects[string(msg.subject)]
	full := l.PerSubject > 0 && of.Count+mine >= uint64(l.PerSubject)
	if full && l.DiscardNewPerSubject && msg.rollup == noRollup {
		return msgs.ErrMaxMsgsPerSubject
	}
	size, freed := m.sizeOf(msg), 0
	if full && of.Count > 0 && mine == 0 {
		freed, _ = m.store.SizeOf(of.First)
	}
	if l.Bytes > 0 && int64(st.Bytes)+b.bytes+int64(size-freed) > l.Bytes {
		return msgs.ErrMaxBytes
	}
	if !full {
		if l.Msgs > 0 && int64(st.Msgs)+b.msgs+1 > l.Msgs {
			return msgs.ErrMaxMsgs
		}
		b.msgs++
	}
	b.bytes += int64(size - freed)
	return nil
}

// sizeOf is what a message counts for.
func (m *Machine) sizeOf(msg *message) int {
	if m.cfg.Storage == api.MemoryStorage {
		return msgs.MemorySize(len(msg.subject), len(msg.header), len(msg.data))
	}
	return msgs.FileSize(len(msg.subject), len(msg.header), len(msg.data))
}

// fill finds once more what the checks find besides errors: there were none. It tells whether nobody
// wants the message.
func (m *Machine) fill(it *item, msg *message) (unwanted bool) {
	_ = m.checkTTL(msg)
	_ = m.checkCounter(msg)
	_ = m.checkSchedule(it, msg)
	_ = m.checkRollup(msg)
	return m.unwanted(msg)
}
