package consumer

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// epoch is the wall clock at the start of every test.
var epoch = time.Date(2024, 5, 1, 12, 0, 0, 0, time.UTC).UnixNano()

// world is a stream reduced to what a consumer sees of it, in virtual time.
type world struct {
	t      *testing.T
	store  *fakeStore
	stream *api.StreamConfig
	spec   Spec
	c      *Consumer

	mono   time.Duration
	skew   int64 // the wall clock is ahead by it
	rand   *rand.Rand
	timers []*fakeTimer
	deaf   map[string]bool // inboxes that nobody listens to
	queued bool
	listen bool
	budget int

	log     []logged // all that is recorded, in order; up to durable it survives a crash
	durable int
	lazy    bool // records wait for commit
	busy    bool // a drain is under way

	out      strings.Builder
	verbose  bool // print what is recorded
	released map[uint64]int
	onSend   func(inbox, subj string, reply, header, data []byte)
	quiet    bool
	question string // the latest of flow control
	base     []byte // snapshot on which the log stands
}

// logged is an event, or what else happened that the log has.
type logged struct {
	event     []byte
	committed func()
	cfg       *api.ConsumerConfig // an update
}

type fakeTimer struct {
	w    *world
	at   time.Duration
	set  bool
	task func()
	id   int
}

func (t *fakeTimer) Reset(d time.Duration) { t.at, t.set = t.w.mono+max(d, 0), true }
func (t *fakeTimer) Stop()                 { t.set = false }

func newWorld(t *testing.T) *world {
	return &world{
		t: t, store: newFakeStore(), stream: &api.StreamConfig{Name: "S", MaxMsgsPer: -1, MaxMsgSize: -1},
		mono: time.Hour, rand: rand.New(rand.NewPCG(1, 2)), deaf: make(map[string]bool), budget: 256,
		released: make(map[uint64]int),
	}
}

