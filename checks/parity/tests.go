package parity

import (
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
)

// module is the path that imports of the project begin with.
const module = "github.com/lockstepmq/lockstep/"

// Tests knows the functions of a tree's packages, each package parsed once. It
// reads syntax only, so that it needs no build.
type Tests struct {
	tree     fs.FS
	build    build.Context
	packages map[string]*testPackage
}

// NewTests makes an empty index over a tree.
func NewTests(tree fs.FS) *Tests {
	t := &Tests{tree: tree, build: build.Default, packages: map[string]*testPackage{}}
	t.build.JoinPath = path.Join
	t.build.OpenFile = func(name string) (io.ReadCloser, error) { return tree.Open(name) }
	return t
}

// testPackage is what the index keeps of one directory.
type testPackage struct {
	funcs   map[string][]*function // by name; methods of all types of one name together
	fields  map[string]bool        // struct fields whose type is one of package testing
	embeds  bool                   // some struct embeds such a type
	verdict map[*function]bool
}

type function struct {
	decl    *ast.FuncDecl
	imports map[string]string // of its file: name to path
	test    bool              // in a _test.go file
}

// Judge says what keeps a function from being the proof of a row: it is absent,
// it always skips, or it asserts nothing. Fuzz targets and benchmarks need to exist only.
func (t *Tests) Judge(name TestName) error {
	pkg, err := t.load(name.Package)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(pkg.funcs[name.Func], func(f *function) bool { return f.test && f.decl.Recv == nil })
	if i < 0 {
		return fmt.Errorf("test %s does not exist", name)
	}
	f := pkg.funcs[name.Func][i]
	switch {
	case !strings.HasPrefix(name.Func, "Test"):
		return nil
	case skips(f.decl):
		return fmt.Errorf("test %s is skipped unconditionally", name)
	case !t.asserts(pkg, f):
		return fmt.Errorf("test %s asserts nothing", name)
	}
	return nil
}

// load parses the Go files of a directory that this platform builds.
func (t *Tests) load(name string) (*testPackage, error) {
	if pkg, ok := t.packages[name]; ok {
		return pkg, nil
	}
	entries, err := fs.ReadDir(t.tree, name)
	if err != nil {
		return nil, fmt.Errorf("package %s does not exist", name)
	}
	pkg := &testPackage{funcs: map[string][]*function{}, fields: map[string]bool{}, verdict: map[*function]bool{}}
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".go") {
			continue
		}
		if built, err := t.build.MatchFile(name, e.Name()); err != nil || !built {
			continue
		}
		file, err := t.parse(path.Join(name, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("package %s: %w", name, err)
		}
		pkg.add(file, strings.HasSuffix(e.Name(), "_test.go"))
	}
	t.packages[name] = pkg
	return pkg, nil
}

func (t *Tests) parse(name string) (*ast.File, error) {
	text, err := fs.ReadFile(t.tree, name)
	if err != nil {
		return nil, err
	}
	return parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
}

func (p *testPackage) add(file *ast.File, test bool) {
	imports := map[string]string{}
	for _, spec := range file.Imports {
		path, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		name := path[strings.LastIndexByte(path, '/')+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imports[name] = path
	}
	for _, decl := range file.Decls {
		if f, ok := decl.(*ast.FuncDecl); ok && f.Body != nil {
			p.funcs[f.Name.Name] = append(p.funcs[f.Name.Name], &function{f, imports, test})
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if s, ok := n.(*ast.StructType); ok {
			p.addFields(s)
		}
		return true
	})
}

func (p *testPackage) addFields(s *ast.StructType) {
	for _, field := range s.Fields.List {
		if !isTesting(field.Type) {
			continue
		}
		p.embeds = p.embeds || len(field.Names) == 0
		for _, name := range field.Names {
			p.fields[name.Name] = true
		}
	}
}

// skips tells a test whose body skips without a condition.
func skips(decl *ast.FuncDecl) bool {
	for _, stmt := range decl.Body.List {
		expr, ok := stmt.(*ast.ExprStmt)
		if !ok {
			continue
		}
		call, ok := expr.X.(*ast.CallExpr)
		if !ok {
			continue
		}
		sel, ok := call.Fun.(*ast.SelectorExpr)
		if ok && slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, sel.Sel.Name) {
			return true
		}
	}
	return false
}

// isTesting tells *testing.T, testing.TB, *testing.F, *testing.B and *rapid.T.
func isTesting(e ast.Expr) bool {
	if star, ok := e.(*ast.StarExpr); ok {
		e = star.X
	}
	sel, ok := e.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	pkg, ok := sel.X.(*ast.Ident)
	return ok && (pkg.Name == "testing" || pkg.Name == "rapid") && slices.Contains([]string{"T", "TB", "F", "B"}, sel.Sel.Name)
}
