package parity

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
)

// reserved are the words that call something unfinished. Documents use them for
// nothing else; CONTRIBUTING.md lists them with what to write instead.
var reserved = regexp.MustCompile(`(?i)\b(` + strings.Join([]string{
	`missing`, `partial(ly)?`, `stub(s|bed)?`, `placeholders?`, `planned`, `unfinished`, `incomplete`,
	`not (there )?yet`, `yet to (be|come)`, `coming (soon|later)`, `work in progress`, `wip`,
	`todo`, `fixme`, `tbd`, `to be done`,
	`unimplemented`, `not implemented`, `unsupported`, `not (yet )?supported`, `does not support`, `do not support`,
	`(future|later|next) (release|version)s?`,
}, "|") + `)\b`)

var (
	// mention is how a document speaks of a row: missing: id, or missing: id, id.
	mention  = regexp.MustCompile(`\bmissing:[ \t]*([a-z0-9][a-z0-9-]*(?:,[ \t]*[a-z0-9][a-z0-9-]*)*)`)
	codeSpan = regexp.MustCompile("`[^`]*`")
	skipDirs = []string{".git", "bin", "out", "testdata", "vendor", "node_modules"}
)

// Scan reads every Markdown file of the tree. A mention must name a row that
// exists and is not done, a line with a reserved word must carry one, and links
// between documents must lead somewhere.
func (m *Map) Scan(tree fs.FS) ([]Problem, error) {
	var problems []Problem
	docs := newSections(tree)
	err := fs.WalkDir(tree, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(skipDirs, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || !strings.HasSuffix(name, ".md"):
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		problems = append(problems, m.ScanText(name, string(text))...)
		problems = append(problems, docs.links(name, string(text))...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("read the documents: %w", err)
	}
	return problems, nil
}

// ScanText judges one document. Fenced code and, for the words, code between
// backticks is not prose; the rows of the inventory itself are not either.
func (m *Map) ScanText(file, text string) []Problem {
	var problems []Problem
	var fence fence
	for i, line := range strings.Split(text, "\n") {
		if fence.step(line) || file == m.File && strings.HasPrefix(line, "|") {
			continue
		}
		for _, fault := range m.judge(line) {
			problems = append(problems, Problem{file, i + 1, fault})
		}
	}
	return problems
}

func (m *Map) judge(line string) []string {
	var faults []string
	open := 0
	for _, found := range mention.FindAllStringSubmatch(line, -1) {
		for id := range strings.SplitSeq(found[1], ",") {
			id = strings.TrimSpace(id)
			row, ok := m.Row(id)
			switch {
			case !ok:
				faults = append(faults, fmt.Sprintf("missing: %s names no row of %s", id, m.File))
			case row.Behaviour == Done:
				faults = append(faults, fmt.Sprintf("missing: %s is said of a row that is done (%s:%d)", id, m.File, row.Line))
			default:
				open++
			}
		}
	}
	prose := codeSpan.ReplaceAllString(mention.ReplaceAllString(line, ""), "")
	if word := reserved.FindString(prose); word != "" && open == 0 {
		faults = append(faults, fmt.Sprintf("%q calls something unfinished: name its row on this line as missing: <row id>, or use another word", word))
	}
	return faults
}
