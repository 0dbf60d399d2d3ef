package perm

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestReplies(t *testing.T) {
	inbox := []byte("_INBOX.1")
	for _, tc := range []struct {
		name string
		max  int
		ttl  time.Duration
		uses []time.Duration
		want []bool
	}{
		{"once", 1, time.Minute, []time.Duration{0, 0}, []bool{true, false}},
		{"thrice", 3, time.Minute, []time.Duration{0, 1, 2, 3}, []bool{true, true, true, false}},
		{"at expiry", 2, time.Minute, []time.Duration{time.Minute, time.Minute + 1}, []bool{true, false}},
		{"after expiry", 2, time.Minute, []time.Duration{time.Minute + 1, 0}, []bool{false, false}},
		{"any number", -1, time.Minute, []time.Duration{0, 0, 0, time.Minute, time.Hour}, []bool{true, true, true, true, false}},
		{"for ever", 2, -1, []time.Duration{time.Hour, 1000 * time.Hour, 1000 * time.Hour}, []bool{true, true, false}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewReplies(tc.max, tc.ttl)
			require.False(t, r.Use(inbox, 0))
			r.Permit(inbox, 0)
			var got []bool
			for _, at := range tc.uses {
				got = append(got, r.Use(inbox, at))
			}
			require.Equal(t, tc.want, got)
		})
	}
}

func TestPermittedAfreshStartsOver(t *testing.T) {
	r := NewReplies(2, time.Minute)
	r.Permit([]byte("r"), 0)
	require.True(t, r.Use([]byte("r"), 0))
	r.Permit([]byte("r"), time.Minute)
	require.True(t, r.Use([]byte("r"), 2*time.Minute))
	require.True(t, r.Use([]byte("r"), 2*time.Minute))
	require.False(t, r.Use([]byte("r"), 2*time.Minute))
}

func TestRepliesArePruned(t *testing.T) {
	r := NewReplies(1, time.Minute)
	now := 2 * repliesPruneAfter
	r.Permit([]byte("first"), now) // prunes: the first after a second
	for i := range repliesPruneCount {
		r.Permit(fmt.Append(nil, i), now)
	}
	require.Equal(t, repliesPruneCount+1, r.Len())
	now += time.Minute + repliesPruneAfter
	r.Permit([]byte("last"), now)
	require.Equal(t, 1, r.Len(), "a second later the expired ones go")

	for i := range 2*repliesPruneCount + 1 { // within one second, by number
		r.Permit(fmt.Append(nil, i), now)
		now += 10 * time.Microsecond
	}
	require.Equal(t, 2*repliesPruneCount+2, r.Len())

	now += 2 * time.Minute
	r.Permit([]byte("x"), now)
	require.Equal(t, 1, r.Len())
	require.True(t, r.Use([]byte("x"), now))
	require.Zero(t, r.Len())
	r.Permit([]byte("y"), now+time.Second+1)
	require.True(t, r.Use([]byte("y"), now+time.Second+1))
}

func TestRepliesReleaseABurst(t *testing.T) {
	r := NewReplies(1, time.Minute)
	for i := range repliesPruneCount + 10 {
		r.Permit(fmt.Append(nil, i), 0)
	}
	require.Greater(t, len(r.slots), repliesPruneCount)
	for i := range repliesPruneCount + 10 {
		require.True(t, r.Use(fmt.Append(nil, i), 0))
	}
	r.prune(0)
	require.Len(t, r.slots, 1)
	r.Permit([]byte("a"), 0)
	require.True(t, r.Use([]byte("a"), 0))
}

// The table is compared with a map of grants that never forgets anything.
func TestRepliesAgainstModel(t *testing.T) {
	type grant struct {
		at   time.Duration
		used int
	}
	rapid.Check(t, func(t *rapid.T) {
		maxMsgs := rapid.SampledFrom([]int{-1, 1, 2}).Draw(t, "max")
		ttl := rapid.SampledFrom([]time.Duration{-1, time.Second, 3 * time.Second}).Draw(t, "ttl")
		r, grants, now := NewReplies(maxMsgs, ttl), map[string]*grant{}, time.Duration(0)
		name := rapid.StringMatching(`[a-c]`)
		t.Repeat(map[string]func(*rapid.T){
			"permit": func(t *rapid.T) {
				n := name.Draw(t, "reply")
				grants[n] = &grant{at: now}
				r.Permit([]byte(n), now)
			},
			"use": func(t *rapid.T) {
				n := name.Draw(t, "subject")
				g := grants[n]
				want := g != nil && (maxMsgs < 0 || g.used < maxMsgs) && (ttl < 0 || now-g.at <= ttl)
				if want {
					g.used++
				}
				require.Equal(t, want, r.Use([]byte(n), now))
			},
			"wait": func(t *rapid.T) {
				now += time.Duration(rapid.IntRange(0, 2000).Draw(t, "ms")) * time.Millisecond
			},
			"": func(t *rapid.T) {
				require.LessOrEqual(t, r.Len(), 3)
				n := 0
				for i := r.slots[0].next; i != 0; i = r.slots[i].next {
					require.Equal(t, i, r.permits[string(r.slots[i].subject)])
					n++
				}
				require.Equal(t, r.Len(), n)
			},
		})
	})
}

func TestRepliesAllocateNothingOnceWarm(t *testing.T) {
	r := NewReplies(1, time.Minute)
	replies := make([][]byte, 100)
	for i := range replies {
		replies[i] = fmt.Appendf(nil, "_INBOX.abcdefgh.%d", i)
	}
	round := func() {
		for _, reply := range replies {
			r.Permit(reply, 0)
		}
		for _, reply := range replies {
			r.Use(reply, 0)
		}
	}
	round()
	require.Zero(t, testing.AllocsPerRun(50, round))
}

func BenchmarkReplies(b *testing.B) {
	r := NewReplies(1, time.Minute)
	reply := []byte("_INBOX.AbCdEfGhIjKlMnOpQrStUv.1")
	b.ReportAllocs()
	for b.Loop() {
		r.Permit(reply, 0)
		r.Use(reply, 0)
	}
}
