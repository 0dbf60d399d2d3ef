package consumer

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"testing"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// bench is a host that does nothing but count: what it costs is small beside the consumer.
type bench struct {
	store   benchStore
	stream  api.StreamConfig
	now     int64
	rand    *rand.Rand
	queued  bool
	sent    int
	records int
	events  [][]byte // recorded and not committed; memory is reused
	free    [][]byte
	reply   []byte
	timer   benchTimer
}

type benchTimer struct{}

func (benchTimer) Reset(time.Duration) {}
func (benchTimer) Stop()               {}

// benchStore has a message at every sequence up to last.
type benchStore struct {
	msgs.Store
	last uint64
	data []byte
}

func (s *benchStore) State() msgs.State { return msgs.State{First: 1, Last: s.last} }
func (s *benchStore) Load(seq uint64) (msgs.Msg, msgs.Found) {
	if seq == 0 || seq > s.last {
		return msgs.Msg{}, msgs.None
	}
	return msgs.Msg{Seq: seq, Time: epoch, Subject: "orders.new", Data: s.data}, msgs.Cached
}
func (s *benchStore) Has(seq uint64) bool                             { return seq <= s.last }
func (s *benchStore) Next(_ *msgs.Filter, from uint64) (uint64, bool) { return from, from <= s.last }
func (s *benchStore) Count(_ *msgs.Filter, from uint64, _ bool) uint64 {
	return s.last + 1 - min(from, s.last+1)
}

func newBench() *bench {
	return &bench{
		store:  benchStore{data: make([]byte, 128)},
		stream: api.StreamConfig{Name: "ORDERS", MaxMsgsPer: -1}, now: epoch, rand: rand.New(rand.NewPCG(1, 1)),
	}
}

func (b *bench) Store() msgs.Store         { return &b.store }
func (b *bench) Stream() *api.StreamConfig { return &b.stream }
func (b *bench) Now() int64                { return b.now }
func (b *bench) Mono() time.Duration       { return time.Duration(b.now - epoch + 1) }
func (b *bench) Rand() *rand.Rand          { return b.rand }
func (b *bench) NewTimer(func()) clock.Timer {
	return b.timer
}
func (b *bench) Deliver(inbox, subj string, reply []byte, header, data []byte) bool {
	b.sent++
	b.reply = append(b.reply[:0], reply...)
	return true
}
func (b *bench) Status(string, []byte, []byte) bool         { return true }
func (b *bench) Interested(string, string) bool             { return true }
func (b *bench) Watch(string, *Consumer) func()             { return func() {} }
func (b *bench) Run(*Consumer)                              { b.queued = true }
func (b *bench) Release(*Consumer, uint64, uint64)          {}
func (b *bench) Advise(string, func(string, time.Time) any) {}
func (b *bench) Expire(*Consumer)                           {}
func (b *bench) Listen(*Consumer, bool)                     {}
func (b *bench) Record(_ *Consumer, event []byte, _ bool, committed func()) {
	b.records++
	var p []byte
	if n := len(b.free); n > 0 {
		p, b.free = b.free[n-1], b.free[:n-1]
	}
	b.events = append(b.events, append(p[:0], event...))
}

// commit makes everything recorded durable.
func (b *bench) commit(c *Consumer) {
	for i := 0; i < len(b.events); i++ {
		c.Committed(b.events[i])
		b.free = append(b.free, b.events[i])
	}
	b.events = b.events[:0]
}

// run lets the consumer do what it can.
func (b *bench) run(c *Consumer) {
	for b.queued || len(b.events) > 0 {
		b.queued = false
		if c.Step(256) {
			b.queued = true
		}
		b.commit(c)
	}
}

func (b *bench) consumer(cfg string) *Consumer {
	c := New(b, Spec{Name: "worker", Created: time.Unix(0, epoch), Config: config(cfg)})
	c.Start()
	return c
}

// cycle stores n messages, has them delivered, and acknowledges each.
func (b *bench) cycle(c *Consumer, n int) {
	for range n {
		b.store.last++
		c.Stored(b.store.last, []byte("orders.new"))
	}
	first := b.store.last - uint64(n) + 1
	b.run(c)
	if c.tracks() {
		for i := range uint64(n) {
			a := api.AckReply{Delivered: 1, StreamSeq: first + i, ConsumerSeq: c.dseq - uint64(n) + 1 + i}
			c.Ack(&a, nil, nil)
		}
	}
	b.run(c)
}

