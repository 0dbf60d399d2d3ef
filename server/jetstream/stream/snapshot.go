package stream

import (
	"bytes"
	"errors"
	"slices"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/archive"
	"github.com/lockstepmq/lockstep/server/jetstream/consumer"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// Backup is a backup of a stream that is being sent. It belongs to the stream's strand.
type Backup struct {
	s         *Stream
	req       *api.JSApiStreamSnapshotRequest
	snapshot  *archive.Snapshot
	sink      *broker.Sink // of acknowledgements
	unwatch   func()
	interest  subject.Result[*account.Subscription]
	done      func(error)
	state     api.StreamState // as the backup says
	begun     bool
	consumers []string // to be written
	next      uint64   // sequence of the next message to be written
	last      uint64   // of the last one that belongs to the backup
	fetching  bool
	cold      msgs.Msg // came from the disk
	warm      bool     // cold is to be written next
	filled    int      // bytes that the present task wrote
	posted    bool     // Resume comes
}

// Amounts of work that one call, and one task, of a backup do, in bytes.
const (
	fillBytes     = 64 << 10
	fillTaskBytes = 512 << 10
)

// Backup prepares to send a backup to the request's deliver subject; done is called when that ended, with
// nil if everything was sent. It begins with [Backup.Start]; State is what it will hold.
func (s *Stream) Backup(req *api.JSApiStreamSnapshotRequest, done func(error)) (*Backup, error) {
	if s.closed || s.failed != nil {
		return nil, ErrClosed
	}
	b := &Backup{s: s, req: req, done: done, next: 1, state: s.State()}
	b.last = b.state.LastSeq
	if !req.NoConsumers {
		for _, h := range s.Consumers() {
			b.consumers = append(b.consumers, h.Name())
		}
	}
	id := api.NewID(s.strand.Rand("ids"))
	b.snapshot = archive.NewSnapshot(b, archive.NewWriter(s.now), s.name, id, req.ChunkSize, req.WindowSize)
	b.sink = s.env.Broker.NewSink(s.strand, broker.SinkOptions{Name: s.strand.Name() + " backup"}, b.take)
	if _, err := b.sink.Subscribe(s.spec.Account, b.snapshot.AckSubject(), ""); err != nil {
		b.sink.Close()
		return nil, err
	}
	s.backups = append(s.backups, b)
	return b, nil
}

// State is the stream's at the beginning.
func (b *Backup) State() *api.StreamState { return &b.state }

// Start sends what the receiver lets it.
func (b *Backup) Start() {
	s := b.s
	b.unwatch = s.env.Broker.WatchInterest(s.spec.Account, b.req.DeliverSubject, s.strand, func() { b.task(b.snapshot.Interest) })
	b.snapshot.Start()
}

// task runs fn as one of the stream's, while the backup is under way.
func (b *Backup) task(fn func()) {
	if b.sink == nil || b.s.closed {
		return
	}
	b.s.tick()
	b.filled = 0
	fn()
	b.s.endTask()
}

// take gives acknowledgements to the snapshot.
func (b *Backup) take(batches []*broker.Batch) {
	b.task(func() {
		for _, batch := range batches {
			for i := range batch.Messages {
				b.snapshot.Ack(batch.Messages[i].Subject)
			}
		}
	})
	for _, batch := range batches {
		batch.Release()
	}
}

// stop ends it without a word.
func (b *Backup) stop() {
	if b.sink == nil {
		return
	}
	b.snapshot.Stop()
	b.sink.Close()
	b.sink = nil
	if b.unwatch != nil {
		b.unwatch()
	}
	if i := slices.Index(b.s.backups, b); i >= 0 {
		b.s.backups = slices.Delete(b.s.backups, i, i+1)
	}
}

// stopBackups ends all backups: the stream goes.
func (s *Stream) stopBackups() {
	for len(s.backups) > 0 {
		s.backups[0].stop()
	}
}

// NewTimer is part of [archive.SnapshotHost].
func (b *Backup) NewTimer(task func()) clock.Timer {
	return b.s.newTimer(func() {
		b.filled = 0
		task()
	})
}

// Interested is part of [archive.SnapshotHost]. Only a subscription to the very subject counts: a client may have one to
// all its inboxes, and subscribe to this one when it has the reply.
func (b *Backup) Interested() bool {
	b.s.spec.Account.Index().Match([]byte(b.req.DeliverSubject), &b.interest)
	return slices.ContainsFunc(b.interest.Plain, func(sub *account.Subscription) bool {
		return sub.Subject == b.req.DeliverSubject && !sub.Closed()
	})
}

// Send is part of [archive.SnapshotHost].
func (b *Backup) Send(reply string, header, data []byte) {
	// What is large goes out later from where it is, and the snapshot uses its buffer again.
	b.s.sender.Publish([]byte(b.req.DeliverSubject), []byte(reply), header, bytes.Clone(data))
}

// Done is part of [archive.SnapshotHost].
func (b *Backup) Done(err error) {
	b.stop()
	b.done(err)
}

// Fill is part of [archive.SnapshotHost].
func (b *Backup) Fill(w *archive.Writer) {
	switch {
	case b.fetching || b.posted:
	case b.filled >= fillTaskBytes:
		b.posted = true
		b.s.strand.Post(func() {
			b.posted = false
			b.task(b.snapshot.Resume)
		})
	default:
		before := w.Written()
		b.fill(w, before+fillBytes)
		b.filled += int(w.Written() - before)
	}
}

// fill writes the next part: up to about limit bytes in all.
func (b *Backup) fill(w *archive.Writer, limit int64) {
	if !b.begun {
		b.begun = true
		state := b.state
		b.consumers = slices.DeleteFunc(b.consumers, func(name string) bool { return b.s.consumers.byName[name] == nil })
		state.Consumers = len(b.consumers)
		w.State(&state)
		// A consumer that goes must still be written: the state says how many there are. So all are
		// written in this task.
		for _, name := range b.consumers {
			w.Consumer(name, archived(b.s.consumers.byName[name].c))
		}
		return
	}
	for w.Written() < limit {
		if !b.message(w) {
			return
		}
	}
}

// message writes the next message, or the end. It is false when nothing more comes now.
func (b *Backup) message(w *archive.Writer) bool {
	if b.warm {
		b.warm = false
		w.Message(&b.cold)
		b.cold = msgs.Msg{}
		return true
	}
	seq, ok := b.s.store.Next(nil, b.next)
	if !ok || seq > b.last {
		w.End()
		return false
	}
	b.next = seq + 1
	switch m, found := b.s.store.Load(seq); found {
	case msgs.Cached:
		w.Message(&m)
	case msgs.Cold:
		b.fetch(seq)
		return false
	}
	return true
}

// fetch reads a message from the disk.
func (b *Backup) fetch(seq uint64) {
	b.fetching = true
	b.s.store.Fetch(seq, func(m msgs.Msg, err error) {
		b.fetching = false
		b.task(func() {
			switch {
			case err == nil:
				b.cold, b.warm = m, true
			case errors.Is(err, msgs.ErrNotFound), errors.Is(err, msgs.ErrLost):
			default:
				b.snapshot.Fail(err)
				return
			}
			b.snapshot.Resume()
		})
	})
}

// archived is what a backup keeps of a consumer.
func archived(c *consumer.Consumer) *archive.Consumer {
	p := c.Progress()
	st := &archive.ConsumerState{
		Delivered: archive.Pair{Consumer: p.DeliveredConsumer, Stream: p.DeliveredStream},
		AckFloor:  archive.Pair{Consumer: p.FloorConsumer, Stream: p.FloorStream},
	}
	if len(p.Pending) > 0 {
		st.Pending = make(map[uint64]*archive.Pending, len(p.Pending))
	}
	again := func(seq, n uint64) {
		if st.Redelivered == nil {
			st.Redelivered = make(map[uint64]uint64)
		}
		st.Redelivered[seq] = n
	}
	for _, m := range p.Pending {
		st.Pending[m.Stream] = &archive.Pending{Sequence: m.Consumer, Timestamp: m.At}
		if m.Deliveries > 1 {
			again(m.Stream, uint64(m.Deliveries-1))
		}
	}
	for _, seq := range p.Exhausted {
		again(seq, uint64(max(c.Config().MaxDeliver, 1)))
	}
	return &archive.Consumer{Config: c.Config(), State: st}
}

// progressOf reads what a backup keeps of a consumer. Without a limit of deliveries nothing is out of them.
func progressOf(c *archive.Consumer) *consumer.Progress {
	st := c.State
	p := &consumer.Progress{
		DeliveredConsumer: st.Delivered.Consumer, DeliveredStream: st.Delivered.Stream,
		FloorConsumer: st.AckFloor.Consumer, FloorStream: st.AckFloor.Stream,
	}
	for seq, m := range st.Pending { //lockstep:ordered sorted below
		if m == nil {
			continue
		}
		n := min(st.Redelivered[seq], 1<<30)
		p.Pending = append(p.Pending, consumer.PendingMessage{Stream: seq, Consumer: m.Sequence, At: m.Timestamp, Deliveries: uint32(n) + 1})
	}
	slices.SortFunc(p.Pending, func(a, b consumer.PendingMessage) int { return int(int64(a.Stream - b.Stream)) }) //lockstep:total each sequence is there once
	for seq := range st.Redelivered {                                                                             //lockstep:ordered sorted below
		if c.Config.MaxDeliver > 0 && st.Pending[seq] == nil {
			p.Exhausted = append(p.Exhausted, seq)
		}
	}
	slices.Sort(p.Exhausted)
	return p
}
