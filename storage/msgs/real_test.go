package msgs

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// realStore is a store in a directory of the machine. Its methods wait.
type realStore struct {
	store    Store
	strand   clock.Strand
	report   *Report
	manifest []byte
}

// await runs task on the strand and waits until it calls done.
func (r *realStore) await(task func(done func())) {
	ch := make(chan struct{})
	r.strand.(clock.Doer).Do(func() { task(func() { close(ch) }) })
	<-ch
}

// do runs task on the strand.
func (r *realStore) do(task func()) { r.strand.(clock.Doer).Do(task) }

func openReal(t testing.TB, dir string, manifest []byte, o Options) *realStore {
	t.Helper()
	fs, err := storage.OpenReal(dir)
	require.NoError(t, err)
	r := &realStore{strand: clock.NewReal().NewStrand("stream")}
	r.await(func(done func()) {
		OpenFile(fs, r.strand, "store", manifest, o, func(s Store, report *Report, e error) {
			r.store, r.report, err = s, report, e
			done()
		})
	})
	require.NoError(t, err)
	return r
}

func (r *realStore) checkpoint(t testing.TB) {
	t.Helper()
	var err error
	r.await(func(done func()) {
		r.store.Checkpoint(func(m []byte, e error) {
			r.manifest, err = m, e
			done()
		})
	})
	require.NoError(t, err)
}

// TestRealDisk lives a while on the machine's disk: stores on strands of their own share cache and files.
func TestRealDisk(t *testing.T) {
	o := Options{BlockBytes: 20_000, Cache: NewCache(0), Files: NewFiles(4)}
	dirs := []string{t.TempDir(), t.TempDir(), t.TempDir()}
	manifests := make([][]byte, len(dirs))
	for round := range uint64(3) {
		stores := make([]*realStore, len(dirs))
		for i, dir := range dirs {
			stores[i] = openReal(t, dir, manifests[i], o)
			require.True(t, stores[i].report.Sound())
			require.Equal(t, round*1000, stores[i].store.State().Last)
		}
		for n := range 10 {
			for _, r := range stores {
				r.do(func() {
					for range 100 {
						_, err := r.store.Append(0, int64(n), []byte("a.b"), nil, make([]byte, 500), TTL{})
						require.NoError(t, err)
					}
				})
			}
		}
		for i, r := range stores {
			r.checkpoint(t)
			manifests[i] = r.manifest
			r.do(func() { r.store.Release(r.manifest) })
		}
		for seq := uint64(1); seq <= round*1000+1000; seq += 37 {
			for _, r := range stores {
				r.await(func(done func()) {
					r.store.Fetch(seq, func(m Msg, err error) {
						require.NoError(t, err)
						require.Equal(t, seq, m.Seq)
						require.Len(t, m.Data, 500)
						done()
					})
				})
			}
		}
		for _, r := range stores {
			r.do(r.store.Close)
		}
	}
}
