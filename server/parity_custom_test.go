package server_test

import (
	"io"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server"
)

// lease lets everyone in for a time.
type lease struct{ d time.Duration }

func (l lease) Check(c server.ClientAuthentication) bool {
	if c.GetOpts().Username != "leased" {
		return false
	}
	c.RegisterUser(&server.User{Username: "leased", ConnectionDeadline: time.Now().Add(l.d)})
	return true
}

// TestCustomDeadline: a connection that the program gave a deadline ends with it.
func TestCustomDeadline(t *testing.T) {
	for _, tc := range []struct {
		d    time.Duration
		ends bool
	}{{50 * time.Millisecond, true}, {time.Hour, false}} {
		s, err := server.NewServer(&server.Options{
			Host: "127.0.0.1", Port: server.RANDOM_PORT, NoLog: true, NoSigs: true, CustomClientAuthentication: lease{tc.d},
		})
		require.NoError(t, err)
		s.Start()
		defer s.Shutdown()
		require.True(t, s.ReadyForConnections(patience))
		r := &running{Server: s, t: t}
		c := r.dial()
		info(t, c)
		_, err = c.Write([]byte("CONNECT {\"verbose\":false,\"user\":\"leased\"}\r\nPING\r\n"))
		require.NoError(t, err)
		answer := make([]byte, 6)
		_, err = io.ReadFull(c, answer)
		require.NoError(t, err)
		require.Equal(t, "PONG\r\n", string(answer))
		if !tc.ends {
			require.Equal(t, 1, s.NumClients())
			continue
		}
		text, err := io.ReadAll(c)
		require.NoError(t, err)
		require.Equal(t, "-ERR 'User Authentication Expired'\r\n", string(text))
		require.Equal(t, "Authentication Expired", r.lastReason(1))

		refused := r.dial()
		info(t, refused)
		_, err = refused.Write([]byte("CONNECT {\"user\":\"other\"}\r\n"))
		require.NoError(t, err)
		text, err = io.ReadAll(refused)
		require.NoError(t, err)
		require.Equal(t, "-ERR 'Authorization Violation'\r\n", string(text))
	}
}

// TestInProcessType: a pipe is a connection of its own type, and needs no TLS.
func TestInProcessType(t *testing.T) {
	a := newAuthority(t)
	a.server("one")
	r := serve(t, a.block("one", "")+`authorization { users: [
		{user: pipe, password: p, allowed_connection_types: [IN_PROCESS]}
		{user: socket, password: p, allowed_connection_types: [STANDARD]} ] }`)
	for user, want := range map[string]string{"pipe": "PONG\r\n", "socket": "-ERR 'Authorization Violation'\r\n"} {
		c, err := r.InProcessConn()
		require.NoError(t, err)
		require.NoError(t, c.SetDeadline(time.Now().Add(patience)))
		said := info(t, c)
		require.Nil(t, said["tls_required"])
		_, err = c.Write([]byte("CONNECT {\"verbose\":false,\"user\":\"" + user + "\",\"pass\":\"p\"}\r\nPING\r\n"))
		require.NoError(t, err)
		answer := make([]byte, len(want))
		_, err = io.ReadFull(c, answer)
		require.NoError(t, err)
		require.Equal(t, want, string(answer), user)
		require.NoError(t, c.Close())
	}
}
