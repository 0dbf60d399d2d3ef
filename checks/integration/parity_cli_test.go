package integration

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// cli runs the nats command line against a server, with a home of its own.
type cli struct {
	t    *testing.T
	path string
	home string
	url  string
}

func newCLI(t *testing.T, p *process) *cli {
	path, err := exec.LookPath("nats")
	if err != nil {
		t.Skip("the nats command line is not installed")
	}
	return &cli{t: t, path: path, home: t.TempDir(), url: p.url()}
}

func (c *cli) command(args ...string) *exec.Cmd {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	c.t.Cleanup(cancel)
	cmd := exec.CommandContext(ctx, c.path, append([]string{"--server", c.url}, args...)...)
	cmd.Env = append(os.Environ(), "HOME="+c.home, "XDG_CONFIG_HOME="+filepath.Join(c.home, "config"))
	return cmd
}

func (c *cli) run(args ...string) string {
	text, err := c.command(args...).CombinedOutput()
	require.NoError(c.t, err, "nats %s: %s", strings.Join(args, " "), text)
	return string(text)
}

// background starts a command; wait ends when it does and returns what it printed.
func (c *cli) background(args ...string) (cmd *exec.Cmd, wait func() string) {
	cmd = c.command(args...)
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(c.t, cmd.Start())
	return cmd, func() string {
		_ = cmd.Wait() // it may be killed
		return out.String()
	}
}

// TestCommandLine: what a person tries first.
func TestCommandLine(t *testing.T) {
	t.Parallel()
	p := start(t, "")
	c := newCLI(t, p)
	watch := p.client()
	interested := func(subject string) {
		require.Eventually(t, func() bool {
			_, err := watch.Request(subject, nil, 50*time.Millisecond)
			return !errors.Is(err, nats.ErrNoResponders)
		}, patience, tick)
	}

	seen := flushed(t, watch, "greet.>")
	c.run("pub", "greet.world", "hello", "--header", "K:v", "--count", "3")
	for range 3 {
		m := next(t, seen)
		require.Equal(t, "hello", string(m.Data))
		require.Equal(t, "v", m.Header.Get("K"))
	}

	_, wait := c.background("sub", "news.*", "--count", "1")
	interested("news.x") // the request is the message
	require.Contains(t, wait(), `"news.x"`)

	service, wait := c.background("reply", "time", "it is late")
	interested("time")
	require.Contains(t, c.run("request", "time", ""), "it is late")
	require.NoError(t, service.Process.Kill())
	require.Contains(t, wait(), `subject "time"`)

	check := c.run("server", "check", "connection")
	require.Contains(t, check, "OK")
	require.Contains(t, c.run("rtt"), p.url())
	require.Contains(t, c.run("bench", "pub", "b", "--msgs", "10000", "--no-progress"), "msgs/sec")
}
