package integration

import (
	"encoding/json"
	"fmt"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func TestPublishAcks(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	ctx := within(t)
	stream(t, js, jetstream.StreamConfig{Name: "S"})
	ack, err := js.Publish(ctx, "S.a", []byte("x"))
	require.NoError(t, err)
	require.Equal(t, "S", ack.Stream)
	require.EqualValues(t, 1, ack.Sequence)
	answer, err := nc.Request("S.a", []byte("y"), patience)
	require.NoError(t, err)
	require.Equal(t, `{"stream":"S","seq":2}`, string(answer.Data), "to the byte")
	_, err = js.Publish(ctx, "unknown", nil)
	require.ErrorIs(t, err, jetstream.ErrNoStreamResponse)
	const many = 5000
	fill(t, js, "S.async", many)
	s, err := js.Stream(ctx, "S")
	require.NoError(t, err)
	require.EqualValues(t, many+2, state(t, s).LastSeq)
	for _, seq := range []uint64{3, many / 2, many + 2} { // in the order in which they were sent
		m, err := s.GetMsg(ctx, seq)
		require.NoError(t, err)
		require.Equal(t, fmt.Sprint(seq-2), string(m.Data))
	}
}

func TestPublishExpectations(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	stream(t, js, jetstream.StreamConfig{Name: "E"})
	for _, step := range []struct {
		name    string
		subject string
		headers []string
		code    int // 0: stored
	}{
		{"the stream", "E.a", []string{"Nats-Expected-Stream", "E"}, 0}, // 1
		{"another stream", "E.a", []string{"Nats-Expected-Stream", "F"}, 10060},
		{"last sequence", "E.b", []string{"Nats-Expected-Last-Sequence", "1"}, 0}, // 2
		{"an old last sequence", "E.b", []string{"Nats-Expected-Last-Sequence", "1"}, 10071},
		{"last of the subject", "E.a", []string{"Nats-Expected-Last-Subject-Sequence", "1"}, 0}, // 3
		{"an old last of the subject", "E.a", []string{"Nats-Expected-Last-Subject-Sequence", "1"}, 10071},
		{"no message of the subject yet", "E.c", []string{"Nats-Expected-Last-Subject-Sequence", "0"}, 0}, // 4
		{"though there is one", "E.c", []string{"Nats-Expected-Last-Subject-Sequence", "0"}, 10071},
		{"last of a wildcard", "E.d", []string{
			"Nats-Expected-Last-Subject-Sequence", "4", "Nats-Expected-Last-Subject-Sequence-Subject", "E.*"}, 0}, // 5
		{"an id", "E.a", []string{"Nats-Msg-Id", "one"}, 0},                                            // 6
		{"that id last", "E.a", []string{"Nats-Expected-Last-Msg-Id", "one", "Nats-Msg-Id", "two"}, 0}, // 7
		{"another id last", "E.a", []string{"Nats-Expected-Last-Msg-Id", "one"}, 10070},
	} {
		require.Equal(t, step.code, code(request(t, nc, step.subject, "x", step.headers...)), step.name)
	}
	s, err := js.Stream(within(t), "E")
	require.NoError(t, err)
	require.EqualValues(t, 7, state(t, s).LastSeq)
}

func TestDuplicatesAreToldAcrossRestarts(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, nc := p.js()
	stream(t, js, jetstream.StreamConfig{Name: "S"})
	for i := 1; i <= 10; i++ {
		id := fmt.Sprint("id", i)
		require.EqualValues(t, i, request(t, nc, "S", id, "Nats-Msg-Id", id)["seq"])
	}
	for _, sig := range []syscall.Signal{0, syscall.SIGTERM, syscall.SIGKILL} {
		if sig != 0 {
			p = p.restart(sig)
			js, nc = p.js()
		}
		for i := 1; i <= 10; i++ {
			ack := request(t, nc, "S", "again", "Nats-Msg-Id", fmt.Sprint("id", i))
			require.EqualValues(t, i, ack["seq"])
			require.Equal(t, true, ack["duplicate"])
		}
	}
	s, err := js.Stream(within(t), "S")
	require.NoError(t, err)
	require.EqualValues(t, 10, state(t, s).Msgs)
	ack, err := js.Publish(within(t), "S", nil, jetstream.WithMsgID("id3"))
	require.NoError(t, err)
	require.True(t, ack.Duplicate)
}

func TestAtomicBatches(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, nc := p.js()
	s := stream(t, js, jetstream.StreamConfig{Name: "B", AllowAtomicPublish: true})
	batch := func(id string, n int, commit string) map[string]any {
		for i := 1; i < n; i++ {
			require.Nil(t, request(t, nc, "B.x", fmt.Sprint(i), "Nats-Batch-Id", id, "Nats-Batch-Sequence", fmt.Sprint(i)))
		}
		require.Zero(t, state(t, s).LastSeq%10, "nothing of it is there yet")
		return request(t, nc, "B.x", fmt.Sprint(n), "Nats-Batch-Id", id, "Nats-Batch-Sequence", fmt.Sprint(n), "Nats-Batch-Commit", commit)
	}
	ack := batch("one", 10, "1")
	require.EqualValues(t, 10, ack["seq"])
	require.EqualValues(t, 10, ack["count"])
	require.Equal(t, "one", ack["batch"])
	ack = batch("two", 11, "eob")
	require.EqualValues(t, 20, ack["seq"])
	require.EqualValues(t, 10, ack["count"])
	require.Nil(t, request(t, nc, "B.x", "1", "Nats-Batch-Id", "gap", "Nats-Batch-Sequence", "1"))
	require.Equal(t, 10176, code(request(t, nc, "B.x", "3", "Nats-Batch-Id", "gap", "Nats-Batch-Sequence", "3")))
	require.Nil(t, request(t, nc, "B.x", "1", "Nats-Batch-Id", "check", "Nats-Batch-Sequence", "1", "Nats-Expected-Last-Sequence", "3"))
	require.NotZero(t, code(request(t, nc, "B.x", "2", "Nats-Batch-Id", "check", "Nats-Batch-Sequence", "2", "Nats-Batch-Commit", "1")))
	require.EqualValues(t, 20, state(t, s).LastSeq)
	js, _ = p.restart(syscall.SIGKILL).js()
	s, err := js.Stream(within(t), "B")
	require.NoError(t, err)
	require.EqualValues(t, 20, state(t, s).Msgs)
	stream(t, js, jetstream.StreamConfig{Name: "PLAIN"})
	ack = request(t, js.Conn(), "PLAIN", "1", "Nats-Batch-Id", "x", "Nats-Batch-Sequence", "1")
	require.Equal(t, 10174, code(ack))
}

func TestFastBatches(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "PLAIN"})
	must(t, nc, "STREAM.CREATE.F", map[string]any{"name": "F", "subjects": []string{"F"}, "allow_batched": true})
	send := func(inbox, subject, id string, seq, op int) {
		t.Helper()
		reply := fmt.Sprintf("%s.%s.2.fail.%d.%d.$FI", inbox, id, seq, op)
		require.NoError(t, nc.PublishRequest(subject, reply, fmt.Append(nil, seq)))
	}
	inbox := nats.NewInbox()
	acks := flushed(t, nc, inbox+".>")
	send(inbox, "F", "one", 1, 0)
	require.JSONEq(t, `{"type":"ack","seq":0,"msgs":2}`, string(next(t, acks).Data))
	const many = 100
	for i := 2; i < many; i++ {
		send(inbox, "F", "one", i, 1)
	}
	send(inbox, "F", "one", many, 2)
	last := uint64(0)
	for {
		var ack struct {
			Type   string
			Seq    uint64
			Stream string
			Count  int
		}
		text := next(t, acks).Data
		require.NoError(t, json.Unmarshal(text, &ack))
		require.GreaterOrEqual(t, ack.Seq, last, "%s", text)
		if last = ack.Seq; ack.Stream != "" {
			require.Equal(t, "F", ack.Stream)
			require.EqualValues(t, many, ack.Seq)
			require.Equal(t, many, ack.Count)
			break
		}
		require.Equal(t, "ack", ack.Type, "%s", text)
	}
	send(inbox, "F", "two", 1, 0)
	next(t, acks)
	send(inbox, "F", "two", 5, 1) // a gap ends it
	require.Contains(t, string(next(t, acks).Data), `"type":"gap"`)
	require.Contains(t, string(next(t, acks).Data), `"seq":101,"batch":"two","count":1`)
	send(inbox, "PLAIN", "three", 1, 0)
	require.Contains(t, string(next(t, acks).Data), `"err_code":10205`)
	require.Zero(t, state(t, s).Msgs)
}

