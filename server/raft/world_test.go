package raft_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// ledger is a machine: its state is the list of what it applied.
type ledger struct {
	t        require.TestingT
	strand   clock.Strand
	group    *raft.Group
	applied  []string
	tags     []any
	restored bool
	replayed bool
	runs     int // of Applied
	spent    []string
	refuse   int // Apply calls to refuse
	saved    int // Checkpointed calls
	failed   error
	broken   error // what Checkpoint answers

	hold     bool // Checkpoint waits for release
	released func()
}

// Restore implements raft.Machine.
func (m *ledger) Restore(state []byte, done func(error)) {
	require.False(m.t, m.restored)
	m.restored = true
	for len(state) > 0 {
		n := binary.LittleEndian.Uint32(state)
		m.applied = append(m.applied, string(state[4:4+n]))
		state = state[4+n:]
	}
	m.strand.Post(func() { done(nil) })
}

func (m *ledger) state() []byte {
	out := []byte{}
	for _, a := range m.applied {
		out = binary.LittleEndian.AppendUint32(out, uint32(len(a)))
		out = append(out, a...)
	}
	return out
}

// Apply implements raft.Machine.
func (m *ledger) Apply(e *raft.Entry) bool {
	require.True(m.t, m.restored)
	require.Equal(m.t, !m.replayed, e.Replay)
	require.EqualValues(m.t, len(m.applied)+1, e.Index)
	if m.refuse > 0 {
		m.refuse--
		m.strand.Post(m.group.Resume)
		return false
	}
	m.applied = append(m.applied, string(e.Payload))
	m.tags = append(m.tags, e.Tag)
	return true
}

// Applied implements raft.Machine.
func (m *ledger) Applied(replayed bool) {
	m.runs++
	if replayed {
		require.False(m.t, m.replayed)
		m.replayed = true
	}
}

// Checkpoint implements raft.Machine.
func (m *ledger) Checkpoint(done func([]byte, error)) {
	if m.broken != nil {
		err := m.broken
		m.strand.Post(func() { done(nil, err) })
		return
	}
	state := m.state()
	answer := func() { done(state, nil) }
	if m.hold {
		m.released = answer
		return
	}
	m.strand.Post(answer)
}

// Checkpointed implements raft.Machine.
func (m *ledger) Checkpointed([]byte) { m.saved++ }

// Failed implements raft.Machine.
func (m *ledger) Failed(err error) {
	require.NoError(m.t, m.failed)
	m.failed = err
}

// world is a process with a host on a simulated disk.
type world struct {
	t       require.TestingT
	sim     *clock.Sim
	machine *clock.SimClock
	disk    *storage.SimDisk
	fs      storage.FS
	log     *wal.Log
	report  *wal.Report
	host    *raft.Host
	walCfg  wal.Config
	cfg     raft.Config
}

func newWorld(t require.TestingT, seed uint64) *world {
	w := &world{t: t, sim: clock.NewSim(seed)}
	w.walCfg = wal.Config{Dir: "log", Identity: "server n1", SegmentBytes: 4 << 10, LogBytesMax: 16 << 10}
	w.disk = storage.NewSimDisk(w.sim, "n1")
	return w
}

// start gives the disk a new process with a host.
func (w *world) start() {
	w.machine = w.sim.Clock("n1")
	w.fs = w.disk.Mount()
	s := w.machine.NewStrand("log")
	w.log = nil
	s.Post(func() {
		wal.Open(w.fs, s, w.walCfg, func(l *wal.Log, r *wal.Report, err error) {
			require.NoError(w.t, err)
			w.log, w.report = l, r
		})
	})
	w.until(func() bool { return w.log != nil })
	if w.log != nil {
		w.host = raft.NewHost(w.log, w.cfg)
	}
}

// end ends the process.
func (w *world) end(power bool) {
	w.machine.Kill()
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

func (w *world) settle() { w.until(func() bool { return false }) }

func gid(n uint64) raft.ID { return raft.ID{Group: n, Incarnation: 1} }

// open opens a group.
func (w *world) open(id raft.ID, memory bool) *ledger {
	m := &ledger{t: w.t, strand: w.machine.NewStrand("group")}
	g, err := w.host.Open(raft.Options{ID: id, Name: "test", Strand: m.strand, Machine: m, Memory: memory, Spent: m.spend})
	require.NoError(w.t, err)
	m.group = g
	return m
}

// spend uses the memory of a payload again.
func (m *ledger) spend(payload []byte) {
	require.Positive(m.t, m.runs)
	m.spent = append(m.spent, string(payload))
	clear(payload)
}

// propose runs on the group's strand, later.
func (m *ledger) propose(c raft.Class, payloads ...string) {
	m.strand.Post(func() {
		for _, p := range payloads {
			require.NoError(m.t, m.group.Propose([]byte(p), p, c))
		}
	})
}

func opened(t *testing.T) *world {
	w := newWorld(t, 1)
	w.start()
	return w
}

var errBroken = errors.New("broken")
