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
	list := []string{
		"$JS.API.CONSUMER.MSG.NEXT." + s.name + ".*",
		"$JS.ACK." + s.name + ".>",
		"$JS.ACK.*.*." + s.name + ".>",
		"$JS.FC." + s.name + ".>",
		"$JS.FC.*.*." + s.name + ".>",
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

// wantsControl keeps pull requests for consumers that are not there away: who sent one is told that
// nobody responds. Any strand.
func (s *Stream) wantsControl(subject []byte) bool {
	return !bytes.HasPrefix(subject, prefixPull) || s.consumers.has(api.LastToken(subject))
}

// takeControl serves acks, pulls, flow control answers and direct gets.
func (s *Stream) takeControl(batches []*broker.Batch) {
	s.tick()
	for _, b := range batches {
		if s.wantCheckpoint && !s.closed {
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
		h.c.FlowReply(m.Subject, m.Header)
	}
}
