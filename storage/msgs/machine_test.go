package msgs

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/clock"
)

// rig is a store beside its model.
type rig struct {
	world
	store   Store
	model   *model
	removed []removal
	now     int64
	filters []*Filter
	alike   bool // nearly all messages have the same subject
}

// world runs what is posted on strands.
type world struct {
	sim    *clock.Sim
	strand clock.Strand
}

func newWorld(seed uint64) world {
	sim := clock.NewSim(seed)
	return world{sim, sim.Clock("server").NewStrand("stream")}
}

// settle runs until nothing is left to run.
func (w world) settle() {
	for w.sim.Step() {
	}
}

var patternSets = [][]string{
	nil, {">"}, {"a"}, {"a.b"}, {"a.*"}, {"a.>"}, {"*.b"}, {"b.>", "a.b"}, {"*"}, {"a.b", "a.c"}, {"c.*.x"}, {"not here"}, {"*.*"},
}

func newRig(st Store, w world, file bool) *rig {
	r := &rig{world: w, store: st, model: &model{file: file}, now: 1000}
	if n := w.sim.Seed() % 4; n > 0 { // rare ways become common
		st.(*store).tune(tuning{narrow: int(n-1) * 2, near: int(n-1) * 3, ask: int(n - 1), births: int(n) * 2, pages: 1})
	}
	r.alike = w.sim.Seed() >= 4
	for _, p := range patternSets {
		r.filters = append(r.filters, NewFilter(p...))
	}
	r.listen()
	return r
}

func (r *rig) listen() {
	r.store.OnRemove(func(seq uint64, subject string, size int, why Why, last bool) {
		r.removed = append(r.removed, removal{seq, string([]byte(subject)), size, why, last})
	})
}

// told compares what both told of removals.
func (r *rig) told(t require.TestingT) {
	require.Equal(t, r.model.removed, r.removed)
	r.model.removed, r.removed = nil, nil
}

var drawSubject = rapid.SampledFrom([]string{"a", "b", "a.b", "a.c", "a.d", "b.b", "c.d.x", "c.e.x", "c.e", "a.b.c"})

func (r *rig) drawMsg(t *rapid.T) modelMsg {
	x := modelMsg{}
	if x.Subject = "a.b"; !r.alike || rapid.IntRange(0, 30).Draw(t, "other?") == 0 {
		x.Subject = drawSubject.Draw(t, "subject")
	}
	if rapid.IntRange(0, 2).Draw(t, "header?") == 0 {
		x.Header = []byte("NATS/1.0\r\nX: " + rapid.StringN(0, 5, 20).Draw(t, "header") + "\r\n\r\n")
	}
	x.Data = rapid.SliceOfN(rapid.Byte(), 0, 60).Draw(t, "data")
	switch rapid.IntRange(0, 7).Draw(t, "ttl?") {
	case 0:
		x.ttl.Deadline = r.now + rapid.Int64Range(1, 300).Draw(t, "ttl")
	case 1:
		x.ttl.Never = true
	}
	if x.Time = r.now; rapid.IntRange(0, 9).Draw(t, "back?") == 0 {
		x.Time -= 50
	}
	gaps := 12
	if r.alike {
		gaps = 60
	}
	switch rapid.IntRange(0, gaps).Draw(t, "gap?") {
	case 0:
		x.Seq = r.model.last + rapid.Uint64Range(2, 6).Draw(t, "gap")
	case 1:
		x.Seq = r.model.last + rapid.Uint64Range(7, 500).Draw(t, "wide gap")
	case 2:
		if rapid.IntRange(0, 9).Draw(t, "huge?") == 0 {
			x.Seq = r.model.last + rapid.Uint64Range(1<<24-3, 1<<33).Draw(t, "huge gap")
		}
	}
	return x
}

func (r *rig) drawFilter(t *rapid.T) *Filter {
	i := rapid.IntRange(-1, len(r.filters)-1).Draw(t, "filter")
	if i < 0 {
		return nil
	}
	return r.filters[i]
}

