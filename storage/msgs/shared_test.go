package msgs

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/storage"
)

// load fills a store with n messages of about size bytes.
func (f *fileRig) load(t require.TestingT, n, size int) {
	for i := range n {
		x := modelMsg{Msg: Msg{Time: f.now, Subject: fmt.Sprintf("s.%d", i%7), Data: []byte(strings.Repeat("d", size))}}
		_, err := f.store.Append(0, x.Time, []byte(x.Subject), nil, x.Data, TTL{})
		require.NoError(t, err)
		require.NoError(t, f.model.append(x))
	}
}

func TestCacheIsBoundedAcrossStores(t *testing.T) {
	cache := NewCache(0)
	a := newFileRig(t, 0, func(*fileRig) Options { return Options{Cache: cache} })
	b := newFileRig(t, 0, func(*fileRig) Options { return Options{Cache: cache, Compression: S2} })
	for _, f := range []*fileRig{a, b} {
		f.load(t, 1500, 1000)
		f.checkpoint(t)
		require.LessOrEqual(t, cache.Used(), int64(1<<20))
	}
	var cold int
	for seq := range uint64(1500) {
		if _, found := a.store.Load(seq + 1); found == Cold {
			cold++
		}
	}
	require.Greater(t, cold, 400, "the other store took the room")
	a.checkAll(t)
	b.checkAll(t)
	require.LessOrEqual(t, cache.Used(), int64(1<<20))
	a.store.Close()
	b.store.Close()
	require.Zero(t, cache.Used())
}

func TestReadAhead(t *testing.T) {
	f := newFileRig(t, 0, func(*fileRig) Options { return Options{} })
	f.load(t, 2000, 1000)
	f.checkpoint(t)
	f.crash(t, false)
	reads := 0
	f.disk.Hook = func(op storage.DiskOp) storage.CrashPoint {
		if op.Kind == storage.OpRead {
			reads++
		}
		return storage.CrashPoint{}
	}
	fetched := 0
	for seq := range uint64(2000) {
		if _, found := f.store.Load(seq + 1); found == Cached {
			continue
		}
		fetched++
		f.store.Fetch(seq+1, func(_ Msg, err error) { require.NoError(t, err) })
		f.settle()
	}
	require.Less(t, fetched, 15)
	require.Less(t, reads, 70)
}

func TestOpenFilesAreBounded(t *testing.T) {
	var files *Files
	f := newFileRig(t, 0, func(*fileRig) Options {
		files = NewFiles(4)
		return Options{BlockBytes: 2000, Files: files, Cache: NewCache(0)}
	})
	f.load(t, 200, 100)
	f.checkpoint(t)
	require.Greater(t, len(f.store.(*store).blocks), 10)
	require.LessOrEqual(t, files.Open(), 5)
	f.crash(t, false)
	f.checkAll(t)
	require.LessOrEqual(t, files.Open(), 5)
	f.store.Close()
	f.settle()
	require.Zero(t, files.Open())
}

func TestDeleteRemovesWhatIsOurs(t *testing.T) {
	f := newFileRig(t, 0, fileVariants[0].o)
	f.load(t, 50, 100)
	f.checkpoint(t)
	f.fs.Open(f.strand, "store/notes.txt", storage.Create, func(g storage.File, err error) {
		require.NoError(t, err)
		g.Close()
	})
	f.settle()
	done := 0
	f.store.Delete(func(err error) { done++; require.NoError(t, err) })
	f.settle()
	require.Equal(t, 1, done)
	require.Equal(t, []string{"store/notes.txt"}, f.disk.Files())
	f.fs.Remove(f.strand, "store/notes.txt", func(err error) { require.NoError(t, err) })
	f.store.Delete(func(err error) { done++; require.NoError(t, err) })
	f.settle()
	f.store.Delete(func(err error) { done++; require.NoError(t, err) })
	f.settle()
	require.Equal(t, 3, done)
	require.Empty(t, f.disk.Files())
}

func TestClosedStoreAnswers(t *testing.T) {
	f := newFileRig(t, 0, fileVariants[0].o)
	f.load(t, 20, 100)
	answers := 0
	f.store.Checkpoint(func(_ []byte, err error) { answers++; require.ErrorIs(t, err, ErrClosed) })
	f.store.Close()
	f.store.Close()
	f.store.Fetch(3, func(_ Msg, err error) { answers++; require.ErrorIs(t, err, ErrClosed) })
	f.store.Checkpoint(func(_ []byte, err error) { answers++; require.ErrorIs(t, err, ErrClosed) })
	_, err := f.store.Append(0, 1, []byte("a"), nil, nil, TTL{})
	require.ErrorIs(t, err, ErrClosed)
	require.False(t, f.store.Remove(1, false, ByDelete))
	require.Zero(t, f.store.Purge(nil, 0, 0))
	_, found := f.store.Load(1)
	require.Equal(t, None, found)
	f.settle()
	require.Equal(t, 3, answers)
}

