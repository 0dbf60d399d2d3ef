package stream

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/archive"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/jetstream/consumer"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/raft"
)

// Restoring is a stream that is being made of a backup: it is hidden, see [Spec], until all of it is in
// its log. It belongs to the stream's strand, and survives the stream by a little, so that the
// sender hears why nothing came of it.
type Restoring struct {
	s       *Stream
	subject string
	limits  api.ConsumerServerLimits
	restore *archive.Restore
	sink    *broker.Sink // of chunks
	sender  *broker.Sender
	linger  clock.Timer
	events  RestoreEvents

	copies  machine.Copies
	size    int // bytes of the entry being built; 0 is none
	flying  int // bytes of entries that are not applied
	busy    bool
	last    uint64 // sequence that the backup says is the stream's last
	copied  uint64 // of the last message taken
	err     *api.Error
	ended   bool
	arrived int // messages taken
}

// RestoreEvents tell what became of a restore. They run on the stream's strand.
type RestoreEvents struct {
	// Complete: everything is in the stream's log. The stream is to be made known, then [Restoring.Answer]
	// called, or [Restoring.Fail].
	Complete func()
	// Aborted: the stream is to be deleted. err is nil when the sender just left.
	Aborted func(err error)
}

const (
	restoreEntry  = 256 << 10 // bytes of messages in one entry
	restoreFlying = 1 << 20   // bytes under way, above which chunks wait
	// restoreLinger is how long the sender may still ask why a restore failed.
	restoreLinger = 6 * time.Second
)

// RestoreFrom lets a hidden stream that was just opened take a backup; Subject is where its chunks go.
// It begins with [Restoring.Start].
func (s *Stream) RestoreFrom(limits api.ConsumerServerLimits, events RestoreEvents) (*Restoring, error) {
	r := &Restoring{
		s: s, subject: api.RestoreSubject(s.name, api.NewID(s.strand.Rand("ids"))), limits: limits, events: events,
		sender: s.env.Broker.NewSender(s.strand, s.spec.Account, s.strand.Name()+" restore"),
	}
	r.linger = s.strand.NewTimer(r.close)
	reader := archive.NewReader(archive.Options{
		Account: s.spec.Account.Name, Stream: s.name, MaxPayload: s.env.MaxPayload, MaxMsgSize: int(max(s.cfg.MaxMsgSize, 0)),
	})
	r.restore = archive.NewRestore(r, reader, s.spec.Account.Name, s.name)
	r.sink = s.env.Broker.NewSink(s.strand, broker.SinkOptions{Name: s.strand.Name() + " restore"}, r.take)
	if _, err := r.sink.Subscribe(s.spec.Account, r.subject, ""); err != nil {
		r.close()
		return nil, err
	}
	s.restoring = r
	return r, nil
}

// Subject is where chunks are sent.
func (r *Restoring) Subject() string { return r.subject }

// Start begins to wait for chunks.
func (r *Restoring) Start() { r.restore.Start() }

// Bytes is the number of bytes that came, compressed.
func (r *Restoring) Bytes() int64 { return r.restore.Bytes() }

// Fail ends it: the sender is told why, and Aborted is called.
func (r *Restoring) Fail(err error) {
	r.restore.Fail(err)
	r.sender.Flush()
}

// Answer answers the last chunk; the stream is known and serves.
func (r *Restoring) Answer(body []byte) {
	r.restore.Finished(body)
	r.close()
}

// Stop ends it without a word: the server goes.
func (r *Restoring) Stop() {
	r.ended = true
	r.restore.Stop()
	r.close()
}

func (r *Restoring) close() {
	r.linger.Stop()
	r.s.restoring = nil
	if r.sink != nil {
		r.sink.Close()
		r.sink = nil
	}
	if r.sender != nil {
		r.sender.Flush()
		r.sender.Close()
		r.sender = nil
	}
}

// take gives chunks to the restore.
func (r *Restoring) take(batches []*broker.Batch) {
	r.task(func() {
		for _, b := range batches {
			for i := range b.Messages {
				r.restore.Chunk(b.Messages[i].Reply, b.Messages[i].Data)
			}
			b.Release()
		}
	})
}

