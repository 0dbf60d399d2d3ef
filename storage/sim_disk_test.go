package storage_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/storage"
)

// mustSync leaves a durable file with this content.
func (w *simWorld) mustSync(t *testing.T, name string, content []byte) storage.File {
	t.Helper()
	f := w.MustOpen(t, name, storage.Create)
	_, err := f.Append(content)
	require.NoError(t, err)
	require.NoError(t, w.Sync(f))
	require.NoError(t, w.SyncDir("."))
	return f
}

// pattern is n bytes that differ from sector to sector, and are never zero.
func pattern(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(1 + (i/512*31+i)%255)
	}
	return p
}

func TestSimDiskIsDeterministic(t *testing.T) {
	run := func(seed uint64) (hash, folds uint64) {
		w := &journalWorld{simWorld: newSimWorld(seed)}
		w.disk.SetFaults(storage.DiskFaults{
			SyncTime: time.Millisecond, WriteTime: time.Millisecond, Hang: 0.1, HangMax: time.Second,
		})
		for range 5 {
			w.scenario(t)
			w.restart(true)
		}
		return w.sim.Trace().Hash(), w.sim.Trace().Folds()
	}
	for seed := range uint64(5) {
		hash, folds := run(seed)
		again, _ := run(seed)
		other, _ := run(seed + 100)
		require.Equal(t, hash, again)
		require.NotEqual(t, hash, other)
		require.Greater(t, folds, uint64(100))
	}
}

func TestSimDiskFull(t *testing.T) {
	w := newSimWorld(1)
	w.disk.SetFaults(storage.DiskFaults{Capacity: 1000})
	f := w.mustSync(t, "a", pattern(600))
	g := w.MustOpen(t, "b", storage.Create)
	_, err := g.Append(pattern(600))
	require.NoError(t, err, "it is only buffered")
	require.ErrorIs(t, w.Sync(g), storage.ErrFull)
	require.EqualValues(t, 1000, w.disk.Used(), "a prefix was written")
	assert.EqualValues(t, 1, w.disk.Count(storage.FaultFull))
	_, err = g.Append([]byte("x"))
	require.ErrorIs(t, err, storage.ErrFull, "the file refuses further changes")
	require.ErrorIs(t, g.Truncate(0), storage.ErrFull)

	g.Close()
	require.NoError(t, w.Remove("b"))
	require.EqualValues(t, 600, w.disk.Used())
	require.NoError(t, f.Truncate(100))
	_, err = f.Append(pattern(900))
	require.NoError(t, err)
	require.NoError(t, w.Sync(f), "there is room again")
	require.EqualValues(t, 1000, w.disk.Used())
	w.MustOpen(t, "a", storage.Empty)
	require.Zero(t, w.disk.Used())
}

func TestSimDiskWriteError(t *testing.T) {
	w := newSimWorld(1)
	f := w.mustSync(t, "a", pattern(100))
	w.disk.SetFaults(storage.DiskFaults{WriteError: 1})
	_, err := f.Append(pattern(100))
	require.NoError(t, err)
	require.ErrorIs(t, w.WriteOut(f), storage.ErrIO)
	require.ErrorIs(t, w.Sync(f), storage.ErrIO, "it says so again")
	size, ok := w.disk.FileSize("a")
	require.True(t, ok)
	assert.Less(t, size, int64(201))
	assert.EqualValues(t, 1, w.disk.Count(storage.FaultWriteError))
}

func TestSimDiskSyncErrorLoses(t *testing.T) {
	lost := 0
	for seed := range uint64(30) {
		w := newSimWorld(seed)
		f := w.mustSync(t, "a", nil)
		_, err := f.Append(pattern(3000))
		require.NoError(t, err)
		w.disk.SetFaults(storage.DiskFaults{SyncError: 1})
		require.ErrorIs(t, w.Sync(f), storage.ErrIO)
		w.disk.SetFaults(storage.DiskFaults{})
		require.NoError(t, w.Sync(f), "the pages count as clean")
		w.restart(true)
		if !bytes.Equal(pattern(3000), w.disk.ReadFile("a")) {
			lost++
		}
	}
	assert.Greater(t, lost, 20)
}

