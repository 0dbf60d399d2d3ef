package netsim_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/netsim/conformance"
)

// TestSimConformance runs the suite over a plain network and over one that makes
// everything late and cuts reads anywhere.
func TestSimConformance(t *testing.T) {
	for _, profile := range []netsim.Link{
		{},
		{Latency: time.Millisecond, Jitter: 5 * time.Millisecond},
		{Latency: time.Millisecond, Jitter: 20 * time.Millisecond, Fragment: true, Bandwidth: 50 << 20},
	} {
		t.Run(fmt.Sprintf("fragment=%t,jitter=%v", profile.Fragment, profile.Jitter), func(t *testing.T) {
			conformance.Run(t, func(*testing.T) conformance.World {
				world := clock.NewSim(7)
				n := netsim.NewSim(world)
				n.SetProfile(profile)
				return conformance.World{
					Server: n.Host("server"), Client: n.Host("client"),
					ServerClock: world.Clock("server"), ClientClock: world.Clock("client"),
					Listen: "server:0",
					Step:   world.Step,
				}
			})
		})
	}
}
