//lockstep:exempt runs the suite over real sockets
package netsim_test

import (
	"testing"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/netsim/conformance"
)

func TestRealConformance(t *testing.T) {
	conformance.Run(t, func(*testing.T) conformance.World {
		n, c := netsim.NewReal(), clock.NewReal()
		return conformance.World{Server: n, Client: n, ServerClock: c, ClientClock: c, Listen: "127.0.0.1:0"}
	})
}