// drawSeq draws a sequence near those that exist.
func (r *rig) drawSeq(t *rapid.T) uint64 {
	if n := len(r.model.list); n > 0 && rapid.Bool().Draw(t, "existing?") {
		return r.model.list[rapid.IntRange(0, n-1).Draw(t, "which")].Seq
	}
	return rapid.Uint64Range(0, r.model.last+3).Draw(t, "seq")
}

// actions change store and model alike.
func (r *rig) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"append": func(t *rapid.T) { r.append(t, 1) },
		"appends": func(t *rapid.T) {
			r.append(t, rapid.IntRange(2, 40).Draw(t, "n"))
		},
		"skip": func(t *rapid.T) {
			seq := r.model.last + rapid.Uint64Range(0, 20).Draw(t, "skip")
			r.store.Skip(seq, r.now)
			r.model.skip(seq, r.now)
		},
		"remove": func(t *rapid.T) {
			seq := r.drawSeq(t)
			require.Equal(t, r.model.remove(seq, ByDelete, false), r.store.Remove(seq, rapid.Bool().Draw(t, "erase"), ByDelete))
		},
		"remove many": func(t *rapid.T) {
			step := rapid.IntRange(1, 3).Draw(t, "step")
			for i, x := range slices.Clone(r.model.list) {
				if i%step == 0 && rapid.IntRange(0, 3).Draw(t, "spare?") > 0 {
					require.True(t, r.model.remove(x.Seq, ByAck, false))
					require.True(t, r.store.Remove(x.Seq, false, ByAck))
				}
			}
		},
		"purge": func(t *rapid.T) {
			f, before, keep := r.drawFilter(t), uint64(0), uint64(0)
			if rapid.Bool().Draw(t, "before?") {
				before = r.drawSeq(t)
			}
			if rapid.Bool().Draw(t, "keep?") {
				keep = rapid.Uint64Range(0, 10).Draw(t, "keep")
			}
			r.purge(t, f, before, keep)
		},
		"limits": func(t *rapid.T) {
			var l Limits
			limit := func(name string, most int64) int64 {
				if rapid.IntRange(0, 3).Draw(t, name+"?") > 0 {
					return rapid.SampledFrom([]int64{0, -1}).Draw(t, "no "+name)
				}
				return rapid.Int64Range(1, most).Draw(t, name)
			}
			l.Msgs, l.Bytes, l.PerSubject, l.Age = limit("msgs", 60), limit("bytes", 4000), limit("per subject", 6), limit("age", 500)
			l.DiscardNew = rapid.Bool().Draw(t, "discard new")
			l.DiscardNewPerSubject = rapid.Bool().Draw(t, "per subject")
			r.lower(t, l)
		},
		"no limits": func(*rapid.T) {
			r.store.SetLimits(Limits{})
			r.model.limits = Limits{}
		},
		"time": func(t *rapid.T) {
			r.now += rapid.Int64Range(1, 200).Draw(t, "time")
			r.expire(t)
		},
	}
}

// purge does it whole or in steps, and told message by message or of all at once, which must come to the same.
func (r *rig) purge(t *rapid.T, f *Filter, before, keep uint64) {
	cleared, old := false, r.model.clone()
	if rapid.Bool().Draw(t, "clear?") {
		r.store.OnClear(func(first, last, msgs uint64) {
			cleared = true
			require.Equal(t, old.state().First, first)
			require.Equal(t, old.last, last)
			require.Equal(t, uint64(len(old.list)), msgs)
		})
	}
	want := r.model.purge(f, before, keep)
	if most := rapid.IntRange(0, 5).Draw(t, "at once"); most == 0 {
		require.Equal(t, want, r.store.Purge(f, before, keep))
	} else {
		p := &Purging{Filter: f, Before: before, Keep: keep}
		for told := 0; r.store.PurgeStep(p, most); {
			require.LessOrEqual(t, len(r.removed)-told, most, "a step is bounded")
			told = len(r.removed)
		}
		require.Equal(t, want, p.Removed)
	}
	r.store.OnClear(nil)
	if cleared {
		require.Empty(t, r.model.list)
		require.Empty(t, r.removed)
		r.model.removed = nil
	}
	r.told(t)
}

