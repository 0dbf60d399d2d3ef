package machine

import (
	"encoding/binary"
	"encoding/json"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// EncodeDelete appends an entry that removes one message; with erase its content is overwritten.
func EncodeDelete(dst []byte, now int64, seq uint64, erase bool) []byte {
	dst = binary.AppendUvarint(appendHead(dst, kindDelete, now), seq)
	if erase {
		return append(dst, 1)
	}
	return append(dst, 0)
}

func (m *Machine) applyDelete(r *codec.Reader) {
	seq, erase := r.Uint(), r.Byte()
	if r.Bad {
		return
	}
	m.result = Result{Err: m.mayDelete(seq)}
	if m.result.Err == nil && m.remove(seq, erase != 0, msgs.ByDelete) {
		m.result.Count = 1
	}
	m.noteResult()
}

func (m *Machine) mayDelete(seq uint64) *api.Error {
	switch {
	case m.cfg.Sealed:
		return api.ErrStreamSealed
	case m.cfg.DenyDelete:
		return api.ErrStreamMsgDeleteFailed.With("message delete not permitted")
	case !m.store.Has(seq):
		return m.missing(seq)
	}
	return nil
}

// missing says that there is no such message; of a sequence outside the stream each kind of
// store says it in its own way.
func (m *Machine) missing(seq uint64) *api.Error {
	st := m.store.State()
	switch {
	case m.cfg.Storage == api.MemoryStorage:
	case seq == 0 || seq <= st.Last && seq < st.First:
		return api.ErrStreamMsgDeleteFailed.With("no message found")
	case seq > st.Last:
		return api.ErrStreamMsgDeleteFailed.With("stream store EOF")
	}
	return api.NewSequenceNotFound(seq)
}

// EncodePurge appends an entry that removes the messages that filter selects (all if it is empty)
// and that are below before (0: no bound), but for the newest keep of them.
func EncodePurge(dst []byte, now int64, filter string, before, keep uint64) []byte {
	dst = codec.AppendBytes(appendHead(dst, kindPurge, now), filter)
	dst = binary.AppendUvarint(dst, before)
	return binary.AppendUvarint(dst, keep)
}

func (m *Machine) applyPurge(r *codec.Reader) {
	filter, before, keep := r.Text(), r.Uint(), r.Uint()
	if r.Bad {
		return
	}
	switch {
	case m.cfg.Sealed:
		m.result = Result{Err: api.ErrStreamSealed}
	case m.cfg.DenyPurge:
		m.result = Result{Err: api.ErrStreamPurgeFailed.With("stream purge not permitted")}
	default:
		p := &msgs.Purging{Filter: filterOf(filter), Before: before, Keep: keep}
		m.steps = func() (more bool) {
			if m.store.PurgeStep(p, m.opts.Slice) {
				return true
			}
			m.result = Result{Count: p.Removed}
			m.noteResult()
			return false
		}
		return
	}
	m.noteResult()
}

func (m *Machine) noteResult() {
	code := 0
	if m.result.Err != nil {
		code = m.result.Err.ErrCode
	}
	m.hash = mix(m.hash, m.result.Count^uint64(code)<<32)
}

// filterOf is the filter of a subject; none for all.
func filterOf(subj string) *msgs.Filter {
	if subj == "" || subj == ">" {
		return nil
	}
	return msgs.NewFilter(subj)
}

// EncodeConfig appends an entry that puts a configuration in force.
func EncodeConfig(dst []byte, now int64, cfg *api.StreamConfig) []byte {
	return codec.AppendBytes(appendHead(dst, kindConfig, now), api.Marshal(cfg))
}

func (m *Machine) applyConfig(r *codec.Reader) {
	cfg := &api.StreamConfig{}
	if json.Unmarshal(r.Bytes(), cfg) != nil || r.Bad {
		r.Fail()
		return
	}
	m.setConfig(cfg)
}

// SetConfig puts a configuration in force, while an entry is applied that the machine is not given; now
// is the entry's time. Limits that it lowers are enforced at once. As [Machine.Apply] it may be false, and is called
// again then.
func (m *Machine) SetConfig(cfg *api.StreamConfig, now int64) (ok bool) {
	if m.steps == nil {
		m.begin(now)
		m.hash = mixBytes(m.hash, api.Marshal(cfg))
		m.setConfig(cfg)
	}
	return m.step()
}

func (m *Machine) setConfig(cfg *api.StreamConfig) {
	m.configure(cfg)
	m.limited = true
	w := &msgs.Limiting{Limits: m.limits}
	m.steps = func() (more bool) {
		if m.store.LimitStep(w, m.opts.Slice) {
			return true
		}
		m.dedupe.setWindow(windowOf(cfg), m.now)
		m.sources.configure(cfg)
		if !cfg.AllowMsgTTL && cfg.SubjectDeleteMarkerTTL <= 0 {
			m.markers.clear()
		}
		return false
	}
}

// EncodeAcked appends an entry that removes messages that nobody needs any more.
func EncodeAcked(dst []byte, now int64, seqs []uint64) []byte {
	dst = binary.AppendUvarint(appendHead(dst, kindAcked, now), uint64(len(seqs)))
	last := uint64(0)
	for _, seq := range seqs {
		dst = binary.AppendVarint(dst, int64(seq-last))
		last = seq
	}
	return dst
}

func (m *Machine) applyAcked(r *codec.Reader) {
	seq := uint64(0)
	for range r.Count(1) {
		seq += uint64(r.Int())
		if r.Bad {
			return
		}
		m.remove(seq, false, msgs.ByAck)
	}
}

// remove removes one message, and tells of it: the store tells only of what it removes by itself.
func (m *Machine) remove(seq uint64, erase bool, why msgs.Why) bool {
	subj, ok := m.store.SubjectOf(seq)
	if !ok {
		return false
	}
	size, _ := m.store.SizeOf(seq)
	m.store.Remove(seq, erase, why)
	m.onRemove(seq, subj, size, why, false)
	return true
}

// RemoveAcked removes a message that nobody needs any more, while an entry is applied that
// the machine is not given. It tells whether the message was there.
func (m *Machine) RemoveAcked(seq uint64) bool { return m.remove(seq, false, msgs.ByAck) }

// PurgeUnneeded removes everything: the last consumer of an interest stream is gone. It is called
// while an entry is applied that the machine is not given.
func (m *Machine) PurgeUnneeded() uint64 { return m.purge(nil) }

// purge removes all that a filter selects.
func (m *Machine) purge(f *msgs.Filter) uint64 {
	n := m.store.Purge(f, 0, 0)
	m.hash = mix(m.hash, n)
	return n
}