func TestCounters(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, nc := p.js()
	stream(t, js, jetstream.StreamConfig{Name: "C", AllowMsgCounter: true, AllowDirect: true})
	for _, step := range []struct{ by, val string }{{"+5", "5"}, {"-7", "-2"}, {"100000000000000000000", "99999999999999999998"}, {"0", "99999999999999999998"}} {
		require.Equal(t, step.val, request(t, nc, "C.hits", "", "Nats-Incr", step.by)["val"])
	}
	require.Equal(t, 10169, code(request(t, nc, "C.hits", "")))
	require.Equal(t, 10171, code(request(t, nc, "C.hits", "", "Nats-Incr", "two")))
	require.Equal(t, 10170, code(request(t, nc, "C.hits", "x", "Nats-Incr", "1")))
	js, nc = p.restart(syscall.SIGKILL).js()
	require.Equal(t, "100000000000000000000", request(t, nc, "C.hits", "", "Nats-Incr", "2")["val"])
	s, err := js.Stream(within(t), "C")
	require.NoError(t, err)
	m, err := s.GetLastMsgForSubject(within(t), "C.hits")
	require.NoError(t, err)
	require.JSONEq(t, `{"val":"100000000000000000000"}`, string(m.Data))
}

func TestSchedules(t *testing.T) {
	t.Parallel()
	js, _ := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "SCHED", AllowMsgSchedules: true, AllowMsgTTL: true, AllowRollup: true})
	_, err := js.Publish(within(t), "SCHED.plan", []byte("tick"), jetstream.WithScheduleEvery(1e9), jetstream.WithScheduleTarget("SCHED.out"))
	require.NoError(t, err)
	c, err := s.CreateConsumer(within(t), jetstream.ConsumerConfig{FilterSubject: "SCHED.out"})
	require.NoError(t, err)
	m := fetch(t, c, 1)[0]
	require.Equal(t, "tick", string(m.Data()))
	require.Equal(t, "SCHED.plan", m.Headers().Get("Nats-Scheduler"))
}

