package msgs

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/storage"
)

// TestDamage spoils a file anyhow. Whatever it was: nothing wrong is ever read, what is lost is named, the rest is
// there, and the store goes on.
func TestDamage(t *testing.T) {
	for _, v := range fileVariants {
		t.Run(v.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				f := newFileRig(t, 1, v.o)
				r := f.rig
				for range rapid.IntRange(1, 4).Draw(t, "rounds") {
					r.append(t, rapid.IntRange(1, 30).Draw(t, "messages"))
					r.actions()["remove"](t)
					f.checkpoint(t)
				}
				f.store.Release(f.manifest)
				f.settle()
				f.machine.Kill()
				f.disk.PowerLoss()
				f.spoil(t)
				verdict := f.verify(t)
				f.start(t)
				require.Equal(t, verdict.Lost, f.afterDamage(t))
				lost := slices.DeleteFunc(f.store.State().LostMsgs, f.store.Has)
				f.append(t, 5)
				for range 3 {
					f.checkpoint(t)
					f.store.Release(f.manifest)
					f.settle()
				}
				f.crash(t, true)
				f.afterDamage(t)
				require.Subset(t, f.store.State().LostMsgs, lost)
			})
		})
	}
}

// verify looks at a store that nobody has open.
func (f *fileRig) verify(t require.TestingT) (report *Report) {
	before := map[string][]byte{}
	for _, name := range f.disk.Files() {
		before[name] = f.disk.ReadFile(name)
	}
	f.mount()
	var infos []FileInfo
	Verify(f.fs, f.strand, "store", f.manifest, f.o(), func(r *Report, err error) {
		require.NoError(t, err)
		report = r
	})
	f.settle()
	Inspect(f.fs, f.strand, "store", f.o(), func(l []FileInfo, err error) {
		require.NoError(t, err)
		infos = l
	})
	f.settle()
	require.NotNil(t, report)
	require.Len(t, infos, len(before))
	f.machine.Kill()
	f.disk.Unmount()
	for name, p := range before {
		require.Equal(t, p, f.disk.ReadFile(name), "verifying changed %s", name)
	}
	for _, info := range infos {
		if len(info.Damage) == 0 {
			require.NotEqual(t, "unknown", info.Kind)
		}
	}
	return report
}

// spoil damages one file.
func (f *fileRig) spoil(t *rapid.T) {
	if len(f.disk.Files()) == 0 {
		return // everything is in the manifest
	}
	name := rapid.SampledFrom(f.disk.Files()).Draw(t, "file")
	size, _ := f.disk.FileSize(name)
	sector := rapid.Int64Range(0, max(size-1, 0)/512).Draw(t, "sector")
	var done bool
	switch rapid.IntRange(0, 6).Draw(t, "how") {
	case 0:
		done = f.disk.FlipBit(name, rapid.Int64Range(0, 8*size-1).Draw(t, "bit"))
	case 1:
		done = f.disk.RotSector(name, sector, storage.Rot(rapid.IntRange(0, 1).Draw(t, "rot")))
	case 2:
		done = f.disk.CutFile(name, rapid.Int64Range(0, size-1).Draw(t, "cut"))
	case 3:
		done = f.disk.LoseFile(name)
	case 4:
		done = f.disk.BreakSector(name, sector)
	case 6:
		done = true // unless there is no other sector
		f.disk.Misdirect(name, sector, rapid.Int64Range(0, max(size-1, 0)/512).Draw(t, "landed"))
	case 5:
		for range 2 {
			done = f.disk.FlipBit(name, rapid.Int64Range(0, 8*size-1).Draw(t, "bit"))
		}
	}
	require.True(t, done)
}

// afterDamage reads every message that should be there, takes those out of the model that are not, and gives what is
// lost.
func (f *fileRig) afterDamage(t require.TestingT) (lost []uint64) {
	gone := []uint64{}
	for _, x := range f.model.clone().list {
		var got Msg
		var err error
		f.store.Fetch(x.Seq, func(m Msg, e error) { got, err = m, e })
		f.settle()
		switch {
		case err == nil:
			f.same(t, x, got)
			continue
		case f.store.Has(x.Seq):
			require.ErrorIs(t, err, ErrLost)
			text, _ := f.store.SubjectOf(x.Seq)
			require.Equal(t, x.Subject, text)
		default:
			require.ErrorIs(t, err, ErrNotFound)
			gone = append(gone, x.Seq)
			f.model.remove(x.Seq, ByDelete, false)
		}
		lost = append(lost, x.Seq)
	}
	require.Equal(t, gone, append([]uint64{}, f.report.Lost...))
	st := f.store.State()
	require.Subset(t, st.LostMsgs, lost)
	if len(gone) > 0 {
		require.NotEmpty(t, f.report.Damage)
	}
	st.LostMsgs, st.LostBytes = nil, 0
	require.Equal(t, f.model.state(), st)
	return lost
}

