package core

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// lean is a group without judge, disk or machine: what it costs is the core's.
type lean struct {
	cores []*Core
	queue [][]Message
	now   time.Duration
	steps int
}

func newLean(count int, hosted bool) *lean {
	l := &lean{queue: make([][]Message, count)}
	var ids []MemberID
	for i := range count {
		ids = append(ids, MemberID(i+1))
	}
	for _, id := range ids {
		o := DefaultOptions(id, rand.New(rand.NewPCG(uint64(id), 1)))
		o.HostHeartbeats = hosted
		c, err := Bootstrap(o, ids, 1, 0)
		if err != nil {
			panic(err)
		}
		l.cores = append(l.cores, c)
	}
	for range 10 {
		l.turn()
	}
	return l
}

// turn lets each member take what came, and carry out what it wants.
func (l *lean) turn() {
	for i, c := range l.cores {
		in := l.queue[i]
		l.queue[i] = nil
		for k := range in {
			c.Step(&in[k])
		}
		l.steps += len(in)
		l.queue[i] = in[:0]
		l.carryOut(c)
	}
}

func (l *lean) carryOut(c *Core) {
	for c.HasReady() {
		r := c.Ready()
		for k := range r.Messages {
			m := &r.Messages[k]
			l.queue[m.To-1] = append(l.queue[m.To-1], *m)
		}
		if n := len(r.Committed); n > 0 {
			c.Applied(r.Committed[n-1].Index)
		}
		if r.Mark > 0 {
			c.Persisted(r.Mark)
		}
	}
}

// write takes entries through proposal, replication, commit and application on all members.
func (l *lean) write(payload []byte, count int) {
	for range count {
		if _, err := l.cores[0].Propose(0, payload); err != nil {
			panic(err)
		}
	}
	l.carryOut(l.cores[0])
	l.turn() // the followers append and acknowledge
	l.turn() // the leader commits
	for _, c := range l.cores {
		if c.Last() > c.First()+4096 {
			c.SnapshotTaken(c.Last() - 1024)
		}
	}
}

// BenchmarkWrite takes entries of 128 bytes through a group in memory.
func BenchmarkWrite(b *testing.B) {
	for _, members := range []int{1, 3, 5} {
		for _, batch := range []int{1, 64} {
			b.Run(fmt.Sprintf("members=%d/batch=%d", members, batch), func(b *testing.B) {
				l := newLean(members, false)
				payload := make([]byte, 128)
				b.ReportAllocs()
				entries := 0
				for b.Loop() {
					l.write(payload, batch)
					entries += batch
				}
				require.Equal(b, l.cores[0].Last(), l.cores[0].Commit())
				b.ReportMetric(float64(entries)/b.Elapsed().Seconds(), "entries/s")
				b.ReportMetric(float64(l.steps)/b.Elapsed().Seconds(), "steps/s")
			})
		}
	}
}

// BenchmarkRead confirms batches of reads.
func BenchmarkRead(b *testing.B) {
	for _, batch := range []int{1, 64} {
		b.Run(fmt.Sprintf("batch=%d", batch), func(b *testing.B) {
			l := newLean(3, false)
			b.ReportAllocs()
			for b.Loop() {
				for i := range batch {
					if err := l.cores[0].ReadIndex(uint64(i)); err != nil {
						b.Fatal(err)
					}
				}
				l.carryOut(l.cores[0])
				l.turn()
				l.turn()
			}
		})
	}
}

// BenchmarkSimulation runs whole seeds: faults, judge and all.
func BenchmarkSimulation(b *testing.B) {
	steps, seed := 0, uint64(1)
	for b.Loop() {
		c, broken := runChaos(seed, 3000)
		require.Empty(b, broken)
		steps += c.steps + 3000
		seed++
	}
	b.ReportMetric(float64(steps)/b.Elapsed().Seconds(), "steps/s")
}

// BenchmarkDeadline asks groups at rest and in motion when they need time.
func BenchmarkDeadline(b *testing.B) {
	l := newLean(3, false)
	for b.Loop() {
		l.cores[0].Deadline()
		l.cores[1].Deadline()
	}
}

// TestWriteAllocatesNothing pins the steady path: append, acknowledge, commit, apply, on all members.
func TestWriteAllocatesNothing(t *testing.T) {
	for _, members := range []int{1, 3, 5} {
		l := newLean(members, false)
		payload := make([]byte, 128)
		write := func() { l.write(payload, 16) }
		for range 600 { // buffers reach their size
			write()
		}
		before := l.cores[members-1].Last()
		require.Zero(t, testing.AllocsPerRun(500, write), "members %d", members)
		require.Greater(t, l.cores[members-1].Last(), before+16*500-16)
	}
}

// TestReadAllocatesNothing pins the path of a linearizable read.
func TestReadAllocatesNothing(t *testing.T) {
	l := newLean(3, false)
	read := func() {
		for i := range 16 {
			if err := l.cores[0].ReadIndex(uint64(i)); err != nil {
				t.Fatal(err)
			}
		}
		l.carryOut(l.cores[0])
		l.turn()
		l.turn()
	}
	for range 100 {
		read()
	}
	require.Zero(t, testing.AllocsPerRun(500, read))
}

// TestHeartbeatsAllocateNothing pins what an idle group costs that does not sleep.
func TestHeartbeatsAllocateNothing(t *testing.T) {
	l := newLean(3, false)
	beat := func() {
		l.now += 50 * time.Millisecond
		for _, c := range l.cores {
			c.Advance(l.now)
			l.carryOut(c)
		}
		l.turn()
		l.turn()
	}
	for range 100 {
		beat()
	}
	require.Zero(t, testing.AllocsPerRun(500, beat))
	require.Equal(t, Leader, l.cores[0].Role())
	require.EqualValues(t, 1, l.cores[0].Hard().Term)
}

// BenchmarkIdleMember tells what a member of a sleeping group takes in memory, and nothing else: it
// has no deadline.
func BenchmarkIdleMember(b *testing.B) {
	const groups = 500
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		list := make([]*lean, groups)
		for i := range list {
			list[i] = newLean(3, true)
			list[i].write([]byte("x"), 1)
			list[i].turn()
			if !list[i].cores[0].Sleep() {
				b.Fatal("awake")
			}
			list[i].carryOut(list[i].cores[0])
			list[i].turn()
			list[i].queue = nil
		}
		runtime.GC()
		runtime.ReadMemStats(&after)
		for _, l := range list {
			if _, due := l.cores[2].Deadline(); due || !l.cores[2].State().Asleep {
				b.Fatal("awake")
			}
		}
	}
	b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(3*groups), "B/member")
}