// task runs fn, be the stream there or not.
func (r *Restoring) task(fn func()) {
	r.s.tick()
	fn()
	if !r.s.closed {
		r.s.endTask()
	}
	if r.sender != nil {
		r.sender.Flush()
	}
}

// NewTimer is part of [archive.RestoreHost].
func (r *Restoring) NewTimer(task func()) clock.Timer {
	return r.s.strand.NewTimer(func() { r.task(task) })
}

// Reply is part of [archive.RestoreHost].
func (r *Restoring) Reply(to, body []byte) {
	if r.sender != nil {
		r.sender.Publish(to, nil, nil, body)
	}
}

// Abort is part of [archive.RestoreHost].
func (r *Restoring) Abort(err error) {
	r.ended = true
	r.s.restoring = nil
	r.linger.Reset(restoreLinger)
	r.events.Aborted(err)
}

// Take is part of [archive.RestoreHost].
func (r *Restoring) Take(it *archive.Item) (bool, error) {
	if r.err != nil {
		return false, r.err
	}
	var err error
	switch it.Kind {
	case archive.IsState:
		err = r.state(it.State)
	case archive.IsConsumer:
		err = r.consumer(it.Name, it.Consumer)
	case archive.IsMessage:
		err = r.message(&it.Message)
	case archive.IsRemoved:
		r.flush()
		b := binary.AppendUvarint([]byte{kindRestoreRemove}, it.From)
		r.propose(binary.AppendUvarint(b, it.To), 64)
	}
	r.busy = r.flying >= restoreFlying
	return !r.busy, err
}

// state begins with the sequences before the first message; the older format gives it behind the messages.
func (r *Restoring) state(st *api.StreamState) error {
	if st.LastSeq >= 1<<62 || st.FirstSeq > st.LastSeq+1 {
		return fmt.Errorf("state makes no sense: sequences %d to %d", st.FirstSeq, st.LastSeq)
	}
	r.last = st.LastSeq
	if st.FirstSeq > 1 && r.arrived == 0 {
		r.skip(st.FirstSeq - 1)
	}
	return nil
}

// message puts a message into the entry that is being built.
func (r *Restoring) message(m *archive.Message) error {
	s := r.s
	if m.Seq >= 1<<62 || len(m.Subject) == 0 {
		return fmt.Errorf("message sequence %d is malformed", m.Seq)
	}
	r.arrived++
	r.copied = max(r.copied, m.Seq)
	if r.expired(m) {
		return nil
	}
	size := s.sizeOf(len(m.Subject), len(m.Header), len(m.Data))
	if s.leaderLimits(r.flying+r.size+size) != 0 {
		if s.cfg.Storage == api.MemoryStorage {
			return api.ErrMemoryResourcesExceeded
		}
		return api.ErrStorageResourcesExceeded
	}
	if r.size > 0 && r.size+size > restoreEntry {
		r.flush()
	}
	if r.size == 0 {
		r.copies.Begin(append(make([]byte, 0, restoreEntry/4), kindMessages), s.now)
	}
	v := followHost{s}.Judge(m.Subject, m.Header, m.Data)
	r.copies.Add(&machine.Copy{
		Seq: m.Seq, Time: m.Time, Subject: m.Subject, Header: m.Header, Data: m.Data, Restored: true, Schedule: v.Schedule,
	})
	r.size += size
	return nil
}

// expired tells whether a message's own time to live is over.
func (r *Restoring) expired(m *archive.Message) bool {
	if !r.s.cfg.AllowMsgTTL || len(m.Header) == 0 {
		return false
	}
	ttl, ok := api.ParseTTL(api.HeaderValue(m.Header, api.HdrTTL))
	return ok && ttl != api.Never && m.Time+int64(ttl) > m.Time && m.Time+int64(ttl) <= r.s.now
}

