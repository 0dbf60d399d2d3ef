package order

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
	"sort"
	"strings"
)

type table map[string]int

func ranges[M ~map[int]int](m map[string]int, t table, g M, s []int) (sum int) {
	for k := range m { // want `range over a map`
		_ = k
	}
	for range m {
		sum++
	}
	for _, _ = range m {
		sum++
	}
	for _, v := range t { // want `range over a map`
		sum += v
	}
	for _, v := range g { // want `range over a map`
		sum += v
	}
	//lockstep:ordered a sum is the same in any order
	for _, v := range m {
		sum += v
	}
	//lockstep:ordered a sum is the same in any order, and this reason
	// takes two lines
	for _, v := range m {
		sum += v
	}
	//lockstep:ordered too far away // want `excuses nothing here`

	for _, v := range m { // want `range over a map`
		sum += v
	}
	for _, v := range m { //lockstep:ordered a sum is the same in any order
		sum += v
	}
	for _, v := range s {
		sum += v
	}
	return sum
}

func mapIterators(m map[string]int) {
	for k := range maps.Keys(m) { // want `maps.Keys: the order changes`
		_ = k
	}
	_ = slices.Collect(maps.Values(m)) // want `maps.Values: the order changes`
	_ = maps.All(m)                    // want `maps.All: the order changes`
	_ = slices.Sorted(maps.Keys(m))
	_ = slices.SortedFunc(maps.Keys(m), strings.Compare)
	//lockstep:ordered the callee sorts
	keep(maps.Keys(m))
	_ = maps.Clone(m)
}

func keep(any) {}

type item struct {
	key  string
	rank int
}

func byRank(a, b item) int { return cmp.Compare(a.rank, b.rank) }

func sorts(items []item, names []string, blobs [][]byte, m map[string]item) {
	slices.Sort(names)
	sort.Strings(names)
	slices.SortFunc(names, strings.Compare)
	slices.SortFunc(names, cmp.Compare[string])
	slices.SortFunc(blobs, bytes.Compare)
	slices.SortStableFunc(items, byRank)
	sort.SliceStable(items, func(i, j int) bool { return items[i].rank < items[j].rank })
	slices.SortFunc(items, byRank)                                                  // want `slices.SortFunc: the order of equal elements`
	sort.Slice(items, func(i, j int) bool { return items[i].rank < items[j].rank }) // want `sort.Slice: the order of equal elements`
	sort.Sort(sort.StringSlice(names))                                              // want `sort.Sort: the order of equal elements`
	//lockstep:total keys are unique
	slices.SortFunc(items, func(a, b item) int { return strings.Compare(a.key, b.key) })
	_ = slices.SortedFunc(maps.Values(m), byRank)       // want `slices.SortedFunc: the order of equal elements`
	_ = slices.SortedStableFunc(maps.Values(m), byRank) // want `slices.SortedStableFunc: the order of equal elements`
	_ = slices.SortedStableFunc(slices.Values(items), byRank)
}
