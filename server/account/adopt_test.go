package account

import (
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// tenants are the accounts of one configuration, by name.
type tenants map[string]*Account

func (c tenants) live(name string) *Account { return c[name] }

// configure makes A with two exports and B with two imports; change edits them
// before the imports are made.
func configure(t *testing.T, change func(a, b *Account)) tenants {
	a, b := New("A"), New("B")
	require.NoError(t, a.AddStreamExport("s.>", nil))
	require.NoError(t, a.AddServiceExport("svc.*", []*Account{b}))
	require.NoError(t, a.AddMapping("m", "n"))
	if change != nil {
		change(a, b)
	}
	require.NoError(t, b.AddStreamImport(a, "s.>", "p"))
	require.NoError(t, b.AddServiceImport(a, "mine.*", "svc.*"))
	return tenants{"A": a, "B": b}
}

func TestAdoptUnchanged(t *testing.T) {
	for _, order := range [][]string{{"A", "B"}, {"B", "A"}} {
		live, next := configure(t, nil), configure(t, nil)
		graphs := [2]*Graph{live["A"].Graph(), live["B"].Graph()}
		for _, name := range order {
			require.False(t, live[name].Adopt(next[name], live.live).Any())
		}
		require.Same(t, graphs[0], live["A"].Graph())
		require.Same(t, graphs[1], live["B"].Graph())
		require.Equal(t, 1, live["B"].TotalSubs())
	}
}

func TestAdoptChanges(t *testing.T) {
	for _, order := range [][]string{{"A", "B"}, {"B", "A"}} {
		live := configure(t, nil)
		old := live["B"].Graph()
		next := configure(t, func(a, b *Account) {
			require.NoError(t, a.SetServiceExportResponseThreshold("svc.*", time.Second))
			require.NoError(t, a.AddStreamExport("t.>", nil))
			require.NoError(t, b.AddStreamImport(a, "t.1", ""))
			require.NoError(t, b.AddServiceImport(a, "more", "svc.x"))
			a.SetLimits(Limits{Connections: 7})
			require.NoError(t, a.AddMapping("m", "o"))
		})
		changes := map[string]Changes{}
		for _, name := range order {
			changes[name] = live[name].Adopt(next[name], live.live)
		}
		require.Equal(t, Changes{Exports: true, Mappings: true, Limits: true}, changes["A"])
		require.Equal(t, Changes{StreamImports: true, ServiceImports: true}, changes["B"])
		require.True(t, changes["B"].Imports())

		a, b := live["A"], live["B"]
		require.EqualValues(t, 7, a.Limits().Connections)
		require.Equal(t, "o", a.Graph().Mappings.All()[0].Dests()[0].Subject)
		require.Len(t, b.Graph().StreamImports, 2)
		require.Same(t, old.StreamImports[0], b.Graph().StreamImports[1], "what did not change is the same")
		require.Equal(t, "t.1", b.Graph().StreamImports[0].From)
		for _, i := range b.Graph().StreamImports {
			require.Same(t, a, i.Account)
		}
		require.Len(t, b.Graph().ServiceImports, 2)
		require.Same(t, old.ServiceImports[0], b.Graph().ServiceImports[1])
		for _, i := range b.Graph().ServiceImports {
			require.Same(t, a, i.Account)
			require.Same(t, b, i.Importer())
			require.Same(t, a.ServiceExport("svc.*"), i.Export.Current())
			require.Equal(t, time.Second, i.Export.Current().Threshold)
			require.False(t, i.Subscription().Closed())
		}
		require.Equal(t, 2, b.TotalSubs())
	}
}

func TestAdoptRemoves(t *testing.T) {
	live := configure(t, nil)
	sub := live["B"].Graph().ServiceImports[0].Subscription()
	c := live["B"].Adopt(New("B"), live.live)
	require.Equal(t, Changes{StreamImports: true, ServiceImports: true}, c)
	require.Zero(t, live["B"].TotalSubs())
	require.True(t, sub.Closed())
	require.Equal(t, Changes{Exports: true, Mappings: true}, live["A"].Adopt(New("A"), live.live))
	require.Empty(t, live["A"].Graph().Mappings.All())

	next := configure(t, nil)
	require.True(t, live["B"].Adopt(next["B"], func(string) *Account { return nil }).Any() == false, "imports of unknown accounts are dropped")
}

func TestAdoptTwice(t *testing.T) {
	live, next := configure(t, nil), configure(t, nil)
	for range 3 { // the chain of exports must not become a circle
		live["A"].Adopt(next["A"], live.live)
		require.NoError(t, live["A"].SetServiceExportResponseThreshold("svc.*", time.Second))
		live["B"].Adopt(next["B"], live.live)
		require.Equal(t, time.Second, live["B"].Graph().ServiceImports[0].Export.Current().Threshold)
	}
}

// The message path reads while configuration changes; the race detector watches.
func TestReadWhileChanging(t *testing.T) {
	live := configure(t, nil)
	a, b := live["A"], live["B"]
	rnd := seeded()
	var done sync.WaitGroup
	done.Add(1)
	go func() {
		defer done.Done()
		for range 50 {
			next := configure(t, func(a, b *Account) {
				_ = a.SetServiceExportResponseThreshold("svc.*", time.Second)
				_ = b.AddServiceImport(a, "mine.2", "svc.2")
			})
			a.Adopt(next["A"], live.live)
			b.Adopt(next["B"], live.live)
			b.Adopt(configure(t, nil)["B"], live.live)
			_ = b.SetServiceImportSharing(a, "svc.*", true)
		}
	}()
	dst, seen := make([]byte, 0, 64), 0
	for range 3000 {
		for _, i := range b.Graph().ServiceImports {
			var ok bool
			if dst, ok = i.AppendTarget(dst[:0], []byte("mine.x")); ok {
				seen++
				r := a.Responses().Lookup([]byte(a.Responses().Add(b, "r", i, 0, rnd, nil)))
				require.NotNil(t, r)
				a.Responses().Remove(r, 0)
			}
		}
		for _, i := range b.Graph().StreamImports {
			dst = i.AppendLocal(dst[:0], []byte("s.x"))
			require.Equal(t, "p.s.x", string(dst))
		}
		b.Interest("mine.x")
	}
	done.Wait()
	require.NotZero(t, seen)
}
