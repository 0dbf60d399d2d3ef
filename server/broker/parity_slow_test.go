package broker_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
)

// pair is the network's view of a client's connection.
func (s *script) pair(name string) *netsim.SimPair {
	for _, p := range s.net.Pairs(nil) {
		if p.ClientHost() == "client-"+name && !p.Broken() {
			return p
		}
	}
	require.Fail(s.t, "no connection", name)
	return nil
}

// say opens a client, has it send lines, and lets everything happen that follows.
func (s *script) say(name string, lines ...string) {
	if s.clients[name] == nil {
		s.open(name)
		s.settle()
	}
	for _, line := range lines {
		s.send(name, line+"\r\n")
	}
	s.settle()
}

// told is what a client received so far; it is forgotten.
func (s *script) told(name string) string {
	text := string(s.clients[name].got)
	s.clients[name].got = nil
	return text
}

// reasons are those of the connections that ended, in their order.
func (s *script) reasons() []string {
	var list []string
	for _, c := range s.broker.Closed() {
		list = append(list, c.Reason.String())
	}
	return list
}

const quietly = `CONNECT {"verbose":false,"pedantic":false}`

// TestSlowConsumerByBytes: a receiver over max_pending is closed without a text; those
// that read get everything.
func TestSlowConsumerByBytes(t *testing.T) {
	s := newScript(t, "max_pending: 1048576, max_payload: 65536, write_deadline: \"1h\"")
	s.net.SetSocketBuffer(64 << 10)
	s.say("slow", quietly, "SUB big 1")
	s.say("fast", quietly, "SUB big 1")
	s.say("pub", quietly)
	s.told("slow")
	s.told("fast")
	s.net.SlowReader(s.pair("slow"), true, time.Hour)
	body := strings.Repeat("x", 60<<10)
	for range 40 {
		s.say("pub", fmt.Sprintf("PUB big %d\r\n%s", len(body), body))
	}
	require.Equal(t, []string{"Slow Consumer (Pending Bytes)"}, s.reasons())
	require.EqualValues(t, 1, s.broker.Stats().Slow.Load())
	require.EqualValues(t, 1, s.broker.Global().SlowConsumers())
	require.NotContains(t, s.told("slow"), "-ERR")
	require.Equal(t, 40, strings.Count(s.told("fast"), "MSG big 1 "))
	require.Equal(t, 2, s.broker.NumClients())
}

// TestSlowConsumerByTime: a receiver that takes nothing of a batch within the deadline
// is closed without a text; write_timeout says otherwise.
func TestSlowConsumerByTime(t *testing.T) {
	for _, tc := range []struct {
		option string
		want   []string
	}{
		{"default", []string{"Slow Consumer (Write Deadline)"}},
		{"close", []string{"Slow Consumer (Write Deadline)"}},
		{"retry", []string{"Slow Consumer (Write Deadline)"}}, // nothing at all was written
	} {
		s := newScript(t, "write_deadline: \"2s\", write_timeout: "+tc.option)
		s.net.SetSocketBuffer(64 << 10)
		s.say("slow", quietly, "SUB big 1")
		s.say("pub", quietly)
		s.told("slow")
		s.net.SlowReader(s.pair("slow"), true, time.Minute)
		body := strings.Repeat("x", 512<<10)
		s.say("pub", fmt.Sprintf("PUB big %d\r\n%s", len(body), body))
		s.sim.RunFor(time.Second)
		require.Empty(t, s.reasons(), tc.option)
		s.sim.RunFor(10 * time.Second)
		require.Equal(t, tc.want, s.reasons(), tc.option)
		require.EqualValues(t, 1, s.broker.Stats().Slow.Load())
		require.NotContains(t, s.told("slow"), "-ERR")
	}
}

