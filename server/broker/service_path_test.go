package broker_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/logging"
)

// echoing is a service that answers everything, as a stream acknowledges, on the machine's
// own clock: what a task hands over is done when it has ended.
type echoing struct {
	broker *broker.Broker
	send   *broker.Sender
	taken  int
	ack    []byte
}

func newEchoing(t testing.TB, subj string) *echoing {
	o := &config.Options{}
	require.NoError(t, o.ProcessConfigString(""))
	o.SetBaseline()
	c := clock.NewReal()
	b, err := broker.New(broker.Config{Clock: c, Log: logging.NewSwitch(), Options: o})
	require.NoError(t, err)
	e := &echoing{broker: b, ack: []byte(`{"stream":"S","seq":1}`)}
	strand := c.NewStrand("service")
	e.send = b.NewSender(strand, b.Global(), "service")
	mustSubscribe(t, b.NewSink(strand, broker.SinkOptions{WithInfo: true}, e.take), b.Global(), subj, "")
	return e
}

func (e *echoing) take(batches []*broker.Batch) {
	for _, b := range batches {
		for i := range b.Messages {
			m := &b.Messages[i]
			e.taken++
			if len(m.Reply) > 0 {
				e.send.Publish(m.Reply, nil, nil, e.ack)
			}
		}
		b.Release()
	}
	e.send.Flush()
}

// do feeds a read to a connection, on its strand.
func (s *sink) do(p []byte) { s.strand.(clock.Doer).Do(func() { s.h.Data(p) }) }

// readOf is as many operations as fit into one read.
func readOf(op func(i int) string) (p []byte, msgs int) {
	for len(p) < 63<<10 {
		p = append(p, op(msgs)...)
		msgs++
	}
	return p, msgs
}

// servicePaths are the shapes of the way to a service of the server and back.
var servicePaths = []struct {
	name string
	op   func(i int) string
}{
	{"acks=none", func(int) string { return fmt.Sprintf("PUB api.x 128\r\n%128d\r\n", 0) }},
	{"acks=one inbox", func(int) string { return fmt.Sprintf("PUB api.x _INBOX.me.1 128\r\n%128d\r\n", 0) }},
	{"acks=unique", func(i int) string { return fmt.Sprintf("PUB api.x _INBOX.me.%08d 128\r\n%128d\r\n", i, 0) }},
	{"subjects=unique", func(i int) string { return fmt.Sprintf("PUB api.%d _INBOX.me.%08d 128\r\n%128d\r\n", i, i, 0) }},
	{"size=16384", func(int) string { return fmt.Sprintf("PUB api.x _INBOX.me.1 16384\r\n%16384d\r\n", 0) }},
}

// TestServicesAllocateNothing pins the way to a service of the server and back.
func TestServicesAllocateNothing(t *testing.T) {
	for _, tc := range servicePaths {
		t.Run(tc.name, func(t *testing.T) {
			e := newEchoing(t, "api.>")
			pub := accept(e.broker)
			pub.say("SUB _INBOX.me.* 1\r\n")
			p, msgs := readOf(tc.op)
			for range 4 {
				pub.do(p)
			}
			taken, heard := e.taken, pub.taken
			require.Equal(t, 4*msgs, taken)
			allocs := testing.AllocsPerRun(20, func() { pub.do(p) })
			require.Equal(t, 25*msgs, e.taken)
			if tc.name != "acks=none" {
				require.GreaterOrEqual(t, pub.taken-heard, 21*msgs*len(e.ack))
			}
			// The closures of do, and of the strand's own goroutine.
			require.LessOrEqual(t, allocs, float64(2), "a read of %d messages", msgs)
		})
	}
}

func BenchmarkService(b *testing.B) {
	for _, tc := range servicePaths {
		b.Run(tc.name, func(b *testing.B) {
			e := newEchoing(b, "api.>")
			pub := accept(e.broker)
			pub.say("SUB _INBOX.me.* 1\r\n")
			p, msgs := readOf(tc.op)
			b.ReportAllocs()
			for b.Loop() {
				pub.do(p)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*msgs), "ns/msg")
		})
	}
}

// BenchmarkSender shows what a delivery costs that the server makes itself.
func BenchmarkSender(b *testing.B) {
	for _, tc := range []struct {
		name string
		to   func(i int) string
		size int
	}{
		{"to=one", func(int) string { return "_INBOX.me.1" }, 128},
		{"to=unique", func(i int) string { return fmt.Sprintf("_INBOX.me.%08d", i) }, 128},
		{"to=unique,size=16384", func(i int) string { return fmt.Sprintf("_INBOX.me.%08d", i) }, 16384},
	} {
		b.Run(tc.name, func(b *testing.B) {
			br := newBroker(b, "")
			c := accept(br)
			c.say("SUB _INBOX.me.* 1\r\n")
			for i := range 100 {
				c.say("SUB _INBOX.%d.* 1%d\r\nSUB other.%d.* 2%d\r\n", i, i, i, i)
			}
			n := br.NewSender(newStrand("send"), br.Global(), "")
			var to [4096][]byte
			for i := range to {
				to[i] = []byte(tc.to(i))
			}
			data, subj, reply := make([]byte, tc.size), []byte("orders.new"), []byte("$JS.ACK.S.C.1.100.100.1700000000000000000.0")
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				n.Deliver(to[i%len(to)], subj, reply, nil, data)
				if i++; i%256 == 0 {
					n.Flush()
				}
			}
		})
	}
}
