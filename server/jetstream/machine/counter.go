package machine

import (
	"bytes"
	"encoding/json"
	"math/big"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// warm holds messages that were fetched so that an entry can be applied: counters need their last
// value.
type warm struct {
	msgs    map[uint64]msgs.Msg
	pending int
}

func (w *warm) clear() {
	if len(w.msgs) > 0 {
		clear(w.msgs)
	}
}

// prepare makes sure that applying an entry needs no content that is not in memory. It is false when
// something has to be fetched; Resume is called when it is there.
func (m *Machine) prepare(kind byte, now int64, r codec.Reader) bool {
	if !m.cfg.AllowMsgCounter {
		return true
	}
	if m.warm.pending > 0 {
		return false
	}
	switch kind {
	case kindPublish, kindBatch, kindSource:
		if r.Uint(); kind == kindBatch {
			r.Bytes()
			r.Uint()
		}
		var it item
		for i := 0; r.More(); i++ {
			if kind == kindSource {
				readSourceHead(&r)
			}
			if !it.read(&r) {
				break
			}
			if kind == kindSource {
				m.warmUp(it.subject)
			} else {
				m.warmUp(m.transform(it.subject, now, i))
			}
		}
	}
	return m.warm.pending == 0
}

// warmUp fetches the last message of a subject if it is not in memory.
func (m *Machine) warmUp(subj []byte) {
	seq := m.store.Subject(subj).Last
	if seq == 0 {
		return
	}
	if _, ok := m.warm.msgs[seq]; ok {
		return
	}
	if _, found := m.store.Load(seq); found != msgs.Cold {
		return
	}
	if m.warm.msgs == nil {
		m.warm.msgs = make(map[uint64]msgs.Msg)
	}
	m.warm.msgs[seq] = msgs.Msg{}
	m.warm.pending++
	m.store.Fetch(seq, func(got msgs.Msg, err error) {
		if err == nil {
			m.warm.msgs[seq] = got
		}
		if m.warm.pending--; m.warm.pending == 0 && m.opts.Resume != nil {
			m.opts.Resume()
		}
	})
}

// load gives a message that is in memory, or was fetched.
func (m *Machine) load(seq uint64) (msgs.Msg, bool) {
	if got, found := m.store.Load(seq); found == msgs.Cached {
		return got, true
	}
	got, ok := m.warm.msgs[seq]
	return got, ok && got.Seq == seq
}

// checkCounter adds a publisher's increment to a counter.
func (m *Machine) checkCounter(msg *message) *api.Error {
	if !m.cfg.AllowMsgCounter {
		return nil
	}
	if msg.h.Has&api.HasIncr == 0 {
		return api.ErrMessageIncrMissing
	}
	total, sources, err := m.counter(msg.subject)
	if err != nil {
		return err
	}
	incr, ok := parseInteger(msg.h.Incr)
	if !ok {
		return api.ErrMessageIncrInvalid
	}
	total = new(big.Int).Add(total, incr)
	if m.batch.judging {
		m.batch.total(msg.subject, total)
	}
	if sources != nil {
		m.setHeader(msg, api.HdrCounterSources, string(sources))
	}
	return m.setTotal(msg, total)
}

// setTotal makes a counter's total the body of its message.
func (m *Machine) setTotal(msg *message, total *big.Int) *api.Error {
	b := append(m.valueBuf[:0], counterHead...)
	b = total.Append(b, 10)
	msg.value = b[len(counterHead):]
	b = append(b, counterTail...)
	m.valueBuf, msg.data = b, b
	if m.maxPayload > 0 && len(b) > m.maxPayload {
		return api.ErrStreamMessageExceedsMaximum
	}
	return nil
}

const (
	counterHead = `{"val":"`
	counterTail = `"}`
)

// counter gives the total of a counter and what it has of its sources; nil for nothing.
func (m *Machine) counter(subj []byte) (total *big.Int, sources []byte, err *api.Error) {
	seq := m.store.Subject(subj).Last
	if seq == 0 {
		if within, ok := m.batch.totals[string(subj)]; ok && m.batch.judging {
			return within, nil, nil
		}
		return new(big.Int), nil, nil
	}
	last, ok := m.load(seq)
	if !ok {
		return nil, nil, api.ErrMessageCounterBroken
	}
	if total, ok = parseCounter(last.Data); !ok {
		return nil, nil, api.ErrMessageCounterBroken
	}
	if within, ok := m.batch.totals[string(subj)]; ok && m.batch.judging {
		total = within
	}
	if len(last.Header) > 0 {
		sources = api.HeaderValue(last.Header, api.HdrCounterSources)
	}
	return total, sources, nil
}

// parseCounter reads the body of a counter's message.
func parseCounter(data []byte) (*big.Int, bool) {
	if inner, ok := bytes.CutPrefix(data, []byte(counterHead)); ok {
		if digits, ok := bytes.CutSuffix(inner, []byte(counterTail)); ok {
			if n, ok := parseInteger(digits); ok {
				return n, true
			}
		}
	}
	var body struct {
		Value string `json:"val"`
	}
	if json.Unmarshal(data, &body) != nil {
		return nil, false
	}
	return parseInteger([]byte(body.Value))
}

// parseInteger reads an integer in base 10, with or without sign.
func parseInteger(p []byte) (*big.Int, bool) {
	if !api.ValidIncr(p) {
		return nil, false
	}
	if len(p) <= 18 {
		return big.NewInt(smallInteger(p)), true
	}
	return new(big.Int).SetString(string(p), 10)
}

// smallInteger reads what fits 64 bits.
func smallInteger(p []byte) int64 {
	n, sign := int64(0), int64(1)
	for _, c := range p {
		switch c {
		case '+':
		case '-':
			sign = -1
		default:
			n = n*10 + int64(c-'0')
		}
	}
	return sign * n
}

// counterSources is what a counter has last seen of each contributor: by stream and subject.
type counterSources map[string]map[string]string

// mergeCounter turns the message of a sourced counter into what it adds to this one: its
// value, less what was last seen of that origin and subject.
func (m *Machine) mergeCounter(msg *message, src *StreamSourceHeader) *api.Error {
	if msg.h.Has&api.HasIncr == 0 {
		return api.ErrMessageIncrMissing
	}
	value, ok := parseCounter(msg.data)
	if !ok {
		return api.ErrMessageCounterBroken
	}
	total, known, err := m.counter(msg.subject)
	if err != nil {
		return err
	}
	seen := counterSources{}
	if len(known) > 0 && json.Unmarshal(known, &seen) != nil {
		return api.ErrMessageCounterBroken
	}
	before := new(big.Int)
	if text, ok := seen[src.Origin][src.Subject]; ok {
		if before, ok = parseInteger([]byte(text)); !ok {
			return api.ErrMessageCounterBroken
		}
	}
	if seen[src.Origin] == nil {
		seen[src.Origin] = map[string]string{}
	}
	seen[src.Origin][src.Subject] = value.String()
	delta := new(big.Int).Sub(value, before)
	total.Add(total, delta)
	m.setHeader(msg, api.HdrIncr, delta.String())
	m.setHeader(msg, api.HdrCounterSources, string(api.Marshal(seen)))
	return m.setTotal(msg, total)
}
