package integration

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// tick is how often something is looked at that nothing announces.
const tick = 2 * time.Millisecond

func TestReconnectAfterKill(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	fixed := `listen: "` + p.addr + `"`
	lost, back := make(chan struct{}, 1), make(chan struct{}, 1)
	nc := p.client(nats.MaxReconnects(-1), nats.ReconnectWait(tick), nats.ReconnectJitter(0, 0),
		func(o *nats.Options) error { o.AllowReconnect = true; return nil },
		nats.DisconnectErrHandler(func(*nats.Conn, error) { lost <- struct{}{} }),
		nats.ReconnectHandler(func(*nats.Conn) { back <- struct{}{} }))
	sub := flushed(t, nc, "s")
	p.kill()
	<-lost
	again := start(t, fixed)
	require.Equal(t, p.addr, again.addr)
	<-back
	require.NoError(t, nc.Flush())
	other := again.client()
	require.NoError(t, other.Publish("s", []byte("after")))
	require.Equal(t, "after", string(next(t, sub).Data))
}

func TestLameDuckBySignal(t *testing.T) {
	t.Parallel()
	p := start(t, `lame_duck_duration: "30s"
lame_duck_grace_period: "20ms"`)
	plain := p.connected() // protocol 0: is told nothing
	plain.quiet()
	r := p.connected(`"protocol":1`)
	r.quiet()
	info, err := r.read()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(info, "INFO "), info)
	require.Equal(t, true, r.field("connect_info"))
	told, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	nc := p.client(nats.LameDuckModeHandler(func(*nats.Conn) { told <- struct{}{} }),
		nats.ClosedHandler(func(*nats.Conn) { gone <- struct{}{} }))
	require.NoError(t, nc.Flush())
	p.signal(syscall.SIGUSR2)
	p.waitLog(`Trapped "user defined signal 2" signal`)
	p.waitLog("Entering lame duck mode, stop accepting new clients")
	<-told
	info, err = r.read()
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(info, "INFO "), info)
	require.Equal(t, true, r.field("ldm"))
	p.signal(syscall.SIGTERM) // ignored meanwhile
	_, err = p.dial()
	require.Error(t, err, "no new clients")
	r.wantClosed()
	plain.wantClosed()
	<-gone
	require.Zero(t, p.exit())
	p.waitLog("Server Exiting..")
}

func TestLameDuckWithoutClientsEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	p.signal(syscall.SIGUSR2)
	require.Zero(t, p.exit())
	p.waitLog("Initiating Shutdown...")
}

func TestSignalsThatEnd(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM} {
		p := start(t, "")
		r := p.connected()
		r.quiet()
		p.signal(sig)
		r.wantClosed() // without a text
		require.Zero(t, p.exit())
		p.waitLog(`Trapped "` + sig.String() + `" signal`)
		p.waitLog("Server Exiting..")
	}
}

func TestPidAndPortsFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pid := filepath.Join(dir, "the.pid")
	p := start(t, `http: "127.0.0.1:-1"
prof_port: -1
ports_file_dir: "`+dir+`"`, "-P", pid)
	text, err := os.ReadFile(pid)
	require.NoError(t, err)
	require.Equal(t, strconv.Itoa(p.cmd.Process.Pid), string(text))
	state, err := os.Stat(pid)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), state.Mode().Perm())

	ports := filepath.Join(dir, filepath.Base(binary)+"_"+string(text)+".ports")
	listed := p.ports(ports)
	require.Equal(t, []string{p.url()}, listed["nats"])
	require.Len(t, listed["monitoring"], 1)
	require.True(t, strings.HasPrefix(listed["monitoring"][0], "http://127.0.0.1:"), listed["monitoring"][0])
	require.NotEmpty(t, listed["profile"])
	p.signal(syscall.SIGTERM)
	require.Zero(t, p.exit())
	require.NoFileExists(t, ports)
	require.FileExists(t, pid)
}

func TestSignalFlag(t *testing.T) {
	t.Parallel()
	pid := filepath.Join(t.TempDir(), "pid")
	p := start(t, "", "-P", pid)
	_, stderr, code := command(t, binary, "--signal", "reload="+strconv.Itoa(p.cmd.Process.Pid))
	require.Zero(t, code, stderr)
	p.waitLog("Reloaded server configuration")
	_, stderr, code = command(t, binary, "-sl", "reopen="+pid)
	require.Zero(t, code, stderr)
	p.waitLog("File log re-open ignored, not a file logger")
	_, stderr, code = command(t, binary, "-sl", "ldm="+strconv.Itoa(p.cmd.Process.Pid)+"*")
	require.Zero(t, code, stderr)
	require.Zero(t, p.exit())
}

func TestSignalFlagStops(t *testing.T) {
	t.Parallel()
	for _, word := range []string{"quit", "term", "stop"} {
		p := start(t, "")
		_, stderr, code := command(t, binary, "-sl", word+"="+strconv.Itoa(p.cmd.Process.Pid))
		require.Zero(t, code, stderr)
		if word == "stop" {
			require.Equal(t, -1, p.exit(), "killed by a signal")
		} else {
			require.Zero(t, p.exit())
		}
	}
}

func TestFlagsWinOverTheFile(t *testing.T) {
	t.Parallel()
	p := start(t, "server_name: from_file\nmax_payload: 1000\nauthorization { user: f, password: f }",
		"-n", "from_flag", "--user", "u", "--pass", "p", "-m", "0")
	r := p.raw()
	require.Equal(t, "from_flag", r.field("server_name"))
	require.EqualValues(t, 1000, r.field("max_payload"))
	_, err := p.dial(nats.UserInfo("f", "f"))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	p.client(nats.UserInfo("u", "p"))
}

func TestVersionAndNames(t *testing.T) {
	t.Parallel()
	stdout, stderr, code := command(t, binary, "--version")
	require.Zero(t, code)
	require.True(t, strings.HasPrefix(stdout+stderr, "lockstep: v2.15.0"), stdout+stderr)
	p := start(t, "")
	r := p.raw()
	require.Equal(t, "2.15.0", r.field("version"))
	require.NotEmpty(t, r.field("lockstep_version"))
	p.waitLog("Starting lockstep")
	p.waitLog("Version:  2.15.0")
}

func TestUnsupportedIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, block := range []string{"gateway", "leafnodes", "websocket", "mqtt"} {
		path := filepath.Join(dir, block+".conf")
		require.NoError(t, os.WriteFile(path, []byte("server_name: x\n"+block+" { }\n"), 0o600))
		for _, args := range [][]string{{"-c", path}, {"-t", "-c", path}} {
			_, stderr, code := command(t, binary, args...)
			require.Equal(t, 1, code)
			require.Contains(t, stderr, path+":2:")
			require.Contains(t, stderr, `"`+block+`" is not supported yet`)
		}
	}
	_, stderr, code := command(t, binary, "-a", "127.0.0.1", "-p", "-1", "-js", "--cluster_name=c", "--cluster=nats://127.0.0.1:-1")
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "jetstream cluster requires `server_name` to be set")
}
