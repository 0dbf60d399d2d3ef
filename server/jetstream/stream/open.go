package stream

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/jetstream/consumer"
	"github.com/lockstepmq/lockstep/server/jetstream/keyfile"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/jetstream/source"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/storage/msgs"
	"github.com/lockstepmq/lockstep/storage/seal"
)

// stateVersion is the first byte of a checkpoint's state.
const stateVersion = 3

// Open starts a stream: it recovers what the log and the disk have of it, or begins
// empty. done is called on the stream's strand when it serves, or with what keeps it from
// that.
func Open(env *Env, spec Spec, done func(*Stream, error)) {
	s := &Stream{
		env: env, spec: spec, cfg: spec.Config, name: spec.Config.Name,
		strand:  env.Clock.NewStrand(fmt.Sprintf("stream %s %s", spec.Account.Name, spec.Config.Name)),
		waiting: make(map[string][]func()),
		keep:    retention{needs: make(map[uint64]uint32)},
		subs:    make(map[string]*account.Subscription), ctl: make(map[string]*account.Subscription),
		heads: headsOf(spec.Account.Name, spec.Config.Name, env.Domain),
	}
	s.unled = env.Clock.Monotonic()
	s.consumers.init()
	s.opened = func(err error) { done(s, err) }
	s.wake = s.strand.NewTimer(s.deadline)
	if s.cfg.Storage == api.MemoryStorage {
		s.strand.Post(func() { s.openGroup(nil) })
		return
	}
	s.strand.Post(func() {
		keyfile.Open(env.Disk, s.strand, spec.Dir, env.Keys, spec.Account.Name, s.name, s.keyed)
	})
}

// keyed goes on with the stream's key; nil for none.
func (s *Stream) keyed(a *seal.Asset, err error) {
	if err != nil {
		s.finish(err)
		return
	}
	s.openGroup(a)
}

// openGroup starts the group; what the log holds of it is sealed with the stream's key.
func (s *Stream) openGroup(a *seal.Asset) {
	o := raft.Options{
		ID: s.spec.ID, LogID: s.spec.LogID, Name: s.strand.Name(), Strand: s.strand, Machine: s, Memory: s.cfg.Storage == api.MemoryStorage,
		Fresh: s.spec.Fresh, Spent: s.spent, Members: s.spec.Members,
	}
	var err error
	if a != nil {
		s.asset = a
		if o.Seal, err = a.Sealer(s.env.Keys.Entropy, "log"); err != nil {
			s.finish(err)
			return
		}
	}
	if s.group, err = s.env.Host.Open(o); err != nil {
		s.finish(err)
	}
}

// finish tells who opened the stream, once.
func (s *Stream) finish(err error) {
	if fn := s.opened; fn != nil {
		s.opened = nil
		fn(err)
	}
}

// Restore is part of [raft.Machine].
func (s *Stream) Restore(state []byte, done func(error)) {
	s.tick()
	s.sender = s.env.Broker.NewSender(s.strand, s.spec.Account, s.strand.Name())
	d := codec.Reader{}
	var manifest []byte
	if state != nil {
		d.P = state
		if v := d.Byte(); v != stateVersion {
			done(fmt.Errorf("state of stream %q has version %d; this server knows %d", s.name, v, stateVersion))
			return
		}
		manifest = d.Bytes()
		s.generation = d.Uint()
	}
	s.openStore(s.generation, manifest, func(st msgs.Store, err error) {
		if err != nil {
			done(err)
			return
		}
		s.store = st
		s.tick()
		done(s.restoreState(&d, state != nil))
	})
}

// openStore opens the messages, of which there may be several generations: each snapshot of another server makes
// one.
func (s *Stream) openStore(generation uint64, manifest []byte, done func(msgs.Store, error)) {
	if s.cfg.Storage == api.MemoryStorage {
		done(msgs.NewMemory(s.strand, s.env.Store), nil)
		return
	}
	o := s.env.Store
	if s.cfg.Compression == api.S2Compression {
		o.Compression = msgs.S2
	}
	if s.asset != nil {
		sealer, err := s.asset.Sealer(s.env.Keys.Entropy, "messages")
		if err != nil {
			done(nil, err)
			return
		}
		o.Sealer = sealer
	}
	o.OnLost, o.OnFull = s.tellLost, s.storeFull
	msgs.OpenFile(s.env.Disk, s.strand, s.storeDir(generation), manifest, o, func(st msgs.Store, report *msgs.Report, err error) {
		if err == nil {
			s.reportDamage(report)
		}
		done(st, err)
	})
}

// storeDir is where a generation is.
func (s *Stream) storeDir(generation uint64) string {
	if generation == 0 {
		return s.spec.Dir
	}
	return fmt.Sprintf("%s/%d", s.spec.Dir, generation)
}

