package scripts

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// shout gives commands in capitals, a line each; "hush" gives nothing.
func shout(in string) (out string) {
	for c := range Commands(in) {
		if c != "hush" {
			out += strings.ToUpper(c) + "\n"
		}
	}
	return out
}

func TestBlocks(t *testing.T) {
	for _, tc := range []struct{ name, text, want string }{
		{"as it is", "# says\na\n b \n----\nA\nB\n\nhush\n----\n\n# the end\n", "# says\na\n b \n----\nA\nB\n\nhush\n----\n\n# the end\n"},
		{"another output", "a\n----\nx\ny\n\nb\n----\n", "a\n----\nA\n\nb\n----\nB\n"},
		{"output to come", "a\n\nhush\n", "a\n----\nA\n\nhush\n"},
		{"no line at the end", "a\n----", "a\n----\nA\n"},
	} {
		t.Run(tc.name, func(t *testing.T) { require.Equal(t, tc.want, Blocks(tc.text, shout)) })
	}
}

func TestCommandsEndWhenAsked(t *testing.T) {
	for c := range Commands("a\nb\n") {
		require.Equal(t, "a", c)
		break
	}
}

func TestDifference(t *testing.T) {
	for _, tc := range []struct {
		want, got       string
		line            int
		wanted, printed string
	}{
		{"a\nb\n", "a\nb\n", 0, "", ""},
		{"", "", 0, "", ""},
		{"a\nb\n", "a\nc\n", 2, "b", "c"},
		{"a\n", "a", 2, "", "(the end)"},
		{"a", "a\nb", 2, "(the end)", "b"},
		{"a\n(the end)", "a", 2, "(the end)", "(the end)"},
	} {
		line, wanted, printed := difference(tc.want, tc.got)
		require.Equal(t, tc.line, line, "%q and %q", tc.want, tc.got)
		require.Equal(t, []string{tc.wanted, tc.printed}, []string{wanted, printed}, "%q and %q", tc.want, tc.got)
	}
}

func TestEachFile(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.txt", "a.txt", "a.other"} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	var seen []string
	Each(t, dir+"/*.txt", func(t *testing.T, s *Script) {
		seen = append(seen, filepath.Base(t.Name())+"="+s.Text)
		s.Hold(t, s.Text, false)
		s.Hold(t, "new", true)
		text, err := os.ReadFile(s.path)
		require.NoError(t, err)
		require.Equal(t, "new", string(text))
	})
	require.Equal(t, []string{"a=a.txt", "b=b.txt"}, seen)
	Run(t, dir+"/*.txt", func(_ *testing.T, text string) string { return text })
}
