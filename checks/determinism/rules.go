package determinism

import (
	"go/ast"
	"go/types"
)

// Reasons that several rules share.
const (
	whyClock   = "the machine's clock; ask the strand's clock.Clock, or arm a clock.Timer"
	whyRandom  = "unseeded randomness; draw from clock.Strand.Rand"
	whySecret  = "unseeded randomness; read from clock.Clock.Entropy"
	whySystem  = "the operating system; go through clock, netsim or storage, or mark the file exempt with its reason"
	whyThread  = "waiting between goroutines; a task never waits"
	whyZone    = "the machine's time zone; use UTC"
	whyMachine = "depends on the machine"
	whyPointer = "addresses change from run to run"
	whyGC      = "runs when the garbage collector pleases"
)

// imports that are forbidden, with all packages below them.
var imports = []struct{ path, why string }{
	{"os", whySystem},
	{"net/http", whySystem},
	{"net/rpc", whySystem},
	{"net/smtp", whySystem},
	{"syscall", whySystem},
	{"golang.org/x/sys", whySystem},
	{"golang.org/x/sync", whyThread},
	{"io/ioutil", whySystem},
	{"plugin", whySystem},
	{"expvar", whySystem},
	{"log", "writes to the machine's standard error with its clock; use server/logging"},
	{"runtime/metrics", whyMachine},
	{"crypto/rand", whySecret},
	{"hash/maphash", "its seed changes from run to run"},
	{"weak", whyGC},
	{"unique", whyGC},
}

// forbiddenImport tells whether a package is forbidden, and why. Of net itself
// only the package is: net/netip, net/url and net/textproto compute.
func forbiddenImport(path string) (why string, bad bool) {
	if path == "net" {
		return whySystem, true
	}
	for _, r := range imports {
		if within(path, r.path) {
			return r.why, true
		}
	}
	return "", false
}

// names that are forbidden wherever they are used: functions and methods by
// types.Func.FullName, types and variables by package path and name.
var names = map[string]string{
	"time.Now": whyClock, "time.Sleep": whyClock, "time.After": whyClock, "time.AfterFunc": whyClock,
	"time.NewTimer": whyClock, "time.NewTicker": whyClock, "time.Tick": whyClock,
	"time.Since": whyClock, "time.Until": whyClock,
	"time.Local": whyZone, "(time.Time).Local": whyZone,

	"context.WithTimeout": whyClock, "context.WithTimeoutCause": whyClock,
	"context.WithDeadline": whyClock, "context.WithDeadlineCause": whyClock,
	"context.AfterFunc": "starts a goroutine",

	"sync.Map":       "its order changes from run to run; use a map on one strand, or a mutex",
	"sync.Pool":      "it drops items at random under the race detector; keep a free list on the strand",
	"sync.Cond":      whyThread,
	"sync.NewCond":   whyThread,
	"sync.WaitGroup": whyThread,

	"runtime.SetFinalizer": whyGC, "runtime.AddCleanup": whyGC,
	"runtime.NumCPU": whyMachine, "runtime.GOMAXPROCS": whyMachine, "runtime.NumGoroutine": whyMachine,
	"runtime.ReadMemStats": whyMachine, "runtime.Gosched": whyThread,

	"(reflect.Value).MapKeys":       "the order changes from run to run",
	"(reflect.Value).MapRange":      "the order changes from run to run",
	"(reflect.Value).Pointer":       whyPointer,
	"(reflect.Value).UnsafePointer": whyPointer,
	"(reflect.Value).UnsafeAddr":    whyPointer,
	"(reflect.Value).Send":          whyThread,
	"(reflect.Value).Recv":          whyThread,
	"reflect.Select":                "its choice is random",
	"reflect.MakeChan":              whyThread,

	"path/filepath.Walk": whySystem, "path/filepath.WalkDir": whySystem, "path/filepath.Glob": whySystem,
	"path/filepath.Abs": whySystem, "path/filepath.EvalSymlinks": whySystem,

	// Since Go 1.26 these ignore the source of randomness that they are given.
	"crypto/ecdsa.GenerateKey": whySecret, "crypto/rsa.GenerateKey": whySecret,
	"crypto/rsa.EncryptPKCS1v15": whySecret, "crypto/dsa.GenerateKey": whySecret,
	"(crypto/ecdh.Curve).GenerateKey": whySecret,

	"golang.org/x/crypto/bcrypt.GenerateFromPassword": whySecret,
	"(*golang.org/x/time/rate.Limiter).Allow":         whyClock + ": AllowN takes the time",
	"(*golang.org/x/time/rate.Limiter).Reserve":       whyClock + ": ReserveN takes the time",
	"(*golang.org/x/time/rate.Limiter).Wait":          whyClock,
	"(*golang.org/x/time/rate.Limiter).WaitN":         whyClock,
	"(*golang.org/x/time/rate.Limiter).Tokens":        whyClock + ": TokensAt takes the time",

	"github.com/nats-io/nuid.Next": whyRandom, "github.com/nats-io/nuid.New": whyRandom,
	"github.com/nats-io/nkeys.CreatePair":      whySecret + " and nkeys.CreatePairWithRand",
	"github.com/nats-io/nkeys.CreateUser":      whySecret + " and nkeys.CreatePairWithRand",
	"github.com/nats-io/nkeys.CreateAccount":   whySecret + " and nkeys.CreatePairWithRand",
	"github.com/nats-io/nkeys.CreateServer":    whySecret + " and nkeys.CreatePairWithRand",
	"github.com/nats-io/nkeys.CreateCluster":   whySecret + " and nkeys.CreatePairWithRand",
	"github.com/nats-io/nkeys.CreateOperator":  whySecret + " and nkeys.CreatePairWithRand",
	"github.com/nats-io/nkeys.CreateCurveKeys": whySecret + " and nkeys.CreateCurveKeysWithRand",
	"(github.com/nats-io/nkeys.KeyPair).Seal":  whySecret + " and SealWithRand",
}

