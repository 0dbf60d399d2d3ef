package storage_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/fstest"
)

// realWorld opens a store's directory; closing it is the caller's.
func realWorld(t testing.TB, dir string) (fstest.World, *storage.Real) {
	t.Helper()
	r, err := storage.OpenReal(dir)
	require.NoError(t, err)
	s := clock.NewReal().NewStrand("main")
	return fstest.World{FS: r, Strand: s, Await: func(task func(done func())) {
		finished := make(chan struct{})
		s.Post(func() { task(func() { close(finished) }) })
		<-finished
	}}, r
}

func TestRealDiskFollowsNoLinks(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "secret")
	require.NoError(t, os.WriteFile(outside, []byte("secret"), 0o600))
	dir := t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "link")))
	require.NoError(t, os.Symlink(filepath.Dir(outside), filepath.Join(dir, "dir")))
	require.NoError(t, syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600))
	w, r := realWorld(t, dir)
	for _, name := range []string{"link", "dir", "pipe"} {
		_, err := w.Open(name, 0)
		require.ErrorIs(t, err, storage.ErrKind, name)
	}
	_, err := w.Open("dir/secret", 0)
	require.Error(t, err)
	_, err = w.List("dir")
	require.ErrorIs(t, err, storage.ErrKind)
	require.NoError(t, r.Close())
}

func TestRealDiskOutlivesTheProcess(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "made", "on demand")
	w, r := realWorld(t, dir)
	require.NoError(t, w.Mkdir("d"))
	f := w.MustOpen(t, "d/f", storage.Create)
	_, err := f.Append([]byte("still here"))
	require.NoError(t, err)
	f.Close() // writes out, and Close of the store waits for it
	require.NoError(t, r.Close())

	_, err = w.Open("d/f", 0)
	require.ErrorIs(t, err, storage.ErrClosed)
	w, r = realWorld(t, dir)
	assert.Equal(t, "still here", string(w.MustRead(t, w.MustOpen(t, "d/f", 0))))
	info, err := os.Stat(filepath.Join(dir, "d/f"))
	require.NoError(t, err)
	assert.Zero(t, info.Mode().Perm()&0o077, "the owner's alone")
	require.NoError(t, r.Close())
}

func TestRealDiskRefusesAfterClose(t *testing.T) {
	w, r := realWorld(t, t.TempDir())
	f := w.MustOpen(t, "f", storage.Create)
	require.NoError(t, r.Close())
	require.ErrorIs(t, w.Sync(f), storage.ErrClosed)
	_, err := w.ReadAt(f, make([]byte, 1), 0)
	require.ErrorIs(t, err, storage.ErrClosed)
	require.ErrorIs(t, w.SyncDir("."), storage.ErrClosed)
	f.Close()
}

func TestOpenRealSaysWhatIsWrong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	_, err := storage.OpenReal(filepath.Join(file, "store"))
	require.ErrorIs(t, err, storage.ErrKind)
	require.ErrorContains(t, err, file)
	require.True(t, errors.Is(err, syscall.ENOTDIR), "the system's own words are kept")
}

// TestRealDiskAllocations pins what a buffered append costs: nothing, once the
// buffer has grown.
func TestRealDiskAllocations(t *testing.T) {
	w, r := realWorld(t, t.TempDir())
	f := w.MustOpen(t, "f", storage.Create)
	p := make([]byte, 128)
	_, err := f.Append(make([]byte, 128<<10))
	require.NoError(t, err)
	require.NoError(t, w.WriteOut(f)) // the grown buffer is used again
	assert.Zero(t, testing.AllocsPerRun(500, func() {
		if _, err := f.Append(p); err != nil {
			t.Error(err)
		}
	}))
	f.Close()
	require.NoError(t, r.Close())
}

func BenchmarkRealAppend(b *testing.B) {
	for _, size := range []int{64, 1024, 16384} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			w, r := realWorld(b, b.TempDir())
			f := w.MustOpen(b, "f", storage.Create)
			p := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.Append(p); err != nil {
					b.Fatal(err)
				}
				if f.Size() > 64<<20 {
					if err := f.Truncate(0); err != nil {
						b.Fatal(err)
					}
					if err := w.WriteOut(f); err != nil {
						b.Fatal(err)
					}
				}
			}
			f.Close()
			if err := r.Close(); err != nil {
				b.Fatal(err)
			}
		})
	}
}
