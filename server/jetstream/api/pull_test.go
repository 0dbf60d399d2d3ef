package api

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPullRequests(t *testing.T) {
	one := PullRequest{Batch: 1, Bare: true}
	for _, tc := range []struct {
		body string
		want PullRequest
		err  string
	}{
		{body: "", want: one},
		{body: "5", want: PullRequest{Batch: 5, Bare: true}},
		{body: " 5 ", want: PullRequest{Batch: 5, Bare: true}},
		{body: "0", want: one},
		{body: "-1", want: one},
		{body: "x", want: one},
		{body: "1.5", want: one},
		{body: "[1]", want: one},
		{body: "null", want: one},
		{body: "99999999999999999999", want: one},
		{body: "{}", want: PullRequest{}},
		{body: `{"batch":10,"expires":5000000000,"idle_heartbeat":2500000000}`, want: PullRequest{Batch: 10, Expires: 5 * time.Second, Heartbeat: 2500 * time.Millisecond}},
		{body: ` { "batch" : 1 , "no_wait" : true } `, want: PullRequest{Batch: 1, NoWait: true}},
		{body: `{"batch":1,"no_wait":false,"max_bytes":7,"min_pending":1,"min_ack_pending":2,"priority":3,"group":"g","id":"i"}`, want: PullRequest{Batch: 1, MaxBytes: 7, MinPending: 1, MinAckPending: 2, Priority: 3, Group: "g", ID: "i"}},
		{body: `{"BATCH":1,"No_Wait":true}`, want: PullRequest{Batch: 1, NoWait: true}},
		{body: `{"batch":1,"foo":[1,{"a":2}]}`, want: PullRequest{Batch: 1}},
		{body: `{"batch":null}`, want: PullRequest{}},
		{body: `{"group":"\u0067"}`, want: PullRequest{Group: "g"}},
		{body: `{"group":"é"}`, want: PullRequest{Group: "é"}},
		{body: `{"expires":-5}`, want: PullRequest{Expires: -5}},
		{body: `{"batch":1,"batch":2}`, want: PullRequest{Batch: 2}},
		{body: `{`, err: "unexpected end of JSON input"},
		{body: `{"batch":1}x`, err: "invalid character 'x' after top-level value"},
		{body: `{"batch":"x"}`, err: "json: cannot unmarshal string into Go struct field JSApiConsumerGetNextRequest.batch of type int"},
		{body: `{"expires":"1s"}`, err: "json: cannot unmarshal string into Go struct field JSApiConsumerGetNextRequest.expires of type time.Duration"},
		{body: `{"batch":1.5}`, err: "json: cannot unmarshal number 1.5 into Go struct field JSApiConsumerGetNextRequest.batch of type int"},
		{body: `{"batch":99999999999999999999}`, err: "json: cannot unmarshal number 99999999999999999999 into Go struct field JSApiConsumerGetNextRequest.batch of type int"},
		{body: `{"no_wait":1}`, err: "json: cannot unmarshal number into Go struct field JSApiConsumerGetNextRequest.no_wait of type bool"},
		{body: `{"batch":01}`, err: "invalid character '1' after object key:value pair"},
		{body: `{"batch":-}`, err: "invalid character '}' in numeric literal"},
		{body: `{"no_wait":truex}`, err: "invalid character 'x' after object key:value pair"},
		{body: `{"batch":1,}`, err: "invalid character '}' looking for beginning of object key string"},
	} {
		var got PullRequest
		err := ParsePull([]byte(tc.body), &got)
		if tc.err != "" {
			require.EqualError(t, err, tc.err, tc.body)
			continue
		}
		require.NoError(t, err, tc.body)
		require.Equal(t, tc.want, got, tc.body)
	}
}

// FuzzPull holds the fast path against encoding/json.
func FuzzPull(f *testing.F) {
	f.Add([]byte(`{"batch":10,"expires":5000000000,"no_wait":true,"group":"g"}`))
	f.Add([]byte(`{"batch":-0,"id":"\"","max_bytes":1e3}`))
	f.Add([]byte(`5`))
	f.Fuzz(func(t *testing.T, body []byte) {
		var got, want PullRequest
		err := ParsePull(body, &got)
		if trimmed := strings.TrimSpace(string(body)); !strings.HasPrefix(trimmed, "{") {
			require.NoError(t, err)
			require.True(t, got.Bare)
			require.Positive(t, got.Batch)
			return
		}
		model := json.Unmarshal([]byte(strings.TrimSpace(string(body))), &want)
		require.Equal(t, model == nil, err == nil, "%q: %v, %v", body, model, err)
		if err == nil {
			require.Equal(t, want, got)
		}
	})
}

func TestPullAllocations(t *testing.T) {
	var r PullRequest
	for body, want := range map[string]float64{
		"": 0, "10": 0, `{"batch":10,"expires":5000000000,"idle_heartbeat":2500000000}`: 0, `{"expires":1000000000,"batch":1,"no_wait":true}`: 0,
		`{"batch":1,"group":"g","id":"vJLmxpLgO708YwwENnQbs8"}`: 1, // one-byte strings are shared
	} {
		p := []byte(body)
		require.Equal(t, want, testing.AllocsPerRun(100, func() {
			if err := ParsePull(p, &r); err != nil {
				t.Fatal(err)
			}
		}), body)
	}
}

func BenchmarkPull(b *testing.B) {
	p := []byte(`{"batch":100,"expires":30000000000,"idle_heartbeat":5000000000}`)
	var r PullRequest
	b.ReportAllocs()
	for b.Loop() {
		if err := ParsePull(p, &r); err != nil {
			b.Fatal(err)
		}
	}
}

func TestStatusBlocks(t *testing.T) {
	require.Equal(t, "NATS/1.0 404 No Messages\r\n\r\n", string(AppendStatus(nil, StatusNoMessages)))
	require.Equal(t, "NATS/1.0 408 Request Timeout\r\nNats-Pending-Messages: 3\r\nNats-Pending-Bytes: 0\r\n\r\n",
		string(AppendPendingStatus(nil, StatusRequestTimeout, 3, 0)))
	require.Equal(t, "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 2\r\n\r\n",
		string(AppendHeartbeat(nil, 1, 2, nil)))
	require.Equal(t, "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 1\r\nNats-Last-Stream: 2\r\nNats-Consumer-Stalled: $JS.FC.S.C.abcd\r\n\r\n",
		string(AppendHeartbeat(nil, 1, 2, []byte("$JS.FC.S.C.abcd"))))
	require.Equal(t, "409 Exceeded MaxRequestBatch of 10", StatusMaxRequestBatch(10))
	require.Equal(t, "409 Exceeded MaxRequestExpires of 1m0s", StatusMaxRequestExpires(time.Minute))
	require.Equal(t, "409 Exceeded MaxRequestMaxBytes of 10", StatusMaxRequestBytes(10))
	require.Equal(t, "400 Bad Request - heartbeat value too large", StatusHeartbeatTooLarge)
	require.Equal(t, "a: 1\r\nb: 2\r\nc: d\r\n", string(AppendHeader(AppendUintHeader(AppendIntHeader(nil, "a", 1), "b", 2), "c", "d")))
	dst := make([]byte, 0, 256)
	require.Zero(t, testing.AllocsPerRun(100, func() { dst = AppendHeartbeat(dst[:0], 1, 2, nil) }))
}