// lower puts limits in force, whole or in steps.
func (r *rig) lower(t *rapid.T, l Limits) {
	r.model.lower(l)
	if most := rapid.IntRange(0, 5).Draw(t, "at once"); most == 0 {
		r.store.SetLimits(l)
	} else {
		w := &Limiting{Limits: l}
		for told := 0; r.store.LimitStep(w, most); {
			require.LessOrEqual(t, len(r.removed)-told, most, "a step is bounded")
			told = len(r.removed)
		}
	}
	r.told(t)
}

func (r *rig) append(t *rapid.T, n int) {
	for range n {
		r.now += rapid.Int64Range(0, 5).Draw(t, "dt")
		x := r.drawMsg(t)
		replaces := rapid.Bool().Draw(t, "replaces")
		require.Equal(t, r.model.admit(x, replaces), r.store.Admit([]byte(x.Subject), len(x.Header), len(x.Data), replaces))
		seq, err := r.store.Append(x.Seq, x.Time, []byte(x.Subject), x.Header, x.Data, x.ttl)
		require.Equal(t, r.model.append(x), err)
		if err == nil {
			require.Equal(t, r.model.last, seq)
		}
		r.told(t)
	}
}

// expire does it in small pieces, which must give the same as all at once.
func (r *rig) expire(t *rapid.T) {
	size := rapid.IntRange(0, 3).Draw(t, "at once")
	require.Equal(t, r.model.nextExpiry(), r.store.NextExpiry())
	r.model.expire(r.now)
	for n := 0; r.store.Expire(r.now, size); n++ {
		require.NotZero(t, size)
		require.Less(t, n, 10000)
	}
	bySeq := func(a, b removal) int { return int(int64(a.seq - b.seq)) }
	if size > 0 { // pieces are in order each, and only the last removal of a subject is its last
		slices.SortFunc(r.removed, bySeq)
		for i := range r.removed {
			r.removed[i].lastOfSubject = false
		}
		for i := range r.model.removed {
			r.model.removed[i].lastOfSubject = false
		}
	}
	r.told(t)
	require.Equal(t, r.model.nextExpiry(), r.store.NextExpiry())
}

// check asks everything.
func (r *rig) check(t *rapid.T) {
	st := r.store.State()
	st.LostMsgs, st.LostBytes = nil, 0
	require.Equal(t, r.model.state(), st)
	require.Equal(t, r.model.nextExpiry(), r.store.NextExpiry())
	seq := r.drawSeq(t)
	r.checkSeq(t, seq)
	r.checkSubjects(t)
	f := r.drawFilter(t)
	r.checkFilter(t, f, seq)
	r.checkGaps(t)
	at := r.now - rapid.Int64Range(-1, 400).Draw(t, "at")
	want := r.model.last + 1
	for _, x := range r.model.list {
		if x.Time >= at {
			want = x.Seq
			break
		}
	}
	require.Equal(t, want, r.store.FirstAtOrAfter(at))
}

func (r *rig) checkSeq(t require.TestingT, seq uint64) {
	x, ok := r.model.find(seq)
	require.Equal(t, ok, r.store.Has(seq), "has %d", seq)
	text, ok1 := r.store.SubjectOf(seq)
	at, ok2 := r.store.TimeOf(seq)
	size, ok3 := r.store.SizeOf(seq)
	require.Equal(t, []bool{ok, ok, ok}, []bool{ok1, ok2, ok3})
	got, found := r.store.Load(seq)
	if !ok {
		require.Equal(t, None, found)
		return
	}
	require.Equal(t, x.Subject, text)
	require.Equal(t, x.Time, at)
	require.Equal(t, r.model.size(x), size)
	if found == Cached {
		r.same(t, x, got)
		return
	}
	require.Equal(t, Cold, found)
}

func (r *rig) same(t require.TestingT, want modelMsg, got Msg) {
	if len(want.Data) == 0 {
		want.Data = got.Data[:0]
	}
	require.Equal(t, want.Msg, got)
}

// checkAll fetches every message.
func (r *rig) checkAll(t require.TestingT) {
	for _, x := range r.model.list {
		called := 0
		r.store.Fetch(x.Seq, func(m Msg, err error) {
			called++
			require.NoError(t, err, "sequence %d", x.Seq)
			r.same(t, x, m)
		})
		require.Zero(t, called)
		r.settle()
		require.Equal(t, 1, called)
	}
}

