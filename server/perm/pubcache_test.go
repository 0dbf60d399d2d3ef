package perm

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestPubCacheIsBounded(t *testing.T) {
	s := compile(t, &Permissions{Publish: allow("a.*")})
	var c PubCache
	for i := range 3 * pubCacheMax {
		require.True(t, c.Allows(s, fmt.Append(nil, "a.", i)))
		require.False(t, c.Allows(s, fmt.Append(nil, "b.", i)))
	}
	require.Len(t, c.verdicts, pubCacheMax)
	require.Len(t, c.order, pubCacheMax)
	long := []byte("a." + strings.Repeat("x", pubCacheSubjectMax))
	require.True(t, c.Allows(s, long))
	require.NotContains(t, c.verdicts, string(long))
}

func TestPubCacheForgetsWithItsSet(t *testing.T) {
	var c PubCache
	foo := []byte("foo")
	require.True(t, c.Allows(compile(t, &Permissions{Publish: allow("foo")}), foo))
	require.False(t, c.Allows(compile(t, &Permissions{Publish: deny("foo")}), foo))
	require.True(t, c.Allows(nil, foo))
}

func manyEntries(n int) *SubjectPermission {
	p := &SubjectPermission{Deny: []string{"orders.secret.>"}}
	for i := range n {
		p.Allow = append(p.Allow, fmt.Sprintf("svc%d.*.in", i), fmt.Sprintf("orders.%d.>", i))
	}
	return p
}

func TestChecksAllocateNothing(t *testing.T) {
	s := compile(t, &Permissions{Publish: manyEntries(50), Subscribe: manyEntries(50)})
	var c PubCache
	good, bad := []byte("orders.7.new.eu"), []byte("orders.secret.x")
	c.Allows(s, good)
	require.Zero(t, testing.AllocsPerRun(100, func() { c.Allows(s, good) }), "cached")
	require.Zero(t, testing.AllocsPerRun(100, func() { s.CanPublish(good) }))
	require.Zero(t, testing.AllocsPerRun(100, func() { s.CanPublish(bad) }))
	require.Zero(t, testing.AllocsPerRun(100, func() { s.DeniesDelivery(bad, "q") }))
	require.Zero(t, testing.AllocsPerRun(100, func() { s.CanSubscribe("orders.7.*", "q") }))
}

func BenchmarkCanPublish(b *testing.B) {
	for _, n := range []int{1, 100} {
		s := compile(b, &Permissions{Publish: manyEntries(n)})
		subject := []byte("orders.0.new.eu")
		b.Run(fmt.Sprintf("cache=no/entries=%d", 2*n), func(b *testing.B) {
			for b.Loop() {
				s.CanPublish(subject)
			}
		})
		b.Run(fmt.Sprintf("cache=yes/entries=%d", 2*n), func(b *testing.B) {
			var c PubCache
			for b.Loop() {
				c.Allows(s, subject)
			}
		})
	}
}
