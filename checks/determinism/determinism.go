// Package determinism is the lint that keeps a run replayable from its seed.
//
// It owns the list of what a task may not touch (goroutines, channels, the
// machine's clock, randomness, files and sockets, orders that change from run
// to run) and the markers by which a file or a line states that it is harmless:
//
//	//lockstep:exempt <reason>   above the package clause: the whole file
//	//lockstep:ordered <reason>  on a line or the line before: a map's order is not seen
//	//lockstep:total <reason>    likewise: a sort's comparison leaves no ties
//
// A marker without a reason, one that excuses nothing and one that is unknown
// are findings too, so that the list of exceptions stays honest.
//
// Test files are never judged. The package runs at build time, on no strand; it
// never changes a file.
package determinism

import (
	"go/ast"
	"go/token"
	"go/types"
	"strings"

	"golang.org/x/tools/go/analysis"
)

// Analyzer reports what makes a run differ from another with the same seed.
var Analyzer = &analysis.Analyzer{
	Name: "determinism",
	Doc:  "report goroutines, clocks, randomness, system access and unordered iteration in deterministic code",
	URL:  "https://pkg.go.dev/github.com/lockstepmq/lockstep/checks/determinism",
	Run:  run,
}

// module is the path that every package of the project begins with.
const module = "github.com/lockstepmq/lockstep"

// unjudged are the packages (with all below them) that belong to the outside
// world: programs and the build-time checks themselves.
var unjudged = []string{
	module + "/cmd",
	module + "/checks/cmd",
	module + "/checks/determinism",
	module + "/checks/edges",
}

// Judged tells whether the rules hold for the package with this import path.
func Judged(path string) bool {
	path, _, _ = strings.Cut(path, " ") // "p [p.test]" is p with its test files
	if strings.HasSuffix(path, ".test") {
		return false
	}
	for _, p := range unjudged {
		if within(path, p) {
			return false
		}
	}
	return true
}

