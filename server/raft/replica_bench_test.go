package raft_test

import (
	"flag"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/raft/core"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// wire connects hosts of one process.
type wire struct {
	mu    sync.Mutex
	hosts map[core.MemberID]*raft.Host
}

func (w *wire) host(id core.MemberID) *raft.Host {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hosts[id]
}

// end is a host's end of the wire.
type end struct {
	*wire
	self core.MemberID
}

// Send implements raft.Lane.
func (e end) Send(to core.MemberID, p []byte) bool {
	h := e.host(to)
	if h != nil {
		h.Frame(e.self, p)
	}
	return h != nil
}

// counter is a replicated machine that counts, and proposes as much as it may have under way.
type counter struct {
	group   *raft.Group
	payload []byte
	left    *atomic.Int64 // to be applied, of all groups
	applied atomic.Int64
	flying  int
	window  int
	busy    bool // waits for room
	ended   chan struct{}
	ready   chan struct{} // leads
	leads   bool
	going   bool
}

func (m *counter) Restore(_ []byte, done func(error)) { done(nil) }
func (m *counter) Apply(e *raft.Entry) bool {
	m.applied.Add(1)
	if e.Tag != nil {
		m.flying--
		if m.left.Add(-1) == 0 {
			close(m.ended)
		}
	}
	return true
}
func (m *counter) Applied(bool) { m.push() }
func (m *counter) push() {
	m.busy = false
	for m.going && m.leads && m.flying < m.window && m.left.Load() > 0 {
		if err := m.group.Propose(m.payload, m, raft.Prompt); err != nil {
			m.busy = true
			m.group.WhenRoom(m.push)
			return
		}
		m.flying++
	}
}
func (m *counter) Checkpoint(done func([]byte, error)) { done([]byte("s"), nil) }
func (m *counter) Checkpointed([]byte)                 {}
func (m *counter) Failed(error)                        {}
func (m *counter) Led(core.Term)                       { m.leads = true; close(m.ready) }
func (m *counter) Followed(core.MemberID)              { m.leads = false }
func (m *counter) Unsure(any)                          { m.flying-- }
func (m *counter) Snapshot(done func(raft.Snapshot, error)) {
	done(nil, raft.ErrNoSnapshot)
}
func (m *counter) Install() raft.Installer { return nil }

// newWire makes hosts on the real clock, with logs on the disk or without.
func newWire(b testing.TB, c clock.Clock, disk bool) []*raft.Host {
	w := &wire{hosts: map[core.MemberID]*raft.Host{}}
	var hosts []*raft.Host
	for id := core.MemberID(1); id <= 3; id++ {
		var log *wal.Log
		if disk {
			fs, err := storage.OpenReal(b.TempDir())
			require.NoError(b, err)
			_, log = newRealHost(b, c, fs, wal.Config{Dir: "log", Identity: "bench"})
			b.Cleanup(func() {
				closed := make(chan error, 1)
				log.Close(func(err error) { closed <- err })
				require.NoError(b, <-closed)
				require.NoError(b, fs.Close())
			})
		}
		h := raft.NewHost(log, raft.Config{Self: id, Lane: end{w, id}, Clock: c, Strand: c.NewStrand("lane")})
		hosts = append(hosts, h)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i, h := range hosts {
		w.hosts[core.MemberID(i+1)] = h
	}
	return hosts
}

// BenchmarkReplicate takes entries of 128 bytes through proposal, three logs and three machines in one process, a
// window of a group under way at one time.
func BenchmarkReplicate(b *testing.B) {
	for _, log := range []string{"memory", "disk"} {
		for _, groups := range []int{1, 16} {
			for _, window := range []int{1, 1000} {
				b.Run(fmt.Sprintf("log=%s/groups=%d/window=%d", log, groups, window), func(b *testing.B) {
					benchReplicate(b, log == "disk", groups, window)
				})
			}
		}
	}
}

func benchReplicate(b *testing.B, disk bool, groups, window int) {
	c := clock.NewReal()
	hosts := newWire(b, c, disk)
	left := &atomic.Int64{}
	left.Store(int64(b.N))
	ended := make(chan struct{})
	var leaders []*counter
	var strands []clock.Strand
	for i := range groups {
		for n, h := range hosts {
			m := &counter{payload: make([]byte, 128), left: left, window: window, ended: ended, ready: make(chan struct{})}
			s := c.NewStrand("group")
			s.Post(func() {
				var err error
				m.group, err = h.Open(raft.Options{
					ID: gid(uint64(i + 1)), Strand: s, Machine: m, Memory: !disk, Fresh: true,
					Members: &raft.Members{Voters: []core.MemberID{1, 2, 3}, Leader: 1},
				})
				if err != nil {
					b.Error(err)
				}
			})
			if n == 0 {
				leaders, strands = append(leaders, m), append(strands, s)
			}
		}
	}
	for _, m := range leaders {
		<-m.ready
	}
	b.ReportAllocs()
	b.ResetTimer()
	for i, m := range leaders {
		strands[i].Post(func() { m.going = true; m.push() })
	}
	<-ended
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(float64(b.N)/float64(max(1, hosts[0].Metrics().FramesOut)), "entries/frame")
	for i, m := range leaders {
		stopped := make(chan struct{})
		strands[i].Post(func() { m.group.Stop(func() { close(stopped) }) })
		<-stopped
	}
}

var idleGroups = flag.Int("groups", 1000, "how many groups fall asleep")

// TestIdleGroupsCostNothing has many groups of three servers fall asleep: no timer is set, and an hour passes
// without an event.
func TestIdleGroupsCostNothing(t *testing.T) {
	groups := *idleGroups
	c := newCluster(t, 9, 3, true, nil)
	members := raft.Members{Voters: []core.MemberID{1, 2, 3}, Leader: 1}
	left := &atomic.Int64{}
	for _, s := range c.servers {
		strand := s.machine.NewStrand("groups")
		strand.Post(func() {
			for i := range groups {
				m := members
				m.Leader = core.MemberID(i%3 + 1)
				_, err := s.host.Open(raft.Options{
					ID: gid(uint64(i + 1)), Strand: strand, Memory: true, Fresh: true, Members: &m,
					Machine: &counter{left: left, ready: make(chan struct{})},
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	asleep := func() bool {
		return c.servers[0].host.Metrics().Asleep+c.servers[1].host.Metrics().Asleep+c.servers[2].host.Metrics().Asleep == int64(3*groups)
	}
	for range 100 {
		if c.run(100 * time.Millisecond); asleep() {
			break
		}
	}
	require.True(t, asleep())
	m := c.servers[0].host.Metrics()
	require.EqualValues(t, groups, m.Replicated)
	require.InDelta(t, groups/3, m.Leaders, 1)
	require.Less(t, m.FramesOut, uint64(5*groups), "what many groups have for one server travels together")
	c.run(time.Second)
	before := c.sim.Events()
	c.run(time.Hour)
	require.Less(t, c.sim.Events()-before, uint64(5))
	c.fine(t)
}
