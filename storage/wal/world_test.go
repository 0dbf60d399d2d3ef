package wal_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// op is one thing that a group's log was told.
type op struct {
	kind    byte // 'a'ppend, 't'runcate, 'h'ard state, 'r'eset
	index   uint64
	term    uint64
	payload []byte
	hard    wal.HardState
}

// snap is a checkpoint that was asked for.
type snap struct {
	index uint64
	state []byte
	acked bool
	era   int // resets before it; a reset is one of its own
}

// model is what a group may hold: the effect of its first ops, of those that were acknowledged
// at least, behind one of its checkpoints, the newest acknowledged at least.
type model struct {
	ops     []op
	acked   int // of ops
	snaps   []snap
	dropped int // 0 no, 1 asked, 2 acknowledged
	last    uint64
	term    uint64
	flushed uint64
	keep    uint64
}

// entriesAfter applies the first n ops.
func (m *model) entriesAfter(n int) (entries []op, hard wal.HardState) {
	for _, o := range m.ops[:n] {
		switch o.kind {
		case 'a':
			entries = append(entries, o)
		case 't':
			entries = slices.DeleteFunc(entries, func(e op) bool { return e.index >= o.index })
		case 'h':
			hard = o.hard
		case 'r':
			entries = nil
		}
	}
	return entries, hard
}

// era is how many of the first n ops are resets.
func (m *model) era(n int) (era int) {
	for _, o := range m.ops[:n] {
		if o.kind == 'r' {
			era++
		}
	}
	return era
}

// chosen finds the checkpoint that was found, among those of an era that may be found; -1 when there is none.
func (m *model) chosen(f *wal.Found, era int, lossy bool) int {
	newest := -1
	for i, s := range m.snaps {
		if s.acked {
			newest = i
		}
	}
	for i := len(m.snaps) - 1; i >= 0; i-- {
		s := &m.snaps[i]
		if (i >= newest || lossy) && f.State != nil && s.era == era && s.index == f.StateIndex && bytes.Equal(s.state, f.State) {
			return i
		}
	}
	return -1
}

// none tells whether no checkpoint at all may be found.
func (m *model) none(f *wal.Found, era int, lossy bool) bool {
	return f.State == nil && f.StateIndex == 0 && era == 0 && (lossy || !slices.ContainsFunc(m.snaps, func(s snap) bool { return s.acked }))
}

// check compares what recovery found, and goes on from there. lossy allows acknowledged ops to be
// missing at the end.
func (m *model) check(t require.TestingT, id wal.ID, f *wal.Found, lossy bool) {
	require.NoError(t, f.Damage, "%v", id)
	from := m.acked
	if lossy {
		from = 0
	}
	fits, chosen := -1, -1
	for n := from; n <= len(m.ops) && fits < 0; n++ {
		entries, hard := m.entriesAfter(n)
		entries = slices.DeleteFunc(entries, func(e op) bool { return e.index <= f.StateIndex })
		era := m.era(n)
		if chosen = m.chosen(f, era, lossy); chosen < 0 && !m.none(f, era, lossy) {
			continue
		}
		if hard == f.Hard && slices.EqualFunc(entries, f.Entries, func(o op, e wal.Entry) bool {
			return o.index == e.Index && o.term == e.Term && bytes.Equal(o.payload, e.Payload)
		}) {
			fits = n
		}
	}
	if fits < 0 {
		entries, hard := m.entriesAfter(len(m.ops))
		t.Errorf("%v: %d entries behind %d (hard %v) are not what %d to %d of %d ops give (%d entries, hard %v)", id, len(f.Entries), f.StateIndex, f.Hard,
			from, len(m.ops), len(m.ops), len(entries), hard)
		for i, e := range f.Entries {
			t.Errorf("found %d: %d@%d %.20q", i, e.Index, e.Term, e.Payload)
		}
		for i, e := range entries {
			t.Errorf("model %d: %d@%d %.20q", i, e.index, e.term, e.payload)
		}
		t.FailNow()
	}
	m.ops = m.ops[:fits]
	m.acked = fits
	if chosen >= 0 {
		m.snaps = []snap{{f.StateIndex, f.State, true, m.snaps[chosen].era}}
	} else {
		m.snaps = nil
	}
	m.last = f.StateIndex + uint64(len(f.Entries))
	m.flushed = m.last
}

