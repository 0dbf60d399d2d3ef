// Package parity holds docs/parity.md, the inventory of what the server can do
// and what it cannot do yet, to the truth of the tree.
//
// It parses the inventory ([Parse]), looks up the tests and the document
// sections that each row names ([Map.Check]), and reads all documents for words
// that call something unfinished and for links that lead nowhere ([Map.Scan]). It judges files only: it runs no
// test and starts nothing, and it belongs to no strand.
package parity

import (
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Header is the head of every table of the inventory.
const Header = "| id | capability | behaviour | tests | docs |"

// Behaviour says how much of a capability there is.
type Behaviour string

// The three values of the behaviour column.
const (
	Done    Behaviour = "done"    // as the official server, with tests and a document
	Partial Behaviour = "partial" // some of it
	Missing Behaviour = "missing" // nothing of it
)

// Row is one capability.
type Row struct {
	ID         string
	Section    string // the heading above its table
	Capability string
	Behaviour  Behaviour
	Tests      []TestName
	Doc        Reference // the zero value where the cell is "-"
	Line       int       // of the inventory, from one
}

// TestName names a test function: the package's path below the module, and the function.
type TestName struct{ Package, Func string }

func (n TestName) String() string { return n.Package + "." + n.Func }

// Reference names a section of a document: a path below the root, and the heading's anchor.
type Reference struct{ File, Anchor string }

func (r Reference) String() string { return r.File + "#" + r.Anchor }

// Problem is one thing to be mended. Line is 0 where none applies.
type Problem struct {
	File string
	Line int
	Text string
}

func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Text
	}
	return fmt.Sprintf("%s:%d: %s", p.File, p.Line, p.Text)
}

// Map is the parsed inventory.
type Map struct {
	File string // its path below the root
	Rows []Row
	byID map[string]int
}

var (
	idPattern   = regexp.MustCompile(`^[a-z0-9]+(-[a-z0-9]+)*$`)
	funcPattern = regexp.MustCompile(`^(Test|Fuzz|Benchmark)[A-Z0-9_]\w*$`)
	cellBreak   = regexp.MustCompile(`\\\||\|`)
)

// Parse reads the text of the inventory. It returns what it understood, and what
// is wrong with the form of the rest.
func Parse(file, text string) (*Map, []Problem) {
	m := &Map{File: file, byID: map[string]int{}}
	var problems []Problem
	section, inTable := "", false
	for i, line := range strings.Split(text, "\n") {
		line = strings.TrimRight(line, " \r")
		switch {
		case strings.HasPrefix(line, "#"):
			section, inTable = strings.TrimSpace(strings.TrimLeft(line, "#")), false
		case line == Header:
			inTable = true
		case !strings.HasPrefix(line, "|"):
			inTable = false
		case !inTable || isRule(line):
		default:
			row, faults := parseRow(line)
			row.Section, row.Line = section, i+1
			for _, f := range faults {
				problems = append(problems, Problem{file, i + 1, f})
			}
			if first, twice := m.byID[row.ID]; twice {
				problems = append(problems, Problem{file, i + 1, fmt.Sprintf("id %q is taken by line %d", row.ID, m.Rows[first].Line)})
				continue
			}
			m.byID[row.ID] = len(m.Rows)
			m.Rows = append(m.Rows, row)
		}
	}
	return m, problems
}

// Row finds a row by its id.
func (m *Map) Row(id string) (Row, bool) {
	i, ok := m.byID[id]
	if !ok {
		return Row{}, false
	}
	return m.Rows[i], true
}

// Count tells how many rows have each behaviour.
func (m *Map) Count() (done, partial, missing int) {
	for _, r := range m.Rows {
		switch r.Behaviour {
		case Done:
			done++
		case Partial:
			partial++
		case Missing:
			missing++
		}
	}
	return done, partial, missing
}

// isRule tells the line of dashes under a table's head.
func isRule(line string) bool { return strings.Trim(line, "|-: ") == "" }

func parseRow(line string) (Row, []string) {
	cells := splitCells(line)
	if len(cells) != 5 {
		return Row{ID: first(cells)}, []string{fmt.Sprintf("a row has 5 cells, this one has %d", len(cells))}
	}
	var faults []string
	row := Row{ID: cells[0], Capability: cells[1], Behaviour: Behaviour(cells[2])}
	if !idPattern.MatchString(row.ID) {
		faults = append(faults, fmt.Sprintf("id %q: lower-case words and digits joined by hyphens are allowed", row.ID))
	}
	if row.Capability == "" {
		faults = append(faults, "the capability is empty")
	}
	if !slices.Contains([]Behaviour{Done, Partial, Missing}, row.Behaviour) {
		faults = append(faults, fmt.Sprintf("behaviour %q: done, partial or missing are allowed", cells[2]))
	}
	tests, err := parseTests(cells[3])
	if err != nil {
		faults = append(faults, err.Error())
	}
	doc, err := parseReference(cells[4])
	if err != nil {
		faults = append(faults, err.Error())
	}
	row.Tests, row.Doc = tests, doc
	return row, faults
}

// splitCells cuts a line of a table; `\|` is a bar inside a cell.
func splitCells(line string) []string {
	line = strings.TrimSuffix(strings.TrimPrefix(line, "|"), "|")
	var cells []string
	start := 0
	for _, at := range cellBreak.FindAllStringIndex(line, -1) {
		if at[1]-at[0] == 1 {
			cells = append(cells, line[start:at[0]])
			start = at[1]
		}
	}
	cells = append(cells, line[start:])
	for i, c := range cells {
		cells[i] = strings.TrimSpace(strings.ReplaceAll(c, `\|`, "|"))
	}
	return cells
}

func parseTests(cell string) ([]TestName, error) {
	if cell == "-" {
		return nil, nil
	}
	var names []TestName
	for name := range strings.SplitSeq(cell, ",") {
		name = strings.Trim(strings.TrimSpace(name), "`")
		dot := strings.LastIndexByte(name, '.')
		if dot <= 0 || !funcPattern.MatchString(name[dot+1:]) || path.Clean(name[:dot]) != name[:dot] {
			return names, fmt.Errorf("test %q: write package/path.TestName, several joined by commas, or -", name)
		}
		names = append(names, TestName{name[:dot], name[dot+1:]})
	}
	return names, nil
}

func parseReference(cell string) (Reference, error) {
	if cell == "-" {
		return Reference{}, nil
	}
	file, anchor, ok := strings.Cut(strings.Trim(cell, "`"), "#")
	if !ok || anchor == "" || !strings.HasSuffix(file, ".md") {
		return Reference{}, fmt.Errorf("document %q: write docs/file.md#section-anchor, or -", cell)
	}
	return Reference{file, anchor}, nil
}

func first(cells []string) string {
	if len(cells) == 0 {
		return ""
	}
	return cells[0]
}
