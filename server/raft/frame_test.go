package raft

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// TestFramesCarrySections puts sections into a frame and takes them out again.
func TestFramesCarrySections(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		frame := []byte{frameVersion}
		type want struct {
			section
			index core.Index
		}
		var wants []want
		for range rapid.IntRange(0, 8).Draw(t, "sections") {
			w := want{section: section{id: ID{rapid.Uint64().Draw(t, "group"), rapid.Uint64().Draw(t, "incarnation")}}}
			w.kind = sectionKind(rapid.IntRange(0, 2).Draw(t, "kind"))
			if w.kind == sectionMessage {
				w.index = core.Index(rapid.Uint64().Draw(t, "index"))
				data := make([]byte, rapid.IntRange(0, 40_000).Draw(t, "data"))
				frame = appendMessage(frame, w.id, &core.Message{Type: core.MsgSnapshot, Index: w.index, Data: data})
			} else {
				w.term = core.Term(rapid.Uint64().Draw(t, "term"))
				frame = appendAlive(frame, w.id, w.kind, w.term)
			}
			wants = append(wants, w)
		}
		rest, err := sections(frame)
		require.NoError(t, err)
		for _, w := range wants {
			var s section
			s, rest, err = nextSection(rest)
			require.NoError(t, err)
			require.Equal(t, w.id, s.id)
			require.Equal(t, w.kind, s.kind)
			require.Equal(t, w.term, s.term)
			if w.kind == sectionMessage {
				var m core.Message
				left, err := core.ParseMessage(s.message, &m)
				require.NoError(t, err)
				require.Empty(t, left)
				require.Equal(t, w.index, m.Index)
			}
		}
		require.Empty(t, rest)
	})
}

// FuzzFrame takes any bytes for a frame: sections are parts of it, and it comes to an end.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{frameVersion})
	f.Add([]byte{2, 0, 0, 0})
	f.Add(appendAlive([]byte{frameVersion}, ID{1, 2}, sectionLeads, 3))
	f.Add(appendMessage([]byte{frameVersion}, ID{1, 2}, &core.Message{Type: core.MsgHello, From: 1, To: 2, Life: 3}))
	f.Add([]byte{frameVersion, 1, 1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, p []byte) {
		rest, err := sections(p)
		if err != nil {
			require.ErrorIs(t, err, errFrame)
			return
		}
		for len(rest) > 0 {
			s, left, err := nextSection(rest)
			if err != nil {
				require.ErrorIs(t, err, errFrame)
				return
			}
			require.Less(t, len(left), len(rest))
			require.LessOrEqual(t, len(s.message), len(rest))
			rest = left
		}
	})
}

// FuzzWrap takes any bytes for the state of a checkpoint.
func FuzzWrap(f *testing.F) {
	cfg := firstConfig(7)
	f.Add([]byte{})
	f.Add([]byte(wrapMagic))
	f.Add(wrap(&cfg, nil))
	f.Add(wrap(&cfg, []byte("state")))
	f.Fuzz(func(t *testing.T, p []byte) {
		got, state, err := unwrap(p)
		if err != nil {
			require.ErrorIs(t, err, errWrap)
			return
		}
		require.NoError(t, got.Validate())
		again, rest, err := unwrap(wrap(&got, state))
		require.NoError(t, err)
		require.Equal(t, got, again)
		require.Equal(t, string(state), string(rest))
	})
}

// TestWrapFindsDamage flips each bit of the configuration in a checkpoint.
func TestWrapFindsDamage(t *testing.T) {
	cfg := core.Config{Voters: []core.Member{{ID: 1, Life: 1}, {ID: 2, Life: 99}}}
	whole := wrap(&cfg, nil)
	for bit := range 8 * len(whole) {
		p := append([]byte{}, whole...)
		p[bit/8] ^= 1 << (bit % 8)
		_, _, err := unwrap(p)
		require.Error(t, err, "bit %d", bit)
	}
	got, state, err := unwrap(whole)
	require.NoError(t, err)
	require.Equal(t, cfg, got)
	require.NotNil(t, state)
	require.Empty(t, state)
	require.False(t, wrapped([]byte("a machine's")))
}

// TestProposalsKeepTags gives tags back with their entries, or as unsure, once each.
func TestProposalsKeepTags(t *testing.T) {
	var p proposals
	for i := range 10 {
		p.push(proposal{core.Index(i + 5), 3, 10, i})
	}
	require.EqualValues(t, 100, p.bytes)
	require.Nil(t, p.take(4, 3))
	require.Equal(t, 0, p.take(5, 3))
	require.Nil(t, p.take(6, 4), "another term's entry took its place")
	require.Nil(t, p.take(9, 4), "those before it are gone")
	p.skip(11)
	var unsure []any
	p.tell(func(tag any) { unsure = append(unsure, tag) })
	require.Equal(t, []any{1, 2, 3, 4, 5, 6}, unsure)
	require.Equal(t, 7, p.take(12, 3))
	require.EqualValues(t, 20, p.bytes)
}
