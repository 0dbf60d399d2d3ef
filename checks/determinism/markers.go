package determinism

import (
	"go/ast"
	"go/token"
	"strings"
)

// marker is one "//lockstep:<kind> <reason>" comment.
type marker struct {
	pos    token.Pos
	kind   string
	reason string
	line   int
	last   int // line on which its comment ends
	used   bool
}

// markers are those of one file.
type markers struct {
	exempt *marker
	lines  []*marker // ordered and total
	faults []finding // markers that are wrong in themselves
}

const markerPrefix = "//lockstep:"

// parseMarker reads one comment line; ok is false when it is no marker.
func parseMarker(text string) (kind, reason string, ok bool) {
	rest, ok := strings.CutPrefix(text, markerPrefix)
	if !ok {
		return "", "", false
	}
	kind, reason, _ = strings.Cut(rest, " ")
	// What follows a second "//" is a comment on the marker, not a reason.
	reason, _, _ = strings.Cut(reason, "//")
	return strings.TrimSpace(kind), strings.TrimSpace(reason), true
}

func readMarkers(fset *token.FileSet, file *ast.File) markers {
	var ms markers
	for _, group := range file.Comments {
		for _, c := range group.List {
			kind, reason, ok := parseMarker(c.Text)
			if !ok {
				continue
			}
			m := &marker{pos: c.Pos(), kind: kind, reason: reason, line: fset.Position(c.Pos()).Line, last: fset.Position(group.End()).Line}
			ms.add(m, c.Pos() < file.Package)
		}
	}
	return ms
}

// add sorts a marker in, with what is wrong about it.
func (ms *markers) add(m *marker, abovePackage bool) {
	fault := func(text string) { ms.faults = append(ms.faults, finding{m.pos, text}) }
	switch m.kind {
	case "exempt":
		switch {
		case !abovePackage:
			fault("//lockstep:exempt must stand above the package clause")
			return
		case ms.exempt != nil:
			fault("a second //lockstep:exempt in one file")
			return
		}
		ms.exempt = m
	case "ordered", "total":
		ms.lines = append(ms.lines, m)
	default:
		fault("unknown marker //lockstep:" + m.kind + ": exempt, ordered and total are known")
		return
	}
	if m.reason == "" {
		fault("//lockstep:" + m.kind + " needs a reason")
	}
}

// allows tells whether a marker of this kind, with a reason, stands on the
// node's first line or in the comment that ends on the line before, and notes its use.
func (ms *markers) allows(fset *token.FileSet, n ast.Node, kind string) bool {
	line := fset.Position(n.Pos()).Line
	for _, m := range ms.lines {
		if m.kind == kind && (m.line == line || m.last == line-1) {
			m.used = true
			return m.reason != ""
		}
	}
	return false
}

// Exemption reads the reason of a file's exempt marker. ok is false when the
// file has none.
func Exemption(file *ast.File) (reason string, ok bool) {
	for _, group := range file.Comments {
		if group.Pos() > file.Package {
			break
		}
		for _, c := range group.List {
			if kind, reason, ok := parseMarker(c.Text); ok && kind == "exempt" {
				return reason, true
			}
		}
	}
	return "", false
}
