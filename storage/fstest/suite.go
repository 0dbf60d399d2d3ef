package fstest

import (
	"bytes"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/storage"
)

// Run holds the contract against fresh, empty file systems.
func Run(t *testing.T, open func(t *testing.T) World) {
	for _, tc := range []struct {
		name string
		test func(t *testing.T, w World)
	}{
		{"open", testOpen},
		{"names", testNames},
		{"directories", testDirectories},
		{"rename", testRename},
		{"remove", testRemove},
		{"append and read", testAppendAndRead},
		{"read past the end", testReadPastTheEnd},
		{"truncate", testTruncate},
		{"read-only", testReadOnly},
		{"closed", testClosed},
		{"sync covers what came before", testSyncCovers},
		{"close keeps what was written", testCloseKeeps},
		{"open file outlives its name", testUnlinked},
		{"callbacks come later and once", testCallbacks},
		{"any changes, any reads", testAnyChanges},
		{"large buffers", testLargeBuffers},
	} {
		t.Run(tc.name, func(t *testing.T) { tc.test(t, open(t)) })
	}
}

func testOpen(t *testing.T, w World) {
	_, err := w.Open("a", 0)
	require.ErrorIs(t, err, storage.ErrNotExist)
	var op *storage.OpError
	require.ErrorAs(t, err, &op)
	assert.Equal(t, "open", op.Op)
	assert.Equal(t, "a", op.Name)

	f := w.MustOpen(t, "a", storage.Create)
	assert.Equal(t, "a", f.Name())
	assert.Zero(t, f.Size())
	_, err = f.Append([]byte("hello"))
	require.NoError(t, err)
	require.NoError(t, w.WriteOut(f))

	_, err = w.Open("a", storage.Create|storage.Exclusive)
	require.ErrorIs(t, err, storage.ErrExist)
	assert.EqualValues(t, 5, w.MustOpen(t, "a", storage.Create).Size())
	assert.EqualValues(t, 5, w.MustOpen(t, "a", 0).Size())
	assert.Zero(t, w.MustOpen(t, "a", storage.Create|storage.Empty).Size())
	w.MustOpen(t, "b", storage.Create|storage.Exclusive)
	assert.Equal(t, []string{"a", "b"}, w.Names(t, "."))
	_, err = w.Open("no/c", storage.Create)
	require.ErrorIs(t, err, storage.ErrNotExist)
	_, err = w.Open("a/c", storage.Create)
	require.ErrorIs(t, err, storage.ErrKind)
}

func testNames(t *testing.T, w World) {
	for _, name := range []string{"", "/", "/etc/passwd", "..", "../a", "a/../../b", "a//b", "a/", "./a"} {
		_, err := w.Open(name, storage.Create)
		require.ErrorIs(t, err, storage.ErrName, name)
		require.ErrorIs(t, w.Mkdir(name), storage.ErrName, name)
		require.ErrorIs(t, w.Remove(name), storage.ErrName, name)
		require.ErrorIs(t, w.Rename(name, "b"), storage.ErrName, name)
		require.ErrorIs(t, w.Rename("b", name), storage.ErrName, name)
		require.ErrorIs(t, w.SyncDir(name), storage.ErrName, name)
		_, err = w.List(name)
		require.ErrorIs(t, err, storage.ErrName, name)
	}
	_, err := w.Open(".", storage.Create)
	require.ErrorIs(t, err, storage.ErrName)
	require.ErrorIs(t, w.Remove("."), storage.ErrName)
	require.ErrorIs(t, w.Rename(".", "b"), storage.ErrName)
	assert.Empty(t, w.Names(t, "."))
}

func testDirectories(t *testing.T, w World) {
	require.NoError(t, w.Mkdir("d"))
	require.ErrorIs(t, w.Mkdir("d"), storage.ErrExist)
	require.ErrorIs(t, w.Mkdir("."), storage.ErrExist)
	require.ErrorIs(t, w.Mkdir("no/e"), storage.ErrNotExist)
	require.NoError(t, w.Mkdir("d/e"))
	f := w.MustOpen(t, "d/f", storage.Create)
	_, err := f.Append(make([]byte, 700))
	require.NoError(t, err)
	require.NoError(t, w.Sync(f))
	require.NoError(t, w.SyncDir("d"))
	require.NoError(t, w.SyncDir("."))

	entries, err := w.List("d")
	require.NoError(t, err)
	require.Len(t, entries, 2)
	assert.Equal(t, "e", entries[0].Name)
	assert.True(t, entries[0].Dir)
	assert.Equal(t, storage.Entry{Name: "f", Size: 700}, entries[1])

	_, err = w.Open("d", 0)
	require.ErrorIs(t, err, storage.ErrKind)
	_, err = w.List("d/f")
	require.ErrorIs(t, err, storage.ErrKind)
	require.ErrorIs(t, w.SyncDir("d/f"), storage.ErrKind)
	_, err = w.List("no")
	require.ErrorIs(t, err, storage.ErrNotExist)
	require.ErrorIs(t, w.SyncDir("no"), storage.ErrNotExist)
}

