package msgs

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestFoldedBlocks holds that blocks of one subject are folded, also after a restart, that reading and ends that change do
// not unfold them, and that a removal unfolds only where it is.
func TestFoldedBlocks(t *testing.T) {
	f := newFileRig(t, 0, func(*fileRig) Options { return Options{BlockBytes: 4096} })
	put := func(subject string) {
		_, err := f.store.Append(0, f.now, []byte(subject), nil, make([]byte, 60), TTL{})
		require.NoError(t, err)
		require.NoError(t, f.model.append(modelMsg{Msg: Msg{Time: f.now, Subject: subject, Data: make([]byte, 60)}}))
	}
	folded := func() (n int) {
		for _, b := range f.store.(*store).blocks {
			if b.ends != nil {
				require.Nil(t, b.slots)
				n++
			}
		}
		return n
	}
	for range 400 {
		put("a.b")
	}
	blocks := len(f.store.(*store).blocks)
	require.Greater(t, blocks, 8)
	require.Equal(t, blocks-1, folded())
	f.checkAll(t)
	ask := func() {
		one, other := NewFilter("a.b"), NewFilter("b.>", "a.c")
		for seq := uint64(1); seq <= 401; seq += 7 {
			for _, filter := range []*Filter{one, other} {
				got, _ := f.store.Next(filter, seq)
				var want uint64
				if list := f.model.matching(filter, seq, 1<<60); len(list) > 0 {
					want = list[0].Seq
				}
				require.Equal(t, want, got)
				require.Equal(t, uint64(len(f.model.matching(filter, seq, 1<<60))), f.store.Count(filter, seq, false))
			}
			f.checkSeq(t, seq)
		}
	}
	ask()
	require.Equal(t, blocks-1, folded())
	f.checkpoint(t)
	f.crash(t, false)
	require.GreaterOrEqual(t, folded(), blocks-1)
	ask()
	put("a.b") // changes the last slot before it
	put("a.c")
	require.GreaterOrEqual(t, folded(), blocks-1)
	before := folded()
	require.True(t, f.store.Remove(100, false, ByDelete))
	require.True(t, f.model.remove(100, ByDelete, false))
	require.Equal(t, before-1, folded())
	ask()
	f.checkAll(t)
}