// member is a group in use.
type member struct {
	w      *world
	id     wal.ID
	m      *model
	g      *wal.Group
	strand clock.Strand
	fenced error
	tails  int
	saving bool
	resets int // under way
	reads  int // not answered
	got    int // entries read

	repaired bool
	found    *wal.Found // of a replica
}

// Flushed implements wal.Owner.
func (p *member) Flushed(index uint64) {
	require.Greater(p.w.t, index, uint64(0))
	require.LessOrEqual(p.w.t, index, p.m.last)
	p.m.flushed = max(p.m.flushed, index)
	// Everything up to the op that appended this index last.
	for i := len(p.m.ops) - 1; i >= 0; i-- {
		if o := p.m.ops[i]; o.kind == 'a' && o.index == index {
			p.m.acked = max(p.m.acked, i+1)
			break
		}
	}
}

// Fenced implements wal.Owner.
func (p *member) Fenced(err error) {
	require.NoError(p.w.t, p.fenced, "it is told once")
	p.fenced = err
}

// Tail implements wal.Owner.
func (p *member) Tail() { p.tails++ }

// append adds entries and submits them; it runs on the member's strand.
func (p *member) append(class wal.Class, payloads ...[]byte) {
	if p.resets > 0 {
		return
	}
	for _, b := range payloads {
		index, err := p.g.Append(max(p.m.term, 1), 0, b, class)
		if err != nil {
			return
		}
		p.m.last++
		require.Equal(p.w.t, p.m.last, index)
		p.m.ops = append(p.m.ops, op{kind: 'a', index: index, term: max(p.m.term, 1), payload: b})
	}
	p.g.Submit()
}

func (p *member) ackOp(n int) func(error) {
	return func(err error) {
		if err == nil {
			p.m.acked = max(p.m.acked, n)
		}
	}
}

// refused tells whether the log takes nothing now.
func (p *member) refused() bool { return p.fenced != nil || p.w.log.Metrics().Full }

func (p *member) truncate(from uint64) {
	if p.refused() || p.resets > 0 || from > p.m.last || from < p.g.First() || p.saving && from <= p.m.snaps[len(p.m.snaps)-1].index {
		return
	}
	p.m.ops = append(p.m.ops, op{kind: 't', index: from})
	p.m.last = from - 1
	p.m.term++
	p.g.TruncateSuffix(from, p.ackOp(len(p.m.ops)))
}

func (p *member) hard(h wal.HardState) {
	if p.refused() {
		return
	}
	p.m.ops = append(p.m.ops, op{kind: 'h', hard: h})
	p.g.SetHardState(h, p.ackOp(len(p.m.ops)))
}

func (p *member) checkpoint(index uint64, state []byte) {
	if p.saving || p.resets > 0 || p.refused() || index < p.g.First()-1 || index > p.m.flushed {
		return
	}
	p.saving = true
	p.m.snaps = append(p.m.snaps, snap{index: index, state: state, era: p.m.era(len(p.m.ops))})
	n := len(p.m.snaps) - 1
	p.g.Checkpoint(index, state, func(err error) {
		p.saving = false
		if err == nil {
			p.m.snaps[n].acked = true
		}
	})
}