// TestStallGate: a producer whose receiver is three quarters full is held up, and still
// everything arrives; with no_fast_producer_stall messages are dropped instead, and
// neither side is closed.
func TestStallGate(t *testing.T) {
	for _, tc := range []struct {
		drop bool
		want int
	}{{false, 30}, {true, 0}} {
		s := newScript(t, fmt.Sprintf("max_pending: 1048576, max_payload: 65536, write_deadline: \"1h\", no_fast_producer_stall: %v", tc.drop))
		s.net.SetSocketBuffer(64 << 10)
		s.say("slow", quietly, "SUB big 1")
		s.say("pub", quietly)
		s.told("slow")
		s.net.SlowReader(s.pair("slow"), true, 30*time.Second)
		body := strings.Repeat("x", 30<<10)
		for range 30 {
			s.say("pub", fmt.Sprintf("PUB big %d\r\n%s", len(body), body))
		}
		s.say("pub", "PING")
		require.Contains(t, s.told("pub"), "PONG", "a stall ends by itself")
		s.sim.RunFor(time.Minute)
		require.Empty(t, s.reasons())
		got := strings.Count(s.told("slow"), "MSG big 1 ")
		if tc.drop {
			require.Zero(t, s.broker.Stats().Stalled.Load())
			require.Less(t, got, 30, "those above three quarters are dropped")
			require.Greater(t, got, 20)
			s.say("pub", "PUB big 2\r\nhi")
			require.Equal(t, "MSG big 1 2\r\nhi\r\n", s.told("slow"), "once it has read, it receives again")
			continue
		}
		require.Equal(t, tc.want, got)
		require.Positive(t, s.broker.Stats().Stalled.Load())
		stalls := int64(0)
		for _, c := range s.broker.Clients() {
			stalls += c.State(false).Stalls
		}
		require.Equal(t, s.broker.Stats().Stalled.Load(), stalls, "told of the producer")
	}
}

// TestLameDuckSpread: clients are told, left alone for the grace period, then closed one
// after another without a text.
func TestLameDuckSpread(t *testing.T) {
	s := newScript(t, "lame_duck_duration: \"40s\", lame_duck_grace_period: \"10s\"")
	const clients = 10
	for i := range clients {
		s.say(fmt.Sprint("c", i), fmt.Sprintf(`CONNECT {"verbose":false,"protocol":%d}`, i%2), "PING")
	}
	s.say("silent")
	s.settle()
	for name := range s.clients { //lockstep:ordered each is asked alone
		s.told(name)
	}
	done := false
	s.broker.LameDuck(s.sim.Clock("server").NewStrand("test"), func() { done = true })
	s.sim.RunFor(9 * time.Second)
	require.True(t, s.broker.LameDuckMode())
	require.Equal(t, clients+1, s.broker.NumClients(), "the grace period")
	for i := range clients {
		text := s.told(fmt.Sprint("c", i))
		require.Equal(t, i%2 == 1, strings.Contains(text, `"ldm":true`), "client %d: %s", i, text)
	}
	require.Empty(t, s.told("silent"))
	var left []int
	for range 20 {
		s.sim.RunFor(time.Second)
		left = append(left, s.broker.NumClients())
	}
	require.True(t, slices.IsSortedFunc(left, func(a, b int) int { return b - a }), "%v", left)
	require.Greater(t, len(slices.Compact(slices.Clone(left))), 5, "one after another: %v", left)
	require.Zero(t, left[len(left)-1])
	require.True(t, done)
	for name := range s.clients { //lockstep:ordered each is asked alone
		require.NotContains(t, s.told(name), "-ERR")
	}
	for _, r := range s.reasons() {
		require.Equal(t, broker.ServerShutdown.String(), r)
	}
}

// TestLameDuckOfNobody ends at once.
func TestLameDuckOfNobody(t *testing.T) {
	s := newScript(t, "")
	done := false
	s.broker.LameDuck(s.sim.Clock("server").NewStrand("test"), func() { done = true })
	s.sim.RunFor(time.Millisecond)
	require.True(t, done)
}