func testRename(t *testing.T, w World) {
	require.NoError(t, w.Mkdir("d"))
	require.NoError(t, w.Mkdir("e"))
	a, b := w.MustOpen(t, "a", storage.Create), w.MustOpen(t, "b", storage.Create)
	_, err := a.Append([]byte("from a"))
	require.NoError(t, err)
	_, err = b.Append([]byte("from b"))
	require.NoError(t, err)

	require.ErrorIs(t, w.Rename("no", "c"), storage.ErrNotExist)
	require.ErrorIs(t, w.Rename("a", "no/c"), storage.ErrNotExist)
	require.ErrorIs(t, w.Rename("a", "d"), storage.ErrKind)
	require.ErrorIs(t, w.Rename("d", "a"), storage.ErrKind)
	require.ErrorIs(t, w.Rename("d", "d/d"), storage.ErrName)
	require.NoError(t, w.Rename("a", "a"))

	require.NoError(t, w.Rename("a", "b"))
	assert.Equal(t, []string{"b", "d/", "e/"}, w.Names(t, "."))
	_, err = a.Append([]byte(", still open"))
	require.NoError(t, err)
	require.NoError(t, w.WriteOut(a))
	assert.Equal(t, "from a, still open", string(w.MustRead(t, w.MustOpen(t, "b", 0))))

	require.NoError(t, w.Rename("b", "d/b"))
	assert.Equal(t, []string{"b"}, w.Names(t, "d"))
	require.ErrorIs(t, w.Rename("d", "e"), storage.ErrExist)
	require.NoError(t, w.Remove("e"))
	require.NoError(t, w.Rename("d", "e"))
	assert.Equal(t, []string{"e/"}, w.Names(t, "."))
	assert.Equal(t, []string{"b"}, w.Names(t, "e"))
}

func testRemove(t *testing.T, w World) {
	require.ErrorIs(t, w.Remove("no"), storage.ErrNotExist)
	require.NoError(t, w.Mkdir("d"))
	w.MustOpen(t, "d/f", storage.Create)
	require.ErrorIs(t, w.Remove("d"), storage.ErrNotEmpty)
	require.NoError(t, w.Remove("d/f"))
	require.ErrorIs(t, w.Remove("d/f"), storage.ErrNotExist)
	require.NoError(t, w.Remove("d"))
	assert.Empty(t, w.Names(t, "."))
}

func testAppendAndRead(t *testing.T, w World) {
	f := w.MustOpen(t, "f", storage.Create)
	p := []byte("one ")
	off, err := f.Append(p)
	require.NoError(t, err)
	assert.Zero(t, off)
	copy(p, "xxxx") // it was copied
	off, err = f.Append([]byte("two"))
	require.NoError(t, err)
	assert.EqualValues(t, 4, off)
	assert.EqualValues(t, 7, f.Size())
	assert.Equal(t, 7, f.Buffered())
	assert.Equal(t, "one two", string(w.MustRead(t, f)), "a read sees the buffer")

	require.NoError(t, w.WriteOut(f))
	assert.Zero(t, f.Buffered())
	require.NoError(t, f.WriteAt([]byte("TWO three"), 4))
	assert.Equal(t, "one TWO three", string(w.MustRead(t, f)), "buffer over disk")
	got := make([]byte, 9)
	require.True(t, f.ReadCached(got[:5], 6), "it was just written")
	assert.Equal(t, "O thr", string(got[:5]))
	assert.False(t, f.ReadCached(got, 5), "one byte past the end")
	assert.False(t, f.ReadCached(got, -1))
	require.Error(t, f.WriteAt([]byte("x"), 14), "a hole")
	require.Error(t, f.WriteAt([]byte("x"), -1))
	require.NoError(t, w.Sync(f))
	assert.Equal(t, "one TWO three", string(w.MustRead(t, w.MustOpen(t, "f", storage.ReadOnly))))
}

