package source

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// sinkHost takes entries and applies them at once.
type sinkHost struct {
	*world
	buf     []byte
	pending []*Batch
}

func (h *sinkHost) Entry(size int) []byte          { return h.buf[:0] }
func (h *sinkHost) Propose(entry []byte, b *Batch) { h.buf = entry; h.pending = append(h.pending, b) }
func (h *sinkHost) Send(subject, header []byte)    {}
func (h *sinkHost) applyAll() {
	for _, b := range h.pending {
		b.Applied()
	}
	h.pending = h.pending[:0]
}

// stream gives a follower that follows, and what its origin sends in a read.
func steady(cfg *api.StreamConfig, n int) (f *Follower, h *sinkHost, next func() []broker.Arrival) {
	w := newWorld(nil, 1, cfg)
	w.set.Stop(Left)
	h = &sinkHost{world: w, buf: make([]byte, 0, 1<<20)}
	set := New(h, Options{Account: "A"})
	set.Configure(cfg)
	f = set.mirror
	if f == nil {
		f = set.list[0]
	}
	f.begin()
	f.follow(&consumerReply{})
	batch := make([]broker.Arrival, n)
	replies := make([][]byte, n)
	body := make([]byte, 128)
	seq := 0
	return f, h, func() []broker.Arrival {
		for i := range batch {
			seq++
			replies[i] = fmt.Appendf(replies[i][:0], "$JS.ACK.O.C.1.%d.%d.1700000000000000000.%d", seq, seq, 100)
			batch[i] = broker.Arrival{Subject: []byte("a.b"), Reply: replies[i], Data: body}
		}
		return batch
	}
}

func mirrorConfig() *api.StreamConfig {
	cfg := streamConfig()
	cfg.Mirror = &api.StreamSource{Name: "O"}
	return cfg
}

func TestCopyingAllocatesNothing(t *testing.T) {
	f, h, next := steady(mirrorConfig(), 64)
	var batches [][]broker.Arrival
	for range 40 {
		b := next()
		own := make([]broker.Arrival, len(b))
		for i := range b {
			own[i] = b[i]
			own[i].Reply = append([]byte(nil), b[i].Reply...)
		}
		batches = append(batches, own)
	}
	i := 0
	allocs := testing.AllocsPerRun(30, func() {
		f.take(batches[i])
		h.applyAll()
		i++
	})
	require.Zero(t, allocs)
	require.EqualValues(t, 31*64, f.done.stream)
}

func BenchmarkTake(b *testing.B) {
	source := streamConfig()
	source.Sources = []*api.StreamSource{{Name: "O"}}
	for _, c := range []struct {
		kind string
		cfg  *api.StreamConfig
	}{{"mirror", mirrorConfig()}, {"source", source}} {
		b.Run("kind="+c.kind, func(b *testing.B) {
			const batch = 64
			f, h, next := steady(c.cfg, batch)
			b.SetBytes(128)
			b.ReportAllocs()
			for i := 0; i < b.N; i += batch {
				f.take(next())
				h.applyAll()
			}
		})
	}
}