// config gives a configuration as the API completes it.
func config(text string) *api.ConsumerConfig {
	cfg := &api.ConsumerConfig{AckPolicy: api.AckExplicit, Durable: "C", Name: "C", MaxDeliver: -1}
	d := json.NewDecoder(strings.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(cfg); err != nil {
		panic(fmt.Sprintf("%s: %v", text, err))
	}
	acks := cfg.AckPolicy == api.AckExplicit || cfg.AckPolicy == api.AckAll
	if cfg.AckWait == 0 && acks {
		cfg.AckWait = 30 * time.Second
	}
	if len(cfg.BackOff) > 0 {
		cfg.AckWait = cfg.BackOff[0]
	}
	if cfg.MaxAckPending == 0 && cfg.AckPolicy != api.AckNone {
		cfg.MaxAckPending = 1000
	}
	if cfg.MaxWaiting == 0 && !cfg.Push() {
		cfg.MaxWaiting = 512
	}
	return cfg
}

func (w *world) create(cfg *api.ConsumerConfig) {
	w.spec = Spec{ID: 7, Name: "C", Created: time.Unix(0, w.Now()).UTC(), Config: cfg}
	w.c = New(w, w.spec)
	w.base = w.c.Snapshot(nil)
	w.c.Start()
	w.drain()
}

// drain lets everything happen that does not need time to pass.
func (w *world) drain() {
	if w.busy {
		return
	}
	w.busy = true
	defer func() { w.busy = false }()
	for n := 0; ; n++ {
		if n > 10000 {
			panic("the consumer never rests")
		}
		switch {
		case w.queued:
			w.queued = false
			if w.c.Step(w.budget) {
				w.queued = true
			}
		case len(w.store.fetch) > 0:
			fn := w.store.fetch[0]
			w.store.fetch = w.store.fetch[1:]
			fn()
		case !w.lazy && w.durable < len(w.log):
			w.commit(1)
		default:
			return
		}
	}
}

// commit makes the next n records durable.
func (w *world) commit(n int) {
	for ; n > 0 && w.durable < len(w.log); n-- {
		r := w.log[w.durable]
		w.durable++
		if r.event != nil {
			w.c.Committed(r.event)
			if r.committed != nil {
				r.committed()
			}
		}
	}
}

// crash loses what is not durable, and starts the consumer again from the log.
func (w *world) crash() {
	w.log = w.log[:w.durable]
	w.queued, w.listen = false, false
	w.store.fetch = nil
	for _, t := range w.timers {
		t.set = false
	}
	clear(w.released)
	quiet := w.quiet
	w.quiet = true
	c := w.replay()
	w.quiet = quiet
	c.Recovered()
	w.drain()
}

// update puts a configuration in force as the log does: what is recorded and not durable comes
// after it there, though it happened before.
func (w *world) update(cfg *api.ConsumerConfig) {
	w.log = slices.Insert(w.log, w.durable, logged{cfg: cfg})
	w.durable++
	w.c.Update(cfg)
	w.drain()
}

// replay makes the consumer again, from its snapshot and the log. It is passive.
func (w *world) replay() *Consumer {
	c, err := Restore(w, w.spec, w.base)
	if err != nil {
		w.t.Fatal(err)
	}
	w.c = c
	for _, r := range w.log {
		if r.cfg != nil {
			c.Update(r.cfg)
		} else if err := c.Replay(r.event); err != nil {
			w.t.Fatal(err)
		}
	}
	return c
}

// reload starts the consumer again from its snapshot.
func (w *world) reload() {
	w.commit(len(w.log))
	p := w.c.Snapshot(nil)
	w.queued, w.listen = false, false
	for _, t := range w.timers {
		t.set = false
	}
	spec := w.spec
	spec.Config = w.c.cfg
	c, err := Restore(w, spec, p)
	if err != nil {
		w.t.Fatal(err)
	}
	w.c = c
	c.Recovered()
	w.drain()
}

// advance lets time pass.
func (w *world) advance(d time.Duration) {
	end := w.mono + d
	for range 100000 {
		var next *fakeTimer
		for _, t := range w.timers {
			if t.set && t.at <= end && (next == nil || t.at < next.at) {
				next = t
			}
		}
		if next == nil {
			w.mono = end
			return
		}
		w.mono = max(w.mono, next.at)
		next.set = false
		next.task()
		w.drain()
	}
	panic("timers never rest")
}

// publish stores a message.
func (w *world) publish(subj, header, data string) uint64 {
	seq := w.store.add(w.Now(), subj, header, data)
	if w.listen {
		w.c.Stored(seq, []byte(subj))
	}
	w.drain()
	return seq
}

// remove removes a message.
func (w *world) remove(seq uint64, why msgs.Why) {
	m := w.store.get(seq)
	if m == nil || !w.store.remove(seq) {
		return
	}
	if w.listen {
		w.c.Removed(seq, m.Subject, why)
	}
	w.drain()
}

func (w *world) printf(format string, args ...any) {
	if !w.quiet {
		fmt.Fprintf(&w.out, format+"\n", args...)
	}
}

// Host.

func (w *world) Store() msgs.Store         { return w.store }
func (w *world) Stream() *api.StreamConfig { return w.stream }
func (w *world) Now() int64                { return epoch + int64(w.mono-time.Hour) + w.skew }
func (w *world) Mono() time.Duration       { return w.mono }
func (w *world) Rand() *rand.Rand          { return w.rand }

func (w *world) NewTimer(task func()) clock.Timer {
	t := &fakeTimer{w: w, task: task, id: len(w.timers)}
	w.timers = append(w.timers, t)
	return t
}

func (w *world) Deliver(inbox, subj string, reply, header, data []byte) bool {
	if w.deaf[inbox] {
		return false
	}
	if w.onSend != nil {
		w.onSend(inbox, subj, reply, header, data)
	}
	if w.quiet {
		return true
	}
	line := "-> " + inbox
	if subj != inbox {
		line += " " + subj
	}
	if reply != nil {
		line += " " + strings.TrimPrefix(string(reply), "$JS.ACK.S.C.")
	}
	if header != nil {
		line += fmt.Sprintf(" %q", header)
	}
	if data != nil {
		line += " " + string(data)
	}
	w.printf("%s", strings.ReplaceAll(line, fmt.Sprint(epoch/1e9), "T"))
	return true
}

func (w *world) Status(inbox string, reply, header []byte) bool {
	if w.deaf[inbox] {
		return false
	}
	line := strings.TrimSuffix(strings.TrimPrefix(string(header), "NATS/1.0 "), "\r\n\r\n")
	if w.onSend != nil {
		w.onSend(inbox, "", reply, header, nil)
	}
	line = strings.ReplaceAll(line, "\r\n", " | ")
	if reply != nil {
		w.question = string(reply)
		line += " reply " + string(reply)
	}
	w.printf("=> %s %s", inbox, line)
	return true
}

func (w *world) Interested(inbox, queue string) bool { return !w.deaf[inbox] }

func (w *world) Watch(inbox string, c *Consumer) func() { return func() {} }

func (w *world) Run(c *Consumer) { w.queued = true }

func (w *world) Record(c *Consumer, event []byte, prompt bool, committed func()) {
	w.log = append(w.log, logged{event: slices.Clone(event), committed: committed})
	if w.verbose {
		w.printf("record %s%s", describe(event), map[bool]string{true: " prompt"}[prompt])
	}
}

func (w *world) Release(c *Consumer, first, last uint64) {
	for seq := first; seq <= last; seq++ {
		w.released[seq]++
		if w.released[seq] > 1 {
			w.t.Fatalf("sequence %d is released twice", seq)
		}
	}
	if w.stream.Retention != api.LimitsPolicy {
		w.printf("release %d-%d", first, last)
	}
}

func (w *world) Advise(subject string, build func(id string, now time.Time) any) {
	v := build("ID", time.Unix(0, w.Now()).UTC())
	text, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	w.printf("advisory %s %s", subject, text)
}

func (w *world) Expire(c *Consumer) { w.printf("expire") }

func (w *world) Listen(c *Consumer, on bool) { w.listen = on }

// describe prints an event.
func describe(p []byte) string {
	var e event
	if err := e.decode(p); err != nil {
		return err.Error()
	}
	names := map[byte]string{
		evDeliver: "deliver", evAgain: "again", evAck: "ack", evAckAll: "ackall", evNak: "nak", evProgress: "progress",
		evExhaust: "exhaust", evHorizon: "horizon", evMove: "move", evPresume: "presume", evPause: "pause", evReset: "reset",
	}
	b := names[e.kind]
	if e.at != 0 {
		b += " at=" + time.Duration(e.at-epoch).String()
	}
	for _, f := range []struct {
		name string
		v    uint64
	}{{"seq", e.seq}, {"dseq", e.dseq}, {"last", e.last}, {"count", uint64(e.count)}} {
		if f.v != 0 {
			b += fmt.Sprintf(" %s=%d", f.name, f.v)
		}
	}
	for _, r := range e.runs {
		b += fmt.Sprintf(" %d-%d", r.first, r.last())
	}
	for _, a := range e.again {
		b += fmt.Sprintf(" %d:%d", a.seq, a.count)
	}
	return b
}
