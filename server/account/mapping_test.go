package account

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestMappings(t *testing.T) {
	a := New("A")
	require.Nil(t, a.Graph().Mappings)
	require.NoError(t, a.AddMapping("a.*", "b.$1"))
	before := a.Graph()
	require.NoError(t, a.AddWeightedMappings("c", NewMapDest("d", 30), &MapDest{Subject: "e", Weight: 70, Cluster: "east"}))
	require.Len(t, before.Mappings.All(), 1, "what was published does not change")
	got, drop := a.Graph().Mappings.Choose("a.x", "", seeded())
	require.Equal(t, "b.x", got)
	require.False(t, drop)
	require.Equal(t, []MapDest{{Subject: "d", Weight: 30}, {Subject: "e", Weight: 70, Cluster: "east"}}, a.Graph().Mappings.All()[1].Dests())

	require.NoError(t, a.AddMapping("a.*", "z.$1"))
	got, _ = a.Graph().Mappings.Choose("a.x", "", seeded())
	require.Equal(t, "z.x", got)
	require.EqualError(t, a.AddWeightedMappings("q", NewMapDest("d", 101)), "individual weights need to be <= 100")
	require.EqualError(t, a.AddWeightedMappings("q", NewMapDest("d", 60), NewMapDest("e", 60)), "total weight needs to be <= 100")
	require.EqualError(t, a.AddWeightedMappings("q", NewMapDest("d", 10), NewMapDest("d", 10)), `duplicate entry for "d"`)

	require.False(t, a.RemoveMapping("q"))
	require.True(t, a.RemoveMapping("c"))
	require.True(t, a.RemoveMapping("a.*"))
	require.Nil(t, a.Graph().Mappings)
}

// sources of the mappings in force, in order.
func sources(a *Account) (out []string) {
	for _, m := range a.Graph().Mappings.All() {
		out = append(out, m.Source()+" "+m.Dests()[0].Subject)
	}
	return out
}

func TestSystemMappings(t *testing.T) {
	live := configure(t, nil)
	a := live["A"]
	require.Error(t, a.SetSystemMapping("a..b", "c"))
	require.NoError(t, a.SetSystemMapping("$JS.hub.API.>", "$JS.API.>"))
	require.NoError(t, a.SetSystemMapping("m", "system"))
	require.Equal(t, []string{"m n", "$JS.hub.API.> $JS.API.>"}, sources(a), "configuration counts first")

	require.False(t, a.Adopt(configure(t, nil)["A"], live.live).Any(), "a reload of the same changes nothing")
	require.Len(t, sources(a), 2)

	next := configure(t, func(a, _ *Account) {
		require.True(t, a.RemoveMapping("m"))
		require.NoError(t, a.AddMapping("p", "q"))
	})
	require.True(t, a.Adopt(next["A"], live.live).Mappings)
	require.Equal(t, []string{"p q", "$JS.hub.API.> $JS.API.>", "m system"}, sources(a))

	require.NoError(t, a.SetSystemMapping("m", "again"))
	require.Equal(t, []string{"p q", "$JS.hub.API.> $JS.API.>", "m again"}, sources(a))
	require.False(t, a.RemoveMapping("m"), "it is not configured")
	require.True(t, a.RemoveSystemMapping("m"))
	require.False(t, a.RemoveSystemMapping("m"))
	require.True(t, a.RemoveSystemMapping("$JS.hub.API.>"))
	require.True(t, a.RemoveMapping("p"))
	require.Nil(t, a.Graph().Mappings)
}
