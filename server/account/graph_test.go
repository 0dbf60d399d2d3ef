package account

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// three accounts named as the tests speak of them.
func three() (a, b, c *Account) { return New("A"), New("B"), New("C") }

func TestExportRefusals(t *testing.T) {
	_, b, _ := three()
	for _, tc := range []struct {
		name string
		add  func(a *Account) error
		want error
	}{
		{"empty token", func(a *Account) error { return a.AddStreamExport("a..b", nil) }, ErrInvalidSubject},
		{"blank", func(a *Account) error { return a.AddServiceExport("a b", nil) }, ErrInvalidSubject},
		{"empty", func(a *Account) error { return a.AddServiceExport("", nil) }, ErrInvalidSubject},
		{"position of a literal", func(a *Account) error { return a.AddServiceExportWithTokenPosition("a.x", Singleton, nil, 2) }, ErrInvalidSubject},
		{"position of the rest", func(a *Account) error { return a.AddStreamExportWithTokenPosition("a.>", nil, 2) }, ErrInvalidSubject},
		{"position after the last token", func(a *Account) error { return a.AddStreamExportWithTokenPosition("a.*", nil, 3) }, ErrInvalidSubject},
		{"negative position", func(a *Account) error { return a.AddStreamExportWithTokenPosition("*", nil, -1) }, ErrInvalidSubject},
		{"position of a wildcard", func(a *Account) error { return a.AddStreamExportWithTokenPosition("a.*", nil, 2) }, nil},
		{"response type", func(a *Account) error { return a.AddServiceExportWithResponse("a", 3, nil) }, ErrBadResponseType},
		{"nil account", func(a *Account) error { return a.AddStreamExport("a", []*Account{b, nil}) }, ErrMissingAccount},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a := New("A")
			require.ErrorIs(t, tc.add(a), tc.want)
			require.Equal(t, tc.want == nil, len(a.Graph().StreamExports) == 1)
		})
	}
}

func TestAuthorization(t *testing.T) {
	a, b, c := three()
	require.NoError(t, a.AddStreamExport("public.>", nil))
	require.NoError(t, a.AddStreamExport("public.secret", []*Account{c}))
	require.NoError(t, a.AddStreamExport("some.*", []*Account{c, b}))
	require.NoError(t, a.AddStreamExport("nobody", []*Account{}))
	require.NoError(t, a.AddStreamExportWithTokenPosition("per.*.>", nil, 2))
	require.NoError(t, a.AddStreamExportWithTokenPosition("both.*", []*Account{c}, 2))
	for _, tc := range []struct {
		subject  string
		importer *Account
		want     bool
	}{
		{"public.>", b, true},
		{"public.x", b, true},
		{"public.*.y", b, true},
		{"public", b, false},
		{"other", b, false},
		{">", b, false},
		{"public.secret", b, false}, // the export of exactly this subject decides alone
		{"public.secret", c, true},
		{"some.*", b, true},
		{"some.x", c, true},
		{"some.x", a, false},
		{"some.>", b, false},
		{"nobody", b, false},
		{"per.B.x", b, true},
		{"per.B.>", b, true},
		{"per.C.x", b, false},
		{"per.*.x", b, false},
		{"per.*.>", b, false},
		{"both.B", b, true}, // the token position decides alone
		{"both.x", c, false},
	} {
		t.Run(tc.subject+" to "+tc.importer.Name, func(t *testing.T) {
			require.Equal(t, tc.want, a.CheckStreamImportAuthorized(tc.importer, tc.subject))
			err := tc.importer.AddMappedStreamImport(a, tc.subject, "")
			if tc.want {
				require.NoError(t, err)
			} else {
				require.EqualError(t, err, "stream import not authorized")
			}
			require.EqualError(t, tc.importer.AddServiceImport(a, tc.subject, ""), "service import not authorized")
		})
	}
}

func TestExportAgainAddsAccounts(t *testing.T) {
	a, b, c := three()
	require.NoError(t, a.AddServiceExport("s", []*Account{c}))
	require.NoError(t, a.SetServiceExportResponseThreshold("s", time.Second))
	old := a.ServiceExport("s")
	require.NoError(t, a.AddServiceExportWithResponse("s", Streamed, []*Account{b, c}))
	e := a.ServiceExport("s")
	require.Equal(t, []string{"B", "C"}, e.Accounts)
	require.Equal(t, Streamed, e.Response)
	require.Equal(t, time.Second, e.Threshold)
	require.Same(t, e, old.Current())
	require.Equal(t, []string{"C"}, old.Accounts, "what was published does not change")
	require.Len(t, a.Graph().ServiceExports, 1)
}