var benchConfigs = []struct{ name, cfg string }{
	{"explicit", `{"max_ack_pending":100000}`},
	{"filtered", `{"max_ack_pending":100000,"filter_subject":"orders.>"}`},
	{"limited", `{"max_ack_pending":100000,"max_deliver":5}`},
	{"all", `{"ack_policy":"all","max_ack_pending":100000}`},
	{"none", `{"ack_policy":"none"}`},
	{"push", `{"deliver_subject":"D","max_ack_pending":100000}`},
}

// BenchmarkDeliverAck is one message: told of, delivered, acknowledged, committed.
func BenchmarkDeliverAck(b *testing.B) {
	for _, cfg := range benchConfigs {
		for _, batch := range []int{1, 256} {
			b.Run(fmt.Sprintf("config=%s/batch=%d", cfg.name, batch), func(b *testing.B) {
				h := newBench()
				c := h.consumer(cfg.cfg)
				if !c.IsPush() {
					c.Pull("inbox", nil, []byte(`{"batch":2000000000}`))
				}
				h.cycle(c, batch)
				b.ReportAllocs()
				b.ResetTimer()
				for range (b.N + batch - 1) / batch {
					h.cycle(c, batch)
				}
			})
		}
	}
}

// BenchmarkPull is a pull request for one message, and its ack.
func BenchmarkPull(b *testing.B) {
	h := newBench()
	c := h.consumer(`{}`)
	body := []byte(`{"batch":1,"expires":5000000000}`)
	b.ReportAllocs()
	for b.Loop() {
		c.Pull("inbox", nil, body)
		h.cycle(c, 1)
	}
}

// BenchmarkStoredIdle is what a new message costs for a consumer that listens and has nobody waiting.
func BenchmarkStoredIdle(b *testing.B) {
	h := newBench()
	c := h.consumer(`{"filter_subject":"orders.>"}`)
	c.Pull("inbox", nil, []byte("1"))
	h.cycle(c, 1)
	subj := []byte("orders.new")
	for b.Loop() {
		h.store.last++
		c.Stored(h.store.last, subj)
	}
}

// TestSteadyAllocations: neither delivery nor ack allocates.
func TestSteadyAllocations(t *testing.T) {
	for _, cfg := range benchConfigs {
		h := newBench()
		c := h.consumer(cfg.cfg)
		if !c.IsPush() {
			c.Pull("inbox", nil, []byte(`{"batch":2000000000}`))
		}
		for range 200 {
			h.cycle(c, 64)
		}
		if n := testing.AllocsPerRun(200, func() { h.cycle(c, 64) }); n > 0 {
			t.Errorf("%s: %v allocations for 64 messages", cfg.name, n)
		}
	}
}

// TestIdleMemory: a durable consumer that was active once and rests costs less than 2 KiB.
func TestIdleMemory(t *testing.T) {
	const n = 2000
	h := newBench()
	list := make([]*Consumer, n)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	measure := func(use func(c *Consumer)) int {
		clear(list)
		before := heap()
		for i := range list {
			name := fmt.Sprintf("worker-%06d", i)
			cfg := config(`{"filter_subject":"orders.>"}`)
			cfg.Durable, cfg.Name = name, name
			list[i] = New(h, Spec{Name: name, Config: cfg})
			list[i].Start()
			use(list[i])
		}
		size := int(heap()-before) / n
		runtime.KeepAlive(list)
		return size
	}
	fresh := measure(func(*Consumer) {})
	h.store.last = 10
	used := measure(func(c *Consumer) {
		c.Pull("inbox", nil, []byte(`{"batch":10}`))
		h.run(c)
		for seq := range uint64(10) {
			c.Ack(&api.AckReply{Delivered: 1, StreamSeq: seq + 1, ConsumerSeq: seq + 1}, nil, nil)
		}
		h.run(c)
	})
	rested := measure(func(c *Consumer) {
		c.Pull("inbox", nil, []byte(`{"batch":10}`))
		h.run(c)
		for seq := range uint64(10) {
			c.Ack(&api.AckReply{Delivered: 1, StreamSeq: seq + 1, ConsumerSeq: seq + 1}, nil, nil)
		}
		h.run(c)
		for range idleMsgsMax + 1 {
			c.Stored(11, []byte("orders.x"))
		}
		h.run(c)
	})
	t.Logf("a consumer costs %d bytes new, %d after use, %d at rest, configuration included", fresh, used, rested)
	if fresh > 1024 || used > 2048 || rested > 1024 {
		t.Error("that is too much")
	}
}
