package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/keyfile"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/msgs"
	"github.com/lockstepmq/lockstep/storage/seal"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// served is a stream with all that it needs, and a client.
type served struct {
	t      *testing.T
	sim    *clock.Sim
	disk   *storage.SimDisk
	host   *raft.Host
	stream *Stream
	failed error
	conn   netsim.Conn            // the client's
	react  func(message []string) // to the first line of a message that came
	got    strings.Builder
}

// Data and Closed are the client's.
func (w *served) Data(p []byte) {
	w.got.Write(p)
	if w.react == nil {
		return
	}
	for line := range strings.SplitSeq(string(p), "\r\n") {
		if f := strings.Fields(line); len(f) == 5 && f[0] == "MSG" {
			w.react(f)
		}
	}
}
func (w *served) Closed(error) {}

// serve runs a stream that lets publishers wait for ease bytes, and takes checkpoints after as many.
func serve(t *testing.T, ease int, checkpoint int64) *served {
	w := &served{t: t, sim: clock.NewSim(1)}
	machineClock := w.sim.Clock("server")
	o := &config.Options{}
	o.SetBaseline()
	b, err := broker.New(broker.Config{
		Clock: machineClock, Log: logging.NewSwitch(), Options: o, Identity: broker.Identity{ServerID: "N", ServerName: "n"},
	})
	require.NoError(t, err)
	net := netsim.NewSim(w.sim)
	_, err = net.Host("server").Listen(machineClock.NewStrand("listen"), "server:4222", b.Accept)
	require.NoError(t, err)
	w.disk = storage.NewSimDisk(w.sim, "server")
	fs := w.disk.Mount()
	logStrand := machineClock.NewStrand("log")
	logStrand.Post(func() {
		fs.Mkdir(logStrand, "streams", func(err error) { require.NoError(t, err) })
		wal.Open(fs, logStrand, wal.Config{Dir: "log", Identity: "n"}, func(l *wal.Log, _ *wal.Report, err error) {
			require.NoError(t, err)
			w.host = raft.NewHost(l, raft.Config{CheckpointBytes: checkpoint})
		})
	})
	w.until(func() bool { return w.host != nil })
	env := &Env{
		Clock: machineClock, Broker: b, Host: w.host, Disk: fs, Log: logging.NewSwitch(), MaxPayload: 1 << 20, Store: msgs.Options{},
		Limits: Limits{BufferedMsgs: 1 << 20, BufferedBytes: 1 << 30, Ease: ease}, Open: &machine.OpenBatches{}, Keys: keyfile.Keys{Ring: seal.NewKeyring("", "")},
		StreamFailed: func(_ *Stream, err error) { w.failed = err },
	}
	cfg := &api.StreamConfig{
		Name: "S", Subjects: []string{"s.>"}, MaxConsumers: -1, MaxMsgs: -1, MaxBytes: -1, MaxMsgsPer: -1, MaxMsgSize: -1, Replicas: 1,
		Storage: api.FileStorage,
	}
	Open(env, Spec{
		Account: b.Global(), ID: raft.ID{Group: 7, Incarnation: 1}, Dir: "streams/7", Config: cfg, Usage: NewUsage(nil), Fresh: true,
	}, func(s *Stream, err error) {
		require.NoError(t, err)
		w.stream = s
	})
	w.until(func() bool { return w.stream != nil })
	client := w.sim.Clock("client").NewStrand("client")
	net.Host("client").Dial(client, "server:4222", netsim.DialOptions{}, func(conn netsim.Conn, err error) {
		require.NoError(t, err)
		w.conn = conn
		conn.Start(client, w)
	})
	w.until(func() bool { return w.conn != nil })
	w.send("CONNECT {\"verbose\":false}\r\nSUB acks 1\r\n")
	return w
}

func (w *served) until(cond func() bool) {
	for n := 0; !cond(); n++ {
		require.Less(w.t, n, 200, "it does not come")
		w.sim.RunFor(50 * time.Millisecond)
	}
}

func (w *served) send(text string) {
	w.conn.Write([]byte(text))
	w.conn.Flush()
}

