package parity

import (
	"fmt"
	"io/fs"
	"strings"
)

// Load reads the inventory from a file of the tree.
func Load(tree fs.FS, file string) (*Map, []Problem, error) {
	text, err := fs.ReadFile(tree, file)
	if err != nil {
		return nil, nil, fmt.Errorf("read the inventory: %w", err)
	}
	m, problems := Parse(file, string(text))
	return m, problems, nil
}

// Check holds every row against the tree: whatever a row names must be there, and
// a row that is done must name enough.
func (m *Map) Check(tree fs.FS) []Problem {
	tests, docs := NewTests(tree), newSections(tree)
	var problems []Problem
	for _, r := range m.Rows {
		for _, fault := range r.check(tests, docs) {
			problems = append(problems, Problem{m.File, r.Line, r.ID + ": " + fault})
		}
	}
	return problems
}

func (r Row) check(tests *Tests, docs *sections) []string {
	var faults []string
	proper := false
	for _, name := range r.Tests {
		if err := tests.Judge(name); err != nil {
			faults = append(faults, err.Error())
		}
		proper = proper || strings.HasPrefix(name.Func, "Test")
	}
	if r.Doc != (Reference{}) {
		if err := docs.find(r.Doc); err != nil {
			faults = append(faults, err.Error())
		}
	}
	if r.Behaviour != Done {
		return faults
	}
	if !proper {
		faults = append(faults, "is done but names no test (a fuzz target or a benchmark alone is not enough)")
	}
	if r.Doc == (Reference{}) {
		faults = append(faults, "is done but names no document section")
	}
	return faults
}
