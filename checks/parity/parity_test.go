package parity

import (
	"cmp"
	"io/fs"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
)

const inventory = "docs/parity.md"

// TestInventory holds the project's own inventory, and all its documents.
func TestInventory(t *testing.T) {
	for _, p := range judgeTree(t, os.DirFS("../..")) {
		t.Error(p)
	}
	m, _, err := Load(os.DirFS("../.."), inventory)
	require.NoError(t, err)
	done, partial, missing := m.Count()
	t.Logf("%d rows: %d done, %d partial, %d missing", len(m.Rows), done, partial, missing)
	require.Greater(t, len(m.Rows), 100, "an inventory that lists little proves little")
}

func TestGoodTreePasses(t *testing.T) {
	tree, _ := unpack(t, "testdata/good.txtar")
	assert.Empty(t, judgeTree(t, tree))

	m, _, err := Load(tree, inventory)
	require.NoError(t, err)
	done, partial, missing := m.Count()
	assert.Equal(t, [3]int{3, 1, 1}, [3]int{done, partial, missing})
	row, ok := m.Row("publish")
	require.True(t, ok)
	assert.Equal(t, Row{
		ID: "publish", Section: "Core", Capability: "PUB | HPUB reach subscribers", Behaviour: Done,
		Tests: []TestName{{"wire", "TestPublish"}, {"wire", "TestThroughHelper"}},
		Doc:   Reference{"docs/protocol.md", "pub--hpub"}, Line: 9,
	}, row)
}

func TestEveryFaultIsTold(t *testing.T) {
	tree, want := unpack(t, "testdata/bad.txtar")
	problems := judgeTree(t, tree)
	slices.SortStableFunc(problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line))
	})
	lines := strings.Split(strings.TrimSpace(want), "\n")
	for i := range max(len(lines), len(problems)) {
		switch {
		case i >= len(problems):
			t.Errorf("not told: %s", lines[i])
		case i >= len(lines):
			t.Errorf("told of nothing: %s", problems[i])
		default:
			assert.True(t, strings.HasPrefix(problems[i].String(), lines[i]), "got  %s\nwant %s", problems[i], lines[i])
		}
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	_, _, err := Load(fstest.MapFS{}, inventory)
	require.ErrorContains(t, err, "parity.md")
}

func TestAnchors(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"plain", "# Two Words", []string{"two-words"}},
		{"marks go", "## What's `-t`, exactly?", []string{"whats--t-exactly"}},
		{"repeated", "# A\n# A\n# a", []string{"a", "a-1", "a-2"}},
		{"closing hashes", "## A ##", []string{"a"}},
		{"link text stays", "# See [the docs](x.md)", []string{"see-the-docs"}},
		{"underscore stays", "# max_payload", []string{"max_payload"}},
		{"letters of any script", "# Größe Ω", []string{"größe-ω"}},
		{"needs a blank", "#no", nil},
		{"not in a fence", "```\n# no\n```\n# yes", []string{"yes"}},
		{"longer fence", "````\n```\n# no\n````\n# yes", []string{"yes"}},
		{"tilde fence", "~~~ sh\n# no\n~~~\n# yes", []string{"yes"}},
	} {
		t.Run(tc.name, func(t *testing.T) { assert.Equal(t, tc.want, Anchors(tc.text)) })
	}
}

func TestScanText(t *testing.T) {
	m, problems := Parse(inventory, Header+"\n|---|---|---|---|---|\n"+
		"| open | x | missing | - | - |\n| half | x | partial | - | - |\n| shut | x | done | a.TestX | d.md#x |\n")
	require.Empty(t, problems)
	for _, tc := range []struct {
		name, line string
		faults     int
	}{
		{"plain prose", "The server listens.", 0},
		{"mention", "Streams are missing: open.", 0},
		{"mention in code", "Streams (`missing: open`).", 0},
		{"two mentions", "Both (missing: open, half) are planned.", 0},
		{"one of two is done", "Both (missing: open, shut).", 1},
		{"mention of nothing", "(missing: nothing)", 1},
		{"word without mention", "Streams are not supported yet.", 1},
		{"any case", "TODO", 1},
		{"half a word", "An impartial plan, a stubborn wip-er? No: impartiality.", 1},
		{"no such word", "impartial, stubborn, swipe, method", 0},
		{"word in code", "It prints `x is not supported`.", 0},
		{"colon without an id", "What is missing: Everything.", 1},
	} {
		t.Run(tc.name, func(t *testing.T) { assert.Len(t, m.ScanText("README.md", tc.line), tc.faults) })
	}
}

// judgeTree is everything that the checker has to say about a tree.
func judgeTree(t *testing.T, tree fs.FS) []Problem {
	t.Helper()
	m, problems, err := Load(tree, inventory)
	require.NoError(t, err)
	problems = append(problems, m.Check(tree)...)
	scanned, err := m.Scan(tree)
	require.NoError(t, err)
	return append(problems, scanned...)
}

// unpack reads a fixture: its tree, and its file "want".
func unpack(t *testing.T, name string) (tree fstest.MapFS, want string) {
	t.Helper()
	archive, err := txtar.ParseFile(name)
	require.NoError(t, err)
	tree = fstest.MapFS{}
	for _, f := range archive.Files {
		tree[f.Name] = &fstest.MapFile{Data: f.Data}
	}
	text, err := tree.ReadFile("want")
	if err == nil {
		want = string(text)
	}
	delete(tree, "want")
	return tree, want
}

// FuzzParse looks for text that the parser of the inventory does not survive.
func FuzzParse(f *testing.F) {
	f.Add(Header + "\n|---|---|---|---|---|\n| a | b | done | c.TestD | e.md#f |\n")
	f.Add(Header + "\n||||||\n|\n| \\| |")
	f.Add("# h\n```\n" + Header)
	f.Fuzz(func(t *testing.T, text string) {
		m, _ := Parse(inventory, text)
		for _, r := range m.Rows {
			if got, ok := m.Row(r.ID); !ok || got.Line != r.Line {
				t.Errorf("row %q of line %d is not found by its id", r.ID, r.Line)
			}
		}
		m.ScanText("x.md", text)
		Anchors(text)
	})
}
