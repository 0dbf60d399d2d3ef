package account

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/subject"
)

// TestWatches holds the tree of watches against asking every watch whether the changed
// subject covers it.
func TestWatches(t *testing.T) {
	type watching struct {
		subject string
		told    int
		stop    func()
	}
	token := rapid.SampledFrom([]string{"a", "b", "c"})
	rapid.Check(t, func(t *rapid.T) {
		a := New("A")
		subs := map[string]*Subscription{}
		var all []*watching
		var order []*watching // as they were told
		t.Repeat(map[string]func(*rapid.T){
			"watch": func(t *rapid.T) {
				w := &watching{subject: join(rapid.SliceOfN(token, 1, 4).Draw(t, "subject"))}
				w.stop = a.Watch(w.subject, func() { w.told++; order = append(order, w) })
				all = append(all, w)
			},
			"stop": func(t *rapid.T) {
				if len(all) == 0 {
					t.Skip("none")
				}
				i := rapid.IntRange(0, len(all)-1).Draw(t, "watch")
				all[i].stop()
				all[i].stop() // once more does nothing
				all = slices.Delete(all, i, i+1)
			},
			"change": func(t *rapid.T) {
				pattern := drawPattern(t, token)
				if s := subs[pattern]; s != nil {
					require.True(t, a.Remove(s))
					require.False(t, a.Remove(s))
					delete(subs, pattern)
				} else {
					subs[pattern] = &Subscription{Subject: pattern}
					require.NoError(t, a.Insert(subs[pattern]))
				}
				var want []*watching
				for _, w := range all {
					if subject.Matches([]byte(w.subject), pattern) {
						want = append(want, w)
						w.told--
					}
					require.Zero(t, w.told, "%s after a change of %s", w.subject, pattern)
				}
				require.Equal(t, want, order, "in the order in which they began")
				order = nil
			},
			"": func(t *rapid.T) {
				require.Equal(t, len(all), a.Watches())
				require.Equal(t, len(subs), a.TotalSubs())
				if len(all) == 0 {
					require.Nil(t, a.watches.root.next, "nothing is left")
				}
			},
		})
	})
}

func drawPattern(t *rapid.T, token *rapid.Generator[string]) string {
	tokens := rapid.SliceOfN(rapid.OneOf(token, rapid.Just("*")), 1, 4).Draw(t, "pattern")
	if rapid.Bool().Draw(t, "rest") {
		tokens[len(tokens)-1] = ">"
	}
	return join(tokens)
}

func join(tokens []string) string {
	out := tokens[0]
	for _, t := range tokens[1:] {
		out += "." + t
	}
	return out
}

func TestInsertRefuses(t *testing.T) {
	a := New("A")
	told := false
	defer a.Watch("a..b", func() { told = true })()
	require.ErrorIs(t, a.Insert(&Subscription{Subject: "a..b"}), subject.ErrInvalidSubject)
	require.False(t, told)
}

// TestWatchesAtOnce changes interest and watches from several goroutines, for the race
// detector.
func TestWatchesAtOnce(t *testing.T) {
	a := New("A")
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 200 {
				stop := a.Watch(fmt.Sprintf("x.%d", i%7), func() {})
				s := &Subscription{Subject: []string{"x.*", "x.1", ">"}[(g+i)%3]}
				if a.Insert(s) != nil || !a.Remove(s) {
					t.Error("the index does not hold what it was given")
				}
				stop()
			}
		})
	}
	wg.Wait()
	require.Zero(t, a.Watches())
	require.Zero(t, a.TotalSubs())
}
