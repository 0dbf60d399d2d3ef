package broker

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/account"
)

// Sender publishes for the server itself, in one account, from one strand: publish
// acks, deliveries, advisories. It stages per receiver as a client's publishes do, and hands
// over at Flush; whoever owns the strand calls Flush at the end of each task that sent.
//
// Subjects, headers and data of less than 2 KiB are copied at once; larger data must not
// change before Flush returns. Methods belong to the strand.
type Sender struct {
	pub    publisher
	busy   bool // something was sent since the last Flush
	closed bool
	holds  atomic.Bool // there are stages
}

// NewSender makes a publisher in acc for the tasks of strand s. The name is what requests that
// cross accounts tell of it.
func (b *Broker) NewSender(s clock.Strand, acc *account.Account, name string) *Sender {
	n := &Sender{pub: publisher{b: b, strand: s, acc: acc, name: name}}
	b.senders.add(n)
	return n
}

// Publish sends to everybody who should receive subject in the sender's account, and tells
// whether anybody did. An empty reply or header is none.
func (s *Sender) Publish(subject, reply, header, data []byte) bool {
	return s.send(&message{subject: subject, reply: reply, header: header, body: data})
}

// Deliver is Publish to those who should receive to, and see subject instead.
func (s *Sender) Deliver(to, subject, reply, header, data []byte) bool {
	return s.send(&message{subject: to, shown: subject, reply: reply, header: header, body: data})
}

func (s *Sender) send(m *message) bool {
	p := &s.pub
	if s.closed {
		return false
	}
	if !s.busy {
		s.busy = true
		p.now = p.b.clock.Monotonic()
	}
	ok := p.route(p.acc, m)
	if p.staged > stagedMax {
		p.flushStages()
	}
	return ok
}

// Flush hands over what was sent.
func (s *Sender) Flush() {
	if !s.busy {
		return
	}
	s.busy = false
	p := &s.pub
	p.flushStages()
	p.countHits()
	p.countOut()
	p.crowded = nil // nobody can be made to wait
	if held := p.holds(); held != s.holds.Load() {
		s.holds.Store(held)
	}
}

// Account is where the sender publishes.
func (s *Sender) Account() *account.Account { return s.pub.acc }

// Close lets go of everything; what was not flushed is lost.
func (s *Sender) Close() {
	if s.closed {
		return
	}
	s.closed = true
	s.pub.b.senders.remove(s)
	s.pub.discard()
	s.pub.forgetStages()
	s.pub.stages, s.pub.sinks, s.pub.linked, s.pub.routes = nil, nil, nil, routeCache{}
}

// letGo drops what the sender keeps of receivers that have gone.
func (s *Sender) letGo() {
	if s.closed {
		return
	}
	s.pub.letGo()
	s.holds.Store(s.pub.holds())
}

// senders are the server's own publishers. They have no timer of their own, so they are told
// when many receivers have gone. Safe from any strand.
type senders struct {
	mu   sync.Mutex // held across no call out
	all  []*Sender
	gone int // receivers since they were told
}

// goneMax is how many receivers go before senders look whether they keep any of them.
const goneMax = 1024

func (l *senders) add(s *Sender) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, s)
}

func (l *senders) remove(s *Sender) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.all, s); i >= 0 {
		l.all = slices.Delete(l.all, i, i+1)
	}
}

// receiverGone counts one receiver that has ended, and tells whether it told the senders.
func (l *senders) receiverGone() bool {
	l.mu.Lock()
	l.gone++
	if l.gone < goneMax {
		l.mu.Unlock()
		return false
	}
	l.gone = 0
	all := slices.Clone(l.all)
	l.mu.Unlock()
	for _, s := range all {
		if s.holds.Load() {
			s.pub.strand.Post(s.letGo)
		}
	}
	return true
}