// reset replaces everything by a state; it runs on the member's strand.
func (p *member) reset(index uint64, state []byte) {
	if p.refused() || p.resets > 0 {
		return
	}
	p.m.ops = append(p.m.ops, op{kind: 'r', index: index})
	n := len(p.m.ops)
	p.m.snaps = append(p.m.snaps, snap{index: index, state: state, era: p.m.era(n)})
	s := len(p.m.snaps) - 1
	p.resets++
	p.m.term++
	p.g.Reset(index, p.m.term, state, func(err error) {
		p.resets--
		if err != nil {
			return
		}
		p.ackOp(n)(nil)
		p.m.snaps[s].acked = true
		p.m.last, p.m.flushed = index, index
		require.Equal(p.w.t, index, p.g.Last())
		require.Equal(p.w.t, index+1, p.g.First())
		require.Equal(p.w.t, p.m.term, p.g.Term(index))
	})
}

// repair writes entries once more; it runs on the member's strand.
func (p *member) repair(from uint64, n int) {
	if p.refused() || p.resets > 0 || p.g.Last() != p.m.last {
		return
	}
	var again []wal.Entry
	have, _ := p.m.entriesAfter(len(p.m.ops))
	for _, o := range have {
		if o.index >= max(from, p.g.First()) && len(again) < n {
			again = append(again, wal.Entry{Index: o.index, Term: o.term, Payload: o.payload})
		}
	}
	p.g.Repair(again, func(err error) { p.repaired = p.repaired || err == nil && len(again) > 0 })
}

// read asks for entries and compares what it gets; it runs on the member's strand.
func (p *member) read(lo, hi uint64, bytesMax int) {
	if p.fenced != nil || p.resets > 0 || lo >= hi || lo == 0 || hi > p.m.last+1 {
		return
	}
	want, _ := p.m.entriesAfter(len(p.m.ops))
	cut := len(p.m.ops)
	first := p.g.First()
	p.reads++
	p.g.Read(lo, hi, bytesMax, func(entries []wal.Entry, err error) {
		p.reads--
		limit := hi
		for _, o := range p.m.ops[min(cut, len(p.m.ops)):] {
			if o.kind == 't' {
				limit = min(limit, o.index)
			}
			if o.kind == 'r' {
				limit = 0
			}
		}
		if err != nil {
			asked := p.g.First() // what is before may be gone
			for _, s := range p.m.snaps {
				asked = max(asked, s.index+1)
			}
			gone := errors.Is(err, wal.ErrGone) && (lo < asked || limit <= lo)
			require.True(p.w.t, gone || errors.Is(err, wal.ErrFenced) || errors.Is(err, wal.ErrClosed), "%v: read %d to %d of %d to %d: %v", p.id, lo, hi, first, p.m.last, err)
			return
		}
		require.NotEmpty(p.w.t, entries)
		size := 0
		for i, e := range entries {
			require.Equal(p.w.t, lo+uint64(i), e.Index)
			require.Less(p.w.t, e.Index, limit)
			at := slices.IndexFunc(want, func(o op) bool { return o.index == e.Index })
			require.GreaterOrEqual(p.w.t, at, 0)
			require.Equal(p.w.t, want[at].term, e.Term)
			require.Equal(p.w.t, want[at].payload, e.Payload)
			size += len(e.Payload)
			require.True(p.w.t, i == 0 || size <= bytesMax)
		}
		p.got += len(entries)
	})
}

func (p *member) keepFrom(index uint64) {
	p.m.keep = index
	p.g.Keep(index)
}

func (p *member) drop() {
	p.m.dropped = max(p.m.dropped, 1)
	p.g.Drop(func(err error) {
		if err == nil {
			p.m.dropped = 2
		}
	})
}

// world is a process with a log on a simulated disk.
type world struct {
	t       require.TestingT
	sim     *clock.Sim
	machine *clock.SimClock
	disk    *storage.SimDisk
	fs      storage.FS
	strand  clock.Strand
	cfg     wal.Config
	log     *wal.Log
	report  *wal.Report
	models  map[wal.ID]*model
	members map[wal.ID]*member
	lossy   bool // of the last end
}

