package stream

import (
	"math/rand/v2"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/consumer"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// hostOf is the [consumer.Host] of a consumer.
type hostOf struct {
	s *Stream
	h *hosted
}

var _ consumer.Host = hostOf{}

func (h hostOf) Store() msgs.Store         { return h.s.store }
func (h hostOf) Stream() *api.StreamConfig { return h.s.cfg }
func (h hostOf) Now() int64                { return h.s.now }
func (h hostOf) Mono() time.Duration       { return h.s.mono }
func (h hostOf) Rand() *rand.Rand          { return h.s.strand.Rand("consumers") }

// Account and Domain are named in advisories.
func (h hostOf) Account() string { return h.s.spec.Account.Name }
func (h hostOf) Domain() string  { return h.s.env.Domain }

func (h hostOf) NamesAccounts() bool { return h.s.env.NamesAccounts }

// NewTimer gives a timer whose task is one of the stream's.
func (h hostOf) NewTimer(task func()) clock.Timer {
	return h.s.newTimer(func() {
		h.s.saveFirst(h.h)
		task()
	})
}

// newTimer gives a timer whose task is one of the stream's.
func (s *Stream) newTimer(task func()) clock.Timer {
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
		if h.registered() && !s.closed {
			s.tick()
			s.saveFirst(h.h)
			c.InterestChanged(inbox)
			s.endTask()
		}
	})
}

// registered tells whether the consumer is one of the stream's: not yet, or not any more, is none.
func (h hostOf) registered() bool { return h.h.listed && !h.h.gone }

func (h hostOf) Run(*consumer.Consumer) {
	if h.registered() {
		h.s.schedule(h.h)
	}
}

func (h hostOf) Record(_ *consumer.Consumer, event []byte, prompt bool, committed func()) {
	if h.registered() {
		h.s.record(h.h, event, prompt, committed)
	}
}

func (h hostOf) Release(_ *consumer.Consumer, first, last uint64) {
	if h.registered() {
		h.s.release(h.h, first, last)
	}
}

func (h hostOf) Advise(subject string, build func(id string, now time.Time) any) {
	h.s.Advise(subject, build)
}

func (h hostOf) Expire(*consumer.Consumer) {
	if h.registered() {
		h.s.expire(h.h)
	}
}

func (h hostOf) Listen(_ *consumer.Consumer, on bool) {
	if h.registered() {
		h.s.consumers.listen(h.h, on)
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
