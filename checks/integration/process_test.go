package integration

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// patience bounds every wait. It is spent only by tests that fail.
const patience = 20 * time.Second

// binary is the server under test.
var binary string

func TestMain(m *testing.M) {
	code, err := withBinary(m.Run)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// withBinary builds the server, runs the tests, and removes what it built.
func withBinary(run func() int) (int, error) {
	if binary = os.Getenv("LOCKSTEP_BINARY"); binary != "" {
		return run(), nil
	}
	dir, err := os.MkdirTemp("", "lockstep-integration")
	if err != nil {
		return 1, err
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "lockstep")
	build := exec.Command("go", "build", "-o", binary, "github.com/lockstepmq/lockstep/cmd/lockstep")
	if text, err := build.CombinedOutput(); err != nil {
		return 1, fmt.Errorf("building the server: %w\n%s", err, text)
	}
	return run(), nil
}

// process is one running server.
type process struct {
	t      testing.TB
	cmd    *exec.Cmd
	dir    string // its own folder, with the configuration file
	config string // path of the configuration file
	log    *tail
	addr   string        // host:port of the client listener
	ended  chan struct{} // closed after the process ended
	err    error         // how it ended; read after ended
}

// start runs the binary with a configuration and waits until it serves clients.
// The text needs no listen line: the server listens to a free port of 127.0.0.1
// unless the text says a port.
func start(t testing.TB, config string, args ...string) *process {
	t.Helper()
	return startIn(t, binary, t.TempDir(), config, args...)
}

// startIn is start with a binary and a folder; DIR in the configuration stands for
// the folder.
func startIn(t testing.TB, program, dir, config string, args ...string) *process {
	t.Helper()
	p := &process{t: t, dir: dir, config: filepath.Join(dir, "server.conf"), ended: make(chan struct{})}
	p.write(config)
	p.cmd = exec.Command(program, append([]string{"-c", p.config}, args...)...)
	p.cmd.Dir = dir
	p.cmd.Env = append(os.Environ(), "GOMAXPROCS=2")
	stderr, err := p.cmd.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, p.cmd.Start())
	p.log = newTail()
	go func() {
		p.log.follow(stderr)
		p.err = p.cmd.Wait()
		p.log.end()
		close(p.ended)
	}()
	t.Cleanup(p.kill)
	if file := p.logFile(); file != "" {
		p.log = newTail()
		stop := make(chan struct{})
		t.Cleanup(func() { close(stop) })
		go p.log.followFile(file, stop)
	}
	line := p.waitLog("Listening for client connections on ")
	_, p.addr, _ = strings.Cut(line, "connections on ")
	p.waitLog("Server is ready")
	return p
}

var (
	hasPort    = regexp.MustCompile(`(?m)^\s*(listen|port)\b`)
	hasLogFile = regexp.MustCompile(`(?m)^\s*log_file\s*:?\s*"?([^"\s]+)"?`)
)

// write puts a configuration in the process's file.
func (p *process) write(config string) {
	p.t.Helper()
	if !hasPort.MatchString(config) {
		config = "listen: \"127.0.0.1:-1\"\n" + config
	}
	config = strings.ReplaceAll(config, "DIR", p.dir)
	require.NoError(p.t, os.WriteFile(p.config, []byte(config), 0o600))
}

func (p *process) logFile() string {
	text, err := os.ReadFile(p.config)
	require.NoError(p.t, err)
	if m := hasLogFile.FindSubmatch(text); m != nil {
		return string(m[1])
	}
	return ""
}

// waitLog waits for a line with the text, written since the start or since the
// last mark, and returns it.
func (p *process) waitLog(text string) string {
	p.t.Helper()
	line, err := p.log.wait(text, patience)
	require.NoError(p.t, err)
	return line
}

// signal sends a signal to the process.
func (p *process) signal(sig syscall.Signal) {
	p.t.Helper()
	require.NoError(p.t, p.cmd.Process.Signal(sig))
}

// reload puts another configuration in place, sends SIGHUP and returns the log
// lines that the reload caused, up to its verdict.
func (p *process) reload(config string) []string {
	p.t.Helper()
	p.write(config)
	from := p.log.mark()
	p.signal(syscall.SIGHUP)
	line, err := p.log.waitFunc(func(s string) bool {
		return strings.Contains(s, "Reloaded server configuration") || strings.Contains(s, "Failed to reload")
	}, patience)
	require.NoError(p.t, err)
	lines := p.log.since(from)
	for i, l := range lines {
		if l == line {
			return lines[:i+1]
		}
	}
	return lines
}

// mustReload is reload that has to succeed.
func (p *process) mustReload(config string) {
	p.t.Helper()
	lines := p.reload(config)
	require.Contains(p.t, lines[len(lines)-1], "Reloaded server configuration")
}

