package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// fakeNats answers `nats bench` as the CLI does, without sending anything.
const fakeNats = `#!/bin/sh
echo "NATS Core NATS publisher stats: 1,234,567 msgs/sec ~ 150 MiB/sec"
`

// TestSideBySide compares this server with itself: every row is there, and a
// server is as good as itself where memory is concerned.
func TestSideBySide(t *testing.T) {
	dir := t.TempDir()
	server := filepath.Join(dir, "lockstep")
	out, err := exec.Command("go", "build", "-o", server, "github.com/lockstepmq/lockstep/cmd/lockstep").CombinedOutput()
	require.NoError(t, err, "%s", out)
	nats := filepath.Join(dir, "nats")
	require.NoError(t, os.WriteFile(nats, []byte(fakeNats), 0o755))
	var printed strings.Builder
	s := settings{ours: server, against: server, nats: nats, runs: 1, scale: 0.001, conns: 200, subs: 20000, out: &printed, only: "no interest|1:1|idle connections|publish async, file|KV"}
	require.NoError(t, s.run())
	for _, sc := range scenarios {
		require.Contains(t, printed.String(), sc.name)
	}
	for _, l := range jsLoads {
		require.Equal(t, s.picks(l.name), strings.Contains(printed.String(), l.name), l.name)
	}
	require.Contains(t, printed.String(), "1234567")
	require.Contains(t, printed.String(), "200 idle connections")
	require.Contains(t, printed.String(), "20000 subscriptions")
}

func TestSideBySideSaysWhatIsAbsent(t *testing.T) {
	s := settings{nats: "no-such-program", out: &strings.Builder{}}
	require.ErrorContains(t, s.run(), "install it")
	s.nats = "true"
	s.ours = "/no/such/server"
	require.ErrorContains(t, s.run(), "/no/such/server")
}

func TestMedian(t *testing.T) {
	require.Equal(t, 2.0, median([]float64{3, 1, 2}))
	require.Equal(t, 5.0, median([]float64{5}))
}

func TestRateOf(t *testing.T) {
	one, err := rateOf([]byte("NATS JetStream asynchronous publisher stats: 38,435 msgs/sec ~ 4.7 MiB/sec ~ min: 3us"))
	require.NoError(t, err)
	require.Equal(t, 38435.0, one)
	all, err := rateOf([]byte("  [1] 1,700 msgs/sec ~ 213 KiB/sec (7,500 msgs)\n\n NATS KV putter aggregated stats: 13,597 msgs/sec ~ 1.7 MiB/sec\n message rates min 1"))
	require.NoError(t, err)
	require.Equal(t, 13597.0, all)
	_, err = rateOf([]byte("nats: error: no responders"))
	require.ErrorContains(t, err, "no responders")
}

func TestVerdicts(t *testing.T) {
	require.Contains(t, atMost(0.5, 0.5), "met (0.50)")
	require.Contains(t, atMost(0.51, 0.5), "missed (0.50)")
	require.Contains(t, atLeast(2, 2), "met")
	require.Contains(t, atLeast(1.9, 2), "missed")
	require.Empty(t, atLeast(1.9, 0), "no target")
}

// TestOwnStoreAgainstItself runs the measurements that need no CLI on two servers of ours.
func TestOwnStoreAgainstItself(t *testing.T) {
	dir := t.TempDir()
	server := filepath.Join(dir, "lockstep")
	out, err := exec.Command("go", "build", "-o", server, "github.com/lockstepmq/lockstep/cmd/lockstep").CombinedOutput()
	require.NoError(t, err, "%s", out)
	var printed strings.Builder
	s := settings{ours: server, against: server, nats: "true", runs: 1, object: 1 << 20, dir: filepath.Join(dir, "stores"), only: "^object", out: &printed}
	require.NoError(t, s.run())
	require.Contains(t, printed.String(), "object store get, 1 MiB")
	p := &process{name: "lockstep", path: server}
	require.NoError(t, p.withStore(filepath.Join(dir, "consumers"), storeLazy))
	defer p.stop()
	nc, js, err := p.js()
	require.NoError(t, err)
	defer nc.Close()
	_, err = js.CreateStream(t.Context(), jetstream.StreamConfig{Name: benchStream, Subjects: []string{"bench.>"}, MaxConsumers: 1000})
	require.NoError(t, err)
	rate, err := createConsumers(nc, 600)
	require.NoError(t, err)
	require.Positive(t, rate)
	_, err = js.PublishMsg(t.Context(), &nats.Msg{Subject: "bench.x"})
	require.NoError(t, err)
	took, err := p.restartTime(1)
	require.NoError(t, err)
	require.Positive(t, took)
}
