package monitor_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/monitor"
)

func TestHeaders(t *testing.T) {
	w := newWorld(t, "")
	for _, tc := range []struct{ target, kind, origin string }{
		{"/varz", "application/json", "*"},
		{"/healthz", "application/json", "*"},
		{"/stacksz", "application/json", "*"},
		{"/debug/vars", "application/json; charset=utf-8", ""},
		{"/", "text/html; charset=utf-8", ""},
		{"/connz?cid=x", "text/plain; charset=utf-8", ""},
	} {
		r := w.get(http.MethodGet, tc.target)
		assert.Equal(t, tc.kind, r.Header().Get("Content-Type"), tc.target)
		assert.Equal(t, tc.origin, r.Header().Get("Access-Control-Allow-Origin"), tc.target)
	}
	assert.Contains(t, w.get(http.MethodGet, "/stacksz").Body.String(), "goroutine ")
	assert.Equal(t, 200, w.get(http.MethodPost, "/varz").Code, "all methods are accepted")
}

// TestRandomPort: the port that a random one turned out to be is told.
func TestRandomPort(t *testing.T) {
	w := newWorld(t, "http_port: -1")
	v, err := w.monitor.Varz(nil)
	require.NoError(t, err)
	assert.Equal(t, -1, v.HTTPPort)
	s := httptest.NewServer(w.handler)
	defer s.Close()
	resp, err := http.Get(s.URL + "/varz")
	require.NoError(t, err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(text, v))
	u, err := url.Parse(s.URL)
	require.NoError(t, err)
	assert.Equal(t, u.Port(), json.Number(strings.TrimSpace(jsonOf(t, v.HTTPPort))).String())
}

func jsonOf(t *testing.T, v any) string {
	text, err := json.Marshal(v)
	require.NoError(t, err)
	return string(text)
}

func TestProcess(t *testing.T) {
	p := monitor.ReadProcess()
	assert.Positive(t, p.Memory)
	assert.Positive(t, p.Cores)
	assert.Positive(t, p.MaxProcs)
	assert.GreaterOrEqual(t, p.CPU, 0.0)
}

// TestFilterSubject: what HTTP has no parameter for.
func TestFilterSubject(t *testing.T) {
	w := newWorld(t, "")
	w.open("a")
	w.send("a", `CONNECT {"verbose":false}\r\nSUB foo.* 1`)
	w.open("b")
	w.send("b", `CONNECT {"verbose":false}\r\nSUB bar 1`)
	for _, tc := range []struct {
		filter string
		want   []uint64
	}{
		{"foo.1", []uint64{1}}, {"*.*", []uint64{1}}, {"*", []uint64{2}}, {">", []uint64{1, 2}}, {"baz", nil}, {"f..", nil},
	} {
		z, err := w.monitor.Connz(&monitor.ConnzOptions{FilterSubject: tc.filter, Account: "$G"})
		require.NoError(t, err)
		var got []uint64
		for _, c := range z.Conns {
			got = append(got, c.Cid)
		}
		assert.Equal(t, tc.want, got, tc.filter)
		assert.Equal(t, 2, z.Total, tc.filter)
	}
	_, err := w.monitor.Connz(&monitor.ConnzOptions{FilterSubject: "foo"})
	assert.EqualError(t, err, "filter by subject only valid with account filtering")
}

// TestStateOutOfRange: an unknown state has no connections.
func TestStateOutOfRange(t *testing.T) {
	w := newWorld(t, "")
	w.open("a")
	z, err := w.monitor.Connz(&monitor.ConnzOptions{State: 7})
	require.NoError(t, err)
	assert.Zero(t, z.Total)
	assert.Empty(t, z.Conns)
}

func TestAccountStatzByName(t *testing.T) {
	w := newWorld(t, "accounts { A { users: [ { user: a, password: a } ] }, B {} }")
	w.open("a")
	w.send("a", `CONNECT {"verbose":false,"user":"a","pass":"a"}`)
	for _, tc := range []struct {
		options monitor.AccountStatzOptions
		want    []string
	}{
		{monitor.AccountStatzOptions{}, []string{"A"}},
		{monitor.AccountStatzOptions{Accounts: []string{"B", "NO", "A", "A"}}, []string{"A"}},
		{monitor.AccountStatzOptions{Accounts: []string{"B", "NO", "A"}, IncludeUnused: true}, []string{"A", "B"}},
	} {
		z, err := w.monitor.AccountStatz(&tc.options)
		require.NoError(t, err)
		var got []string
		for _, a := range z.Accounts {
			got = append(got, a.Account)
		}
		assert.Equal(t, tc.want, got)
	}
}

