package netsim

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestHostPort(t *testing.T) {
	host, port, err := SplitHostPort("[::1]:4222")
	require.NoError(t, err)
	require.Equal(t, "::1", host)
	require.Equal(t, 4222, port)
	require.Equal(t, "[::1]:4222", JoinHostPort(host, port))
	host, port, err = SplitHostPort(":0")
	require.NoError(t, err)
	require.Empty(t, host)
	require.Zero(t, port)
	for _, bad := range []string{"", "host", "host:", "host:-1", "host:65536", "host:http", "::1:4222"} {
		_, _, err := SplitHostPort(bad)
		require.ErrorContains(t, err, fmt.Sprintf("%q", bad))
	}
}

func FuzzSplitHostPort(f *testing.F) {
	for _, seed := range []string{"localhost:4222", "[::1]:0", ":65535", "a:b:c", "[fe80::1%eth0]:1", "]:1", "x:01"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, addr string) {
		host, port, err := SplitHostPort(addr)
		if err != nil {
			return
		}
		again, samePort, err := SplitHostPort(JoinHostPort(host, port))
		require.NoError(t, err)
		require.Equal(t, host, again)
		require.Equal(t, port, samePort)
	})
}
