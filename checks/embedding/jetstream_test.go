package embedding

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server"
)

// embeddedJetStream is what programs call on a server with JetStream.
type embeddedJetStream interface {
	EnableJetStream(*server.JetStreamConfig) error
	DisableJetStream() error
	JetStreamEnabled() bool
	JetStreamEnabledForDomain() bool
	JetStreamConfig() *server.JetStreamConfig
	JetStreamNumAccounts() int
	JetStreamReservedResources() (int64, int64, error)
	JetStreamIsClustered() bool
	JetStreamClusterPeers() []string
	JetStreamIsLeader() bool
	JetStreamIsCurrent() bool
	JetStreamIsStreamLeader(account, stream string) bool
	JetStreamIsStreamCurrent(account, stream string) bool
	JetStreamIsConsumerLeader(account, stream, consumer string) bool
	JetStreamIsConsumerCurrent(account, stream, consumer string) bool
	Jsz(*server.JSzOptions) (*server.JSInfo, error)
	StoreDir() string
}

var _ embeddedJetStream = (*server.Server)(nil)

// The fields that programs fill in.
var _ = server.Options{
	JetStream: true, JetStreamMaxMemory: 1, JetStreamMaxStore: 1, JetStreamDomain: "d", StoreDir: "s",
	SyncInterval: time.Second, SyncAlways: true, JetStreamLimits: server.JSLimitOpts{MaxAckPending: 1},
}

func orders(t *testing.T, s *server.Server) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	nc := connect(t, s)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	require.NoError(t, err)
	return nc, js
}

func TestJetStreamFromOptions(t *testing.T) {
	o := random()
	o.JetStream, o.StoreDir, o.JetStreamMaxMemory, o.JetStreamMaxStore = true, t.TempDir(), 1<<20, 10<<20
	s := run(t, o)
	require.True(t, s.JetStreamEnabled())
	require.True(t, s.JetStreamEnabledForDomain())
	require.True(t, s.JetStreamIsLeader())
	require.True(t, s.JetStreamIsCurrent())
	require.False(t, s.JetStreamIsClustered())
	require.Empty(t, s.JetStreamClusterPeers())
	require.Equal(t, 1, s.JetStreamNumAccounts())
	c := s.JetStreamConfig()
	require.EqualValues(t, 1<<20, c.MaxMemory)
	require.EqualValues(t, 10<<20, c.MaxStore)
	require.Equal(t, filepath.Join(o.StoreDir, "jetstream"), c.StoreDir)
	require.Equal(t, c.StoreDir, s.StoreDir())
	_, js := orders(t, s)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", MaxBytes: 5 << 20})
	require.NoError(t, err)
	_, err = js.Publish(t.Context(), "S", []byte("x"))
	require.NoError(t, err)
	memory, file, err := s.JetStreamReservedResources()
	require.NoError(t, err)
	require.Equal(t, []int64{0, 5 << 20}, []int64{memory, file})
	require.True(t, s.JetStreamIsStreamLeader("$G", "S"))
	require.True(t, s.JetStreamIsStreamCurrent("$G", "S"))
	require.True(t, s.JetStreamIsConsumerLeader("$G", "S", "C"))
	require.True(t, s.JetStreamIsConsumerCurrent("$G", "S", "C"))
	require.False(t, s.JetStreamIsStreamLeader("nobody", "S"))
	z, err := s.Jsz(&server.JSzOptions{Accounts: true, Streams: true})
	require.NoError(t, err)
	require.EqualValues(t, 1, z.Messages)
	require.Equal(t, "S", z.AccountDetails[0].Streams[0].Name)
	varz, err := s.Varz(nil)
	require.NoError(t, err)
	require.Equal(t, c.StoreDir, varz.JetStream.Config.StoreDir)
}

func TestJetStreamIsEnabledAndDisabled(t *testing.T) {
	s := run(t, random())
	require.False(t, s.JetStreamEnabled())
	require.Nil(t, s.JetStreamConfig())
	require.Zero(t, s.JetStreamNumAccounts())
	require.False(t, s.JetStreamIsLeader())
	require.Empty(t, s.StoreDir())
	_, _, err := s.JetStreamReservedResources()
	require.Error(t, err)
	require.NoError(t, s.DisableJetStream())

	nc, js := orders(t, s)
	_, err = js.AccountInfo(t.Context())
	require.ErrorIs(t, err, jetstream.ErrJetStreamNotEnabled)
	config := &server.JetStreamConfig{MaxMemory: 1 << 20, MaxStore: 2 << 20, StoreDir: t.TempDir(), Domain: "hub", SyncAlways: true}
	require.NoError(t, s.EnableJetStream(config))
	require.EqualError(t, s.EnableJetStream(config), "jetstream already enabled")
	require.True(t, s.JetStreamEnabled())
	require.Equal(t, "hub", s.JetStreamConfig().Domain)
	require.DirExists(t, filepath.Join(config.StoreDir, "jetstream"))
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S"})
	require.NoError(t, err)
	ack, err := js.Publish(t.Context(), "S", []byte("kept"))
	require.NoError(t, err)
	require.Equal(t, "hub", ack.Domain)

	require.NoError(t, s.DisableJetStream())
	require.False(t, s.JetStreamEnabled())
	_, err = nc.Request("S", nil, patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
	require.NoError(t, s.EnableJetStream(config))
	stream, err := js.Stream(t.Context(), "S")
	require.NoError(t, err)
	require.EqualValues(t, 1, stream.CachedInfo().State.Msgs)
}

func TestJetStreamThatCannotBeEnabled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	s := run(t, random())
	require.Error(t, s.EnableJetStream(&server.JetStreamConfig{StoreDir: file}))
	require.False(t, s.JetStreamEnabled())
	require.NoError(t, s.EnableJetStream(&server.JetStreamConfig{StoreDir: t.TempDir()}), "another try")
	require.True(t, s.JetStreamEnabled())
	s.Shutdown()
	require.Error(t, s.EnableJetStream(nil))
}

// A program may turn it on before the server listens.
func TestJetStreamBeforeTheStart(t *testing.T) {
	o := random()
	o.NoLog, o.NoSigs = true, true
	s, err := server.NewServer(o)
	require.NoError(t, err)
	require.NoError(t, s.EnableJetStream(&server.JetStreamConfig{StoreDir: t.TempDir()}))
	s.Start()
	t.Cleanup(s.Shutdown)
	require.True(t, s.ReadyForConnections(patience))
	_, js := orders(t, s)
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "S"})
	require.NoError(t, err)
}

func TestJetStreamSubjects(t *testing.T) {
	require.GreaterOrEqual(t, server.JSApiLevel, 4)
	for want, subject := range map[string]string{
		"$JS.API.INFO": server.JSApiAccountInfo, "$JS.API.STREAM.CREATE.%s": server.JSApiStreamCreateT,
		"$JS.API.STREAM.NAMES": server.JSApiStreams, "$JS.API.STREAM.MSG.GET.%s": server.JSApiMsgGetT,
		"$JS.API.CONSUMER.DURABLE.CREATE.%s.%s": server.JSApiDurableCreateT,
		"$JS.API.CONSUMER.CREATE.%s.%s.%s":      server.JSApiConsumerCreateExT,
		"$JS.API.CONSUMER.MSG.NEXT.%s.%s":       server.JSApiRequestNextT,
		"$JS.API.META.LEADER.STEPDOWN":          server.JSApiLeaderStepDown,
		"$JS.EVENT.ADVISORY.API":                server.JSAuditAdvisory,
	} {
		require.Equal(t, want, subject)
	}
}