func TestErase(t *testing.T) {
	for _, v := range fileVariants {
		t.Run(v.name, func(t *testing.T) {
			f := newFileRig(t, 1, v.o)
			secret := strings.Repeat("secret", 10)
			put := func(data string) uint64 {
				seq, err := f.store.Append(0, 0, []byte("a"), []byte("NATS/1.0\r\nA: "+data+"\r\n\r\n"), []byte(data), TTL{})
				require.NoError(t, err)
				require.NoError(t, f.model.append(modelMsg{Msg: Msg{Subject: "a", Header: []byte("NATS/1.0\r\nA: " + data + "\r\n\r\n"), Data: []byte(data)}}))
				return seq
			}
			var erased []uint64
			for i := range 30 {
				if seq := put(fmt.Sprintf("public %d", i)); i%4 == 0 {
					erased = append(erased, seq+1)
					put(secret)
				}
			}
			kept, found := f.store.Load(erased[0])
			require.Equal(t, Cached, found)
			f.checkpoint(t)
			f.store.Release(f.manifest)
			plain := v.name == "plain" || v.name == "tiny blocks"
			if plain {
				require.True(t, f.onDisk(secret))
			}
			for _, seq := range erased {
				require.True(t, f.store.Remove(seq, true, ByDelete))
				f.model.remove(seq, ByDelete, false)
			}
			require.Equal(t, secret, string(kept.Data), "what readers have does not change")
			for range 3 {
				f.checkpoint(t)
				f.store.Release(f.manifest)
				f.settle()
			}
			require.False(t, f.onDisk(secret))
			for _, b := range f.store.(*store).blocks {
				for _, fr := range b.frames {
					require.False(t, bytes.Contains(fr.bytes(), []byte(secret)), "in memory")
				}
			}
			f.checkAll(t)
			f.crash(t, true)
			require.True(t, f.report.Sound())
			f.checkAll(t)
		})
	}
}

// TestEraseInTheLastBlock: it has to be written anew although it is not full.
func TestEraseInTheLastBlock(t *testing.T) {
	f := newFileRig(t, 0, func(f *fileRig) Options { return Options{Compression: S2} })
	f.load(t, 100, 100)
	f.checkpoint(t)
	f.store.Release(f.manifest)
	f.settle()
	files := f.disk.Files()
	require.True(t, f.store.Remove(7, true, ByDelete))
	f.model.remove(7, ByDelete, false)
	for range 3 {
		f.checkpoint(t)
		f.store.Release(f.manifest)
		f.settle()
	}
	require.NotContains(t, f.disk.Files(), files[0])
	f.load(t, 100, 100)
	f.checkpoint(t)
	f.crash(t, true)
	f.checkAll(t)
}

func TestEraseBeforeWriting(t *testing.T) {
	for _, memory := range []bool{true, false} {
		f := newFileRig(t, 1, fileVariants[0].o)
		st := f.store
		if memory {
			st = NewMemory(f.strand, Options{})
		}
		_, err := st.Append(0, 0, []byte("a"), nil, []byte("a secret"), TTL{})
		require.NoError(t, err)
		m, _ := st.Load(1)
		_, err = st.Append(0, 0, []byte("a"), nil, []byte("no secret"), TTL{})
		require.NoError(t, err)
		require.True(t, st.Remove(1, true, ByDelete))
		require.Equal(t, "a secret", string(m.Data))
		for _, fr := range st.(*store).blocks[0].frames {
			require.NotContains(t, string(fr.bytes()), "a secret")
		}
		st.Checkpoint(func([]byte, error) {})
		f.settle()
		require.False(t, f.onDisk("a secret"))
	}
}

// onDisk tells whether any file holds text.
func (f *fileRig) onDisk(text string) bool {
	return slices.ContainsFunc(f.disk.Files(), func(name string) bool {
		return bytes.Contains(f.disk.ReadFile(name), []byte(text))
	})
}