// newStore makes an empty store of a generation of which a crash may have left something.
func (s *Stream) newStore(generation uint64, done func(msgs.Store, error)) {
	open := func(error) { s.openStore(generation, nil, done) }
	if s.cfg.Storage == api.MemoryStorage {
		open(nil)
		return
	}
	s.openStore(generation, nil, func(st msgs.Store, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		st.Delete(open)
	})
}

// reportDamage logs what is not as it was written.
func (s *Stream) reportDamage(r *msgs.Report) {
	if r == nil {
		return
	}
	for _, d := range r.Damage {
		s.env.Log.Errorf("Stream '%s > %s': damage in %s", s.spec.Account.Name, s.name, d)
	}
	if n := len(r.Lost); n > 0 {
		s.env.Log.Errorf("Stream '%s > %s': %d messages are lost to damage, the first is %d", s.spec.Account.Name, s.name, n, r.Lost[0])
	}
}

// tellLost logs messages that a read found damaged.
func (s *Stream) tellLost(seq uint64, messages int) {
	s.env.Log.Errorf("Stream '%s > %s': %d messages are lost to damage, the first is %d", s.spec.Account.Name, s.name, messages, seq)
}

// storeFull hears that there is no space for messages, and, with nil, that there is some again. The checkpoints that
// failed meanwhile are made up for, so that the log can let go of what it kept.
func (s *Stream) storeFull(err error) {
	if s.closed || s.failed != nil {
		return
	}
	if err != nil {
		s.env.Log.Errorf("Stream '%s > %s': no space: %v", s.spec.Account.Name, s.name, err)
		return
	}
	s.env.Log.Noticef("Stream '%s > %s': there is space again", s.spec.Account.Name, s.name)
	s.tick()
	s.group.CheckpointNow(nil)
	s.endTask()
}

// restoreState reads what a checkpoint has behind the manifest; see [saving].
func (s *Stream) restoreState(d *codec.Reader, any bool) error {
	var snapshot []byte
	if any {
		cfg := &api.StreamConfig{}
		if err := json.Unmarshal(d.Bytes(), cfg); err != nil || d.Err() != nil {
			return fmt.Errorf("state of stream %q: configuration: %w", s.name, errors.Join(codec.ErrUnreadable, err))
		}
		s.cfg = cfg
		snapshot = d.Bytes()
	}
	s.machine = machine.New(machine.Options{
		Store: s.store, Config: s.cfg, Effects: effects{s}, Interest: s, Domain: s.env.Domain,
		Resume: func() { s.group.Resume() }, Slice: s.slice(),
	})
	if !any {
		return nil
	}
	if err := s.machine.Restore(snapshot); err != nil {
		return err
	}
	s.consumers.nextID = uint32(d.Uint())
	for range d.Uint() {
		id, name, created, cfg, err := readConsumerEntry(d, s.consumers.labels)
		if err != nil {
			return err
		}
		h := newHosted(id, name, cfg)
		spec := consumer.Spec{ID: id, Name: name, Created: created, Config: cfg, Window: s.env.Limits.Window}
		s.consumers.labels = cfg.Metadata
		if h.c, err = consumer.Restore(hostOf{s, h}, spec, d.Bytes()); err != nil {
			return fmt.Errorf("state of consumer %q of stream %q: %w", name, s.name, err)
		}
		s.consumers.add(h)
	}
	s.keep.restore(d)
	return d.Err()
}

// errNotNow: the consumers' state runs ahead of the log; the checkpoint comes when it does not.
var errNotNow = errors.New("the state is ahead of the log")

// Checkpoint is part of [raft.Machine]. A leader's consumers are ahead of the log by what is
// not committed yet, and a state must be that of the entries applied: so what comes
// in is held until the log has caught up, a flush later at most.
func (s *Stream) Checkpoint(done func([]byte, error)) {
	if !s.settled() {
		s.wantCheckpoint = true
		s.events.prompt = true
		s.proposeEvents()
		done(nil, errNotNow)
		return
	}
	v := s.newSaving(done)
	s.saving = v
	s.saveMore()
	s.store.Checkpoint(func(manifest []byte, err error) {
		switch {
		case s.saving != v: // the stream is gone
		case err != nil:
			s.saving = nil
			done(nil, err)
			if errors.Is(err, msgs.ErrFenced) { // what it wrote last may be nowhere but in the log: a restart has it again
				s.fail(err)
			}
		default:
			s.manifest = manifest
			v.store, v.stored = manifest, true
			s.saved()
		}
	})
}

// afterEvents takes the checkpoint that waited for the log.
func (s *Stream) afterEvents() {
	if !s.settled() {
		return
	}
	if fn := s.closing; fn != nil {
		s.closing = nil
		fn()
		return
	}
	for len(s.wantSnapshot) > 0 {
		done := s.wantSnapshot[0]
		s.wantSnapshot = s.wantSnapshot[1:]
		done(s.newTransfer(), nil)
	}
	if !s.wantCheckpoint {
		return
	}
	s.wantCheckpoint = false
	s.group.CheckpointNow(nil)
}

