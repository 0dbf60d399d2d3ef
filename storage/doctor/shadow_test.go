package doctor

import (
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/fstest"
)

// world is a simulated machine with a disk.
type world struct {
	fstest.World
	sim  *clock.Sim
	disk *storage.SimDisk
}

func newWorld(seed uint64) *world {
	w := &world{sim: clock.NewSim(seed)}
	w.disk = storage.NewSimDisk(w.sim, "n1")
	w.start()
	return w
}

// start makes a process on the disk.
func (w *world) start() {
	machine := w.sim.Clock("n1")
	w.FS, w.Strand = w.disk.Mount(), machine.NewStrand("main")
	w.Await = func(task func(done func())) {
		finished := false
		w.Strand.Post(func() { task(func() { finished = true }) })
		for !finished && !machine.Dead() && w.sim.Step() {
		}
		if !finished {
			panic("the simulation ended before the task")
		}
	}
}

// shadowed is the same world with a shadow over its disk.
func (w *world) shadowed() fstest.World {
	v := w.World
	v.FS = newShadow(w.FS)
	return v
}

func TestShadowIsAFileSystem(t *testing.T) {
	fstest.Run(t, func(t *testing.T) fstest.World { return newWorld(1).shadowed() })
}

// tree lists everything below a directory, with the content of files.
func tree(t fstest.TB, w fstest.World, dir string) []string {
	var list []string
	for _, name := range w.Names(t, dir) {
		full := dir + "/" + name
		if dir == "." {
			full = name
		}
		if full[len(full)-1] == '/' {
			list = append(append(list, full), tree(t, w, full[:len(full)-1])...)
			continue
		}
		f := w.MustOpen(t, full, storage.ReadOnly)
		list = append(list, fmt.Sprintf("%s %q", full, w.MustRead(t, f)))
		f.Close()
	}
	return list
}

func fill(t *testing.T, w fstest.World) {
	require.NoError(t, w.Mkdir("d"))
	require.NoError(t, w.Mkdir("d/e"))
	for _, name := range []string{"a", "d/b", "d/e/c"} {
		f := w.MustOpen(t, name, storage.Create)
		_, err := f.Append([]byte("content of " + name))
		require.NoError(t, err)
		require.NoError(t, w.Sync(f))
		f.Close()
	}
}

func TestShadowShowsTheDiskAndChangesNothing(t *testing.T) {
	w := newWorld(2)
	fill(t, w.World)
	before := tree(t, w.World, ".")
	v := w.shadowed()
	require.Equal(t, before, tree(t, v, "."))

	f := v.MustOpen(t, "d/b", 0)
	_, err := f.Append([]byte(", and more"))
	require.NoError(t, err)
	require.NoError(t, f.WriteAt([]byte("CONTENT"), 0))
	require.NoError(t, v.Sync(f))
	require.Equal(t, "CONTENT of d/b, and more", string(v.MustRead(t, f)))
	p := make([]byte, 6)
	n, err := v.ReadAt(f, p, 11)
	require.NoError(t, err)
	require.Equal(t, "d/b, a", string(p[:n]))
	require.NoError(t, f.Truncate(9))
	_, err = f.Append([]byte("!"))
	require.NoError(t, err)
	require.Equal(t, "CONTENT o!", string(v.MustRead(t, f)))
	f.Close()

	require.NoError(t, v.Rename("d", "moved"))
	require.NoError(t, v.Rename("a", "moved/e/a"))
	require.NoError(t, v.Remove("moved/e/c"))
	v.MustOpen(t, "moved/new", storage.Create).Close()
	require.ErrorIs(t, v.Remove("moved"), storage.ErrNotEmpty)
	require.Equal(t, []string{
		"moved/", `moved/b "CONTENT o!"`, "moved/e/", `moved/e/a "content of a"`, `moved/new ""`,
	}, tree(t, v, "."))
	require.Equal(t, before, tree(t, w.World, "."))
	require.ErrorIs(t, w.shadowed().Remove("d/e"), storage.ErrNotEmpty)
}

func TestShadowLetsGoOfFiles(t *testing.T) {
	w := newWorld(3)
	fill(t, w.World)
	x := newShadow(w.FS)
	v := w.World
	v.FS = x
	f, g := v.MustOpen(t, "a", storage.ReadOnly), v.MustOpen(t, "a", 0)
	n, err := x.find("a")
	require.NoError(t, err)
	require.NotNil(t, n.file)
	var read []byte
	v.Await(func(done func()) {
		p := make([]byte, 7)
		f.ReadAt(v.Strand, p, 0, func(int, error) { read = p; done() })
		f.Close() // while it is read
		g.Close()
	})
	require.Equal(t, "content", string(read))
	require.Nil(t, n.file)
	require.Zero(t, n.handles)
	require.Equal(t, "content of a", string(v.MustRead(t, v.MustOpen(t, "a", 0))))
}

func TestShadowTellsWhatTheDiskRefuses(t *testing.T) {
	w := newWorld(4)
	fill(t, w.World)
	v := w.shadowed()
	w.disk.SetFaults(storage.DiskFaults{})
	_, err := v.Open("d/none", 0)
	require.ErrorIs(t, err, storage.ErrNotExist)
	_, err = v.List("a")
	require.ErrorIs(t, err, storage.ErrKind)
	_, err = v.List("none")
	require.ErrorIs(t, err, storage.ErrNotExist)
	require.True(t, slices.Contains(v.Names(t, "."), "d/"))
}
