package monitor

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
)

func TestUptime(t *testing.T) {
	const day = 24 * time.Hour
	for _, tc := range []struct {
		d    time.Duration
		want string
	}{
		{-time.Second, "0s"},
		{0, "0s"},
		{999 * time.Millisecond, "0s"},
		{20 * time.Second, "20s"},
		{time.Minute, "1m0s"},
		{5*time.Minute + 3*time.Second, "5m3s"},
		{2*time.Hour + time.Second, "2h0m1s"},
		{day - time.Second, "23h59m59s"},
		{day, "1d0h0m0s"},
		{day + 2*time.Hour + 3*time.Minute + 4*time.Second, "1d2h3m4s"},
		{365*day + 2*day + 3*time.Hour + 4*time.Minute + 5*time.Second, "1y2d3h4m5s"},
	} {
		assert.Equal(t, tc.want, uptime(tc.d), tc.d)
	}
}

func TestRTTText(t *testing.T) {
	for _, tc := range []struct {
		d    time.Duration
		want string
	}{
		{0, "0s"},
		{999, "0s"},
		{241_900, "241µs"},
		{time.Millisecond - 1, "999µs"},
		{18_076_709, "18.076709ms"},
	} {
		assert.Equal(t, tc.want, rttText(tc.d), int64(tc.d))
	}
}

func TestParseStat(t *testing.T) {
	for _, tc := range []struct {
		text string
		want time.Duration
		ok   bool
	}{
		{"1 (a b) c) S 1 1 1 0 -1 4194560 1 2 3 4 150 50 0 0 20", 2 * time.Second, true},
		{"1 (a) S 1 1 1 0 -1 4194560 1 2 3 4 150 x", 0, false},
		{"1 (a) S 1 1 1 0 -1 4194560 1 2 3 4 x 50", 0, false},
		{"1 (a) S 1", 0, false},
		{"", 0, false},
	} {
		got, ok := parseStat([]byte(tc.text))
		assert.Equal(t, tc.want, got, tc.text)
		assert.Equal(t, tc.ok, ok, tc.text)
	}
}

func TestBasePath(t *testing.T) {
	for in, want := range map[string]string{"": "", "/": "", "a": "/a", "/a/": "/a", "/a/b": "/a/b", "//": ""} {
		assert.Equal(t, want, basePath(in), in)
	}
}

func TestMetricName(t *testing.T) {
	for key, want := range map[string]string{"cpu": "p_cpu", "/": "p", "/varz": "p_varz", "a__b": "p_a_b"} {
		assert.Equal(t, want, metricName("p", key), key)
	}
}

func TestSampling(t *testing.T) {
	for _, tc := range []struct {
		latency *account.Latency
		want    string
	}{
		{nil, `null`},
		{&account.Latency{Subject: "l", Sampling: 50}, `{"sampling":50,"results":"l"}`},
		{&account.Latency{Subject: "l"}, `{"sampling":"headers","results":"l"}`},
	} {
		text, err := json.Marshal(sampling(tc.latency))
		require.NoError(t, err)
		assert.Equal(t, tc.want, string(text))
	}
}

func TestHealthzErrorTypes(t *testing.T) {
	for typ := HealthzErrorConn; typ <= HealthzErrorConsumer; typ++ {
		text, err := json.Marshal(typ)
		require.NoError(t, err)
		var back HealthZErrorType
		require.NoError(t, json.Unmarshal(text, &back))
		assert.Equal(t, typ, back)
	}
	var back HealthZErrorType
	assert.Error(t, json.Unmarshal([]byte(`"NONE"`), &back))
	assert.Error(t, json.Unmarshal([]byte(`1`), &back))
	assert.Equal(t, "unknown", HealthZErrorType(99).String())
}

// TestSortKeys checks every key against its meaning: neighbours are in order, and
// equals are by id.
func TestSortKeys(t *testing.T) {
	larger := map[SortOpt]func(f *found) int64{
		BySubs:     func(f *found) int64 { return int64(f.NumSubs) },
		ByPending:  func(f *found) int64 { return int64(f.Pending) },
		ByOutMsgs:  func(f *found) int64 { return f.OutMsgs },
		ByInMsgs:   func(f *found) int64 { return f.InMsgs },
		ByOutBytes: func(f *found) int64 { return f.OutBytes },
		ByInBytes:  func(f *found) int64 { return f.InBytes },
		ByLast:     func(f *found) int64 { return f.LastActivity.UnixNano() },
		ByIdle:     func(f *found) int64 { return -f.LastActivity.UnixNano() },
		ByUptime:   func(f *found) int64 { return -int64(f.Uptime) },
		ByStop:     func(f *found) int64 { return f.Stop.UnixNano() },
		ByRTT:      func(f *found) int64 { return int64(f.RTT) },
		ByStart:    func(f *found) int64 { return -f.Start.UnixNano() },
		ByCid:      func(f *found) int64 { return -int64(f.ID) },
	}
	require.Len(t, orders, len(larger)+1, "ByReason sorts by text")
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(0, 8).Draw(t, "n")
		list := make([]found, n)
		few := func(name string) int64 { return rapid.Int64Range(0, 3).Draw(t, name) }
		when := func(name string) time.Time { return time.Unix(few(name), 0) }
		for i := range list {
			list[i].ConnState = broker.ConnState{
				ID: uint64(i + 1), NumSubs: int(few("subs")), Pending: int(few("pending")), OutMsgs: few("om"), InMsgs: few("im"),
				OutBytes: few("ob"), InBytes: few("ib"), LastActivity: when("last"), Uptime: time.Duration(few("up")),
				Stop: when("stop"), RTT: time.Duration(few("rtt")), Start: when("start"), Reason: broker.Reason(few("reason")),
			}
		}
		list = rapid.Permutation(list).Draw(t, "list")
		for by, key := range larger { //lockstep:ordered each key is judged alone
			sortConns(list, by)
			for i := 1; i < n; i++ {
				a, b := key(&list[i-1]), key(&list[i])
				if a < b || a == b && list[i-1].ID > list[i].ID {
					t.Fatalf("%s: %v before %v", by, list[i-1].ConnState, list[i].ConnState)
				}
			}
		}
		sortConns(list, ByReason)
		for i := 1; i < n; i++ {
			if list[i-1].Reason.String() > list[i].Reason.String() {
				t.Fatalf("reason: %v before %v", list[i-1].Reason, list[i].Reason)
			}
		}
	})
}

// TestWindow: pages one after another are the whole list.
func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n, limit := rapid.IntRange(0, 50).Draw(t, "n"), rapid.IntRange(1, 60).Draw(t, "limit")
		next := 0
		for offset := 0; ; offset += limit {
			from, to := window(n, offset, limit)
			if from == to {
				break
			}
			if from != next || to-from > limit {
				t.Fatalf("page %d..%d after %d", from, to, next)
			}
			next = to
		}
		if next != n {
			t.Fatalf("pages end at %d of %d", next, n)
		}
	})
}

func FuzzParseStat(f *testing.F) {
	f.Add([]byte("1 (a) S 1 1 1 0 -1 4194560 1 2 3 4 150 50 0"))
	f.Add([]byte(")"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if d, ok := parseStat(text); !ok && d != 0 {
			t.Fatalf("%v without ok", d)
		}
	})
}
