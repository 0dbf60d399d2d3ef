package account

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func seeded() *rand.Rand { return rand.New(rand.NewPCG(1, 2)) }

// service makes B import svc.* and slow.* of A, with thresholds of 2 s and 20 s.
func service(t require.TestingT) (a, b *Account, quick, slow *ServiceImport) {
	a, b = New("A"), New("B")
	for _, s := range []struct {
		subject   string
		threshold time.Duration
	}{{"svc.*", 2 * time.Second}, {"slow.*", 20 * time.Second}} {
		require.NoError(t, a.AddServiceExport(s.subject, nil))
		require.NoError(t, a.SetServiceExportResponseThreshold(s.subject, s.threshold))
		require.NoError(t, b.AddServiceImport(a, s.subject, ""))
	}
	return a, b, b.Graph().ServiceImports[0], b.Graph().ServiceImports[1]
}

func TestResponseLife(t *testing.T) {
	a, b, si, _ := service(t)
	table, rnd := a.Responses(), seeded()
	require.Empty(t, table.Prefix())
	require.Nil(t, table.Lookup([]byte("_R_.aaaaaa.bbbbbb")))
	subject := table.Add(b, "rep.b", si, time.Second, rnd, "data")
	require.Regexp(t, regexp.MustCompile(`^_R_\.[0-9A-Za-z]{6}\.[0-9A-Za-z]{6}$`), subject)
	require.Equal(t, subject[4:10], table.Prefix())
	require.True(t, a.SubscriptionInterest(subject))
	require.Equal(t, []OpenResponse{{Subject: subject, Requestor: "B", Reply: "rep.b"}}, table.List())

	r := table.Lookup([]byte(subject))
	require.NotNil(t, r)
	require.Same(t, b, r.Requestor)
	require.Equal(t, "rep.b", r.Reply)
	require.Same(t, si, r.Import)
	require.Equal(t, "data", r.Data)
	for _, other := range []string{"", "_R_.", subject + "x", subject[:16], "_X_" + subject[3:], "_R_.------" + subject[10:],
		subject[:10] + "-" + subject[11:], subject[:11] + "------"} {
		require.Nil(t, table.Lookup([]byte(other)), other)
	}
	require.True(t, table.Remove(r, 2*time.Second))
	require.False(t, table.Remove(r, 2*time.Second), "only one of two ends it")
	require.Nil(t, table.Lookup([]byte(subject)))
	require.Zero(t, table.Len())
}

func TestResponsesExpire(t *testing.T) {
	a, b, quick, slow := service(t)
	table, rnd := a.Responses(), seeded()
	_, due := table.Next()
	require.False(t, due)
	s := time.Second
	table.Add(b, "slow", slow, 0, rnd, nil)
	table.Add(b, "quick", quick, 0, rnd, nil)
	kept := table.Add(b, "kept", quick, 1*s, rnd, nil)
	next, _ := table.Next()
	require.Equal(t, 2*s, next)
	require.Empty(t, table.ExpireBefore(2*s-1))
	require.Equal(t, []string{"quick"}, replies(table.ExpireBefore(2*s)))
	table.Touch(table.Lookup([]byte(kept)), 2*s)
	require.Empty(t, table.ExpireBefore(3*s), "a part of a response keeps it open")
	require.Equal(t, []string{"kept"}, replies(table.ExpireBefore(4*s)))
	require.Equal(t, []string{"slow"}, replies(table.ExpireBefore(100*s)))

	require.True(t, a.SubscriptionInterest(kept), "an empty table lingers")
	next, due = table.Next()
	require.True(t, due)
	require.Equal(t, 110*s, next)
	require.Empty(t, table.ExpireBefore(next-1))
	require.Equal(t, 1, a.TotalSubs())
	require.Empty(t, table.ExpireBefore(next))
	require.Zero(t, a.TotalSubs())
	_, due = table.Next()
	require.False(t, due)
	prefix := table.Prefix()
	table.Add(b, "again", quick, 200*s, rnd, nil)
	require.Equal(t, prefix, table.Prefix())
	require.Equal(t, 1, a.TotalSubs())
}

func replies(list []*Response) (out []string) {
	for _, r := range list {
		out = append(out, r.Reply)
	}
	return out
}

