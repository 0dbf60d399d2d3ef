package founding

import (
	"container/heap"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// mischief lets a seed do its worst, then heals what is left, and gives the violation. Every server has
// a clock of its own here, messages arrive in any order or never, and each step is of one server.
func mischief(w *world, steps int) string {
	size := len(w.servers)
	if size > 1 && w.chance(20) { // one server's configuration names one more
		w.servers[w.rand.IntN(size)].expected++
	}
	w.faults.lose, w.faults.double = w.rand.IntN(40), w.rand.IntN(20)
	w.tune = func(o *Options) { o.Patience, o.Gather = 0, 0 }
	hasty, rough, queue := 1+w.rand.IntN(40), w.rand.IntN(15), size+w.rand.IntN(6*size)
	w.faults.nasty = w.rand.IntN(100)
	for _, s := range w.servers {
		s.start()
	}
	for range steps {
		s := w.servers[w.rand.IntN(size)]
		switch dice := w.rand.IntN(100); {
		case w.chance(rough):
			s.suffer()
		case dice < hasty:
			s.tick()
		case dice < hasty+15:
			s.persist()
		case dice < hasty+17:
			if s.begin != nil {
				s.begun()
			}
		default:
			w.deliverAny()
		}
		for len(w.net) > queue {
			heap.Remove(&w.net, w.rand.IntN(len(w.net)))
		}
		if w.violation != "" {
			return w.violation
		}
	}
	if w.holds != nil {
		w.seen.held++
	}
	for _, s := range w.servers {
		if k, _ := DecodeKept(s.disk); k != nil {
			w.seen.rounds += int(k.Promised.Round)
		}
	}
	return heal(w)
}

// suffer does something bad to a server, or mends it.
func (s *server) suffer() {
	switch w := s.w; w.rand.IntN(6) {
	case 0:
		s.crash(w.chance(50))
	case 1:
		if s.node == nil && w.mayWipe(s) {
			s.wipe()
		}
	case 2, 3:
		s.start()
	default:
		w.relink(s)
	}
}

// tick lets time pass for one server until it has something to do.
func (s *server) tick() {
	if s.node == nil {
		return
	}
	if d := s.node.Deadline(); d != 0 {
		s.w.now = max(s.w.now, d)
		s.node.Advance(d)
		s.pump()
	}
}

func (w *world) deliverAny() {
	if len(w.net) == 0 {
		return
	}
	p := heap.Remove(&w.net, w.rand.IntN(len(w.net))).(packet)
	w.deliver(p)
}

// relink changes whom a server reaches: all of one side, or one server.
func (w *world) relink(s *server) {
	i := w.index(s)
	connected, all := w.chance(60), w.chance(30)
	for j := range w.servers {
		if all || j == w.rand.IntN(len(w.servers)) {
			w.cut[i][j], w.cut[j][i] = !connected, !connected
		}
	}
	w.connect()
}

// heal connects a majority that stays, and demands an outcome of each.
func heal(w *world) string {
	size := len(w.servers)
	w.faults.lose, w.faults.double, w.faults.nasty = 10, 10, 0
	w.faults.delayMax, w.faults.writeMax = 20*time.Millisecond, 20*time.Millisecond
	w.tune = nil
	most := size
	for _, s := range w.servers {
		most = max(most, s.expected)
	}
	stay := most/2 + 1 + w.rand.IntN(size-most/2)
	order := w.rand.Perm(size)
	w.net = w.net[:0]
	for _, i := range order[stay:] {
		w.servers[i].crash(false)
		w.seen.minorities++
	}
	w.split(func(int) int { return 0 })
	for _, i := range order[:stay] { // with the usual pace
		w.servers[i].crash(true)
		w.servers[i].start()
	}
	quiet := w.run(2 * time.Minute)
	for _, i := range order[:stay] {
		if s := w.servers[i]; w.violation == "" && (s.outcomes != 1 || s.node.State().Phase != Settled) {
			w.fail("%s has no outcome: %v", s.name, s.node.State())
		}
	}
	if !quiet && w.violation == "" {
		w.fail("all are settled, and something still happens")
	}
	return w.violation
}

// sizes are what seeds try, the usual ones more often.
var sizes = [...]int{3, 5, 2, 3, 4, 1, 3, 5, 6, 3, 7}

// seeds runs many, until enough have failed, and gives how many did.
func seeds(t *testing.T, from, count, enough int, tune func(*world)) (failed int, first string) {
	t.Helper()
	var all seen
	for i := range count {
		seed := uint64(from + i)
		w := newWorld(seed, sizes[seed%uint64(len(sizes))])
		if tune != nil {
			tune(w)
		}
		w.seen = &all
		v := mischief(w, 100+w.rand.IntN(1500))
		if v != "" {
			if failed++; failed == 1 {
				first = fmt.Sprintf("seed %d: %s", seed, v)
				t.Logf("seed %d with %d servers: %s", seed, len(w.servers), v)
			}
			if failed == enough {
				break
			}
		}
	}
	t.Logf("%+v", all)
	return failed, first
}

// TestOneFounding is the claim of the package comment: whatever the seed does, at most one founding
// holds, all outcomes are of it, none is had twice, and a connected majority always ends.
func TestOneFounding(t *testing.T) {
	failed, first := seeds(t, 0, 700, 1, nil)
	require.Zero(t, failed, first)
}

// TestBrokenIsCaught breaks what safety stands on, and sees the judge notice.
func TestBrokenIsCaught(t *testing.T) {
	for _, tc := range []struct {
		name  string
		from  int // a seed near one that catches it
		spoil func(*world)
	}{
		{"said before it is durable", 0, func(w *world) { w.faults.early = true }},
		{"a promise does not tell what was agreed to", 0, func(w *world) { w.faults.deaf = true }},
		{"a restart forgets the promise", 2800, func(w *world) { w.faults.unpromised = true }},
		{"a wiped server keeps its birth", 0, func(w *world) { w.faults.reborn = true }},
		{"disks are lost without limit", 0, func(w *world) { w.faults.wipesAll = true }},
		{"less than a majority is asked for", 0, func(w *world) {
			for _, s := range w.servers {
				s.expected = max(1, s.expected/2)
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			failed, _ := seeds(t, tc.from, 5000, 1, tc.spoil)
			require.NotZero(t, failed)
		})
	}
}
