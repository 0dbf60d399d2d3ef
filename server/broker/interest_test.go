package broker_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/broker"
)

func TestInterested(t *testing.T) {
	s := newScript(t, acrossConf)
	a, b := s.broker.LookupAccount("A"), s.broker.LookupAccount("B")
	s.login("a", `,"user":"a","pass":"a"`)
	s.login("b", `,"user":"b","pass":"b"`)
	for _, tc := range []struct {
		client, sub    string
		acc            string
		subject, queue string
		before, after  bool
	}{
		{"a", "x 1", "A", "x", "", false, true},
		{"a", "x 1", "A", "x", "q", false, false},
		{"a", "x q 1", "A", "x", "", false, true},
		{"a", "x q 1", "A", "x", "q", false, true},
		{"a", "x q 1", "A", "x", "other", false, false},
		{"a", "x.* 1", "A", "x.y", "", false, true},
		{"a", "x 1", "B", "x", "", false, false},
		{"b", "imp.ev.1 1", "A", "ev.1", "", false, true},
		{"b", "imp.ev.> q 1", "A", "ev.1", "q", false, true},
		{"a", "svc.1 1", "B", "ask.1", "", false, true},
		{"a", "svc.1 q 1", "B", "ask.1", "q", false, true},
		{"a", "svc.1 1", "B", "ask.2", "", false, false},
	} {
		t.Run(fmt.Sprintf("%s: SUB %s, %s %s %s", tc.client, tc.sub, tc.acc, tc.subject, tc.queue), func(t *testing.T) {
			acc := a
			if tc.acc == "B" {
				acc = b
			}
			told := 0
			stop := s.broker.WatchInterest(acc, tc.subject, s.serverStrand("watch"), func() { told++ })
			require.Equal(t, tc.before, s.broker.Interested(acc, tc.subject, tc.queue))
			s.send(tc.client, "SUB "+tc.sub+"\r\n")
			s.settle()
			require.Equal(t, tc.after, s.broker.Interested(acc, tc.subject, tc.queue))
			if tc.after {
				require.Equal(t, 1, told)
			}
			told = 0
			s.send(tc.client, "UNSUB 1\r\n")
			s.settle()
			require.Equal(t, tc.before, s.broker.Interested(acc, tc.subject, tc.queue))
			if tc.after {
				require.Equal(t, 1, told)
			}
			stop()
			require.Zero(t, a.Watches()+b.Watches())
		})
	}
}

func TestInterestOfAnOpenAnswer(t *testing.T) {
	s := newScript(t, acrossConf)
	a := s.broker.LookupAccount("A")
	k := s.collect(broker.SinkOptions{})
	mustSubscribe(t, k.Sink, a, "svc.*", "")
	s.login("b", `,"user":"b","pass":"b"`)
	s.send("b", "SUB in 1\r\nPUB ask.1 in 0\r\n\r\n")
	s.settle()
	var account, subj, reply string
	fmt.Sscan(k.take()[0], &account, &subj, &reply)
	require.True(t, s.broker.Interested(a, reply, ""))
	told := 0
	stop := s.broker.WatchInterest(a, reply, s.serverStrand("watch"), func() { told++ })
	s.send("b", "UNSUB 1\r\n")
	s.settle()
	require.Equal(t, 1, told)
	require.False(t, s.broker.Interested(a, reply, ""))
	stop()
	require.Zero(t, a.Watches()+s.broker.LookupAccount("B").Watches())
}

