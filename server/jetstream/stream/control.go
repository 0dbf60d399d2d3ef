package stream

import (
	"bytes"
	"strings"

	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// directQueue is the queue group of everybody who can answer a direct get.
const directQueue = "_sys_"

// controlSubjects are what the stream listens to besides its messages: a few wildcards,
// however many consumers there are.
func (s *Stream) controlSubjects() []string {
	h := &s.heads
	list := []string{"$JS.API.CONSUMER.MSG.NEXT." + s.name + ".*", h.ack + ">", h.flow + ">"}
	if !strings.HasPrefix(h.ackV2, h.ack) { // or the first version's cover it: a stream with the domain's name
		list = append(list, h.ackV2+">", h.flowV2+">")
	}
	if s.cfg.AllowDirect {
		list = append(list, s.directSubjects(s.name)...)
	}
	if s.cfg.Mirror != nil && s.cfg.MirrorDirect && s.caughtUp {
		list = append(list, s.directSubjects(s.cfg.Mirror.Name)...)
	}
	return list
}

func (s *Stream) directSubjects(name string) []string {
	return []string{"$JS.API.DIRECT.GET." + name, "$JS.API.DIRECT.GET." + name + ".>"}
}

// inQueue tells whether a control subject is shared with mirrors.
func (s *Stream) inQueue(subj string) bool { return strings.HasPrefix(subj, "$JS.API.DIRECT.GET.") }

var (
	prefixPull   = []byte("$JS.API.CONSUMER.MSG.NEXT.")
	prefixDirect = []byte("$JS.API.DIRECT.GET.")
	prefixAck    = []byte("$JS.ACK.")
	prefixFlow   = []byte("$JS.FC.")
)

// heads are what the subjects begin with that go to consumers of a stream, up to the consumer's name, in
// both versions.
type heads struct{ ack, ackV2, flow, flowV2 string }

func headsOf(account, stream, domain string) heads {
	cut := func(head string) string { return strings.TrimSuffix(head, ".") } // there is no consumer's name yet
	hash := api.Hash8(account)
	return heads{
		cut(api.AckHead(stream, "")), cut(api.AckHeadV2(domain, hash, stream, "")),
		cut(api.FlowControlHead(stream, "")), cut(api.FlowControlHeadV2(domain, hash, stream, "")),
	}
}

// ackNumbers are the tokens of an ack's subject behind the consumer's name. The second version may have
// more.
const ackNumbers = 5

var dot = []byte{'.'}

// wantsControl keeps what no consumer listens to away: pull requests for those that are not there, acks
// for those that take none, answers to flow control for those that do not ask. Who sent it is told that
// nobody responds. Any strand.
func (s *Stream) wantsControl(subject []byte) bool {
	switch {
	case bytes.HasPrefix(subject, prefixAck):
		name, rest, v2 := cutConsumer(subject, s.heads.ack, s.heads.ackV2)
		n := bytes.Count(rest, dot) + 1
		return (n == ackNumbers || v2 && n > ackNumbers) && s.consumers.has(name, takesAcks)
	case bytes.HasPrefix(subject, prefixFlow):
		name, id, _ := cutConsumer(subject, s.heads.flow, s.heads.flowV2)
		return len(id) > 0 && !bytes.Contains(id, dot) && s.consumers.has(name, takesFlow)
	case bytes.HasPrefix(subject, prefixPull):
		return s.consumers.has(api.LastToken(subject), takesPulls)
	}
	return true
}

// cutConsumer takes a subject that begins with one of two heads apart.
func cutConsumer(subject []byte, head, headV2 string) (name, rest []byte, v2 bool) {
	if v2 = len(subject) >= len(headV2) && string(subject[:len(headV2)]) == headV2; v2 {
		head = headV2
	}
	name, rest, _ = bytes.Cut(subject[min(len(head), len(subject)):], dot)
	return name, rest, v2
}

// takeControl serves acks, pulls, flow control answers and direct gets.
func (s *Stream) takeControl(batches []*broker.Batch) {
	s.tick()
	for _, b := range batches {
		if s.holds() {
			s.held = append(s.held, func() { s.controls(b) })
			continue
		}
		s.controls(b)
	}
	s.endTask()
}

func (s *Stream) controls(b *broker.Batch) {
	for i := range b.Messages {
		if s.closed || s.failed != nil {
			break
		}
		s.controlMsg(&b.Messages[i])
	}
	b.Release()
}

func (s *Stream) controlMsg(m *broker.Arrival) {
	switch {
	case bytes.HasPrefix(m.Subject, prefixAck):
		s.ack(m)
	case bytes.HasPrefix(m.Subject, prefixPull):
		name := m.Subject[bytes.LastIndexByte(m.Subject, '.')+1:]
		if h := s.consumers.byName[string(name)]; h != nil {
			s.saveFirst(h)
			h.c.Pull(string(m.Reply), m.Header, m.Data)
		}
	case bytes.HasPrefix(m.Subject, prefixFlow):
		s.flowReply(m)
	case bytes.HasPrefix(m.Subject, prefixDirect):
		s.directGet(m)
	}
}

// ack gives a consumer's ack to it.
func (s *Stream) ack(m *broker.Arrival) {
	var a api.AckReply
	if !api.ParseAckReply(m.Subject, &a) {
		return
	}
	if h := s.consumers.byName[string(a.Consumer)]; h != nil {
		s.saveFirst(h)
		h.c.Ack(&a, m.Data, m.Reply)
	}
}

// flowReply gives the answer to a flow control message to its consumer.
func (s *Stream) flowReply(m *broker.Arrival) {
	name, ok := api.ParseFlowReply(m.Subject)
	if !ok {
		return
	}
	if h := s.consumers.byName[string(name)]; h != nil {
		s.saveFirst(h)
		h.c.FlowReply(m.Subject, m.Header)
	}
}