func TestResponseThreshold(t *testing.T) {
	a, b, _ := three()
	require.NoError(t, a.AddServiceExport("s.*", nil))
	require.NoError(t, b.AddServiceImport(a, "s.x", ""))
	d, err := a.ServiceExportResponseThreshold("s.*")
	require.NoError(t, err)
	require.Equal(t, 2*time.Minute, d)
	require.NoError(t, a.SetServiceExportResponseThreshold("s.*", 3*time.Second))
	require.Equal(t, 3*time.Second, b.Graph().ServiceImports[0].Export.Current().Threshold)
	require.ErrorIs(t, a.SetServiceExportResponseThreshold("s.*", 0), ErrBadThreshold)
	require.ErrorIs(t, a.SetServiceExportResponseThreshold("s.x", time.Second), ErrMissingService)
	_, err = a.ServiceExportResponseThreshold("s")
	require.ErrorIs(t, err, ErrMissingService)
	require.NoError(t, a.SetServiceExportAllowTrace("s.*", true))
	require.True(t, a.ServiceExport("s.x").AllowTrace)
}

func TestLatencyTracking(t *testing.T) {
	a := New("A")
	require.NoError(t, a.AddServiceExport("one", nil))
	require.NoError(t, a.AddServiceExportWithResponse("many", Streamed, nil))
	require.EqualError(t, a.TrackServiceExportWithSampling("one", "lat", 101), "bad sampling percentage, should be 1-100")
	require.EqualError(t, a.TrackServiceExport("many", "lat"), "bad service response type")
	require.ErrorIs(t, a.TrackServiceExport("one", "lat.*"), ErrBadLatencySubject)
	require.ErrorIs(t, a.TrackServiceExport("one", "many"), ErrBadLatencySubject)
	require.ErrorIs(t, a.TrackServiceExport("none", "lat"), ErrMissingService)
	require.NoError(t, a.TrackServiceExport("one", "lat"))
	require.Equal(t, &Latency{Subject: "lat", Sampling: 100}, a.ServiceExport("one").Latency)
	a.UnTrackServiceExport("one")
	require.Nil(t, a.ServiceExport("one").Latency)
}

func TestImportRefusals(t *testing.T) {
	stream := func(from, to string) func(a, b *Account) error {
		return func(a, b *Account) error { return b.AddMappedStreamImport(a, from, to) }
	}
	service := func(from, to string) func(a, b *Account) error {
		return func(a, b *Account) error { return b.AddServiceImport(a, from, to) }
	}
	const streamMap = `failed to create mapping transform for stream import subject from %q to %q: %s`
	const serviceMap = `failed to create mapping transform for service import subject from %q to %q: %s`
	for _, tc := range []struct {
		name string
		add  func(a, b *Account) error
		want string
	}{
		{"no account", func(_, b *Account) error { return b.AddStreamImport(nil, "s.x", "p") }, "account missing"},
		{"no destination", func(_, b *Account) error { return b.AddServiceImport(nil, "s.x", "") }, "account missing"},
		{"prefix with a wildcard", func(a, b *Account) error { return b.AddStreamImport(a, "s.>", "p.*") }, "stream import prefix can not contain wildcard tokens"},
		{"prefix with an empty token", func(a, b *Account) error { return b.AddStreamImport(a, "s.*", "p..q") },
			fmt.Sprintf(streamMap, "s.*", "p..q.s.*", "invalid subject")},
		{"wildcard not used", stream("s.*", "x.y"), fmt.Sprintf(streamMap, "s.*", "x.y", "invalid mapping destination: not using all of the token wildcard(s) in x.y")},
		{"one of two wildcards", stream("s.*.*", "x.$2"), fmt.Sprintf(streamMap, "s.*.*", "x.$2", "invalid mapping destination: not using all of the token wildcard(s) in x.$2")},
		{"too high a reference", stream("s.*", "x.$1.$2"), fmt.Sprintf(streamMap, "s.*", "x.$1.$2", "invalid mapping destination: wildcard index out of range in $2: [2]")},
		{"too many wildcards", stream("s.*", "x.*.*"), fmt.Sprintf(streamMap, "s.*", "x.*.*", "invalid mapping destination: wildcard index out of range in $2: [2]")},
		{"function", stream("s.*", "x.{{left(1,2)}}"), fmt.Sprintf(streamMap, "s.*", "x.{{left(1,2)}}",
			"invalid mapping destination: the only mapping function allowed for import transforms is {{Wildcard()}} in {{left(1,2)}}")},
		{"rest not used", stream("s.>", "x"), fmt.Sprintf(streamMap, "s.>", "x", "invalid subject")},
		{"invalid stream", stream("s..b", ""), "stream import not authorized"},
		{"service wildcard not used", service("x.*", "s.*.*"), fmt.Sprintf(serviceMap, "x.*", "s.*.*", "invalid mapping destination: not using all of the token wildcard(s) in x.$1")},
		{"literal to wildcard", service("x.y", "s.*"), fmt.Sprintf(serviceMap, "x.y", "s.*", "invalid mapping destination: not using all of the token wildcard(s) in x.y")},
		{"service with too many wildcards", service("x.*.*", "s.*"), fmt.Sprintf(serviceMap, "x.*.*", "s.*", "invalid mapping destination: wildcard index out of range in $2: [2]")},
		{"one wildcard twice", service("x.$1.$1", "s.*.*"), fmt.Sprintf(serviceMap, "x.$1.$1", "s.*.*", "invalid mapping destination: not using all of the token wildcard(s) in x.$1.$1")},
		{"rest for one token", service("x.*", "s.>"), fmt.Sprintf(serviceMap, "x.*", "s.>", "invalid subject")},
		{"invalid service", service("s..b", ""), "sublist: invalid subject"},
		{"invalid local subject", service("x..y", "s.z"), "sublist: invalid subject"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			a, b, _ := three()
			require.NoError(t, a.AddStreamExport("s.>", nil))
			require.NoError(t, a.AddServiceExport("s.>", nil))
			require.EqualError(t, tc.add(a, b), tc.want)
			require.Empty(t, b.Graph().StreamImports)
			require.Empty(t, b.Graph().ServiceImports)
			require.Zero(t, b.TotalSubs())
		})
	}
}