// TestWatchedInterestComesAndGoes in every way that it can.
func TestWatchedInterestComesAndGoes(t *testing.T) {
	s := newScript(t, "")
	acc := s.broker.Global()
	told := 0
	stop := s.broker.WatchInterest(acc, "x.y", s.serverStrand("watch"), func() { told++ })
	heard := func() bool {
		s.settle()
		was := told
		told = 0
		require.LessOrEqual(t, was, 1)
		return was > 0
	}
	s.login("a", "")
	s.login("b", "")
	heard()
	for _, step := range []struct {
		client, text   string
		told, interest bool
	}{
		{"a", "SUB other 9", false, false},
		{"a", "SUB x.y 1", true, true},
		{"a", "SUB x.* 2\r\nSUB > 3\r\nSUB x.> 4", true, true},
		{"a", "SUB *.y.z 5\r\nSUB x 6\r\nSUB *.z 7", false, true},
		{"a", "UNSUB 1", true, true},
		{"a", "UNSUB 2\r\nUNSUB 3\r\nUNSUB 4", true, false},
		{"a", "SUB x.y 1\r\nUNSUB 1 1", true, true},
		{"b", "PUB x.y 0\r\n", true, false},
		{"a", "SUB *.y q 8", true, true},
		{"a", "nonsense", true, false},
	} {
		s.send(step.client, step.text+"\r\n")
		require.Equal(t, step.told, heard(), step.text)
		require.Equal(t, step.interest, s.broker.Interested(acc, "x.y", ""), step.text)
	}
	k := s.collect(broker.SinkOptions{})
	sub := mustSubscribe(t, k.Sink, acc, "x.y", "")
	require.True(t, heard(), "services of the server count")
	require.True(t, s.broker.Interested(acc, "x.y", ""))
	k.Unsubscribe(sub)
	require.True(t, heard())
	stop()
	s.send("b", "SUB x.y 1\r\n")
	require.False(t, heard(), "stopped")
	require.Zero(t, acc.Watches())
}

// TestWatchFollowsImports that a reload brings and takes.
func TestWatchFollowsImports(t *testing.T) {
	const without = `accounts {
		A {users: [{user: a, password: a}], exports: [{service: "svc.>"}, {stream: "ev.>"}]}
		B {users: [{user: b, password: b}]}
	}`
	s := newScript(t, without)
	a, b := s.broker.LookupAccount("A"), s.broker.LookupAccount("B")
	s.login("a", `,"user":"a","pass":"a"`)
	s.login("b", `,"user":"b","pass":"b"`)
	s.send("a", "SUB svc.x 1\r\n")
	s.send("b", "SUB imp.ev.1 1\r\n")
	s.settle()
	told, events := 0, 0
	stop := s.broker.WatchInterest(b, "ask.x", s.serverStrand("watch"), func() { told++ })
	stopEvents := s.broker.WatchInterest(a, "ev.1", s.serverStrand("watch"), func() { events++ })
	require.False(t, s.broker.Interested(b, "ask.x", ""))

	s.reload(acrossConf)
	require.Equal(t, 1, told)
	require.True(t, s.broker.Interested(b, "ask.x", ""))
	require.Equal(t, 1, events)
	require.True(t, s.broker.Interested(a, "ev.1", ""))

	s.send("a", "UNSUB 1\r\n")
	s.settle()
	require.Equal(t, 2, told, "interest in the other account")
	require.False(t, s.broker.Interested(b, "ask.x", ""))

	s.reload(without)
	require.Equal(t, 3, told)
	require.Equal(t, 2, events)
	require.False(t, s.broker.Interested(a, "ev.1", ""))
	s.send("a", "SUB svc.x 1\r\n")
	s.settle()
	require.Equal(t, 3, told, "the import is gone")
	stop()
	stopEvents()
	require.Zero(t, a.Watches()+b.Watches())
}

// BenchmarkSubscribeBesideWatches shows what watches of other subjects cost a SUB and its
// UNSUB.
func BenchmarkSubscribeBesideWatches(b *testing.B) {
	for _, watches := range []int{0, 1000, 100_000} {
		for _, subj := range []string{"orders.new", "_INBOX.me.*"} {
			b.Run(fmt.Sprintf("watches=%d,subject=%s", watches, subj), func(b *testing.B) {
				s := newBroker(b, "")
				strand := newStrand("watch")
				for i := range watches {
					s.WatchInterest(s.Global(), fmt.Sprintf("_INBOX.%d.x", i), strand, func() { b.Error("told") })
				}
				c := accept(s)
				text := fmt.Appendf(nil, "SUB %s 1\r\nUNSUB 1\r\n", subj)
				b.ReportAllocs()
				for b.Loop() {
					c.h.Data(text)
				}
			})
		}
	}
}
