package stream

import (
	"bytes"
	"strconv"
	"time"

	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// directJob is a direct get on its way: what is left to send, one message after the
// other, with waits for the disk between.
type directJob struct {
	s       *Stream
	reply   []byte
	req     api.JSApiMsgGetRequest
	seqs    []uint64     // of a multi-get: all of them
	filter  *msgs.Filter // of a batch by subject
	next    uint64       // of a batch
	left    int          // messages
	bytes   int          // left
	sent    bool
	last    uint64 // sequence sent before
	pending uint64 // left after the next one
	upTo    uint64
	batched bool // counts and EOB
}

const directBytesMax = 64 << 20

// directGet answers a direct get with messages and status lines, never with JSON.
func (s *Stream) directGet(m *broker.Arrival) {
	if len(m.Reply) == 0 {
		return
	}
	j := &directJob{s: s, reply: append([]byte(nil), m.Reply...), bytes: directBytesMax}
	if !api.LevelServed(m.Header) {
		j.status("412 Required Api Level")
		return
	}
	if status := api.ParseDirectGet(m.Data, j.subjectOf(m.Subject), &j.req); status != "" {
		j.status(status)
		return
	}
	switch {
	case j.req.MaxBytes > 0:
		j.bytes = j.req.MaxBytes
	case j.req.MaxBytes < 0:
		j.bytes = 1 // one message
	}
	if len(j.req.MultiLast) > 0 {
		j.startMulti()
		return
	}
	j.startOne()
}

// subjectOf is what follows the stream's name in a request's subject.
func (j *directJob) subjectOf(subj []byte) string {
	rest := subj[len(prefixDirect):]
	if i := bytes.IndexByte(rest, '.'); i >= 0 {
		return string(rest[i+1:])
	}
	return ""
}

// status sends a header-only answer.
func (j *directJob) status(text string) {
	j.s.sender.Publish(j.reply, nil, []byte("NATS/1.0 "+text+"\r\n\r\n"), nil)
}

// startOne serves one message, or a batch from it on.
func (j *directJob) startOne() {
	r := &j.req
	seq, ok := j.s.pick(r)
	if !ok && r.Batch != 0 && r.LastFor == "" && r.NextFor == "" {
		seq, ok = j.s.store.Next(nil, r.Seq)
	}
	if !ok {
		j.status("404 Message Not Found")
		return
	}
	j.left, j.next, j.batched = 1, seq, r.Batch != 0
	if j.batched {
		j.left = r.Batch
		if r.NextFor != "" {
			j.filter = msgs.NewFilter(r.NextFor)
		}
		j.pending = j.s.store.Count(j.filter, seq, false)
	}
	j.step()
}

// startMulti serves the last message of each subject.
func (j *directJob) startMulti() {
	r, store := &j.req, j.s.store
	st := store.State()
	upTo := r.UpToSeq
	if r.UpToTime != nil {
		at := store.FirstAtOrAfter(api.Nanos(*r.UpToTime))
		if at <= st.First {
			j.status("404 No Results")
			return
		}
		upTo = at - 1
	}
	if upTo > st.Last && j.s.cfg.Storage != api.MemoryStorage {
		j.status("404 No Results") // file streams have always answered so, memory streams never
		return
	}
	if upTo == 0 {
		upTo = st.Last
	}
	seqs, ok := store.LastPerSubject(msgs.NewFilter(r.MultiLast...), upTo, api.MultiLastMax)
	if !ok {
		j.status("413 Too Many Results")
		return
	}
	if len(seqs) == 0 {
		j.status("404 No Results")
		return
	}
	for len(seqs) > 0 && seqs[0] < r.Seq {
		seqs = seqs[1:]
	}
	j.seqs, j.upTo, j.batched = seqs, upTo, true
	j.left = len(seqs)
	if r.Batch > 0 {
		j.left = min(j.left, r.Batch)
	}
	j.pending = uint64(len(seqs))
	j.step()
}

// step sends messages until one must come from the disk.
func (j *directJob) step() {
	for j.left > 0 && j.bytes > 0 {
		seq, ok := j.upcoming()
		if !ok {
			break
		}
		m, found := j.s.store.Load(seq)
		switch found {
		case msgs.Cold:
			j.s.load(seq, func(m msgs.Msg, err error) {
				if err != nil && !j.batched && !j.s.store.Has(seq) { // removed while it was read
					j.startOne()
					return
				}
				j.took(m, err == nil)
				j.step()
			})
			return
		default:
			j.took(m, found == msgs.Cached)
		}
	}
	j.end()
}

// upcoming is the sequence to be sent next.
func (j *directJob) upcoming() (uint64, bool) {
	if len(j.seqs) > 0 {
		return j.seqs[0], true
	}
	if j.upTo > 0 {
		return 0, false
	}
	if !j.batched {
		return j.next, true
	}
	return j.s.store.Next(j.filter, j.next)
}

// took sends what was read and moves on.
func (j *directJob) took(m msgs.Msg, ok bool) {
	if len(j.seqs) > 0 {
		j.seqs = j.seqs[1:]
	}
	j.left--
	if j.pending > 0 && (!j.req.NoHeaders || j.upTo > 0) { // who wants no headers is not counted down
		j.pending--
	}
	if !ok {
		if !j.batched {
			j.status("404 Message Not Found")
			j.sent = true
		}
		j.next++
		return
	}
	j.next = m.Seq + 1
	j.send(&m)
}

func (j *directJob) send(m *msgs.Msg) {
	s := j.s
	head := []byte(nil)
	if !j.req.NoHeaders || len(j.req.MultiLast) > 0 {
		head = s.directHeader(m, j)
	}
	s.sender.Publish(j.reply, nil, head, m.Data)
	j.bytes -= len(m.Subject) + len(m.Header) + len(m.Data)
	j.last, j.sent = m.Seq, true
}

// directHeader is the stored header with what a direct get adds.
func (s *Stream) directHeader(m *msgs.Msg, j *directJob) []byte {
	h := m.Header
	if len(h) == 0 {
		h = []byte("NATS/1.0\r\n\r\n")
	}
	h = append(make([]byte, 0, len(h)+160), h[:len(h)-2]...)
	h = appendField(h, "Nats-Stream", s.name)
	h = appendField(h, "Nats-Subject", m.Subject)
	h = appendField(h, "Nats-Sequence", strconv.FormatUint(m.Seq, 10))
	h = appendField(h, "Nats-Time-Stamp", time.Unix(0, m.Time).UTC().Format(time.RFC3339Nano))
	if j.batched {
		h = appendField(h, "Nats-Num-Pending", strconv.FormatUint(j.pending, 10))
		h = appendField(h, "Nats-Last-Sequence", strconv.FormatUint(j.last, 10))
	}
	return append(h, '\r', '\n')
}

func appendField(h []byte, name, value string) []byte {
	h = append(append(h, name...), ':', ' ')
	return append(append(h, value...), '\r', '\n')
}

// end closes a batch.
func (j *directJob) end() {
	if !j.batched {
		return
	}
	h := append([]byte(nil), "NATS/1.0 204 EOB\r\n"...)
	h = appendField(h, "Nats-Num-Pending", strconv.FormatUint(j.pending, 10))
	h = appendField(h, "Nats-Last-Sequence", strconv.FormatUint(j.last, 10))
	if j.upTo > 0 {
		h = appendField(h, "Nats-UpTo-Sequence", strconv.FormatUint(j.upTo, 10))
	}
	j.s.sender.Publish(j.reply, nil, append(h, '\r', '\n'), nil)
}