func TestImportTwice(t *testing.T) {
	a, b, c := three()
	for _, from := range []*Account{a, c} {
		require.NoError(t, from.AddStreamExport("s.>", nil))
		require.NoError(t, from.AddServiceExport("s.>", nil))
	}
	require.NoError(t, b.AddStreamImport(a, "s.>", "p"))
	require.EqualError(t, b.AddStreamImport(a, "s.>", "q"), "stream import already exists")
	require.NoError(t, b.AddStreamImport(c, "s.>", "p"))
	require.NoError(t, b.AddServiceImport(a, "x", "s.1"))
	require.EqualError(t, b.AddServiceImport(a, "x", "s.2"),
		`duplicate service import subject "x", previously used in import for account "A", subject "s.1"`)
	require.NoError(t, b.AddServiceImport(c, "x", "s.1"), "another exporter may answer too")
	require.Equal(t, 2, b.Interest("x"))
}

func TestCycles(t *testing.T) {
	a, b, c := three()
	for _, one := range []*Account{a, b, c} {
		require.NoError(t, one.AddStreamExport(">", nil))
		require.NoError(t, one.AddServiceExport(">", nil))
	}
	require.NoError(t, b.AddMappedStreamImport(a, "x.>", "y.>"))
	require.NoError(t, c.AddMappedStreamImport(b, "y.>", "z.>"))
	require.EqualError(t, a.AddMappedStreamImport(c, "z.>", "x.>"), "import forms a cycle")
	require.EqualError(t, a.AddMappedStreamImport(c, "z.1", "x.1"), "import forms a cycle")
	require.NoError(t, a.AddMappedStreamImport(c, "z.1", "x.2"), "x.2 is not where z.1 comes from")
	require.NoError(t, a.AddMappedStreamImport(c, "z.3", "other"), "what comes back is not imported again")
	require.NoError(t, a.AddMappedStreamImport(c, "free", "x.4"))

	require.NoError(t, b.AddServiceImport(a, "y.>", "x.>"))
	require.NoError(t, c.AddServiceImport(b, "z.>", "y.>"))
	require.EqualError(t, a.AddServiceImport(c, "x.>", "z.>"), "import forms a cycle")
	require.EqualError(t, a.AddServiceImport(c, "elsewhere", "z.1"), "import forms a cycle")
	require.NoError(t, a.AddServiceImport(c, "free", "free"))
	require.NoError(t, a.AddServiceImport(a, "mine", "own"), "an account may use its own services")
}

