package parity

import (
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"
	"unicode"
)

// sections knows the headings of a tree's documents, each file read once.
type sections struct {
	tree    fs.FS
	anchors map[string][]string
}

func newSections(tree fs.FS) *sections {
	return &sections{tree: tree, anchors: map[string][]string{}}
}

// find says what is wrong with a reference.
func (s *sections) find(r Reference) error {
	anchors, read := s.anchors[r.File]
	if !read {
		text, err := fs.ReadFile(s.tree, r.File)
		if err != nil {
			return fmt.Errorf("document %s cannot be read: %w", r.File, err)
		}
		anchors = Anchors(string(text))
		s.anchors[r.File] = anchors
	}
	if !slices.Contains(anchors, r.Anchor) {
		return fmt.Errorf("document %s has no section #%s; it has %s", r.File, r.Anchor, strings.Join(anchors, ", "))
	}
	return nil
}

var (
	heading    = regexp.MustCompile(`^ {0,3}(#{1,6})[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*$`)
	linkTarget = regexp.MustCompile(`\[([^\]]*)\]\([^)]*\)`)
)

// Anchors lists the anchors of a document's headings as GitHub forms them: lower
// case, spaces become hyphens, other marks go, and a repeated anchor gets a number.
func Anchors(text string) []string {
	var anchors []string
	taken := map[string]int{}
	var fence fence
	for line := range strings.SplitSeq(text, "\n") {
		if fence.step(line) {
			continue
		}
		h := heading.FindStringSubmatch(strings.TrimRight(line, "\r"))
		if h == nil {
			continue
		}
		anchor := slug(linkTarget.ReplaceAllString(h[2], "$1"))
		n := taken[anchor]
		taken[anchor] = n + 1
		if n > 0 {
			anchor = fmt.Sprintf("%s-%d", anchor, n)
		}
		anchors = append(anchors, anchor)
	}
	return anchors
}

func slug(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-', r == '_', unicode.IsLetter(r), unicode.IsDigit(r):
			return unicode.ToLower(r)
		}
		return -1
	}, strings.TrimSpace(title))
}

// fence follows fenced code blocks line by line.
type fence struct{ mark string }

// step tells whether line belongs to a fenced block, its fences included.
func (f *fence) step(line string) bool {
	trimmed := strings.TrimSpace(line)
	switch {
	case f.mark != "":
		if strings.HasPrefix(trimmed, f.mark) && strings.Trim(trimmed, f.mark[:1]) == "" {
			f.mark = ""
		}
		return true
	case strings.HasPrefix(trimmed, "```"), strings.HasPrefix(trimmed, "~~~"):
		f.mark = trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, trimmed[:1]))]
		return true
	}
	return false
}
