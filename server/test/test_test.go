package test

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server"
)

func echo(t *testing.T, s *server.Server) {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	defer nc.Close()
	sub, err := nc.SubscribeSync("x")
	require.NoError(t, err)
	require.NoError(t, nc.Publish("x", []byte("hi")))
	m, err := sub.NextMsg(10 * time.Second)
	require.NoError(t, err)
	require.Equal(t, "hi", string(m.Data))
}

func TestRunRandClientPortServer(t *testing.T) {
	s := RunRandClientPortServer()
	defer s.Shutdown()
	require.Equal(t, 4222, DefaultTestOptions.Port, "the defaults stay as they are")
	echo(t, s)
}

func TestRunServerTwice(t *testing.T) {
	opts := DefaultTestOptions
	opts.Port = server.RANDOM_PORT
	a, b := RunServer(&opts), RunServer(&opts)
	defer a.Shutdown()
	defer b.Shutdown()
	require.NotEqual(t, a.ClientURL(), b.ClientURL())
	require.NotEqual(t, a.ID(), b.ID())
	echo(t, a)
	echo(t, b)
}

func TestRunServerCallbackSeesItFirst(t *testing.T) {
	opts := DefaultTestOptions
	opts.Port = server.RANDOM_PORT
	running := true
	s := RunServerCallback(&opts, func(s *server.Server) { running = s.Running() })
	defer s.Shutdown()
	require.False(t, running)
	require.True(t, s.Running())
}

func TestRunServerWithConfig(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.conf")
	require.NoError(t, os.WriteFile(path, []byte("listen: \"127.0.0.1:-1\"\nserver_name: tested"), 0o600))
	s, opts := RunServerWithConfig(path)
	defer s.Shutdown()
	require.Equal(t, "tested", s.Name())
	require.Equal(t, "tested", opts.ServerName)
	require.True(t, opts.NoLog)
	echo(t, s)
}

func TestRunServerWithConfigOverrides(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.conf")
	require.NoError(t, os.WriteFile(path, []byte("listen: \"127.0.0.1:-1\"\nserver_name: tested"), 0o600))
	seen := ""
	s, opts := RunServerWithConfigOverrides(path,
		func(o *server.Options) { o.ServerName = "other" },
		func(s *server.Server) { seen = s.Name() })
	defer s.Shutdown()
	require.Equal(t, "other", opts.ServerName)
	require.Equal(t, "other", seen)
}

func TestWhatCannotStartPanics(t *testing.T) {
	require.Panics(t, func() { LoadConfig(filepath.Join(t.TempDir(), "none")) })
	opts := DefaultTestOptions
	opts.Port, opts.ServerName = server.RANDOM_PORT, "a b"
	require.Panics(t, func() { RunServer(&opts) })
}