func testReadPastTheEnd(t *testing.T, w World) {
	f := w.MustOpen(t, "f", storage.Create)
	_, err := f.Append([]byte("12345"))
	require.NoError(t, err)
	for _, flush := range []bool{false, true} {
		if flush {
			require.NoError(t, w.Sync(f))
		}
		p := make([]byte, 4)
		n, err := w.ReadAt(f, p, 3)
		require.ErrorIs(t, err, io.EOF)
		assert.Equal(t, "45", string(p[:n]))
		n, err = w.ReadAt(f, p, 5)
		require.ErrorIs(t, err, io.EOF)
		assert.Zero(t, n)
		n, err = w.ReadAt(f, p, 500)
		require.ErrorIs(t, err, io.EOF)
		assert.Zero(t, n)
		n, err = w.ReadAt(f, nil, 2)
		require.NoError(t, err)
		assert.Zero(t, n)
		_, err = w.ReadAt(f, p, -1)
		require.Error(t, err)
		require.NotErrorIs(t, err, io.EOF)
	}
}

func testTruncate(t *testing.T, w World) {
	f := w.MustOpen(t, "f", storage.Create)
	_, err := f.Append([]byte("123456789"))
	require.NoError(t, err)
	require.NoError(t, w.Sync(f))
	require.Error(t, f.Truncate(10))
	require.Error(t, f.Truncate(-1))
	require.NoError(t, f.Truncate(4))
	assert.EqualValues(t, 4, f.Size())
	assert.Equal(t, "1234", string(w.MustRead(t, f)))
	_, err = f.Append([]byte("ab"))
	require.NoError(t, err)
	assert.Equal(t, "1234ab", string(w.MustRead(t, f)), "before anything is written out")
	require.NoError(t, w.Sync(f))
	assert.Equal(t, "1234ab", string(w.MustRead(t, f)))
	require.NoError(t, f.Truncate(0))
	require.NoError(t, w.Sync(f))
	assert.Zero(t, w.MustOpen(t, "f", 0).Size())
}

func testReadOnly(t *testing.T, w World) {
	f := w.MustOpen(t, "f", storage.Create)
	_, err := f.Append([]byte("abc"))
	require.NoError(t, err)
	require.NoError(t, w.WriteOut(f))
	r := w.MustOpen(t, "f", storage.ReadOnly|storage.Empty)
	_, err = r.Append([]byte("x"))
	require.ErrorIs(t, err, storage.ErrReadOnly)
	require.ErrorIs(t, r.WriteAt([]byte("x"), 0), storage.ErrReadOnly)
	require.ErrorIs(t, r.Truncate(0), storage.ErrReadOnly)
	assert.Equal(t, "abc", string(w.MustRead(t, r)))
}

func testClosed(t *testing.T, w World) {
	f := w.MustOpen(t, "f", storage.Create)
	f.Close()
	f.Close()
	_, err := f.Append([]byte("x"))
	require.ErrorIs(t, err, storage.ErrClosed)
	require.ErrorIs(t, f.WriteAt([]byte("x"), 0), storage.ErrClosed)
	require.ErrorIs(t, f.Truncate(0), storage.ErrClosed)
	require.ErrorIs(t, w.Sync(f), storage.ErrClosed)
	require.ErrorIs(t, w.WriteOut(f), storage.ErrClosed)
	_, err = w.ReadAt(f, make([]byte, 1), 0)
	require.ErrorIs(t, err, storage.ErrClosed)
	assert.False(t, f.ReadCached(nil, 0))
}

func testSyncCovers(t *testing.T, w World) {
	f := w.MustOpen(t, "f", storage.Create)
	var order []string
	w.Await(func(done func()) {
		for _, s := range []string{"a", "b", "c"} {
			_, err := f.Append([]byte(s))
			assert.NoError(t, err)
			f.Sync(w.Strand, func(err error) {
				assert.NoError(t, err)
				order = append(order, s)
				if len(order) == 3 {
					done()
				}
			})
		}
	})
	assert.Equal(t, []string{"a", "b", "c"}, order)
	assert.Zero(t, f.Buffered())
	assert.Equal(t, "abc", string(w.MustRead(t, w.MustOpen(t, "f", 0))))
}