func TestCycleThroughALiteralTarget(t *testing.T) {
	a, b, _ := three()
	for _, one := range []*Account{a, b} {
		require.NoError(t, one.AddServiceExport(">", nil))
	}
	require.NoError(t, b.AddServiceImport(a, "in.*", "one"))
	require.ErrorIs(t, a.AddServiceImport(b, "one", "in.x"), ErrImportCycle)
	require.NoError(t, a.AddServiceImport(b, "one", "out.x"))
}

func TestCycleSearchDepth(t *testing.T) {
	list := make([]*Account, CycleSearchDepth+3)
	for i := range list {
		list[i] = New(fmt.Sprint("N", i))
		require.NoError(t, list[i].AddStreamExport("s", nil))
		require.NoError(t, list[i].AddServiceExport("s", nil))
	}
	for i := len(list) - 3; i > 0; i-- {
		require.NoError(t, list[i+1].AddServiceImport(list[i], "s", ""))
		require.NoError(t, list[i+1].AddStreamImport(list[i], "s", ""))
	}
	last, first := list[len(list)-1], list[len(list)-2]
	require.EqualError(t, last.AddServiceImport(first, "s", ""), "search cycle depth exhausted")
	require.EqualError(t, last.AddStreamImport(first, "s", ""), "search cycle depth exhausted")
}

func TestServiceImportSubscription(t *testing.T) {
	a, b, _ := three()
	require.NoError(t, a.AddServiceExport("svc.*", nil))
	require.NoError(t, b.AddServiceImport(a, "mine.*", "svc.*"))
	i := b.Graph().ServiceImports[0]
	require.Equal(t, 1, b.TotalSubs())
	require.True(t, b.SubscriptionInterest("mine.x"))
	require.Same(t, i, i.Subscription().Service)
	require.Nil(t, i.Subscription().Owner)
	require.Same(t, b, i.Importer())

	require.NoError(t, b.SetServiceImportSharing(a, "svc.*", true))
	shared := b.Graph().ServiceImports[0]
	require.True(t, shared.Share)
	require.False(t, i.Share)
	require.True(t, i.Subscription().Closed())
	require.Equal(t, 1, b.TotalSubs())
	require.Error(t, b.SetServiceImportSharing(a, "svc.x", true))
	require.NoError(t, b.SetServiceImportSharing(a, "svc.*", true), "again")
	require.Same(t, shared, b.Graph().ServiceImports[0])

	require.True(t, b.RemoveServiceImport(a, "mine.*"))
	require.False(t, b.RemoveServiceImport(a, "mine.*"))
	require.Zero(t, b.TotalSubs())
	require.True(t, shared.Subscription().Closed())
}

func TestStreamImportTrace(t *testing.T) {
	a, b, _ := three()
	require.NoError(t, a.AddStreamExport("s", nil))
	require.NoError(t, b.AddStreamImport(a, "s", ""))
	require.NoError(t, b.SetStreamImportAllowTrace(a, "s", true))
	require.True(t, b.Graph().StreamImports[0].AllowTrace)
	require.Error(t, b.SetStreamImportAllowTrace(a, "other", true))
}

func TestConnectionLimit(t *testing.T) {
	a := New("A")
	a.SetLimits(Limits{Connections: 2, Subs: -1, Payload: -1, LeafNodes: -1})
	require.True(t, a.AddConnection())
	require.True(t, a.AddConnection())
	require.False(t, a.AddConnection())
	a.RemoveConnection()
	require.True(t, a.AddConnection())
	require.Equal(t, 2, a.NumConnections())
	require.EqualValues(t, 3, a.TotalConnections())
}

func TestSharingIsOfTheNewestImport(t *testing.T) {
	a, b, _ := three()
	require.NoError(t, a.AddServiceExport("svc.*.*", nil))
	require.NoError(t, b.AddServiceImport(a, "svc.*.*", "svc.*.*"))
	require.NoError(t, b.AddServiceImport(a, "other.$2.$1", "svc.*.*"))
	shared := func() (out []bool) {
		for _, i := range b.Graph().ServiceImports {
			out = append(out, i.Share)
		}
		return out
	}
	require.NoError(t, b.SetServiceImportSharing(a, "svc.*.*", true))
	require.Equal(t, []bool{false, true}, shared())
	require.NoError(t, b.SetServiceImportSharing(a, "other.$2.$1", false))
	require.Equal(t, []bool{false, false}, shared())
}