func TestResponsesAreBoundedPerRequestor(t *testing.T) {
	a, b, si, _ := service(t)
	c := New("C")
	table, rnd := a.Responses(), seeded()
	table.limit = 2
	other := table.Add(c, "c", si, 0, rnd, nil)
	first := table.Add(b, "b1", si, 0, rnd, nil)
	second := table.Add(b, "b2", si, 0, rnd, nil)
	table.Add(b, "b3", si, 0, rnd, nil)
	require.Nil(t, table.Lookup([]byte(first)), "the oldest of the same requestor makes way")
	require.NotNil(t, table.Lookup([]byte(second)))
	require.NotNil(t, table.Lookup([]byte(other)))
	require.EqualValues(t, 1, table.Ended())
	table.limit = 1
	table.Add(c, "c2", si, 0, rnd, nil)
	require.Equal(t, []string{"c2"}, replies(table.RemoveRequestor(c, 0)))
	require.Equal(t, []string{"b2", "b3"}, replies(table.RemoveRequestor(b, 0)))
	require.Zero(t, table.Len())
	require.Empty(t, table.requestors)
	require.Empty(t, table.open)
}

// The table against a list that is searched.
func TestPropertyResponses(t *testing.T) {
	type open struct {
		subject, reply string
		last, limit    time.Duration
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b, quick, slow := service(t)
		table, rnd := a.Responses(), seeded()
		var model []open
		now, n := time.Duration(0), 0
		pick := func(t *rapid.T) int {
			if len(model) == 0 {
				t.Skip("nothing is open")
			}
			return rapid.IntRange(0, len(model)-1).Draw(t, "which")
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				si, limit := quick, 2*time.Second
				if rapid.Bool().Draw(t, "slow") {
					si, limit = slow, 20*time.Second
				}
				n++
				reply := fmt.Sprint("r", n)
				model = append(model, open{table.Add(b, reply, si, now, rnd, nil), reply, now, limit})
			},
			"touch": func(t *rapid.T) {
				i := pick(t)
				model[i].last = now
				table.Touch(table.Lookup([]byte(model[i].subject)), now)
			},
			"remove": func(t *rapid.T) {
				i := pick(t)
				require.True(t, table.Remove(table.Lookup([]byte(model[i].subject)), now))
				model = append(model[:i], model[i+1:]...)
			},
			"expire": func(t *rapid.T) {
				now += time.Duration(rapid.IntRange(0, 5000).Draw(t, "ms")) * time.Millisecond
				var want []string
				var kept []open
				for _, o := range model {
					if o.last+o.limit <= now {
						want = append(want, o.reply)
					} else {
						kept = append(kept, o)
					}
				}
				model = kept
				require.ElementsMatch(t, want, replies(table.ExpireBefore(now)))
			},
			"": func(t *rapid.T) {
				require.Equal(t, len(model), table.Len())
				list := table.List()
				for i, o := range model {
					require.Equal(t, o.reply, table.Lookup([]byte(o.subject)).Reply)
					require.Equal(t, o.subject, list[i].Subject)
				}
				for i := range table.heap {
					require.Equal(t, i, table.heap[i].heap)
					require.False(t, i > 0 && table.less(i, (i-1)/2), "heap order at %d", i)
				}
			},
		})
	})
}

func FuzzLookup(f *testing.F) {
	a, b, si, _ := service(f)
	subject := a.Responses().Add(b, "r", si, 0, seeded(), nil)
	f.Add([]byte(subject))
	f.Add([]byte("_R_.......>......"))
	f.Fuzz(func(t *testing.T, s []byte) {
		require.Equal(t, string(s) == subject, a.Responses().Lookup(s) != nil)
	})
}

func TestResponsesAllocate(t *testing.T) {
	a, b, si, _ := service(t)
	table, rnd := a.Responses(), seeded()
	table.Add(b, "warm", si, 0, rnd, nil)
	require.EqualValues(t, 1, testing.AllocsPerRun(200, func() { // the Response
		table.Remove(table.Lookup(table.Open(b, "r", si, 0, rnd, nil).Subject()), 0)
	}))
}

func BenchmarkResponse(b *testing.B) {
	for _, n := range []int{1, 10000} {
		b.Run(fmt.Sprintf("open=%d", n), func(b *testing.B) {
			a, requestor, si, _ := service(b)
			table, rnd := a.Responses(), seeded()
			for range n {
				table.Add(requestor, "r", si, 0, rnd, nil)
			}
			b.ReportAllocs()
			for b.Loop() {
				table.Remove(table.Lookup(table.Open(requestor, "r", si, 0, rnd, nil).Subject()), 0)
			}
		})
	}
}
