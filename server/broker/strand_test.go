package broker_test

import (
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/logging"
)

// TestReloadBesideLameDuck: both draw randomness of the broker's strand, and both are
// asked for from anywhere; the race detector sees whoever draws elsewhere.
func TestReloadBesideLameDuck(t *testing.T) {
	options := func(text string) *config.Options {
		o := &config.Options{}
		require.NoError(t, o.ProcessConfigString(text))
		o.SetBaseline()
		return o
	}
	for range 20 {
		c := clock.NewReal()
		b, err := broker.New(broker.Config{Clock: c, Log: logging.NewSwitch(), Options: options("")})
		require.NoError(t, err)
		for range 8 {
			b.Accept(&sink{})
		}
		lowered, settled := options("max_connections: 2"), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { b.LameDuck(c.NewStrand("test"), func() {}) })
		wg.Go(func() {
			if err := b.Reload(lowered); err != nil {
				t.Error(err)
			}
			b.Settled(func() { close(settled) })
		})
		wg.Wait()
		<-settled
		require.Len(t, b.Clients(), 2)
	}
}
