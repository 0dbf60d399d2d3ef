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
