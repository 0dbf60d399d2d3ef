package integration

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestLogLines(t *testing.T) {
	t.Parallel()
	p := start(t, "", "-DV")
	r := p.connected(`"name":"n","lang":"go","version":"1.2","pass":"secret","auth_token":"t0ken"`)
	r.line("SUB x q 7")
	r.line("PUB x 5\r\nhello")
	require.Equal(t, []string{`MSG x 7 5 "hello"`}, r.sync())
	for _, text := range []string{
		"Client connection created", `<<- [CONNECT {`, "<<- [SUB x q 7]", "<<- [PUB x 5]", `<<- MSG_PAYLOAD: ["hello"]`,
		"->> [MSG x 7 5]", "<<- [PING]", "->> [PONG]",
	} {
		line := p.waitLog(text)
		require.Regexp(t, regexp.MustCompile(`^\[\d+\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} \[(DBG|TRC)\] 127\.0\.0\.1:\d+ - cid:\d+ - `), line)
		require.NotContains(t, line, "secret")
		require.NotContains(t, line, "t0ken")
	}
	require.Contains(t, p.waitLog("<<- [SUB"), `"v1.2:go:n"`)
}

func TestLogWithoutTime(t *testing.T) {
	t.Parallel()
	p := start(t, "", "-T=false")
	require.Regexp(t, `^\[\d+\] \[INF\] Server is ready$`, p.waitLog("Server is ready"))
}

func TestLogTraceIsCut(t *testing.T) {
	t.Parallel()
	p := start(t, "trace: true\nmax_traced_msg_len: 4")
	r := p.connected()
	r.line("PUB x 10\r\n0123456789")
	r.quiet()
	require.Contains(t, p.waitLog("MSG_PAYLOAD"), `["0123..."]`)
}

func TestLogFileIsReopened(t *testing.T) {
	t.Parallel()
	p := start(t, "log_file: \"DIR/a.log\"")
	path := filepath.Join(p.dir, "a.log")
	state, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), state.Mode().Perm())
	require.NoError(t, os.Rename(path, path+".1"))
	p.signal(syscall.SIGUSR1)
	p.waitLog("File log re-opened")
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Contains(t, string(text), "File log re-opened")
	old, err := os.ReadFile(path + ".1")
	require.NoError(t, err)
	require.Contains(t, string(old), "Server is ready")
}

func TestLogRotation(t *testing.T) {
	t.Parallel()
	const files = 3
	p := start(t, "log_file: \"DIR/a.log\"\nlog_size_limit: 3000\nlog_max_num: 3\ndebug: true")
	for range 200 { // each leaves a few lines
		p.raw().conn.Close()
	}
	p.waitLog(`Rotated log, backup saved as "`)
	p.signal(syscall.SIGTERM)
	require.Zero(t, p.exit())
	names, err := filepath.Glob(filepath.Join(p.dir, "a.log*"))
	require.NoError(t, err)
	require.LessOrEqual(t, len(names), files)
	require.Greater(t, len(names), 1)
	for _, name := range names {
		state, err := os.Stat(name)
		require.NoError(t, err)
		require.Less(t, state.Size(), int64(4000), name)
		if !strings.HasSuffix(name, ".log") {
			require.Regexp(t, `a\.log\.\d{4}\.\d\d\.\d\d\.\d\d\.\d\d\.\d\d\.\d{9}$`, name)
		}
	}
}
