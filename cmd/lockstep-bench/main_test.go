package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
	s := settings{ours: server, against: server, nats: nats, runs: 1, scale: 0.001, conns: 200, subs: 20000, out: &printed}
	require.NoError(t, s.run())
	for _, sc := range scenarios {
		require.Contains(t, printed.String(), sc.name)
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