// within tells whether path is root or below it.
func within(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

func run(pass *analysis.Pass) (any, error) {
	if !Judged(pass.Pkg.Path()) {
		return nil, nil
	}
	for _, file := range pass.Files {
		name := pass.Fset.Position(file.FileStart).Filename
		if strings.HasSuffix(name, "_test.go") || !strings.HasSuffix(name, ".go") {
			continue
		}
		judge(pass, file)
	}
	return nil, nil
}

// judge checks one file, then weighs what was found against its markers.
func judge(pass *analysis.Pass, file *ast.File) {
	f := &fileCheck{pass: pass, file: file, marks: readMarkers(pass.Fset, file)}
	f.imports()
	ast.PreorderStack(file, nil, func(n ast.Node, stack []ast.Node) bool {
		f.node(n, stack)
		return true
	})
	for _, bad := range f.marks.faults {
		pass.Reportf(bad.pos, "%s", bad.text)
	}
	if e := f.marks.exempt; e != nil {
		if len(f.found) == 0 && e.reason != "" {
			pass.Reportf(e.pos, "the file needs no exemption: remove //lockstep:exempt")
		}
		if e.reason != "" {
			return
		}
	}
	for _, d := range f.found {
		pass.Reportf(d.pos, "%s", d.text)
	}
	for _, m := range f.marks.lines {
		if !m.used && m.reason != "" {
			pass.Reportf(m.pos, "//lockstep:%s excuses nothing here: remove it", m.kind)
		}
	}
}

// finding is one report, kept until the file's markers are weighed.
type finding struct {
	pos  token.Pos
	text string
}

// fileCheck is the check of one file.
type fileCheck struct {
	pass  *analysis.Pass
	file  *ast.File
	marks markers
	found []finding
}

func (f *fileCheck) report(n ast.Node, text string) {
	f.found = append(f.found, finding{n.Pos(), text})
}

// imports reports packages that no deterministic file may import.
func (f *fileCheck) imports() {
	for _, spec := range f.file.Imports {
		path := strings.Trim(spec.Path.Value, "`\"")
		if why, bad := forbiddenImport(path); bad {
			f.report(spec, "import of "+path+": "+why)
		}
	}
}

// node applies the rules that concern one syntax node.
func (f *fileCheck) node(n ast.Node, stack []ast.Node) {
	switch n := n.(type) {
	case *ast.GoStmt:
		f.report(n, "go statement: post a task to a strand instead")
	case *ast.SelectStmt:
		f.report(n, "select: its choice is random; a wait is a field, what ends it is a method")
	case *ast.ChanType:
		f.report(n, "channel type: use a clock.Mailbox or post a task to a strand")
	case *ast.SendStmt:
		f.report(n, "channel send: use a clock.Mailbox or post a task to a strand")
	case *ast.UnaryExpr:
		if n.Op == token.ARROW {
			f.report(n, "channel receive: a task never waits")
		}
	case *ast.RangeStmt:
		f.rangeStmt(n)
	case *ast.CallExpr:
		f.call(n)
	case *ast.Ident:
		f.ident(n, stack)
	}
}

// rangeStmt judges what is ranged over. "for range m" sees only the length.
func (f *fileCheck) rangeStmt(n *ast.RangeStmt) {
	t := f.pass.TypesInfo.TypeOf(n.X)
	if t == nil {
		return
	}
	switch {
	case isCore[*types.Chan](t):
		f.report(n, "range over a channel: a task never waits")
	case isCore[*types.Map](t) && (named(n.Key) || named(n.Value)):
		if !f.marks.allows(f.pass.Fset, n, "ordered") {
			f.report(n, "range over a map: the order changes from run to run; iterate slices.Sorted(maps.Keys(m)), or state with //lockstep:ordered <reason> why it is not seen")
		}
	}
}

// named tells whether a range variable is present and not blank.
func named(e ast.Expr) bool {
	if e == nil {
		return false
	}
	id, ok := e.(*ast.Ident)
	return !ok || id.Name != "_"
}

// isCore tells whether the type's underlying type, or that of each type in its
// constraint, is a T.
func isCore[T types.Type](t types.Type) bool {
	p, ok := t.(*types.TypeParam)
	if !ok {
		_, ok := t.Underlying().(T)
		return ok
	}
	iface, ok := p.Constraint().Underlying().(*types.Interface)
	if !ok || iface.NumEmbeddeds() == 0 {
		return false
	}
	for i := range iface.NumEmbeddeds() {
		switch e := iface.EmbeddedType(i).(type) {
		case *types.Union:
			for j := range e.Len() {
				if _, ok := e.Term(j).Type().Underlying().(T); ok {
					return true
				}
			}
		default:
			if _, ok := e.Underlying().(T); ok {
				return true
			}
		}
	}
	return false
}

// call judges conversions of pointers to numbers, and formats.
func (f *fileCheck) call(n *ast.CallExpr) {
	info := f.pass.TypesInfo
	if fun, ok := info.Types[n.Fun]; ok && fun.IsType() && len(n.Args) == 1 {
		to, _ := fun.Type.Underlying().(*types.Basic)
		from, _ := info.TypeOf(n.Args[0]).Underlying().(*types.Basic)
		if to != nil && from != nil && to.Kind() == types.Uintptr && from.Kind() == types.UnsafePointer {
			f.report(n, "pointer as a number: addresses change from run to run")
		}
		return
	}
	if id, ok := ast.Unparen(n.Fun).(*ast.Ident); ok && id.Name == "close" && len(n.Args) == 1 {
		if _, builtin := info.Uses[id].(*types.Builtin); builtin {
			f.report(n, "close of a channel: use a clock.Mailbox or post a task to a strand")
		}
	}
	if fn := callee(info, n); fn != nil && fn.Pkg() != nil && fn.Pkg().Path() == "fmt" {
		f.format(n)
	}
}

// format reports %p in a constant argument of a fmt function.
func (f *fileCheck) format(n *ast.CallExpr) {
	for _, arg := range n.Args {
		v := f.pass.TypesInfo.Types[arg].Value
		if v == nil {
			continue
		}
		if printsPointer(v.ExactString()) {
			f.report(arg, "%p in a format: addresses change from run to run")
		}
	}
}

// printsPointer tells whether a format has a %p verb, flags and width allowed.
func printsPointer(format string) bool {
	for {
		_, rest, found := strings.Cut(format, "%")
		if !found {
			return false
		}
		verb := strings.TrimLeft(rest, "+-# 0123456789.*[]")
		if strings.HasPrefix(verb, "p") {
			return true
		}
		format = rest
		if strings.HasPrefix(rest, "%") {
			format = rest[1:]
		}
	}
}

// callee is the function or method that a call names, or nil.
func callee(info *types.Info, n *ast.CallExpr) *types.Func {
	fun := ast.Unparen(n.Fun)
	switch x := fun.(type) {
	case *ast.IndexExpr:
		fun = x.X
	case *ast.IndexListExpr:
		fun = x.X
	}
	switch x := fun.(type) {
	case *ast.Ident:
		fn, _ := info.Uses[x].(*types.Func)
		return fn
	case *ast.SelectorExpr:
		fn, _ := info.Uses[x.Sel].(*types.Func)
		return fn
	}
	return nil
}
