package raft_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// tally is a machine that counts, and proposes as much as it may have under way.
type tally struct {
	group   *raft.Group
	strand  clock.Strand
	payload []byte
	class   raft.Class
	left    int // to propose
	flying  int
	window  int
	applied uint64
	sum     uint64
	ended   chan struct{}
	failed  error
}

func (m *tally) Restore(state []byte, done func(error)) { m.strand.Post(func() { done(nil) }) }
func (m *tally) Apply(e *raft.Entry) bool {
	m.applied = e.Index
	m.sum += uint64(e.Payload[0])
	if !e.Replay {
		m.flying--
	}
	return true
}
func (m *tally) Applied(bool) {
	m.push()
	if m.left == 0 && m.flying == 0 {
		m.left = -1
		close(m.ended)
	}
}
func (m *tally) Checkpoint(done func([]byte, error)) {
	m.strand.Post(func() { done([]byte("s"), nil) })
}
func (m *tally) Checkpointed([]byte) {}
func (m *tally) Failed(err error)    { m.failed = err; close(m.ended) }

func (m *tally) push() {
	for m.left > 0 && m.flying < m.window {
		if err := m.group.Propose(m.payload, nil, m.class); err != nil {
			m.group.WhenRoom(m.push)
			return
		}
		m.left--
		m.flying++
	}
}

// newRealHost makes a host on the real clock and disk.
func newRealHost(t testing.TB, c clock.Clock, fs storage.FS, w wal.Config) (*raft.Host, *wal.Log) {
	logs := make(chan *wal.Log, 1)
	wal.Open(fs, c.NewStrand("log"), w, func(l *wal.Log, _ *wal.Report, err error) {
		if err != nil {
			t.Error(err)
		}
		logs <- l
	})
	log := <-logs
	require.NotNil(t, log)
	return raft.NewHost(log, raft.Config{}), log
}

// open opens the machine's group on its strand.
func (m *tally) open(t testing.TB, h *raft.Host, o raft.Options) {
	opened := make(chan error, 1)
	o.Strand, o.Machine = m.strand, m
	m.strand.Post(func() {
		var err error
		m.group, err = h.Open(o)
		opened <- err
	})
	require.NoError(t, <-opened)
}

// BenchmarkPropose takes entries of 128 bytes through proposal, log and machine, 1000 of a group under
// way at one time.
func BenchmarkPropose(b *testing.B) {
	for _, class := range []string{"prompt", "unflushed", "memory"} {
		for _, groups := range []int{1, 16} {
			b.Run(fmt.Sprintf("class=%s/groups=%d", class, groups), func(b *testing.B) {
				fs, err := storage.OpenReal(b.TempDir())
				require.NoError(b, err)
				c := clock.NewReal()
				h, log := newRealHost(b, c, fs, wal.Config{Dir: "log", Identity: "bench"})
				var all []*tally
				for i := range groups {
					m := &tally{strand: c.NewStrand("group"), payload: make([]byte, 128), left: max(1, b.N/groups), window: 1000, ended: make(chan struct{})}
					if class == "unflushed" {
						m.class = raft.Unflushed
					}
					all = append(all, m)
					m.open(b, h, raft.Options{ID: gid(uint64(i + 1)), Memory: class == "memory"})
				}
				b.ReportAllocs()
				for _, m := range all {
					<-m.ended
				}
				b.StopTimer()
				b.ReportMetric(float64(h.Metrics().Entries)/b.Elapsed().Seconds(), "entries/s")
				b.ReportMetric(float64(h.Metrics().Entries)/float64(max(1, h.Metrics().Log.Batches)), "entries/batch")
				closed := make(chan error, 1)
				log.Close(func(err error) { closed <- err })
				require.NoError(b, <-closed)
				require.NoError(b, fs.Close())
			})
		}
	}
}

// TestHostOnTheRealDisk runs groups of both kinds in parallel on the real clock, and finds them again.
func TestHostOnTheRealDisk(t *testing.T) {
	fs, err := storage.OpenReal(t.TempDir())
	require.NoError(t, err)
	c := clock.NewReal()
	const groups, entries = 6, 300
	for round := range 3 {
		h, log := newRealHost(t, c, fs, wal.Config{Dir: "log", Identity: "real", SegmentBytes: 16 << 10})
		var all []*tally
		for i := range groups {
			m := &tally{
				strand: c.NewStrand("group"), payload: make([]byte, 64), class: raft.Class(i % 3),
				left: entries, window: 20, ended: make(chan struct{}),
			}
			m.open(t, h, raft.Options{ID: gid(uint64(i + 1)), Memory: i == 5})
			all = append(all, m)
		}
		require.Empty(t, h.Unopened())
		for i, m := range all {
			<-m.ended
			stopped := make(chan struct{})
			m.strand.Post(func() { m.group.Stop(func() { close(stopped) }) })
			<-stopped
			require.NoError(t, m.failed)
			want := uint64(entries * (round + 1))
			if i == 5 {
				want = entries
			}
			require.Equal(t, want, m.applied)
		}
		closed := make(chan error, 1)
		log.Close(func(err error) { closed <- err })
		require.NoError(t, <-closed)
	}
	require.NoError(t, fs.Close())
}

// TestProposeAllocatesNothing pins the path of an entry into a memory group's machine.
func TestProposeAllocatesNothing(t *testing.T) {
	w := newWorld(t, 1)
	w.start()
	m := &tally{strand: w.machine.NewStrand("group"), payload: make([]byte, 128), ended: make(chan struct{})}
	var err error
	m.group, err = w.host.Open(raft.Options{ID: gid(1), Strand: m.strand, Machine: m, Memory: true})
	require.NoError(t, err)
	m.left = -1
	w.settle()
	propose := func() {
		for range 100 {
			if e := m.group.Propose(m.payload, nil, raft.Prompt); e != nil {
				err = e
			}
		}
	}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		m.strand.Post(propose)
		for w.sim.Step() {
		}
	}))
	require.NoError(t, err)
	require.Zero(t, m.group.Unapplied())
}
