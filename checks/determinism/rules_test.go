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

// absent tells that no module in go.mod has a package: a rule about a library that
// the project does not use waits for the day it does.
func absent(p *packages.Package) bool {
	return len(p.Errors) == 1 && strings.Contains(p.Errors[0].Msg, "no required module provides package")
}

// packageOf is the import path in a name of the rules.
func packageOf(name string) string {
	path := strings.TrimLeft(name, "(*")
	slash := strings.LastIndex(path, "/")
	return path[:slash+1] + strings.SplitN(path[slash+1:], ".", 2)[0]
}

// TestNamesExist finds rules that can never match, for a spelling mistake or
// because a library has changed.
func TestNamesExist(t *testing.T) {
	paths := map[string]bool{}
	for name := range names {
		paths[packageOf(name)] = true
	}
	pkgs, err := packages.Load(&packages.Config{Mode: packages.LoadTypes}, slices.Sorted(maps.Keys(paths))...)
	require.NoError(t, err)
	exist, unused := map[string]bool{}, map[string]bool{}
	for _, p := range pkgs {
		if absent(p) {
			unused[p.PkgPath] = true
			continue
		}
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
	require.Less(t, len(unused), len(paths)/2, "most rules must be checked")
	for name := range names {
		if unused[packageOf(name)] {
			continue
		}
		assert.True(t, exist[name], "%s does not exist", name)
	}
}