// refusedReload is reload that has to fail with a text.
func (p *process) refusedReload(config, why string) {
	p.t.Helper()
	lines := p.reload(config)
	require.Contains(p.t, lines[len(lines)-1], "Failed to reload server configuration: ")
	require.Contains(p.t, lines[len(lines)-1], why)
}

// kill ends the process at once, as kill -9 does, and waits for its end.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended by itself
	<-p.ended
}

// exit waits for the process to end by itself and returns its exit code.
func (p *process) exit() int {
	p.t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		require.Fail(p.t, "the server did not end", strings.Join(p.log.since(0), "\n"))
	}
	var failed *exec.ExitError
	if errors.As(p.err, &failed) {
		return failed.ExitCode()
	}
	require.NoError(p.t, p.err)
	return 0
}

// url is where clients connect.
func (p *process) url() string { return "nats://" + p.addr }

// client connects with the Go client; it is closed at the end of the test.
func (p *process) client(options ...nats.Option) *nats.Conn {
	p.t.Helper()
	nc, err := p.dial(options...)
	require.NoError(p.t, err)
	return nc
}

// dial is client that may fail.
func (p *process) dial(options ...nats.Option) (*nats.Conn, error) {
	options = append([]nats.Option{nats.Timeout(patience), nats.NoReconnect()}, options...)
	nc, err := nats.Connect(p.url(), options...)
	if err == nil {
		p.t.Cleanup(nc.Close)
	}
	return nc, err
}

// command runs the binary to its end and returns what it printed and its exit code.
func command(t testing.TB, program string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs strings.Builder
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	require.NoError(t, ctx.Err(), "the command did not end: %v", args)
	var failed *exec.ExitError
	if !errors.As(err, &failed) {
		require.NoError(t, err)
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// tail collects the lines of a log.
type tail struct {
	mu     sync.Mutex
	grown  *sync.Cond
	lines  []string
	next   int // the first line that waits look at
	found  int // the line that the last wait found
	closed bool
}

func newTail() *tail {
	l := &tail{}
	l.grown = sync.NewCond(&l.mu)
	return l
}

func (l *tail) follow(r io.Reader) {
	for s := bufio.NewScanner(r); s.Scan(); {
		l.add(s.Text())
	}
}

// followFile reads a log file as it grows, and from its beginning again when it is
// replaced.
func (l *tail) followFile(path string, stop chan struct{}) {
	var file *os.File
	var rest []byte
	buf := make([]byte, 64<<10)
	for {
		select {
		case <-stop:
			l.end()
			return
		case <-time.After(2 * time.Millisecond):
		}
		if file == nil || replaced(file, path) {
			next, err := os.Open(path)
			if err != nil {
				continue
			}
			if file != nil {
				file.Close()
			}
			file = next
		}
		for n, _ := file.Read(buf); n > 0; n, _ = file.Read(buf) {
			rest = append(rest, buf[:n]...)
		}
		for line, after, ok := strings.Cut(string(rest), "\n"); ok; line, after, ok = strings.Cut(after, "\n") {
			l.add(line)
			rest = []byte(after)
		}
	}
}

func replaced(file *os.File, path string) bool {
	a, errA := file.Stat()
	b, errB := os.Stat(path)
	return errA == nil && errB == nil && !os.SameFile(a, b)
}

func (l *tail) add(line string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, line)
	l.grown.Broadcast()
}

func (l *tail) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.grown.Broadcast()
}

// mark makes later waits ignore what is in the log now.
func (l *tail) mark() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = len(l.lines)
	return l.next
}

// pass makes later waits begin after the line that the last one found.
func (l *tail) pass() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.next = l.found + 1
}

func (l *tail) since(from int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return append([]string(nil), l.lines[from:]...)
}

func (l *tail) wait(text string, d time.Duration) (string, error) {
	line, err := l.waitFunc(func(s string) bool { return strings.Contains(s, text) }, d)
	if err != nil {
		return "", fmt.Errorf("waiting for %q: %w", text, err)
	}
	return line, nil
}

// waitFunc waits for a line past the mark and does not move the mark.
func (l *tail) waitFunc(match func(string) bool, d time.Duration) (string, error) {
	late := false
	alarm := time.AfterFunc(d, func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		late = true
		l.grown.Broadcast()
	})
	defer alarm.Stop()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := l.next; ; i++ {
		for i >= len(l.lines) {
			if late || l.closed {
				return "", fmt.Errorf("no such line in the log:\n%s", strings.Join(l.lines, "\n"))
			}
			l.grown.Wait()
		}
		if match(l.lines[i]) {
			l.found = i
			return l.lines[i], nil
		}
	}
}
