package source

import (
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
)

// Batch is an entry on its way: the stream tells it what applying came to.
type Batch struct {
	f       *Follower
	attempt uint64
	size    int // bytes of its messages
	count   int // messages
	upTo    place
	err     *api.Error // of the first message that was refused
}

func (s *Set) newBatch(f *Follower) *Batch {
	n := len(s.free)
	if n == 0 {
		return &Batch{f: f, attempt: f.attempt}
	}
	b := s.free[n-1]
	s.free = s.free[:n-1]
	*b = Batch{f: f, attempt: f.attempt}
	return b
}

// freeMax bounds the batches kept for reuse.
const freeMax = 16

// mayPropose tells whether a message may go into an entry now. While messages are refused they are
// tried one by one. A copy does not say what it follows on, as a source's message does: behind one that is
// refused there must be no other entry.
func (f *Follower) mayPropose() bool {
	switch {
	case f.refusals > 0:
		return f.under == 0 && f.batch == nil
	case f.mirror:
		return f.under == 0 && (f.batch == nil || f.batch.size < entryMax)
	}
	return f.underSize < underMax
}

// add puts a message into the entry being built.
func (f *Follower) add(m *message) {
	if m.at.stream <= f.proposed {
		return
	}
	f.proposed = m.at.stream
	subj, wanted := f.transform(m.subject)
	if !wanted {
		return
	}
	if f.batch != nil && f.batch.size >= entryMax {
		f.flush()
	}
	if f.batch == nil {
		f.batch = f.set.newBatch(f)
		size := min(m.size()+f.queue.bytes+1024, entryMax)
		if f.mirror {
			f.copies.Begin(f.host.Entry(size), f.host.Now())
		} else {
			f.sources.Begin(f.host.Entry(size), f.host.Now())
		}
	}
	f.batch.count++
	f.batch.size += m.size()
	f.batch.upTo = m.at
	v := f.host.Judge(subj, m.header, m.data)
	if f.mirror {
		f.copies.Add(&machine.Copy{
			Seq: m.at.stream, Time: m.time, Subject: subj, Header: m.header, Data: m.data, Schedule: v.Schedule,
		})
		return
	}
	after := uint64(0)
	if f.chain.identity == f.identity {
		after = f.chain.seq
	}
	f.sources.Add(&machine.Sourced{
		Source: f.src, After: after, Seq: m.at.stream, Identity: f.identity,
		Origin: m.subject, Subject: subj, Header: m.header, Data: m.data, Verdict: v,
	})
	f.chain = position{m.at.stream, f.identity}
}

// transform gives the subject that a message is stored on: that of the first transform that takes it.
func (f *Follower) transform(subj []byte) (to []byte, wanted bool) {
	if len(f.transforms) == 0 {
		return subj, true
	}
	for _, t := range f.transforms {
		if out, ok := t.AppendTo(f.subject[:0], subj, f.host.Rand()); ok {
			f.subject = out
			return out, true
		}
	}
	return nil, false
}

// flush proposes the entry being built.
func (f *Follower) flush() {
	b := f.batch
	if b == nil {
		return
	}
	f.batch = nil
	if f.mirror {
		f.propose(b, f.copies.Bytes())
	} else {
		f.propose(b, f.sources.Bytes())
	}
}

func (f *Follower) propose(b *Batch, entry []byte) {
	f.under++
	f.underSize += b.size
	f.host.Propose(entry, b)
}

// settle ends a task: what may be proposed is, and what is done is told to the origin.
func (f *Follower) settle() {
	for f.phase == following && f.queue.len() > 0 && f.mayPropose() {
		m := f.queue.take()
		f.add(&m)
	}
	f.flush()
	if f.phase != following {
		return
	}
	if f.under == 0 && f.queue.len() == 0 {
		f.done = f.taken
		f.tellCaughtUp()
	}
	f.answer()
}

// caughtUpMax is how far behind a mirror may be that answers for its origin.
const caughtUpMax = 10

func (f *Follower) tellCaughtUp() {
	if f.mirror && !f.set.caught && f.lag < caughtUpMax {
		f.set.caught = true
		f.host.CaughtUp()
	}
}

// Refused tells that message i of the entry was not stored. Behind it none is.
func (b *Batch) Refused(_ int, err *api.Error) {
	if b.err == nil {
		b.err = err
	}
}

// Applied tells that the entry was applied. The batch must not be used any more.
func (b *Batch) Applied() {
	f := b.f
	f.under--
	f.underSize -= b.size
	switch {
	case f.phase == ended:
	case f.attempt != b.attempt || f.phase != following:
		if b.err == nil && b.count > 0 {
			f.accepted()
		}
		f.drained()
	case b.err != nil:
		f.refused(b.err)
	default:
		if b.count > 0 {
			f.accepted()
		}
		f.done = place{max(f.done.consumer, b.upTo.consumer), max(f.done.stream, b.upTo.stream)}
		f.settle()
	}
	if s := f.set; len(s.free) < freeMax {
		*b = Batch{}
		s.free = append(s.free, b)
	}
}

// accepted notes that messages were stored.
func (f *Follower) accepted() {
	f.fromStart = false
	if f.refusals > 0 {
		f.refusals, f.err = 0, nil
	}
}
