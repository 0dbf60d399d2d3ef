package account

import (
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/subject"
)

// TestTallyAgainstAModel: what is told adds up to what there is, and nothing is told twice.
func TestTallyAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := New("A")
		var all []*Subscription
		insert := func(foreign bool) {
			s := &Subscription{
				Subject: rapid.SampledFrom([]string{"foo", "foo.*", "bar"}).Draw(t, "subject"),
				Queue:   rapid.SampledFrom([]string{"", "q", "r"}).Draw(t, "queue"), Response: foreign,
			}
			require.NoError(t, a.Insert(s))
			all = append(all, s)
		}
		for range rapid.IntRange(0, 3).Draw(t, "before") {
			insert(false)
		}
		calls := 0
		tally := a.StartTally(func(s *Subscription) bool { return !s.Response }, func() { calls++ })
		told := map[Key]int{}
		take := func() {
			was := calls
			changes := tally.Take(nil)
			require.False(t, len(changes) > 0 && was == 0, "nobody was told that there are changes")
			calls = 0
			for _, c := range changes {
				require.NotEqual(t, told[c.Key], c.Weight, "told twice")
				if told[c.Key] = c.Weight; c.Weight == 0 {
					delete(told, c.Key)
				}
			}
			require.Equal(t, plainAsOne(all), told)
			var keys []Key
			for _, c := range tally.Told() {
				require.Equal(t, told[c.Key], c.Weight)
				keys = append(keys, c.Key)
			}
			require.Equal(t, slices.SortedFunc(maps.Keys(told), Key.Compare), keys)
		}
		t.Repeat(map[string]func(*rapid.T){
			"insert":  func(*rapid.T) { insert(false) },
			"foreign": func(*rapid.T) { insert(true) },
			"remove": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip("nothing is there")
				}
				i := rapid.IntRange(0, len(all)-1).Draw(t, "which")
				require.True(t, a.Remove(all[i]))
				all = slices.Delete(all, i, i+1)
			},
			"take": func(*rapid.T) { take() },
		})
		for _, s := range all {
			a.Remove(s)
		}
		all = nil
		take()
		require.Empty(t, tally.keys)
		tally.Stop()
		insert(false)
		require.Empty(t, tally.Take(nil))
	})
}

// plainAsOne is what others are to know of subscriptions.
func plainAsOne(all []*Subscription) map[Key]int {
	want := map[Key]int{}
	for _, s := range all {
		if k := (Key{s.Subject, s.Queue}); !s.Response && (s.Queue != "" || want[k] == 0) {
			want[k]++
		}
	}
	return want
}

// TestTallyBeginsWhileInterestChanges: what is inserted and removed at the same time as the tally
// begins is counted once.
func TestTallyBeginsWhileInterestChanges(t *testing.T) {
	for range 50 {
		a := New("A")
		var work sync.WaitGroup
		for g := range 3 {
			work.Go(func() {
				for i := range 40 {
					s := &Subscription{Subject: fmt.Sprintf("foo.%d", i), Queue: "q"}
					if a.Insert(s) == nil && i%2 == g%2 {
						a.Remove(s)
					}
				}
			})
		}
		tally := a.StartTally(func(*Subscription) bool { return true }, func() {})
		work.Wait()
		tally.Take(nil)
		got := tally.Told()
		require.Len(t, got, 40)
		for _, c := range got { // two of the three keep the odd, one the even
			var n int
			_, _ = fmt.Sscanf(c.Subject, "foo.%d", &n)
			require.Equal(t, 1+n%2, c.Weight, c.Subject)
		}
	}
}

func TestReweigh(t *testing.T) {
	a := New("A")
	s := &Subscription{Subject: "foo", Queue: "q"}
	require.NoError(t, a.InsertWeighted(s, 3))
	require.Equal(t, []int32{3}, weights(a))
	a.Reweigh(s, 1<<40)
	require.Equal(t, []int32{1<<31 - 1}, weights(a))
}

func weights(a *Account) (all []int32) {
	var r subject.Result[*Subscription]
	a.index.Match([]byte("foo"), &r)
	for _, m := range r.Groups[0].Members {
		all = append(all, m.Weight)
	}
	return all
}
