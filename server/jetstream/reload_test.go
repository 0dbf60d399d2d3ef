package jetstream_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server"
	servertest "github.com/lockstepmq/lockstep/server/test"
)

// serve runs a server with a configuration file, and gives what loads another.
func serve(t *testing.T, conf string) (s *server.Server, load func(conf string)) {
	file := filepath.Join(t.TempDir(), "server.conf")
	store := t.TempDir()
	write := func(conf string) {
		text := fmt.Sprintf("listen: \"127.0.0.1:-1\"\n"+conf, store)
		require.NoError(t, os.WriteFile(file, []byte(text), 0o600))
	}
	write(conf)
	opts, err := server.ProcessConfigFile(file)
	require.NoError(t, err)
	opts.NoLog, opts.NoSigs = true, true
	s = servertest.RunServer(opts)
	t.Cleanup(s.Shutdown)
	return s, func(conf string) {
		write(conf)
		require.NoError(t, s.Reload())
	}
}

// eventually waits for a stream to be there or not.
func eventually(t *testing.T, s *server.Server, user, stream string, want bool) *nats.StreamInfo {
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(user, user))
	require.NoError(t, err)
	defer nc.Close()
	js, err := nc.JetStream(nats.MaxWait(time.Second))
	require.NoError(t, err)
	var info *nats.StreamInfo
	require.Eventually(t, func() bool {
		info, err = js.StreamInfo(stream)
		return (err == nil) == want
	}, 10*time.Second, 10*time.Millisecond)
	return info
}

func create(t *testing.T, s *server.Server, user, stream string) {
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo(user, user))
	require.NoError(t, err)
	defer nc.Close()
	js, err := nc.JetStream()
	require.NoError(t, err)
	require.Eventually(t, func() bool {
		_, err = js.AddStream(&nats.StreamConfig{Name: stream, Subjects: []string{stream}, MaxBytes: 1000})
		return err == nil
	}, 10*time.Second, 10*time.Millisecond)
	_, err = js.Publish(stream, []byte("kept"))
	require.NoError(t, err)
}

func TestJetStreamIsTurnedOnAndOffAtRuntime(t *testing.T) {
	const off, on = "#%s\n", "jetstream { store_dir: %q }\n"
	s, load := serve(t, off)
	load(on)
	create(t, s, "any", "ORDERS")
	load(off)
	eventually(t, s, "any", "ORDERS", false)
	load(on)
	require.EqualValues(t, 1, eventually(t, s, "any", "ORDERS", true).State.Msgs)
}

func TestStreamsRestWhileTheirAccountHasNoJetStream(t *testing.T) {
	const conf = `
jetstream { store_dir: %%q }
accounts {
  A { jetstream: %s, users: [{user: a, password: a}] }
  B { jetstream: enabled, users: [{user: b, password: b}] }
}
`
	s, load := serve(t, fmt.Sprintf(conf, "enabled"))
	create(t, s, "a", "ORDERS")
	create(t, s, "b", "OTHERS")
	load(fmt.Sprintf(conf, "disabled"))
	eventually(t, s, "a", "ORDERS", false)
	eventually(t, s, "b", "OTHERS", true)
	load(fmt.Sprintf(conf, "{ max_file: 5000, max_streams: 3 }"))
	require.EqualValues(t, 1, eventually(t, s, "a", "ORDERS", true).State.Msgs)

	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("a", "a"))
	require.NoError(t, err)
	defer nc.Close()
	js, err := nc.JetStream()
	require.NoError(t, err)
	info, err := js.AccountInfo()
	require.NoError(t, err)
	require.EqualValues(t, 1000, info.ReservedStore)
	require.EqualValues(t, 5000, info.Limits.MaxStore)
	require.Equal(t, 1, info.Streams)
	require.Less(t, info.Store, uint64(100), "counted once, not once for each time it was opened")
}

func TestReservationsSurviveARestart(t *testing.T) {
	opts := servertest.DefaultTestOptions
	opts.Port, opts.JetStream, opts.StoreDir = server.RANDOM_PORT, true, t.TempDir()
	s := servertest.RunServer(&opts)
	create(t, s, "any", "ORDERS")
	s.Shutdown()
	s.WaitForShutdown()
	s = servertest.RunServer(&opts)
	defer s.Shutdown()
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	defer nc.Close()
	js, err := nc.JetStream()
	require.NoError(t, err)
	info, err := js.AccountInfo()
	require.NoError(t, err)
	require.EqualValues(t, 1000, info.ReservedStore)
}

func TestTooManyRequestsAtOnceAreDropped(t *testing.T) {
	s, _ := serve(t, `
jetstream { store_dir: %q, request_queue_limit: 3 }
accounts { A { jetstream: enabled, users: [{user: a, password: a}] }, SYS { users: [{user: s, password: s}] } }
system_account: SYS
`)
	sys, err := nats.Connect(s.ClientURL(), nats.UserInfo("s", "s"))
	require.NoError(t, err)
	defer sys.Close()
	told, err := sys.SubscribeSync("$JS.EVENT.ADVISORY.API.LIMIT_REACHED")
	require.NoError(t, err)
	require.NoError(t, sys.Flush())
	nc, err := nats.Connect(s.ClientURL(), nats.UserInfo("a", "a"))
	require.NoError(t, err)
	defer nc.Close()
	for range 1000 { // in few reads, each of more than the limit
		require.NoError(t, nc.PublishRequest("$JS.API.STREAM.NAMES", "reply", nil))
	}
	m, err := told.NextMsg(replyMax)
	require.NoError(t, err)
	require.Regexp(t, `^\{"type":"io.nats.jetstream.advisory.v1.api_limit_reached","id":"\w{22}","timestamp":"[^"]+","server":"[^"]+","dropped":\d+\}$`, string(m.Data))
}
