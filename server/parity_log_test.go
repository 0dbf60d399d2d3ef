package server_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

var (
	stamp = regexp.MustCompile(`(?m)^\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} `)
	keys  = regexp.MustCompile(`\b[NX][A-Z2-7]{55}\b`)
	sums  = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
)

// TestStartAndShutdownLines: what the log says of a life, and in which order.
func TestStartAndShutdownLines(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.log")
	r := serveLogging(t, "log_file: "+path+"\nlogtime: true\n"+`http: "127.0.0.1:-1"
		feature_flags: { js_ack_fc_v2: true, other: true }
		authorization { user: u, password: p }`)
	client, monitor := r.Addr(), r.MonitorAddr()
	r.Shutdown()
	r.WaitForShutdown()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, strings.Count(string(text), "\n"), len(stamp.FindAllString(string(text), -1)), "every line has its time")
	plain := stamp.ReplaceAllString(string(text), "")
	plain = sums.ReplaceAllString(keys.ReplaceAllString(plain, "KEY"), "SUM")
	version, rest, _ := strings.Cut(plain, "[INF]   Git:")
	require.Regexp(t, `^\[INF\] Starting lockstep\n\[INF\]   Version:  2\.15\.0 \(lockstep \S+\)\n$`, version)
	_, rest, _ = strings.Cut(rest, "\n")
	require.Equal(t, fmt.Sprintf(`[INF]   Name:     KEY
[INF]   ID:       KEY
[INF]   Feature flags:
[INF]     Configured:    js_ack_fc_v2 (opt-in)
[INF]     Unsupported:   other
[WRN] Plaintext passwords detected, use nkeys or bcrypt
[INF] Using configuration file: %s (SUM)
[INF] Starting http monitor on %s
[INF] Listening for client connections on %s
[INF] Server is ready
[INF] Initiating Shutdown...
[INF] Server Exiting..
`, r.path, monitor, client), rest)
}
