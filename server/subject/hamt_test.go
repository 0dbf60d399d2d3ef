package subject

import (
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// Hashes that collide, at first or altogether, must change nothing but cost. The
// test hands in hashes of its own; a split asks the hasher for the other token's,
// so the tokens here are split by hashes of the real one only where they differ.
func TestTokensWithCollidingHashes(t *testing.T) {
	m := (*tokens[int])(nil)
	nodes := map[string]*node[int]{}
	for _, token := range []string{"a", "b", "c"} {
		n := &node[int]{here: &leaf[int]{subject: token}}
		nodes[token] = n
		m = m.edit(0, 7, hamtEnd, token, func(*node[int]) *node[int] { return n })
	}
	collided := func(token string) *node[int] {
		for i := range m.kids {
			if m.kids[i].token == token {
				return m.kids[i].node
			}
		}
		return nil
	}
	for _, token := range []string{"a", "b", "c"} {
		require.Same(t, nodes[token], collided(token))
	}
	require.Same(t, m, m.edit(0, 7, hamtEnd, "b", func(n *node[int]) *node[int] { return n }))
	require.Same(t, m, m.edit(0, 7, hamtEnd, "d", func(*node[int]) *node[int] { return nil }))
	other := &node[int]{}
	m = m.edit(0, 7, hamtEnd, "b", func(*node[int]) *node[int] { return other })
	require.Same(t, other, collided("b"))
	for _, token := range []string{"a", "b", "c"} {
		require.NotNil(t, m)
		m = m.edit(0, 7, hamtEnd, token, func(*node[int]) *node[int] { return nil })
	}
	require.Nil(t, m)
}

// An older version of the map never changes.
func TestTokensAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		h := hasher(rapid.Uint64().Draw(t, "seed"))
		versions := []*tokens[int]{nil}
		models := []map[string]*node[int]{{}}
		name := rapid.StringOfN(rapid.RuneFrom([]rune("abcd")), 1, 3, -1)
		for range rapid.IntRange(1, 80).Draw(t, "steps") {
			token := name.Draw(t, "token")
			var n *node[int]
			if rapid.IntRange(0, 2).Draw(t, "keep") > 0 {
				n = &node[int]{here: &leaf[int]{subject: token}}
			}
			last := len(versions) - 1
			m := versions[last].edit(h, h.hash(token), 0, token, func(*node[int]) *node[int] { return n })
			if m != nil && len(m.kids)+len(m.subs) == 0 {
				m = nil
			}
			model := map[string]*node[int]{}
			for k, v := range models[last] { //lockstep:ordered a copy
				model[k] = v
			}
			if model[token] = n; n == nil {
				delete(model, token)
			}
			require.Equal(t, len(model) == 0, m == nil)
			versions, models = append(versions, m), append(models, model)
		}
		for i, m := range versions {
			for k, v := range models[i] { //lockstep:ordered only compared
				require.Same(t, v, m.get(h.hash(k), []byte(k)))
			}
			count := 0
			m.each(func(*node[int]) { count++ })
			require.Equal(t, len(models[i]), count)
		}
	})
}

func TestHashSpreads(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := rapid.SliceOfN(rapid.Byte(), 1, 40).Draw(t, "b")
		was := Hash(1, b)
		i := rapid.IntRange(0, len(b)-1).Draw(t, "i")
		b[i] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		require.NotEqual(t, was, Hash(1, b))
		b[i]++
		require.NotEqual(t, Hash(1, b), Hash(2, b))
	})
	require.Equal(t, Hash(5, []byte("foo")), hasher(5).hash("foo"))
}
