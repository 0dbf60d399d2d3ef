package js

import (
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
)

// Names of the invariants of push consumers.
const (
	PushOrder = "PUSH.in-order"
	QueueOne  = "PUSH.queue-one"
	Beats     = "PUSH.heartbeats"
	Window    = "PUSH.window"
)

func pushInvariants() []core.Invariant {
	return []core.Invariant{
		{Name: PushOrder, About: "a subscription is sent a push consumer's deliveries without a gap, an ordered one's from the first on"},
		{Name: QueueOne, About: "each delivery to a queue group goes to one of its members"},
		{Name: Beats, About: "a push consumer is heard of while it is idle, and says truly where it is"},
		{Name: Window, About: "no more is under way than flow control allows"},
	}
}

// Listening is what one subscription was sent of a push consumer's deliveries.
type Listening struct {
	Conn      string
	Group     bool          // it is one member of several
	First     uint64        // consumer sequence that it must begin with; 0 is any
	Heartbeat time.Duration // 0 is none
	Window    int           // bytes under way with which flow control begins; 0 is none
	Events    []PushEvent
	// Silent is for how long nothing came, though the connection was well; 0 if heartbeats came.
	Silent time.Duration
}

// PushKind is what came, or what was answered.
type PushKind uint8

// Kinds of events of a subscription.
const (
	PushMessage PushKind = iota
	PushBeat
	PushQuestion // of flow control
	PushAnswer   // to the latest question
)

// PushEvent is something that a subscription was sent, or its client answered.
type PushEvent struct {
	Kind PushKind
	At   core.Stamp
	CSeq uint64 // of a message; of a heartbeat the last
	Seq  uint64
	ID   uint64
	Size int // of a message, in bytes
}

// Ordered is a client that goes through a stream with one ephemeral consumer after another.
type Ordered struct {
	Name   string
	Filter string // "" is all
	Parts  []*Listening
	Done   bool // it was given the time to get everything
}

func (o *Ordered) String() string { return "ordered consumer " + o.Name }

// windowMost is what flow control never passes, in bytes.
const windowMost = 32 << 20

// sawOrdered notes what ordered consumers were sent.
func (b *book) sawOrdered() {
	for _, o := range b.s.Ordered {
		for _, part := range o.Parts {
			for _, e := range part.Events {
				if e.Kind == PushMessage {
					b.saw(e.Seq, e.ID, e.At)
				}
			}
		}
	}
}

// pushed judges what subscriptions were sent.
func (b *book) pushed() {
	for _, c := range b.s.Consumers {
		answers := 0
		for _, part := range c.Listeners {
			b.listened(c.String(), part, &answers)
		}
		b.shared(c)
	}
	for _, o := range b.s.Ordered {
		for _, part := range o.Parts {
			answers := 0
			b.listened(o.String(), part, &answers)
		}
		b.ordered(o)
	}
}

// listened judges one subscription. answers counts those to flow control, of the consumer so far: each
// doubles the window.
func (b *book) listened(name string, l *Listening, answers *int) {
	if l.Silent > 0 {
		b.report(Beats, core.Never, "%s sent %s nothing for %v, and its heartbeats come every %v", name, l.Conn, l.Silent, l.Heartbeat)
	}
	next, sent, asked, answered := l.First, 0, 0, 0
	last := PushEvent{Kind: PushBeat}
	for _, e := range l.Events {
		switch e.Kind {
		case PushMessage:
			if next != 0 && e.CSeq != next && !l.Group {
				b.report(PushOrder, e.At, "%s sent %s its %d (sequence %d of the stream), and %d was next", name, l.Conn, e.CSeq, e.Seq, next)
				return
			}
			window := min(l.Window<<min(*answers, 24), windowMost)
			if l.Window > 0 && sent-answered > window {
				b.report(Window, e.At, "%s sent %s its %d when %d bytes were under way, and flow control allows %d", name, l.Conn, e.CSeq, sent-answered, window)
				return
			}
			next, last = e.CSeq+1, e
			sent += e.Size
		case PushBeat:
			if last.Kind == PushMessage && e.CSeq != last.CSeq && !l.Group {
				b.report(Beats, e.At, "%s said to %s that %d is the last that it sent, and that was %d", name, l.Conn, e.CSeq, last.CSeq)
				return
			}
		case PushQuestion:
			asked = sent
		case PushAnswer:
			answered = max(answered, asked)
			*answers++
		}
	}
}

// shared demands that nothing is sent to two members of a group.
func (b *book) shared(c *Consumer) {
	by := make(map[uint64]string)
	for _, l := range c.Listeners {
		for _, e := range l.Events {
			if e.Kind != PushMessage || !l.Group {
				continue
			}
			if to, known := by[e.CSeq]; known {
				b.report(QueueOne, e.At, "%s sent its %d to %s and to %s", c, e.CSeq, to, l.Conn)
				return
			}
			by[e.CSeq] = l.Conn
		}
	}
}

// ordered demands that a client was given the whole stream, each message once, in order.
func (b *book) ordered(o *Ordered) {
	got := make(map[uint64]bool)
	last := uint64(0)
	for _, part := range o.Parts {
		for _, e := range part.Events {
			if e.Kind != PushMessage {
				continue
			}
			if e.Seq <= last {
				b.report(PushOrder, e.At, "%s was sent %d after %d", o, e.Seq, last)
				return
			}
			last, got[e.Seq] = e.Seq, true
		}
	}
	if len(b.s.Audits) == 0 || !o.Done {
		return
	}
	a := b.s.Audits[0]
	for i := range a.Msgs {
		m := &a.Msgs[i]
		if (o.Filter == "" || core.Matches(o.Filter, m.Subject)) && !got[m.Seq] {
			b.report(PushOrder, a.At, "%s was never sent %d of stream %s, and got as far as %d", o, m.Seq, b.s.Name, last)
			return
		}
	}
}
