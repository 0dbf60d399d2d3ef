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