// seeded are the functions of math/rand and math/rand/v2 that make a generator
// of the caller's seed.
var seeded = map[string]bool{
	"New": true, "NewSource": true, "NewZipf": true, "NewPCG": true, "NewChaCha8": true,
}

// coroutines are allowed to the simulator's workload scripts only.
const coroutines = module + "/sim"

// ident judges the use of a name. The rules go by what the name resolves to, so
// neither a renamed import nor a method value escapes.
func (f *fileCheck) ident(id *ast.Ident, stack []ast.Node) {
	obj := f.pass.TypesInfo.Uses[id]
	if obj == nil || obj.Pkg() == nil {
		return
	}
	path, name := obj.Pkg().Path(), fullName(obj)
	if why, bad := names[name]; bad {
		f.report(id, name+": "+why)
		return
	}
	switch path {
	case "math/rand", "math/rand/v2":
		if fn, ok := obj.(*types.Func); ok && fn.Signature().Recv() == nil && !seeded[fn.Name()] {
			f.report(id, name+": "+whyRandom)
		}
	case "iter":
		if (id.Name == "Pull" || id.Name == "Pull2") && !within(f.pass.Pkg.Path(), coroutines) {
			f.report(id, name+": coroutines belong to the simulator's scripts")
		}
	case "time":
		f.localTime(id, name, stack)
	case "maps":
		f.mapOrder(id, name, stack)
	case "sort", "slices":
		f.sorting(id, name, stack)
	}
}

// fullName is the key of an object in names, or "" for what no rule can name.
func fullName(obj types.Object) string {
	if fn, ok := obj.(*types.Func); ok {
		return fn.Origin().FullName()
	}
	if obj.Parent() == obj.Pkg().Scope() {
		return obj.Pkg().Path() + "." + obj.Name()
	}
	return ""
}

