package cluster_test

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// processWorld runs another server as a process, and speaks to it over TCP.
type processWorld struct {
	t       *testing.T
	program string
	dir     string
	cmd     *exec.Cmd
	routes  string // address
	clients string

	mu      sync.Mutex
	peers   map[string]*tcpPeer
	hello   map[string]string
	at      map[string]string // of listeners
	pending string
	cl      *tcpPeer
	heard   chan struct{} // something came to a peer
}

type tcpPeer struct {
	mu   sync.Mutex
	conn net.Conn
	text []byte
	end  bool

	heard chan<- struct{}
}

func newProcessWorld(t *testing.T, program string) *processWorld {
	w := &processWorld{
		t: t, program: program, dir: t.TempDir(), peers: map[string]*tcpPeer{}, hello: map[string]string{}, at: map[string]string{},
		heard: make(chan struct{}, 1),
	}
	t.Cleanup(func() {
		if w.cmd != nil {
			require.NoError(t, w.cmd.Process.Kill())
			w.cmd.Wait()
		}
	})
	return w
}

func (w *processWorld) patience() time.Duration { return 150 * time.Millisecond }

var listening = regexp.MustCompile(`Listening for (client|route) connections on (\S+)`)

func (w *processWorld) expand(text string) string {
	for name, at := range w.at {
		text = strings.ReplaceAll(text, "$"+name, at)
	}
	return strings.NewReplacer("$listen", `listen: "127.0.0.1:-1", name: C`, "$anonymous", `listen: "127.0.0.1:-1"`).Replace(text)
}

func (w *processWorld) write(text string) {
	text = "listen: \"127.0.0.1:-1\"\nserver_name: server\n" + w.expand(text)
	require.NoError(w.t, os.WriteFile(filepath.Join(w.dir, "c.conf"), []byte(text), 0o600))
}

func (w *processWorld) start(text string) {
	w.write(text)
	logFile := filepath.Join(w.dir, "log")
	w.cmd = exec.Command(w.program, "-c", filepath.Join(w.dir, "c.conf"), "-l", logFile)
	require.NoError(w.t, w.cmd.Start())
	require.Eventually(w.t, func() bool {
		text, _ := os.ReadFile(logFile)
		for _, m := range listening.FindAllStringSubmatch(string(text), -1) {
			if m[1] == "client" {
				w.clients = m[2]
			} else {
				w.routes = m[2]
			}
		}
		return w.clients != "" && w.routes != ""
	}, 10*time.Second, 20*time.Millisecond)
}

func (w *processWorld) reload(text string) {
	w.write(text)
	require.NoError(w.t, w.cmd.Process.Signal(syscall.SIGHUP))
}

// follow reads what comes to a peer, and answers PING.
func (p *tcpPeer) follow() {
	buf := make([]byte, 64<<10)
	for {
		n, err := p.conn.Read(buf)
		p.mu.Lock()
		p.text = append(p.text, buf[:n]...)
		p.end = p.end || err != nil
		p.mu.Unlock()
		select {
		case p.heard <- struct{}{}:
		default: // it is told already
		}
		if err != nil {
			return
		}
		if strings.Contains(string(buf[:n]), "PING\r\n") {
			fmt.Fprint(p.conn, "PONG\r\n")
		}
	}
}

func (w *processWorld) listen(name string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(w.t, err)
	w.t.Cleanup(func() { l.Close() })
	w.at[name], w.pending = l.Addr().String(), name
	go func() {
		for n := 1; ; n++ {
			c, err := l.Accept()
			if err != nil {
				return
			}
			p := &tcpPeer{conn: c, heard: w.heard}
			w.mu.Lock()
			w.peers[name+"."+port(n)] = p
			hello := w.hello[name]
			w.mu.Unlock()
			fmt.Fprint(c, hello)
			go p.follow()
		}
	}()
}

func (w *processWorld) connect(to string) *tcpPeer {
	c, err := net.Dial("tcp", to)
	require.NoError(w.t, err)
	w.t.Cleanup(func() { c.Close() })
	p := &tcpPeer{conn: c, heard: w.heard}
	go p.follow()
	return p
}

func (w *processWorld) dial(name string) {
	p := w.connect(w.routes)
	w.mu.Lock()
	w.peers[name] = p
	w.mu.Unlock()
}

func (w *processWorld) peer(name string) *tcpPeer {
	w.mu.Lock()
	defer w.mu.Unlock()
	require.NotNil(w.t, w.peers[name], "nobody is called %q", name)
	return w.peers[name]
}

func (w *processWorld) send(name, text string) {
	if name == w.pending {
		w.mu.Lock()
		w.hello[name], w.pending = text, ""
		w.mu.Unlock()
		return
	}
	fmt.Fprint(w.peer(name).conn, w.expand(text))
}

func (w *processWorld) close(name string) { w.peer(name).conn.Close() }

func (w *processWorld) client(text string) {
	if w.cl == nil {
		w.cl = w.connect(w.clients)
		fmt.Fprint(w.cl.conn, "CONNECT {\"verbose\":false,\"headers\":true}\r\n")
	}
	fmt.Fprint(w.cl.conn, text)
}

// wait is over when nothing has come to any peer for d: how fast the other process is does not matter. A
// peer that never falls silent ends it too.
func (w *processWorld) wait(d time.Duration) {
	end, quiet := time.After(d+10*time.Second), time.NewTimer(d)
	defer quiet.Stop()
	for {
		select {
		case <-w.heard:
			quiet.Reset(d)
		case <-quiet.C:
			return
		case <-end:
			return
		}
	}
}

func (w *processWorld) got() map[string]*transcript {
	w.mu.Lock()
	defer w.mu.Unlock()
	all := make(map[string]*transcript)
	for name, p := range w.peers {
		p.mu.Lock()
		all[name] = &transcript{string(p.text), p.end}
		p.text = nil
		if p.end {
			delete(w.peers, name)
		}
		p.mu.Unlock()
	}
	return all
}

func (w *processWorld) names(text string) string {
	text = commonNames(text)
	_, routePort, _ := net.SplitHostPort(w.routes)
	for name, at := range w.at {
		text = strings.ReplaceAll(text, at, "$"+name)
	}
	text = strings.NewReplacer(w.clients, "CLIENTS", `"host":"127.0.0.1","port":`+routePort, `"host":"HOST","port":6222`).Replace(text)
	return text
}