// publishUntilItWaits publishes while the disk stands still, until the client is not read any more.
func (w *served) publishUntilItWaits() {
	hang := storage.DiskFaults{SyncTime: time.Minute, WriteTime: time.Minute}
	w.disk.SetFaults(hang)
	body := strings.Repeat("x", 1000)
	for range 40 {
		w.send("PUB s.a acks 1000\r\n" + body + "\r\n")
		w.sim.RunFor(10 * time.Millisecond)
	}
	require.False(w.t, w.answersPing(), "publishes did not have to wait")
}

// answersPing tells whether the server reads what the client sends.
func (w *served) answersPing() bool {
	before := strings.Count(w.got.String(), "PONG")
	w.send("PING\r\n")
	w.sim.RunFor(time.Second)
	return strings.Count(w.got.String(), "PONG") > before
}

func (w *served) do(fn func()) { w.stream.Do(w.stream.Strand(), fn) }

// TestPublishersWaitForTheDisk: and go on when it does.
func TestPublishersWaitForTheDisk(t *testing.T) {
	w := serve(t, 8<<10, 0)
	w.publishUntilItWaits()
	w.disk.SetFaults(storage.DiskFaults{})
	w.sim.RunFor(3 * time.Minute)
	w.until(func() bool { return strings.Count(w.got.String(), `"seq":40`) == 1 })
	require.True(t, w.answersPing())
}

// TestNobodyWaitsForAStreamThatEnded: what its publishers wait for does not come any more.
func TestNobodyWaitsForAStreamThatEnded(t *testing.T) {
	for name, end := range map[string]func(w *served){
		"deleted": func(w *served) { w.do(func() { w.stream.Delete(func() {}) }) },
		"closed":  func(w *served) { w.do(func() { w.stream.Close(func() {}) }) },
		"its log failed": func(w *served) {
			w.disk.SetFaults(storage.DiskFaults{WriteError: 1, SyncError: 1})
			w.sim.RunFor(3 * time.Minute)
			require.Error(w.t, w.failed)
		},
		"it failed itself": func(w *served) { w.do(func() { w.stream.fail(fmt.Errorf("test")) }) },
	} {
		t.Run(name, func(t *testing.T) {
			w := serve(t, 8<<10, 0)
			w.publishUntilItWaits()
			end(w)
			require.True(t, w.answersPing())
			require.True(t, w.answersPing())
		})
	}
}

// TestCheckpointsComeUnderLoad: acks and pulls that never cease do not keep a stream from taking a checkpoint.
func TestCheckpointsComeUnderLoad(t *testing.T) {
	w := serve(t, 0, 4<<10)
	w.do(func() {
		cfg, err := api.CheckConsumerConfig(&api.ConsumerConfig{Name: "C", Durable: "C", AckPolicy: api.AckExplicit}, w.stream.Config(), api.ConsumerServerLimits{}, false)
		require.Nil(t, err)
		w.stream.CreateConsumer(cfg, api.ActionCreate, false, api.ConsumerServerLimits{}, func(_ *api.ConsumerInfo, _ bool, err *api.Error) {
			require.Nil(t, err)
		})
	})
	pull := "PUB $JS.API.CONSUMER.MSG.NEXT.S.C pulls 0\r\n\r\n"
	w.react = func(fields []string) {
		if strings.HasPrefix(fields[1], "s.") {
			w.send("PUB " + fields[3] + " 4\r\n+ACK\r\n" + pull)
		}
	}
	w.disk.SetFaults(storage.DiskFaults{SyncTime: 2 * time.Millisecond})
	w.sim.RunFor(time.Second)
	w.send("SUB pulls 2\r\n" + strings.Repeat(pull, 50))
	for range 300 {
		w.send("PUB s.a 100\r\n" + strings.Repeat("x", 100) + "\r\nPUB s.a 3\r\nend\r\n")
		w.sim.RunFor(time.Millisecond)
	}
	require.Greater(t, w.host.Metrics().Checkpoints, w.host.Metrics().Bytes/(4<<10)/2)
}
