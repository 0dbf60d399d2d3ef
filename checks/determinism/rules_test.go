package determinism

import (
	"go/types"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/tools/go/packages"
)

// TestNamesExist finds rules that can never match, for a spelling mistake or
// because a library has changed.
func TestNamesExist(t *testing.T) {
	paths := map[string]bool{}
	for name := range names {
		path := strings.TrimLeft(name, "(*")
		slash := strings.LastIndex(path, "/")
		paths[path[:slash+1]+strings.SplitN(path[slash+1:], ".", 2)[0]] = true
	}
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadTypes}, slices.Sorted(maps.Keys(paths))...)
	require.NoError(t, err)
	exist := map[string]bool{}
	for _, p := range pkgs {
		require.Empty(t, p.Errors, p.PkgPath)
		scope := p.Types.Scope()
		for _, name := range scope.Names() {
			obj := scope.Lookup(name)
			exist[fullName(obj)] = true
			if _, isType := obj.(*types.TypeName); isType {
				for sel := range types.NewMethodSet(types.NewPointer(obj.Type())).Methods() {
					exist[fullName(sel.Obj())] = true
				}
				if types.IsInterface(obj.Type()) {
					for sel := range types.NewMethodSet(obj.Type()).Methods() {
						exist[fullName(sel.Obj())] = true
					}
				}
			}
		}
	}
	for name := range names {
		assert.True(t, exist[name], "%s does not exist", name)
	}
}