// letIn takes up what was held back, if nothing holds it any more.
func (s *Stream) letIn() {
	if len(s.calls) > 0 || len(s.held) > 0 {
		defer s.sender.Flush()
	}
	for len(s.calls) > 0 && !(s.halfway && s.holds()) || len(s.held) > 0 && !s.holds() {
		from := &s.calls
		if len(s.calls) == 0 {
			from = &s.held
		}
		fn := (*from)[0]
		(*from)[0] = nil
		*from = (*from)[1:]
		fn()
	}
	s.postRun()
}

// holds tells whether inputs have to wait.
func (s *Stream) holds() bool {
	return (s.wantCheckpoint || s.halfway || len(s.wantSnapshot) > 0) && !s.closed && s.failed == nil
}

// Checkpointed is part of [raft.Machine].
func (s *Stream) Checkpointed([]byte) {
	for _, st := range s.replaced {
		st.Delete(func(error) {})
	}
	s.replaced = nil
	if s.manifest != nil {
		s.store.Release(s.manifest)
	}
}

// Failed is part of [raft.Machine].
func (s *Stream) Failed(err error) { s.fail(err) }

// fail ends the stream's service: what it cannot promise it does not answer.
func (s *Stream) fail(err error) {
	if s.failed != nil || s.closed {
		return
	}
	s.failed = err
	if !errors.Is(err, raft.ErrStopped) {
		s.env.Log.Errorf("Stream '%s > %s' stopped: %v", s.spec.Account.Name, s.name, err)
	}
	s.unsubscribe()
	s.strand.Post(s.silence) // it may be a consumer that found out
	s.halfway, s.saving = false, nil
	if fn := s.closing; fn != nil {
		s.closing = nil
		fn()
	}
	s.finish(err)
	s.letIn()
	if r := s.restoring; r != nil {
		r.Fail(err)
		return
	}
	if s.env.StreamFailed != nil {
		s.env.StreamFailed(s, err)
	}
}

// silence ends the deliveries of a stream that has failed: no ack of them would be heard.
func (s *Stream) silence() {
	if s.closed || !s.leads {
		return
	}
	s.stopFollowing(source.Left)
	for _, h := range s.consumers.all() {
		h.c.Stop(consumer.Moved)
	}
	s.endTask()
}

// lead begins to serve, and puts each consumer into service by resume.
func (s *Stream) lead(resume func(*consumer.Consumer)) {
	s.leads = true
	s.ackPrefix = api.AppendPubAckHead(nil, s.name, s.env.Domain)
	s.ingest = s.env.Broker.NewSink(s.strand, broker.SinkOptions{
		Name: s.strand.Name(), Credit: s.env.Limits.BufferedBytes, CreditMsgs: s.env.Limits.BufferedMsgs, Full: s.overflow,
		Ease: s.env.Limits.Ease,
	}, s.take)
	s.control = s.env.Broker.NewSink(s.strand, broker.SinkOptions{Name: s.strand.Name(), Wants: s.wantsControl}, s.takeControl)
	s.serve()
	for _, h := range s.consumers.all() {
		resume(h.c)
	}
	s.startFollowing()
	s.finish(nil)
}

// serve puts in force what the configuration says besides the machine: which subjects are
// listened to, and what is published again.
func (s *Stream) serve() {
	s.noAck.Store(s.cfg.NoAck)
	s.republish = nil
	if r := s.cfg.RePublish; r != nil {
		src := r.Source
		if src == "" {
			src = ">"
		}
		if t, err := subject.NewTransform(src, r.Destination); err == nil {
			s.republish = t
		}
	}
	s.listen(s.ingest, s.subs, s.cfg.Subjects, "")
	s.listen(s.control, s.ctl, s.controlSubjects(), "")
}

// listen makes a sink's subscriptions these, and no others.
func (s *Stream) listen(sink *broker.Sink, have map[string]*account.Subscription, want []string, queue string) {
	keep := make(map[string]bool, len(want))
	for _, subj := range want {
		keep[subj] = true
		if have[subj] != nil {
			continue
		}
		q := queue
		if s.inQueue(subj) {
			q = directQueue
		}
		sub, err := sink.Subscribe(s.spec.Account, subj, q)
		if err != nil {
			s.env.Log.Errorf("Stream '%s > %s': subject %q: %v", s.spec.Account.Name, s.name, subj, err)
			continue
		}
		have[subj] = sub
	}
	for subj, sub := range have { //lockstep:ordered each is ended alike
		if !keep[subj] {
			sink.Unsubscribe(sub)
			delete(have, subj)
		}
	}
}

func (s *Stream) unsubscribe() {
	if s.ingest != nil {
		s.ingest.Close()
		s.control.Close()
	}
}

// reconfigure follows an update of the configuration.
func (s *Stream) reconfigure(was *api.StreamConfig) {
	s.startFollowing()
	s.serve()
	if was.ConsumerLimits != s.cfg.ConsumerLimits {
		for _, h := range s.consumers.all() {
			s.schedule(h)
		}
	}
}
