package msgs

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// held is a frozen store, and the model then.
type held struct {
	f     *Frozen
	store Store
	model *model
}

func hold(st Store, m *model) held { return held{st.Freeze(), st, m.clone()} }

// check reads all of it, in parts of some size, twice: the second time from the middle.
func (h held) check(t *rapid.T, settle func()) {
	size := rapid.SampledFrom([]int{1, 100, 1000, 1 << 20}).Draw(t, "size")
	require.Equal(t, h.model.state().Msgs, h.f.State().Msgs)
	require.Equal(t, h.model.last, h.f.State().Last)
	h.checkFrom(t, settle, 0, size)
	if n := len(h.model.list); n > 0 {
		h.checkFrom(t, settle, h.model.list[n/2].Seq, size)
	}
	h.f.Close()
	h.f.Close()
}

func (h held) checkFrom(t require.TestingT, settle func(), from uint64, size int) {
	var got []Record
	for next := from; next <= h.model.last; {
		p, n, cold := h.f.Append(nil, next, size)
		for len(p) > 0 {
			r, rest, err := ReadRecord(p)
			require.NoError(t, err)
			got = append(got, r)
			p = rest
		}
		if cold {
			called := 0
			h.f.Warm(n, func(err error) {
				called++
				require.NoError(t, err)
			})
			settle()
			require.Equal(t, 1, called)
		}
		require.True(t, cold || n > next, "it does not go on: at %d", n)
		next = n
	}
	var want []modelMsg
	for _, m := range h.model.list {
		if m.Seq >= from {
			want = append(want, m)
		}
	}
	require.Len(t, got, len(want))
	for i, r := range got {
		require.Equal(t, want[i].Seq, r.Seq)
		require.Equal(t, want[i].Time, r.Time)
		require.Equal(t, want[i].Subject, r.Subject)
		require.Equal(t, string(want[i].Header), string(r.Header))
		require.Equal(t, string(want[i].Data), string(r.Data))
		require.Equal(t, want[i].ttl, r.TTL)
	}
}

// frozenActions freeze and look, while the others go on.
func frozenActions(actions map[string]func(*rapid.T), st func() (Store, *model, func())) (check func(*rapid.T)) {
	var list []held
	actions["freeze"] = func(t *rapid.T) {
		store, m, _ := st()
		if len(list) < 3 {
			list = append(list, hold(store, m))
		}
	}
	check = func(t *rapid.T) {
		store, _, settle := st()
		for _, h := range list {
			if h.store == store { // else it crashed
				h.check(t, settle)
			}
		}
		list = nil
	}
	actions["look"] = check
	return check
}

func TestFrozenMemory(t *testing.T) {
	for _, blockBytes := range []int{256, 1024} {
		t.Run(fmt.Sprintf("block=%d", blockBytes), func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				w := newWorld(0)
				r := newRig(NewMemory(w.strand, Options{BlockBytes: blockBytes}), w, false)
				actions := r.actions()
				check := frozenActions(actions, func() (Store, *model, func()) { return r.store, r.model, r.settle })
				t.Repeat(actions)
				check(t)
			})
		})
	}
}

func TestFrozenFiles(t *testing.T) {
	for _, v := range fileVariants {
		t.Run(v.name, func(t *testing.T) {
			rapid.Check(t, func(t *rapid.T) {
				f := newFileRig(t, 0, v.o)
				actions := f.fileActions()
				check := frozenActions(actions, func() (Store, *model, func()) { return f.store, f.model, f.settle })
				t.Repeat(actions)
				check(t)
				f.checkpoint(t)
				f.store.Release(f.manifest)
				f.settle()
				f.checkAll(t)
			})
		})
	}
}

func FuzzReadRecord(f *testing.F) {
	w := newWorld(0)
	st := NewMemory(w.strand, Options{})
	_, err := st.Append(0, 5, []byte("a.b"), []byte("NATS/1.0\r\n\r\n"), []byte("data"), TTL{Deadline: 9})
	require.NoError(f, err)
	p, _, _ := st.Freeze().Append(nil, 1, 1)
	f.Add(p)
	f.Add(p[:20])
	f.Fuzz(func(t *testing.T, p []byte) {
		for len(p) > 0 {
			r, rest, err := ReadRecord(p)
			if err != nil {
				return
			}
			require.Less(t, len(rest), len(p))
			require.LessOrEqual(t, len(r.Subject)+len(r.Header)+len(r.Data), len(p))
			p = rest
		}
	})
}