func TestDirectGets(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	stream(t, js, jetstream.StreamConfig{Name: "G", AllowDirect: true})
	for i := range 9 {
		fill(t, js, fmt.Sprint("G.", i%3), 1)
	}
	direct := func(subject, body string, n int) []*nats.Msg {
		t.Helper()
		sub := flushed(t, nc, nats.NewInbox())
		require.NoError(t, nc.PublishRequest("$JS.API.DIRECT.GET.G"+subject, sub.Subject, []byte(body)))
		var all []*nats.Msg
		for range n {
			all = append(all, next(t, sub))
		}
		require.NoError(t, sub.Unsubscribe())
		return all
	}
	one := direct("", `{"seq":4}`, 1)[0]
	require.Equal(t, "4", one.Header.Get("Nats-Sequence"))
	require.Equal(t, "G.0", one.Header.Get("Nats-Subject"))
	require.Equal(t, "G", one.Header.Get("Nats-Stream"))
	require.Equal(t, "9", direct(".G.2", "", 1)[0].Header.Get("Nats-Sequence"))
	require.Equal(t, "5", direct("", `{"seq":3,"next_by_subj":"G.1"}`, 1)[0].Header.Get("Nats-Sequence"))
	require.Equal(t, "404", direct("", `{"seq":40}`, 1)[0].Header.Get("Status"))
	require.Equal(t, "408", direct("", "", 1)[0].Header.Get("Status"))

	batch := direct("", `{"seq":1,"next_by_subj":"G.0","batch":2}`, 3)
	require.Equal(t, []string{"1", "4", ""}, headers(batch, "Nats-Sequence"))
	require.Equal(t, []string{"2", "1", "1"}, headers(batch, "Nats-Num-Pending"))
	require.Equal(t, []string{"0", "1", "4"}, headers(batch, "Nats-Last-Sequence"))
	require.Equal(t, "204", batch[2].Header.Get("Status"))
	multi := direct("", `{"multi_last":["G.0","G.2"]}`, 3)
	require.Equal(t, []string{"7", "9", ""}, headers(multi, "Nats-Sequence"))
	require.Equal(t, "9", multi[2].Header.Get("Nats-UpTo-Sequence"))
	upTo := direct("", `{"multi_last":["G.>"],"up_to_seq":5}`, 4)
	require.Equal(t, []string{"3", "4", "5", ""}, headers(upTo, "Nats-Sequence"))
}

// headers are the values of one header, a message each.
func headers(all []*nats.Msg, name string) []string {
	var values []string
	for _, m := range all {
		values = append(values, m.Header.Get(name))
	}
	return values
}
