package parity

import (
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"strings"
)

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// links judges the links of one document to other files of the tree and their
// sections. Links to elsewhere are nobody's to check.
func (s *sections) links(file, text string) []Problem {
	var problems []Problem
	var fence fence
	for i, line := range strings.Split(text, "\n") {
		if fence.step(line) {
			continue
		}
		for _, found := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, ""), -1) {
			if err := s.follow(file, found[1]); err != nil {
				problems = append(problems, Problem{file, i + 1, err.Error()})
			}
		}
	}
	return problems
}

// follow says why a link of file leads nowhere.
func (s *sections) follow(file, target string) error {
	if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
		return nil
	}
	name, anchor, _ := strings.Cut(target, "#")
	if name == "" {
		name = file
	} else {
		name = path.Join(path.Dir(file), name)
	}
	if anchor != "" {
		return s.find(Reference{name, anchor})
	}
	if _, err := fs.Stat(s.tree, name); err != nil {
		return fmt.Errorf("link to %s leads nowhere", target)
	}
	return nil
}
