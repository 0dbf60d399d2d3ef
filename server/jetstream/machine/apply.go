package machine

import (
	"math/rand/v2"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// Options of a machine. Store, Config and Effects are required.
type Options struct {
	// Store is the stream's; the machine sets its limits and its OnRemove.
	Store msgs.Store
	// Config is what the stream was created with; [Machine.Restore] brings a later one. It must
	// have passed [api.CheckStreamConfig], and is not changed.
	Config  *api.StreamConfig
	Effects Effects
	// Interest is asked by streams that keep what consumers want; others may have none.
	Interest Interest
	// Domain is named in acks.
	Domain string
	// Resume is called, on the strand, when an entry that Apply did not apply can be, or go on.
	Resume func()
	// Slice is how many messages one call of Apply removes for an entry that removes many; 0 is 2048.
	Slice int
}

// sliceDefault keeps a task at a few milliseconds.
const sliceDefault = 2048

// Result is what an administrative entry came to: [Machine.Result].
type Result struct {
	Count uint64     // messages removed
	Err   *api.Error // nil: done
}

// Machine is the state of a stream's messages. See the package comment.
type Machine struct {
	opts     Options
	store    msgs.Store
	effects  Effects
	cfg      *api.StreamConfig
	limits   msgs.Limits
	limited  bool // the store knows
	features features
	into     *subject.Transform // of ingest; nil for none

	// What entries made. now never falls.
	now       int64
	lastID    []byte // of the newest message; nil if it had none
	lastTime  int64  // of the newest message; stored times do not fall
	dedupe    dedupe
	schedules schedules
	sources   sources
	markers   markers
	broken    chains
	hash      uint64
	err       error

	// Of the entry being applied.
	maxPayload int
	it         item
	msg        message // the one at hand
	head       api.PublishHeaders
	ack        api.PubAck
	stored     Stored
	result     Result
	subjectBuf []byte
	headerBuf  []byte
	headerAlt  []byte
	valueBuf   []byte
	pcg        rand.PCG
	rng        *rand.Rand
	holding    bool // removals wait in removed
	removed    []removal
	clearing   bool // and then, of everything that was there
	expiring   bool
	steps      func() (more bool) // the rest of the entry, a slice at a time; nil: there is none
	ended      []string           // subjects whose last message expired
	warm       warm               // fetched for the entry
	batch      batchScratch       // of an atomic batch

	proposals proposals
}

// features are what a configuration turns on, looked up once.
type features struct {
	plain      bool // nothing but limits: a message without headers is just stored
	replicated bool // order of checks
	interest   bool
	maxMsgSize int // 0 is none
}

// removal is a message that is gone and not told of yet.
type removal struct {
	seq     uint64
	subject string
	size    int
	why     msgs.Why
}

// New makes the machine of an empty stream, or of one that Restore is called on next.
func New(o Options) *Machine {
	m := &Machine{opts: o, store: o.Store, effects: o.Effects}
	m.rng = rand.New(&m.pcg)
	m.schedules.init()
	if m.opts.Slice <= 0 {
		m.opts.Slice = sliceDefault
	}
	m.store.OnRemove(m.onRemove)
	m.store.OnClear(m.onClear)
	if o.Config.FirstSeq > 1 && m.store.State().Last == 0 {
		m.store.Skip(o.Config.FirstSeq-1, 0)
	}
	m.configure(o.Config)
	m.dedupe.window = windowOf(o.Config)
	m.lastTime = m.store.State().LastTime
	return m
}

// configure makes cfg the configuration in force.
func (m *Machine) configure(cfg *api.StreamConfig) {
	m.cfg = cfg
	m.features = features{
		replicated: cfg.Replicas > 1,
		interest:   cfg.Retention == api.InterestPolicy && m.opts.Interest != nil,
		maxMsgSize: int(max(cfg.MaxMsgSize, 0)),
	}
	m.features.plain = !m.features.interest && !cfg.Sealed && !cfg.AllowMsgCounter && cfg.SubjectTransform == nil
	m.into = nil
	if t := cfg.SubjectTransform; t != nil {
		if into, err := subject.NewTransform(t.Source, t.Destination); err == nil {
			m.into = into
		}
	}
	m.ack = api.PubAck{Stream: cfg.Name, Domain: m.opts.Domain}
	m.limits = limitsOf(cfg)
	m.limited = false
}

// limit has the store keep the limits in force. It does not happen before the first entry, or Restore:
// the configuration that a machine is made with may be an old one, and its limits must remove nothing.
func (m *Machine) limit() {
	m.store.SetLimits(m.limits)
	m.limited = true
}

// limitsOf are the limits that the store keeps.
func limitsOf(cfg *api.StreamConfig) msgs.Limits {
	return msgs.Limits{
		Msgs: cfg.MaxMsgs, Bytes: cfg.MaxBytes, PerSubject: cfg.MaxMsgsPer, Age: int64(cfg.MaxAge),
		DiscardNew: cfg.Discard == api.DiscardNew, DiscardNewPerSubject: cfg.DiscardNewPer,
	}
}

// windowOf is the deduplication window in force.
func windowOf(cfg *api.StreamConfig) int64 {
	if cfg.Mirror != nil {
		return 0
	}
	return int64(cfg.Duplicates)
}

// Config is the configuration in force.
func (m *Machine) Config() *api.StreamConfig { return m.cfg }

// Result is what the last delete or purge that was applied came to.
func (m *Machine) Result() Result { return m.result }

// Hash sums up all entries applied so far and what they came to. Replicas that applied the same
// have the same.
func (m *Machine) Hash() uint64 { return m.hash }

// Apply applies an entry, wholly. It is false when the content of a message is needed first that is
// not in memory: then nothing was changed, and Options.Resume is called when the same entry can
// be applied. It is false, too, after a slice of an entry that takes long: Options.Resume was called, and
// until Apply is true for the same entry the state is [Machine.Halfway].
func (m *Machine) Apply(entry []byte) (ok bool) {
	if m.steps != nil {
		return m.step()
	}
	r := codec.Reader{P: entry}
	kind, now, level := r.Byte(), r.Int(), r.Uint()
	if r.Bad || level > featureLevel {
		m.err = badEntry(kind)
		return true
	}
	if !m.prepare(kind, max(m.now, now), r) {
		return false
	}
	m.begin(now)
	m.hash = mixBytes(m.hash, entry)
	m.applyKind(kind, &r)
	m.warm.clear()
	if r.Bad {
		m.err = badEntry(kind)
	}
	return m.steps == nil || m.step()
}

// Halfway tells that a part of an entry is applied, so that the state is none of the log.
func (m *Machine) Halfway() bool { return m.steps != nil }

// step goes on with the entry of which a part is applied, and tells whether that was all of it.
func (m *Machine) step() (done bool) {
	if m.steps() {
		m.opts.Resume()
		return false
	}
	m.steps = nil
	return true
}

// Err tells that an entry could not be read, from then on. The stream must not go on: a later
// version wrote the entry.
func (m *Machine) Err() error { return m.err }

func (m *Machine) applyKind(kind byte, r *codec.Reader) {
	switch kind {
	case kindPublish:
		m.applyPublish(r)
	case kindBatch:
		m.applyBatch(r)
	case kindMirror:
		m.applyMirror(r)
	case kindSource:
		m.applySource(r)
	case kindFire:
		m.applyFire(r)
	case kindDelete:
		m.applyDelete(r)
	case kindPurge:
		m.applyPurge(r)
	case kindExpire:
		m.applyExpire(r)
	case kindSkip:
		m.applySkip(r)
	case kindAcked:
		m.applyAcked(r)
	case kindConfig:
		m.applyConfig(r)
	default:
		r.Fail()
	}
}

// begin moves time on.
func (m *Machine) begin(now int64) {
	if !m.limited {
		m.limit()
	}
	m.now = max(m.now, now)
	m.dedupe.expire(m.now)
}

// onRemove hears of every message that the store removes.
func (m *Machine) onRemove(seq uint64, subj string, size int, why msgs.Why, lastOfSubject bool) {
	if why != msgs.ByPurge { // how many went is in the hash then
		m.hash = mix(m.hash, seq<<8|uint64(why))
	}
	marker := m.markers.take(seq)
	if m.schedules.any() {
		m.schedules.removed(subj, seq)
	}
	if m.expiring && lastOfSubject && why == msgs.ByAge && !marker {
		m.ended = append(m.ended, subj)
	}
	if m.holding {
		m.removed = append(m.removed, removal{seq, subj, size, why})
		return
	}
	m.effects.Removed(seq, subj, size, why)
}

// onClear hears of a purge that left nothing. Whether the store tells it so, or message by message, is no part of the
// state.
func (m *Machine) onClear(_, _, _ uint64) {
	m.markers.clear()
	m.schedules.clear()
	if m.holding {
		m.clearing = true
		return
	}
	m.effects.Cleared()
}

// tellRemoved tells of the removals that waited.
func (m *Machine) tellRemoved() {
	m.holding = false
	if m.clearing {
		m.clearing = false
		m.effects.Cleared()
	}
	for i := range m.removed {
		g := &m.removed[i]
		m.effects.Removed(g.seq, g.subject, g.size, g.why)
		*g = removal{}
	}
	m.removed = m.removed[:0]
}

// refuse tells that message i changed nothing.
func (m *Machine) refuse(i int, err *api.Error) {
	m.hash = mix(m.hash, uint64(err.ErrCode)<<32|uint64(uint32(i)))
	m.effects.Refused(i, err)
}

// transform gives the subject that item i of an entry is stored on. now is when it is applied.
func (m *Machine) transform(subj []byte, now int64, i int) []byte {
	if m.into == nil {
		return subj
	}
	place := uint64(i)
	if !m.cfg.AllowMsgCounter { // a counter's subject is needed before the entry is applied
		place += m.store.State().Last << 16
	}
	m.pcg.Seed(uint64(now), place) // for destinations with random tokens: the same on all replicas
	if out, ok := m.into.AppendTo(m.subjectBuf[:0], subj, m.rng); ok {
		m.subjectBuf = out
		return out
	}
	return subj
}

// storeError is what a publisher is told of a store's refusal.
func storeError(err error) *api.Error { return api.ErrStreamStoreFailed.With(err.Error()) }