func testCloseKeeps(t *testing.T, w World) {
	f := w.MustOpen(t, "f", storage.Create)
	_, err := f.Append([]byte("kept"))
	require.NoError(t, err)
	var got []byte
	w.Await(func(done func()) {
		p, left := make([]byte, 4), 2
		ended := func(err error) {
			assert.NoError(t, err)
			if left--; left == 0 {
				done()
			}
		}
		f.Sync(w.Strand, ended)
		f.ReadAt(w.Strand, p, 0, func(n int, err error) {
			got = p[:n]
			ended(err)
		})
		f.Close() // both were called before
	})
	assert.Equal(t, "kept", string(got))
	assert.Equal(t, "kept", string(w.MustRead(t, w.MustOpen(t, "f", 0))))
}

func testUnlinked(t *testing.T, w World) {
	f := w.MustOpen(t, "f", storage.Create)
	_, err := f.Append([]byte("old"))
	require.NoError(t, err)
	require.NoError(t, w.Sync(f))
	require.NoError(t, w.Remove("f"))
	g := w.MustOpen(t, "f", storage.Create|storage.Exclusive)
	_, err = f.Append([]byte("er"))
	require.NoError(t, err)
	require.NoError(t, w.Sync(f))
	assert.Equal(t, "older", string(w.MustRead(t, f)))
	assert.Zero(t, g.Size())
	f.Close()
	assert.Zero(t, w.MustOpen(t, "f", 0).Size())
}

func testCallbacks(t *testing.T, w World) {
	f := w.MustOpen(t, "f", storage.Create)
	calls, within := 0, true
	w.Await(func(done func()) {
		count := func(error) {
			assert.False(t, within, "called before the call returned")
			if calls++; calls == 7 {
				done()
			}
		}
		f.Sync(w.Strand, count)
		f.WriteOut(w.Strand, count)
		f.ReadAt(w.Strand, nil, 0, func(int, error) { count(nil) })
		f.ReadAt(w.Strand, nil, -1, func(int, error) { count(nil) })
		w.FS.Mkdir(w.Strand, "..", count)
		w.FS.SyncDir(w.Strand, ".", count)
		w.FS.Open(w.Strand, "", 0, func(f storage.File, err error) {
			assert.Nil(t, f)
			count(err)
		})
		within = false
	})
	assert.Equal(t, 7, calls)
}

// testAnyChanges compares a file with a slice of bytes under random changes.
func testAnyChanges(t *testing.T, w World) {
	r := rand.New(rand.NewPCG(1, 2))
	f := w.MustOpen(t, "f", storage.Create)
	var model []byte
	bytesOf := func(n int) []byte {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		return p
	}
	for range 600 {
		switch r.IntN(8) {
		case 0, 1:
			p := bytesOf(r.IntN(900))
			off, err := f.Append(p)
			require.NoError(t, err)
			require.EqualValues(t, len(model), off)
			model = append(model, p...)
		case 2, 3:
			p, off := bytesOf(r.IntN(300)), r.IntN(len(model)+1)
			require.NoError(t, f.WriteAt(p, int64(off)))
			model = append(model[:off], append(p, model[min(len(model), off+len(p)):]...)...)
		case 4:
			model = model[:r.IntN(len(model)+1)]
			require.NoError(t, f.Truncate(int64(len(model))))
		case 5:
			require.NoError(t, w.Sync(f))
		case 6:
			require.NoError(t, w.WriteOut(f))
			g := w.MustOpen(t, "f", storage.ReadOnly)
			require.True(t, bytes.Equal(model, w.MustRead(t, g)), "another File sees what was written out")
			g.Close()
		case 7:
			off := r.IntN(len(model) + 1)
			p := make([]byte, r.IntN(len(model)-off+1))
			n, err := w.ReadAt(f, p, int64(off))
			require.NoError(t, err)
			require.True(t, bytes.Equal(model[off:off+n], p))
			if f.ReadCached(p, int64(off)) {
				require.True(t, bytes.Equal(model[off:off+n], p))
			}
		}
		require.EqualValues(t, len(model), f.Size())
	}
	require.True(t, bytes.Equal(model, w.MustRead(t, f)))
}

func testLargeBuffers(t *testing.T, w World) {
	f := w.MustOpen(t, "f", storage.Create)
	block := bytes.Repeat([]byte("0123456789abcdef"), 4096) // 64 KiB
	for i := range 40 {
		block[0] = byte(i)
		_, err := f.Append(block)
		require.NoError(t, err)
	}
	require.NoError(t, w.Sync(f))
	assert.Zero(t, f.Buffered())
	all := w.MustRead(t, w.MustOpen(t, "f", 0))
	require.Len(t, all, 40*len(block))
	for i := range 40 {
		assert.EqualValues(t, i, all[i*len(block)])
	}
}