// localTime reports times made in the machine's zone, unless they leave it at once.
func (f *fileCheck) localTime(id *ast.Ident, name string, stack []ast.Node) {
	if name != "time.Unix" && name != "time.UnixMilli" && name != "time.UnixMicro" {
		return
	}
	if call, up := enclosingCall(id, stack); call != nil && up >= 0 {
		if sel, ok := stack[up].(*ast.SelectorExpr); ok && (sel.Sel.Name == "UTC" || sel.Sel.Name == "In") {
			return
		}
	}
	f.report(id, name+" makes a time in the machine's zone: append .UTC()")
}

// mapOrder reports iterators over maps that are not sorted on the spot.
func (f *fileCheck) mapOrder(id *ast.Ident, name string, stack []ast.Node) {
	switch name {
	case "maps.Keys", "maps.Values", "maps.All", "maps.DeleteFunc":
	default:
		return
	}
	if call, up := enclosingCall(id, stack); call != nil && up >= 0 && name != "maps.All" {
		outer, ok := stack[up].(*ast.CallExpr)
		if ok && len(outer.Args) > 0 && ast.Unparen(outer.Args[0]) == call {
			if fn := callee(f.pass.TypesInfo, outer); fn != nil {
				switch fn.Origin().FullName() {
				case "slices.Sorted", "slices.SortedFunc", "slices.SortedStableFunc":
					return
				}
			}
		}
	}
	if !f.marks.allows(f.pass.Fset, id, "ordered") {
		f.report(id, name+": the order changes from run to run; wrap it in slices.Sorted, or state with //lockstep:ordered <reason> why it is not seen")
	}
}

// sorting reports sorts whose order among equal elements is not defined.
func (f *fileCheck) sorting(id *ast.Ident, name string, stack []ast.Node) {
	switch name {
	case "sort.Slice", "sort.Sort", "slices.SortFunc", "slices.SortedFunc":
	case "slices.SortedStableFunc": // stable, but over a map the input has no order to keep
		call, _ := enclosingCall(id, stack)
		if call == nil || !f.overMap(call) {
			return
		}
	default:
		return
	}
	if call, _ := enclosingCall(id, stack); call != nil && len(call.Args) == 2 && totalComparison(f.pass.TypesInfo, call.Args[1]) {
		return
	}
	if !f.marks.allows(f.pass.Fset, id, "total") {
		f.report(id, name+": the order of equal elements is undefined; sort stably, or state with //lockstep:total <reason> why no two are equal")
	}
}

// overMap tells whether a call's first argument is an iterator over a map.
func (f *fileCheck) overMap(call *ast.CallExpr) bool {
	if len(call.Args) == 0 {
		return false
	}
	inner, ok := ast.Unparen(call.Args[0]).(*ast.CallExpr)
	if !ok {
		return false
	}
	fn := callee(f.pass.TypesInfo, inner)
	return fn != nil && fn.Pkg() != nil && fn.Pkg().Path() == "maps"
}

// totalComparison tells whether the argument is a comparison by which only equal
// values are equal.
func totalComparison(info *types.Info, arg ast.Expr) bool {
	fn := callee(info, &ast.CallExpr{Fun: arg})
	if fn == nil {
		return false
	}
	switch fn.Origin().FullName() {
	case "strings.Compare", "bytes.Compare", "cmp.Compare", "(net/netip.Addr).Compare":
		return true
	}
	return false
}

// enclosingCall is the call whose function is named by id, and the place in the
// stack of what holds that call; nil when id is not called on the spot.
func enclosingCall(id *ast.Ident, stack []ast.Node) (*ast.CallExpr, int) {
	at := ast.Node(id)
	for i := len(stack) - 1; i >= 0; i-- {
		switch n := stack[i].(type) {
		case *ast.SelectorExpr:
			if n.Sel != at {
				return nil, 0
			}
		case *ast.IndexExpr, *ast.IndexListExpr, *ast.ParenExpr:
		case *ast.CallExpr:
			if n.Fun != at {
				return nil, 0
			}
			return n, i - 1
		default:
			return nil, 0
		}
		at = stack[i]
	}
	return nil, 0
}
