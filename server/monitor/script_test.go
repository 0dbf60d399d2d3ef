package monitor_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/server/monitor"
	"github.com/lockstepmq/lockstep/server/test/scripts"
)

// world is a broker in simulation with a monitor and clients that speak the
// protocol. Everything it prints depends on the script alone.
type world struct {
	t       *testing.T
	sim     *clock.Sim
	net     *netsim.Sim
	broker  *broker.Broker
	monitor *monitor.Monitor
	handler http.Handler
	clients map[string]*worldClient
	ready   error
	warned  []string

	jetStream *fakeJetStream // nil without JetStream
}

type worldClient struct {
	conn  netsim.Conn
	pings int
}

// Data answers pings.
func (c *worldClient) Data(p []byte) {
	if strings.Contains(string(p), "PING\r\n") {
		c.pings++
		c.conn.Write([]byte("PONG\r\n"))
		c.conn.Flush()
	}
}

func (c *worldClient) Closed(error) {}

func newWorld(t *testing.T, text string) *world {
	o := &config.Options{}
	require.NoError(t, o.ProcessConfigString(text))
	o.SetBaseline()
	require.NoError(t, o.Validate())
	w := &world{t: t, sim: clock.NewSim(1), clients: map[string]*worldClient{}}
	w.net = netsim.NewSim(w.sim)
	c := w.sim.Clock("server")
	var err error
	w.broker, err = broker.New(broker.Config{
		Clock: c, Log: logging.NewSwitch(), Options: o, Identity: broker.Identity{
			ServerID: "NGOLDEN", ServerName: "golden", Version: "2.15.0", LockstepVersion: "0.1.0", GoVersion: "go1",
		},
	})
	require.NoError(t, err)
	_, err = w.net.Host("server").Listen(c.NewStrand("listen"), "server:4222", w.broker.Accept)
	require.NoError(t, err)
	started := c.Now()
	if o.JetStream {
		w.jetStream = newFakeJetStream(o, started)
	}
	w.monitor = monitor.New(monitor.Config{
		Broker: w.broker, Clock: c, Options: func() *config.Options { return o }, Started: started,
		ConfigLoaded: func() time.Time { return started }, Digest: func() string { return "sha256:abc" },
		Listening: func() error { return w.ready },
		JetStream: func() monitor.JetStreamSource {
			if w.jetStream == nil {
				return nil
			}
			return w.jetStream
		},
		Warnf:   func(format string, v ...any) { w.warned = append(w.warned, fmt.Sprintf(format, v...)) },
		Process: func() monitor.Process { return monitor.Process{Memory: 1 << 20, Cores: 2, MaxProcs: 2, CPU: 1.5} },
	})
	w.handler = w.monitor.Handler()
	return w
}

// settle lets everything happen that is due in the next half second.
func (w *world) settle() { w.sim.RunFor(500 * time.Millisecond) }

func (w *world) open(name string) {
	c := &worldClient{}
	w.clients[name] = c
	strand := w.sim.Clock("client-" + name).NewStrand(name)
	w.net.Host("client-"+name).Dial(strand, "server:4222", netsim.DialOptions{}, func(conn netsim.Conn, err error) {
		require.NoError(w.t, err)
		c.conn = conn
		conn.Start(strand, c)
	})
	w.settle()
}

func (w *world) send(name, text string) {
	c := w.clients[name]
	require.NotNil(w.t, c, "client %q is not open", name)
	c.conn.Write([]byte(strings.ReplaceAll(text, `\r\n`, "\r\n") + "\r\n"))
	c.conn.Flush()
	w.settle()
}

func (w *world) get(method, target string) *httptest.ResponseRecorder {
	r := httptest.NewRecorder()
	w.handler.ServeHTTP(r, httptest.NewRequest(method, target, nil))
	return r
}

// run carries out one line of a script and returns what it prints.
func (w *world) run(line string) string {
	word, rest, _ := strings.Cut(line, " ")
	switch word {
	case "open":
		w.open(rest)
	case "close":
		w.clients[rest].conn.Close(netsim.ErrClosed)
		w.settle()
	case "wait":
		d, err := time.ParseDuration(rest)
		require.NoError(w.t, err)
		w.sim.RunFor(d)
	case "js":
		w.js(rest)
	case "down":
		w.ready = errors.New("not listening")
	case "warnings":
		return strings.Join(w.warned, "\n") + "\n"
	case "get":
		r := w.get(http.MethodGet, rest)
		return fmt.Sprintf("%d %s\n%s\n", r.Code, r.Header().Get("Content-Type"), strings.TrimSuffix(r.Body.String(), "\n"))
	case "keep": // get, and print the lines that contain a word
		part, target, _ := strings.Cut(rest, " ")
		var out strings.Builder
		for l := range strings.Lines(w.get(http.MethodGet, target).Body.String()) {
			if strings.Contains(l, part) {
				out.WriteString(l)
			}
		}
		return strings.TrimSuffix(out.String(), "\n") + "\n"
	default:
		name, text, ok := strings.Cut(line, ": ")
		require.True(w.t, ok, "no such command: %s", line)
		w.send(name, text)
	}
	return ""
}

// TestScripts runs testdata/*.txt: a configuration, then commands, each followed by
// what it prints.
func TestScripts(t *testing.T) { scripts.Run(t, "testdata/*.txt", runScript) }

const (
	command = "> "
	comment = "-- "
)

// runScript prints the script anew: lines that begin with "> " are commands and
// stay, as do comments ("-- ") and the configuration before the first command; the rest is
// what was printed.
func runScript(t *testing.T, text string) string {
	head, _, _ := strings.Cut("\n"+text, "\n"+command)
	w := newWorld(t, head)
	var out strings.Builder
	out.WriteString(strings.TrimPrefix(head, "\n") + "\n")
	body := text[min(len(head), len(text)):]
	for line := range strings.Lines(body) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case strings.HasPrefix(line, command):
			out.WriteString(line + "\n" + w.run(strings.TrimPrefix(line, command)))
		case strings.HasPrefix(line, comment):
			out.WriteString(line + "\n")
		}
	}
	return out.String()
}
