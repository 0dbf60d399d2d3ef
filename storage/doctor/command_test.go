//lockstep:exempt it writes a real directory

package doctor

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// realStore writes the files of a simulated disk to a directory.
func realStore(t *testing.T, w *world) string {
	dir := t.TempDir()
	for name, content := range w.image() { //lockstep:ordered each is written by itself
		full := filepath.Join(dir, "jetstream", name)
		require.NoError(t, os.MkdirAll(filepath.Dir(full), 0o700))
		require.NoError(t, os.WriteFile(full, []byte(content), 0o600))
	}
	return dir
}

func TestCommand(t *testing.T) {
	w := newWorld(1)
	build(t, w, "ORDERS")
	dir := realStore(t, w)
	run := func(args ...string) (int, string, string) {
		var out, errs bytes.Buffer
		code := Command(args, &out, &errs)
		return code, out.String(), errs.String()
	}
	for _, d := range []string{dir, filepath.Join(dir, "jetstream")} {
		for _, verb := range []string{"verify", "inspect"} {
			code, out, errs := run(verb, d)
			require.Zero(t, code, "%s%s", out, errs)
			require.Contains(t, out, "ACME > ORDERS")
			require.Empty(t, errs)
		}
	}

	for _, args := range [][]string{{}, {"verify"}, {"repair", dir}, {"verify", dir, "x"}} {
		code, out, errs := run(args...)
		require.Equal(t, 2, code)
		require.Empty(t, out)
		require.Equal(t, Usage, errs)
	}
	code, out, _ := run("help")
	require.Zero(t, code)
	require.Equal(t, Usage, out)
	code, _, errs := run("verify", filepath.Join(dir, "none"))
	require.Equal(t, 2, code)
	require.Contains(t, errs, "no such directory")
	_, err := os.Stat(filepath.Join(dir, "none"))
	require.ErrorIs(t, err, os.ErrNotExist, "it must not be made")

	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "streams", "*", "*.blk"))
	require.NoError(t, err)
	content, err := os.ReadFile(blocks[0])
	require.NoError(t, err)
	content[1000] ^= 1
	require.NoError(t, os.WriteFile(blocks[0], content, 0o600))
	code, out, _ = run("verify", dir)
	require.Equal(t, 1, code)
	require.Contains(t, out, "DAMAGED")
}