func TestCompressionAndKeysOfBlocks(t *testing.T) {
	f := newFileRig(t, 0, func(*fileRig) Options { return Options{BlockBytes: 3000} })
	f.load(t, 100, 100)
	f.checkpoint(t)
	f.store.SetCompression(S2)
	f.load(t, 100, 100)
	f.checkpoint(t)
	f.crash(t, true)
	f.checkAll(t)
	f.load(t, 100, 100)
	f.store.SetCompression(NoCompression)
	f.load(t, 100, 100)
	f.checkpoint(t)
	f.crash(t, true)
	require.True(t, f.report.Sound())
	f.checkAll(t)

	packed, plain := 0, 0
	Inspect(f.fs, f.strand, "store", Options{}, func(list []FileInfo, err error) {
		require.NoError(t, err)
		records := 0
		for _, i := range list {
			require.Empty(t, i.Damage, i.Name)
			if i.Kind != "block" {
				continue
			}
			if i.Packed {
				packed++
			} else {
				plain++
			}
			records += i.Records
			require.Equal(t, i.Last-i.First+1, uint64(i.Records))
		}
		require.LessOrEqual(t, records, 400)
		require.Greater(t, records, 370)
	})
	f.settle()
	require.Positive(t, packed)
	require.Positive(t, plain)
}

func TestOpenRefuses(t *testing.T) {
	f := newFileRig(t, 0, fileVariants[0].o)
	f.load(t, 20, 100)
	f.checkpoint(t)
	plain := f.o
	for _, tc := range []struct {
		name     string
		manifest func(p []byte) []byte
		o        func(o Options) Options
		want     error
	}{
		{"nothing", func([]byte) []byte { return []byte{} }, nil, ErrManifest},
		{"cut", func(p []byte) []byte { return p[:len(p)-1] }, nil, ErrManifest},
		{"a bit", func(p []byte) []byte { p[40] ^= 1; return p }, nil, ErrManifest},
		{"another store", nil, func(o Options) Options { o.Identity = 9; return o }, ErrManifest},
		{"with a key", nil, func(o Options) Options { o.Sealer = aSealer(f.machine.Entropy("salt")); return o }, errUnsealed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f.o = func() Options {
				if tc.o == nil {
					return plain()
				}
				return tc.o(plain())
			}
			p := append([]byte{}, f.manifest...)
			if tc.manifest != nil {
				p = tc.manifest(p)
			}
			require.ErrorIs(t, f.open(p), tc.want)
			require.Nil(t, f.store)
		})
	}
	f.o = plain
	require.NoError(t, f.open(f.manifest))

	g := newFileRig(t, 0, encrypted(NoCompression))
	g.load(t, 20, 100)
	g.checkpoint(t)
	g.o = func() Options { return Options{} }
	require.ErrorIs(t, g.open(g.manifest), ErrNoKey)
}

func TestRefusedAppends(t *testing.T) {
	st := NewMemory(newWorld(0).strand, Options{})
	_, err := st.Append(0, 1, []byte(""), nil, nil, TTL{})
	require.ErrorIs(t, err, ErrSubject)
	_, err = st.Append(0, 1, []byte("a..b"), nil, nil, TTL{})
	require.ErrorIs(t, err, ErrSubject)
	_, err = st.Append(0, 1, []byte("a"), nil, make([]byte, RecordMax), TTL{})
	require.ErrorIs(t, err, ErrTooLarge)
	_, err = st.Append(7, 1, []byte("a"), nil, nil, TTL{})
	require.NoError(t, err)
	_, err = st.Append(7, 1, []byte("a"), nil, nil, TTL{})
	require.ErrorContains(t, err, "sequence 7 is not above the last, 7")
	require.Equal(t, uint64(1), st.State().Msgs)
}

func TestLargeMessages(t *testing.T) {
	f := newFileRig(t, 0, func(*fileRig) Options { return Options{BlockBytes: 1 << 20} })
	for i := range 6 {
		f.load(t, 1, 700_000+i)
		f.load(t, 3, 10)
	}
	f.checkpoint(t)
	require.Zero(t, f.store.Unwritten())
	f.load(t, 1, 3<<20)
	require.Greater(t, f.store.Unwritten(), int64(3<<20))
	f.checkpoint(t)
	f.crash(t, true)
	f.checkAll(t)
	require.Equal(t, f.model.state(), f.store.State())
}

func TestManyDeadlinesDoNotPileUp(t *testing.T) {
	st := NewMemory(newWorld(0).strand, Options{Limits: Limits{PerSubject: 1}}).(*store)
	for i := range int64(10_000) {
		_, err := st.Append(0, i, []byte("a"), nil, nil, TTL{Deadline: 1_000_000 - i})
		require.NoError(t, err)
		st.Expire(i, 10)
		require.LessOrEqual(t, len(st.expiry.heap), 100)
	}
	require.Less(t, len(st.expiry.heap), 100)
	require.Equal(t, int64(990_001), st.NextExpiry())
	require.False(t, st.Expire(2_000_000, 0))
	require.Zero(t, st.State().Msgs)
	require.Zero(t, st.NextExpiry())
}
