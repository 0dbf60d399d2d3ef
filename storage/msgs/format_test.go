package msgs

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/storage"
)

var update = flag.Bool("update", false, "write the files of the format test anew: only with a new version of the format")

// TestFormat opens stores that were written when the format was made, and compares what is written now. Old stores must
// open for ever; a change of the bytes needs a new version.
func TestFormat(t *testing.T) {
	for _, v := range fileVariants {
		if v.name == "large blocks" || v.name == "in the manifest" {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			dir := filepath.Join("testdata", "format1", v.name)
			f := newFileRig(t, 0, v.o)
			f.story(t, false, func() bool { return false })
			f.machine.Kill()
			f.disk.PowerLoss()
			if *update {
				writeGolden(t, dir, f)
			}
			manifest, files := readGolden(t, dir)
			if v.name == "plain" || v.name == "tiny blocks" { // compressors and salts may change
				require.Equal(t, manifest, f.manifest)
				for name, p := range files {
					require.Equal(t, p, f.disk.ReadFile("store/"+name), name)
				}
			}
			old := newFileRig(t, 0, v.o)
			putFiles(t, old, files)
			old.manifest, old.saved = manifest, f.saved
			old.machine.Kill()
			old.disk.Unmount()
			old.start(t)
			require.True(t, old.report.Sound(), "%+v", old.report)
			require.Equal(t, old.model.state(), old.store.State())
			old.checkAll(t)
			require.Empty(t, old.verifyAgain(t).Damage)
		})
	}
}

func (f *fileRig) verifyAgain(t require.TestingT) *Report {
	f.machine.Kill()
	f.disk.Unmount()
	return f.verify(t)
}

func writeGolden(t *testing.T, dir string, f *fileRig) {
	require.NoError(t, os.MkdirAll(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "manifest"), f.manifest, 0o644))
	for _, name := range f.disk.Files() {
		require.NoError(t, os.WriteFile(filepath.Join(dir, filepath.Base(name)), f.disk.ReadFile(name), 0o644))
	}
}

func readGolden(t *testing.T, dir string) (manifest []byte, files map[string][]byte) {
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	files = map[string][]byte{}
	for _, e := range entries {
		p, err := os.ReadFile(filepath.Join(dir, e.Name()))
		require.NoError(t, err)
		if e.Name() == "manifest" {
			manifest = p
		} else {
			files[e.Name()] = p
		}
	}
	require.NotEmpty(t, manifest)
	require.NotEmpty(t, files)
	return manifest, files
}

// put makes a file on the disk.
func (f *fileRig) put(t require.TestingT, name string, content []byte) {
	f.fs.Open(f.strand, name, storage.Create, func(g storage.File, err error) {
		require.NoError(t, err)
		_, err = g.Append(content)
		require.NoError(t, err)
		g.Sync(f.strand, func(err error) { require.NoError(t, err) })
	})
	f.settle()
}

// putFiles fills the store's directory.
func putFiles(t *testing.T, f *fileRig, files map[string][]byte) {
	for name, p := range files {
		f.put(t, "store/"+name, p)
	}
	f.fs.SyncDir(f.strand, "store", func(err error) { require.NoError(t, err) })
	f.settle()
}