func (r *rig) checkSubjects(t require.TestingT) {
	subj := []string{"a", "b", "a.b", "c.e.x", "z"}
	for _, s := range subj {
		var want SubjectState
		if list := r.model.of(s); len(list) > 0 {
			want = SubjectState{uint64(len(list)), list[0].Seq, list[len(list)-1].Seq}
		}
		require.Equal(t, want, r.store.Subject([]byte(s)))
	}
}

func (r *rig) checkFilter(t *rapid.T, f *Filter, from uint64) {
	about := fmt.Sprintf("filter %v from %d", f, from)
	if f != nil {
		about = fmt.Sprintf("filter %v from %d", f.Patterns, from)
	}
	up, down := r.model.matching(f, from, math.MaxUint64), r.model.matching(f, 0, from)
	var next, prev uint64
	if len(up) > 0 {
		next = up[0].Seq
	}
	if len(down) > 0 {
		prev = down[len(down)-1].Seq
	}
	seq, ok := r.store.Next(f, from)
	require.Equal(t, next, seq, "next, %s", about)
	require.Equal(t, len(up) > 0, ok)
	seq, ok = r.store.Prev(f, from)
	require.Equal(t, prev, seq, "prev, %s", about)
	require.Equal(t, len(down) > 0, ok)
	require.Equal(t, uint64(len(up)), r.store.Count(f, from, false), "count, %s", about)
	var newest uint64
	for _, seq := range r.model.newest(f, math.MaxUint64) {
		if seq >= from {
			newest++
		}
	}
	require.Equal(t, newest, r.store.Count(f, from, true), "count newest, %s", about)
	upTo := from
	if upTo == 0 {
		upTo = math.MaxUint64
	}
	want := r.model.newest(f, upTo)
	seqs, ok := r.store.LastPerSubject(f, from, 0)
	require.True(t, ok)
	require.Equal(t, want, seqs, "last per subject, %s", about)
	if len(want) > 1 {
		_, ok = r.store.LastPerSubject(f, from, len(want)-1)
		require.False(t, ok)
		_, ok = r.store.LastPerSubject(f, from, len(want))
		require.True(t, ok)
	}
	var subj []string
	start := drawSubject.Draw(t, "start")
	r.store.Subjects(f, start, func(s string, st SubjectState) bool {
		require.Equal(t, r.store.Subject([]byte(s)), st)
		subj = append(subj, s)
		return true
	})
	var wantSubj []string
	for _, s := range r.model.subjects() {
		if s >= start && r.model.match(f, modelMsg{Msg: Msg{Subject: s}}) {
			wantSubj = append(wantSubj, s)
		}
	}
	require.Equal(t, wantSubj, subj, "subjects, %s", about)
}

func (r *rig) checkGaps(t require.TestingT) {
	var got, want [][2]uint64
	r.store.DeletedRanges(func(first, last uint64) bool {
		got = append(got, [2]uint64{first, last})
		return true
	})
	st := r.model.state()
	next := st.First
	for _, x := range r.model.list {
		if x.Seq != next {
			want = append(want, [2]uint64{next, x.Seq - 1})
		}
		next = x.Seq + 1
	}
	if next <= r.model.last && len(r.model.list) > 0 {
		want = append(want, [2]uint64{next, r.model.last})
	}
	require.Equal(t, want, got)
}

// memoryAgainstModel is the property that a store in memory answers as the model does.
func memoryAgainstModel(blockBytes int) func(t *rapid.T) {
	return func(t *rapid.T) {
		w := newWorld(rapid.Uint64Range(0, 7).Draw(t, "tuning"))
		r := newRig(NewMemory(w.strand, Options{BlockBytes: blockBytes}), w, false)
		actions := r.actions()
		actions[""] = r.check
		t.Repeat(actions)
		r.checkAll(t)
	}
}

func TestMemoryAgainstModel(t *testing.T) {
	for _, blockBytes := range []int{256, 1024, 0} {
		t.Run(fmt.Sprintf("block=%d", blockBytes), func(t *testing.T) {
			rapid.Check(t, memoryAgainstModel(blockBytes))
		})
	}
}

func FuzzMemoryAgainstModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(memoryAgainstModel(256))) }
