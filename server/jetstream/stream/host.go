package stream

import (
	"math/rand/v2"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/consumer"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// hostOf is the [consumer.Host] of all consumers of a stream.
type hostOf struct{ s *Stream }

var _ consumer.Host = hostOf{}

func (h hostOf) Store() msgs.Store         { return h.s.store }
func (h hostOf) Stream() *api.StreamConfig { return h.s.cfg }
func (h hostOf) Now() int64                { return h.s.now }
func (h hostOf) Mono() time.Duration       { return h.s.mono }
func (h hostOf) Rand() *rand.Rand          { return h.s.strand.Rand("consumers") }

// Account and Domain are named in advisories.
func (h hostOf) Account() string { return h.s.spec.Account.Name }
func (h hostOf) Domain() string  { return h.s.env.Domain }

// NewTimer gives a timer whose task is one of the stream's.
func (h hostOf) NewTimer(task func()) clock.Timer {
	s := h.s
	return s.strand.NewTimer(func() {
		if s.closed {
			return
		}
		s.tick()
		task()
		s.endTask()
	})
}

func (h hostOf) Deliver(inbox, subject string, reply []byte, header, data []byte) bool {
	s := h.s
	s.inbox = append(s.inbox[:0], inbox...)
	s.shown = append(s.shown[:0], subject...)
	return s.sender.Deliver(s.inbox, s.shown, reply, header, data)
}

func (h hostOf) Status(inbox string, reply []byte, header []byte) bool {
	s := h.s
	s.inbox = append(s.inbox[:0], inbox...)
	return s.sender.Publish(s.inbox, reply, header, nil)
}

func (h hostOf) Interested(inbox, queue string) bool {
	return h.s.env.Broker.Interested(h.s.spec.Account, inbox, queue)
}

func (h hostOf) Watch(inbox string, c *consumer.Consumer) (stop func()) {
	s := h.s
	return s.env.Broker.WatchInterest(s.spec.Account, inbox, s.strand, func() {
		if hc := s.consumers.of[c]; hc != nil && !s.closed {
			s.tick()
			c.InterestChanged(inbox)
			s.endTask()
		}
	})
}

func (h hostOf) Run(c *consumer.Consumer) {
	if hc := h.s.consumers.of[c]; hc != nil {
		h.s.schedule(hc)
	}
}

func (h hostOf) Record(c *consumer.Consumer, event []byte, prompt bool, committed func()) {
	if hc := h.s.consumers.of[c]; hc != nil {
		h.s.record(hc, event, prompt, committed)
	}
}

func (h hostOf) Release(c *consumer.Consumer, first, last uint64) {
	if hc := h.s.consumers.of[c]; hc != nil {
		h.s.release(hc, first, last)
	}
}

func (h hostOf) Advise(subject string, build func(id string, now time.Time) any) {
	h.s.Advise(subject, build)
}

func (h hostOf) Expire(c *consumer.Consumer) {
	if hc := h.s.consumers.of[c]; hc != nil {
		h.s.expire(hc)
	}
}

func (h hostOf) Listen(c *consumer.Consumer, on bool) {
	if hc := h.s.consumers.of[c]; hc != nil {
		h.s.consumers.listen(hc, on)
	}
}

// Advise publishes an advisory or metric in the stream's account if anybody listens.
func (s *Stream) Advise(subject string, build func(id string, now time.Time) any) {
	if !s.env.Broker.Interested(s.spec.Account, subject, "") {
		return
	}
	body := build(api.NewID(s.strand.Rand("ids")), time.Unix(0, s.now).UTC())
	s.sender.Publish([]byte(subject), nil, nil, api.Marshal(body))
}
