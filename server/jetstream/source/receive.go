package source

import (
	"bytes"
	"strconv"

	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/wire"
)

// message is a message that waits, with memory of its own.
type message struct {
	subject, reply, header, data []byte
	at                           place
	time                         int64 // of storing at the origin
}

func (m *message) size() int { return len(m.subject) + len(m.header) + len(m.data) }

// newMessage copies what arrived, in one piece.
func newMessage(a *broker.Arrival, reply []byte) message {
	b := make([]byte, 0, len(a.Subject)+len(reply)+len(a.Header)+len(a.Data))
	cut := func(p []byte) []byte {
		from := len(b)
		b = append(b, p...)
		return b[from:len(b):len(b)]
	}
	return message{subject: cut(a.Subject), reply: cut(reply), header: cut(a.Header), data: cut(a.Data)}
}

// queue is first in, first out.
type queue struct {
	list  []message
	first int
	bytes int
}

func (q *queue) len() int { return len(q.list) - q.first }

func (q *queue) put(m message) {
	q.bytes += m.size()
	q.list = append(q.list, m)
}

func (q *queue) take() message {
	m := q.list[q.first]
	q.list[q.first] = message{}
	q.first++
	q.bytes -= m.size()
	if q.first == len(q.list) {
		q.list, q.first = q.list[:0], 0
	}
	return m
}

func (q *queue) clear() { *q = queue{} }

// take is given what arrived of the present attempt.
func (f *Follower) take(batch []broker.Arrival) {
	for i := range batch {
		switch f.phase {
		case following:
			f.takeOne(&batch[i])
		case asking:
			f.keepEarly(&batch[i])
		default:
			return
		}
	}
	f.settle()
}

// keepEarly keeps what comes before the reply that says what it is part of.
func (f *Follower) keepEarly(a *broker.Arrival) {
	if _, _, ok := wire.HeaderStatus(a.Header); ok && f.src.Consumer != nil {
		return // of before the consumer was moved; what is not will be said again
	}
	m := newMessage(a, a.Reply)
	if f.earlyBytes += m.size(); f.earlyBytes > queueMax {
		f.again()
		return
	}
	f.early = append(f.early, m)
}

// takeOne takes a message, a heartbeat or a flow control question.
func (f *Follower) takeOne(a *broker.Arrival) {
	if code, _, ok := wire.HeaderStatus(a.Header); ok {
		if code == 100 {
			f.control(a)
		}
		return
	}
	var r api.AckReply
	if !api.ParseAckReply(a.Reply, &r) || r.ConsumerSeq == 0 || r.StreamSeq == 0 {
		return
	}
	f.hear()
	if !f.expected(&r) {
		return
	}
	f.taken = place{r.ConsumerSeq, r.StreamSeq}
	f.lag = r.Pending
	if r.StreamSeq <= f.proposed {
		return // here before: the origin was not told, or not in time
	}
	m := message{subject: a.Subject, header: a.Header, data: a.Data, at: place{r.ConsumerSeq, r.StreamSeq}, time: r.Time}
	if f.queue.len() == 0 && f.mayPropose() {
		f.add(&m)
		return
	}
	own := newMessage(a, nil)
	own.at, own.time = m.at, m.time
	f.queue.put(own)
	if f.queue.bytes > queueMax {
		f.again()
	}
}

// expected tells whether a message is the next one. It asks for a new consumer when one was missed.
//
// A consumer that was made beforehand delivers to the same subject before and after it was moved, so
// that what was on its way then must not be counted: that has sequences which the consumer has left
// behind, or does not begin at the first message.
func (f *Follower) expected(r *api.AckReply) bool {
	first := f.taken.consumer == 0
	switch {
	case r.ConsumerSeq <= f.taken.consumer && r.StreamSeq <= f.taken.stream:
		return false // a duplicate
	case first && f.src.Consumer != nil && (r.ConsumerSeq != 1 || r.StreamSeq <= f.began):
		return false
	case r.ConsumerSeq != f.taken.consumer+1, r.StreamSeq <= f.taken.stream:
		f.again()
		return false
	}
	return true
}

// hear notes that the origin is there.
func (f *Follower) hear() {
	f.known = true
	f.heard = f.host.Mono()
}

// control takes a heartbeat or a flow control question.
func (f *Follower) control(a *broker.Arrival) {
	f.hear()
	if len(a.Reply) > 0 {
		f.asks(a.Reply)
		return
	}
	if last, ok := number(a.Header, api.HdrLastConsumer); ok && last != f.taken.consumer {
		f.again() // messages were lost
		return
	}
	if q := api.HeaderValue(a.Header, api.HdrConsumerStalled); len(q) > 0 {
		f.asks(q)
	}
}

func number(header []byte, name string) (uint64, bool) {
	n, err := strconv.ParseUint(string(bytes.TrimSpace(api.HeaderValue(header, name))), 10, 64)
	return n, err == nil
}

// asks notes a question that is answered when what came before it is done.
func (f *Follower) asks(question []byte) {
	f.question = append(f.question[:0], question...)
	f.questionAt = f.taken.consumer
}

// answer answers the origin's question, if it can be.
func (f *Follower) answer() {
	if len(f.question) == 0 || f.done.consumer < f.questionAt {
		return
	}
	var h []byte
	if f.acksFlow {
		h = append(h, api.HeaderLine...)
		h = api.AppendHeader(h, api.HdrLastConsumer, strconv.FormatUint(f.done.consumer, 10))
		// What the consumer began behind is here, too, though the origin may not know.
		h = api.AppendHeader(h, api.HdrLastStream, strconv.FormatUint(max(f.done.stream, f.began), 10))
		h = append(h, "\r\n"...)
	}
	f.host.Send(f.question, h)
	f.question = f.question[:0]
}