func TestSimDiskReadErrors(t *testing.T) {
	once, sticky := 0, 0
	for seed := range uint64(20) {
		w := newSimWorld(seed)
		f := w.mustSync(t, "a", pattern(2000))
		w.disk.SetFaults(storage.DiskFaults{ReadError: 1})
		p := make([]byte, 2000)
		_, err := w.ReadAt(f, p, 0)
		require.ErrorIs(t, err, storage.ErrIO)
		w.disk.SetFaults(storage.DiskFaults{})
		if _, err = w.ReadAt(f, p, 0); err == nil {
			once++
			continue
		}
		sticky++
		require.ErrorIs(t, err, storage.ErrIO)
		require.False(t, f.ReadCached(p, 0))
		w.restart(true)
		f = w.MustOpen(t, "a", 0)
		_, err = w.ReadAt(f, p, 0)
		require.ErrorIs(t, err, storage.ErrIO, "a bad sector stays bad")
		require.NoError(t, f.WriteAt(pattern(2000), 0))
		require.NoError(t, w.Sync(f))
		require.Equal(t, pattern(2000), w.MustRead(t, f), "until it is rewritten")
	}
	assert.Positive(t, once)
	assert.Positive(t, sticky)
}

func TestSimDiskDamage(t *testing.T) {
	old, content := pattern(2000), bytes.Repeat([]byte{0xee}, 2000)
	build := func(t *testing.T) (*simWorld, storage.File) {
		w := newSimWorld(1)
		f := w.mustSync(t, "a", old)
		require.NoError(t, f.WriteAt(content, 0))
		require.NoError(t, w.Sync(f))
		return w, f
	}
	for _, tc := range []struct {
		name   string
		damage func(d *storage.SimDisk) bool
		fault  storage.SimFault
		want   func(p []byte)
	}{
		{"one bit", func(d *storage.SimDisk) bool { return d.FlipBit("a", 8*700+3) }, storage.FaultBitRot,
			func(p []byte) { p[700] ^= 8 }},
		{"zeros", func(d *storage.SimDisk) bool { return d.RotSector("a", 1, storage.RotZeros) }, storage.FaultSectorRot,
			func(p []byte) { clear(p[512:1024]) }},
		{"older version", func(d *storage.SimDisk) bool { return d.RotSector("a", 2, storage.RotOlder) }, storage.FaultSectorRot,
			func(p []byte) { copy(p[1024:1536], old[1024:]) }},
		{"last sector is short", func(d *storage.SimDisk) bool { return d.RotSector("a", 3, storage.RotOlder) }, storage.FaultSectorRot,
			func(p []byte) { copy(p[1536:], old[1536:]) }},
		{"misdirected", func(d *storage.SimDisk) bool { return d.Misdirect("a", 0, 2) }, storage.FaultMisdirected,
			func(p []byte) { copy(p[:512], old) }},
		{"bit behind the end", func(d *storage.SimDisk) bool { return !d.FlipBit("a", 8*2000) }, storage.FaultPowerLoss, func([]byte) {}},
		{"sector behind the end", func(d *storage.SimDisk) bool { return !d.RotSector("a", 4, storage.RotNoise) }, storage.FaultPowerLoss, func([]byte) {}},
		{"no such file", func(d *storage.SimDisk) bool { return !d.FlipBit("b", 0) }, storage.FaultPowerLoss, func([]byte) {}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w, f := build(t)
			require.True(t, tc.damage(w.disk))
			want := bytes.Clone(content)
			tc.want(want)
			require.True(t, bytes.Equal(want, w.MustRead(t, f)), "at once")
			w.restart(true)
			require.True(t, bytes.Equal(want, w.MustRead(t, w.MustOpen(t, "a", 0))), "and for good")
			assert.NotZero(t, w.disk.Count(tc.fault))
		})
	}
	t.Run("noise", func(t *testing.T) {
		w, f := build(t)
		require.True(t, w.disk.RotSector("a", 1, storage.RotNoise))
		got := w.MustRead(t, f)
		assert.NotEqual(t, content[512:1024], got[512:1024])
		assert.Equal(t, content[:512], got[:512])
		assert.Equal(t, content[1024:], got[1024:])
	})
}