func newWorld(t require.TestingT, seed uint64) *world {
	w := &world{
		t: t, sim: clock.NewSim(seed), models: map[wal.ID]*model{},
		cfg: wal.Config{Dir: "log", Identity: "server n1", SegmentBytes: 2 << 10, LogBytesMax: 8 << 10},
	}
	w.disk = storage.NewSimDisk(w.sim, "n1")
	w.start()
	return w
}

// start gives the disk a new process.
func (w *world) start() {
	w.machine = w.sim.Clock("n1")
	w.fs, w.strand = w.disk.Mount(), w.machine.NewStrand("log")
	w.log, w.members = nil, map[wal.ID]*member{}
}

// end ends the process.
func (w *world) end(power bool) {
	w.machine.Kill()
	w.disk.Hook = nil
	if !w.disk.Mounted() {
		return
	}
	if power {
		w.disk.PowerLoss()
	} else {
		w.disk.Crash()
	}
}

// until runs the world until cond holds; false when a crash or a standstill came first.
func (w *world) until(cond func() bool) bool {
	for n := 0; !cond(); n++ {
		require.Less(w.t, n, 1_000_000, "it comes to no end")
		if w.machine.Dead() || !w.sim.Step() {
			return cond()
		}
	}
	return true
}

// settle runs until nothing is left to do or a crash has come.
func (w *world) settle() { w.until(func() bool { return false }) }

// open recovers the log. It is false when a crash came first.
func (w *world) open() (opened bool, err error) {
	w.strand.Post(func() {
		wal.Open(w.fs, w.strand, w.cfg, func(l *wal.Log, r *wal.Report, e error) {
			w.log, w.report, err, opened = l, r, e, true
		})
	})
	w.until(func() bool { return opened })
	return opened, err
}

// ids lists the groups of the models in order.
func (w *world) ids() []wal.ID {
	var ids []wal.ID
	for id := range w.models {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b wal.ID) int { return int(a.Group) - int(b.Group) })
	return ids
}

// verify attaches every group and compares it with its model.
func (w *world) verify() {
	known := map[wal.ID]bool{}
	for _, id := range w.log.Unattached() {
		known[id] = true
		require.NotNil(w.t, w.models[id], "%v was never there", id)
	}
	for _, id := range w.ids() {
		m := w.models[id]
		if m.dropped == 2 && !w.lossy {
			require.False(w.t, known[id], "%v was dropped", id)
		}
		if m.dropped > 0 && !known[id] {
			delete(w.models, id)
			continue
		}
		p := w.attach(id)
		_ = p
	}
}

// attach starts the use of a group.
func (w *world) attach(id wal.ID) *member {
	m := w.models[id]
	if m == nil {
		m = &model{}
		w.models[id] = m
	}
	p := &member{w: w, id: id, m: m, strand: w.machine.NewStrand(fmt.Sprint("group", id.Group))}
	g, f, err := w.log.Attach(id, p.strand, nil, p)
	if errors.Is(err, wal.ErrFenced) { // whatever comes now goes nowhere
		delete(w.models, id)
		return nil
	}
	require.NoError(w.t, err)
	m.check(w.t, id, f, w.lossy)
	require.Equal(w.t, m.last, g.Last())
	if m.dropped > 0 {
		m.dropped = 1
	}
	m.term = max(m.term, g.LastTerm())
	p.g = g
	w.members[id] = p
	return p
}

// reopen starts a process where none is, and recovers without a crash.
func (w *world) reopen() {
	w.disk.Hook = nil
	if w.disk.Mounted() {
		w.end(false)
	}
	w.start()
	opened, err := w.open()
	require.NoError(w.t, err)
	require.True(w.t, opened)
	require.Empty(w.t, w.report.Damage)
	require.Empty(w.t, w.report.Foreign)
	w.verify()
	w.lossy = false
}

// do runs task on a member's strand.
func (p *member) do(task func()) { p.strand.Post(task) }

func body(i int) []byte { return bytes.Repeat([]byte{byte('a' + i%26)}, 1+i*37%300) }

func gid(n int) wal.ID { return wal.ID{Group: uint64(n), Incarnation: 7} }
