package msgs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/seal"
)

// fileRig is a store on a simulated disk beside its model, with what was durable last.
type fileRig struct {
	*rig
	disk     *storage.SimDisk
	machine  *clock.SimClock
	fs       storage.FS
	o        func() Options
	manifest []byte // the last one that is durable
	saved    *model // what it holds
	report   *Report
	fills    bool // the disk may be full
}

func newFileRig(t require.TestingT, seed uint64, o func(f *fileRig) Options) *fileRig {
	sim := clock.NewSim(seed)
	f := &fileRig{disk: storage.NewSimDisk(sim, "disk"), rig: &rig{world: world{sim: sim}}}
	f.o = func() Options { return o(f) }
	f.saved = &model{file: true}
	f.now = 1000
	f.start(t)
	return f
}

// start mounts the disk and opens the store as it was saved.
func (f *fileRig) start(t require.TestingT) {
	now := f.now
	f.mount()
	require.NoError(t, f.open(f.manifest))
	r := newRig(f.store, f.world, true)
	r.now = now
	r.model = f.saved.clone()
	f.rig = r
}

func (f *fileRig) mount() {
	f.machine = f.sim.Clock("server")
	f.strand = f.machine.NewStrand("stream")
	f.fs = f.disk.Mount()
}

// open opens the store and waits.
func (f *fileRig) open(manifest []byte) (err error) {
	called := 0
	f.store = nil
	OpenFile(f.fs, f.strand, "store", manifest, f.o(), func(s Store, r *Report, e error) {
		called++
		f.store, f.report, err = s, r, e
	})
	f.settle()
	if called != 1 {
		panic(fmt.Sprintf("OpenFile called back %d times", called))
	}
	return err
}

// checkpoint makes what there is durable, and waits.
func (f *fileRig) checkpoint(t require.TestingT) {
	saved := f.model.clone()
	called := 0
	f.store.Checkpoint(func(m []byte, err error) {
		called++
		require.NoError(t, err)
		f.manifest, f.saved = m, saved
	})
	f.settle()
	require.Equal(t, 1, called)
}

// crash ends the process and starts it anew.
func (f *fileRig) crash(t require.TestingT, power bool) {
	f.machine.Kill()
	if f.disk.Mounted() {
		if power {
			f.disk.PowerLoss()
		} else {
			f.disk.Crash()
		}
	}
	f.start(t)
}

func (f *fileRig) fileActions() map[string]func(*rapid.T) {
	actions := map[string]func(*rapid.T){
		"checkpoint": func(t *rapid.T) {
			f.checkpoint(t)
			if rapid.Bool().Draw(t, "release") {
				f.store.Release(f.manifest)
				f.settle()
			}
		},
		"checkpoint and go on": func(t *rapid.T) {
			saved := f.model.clone()
			st := f.store
			st.Checkpoint(func(m []byte, err error) {
				if errors.Is(err, ErrClosed) {
					return
				}
				require.NoError(t, err)
				f.manifest, f.saved = m, saved
				st.Release(m)
			})
			for range rapid.IntRange(0, 4).Draw(t, "steps") {
				f.sim.Step()
			}
		},
		"steps": func(t *rapid.T) {
			for range rapid.IntRange(1, 10).Draw(t, "steps") {
				f.sim.Step()
			}
		},
		"crash": func(t *rapid.T) {
			f.crash(t, rapid.Bool().Draw(t, "power"))
			require.True(t, f.report.Sound(), "%+v", f.report)
		},
		"close": func(t *rapid.T) {
			f.store.Close()
			f.settle()
			f.machine.Kill()
			f.disk.Unmount()
			f.start(t)
			require.True(t, f.report.Sound(), "%+v", f.report)
		},
		"fetch all": func(t *rapid.T) { f.checkAll(t) },
	}
	for name := range f.rig.actions() { // the rig changes with every start
		actions[name] = func(t *rapid.T) { f.rig.actions()[name](t) }
	}
	actions[""] = func(t *rapid.T) { f.check(t) }
	return actions
}

// fileVariants are the ways in which blocks are written.
var fileVariants = []struct {
	name string
	o    func(f *fileRig) Options
}{
	{"plain", func(*fileRig) Options { return Options{BlockBytes: 600, Files: NewFiles(4)} }},
	{"tiny blocks", func(*fileRig) Options { return Options{BlockBytes: 256, Identity: 7} }},
	{"in the manifest", func(*fileRig) Options { return Options{BlockBytes: 4000} }},
	{"large blocks", func(*fileRig) Options { return Options{} }},
	{"s2", func(*fileRig) Options { return Options{BlockBytes: 700, Compression: S2} }},
	{"encrypted", encrypted(NoCompression)},
	{"encrypted s2", encrypted(S2)},
}

func encrypted(c Compression) func(f *fileRig) Options {
	return func(f *fileRig) Options {
		return Options{BlockBytes: 700, Compression: c, Sealer: aSealer(f.machine.Entropy("salt"))}
	}
}

// aSealer is one with the key that all tests use, and salts of its own.
func aSealer(salt io.Reader) *seal.Sealer {
	a, _, err := seal.NewKeyring("a key", "").NewAsset(bytes.NewReader(make([]byte, 1<<10)), seal.ChaCha20Poly1305, "A", "S")
	if err != nil {
		panic(err)
	}
	s, err := a.Sealer(salt, "blocks")
	if err != nil {
		panic(err)
	}
	return s
}

// fileAgainstModel is the property that a store in files answers as the model does, whatever happens to its process.
func fileAgainstModel(o func(f *fileRig) Options) func(t *rapid.T) {
	return func(t *rapid.T) {
		f := newFileRig(t, rapid.Uint64Range(0, 7).Draw(t, "tuning"), o)
		t.Repeat(f.fileActions())
		f.checkAll(t)
	}
}

func TestFileAgainstModel(t *testing.T) {
	for _, v := range fileVariants {
		t.Run(v.name, func(t *testing.T) { rapid.Check(t, fileAgainstModel(v.o)) })
	}
}

func FuzzFileAgainstModel(f *testing.F) { f.Fuzz(rapid.MakeFuzz(fileAgainstModel(fileVariants[0].o))) }