func TestSimDiskAtRest(t *testing.T) {
	w := newSimWorld(1)
	w.mustSync(t, "a", pattern(1000))
	w.mustSync(t, "b", pattern(10))
	image := w.disk.Snapshot()
	require.Panics(t, func() { w.disk.CutFile("a", 5) }, "a process runs")
	require.Panics(t, func() { w.disk.Mount() })

	w.machine.Kill()
	w.disk.Crash()
	require.True(t, w.disk.CutFile("a", 300))
	require.False(t, w.disk.CutFile("a", 300))
	require.True(t, w.disk.LoseFile("b"))
	require.False(t, w.disk.LoseFile("b"))
	require.Equal(t, []string{"a"}, w.disk.Files())
	require.EqualValues(t, 300, w.disk.Used())
	w.disk.PowerLoss()
	require.Equal(t, pattern(300), w.disk.ReadFile("a"))

	w.disk.Restore(image)
	require.Equal(t, []string{"a", "b"}, w.disk.Files())
	require.Equal(t, pattern(1000), w.disk.ReadFile("a"))
	w.start()
	require.NoError(t, w.Mkdir("d"))
	w.MustOpen(t, "d/f", storage.Create)
	w.machine.Kill()
	w.disk.Unmount()
	require.Equal(t, []string{"a", "b", "d/f"}, w.disk.Files())
	require.False(t, w.disk.LoseFile("."))
	require.True(t, w.disk.LoseFile("d"))
	require.Equal(t, []string{"a", "b"}, w.disk.Files())
	w.disk.Wipe()
	require.Empty(t, w.disk.Files())
	require.Zero(t, w.disk.Used())
	w.disk.Restore(image)
	require.EqualValues(t, 1010, w.disk.Used(), "an image serves more than once")

	var names []string
	for _, c := range w.disk.Counts() {
		names = append(names, c.Fault.String())
	}
	assert.Equal(t, []string{"power-loss", "process-crash", "truncated", "lost-file", "wiped", "rolled-back"}, names)
}

func TestSimDiskHangs(t *testing.T) {
	w := newSimWorld(1)
	f := w.mustSync(t, "a", pattern(10))
	w.disk.SetFaults(storage.DiskFaults{Hang: 1, HangMin: 5 * time.Second, HangMax: 6 * time.Second})
	before := w.sim.Now()
	require.NoError(t, w.Sync(f))
	assert.GreaterOrEqual(t, w.sim.Now()-before, 5*time.Second)
	assert.EqualValues(t, 1, w.disk.Count(storage.FaultHung))
}

func TestSimDiskDeadProcessIsNotAnswered(t *testing.T) {
	w := newSimWorld(1)
	f := w.mustSync(t, "a", pattern(10))
	fs, s := w.FS, w.sim.Clock("observer").NewStrand("main")
	w.disk.Crash()
	unexpected := func(error) { t.Error("a dead process was answered") }
	f.Sync(s, unexpected)
	f.WriteOut(s, unexpected)
	f.ReadAt(s, make([]byte, 1), 0, func(int, error) { unexpected(nil) })
	fs.Open(s, "a", 0, func(storage.File, error) { unexpected(nil) })
	fs.SyncDir(s, ".", unexpected)
	f.Close()
	_, err := f.Append([]byte("x"))
	require.ErrorIs(t, err, storage.ErrClosed)
	for w.sim.Step() {
	}
	require.Equal(t, pattern(10), w.disk.ReadFile("a"))
}

func TestDiskFaultsValidate(t *testing.T) {
	require.NoError(t, storage.DiskFaults{}.Validate())
	for _, tc := range []struct {
		faults storage.DiskFaults
		want   string
	}{
		{storage.DiskFaults{SyncError: 1.5}, "SyncError"},
		{storage.DiskFaults{Hang: -1}, "Hang"},
		{storage.DiskFaults{Capacity: -1}, "capacity"},
		{storage.DiskFaults{HangMin: 2, HangMax: 1}, "hangs from"},
	} {
		require.ErrorContains(t, tc.faults.Validate(), tc.want)
		require.Panics(t, func() { newSimWorld(1).disk.SetFaults(tc.faults) })
	}
}

func TestSimDiskReadsEndOfTornFile(t *testing.T) {
	w := newSimWorld(1)
	w.mustSync(t, "a", pattern(700))
	p := make([]byte, 100)
	n, err := w.ReadAt(w.MustOpen(t, "a", storage.ReadOnly), p, 650)
	require.ErrorIs(t, err, io.EOF)
	require.Equal(t, pattern(700)[650:], p[:n])
}

func BenchmarkSimDiskAppendSync(b *testing.B) {
	w := newSimWorld(1)
	f := w.MustOpen(b, "a", storage.Create)
	p := pattern(256)
	b.ReportAllocs()
	for b.Loop() {
		if f.Size() > 1<<20 {
			if err := f.Truncate(0); err != nil {
				b.Fatal(err)
			}
		}
		if _, err := f.Append(p); err != nil {
			b.Fatal(err)
		}
		f.Sync(w.Strand, func(error) {})
		w.sim.Step()
	}
}
