package source

import (
	"fmt"
	"math/rand/v2"
	"pgregory.net/rapid"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// world is a stream with its origins, in virtual time.
type world struct {
	t       rapid.TB
	sim     *clock.Sim
	clock   *clock.SimClock
	strand  clock.Strand
	rand    *rand.Rand
	first   *api.StreamConfig // at the log's beginning
	cfg     *api.StreamConfig
	store   msgs.Store
	machine *machine.Machine
	set     *Set
	life    int // tells callbacks of before a crash

	log      []logged
	applied  int
	applying *Batch
	refusals int
	hold     bool // nothing commits

	listens map[string]*listener
	next    int
	lastAt  time.Duration
	origins map[string]*origin
	net     network
	caught  int
	out     strings.Builder // of a script
	verbose bool
	ackable func(o *origin, upTo uint64)
	stored  func(m *machine.Stored)
	reset   func() // what was stored is stored again
}

type logged struct {
	entry []byte
	batch *Batch
}

type listener struct {
	subject string
	take    func([]broker.Arrival)
}

// network says what happens to messages on their way; rates are of a hundred.
type network struct {
	lose, double, reorder int
	latency               time.Duration
}

func newWorld(t rapid.TB, seed uint64, cfg *api.StreamConfig) *world {
	w := &world{
		t: t, sim: clock.NewSim(seed), first: cfg, cfg: cfg, listens: make(map[string]*listener), origins: make(map[string]*origin),
		net: network{latency: time.Millisecond},
	}
	w.rand = w.sim.Rand("world")
	w.clock = w.sim.Clock("dest")
	w.start()
	return w
}

// start begins to lead with what the log has.
func (w *world) start() {
	w.life++
	if w.reset != nil {
		w.reset()
	}
	w.strand = w.clock.NewStrand(fmt.Sprint("stream ", w.life))
	w.store = msgs.NewMemory(w.strand, msgs.Options{})
	w.machine = machine.New(machine.Options{Store: w.store, Config: w.first, Effects: w})
	w.log = w.log[:w.applied]
	w.applied = 0
	for i := range w.log {
		w.log[i].batch = nil
	}
	for w.applied < len(w.log) {
		w.applyOne()
	}
	w.cfg = w.machine.Config()
	w.set = New(w, Options{Account: "A"})
	w.set.Configure(w.cfg)
}

// crash loses what is not committed, and leads again.
func (w *world) crash() {
	w.set.Stop(Left)
	clear(w.listens)
	w.start()
}

func (w *world) configure(change func(cfg *api.StreamConfig)) {
	w.cfg = w.cfg.Clone()
	change(w.cfg)
	w.append(machine.EncodeConfig(nil, w.Now(), w.cfg), nil)
	w.run(5 * time.Millisecond)
	w.set.Configure(w.cfg)
}

func (w *world) append(entry []byte, b *Batch) {
	w.log = append(w.log, logged{entry, b})
	if !w.hold {
		w.commitLater()
	}
}

func (w *world) commitLater() {
	life := w.life
	w.sim.After(time.Millisecond, nil, clock.KindNet, func() {
		w.strand.Post(func() {
			if w.life == life && w.applied < len(w.log) && !w.hold {
				w.applyOne()
			}
		})
	})
}

func (w *world) release() {
	w.hold = false
	for range len(w.log) - w.applied {
		w.commitLater()
	}
}

func (w *world) applyOne() {
	l := w.log[w.applied]
	w.applied++
	w.applying = l.batch
	if !w.machine.Apply(l.entry) || w.machine.Err() != nil {
		w.t.Fatalf("entry not applied: %v", w.machine.Err())
	}
	w.applying = nil
	if l.batch != nil {
		l.batch.Applied()
	}
}

func (w *world) Acked(int, *api.PubAck) {}
func (w *world) Refused(i int, err *api.Error) {
	w.refusals++
	if w.applying != nil {
		w.applying.Refused(i, err)
	}
}
func (w *world) Stored(m *machine.Stored) {
	if w.stored != nil {
		w.stored(m)
	}
}
func (w *world) Removed(uint64, string, int, msgs.Why) {}
func (w *world) Cleared()                              {}

func (w *world) run(d time.Duration) { w.sim.RunFor(d) }

func (w *world) printf(format string, args ...any) {
	if w.verbose {
		fmt.Fprintf(&w.out, "%s "+format+"\n", append([]any{w.sim.Now().Round(10 * time.Millisecond)}, args...)...)
	}
}

// Host.

func (w *world) Now() int64                       { return w.clock.Now().UnixNano() }
func (w *world) Mono() time.Duration              { return w.clock.Monotonic() }
func (w *world) Rand() *rand.Rand                 { return w.strand.Rand("source") }
func (w *world) NewTimer(task func()) clock.Timer { return w.strand.NewTimer(task) }
func (w *world) Post(task func())                 { w.strand.Post(task) }
func (w *world) Store() msgs.Store                { return w.store }

func (w *world) Position(key string) (uint64, string, bool) { return w.machine.SourcePosition(key) }

func (w *world) Judge(_, header, _ []byte) machine.Verdict { return machine.Verdict{} }

func (w *world) Request(subj string, header, body []byte, timeout time.Duration, done func(header, body []byte, ok bool)) func() {
	over := false
	once := func(h, b []byte, ok bool) {
		if !over {
			over = true
			done(h, b, ok)
		}
	}
	strand := w.strand
	w.sim.After(timeout, nil, clock.KindNet, func() { strand.Post(func() { once(nil, nil, false) }) })
	h, b := append([]byte(nil), header...), append([]byte(nil), body...)
	w.printf("request %s %q %s", subj, h, b)
	w.send(func() {
		w.serve(subj, h, b, func(rh, rb []byte) {
			w.send(func() { strand.Post(func() { once(rh, rb, true) }) })
		})
	})
	return func() { over = true }
}

func (w *world) Listen(subj string, take func([]broker.Arrival)) (func(), error) {
	id := fmt.Sprint(w.next)
	w.next++
	w.listens[id] = &listener{subj, take}
	return func() { delete(w.listens, id) }, nil
}

func (w *world) Send(subj, header []byte) {
	s, h := string(subj), append([]byte(nil), header...)
	w.printf("send %s %q", s, h)
	w.send(func() {
		for _, o := range w.origins { //lockstep:ordered one of them has it
			o.answered(s, h)
		}
	})
}

func (w *world) Entry(int) []byte { return nil }

func (w *world) Propose(entry []byte, b *Batch) { w.append(entry, b) }

func (w *world) CaughtUp() { w.caught++ }

// send brings something about later and in order, or out of order, or not, or twice.
func (w *world) send(what func()) {
	once := func() {
		at := max(w.sim.Now()+w.net.latency, w.lastAt+time.Microsecond)
		if w.net.reorder > w.rand.IntN(100) {
			at += time.Duration(w.rand.Int64N(int64(50 * time.Millisecond)))
		} else {
			w.lastAt = at
		}
		w.sim.At(at, nil, clock.KindNet, what)
	}
	if w.net.lose > w.rand.IntN(100) {
		return
	}
	once()
	if w.net.double > w.rand.IntN(100) {
		once()
	}
}

// deliver sends to who listens on subject; false when nobody does.
func (w *world) deliver(to string, a broker.Arrival) bool {
	any := false
	for _, l := range w.listens { //lockstep:ordered at most one listens
		any = any || l.subject == to
	}
	if any {
		w.send(func() {
			for _, l := range w.listens { //lockstep:ordered at most one listens
				if l.subject == to {
					l := l
					w.strand.Post(func() { l.take([]broker.Arrival{a}) })
				}
			}
		})
	}
	return any
}

// serve answers a request.
func (w *world) serve(subj string, header, body []byte, reply func(header, body []byte)) {
	rest := strings.TrimPrefix(subj, "$JS.API.")
	if i := strings.Index(subj, ".API."); i > 0 {
		rest = subj[i+5:]
	}
	tokens := strings.Split(rest, ".")
	for i, word := range tokens {
		if word != "CREATE" && word != "RESET" && word != "DELETE" {
			continue
		}
		if o := w.origins[tokens[i+1]]; o != nil {
			o.serve(word, tokens[i+2:], header, body, reply)
			return
		}
	}
	reply(nil, []byte(`{"error":{"code":404,"err_code":10059,"description":"stream not found"}}`))
}
