package stream

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
)

// TestRollupIsCounted: a message that replaces all others is needed by all consumers that it is for, and does not go with the
// ack of the first.
func TestRollupIsCounted(t *testing.T) {
	for _, rollup := range []string{"all", "sub"} {
		s := quietStream(t, 1)
		s.cfg.Retention, s.cfg.AllowRollup = api.InterestPolicy, true
		for i := range 2 {
			h := s.addQuiet(t, i+1)
			s.consumers.refilter(h, func() {
				cfg := *h.c.Config()
				cfg.FilterSubject = "s.0"
				h.c.Update(&cfg)
			})
		}
		var b machine.Builder
		b.Begin(nil, 1)
		b.Add([]byte("s.0"), nil, []byte("old"), machine.Verdict{})
		b.Add([]byte("s.0"), []byte("NATS/1.0\r\nNats-Rollup: "+rollup+"\r\n\r\n"), []byte("new"), machine.Verdict{})
		require.True(t, s.machine.Apply(b.Bytes()))
		require.Equal(t, map[uint64]uint32{2: 3}, s.keep.needs)
		s.letGo(2)
		s.letGo(2)
		require.True(t, s.store.Has(2))
		s.letGo(2)
		require.False(t, s.store.Has(2))
	}
}
