//lockstep:exempt reads and writes the files of tests

// Package scripts holds tests to the scripts that they keep in testdata. A script says what to do and
// what came of it, in full; go test -rewrite accepts what comes of it now. What the commands mean is the
// test's own. Nothing but tests may import this package: it defines that flag.
package scripts

import (
	"flag"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "accept what the scripts print now")

// Script is one file.
type Script struct {
	Text string
	path string
}

// Each runs test as a subtest for each file that matches the pattern, of which there must be one.
func Each(t *testing.T, pattern string, test func(*testing.T, *Script)) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	require.NoError(t, err)
	require.NotEmpty(t, files, "no scripts match %s", pattern)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			test(t, &Script{string(text), file})
		})
	}
}

// Hold fails the test when the script is not what was printed; accept makes it so instead.
func (s *Script) Hold(t *testing.T, printed string, accept bool) {
	t.Helper()
	if accept {
		require.NoError(t, os.WriteFile(s.path, []byte(printed), 0o644))
		return
	}
	if line, want, got := difference(s.Text, printed); line > 0 {
		t.Errorf("%s:%d: another line is printed\nwant %s\ngot  %s", s.path, line, want, got)
	}
}

// difference is the first line that differs, from 1; 0 when none does.
func difference(want, got string) (line int, wanted, printed string) {
	a, b := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(a), len(b)) {
		wanted, printed = "(the end)", "(the end)"
		if i < len(a) {
			wanted = a[i]
		}
		if i < len(b) {
			printed = b[i]
		}
		if i >= len(a) || i >= len(b) || wanted != printed {
			return i + 1, wanted, printed
		}
	}
	return 0, "", ""
}

// Run holds each file that matches the pattern to what print makes of its text.
func Run(t *testing.T, pattern string, print func(t *testing.T, text string) string) {
	t.Helper()
	Each(t, pattern, func(t *testing.T, s *Script) { s.Hold(t, print(t, s.Text), *rewrite) })
}

// Blocks prints a script of blocks anew. Empty lines divide them; a block is what run is given, then,
// after a line ----, what run gave. Without that line nothing may come of a block.
func Blocks(text string, run func(in string) (out string)) string {
	var b strings.Builder
	for i, block := range strings.Split(strings.TrimSpace(text), "\n\n") {
		if i > 0 {
			b.WriteString("\n")
		}
		in, _, asked := strings.Cut(block+"\n", "----\n")
		b.WriteString(in)
		if out := run(in); asked || out != "" {
			b.WriteString("----\n" + out)
		}
	}
	return b.String()
}

// Commands are the lines of a block that are neither empty nor comments, which begin with #.
func Commands(in string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for line := range strings.Lines(in) {
			if line = strings.TrimSpace(line); line != "" && line[0] != '#' && !yield(line) {
				return
			}
		}
	}
}
