package server_test

import (
	"net"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server"
	"github.com/lockstepmq/lockstep/server/test"
)

// TestReloadIsInForceWhenItReturns: no connection is judged by the old options any
// more.
func TestReloadIsInForceWhenItReturns(t *testing.T) {
	options := func(allowed string) *server.Options {
		o := test.DefaultTestOptions
		o.Port = server.RANDOM_PORT
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: &server.Permissions{
			Subscribe: &server.SubjectPermission{Allow: []string{allowed, "_INBOX.>"}},
		}}}
		return &o
	}
	s := test.RunServer(options("old.>"))
	defer s.Shutdown()
	var conns []*nats.Conn
	for range 20 {
		nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("u", "p"))
		require.NoError(t, err)
		defer nc.Close()
		_, err = nc.SubscribeSync("old.x")
		require.NoError(t, err)
		require.NoError(t, nc.Flush())
		conns = append(conns, nc)
	}
	require.EqualValues(t, len(conns), s.GlobalAccount().Interest("old.x"))
	next := options("new.>")
	next.Port = s.Addr().(*net.TCPAddr).Port
	require.NoError(t, s.ReloadOptions(next))
	require.Zero(t, s.GlobalAccount().Interest("old.x"))
}
