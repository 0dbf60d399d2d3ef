package parity

import (
	"go/ast"
	"slices"
	"strings"
)

// failing are the methods of package testing that fail a test. Each of those
// with arguments needs at least one, which tells t.Error(x) from err.Error().
var failing = map[string]int{"Error": 1, "Errorf": 1, "Fatal": 1, "Fatalf": 1, "Fail": 0, "FailNow": 0}

// judges are the libraries whose calls are assertions, by import path.
var judges = map[string][]string{
	"github.com/stretchr/testify/require":         nil, // all but New
	"github.com/stretchr/testify/assert":          nil,
	"pgregory.net/rapid":                          {"Check"},
	"golang.org/x/tools/go/analysis/analysistest": {"Run", "RunWithSuggestedFixes"},
}

// asserts tells whether a function, or one of this project that it calls or
// hands on, can fail the test.
func (t *Tests) asserts(pkg *testPackage, f *function) bool {
	if verdict, known := pkg.verdict[f]; known {
		return verdict
	}
	pkg.verdict[f] = false // a cycle proves nothing
	tees := testingNames(f.decl)
	found := false
	var visit func(ast.Node) bool
	visit = func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			found = found || pkg.fails(f, tees, n)
		case *ast.Ident:
			found = found || t.any(pkg, n.Name, false)
		case *ast.SelectorExpr:
			found = found || t.selected(pkg, f, n)
			ast.Inspect(n.X, visit) // what follows the dot is no function of this package
			return false
		}
		return !found
	}
	ast.Inspect(f.decl.Body, visit)
	pkg.verdict[f] = found
	return found
}

// fails tells a call that fails a test by itself.
func (p *testPackage) fails(f *function, tees map[string]bool, call *ast.CallExpr) bool {
	sel, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	name := sel.Sel.Name
	if x, ok := sel.X.(*ast.Ident); ok {
		if path, imported := f.imports[x.Name]; imported && !tees[x.Name] {
			names, judge := judges[path]
			return judge && (slices.Contains(names, name) || names == nil && name != "New")
		}
	}
	least, known := failing[name]
	return known && len(call.Args) >= least && (p.isTee(tees, sel.X) || p.embeds)
}

// isTee tells an expression that stands for a *testing.T or its like.
func (p *testPackage) isTee(tees map[string]bool, e ast.Expr) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return tees[e.Name]
	case *ast.SelectorExpr:
		return p.fields[e.Sel.Name]
	}
	return false
}

// selected tells a function of another package of the project, or a method of
// this one, that asserts.
func (t *Tests) selected(pkg *testPackage, f *function, sel *ast.SelectorExpr) bool {
	x, ok := sel.X.(*ast.Ident)
	if !ok {
		return t.any(pkg, sel.Sel.Name, true)
	}
	path, imported := f.imports[x.Name]
	if !imported {
		return t.any(pkg, sel.Sel.Name, true)
	}
	below, ours := strings.CutPrefix(path, module)
	if !ours {
		return false
	}
	other, err := t.load(below)
	return err == nil && t.any(other, sel.Sel.Name, false)
}

// any tells whether a function, or a method, of that name asserts.
func (t *Tests) any(pkg *testPackage, name string, method bool) bool {
	for _, f := range pkg.funcs[name] {
		if (f.decl.Recv != nil) == method && t.asserts(pkg, f) {
			return true
		}
	}
	return false
}

// testingNames are the parameters of a function, and of those written inside it,
// whose type is one of package testing.
func testingNames(decl *ast.FuncDecl) map[string]bool {
	names := map[string]bool{}
	add := func(list *ast.FieldList) {
		if list == nil {
			return
		}
		for _, field := range list.List {
			for _, name := range field.Names {
				if isTesting(field.Type) {
					names[name.Name] = true
				}
			}
		}
	}
	ast.Inspect(decl, func(n ast.Node) bool {
		if fn, ok := n.(*ast.FuncType); ok {
			add(fn.Params)
		}
		return true
	})
	return names
}
