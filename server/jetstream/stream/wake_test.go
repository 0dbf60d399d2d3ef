package stream

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
)

// TestWakeFollowsAClockThatIsSetForward: what is due by the wall clock is sooner then, and the timer runs on the other one.
func TestWakeFollowsAClockThatIsSetForward(t *testing.T) {
	s := quietStream(t, 0)
	wall := s.env.Clock.(*clock.SimClock)
	s.leads, s.wake = true, s.strand.NewTimer(func() {})
	s.cfg.AllowAtomicPublish = true
	s.tick()
	s.staging = machine.NewStaging(machine.BatchLimits{Timeout: 10 * time.Second}, &machine.OpenBatches{})
	header := []byte("NATS/1.0\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: 1\r\n\r\n")
	var h api.PublishHeaders
	h.Parse(header)
	out := s.staging.Add(nil, s.now, s.cfg, &machine.Arrival{Subject: []byte("s.a"), Header: header, Headers: &h}, 0)
	require.Nil(t, out.Err)

	s.armWake()
	require.Equal(t, s.mono+10*time.Second, s.wakeMono)
	wall.Jump(-time.Hour)
	s.tick()
	s.armWake()
	require.Equal(t, s.mono+10*time.Second, s.wakeMono, "waking too soon does no harm")
	wall.Jump(time.Hour + 8*time.Second)
	s.tick()
	s.armWake()
	require.InDelta(t, s.mono+2*time.Second, s.wakeMono, float64(time.Millisecond))
	s.armWake()
	require.InDelta(t, s.mono+2*time.Second, s.wakeMono, float64(time.Millisecond), "nothing has changed")
}