// consumer proposes a consumer with its state.
func (r *Restoring) consumer(name string, c *archive.Consumer) error {
	s := r.s
	if !api.ValidName(name) {
		return fmt.Errorf("consumer name %q is not valid", name)
	}
	if c.Config.Direct {
		return nil
	}
	cfg, bad := api.CheckConsumerConfig(c.Config, s.cfg, r.limits, false)
	if bad != nil {
		return fmt.Errorf("consumer %q: %w", name, bad)
	}
	p := progressOf(c)
	if cfg.AckPolicy == api.AckNone {
		p.Pending = nil
	}
	state, err := consumer.AppendProgress(nil, p)
	if err != nil {
		return fmt.Errorf("consumer %q: %w", name, err)
	}
	r.flush()
	id := s.consumers.nextID
	s.consumers.nextID++
	b := appendConsumerEntry([]byte{kindConsumerRestore}, id, name, time.Unix(0, s.now).UTC(), cfg)
	r.propose(codec.AppendBytes(b, state), len(b)+len(state))
	return nil
}

// skip uses sequences up to seq.
func (r *Restoring) skip(seq uint64) {
	r.flush()
	r.propose(machine.EncodeSkip([]byte{kindMessages}, r.s.now, seq), 64)
}

// flush proposes the entry that is being built.
func (r *Restoring) flush() {
	if r.size > 0 {
		size := r.size
		r.size = 0
		r.propose(r.copies.Bytes(), size)
	}
}

// propose hands over an entry; size is what it counts for until it is applied.
func (r *Restoring) propose(entry []byte, size int) {
	r.flying += size
	r.s.propose(entry, &restoreTag{r, size}, raft.Prompt)
}

// restoreTag is what an entry of a restore carries to its apply.
type restoreTag struct {
	r    *Restoring
	size int
}

// applied lets the restore go on.
func (t *restoreTag) applied() {
	r := t.r
	r.flying -= t.size
	switch {
	case r.ended:
	case r.err != nil:
		r.Fail(r.err)
	case r.busy && r.flying < restoreFlying/2:
		r.busy = false
		r.s.strand.Post(func() {
			if !r.ended {
				r.task(r.restore.Resume)
			}
		})
	}
}

// refused notes that a message was not stored: behind it nothing may be.
func (r *Restoring) refused(err *api.Error) {
	if r.err == nil {
		r.err = err
	}
}

// Finish is part of [archive.RestoreHost].
func (r *Restoring) Finish() {
	r.flush()
	if last := max(r.last, r.copied); last > 0 {
		r.skip(last)
	}
	r.s.propose([]byte{kindRestored}, &answerTag{func() {
		switch {
		case r.ended:
		case r.err != nil:
			r.Fail(r.err)
		default:
			r.events.Complete()
		}
	}}, raft.Prompt)
}

// Appear makes a hidden stream one that serves. The catalogue knows it.
func (s *Stream) Appear() {
	s.spec.Hidden = false
	if s.closed || s.failed != nil {
		return
	}
	s.lead((*consumer.Consumer).Restored)
	s.endTask()
}

// applyConsumerRestore makes a consumer with a state.
func (s *Stream) applyConsumerRestore(e *raft.Entry) {
	d := codec.Reader{P: e.Payload[1:]}
	id, name, created, cfg, err := readConsumerEntry(&d, nil)
	state := d.Bytes()
	if err = errors.Join(d.Err(), err); err != nil {
		s.fail(err)
		return
	}
	h := newHosted(id, name, cfg)
	h.c, err = consumer.Restore(hostOf{s, h}, consumer.Spec{ID: id, Name: name, Created: created, Config: cfg, Window: s.env.Limits.Window}, state)
	if err != nil {
		s.fail(fmt.Errorf("consumer %q of stream %q: %w", name, s.name, err))
		return
	}
	if s.consumers.byName[name] == nil {
		s.consumers.add(h)
	}
}

// applyRestoreRemove removes messages that a backup gave and then took back.
func (s *Stream) applyRestoreRemove(e *raft.Entry) {
	d := codec.Reader{P: e.Payload[1:]}
	from, to := d.Uint(), d.Uint()
	for seq, ok := s.store.Next(nil, max(from, 1)); ok && seq <= to; seq, ok = s.store.Next(nil, seq+1) {
		s.machine.RemoveAcked(seq)
	}
}

// applyRestored ends a restore: now it is known who needs which message.
func (s *Stream) applyRestored() {
	if s.consumers.len() > 0 {
		s.recount()
	}
}
