package stream

import (
	"math/rand/v2"
	"strconv"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/jetstream/source"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// following is what a stream that is a mirror, or has sources, needs besides: where deliveries and
// replies of other streams come in.
type following struct {
	set     *source.Set
	sink    *broker.Sink
	takes   map[*account.Subscription]func([]broker.Arrival)
	inbox   string // begins the reply subjects
	next    uint64
	waiting map[uint64]*waiting // requests, by the last token of their reply subject
	copying *source.Batch       // of the entry being applied
}

// waiting is a request that no reply came for yet.
type waiting struct {
	done  func(header, body []byte, ok bool)
	timer clock.Timer
}

// startFollowing follows the origins that the configuration names, if it names any.
func (s *Stream) startFollowing() {
	f := &s.follow
	if f.set == nil {
		if s.cfg.Mirror == nil && len(s.cfg.Sources) == 0 {
			return
		}
		f.takes = make(map[*account.Subscription]func([]broker.Arrival))
		f.waiting = make(map[uint64]*waiting)
		f.sink = s.env.Broker.NewSink(s.strand, broker.SinkOptions{Name: s.strand.Name() + " origins"}, s.takeOrigins)
		f.set = source.New(followHost{s}, source.Options{Account: s.spec.Account.Name, Domain: s.env.Domain, MaxPayload: s.env.MaxPayload})
	}
	if s.cfg.Mirror == nil {
		s.caughtUp = false
	}
	f.set.Configure(s.cfg)
}

// stopFollowing ends it, because the stream is deleted or the server goes.
func (s *Stream) stopFollowing(why source.Reason) {
	f := &s.follow
	if f.set == nil {
		return
	}
	f.set.Stop(why)
	f.sink.Close()
	for _, w := range f.waiting { //lockstep:ordered each is ended alike
		w.timer.Stop()
	}
	clear(f.waiting)
	f.set = nil
}

// takeOrigins serves what comes from origins: deliveries and replies.
func (s *Stream) takeOrigins(batches []*broker.Batch) {
	s.tick()
	for _, b := range batches {
		for from := 0; from < len(b.Messages); {
			to := from + 1
			for to < len(b.Messages) && b.Messages[to].Sub == b.Messages[from].Sub {
				to++
			}
			if take := s.follow.takes[b.Messages[from].Sub]; take != nil && !s.closed {
				take(b.Messages[from:to])
			}
			from = to
		}
		b.Release()
	}
	s.endTask()
}

// mirrorInfo reports what the stream mirrors; nil when it is no mirror.
func (s *Stream) mirrorInfo() *api.StreamSourceInfo {
	switch {
	case s.cfg.Mirror == nil:
		return nil
	case s.follow.set == nil:
		return source.Idle(s.cfg.Mirror)
	}
	return s.follow.set.Mirror()
}

// sourceInfos report what the stream has sources of.
func (s *Stream) sourceInfos() []*api.StreamSourceInfo {
	if s.follow.set != nil {
		return s.follow.set.Sources()
	}
	var list []*api.StreamSourceInfo
	for _, src := range s.cfg.Sources {
		list = append(list, source.Idle(src))
	}
	return list
}

// followHost is the [source.Host] of a stream.
type followHost struct{ s *Stream }

var _ source.Host = followHost{}

func (h followHost) Now() int64                       { return h.s.now }
func (h followHost) Mono() time.Duration              { return h.s.mono }
func (h followHost) Rand() *rand.Rand                 { return h.s.strand.Rand("sources") }
func (h followHost) NewTimer(task func()) clock.Timer { return h.s.newTimer(task) }
func (h followHost) Store() msgs.Store                { return h.s.store }

// Post runs task later, as one of the stream's.
func (h followHost) Post(task func()) {
	s := h.s
	s.strand.Post(func() {
		if s.closed {
			return
		}
		s.tick()
		task()
		s.endTask()
	})
}

func (h followHost) Position(key string) (seq uint64, identity string, ok bool) {
	return h.s.machine.SourcePosition(key)
}

func (h followHost) Judge(subject, header, data []byte) machine.Verdict {
	h.s.headers.Has = 0
	if len(header) > 0 {
		h.s.headers.Parse(header)
	}
	return h.s.verdict(&broker.Arrival{Subject: subject, Header: header, Data: data})
}

// Request publishes with an inbox to reply to.
func (h followHost) Request(subject string, header, body []byte, timeout time.Duration, done func(header, body []byte, ok bool)) (cancel func()) {
	s, f := h.s, &h.s.follow
	if f.inbox == "" {
		f.inbox = "_INBOX." + api.NewID(s.strand.Rand("ids")) + "."
		if _, err := h.Listen(f.inbox+"*", s.takeReplies); err != nil {
			s.env.Log.Errorf("Stream '%s > %s': inbox: %v", s.spec.Account.Name, s.name, err)
		}
	}
	f.next++
	n := f.next
	end := func() {
		if w := f.waiting[n]; w != nil {
			w.timer.Stop()
			delete(f.waiting, n)
		}
	}
	w := &waiting{done: done}
	w.timer = h.NewTimer(func() {
		if f.waiting[n] == w {
			end()
			done(nil, nil, false)
		}
	})
	f.waiting[n] = w
	w.timer.Reset(timeout)
	s.sender.Publish([]byte(subject), strconv.AppendUint([]byte(f.inbox), n, 10), header, body)
	return end
}

// takeReplies gives replies to who waits for them.
func (s *Stream) takeReplies(list []broker.Arrival) {
	f := &s.follow
	for i := range list {
		m := &list[i]
		n, err := strconv.ParseUint(string(api.LastToken(m.Subject)), 10, 64)
		if w := f.waiting[n]; err == nil && w != nil {
			w.timer.Stop()
			delete(f.waiting, n)
			w.done(m.Header, m.Data, true)
		}
	}
}

// Listen subscribes to a subject in the stream's account.
func (h followHost) Listen(subject string, take func([]broker.Arrival)) (stop func(), err error) {
	f := &h.s.follow
	sub, err := f.sink.Subscribe(h.s.spec.Account, subject, "")
	if err != nil {
		return nil, err
	}
	f.takes[sub] = take
	return func() {
		delete(f.takes, sub)
		f.sink.Unsubscribe(sub)
	}, nil
}

// Send publishes a message without a body.
func (h followHost) Send(subject, header []byte) { h.s.sender.Publish(subject, nil, header, nil) }

// Entry begins an entry of the machine's.
func (h followHost) Entry(size int) []byte {
	return append(make([]byte, 0, size+size/8+64), kindMessages)
}

// Propose hands over an entry that began as Entry gave it.
func (h followHost) Propose(entry []byte, b *source.Batch) { h.s.propose(entry, b, h.s.class()) }

// CaughtUp lets a mirror answer direct gets of its origin.
func (h followHost) CaughtUp() {
	h.s.caughtUp = true
	h.s.serve()
}