// TestAskingOftenKeepsClientsAlive: however often connections are asked for, a
// client gets no ping for it: what its CONNECT took is its round trip until one is
// measured.
func TestAskingOftenKeepsClientsAlive(t *testing.T) {
	w := newWorld(t, "")
	w.open("a")
	w.send("a", `CONNECT {"verbose":false,"lang":"go"}`)
	for range 10 {
		_, err := w.monitor.Connz(nil)
		require.NoError(t, err)
	}
	w.settle()
	z, err := w.monitor.Connz(nil)
	require.NoError(t, err)
	require.Len(t, z.Conns, 1)
	assert.NotEqual(t, "0s", z.Conns[0].RTT)
	assert.Zero(t, w.clients["a"].pings)
}

// FuzzTarget: no path or query makes the server fail.
func FuzzTarget(f *testing.F) {
	f.Add("/connz", "sort=cid&limit=1&offset=2&state=any&subs=detail&auth=1&cid=1")
	f.Add("/subsz", "test=a.*&subs=1")
	f.Add("/subscriptionsz", "test=a&subs=1&acc=%24G&limit=99999999999999999999")
	f.Add("//varz", "%zz")
	f.Add("/healthz", "stream=a&details=T")
	f.Add("/metrics", "connz=detailed")
	var w *world
	f.Fuzz(func(t *testing.T, path, query string) {
		if w == nil {
			w = newWorld(t, "")
			w.open("a")
			w.send("a", `CONNECT {"verbose":false}\r\nSUB a 1`)
		}
		r := httptest.NewRecorder()
		w.handler.ServeHTTP(r, &http.Request{Method: http.MethodGet, URL: &url.URL{Path: path, RawQuery: query}, Header: http.Header{}})
		switch r.Code {
		case 200, 307, 400, 404:
		default:
			t.Fatalf("%d %s", r.Code, r.Body)
		}
		if r.Code == 200 && r.Header().Get("Content-Type") == "application/json" && path != "/stacksz" && !json.Valid(r.Body.Bytes()) {
			t.Fatalf("not JSON: %s", r.Body)
		}
	})
}

func BenchmarkConnz(b *testing.B) {
	w := newWorld(&testing.T{}, "")
	for _, name := range strings.Split("a b c d e f g h", " ") {
		w.open(name)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := w.monitor.Connz(nil); err != nil {
			b.Fatal(err)
		}
	}
}

// TestMetricsAreDocumented: docs/monitoring.md lists every metric of our own and
// the exporter's names.
func TestMetricsAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../../docs/monitoring.md")
	require.NoError(t, err)
	documented := map[string]bool{}
	for line := range strings.Lines(string(doc)) {
		cells := strings.Split(line, "|")
		if len(cells) < 4 || !strings.HasSuffix(strings.TrimSpace(cells[1]), "_`") {
			continue
		}
		for _, name := range strings.Fields(strings.ReplaceAll(cells[2], "`", " ")) {
			documented[strings.Trim(strings.TrimSpace(cells[1]), "`")+name] = true
		}
	}
	n := 0
	for _, text := range []string{"", "jetstream {domain: d}, accounts {A {jetstream: true}}"} {
		for line := range strings.Lines(newWorld(t, text).get(http.MethodGet, "/metrics").Body.String()) {
			name, ok := strings.CutPrefix(line, "# TYPE ")
			if !ok || strings.HasPrefix(name, "go_") || strings.HasPrefix(name, "process_") {
				continue
			}
			name, _, _ = strings.Cut(name, " ")
			n++
			assert.True(t, documented[name], "%s is not in the table of docs/monitoring.md", name)
		}
	}
	assert.Greater(t, n, 100)
}
