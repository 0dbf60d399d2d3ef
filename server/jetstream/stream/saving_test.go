package stream

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/jetstream/consumer"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// quietStream is a stream in memory with n consumers, and nothing around it.
func quietStream(t testing.TB, n int) *Stream {
	cfg := &api.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, MaxConsumers: -1, MaxMsgs: -1, MaxBytes: -1, MaxMsgsPer: -1, MaxMsgSize: -1, Replicas: 1,
		Storage: api.MemoryStorage,
	}
	sim := clock.NewSim(1).Clock("server")
	s := &Stream{env: &Env{Clock: sim}, cfg: cfg, name: "S", strand: sim.NewStrand("stream"), keep: retention{needs: map[uint64]uint32{}}}
	s.consumers.init()
	s.store = msgs.NewMemory(s.strand, msgs.Options{})
	s.machine = machine.New(machine.Options{Store: s.store, Config: cfg, Effects: effects{s}})
	for i := range n {
		s.addQuiet(t, i)
	}
	return s
}

func (s *Stream) addQuiet(t testing.TB, i int) *hosted {
	name := fmt.Sprintf("consumer-%06d", i)
	cfg := &api.ConsumerConfig{
		Durable: name, Name: name, AckPolicy: api.AckExplicit, AckWait: 30 * time.Second, MaxDeliver: -1, MaxWaiting: 512, MaxAckPending: 1000,
		FilterSubject: fmt.Sprintf("s.%d", i), Metadata: map[string]string{"_nats.req.level": "0"},
	}
	d := &codec.Reader{P: appendConsumerEntry(nil, uint32(i), name, time.Unix(1, 0), cfg)}
	_, _, created, cfg, err := readConsumerEntry(d, s.consumers.labels)
	require.NoError(t, err)
	s.consumers.labels = cfg.Metadata
	h := newHosted(uint32(i), name, cfg)
	h.c = consumer.New(hostOf{s, h}, consumer.Spec{ID: h.id, Name: name, Created: created, Config: cfg})
	s.consumers.add(h)
	return h
}

// saveAll makes the state of a checkpoint in slices of n consumers; between runs between them.
func (s *Stream) saveAll(n int, between func(v *saving)) (state []byte) {
	v := s.newSaving(func(p []byte, _ error) { state = p })
	s.saving, v.stored, v.store = v, true, []byte("manifest")
	for v.more(n) {
		between(v)
	}
	s.saved()
	return state
}

// TestCheckpointIsOfTheMomentOfItsBeginning changes, removes and adds consumers while the others are written.
func TestCheckpointIsOfTheMomentOfItsBeginning(t *testing.T) {
	const n = 50
	want := quietStream(t, n).saveAll(n, nil)
	s := quietStream(t, n)
	i := 0
	got := s.saveAll(3, func(*saving) {
		i++
		move := func(id uint32) {
			if h := s.consumers.byID(id); h != nil {
				s.saveFirst(h)
				require.NoError(t, h.c.Replay([]byte{12, byte(100 + i)})) // a reset
			}
		}
		move(uint32(i)) // written already
		move(uint32(n - i))
		move(uint32(n - 1))
		h := s.consumers.byID(uint32(n - 2 - i))
		s.saveFirst(h)
		s.consumers.remove(h)
		s.saveFirst(s.addQuiet(t, n+i))
	})
	require.Equal(t, want, got)
	require.Nil(t, s.saving)
	later := s.saveAll(7, func(*saving) {})
	require.NotEqual(t, want, later)
	s.saveFirst(s.consumers.byID(0))

	d := &codec.Reader{P: later}
	require.Equal(t, byte(stateVersion), d.Byte())
	require.Equal(t, "manifest", d.Text())
	require.Zero(t, d.Uint(), "generation")
	back := quietStream(t, 0)
	require.NoError(t, back.restoreState(d, true))
	require.Equal(t, later, back.saveAll(n, func(*saving) {}))
}

// TestRoll compares the registry by number with a map.
func TestRoll(t *testing.T) {
	s := quietStream(t, 0)
	have := map[uint32]*hosted{}
	next := 0
	for step := range 3000 {
		if step%3 > 0 || len(have) == 0 {
			next += 1 + step%2
			have[uint32(next)] = s.addQuiet(t, next)
		} else {
			all := s.consumers.all()
			h := all[step*7919%len(all)]
			s.consumers.remove(h)
			delete(have, h.id)
			require.Nil(t, s.consumers.byID(h.id))
		}
		require.Equal(t, len(have), len(s.consumers.all()))
		id := uint32(step * 7919 % (next + 2))
		require.Equal(t, have[id], s.consumers.byID(id))
	}
	last := uint32(0)
	for _, h := range s.consumers.all() {
		require.Greater(t, h.id, last)
		last = h.id
	}
}

// BenchmarkSaving tells what a checkpoint of many consumers costs, and how long its longest task is.
func BenchmarkSaving(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("consumers=%d", n), func(b *testing.B) {
			s := quietStream(b, n)
			b.ReportAllocs()
			var longest time.Duration
			for b.Loop() {
				at := time.Now()
				task := func() {
					longest = max(longest, time.Since(at))
					at = time.Now()
				}
				state := s.saveAll(s.slice(), func(*saving) { task() })
				task()
				b.ReportMetric(float64(len(state))/float64(n), "state-B/consumer")
			}
			b.ReportMetric(float64(longest.Microseconds()), "longest-task-us")
		})
	}
}
