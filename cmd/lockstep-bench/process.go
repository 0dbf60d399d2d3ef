package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
)

// clockTicks is the unit of CPU times in /proc, per second.
const clockTicks = 100

// process is a server under load.
type process struct {
	name string
	path string
	addr string
	conf string // file; "" is none
	cmd  *exec.Cmd
}

// start runs a server on a free port.
func start(path string) (*process, error) {
	p := &process{name: filepath.Base(path), path: path}
	return p, p.restart()
}

// restart runs the server afresh, so that what one measurement left in memory does
// not count in the next.
func (p *process) restart() error {
	p.stop()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	p.addr = l.Addr().String()
	l.Close()
	return p.launch()
}

// withStore runs the server afresh with JetStream and an empty store in dir; options are
// further lines of its configuration.
func (p *process) withStore(dir, options string) error {
	p.stop()
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	p.conf = filepath.Join(dir, "bench.conf")
	text := fmt.Sprintf("jetstream {\n  store_dir: %q\n  max_mem: 8GB\n  max_file: 100GB\n  %s\n}\n", filepath.Join(dir, "store"), options)
	if err := os.WriteFile(p.conf, []byte(text), 0o644); err != nil {
		return err
	}
	return p.restart()
}

// launch runs the server on the address that it has.
func (p *process) launch() error {
	_, port, _ := net.SplitHostPort(p.addr)
	args := []string{"-a", "127.0.0.1", "-p", port}
	if p.conf != "" {
		args = append(args, "-c", p.conf)
	}
	p.cmd = exec.Command(p.path, args...)
	if err := p.cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", p.path, err)
	}
	for range 60_000 { // a store may take its time
		if c, err := net.Dial("tcp", p.addr); err == nil {
			c.Close()
			return nil
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("%s does not accept connections on %s", p.path, p.addr)
}

func (p *process) stop() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill()
	p.cmd.Wait()
	p.cmd = nil
}

func (p *process) url() string { return "nats://" + p.addr }

// cpu is what the server has used, in seconds.
func (p *process) cpu() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	f := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / clockTicks, nil
}

// rss is the server's resident memory in bytes.
func (p *process) rss() (float64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", p.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	pages, err := strconv.ParseFloat(strings.Fields(string(text))[1], 64)
	return pages * float64(os.Getpagesize()), err
}

var ratePattern = regexp.MustCompile(`([\d,]+) msgs/sec`)

// bench runs one scenario and returns messages a second, as the publisher counts
// them, and nanoseconds of server CPU a message.
func (p *process) bench(nats string, sc scenario) (rate, cpu float64, err error) {
	common := []string{"-s", p.url(), "bench"}
	count := strconv.Itoa(sc.msgs)
	var sub *exec.Cmd
	if sc.subs > 0 {
		sub = exec.Command(nats, append(common, "sub", "bench", "--clients", strconv.Itoa(sc.subs), "--msgs", count, "--no-progress")...)
		if err := sub.Start(); err != nil {
			return 0, 0, err
		}
		time.Sleep(time.Second) // the CLI does not say when it has subscribed
	}
	before, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	out, err := exec.Command(nats, append(common, "pub", "bench", "--size", strconv.Itoa(sc.size), "--msgs", count, "--no-progress")...).CombinedOutput()
	if err != nil {
		return 0, 0, fmt.Errorf("nats bench: %w: %s", err, out)
	}
	if sub != nil {
		if err := sub.Wait(); err != nil {
			return 0, 0, fmt.Errorf("nats bench sub: %w", err)
		}
	}
	after, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	rate, err = rateOf(out)
	return rate, (after - before) * 1e9 / float64(sc.msgs), err
}

// rateOf finds messages a second in what `nats bench` printed: of all clients, or the one.
func rateOf(out []byte) (float64, error) {
	if at := bytes.LastIndex(out, []byte("aggregated stats")); at >= 0 {
		out = out[at:]
	}
	m := ratePattern.FindSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("nats bench printed no rate: %s", out)
	}
	return strconv.ParseFloat(strings.ReplaceAll(string(m[1]), ",", ""), 64)
}

// cli runs the nats CLI against the server.
func (p *process) cli(nats string, args ...string) ([]byte, error) {
	out, err := exec.Command(nats, append([]string{"-s", p.url()}, args...)...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("nats %s on %s: %w: %s", strings.Join(args, " "), p.name, err, out)
	}
	return out, nil
}

// idle opens n connections that do nothing and returns the memory of one.
func (p *process) idle(n int) (float64, error) {
	return p.grows(n, func() (func(), error) {
		var conns []net.Conn
		closeAll := func() {
			for _, c := range conns {
				c.Close()
			}
		}
		for range n {
			c, err := p.connect()
			if err != nil {
				return closeAll, err
			}
			conns = append(conns, c)
		}
		return closeAll, nil
	})
}

// subscribe makes n subscriptions with subjects of their own on one connection and
// returns the memory of one.
func (p *process) subscribe(n int) (float64, error) {
	return p.grows(n, func() (func(), error) {
		c, err := p.connect()
		if err != nil {
			return func() {}, err
		}
		w := bufio.NewWriterSize(c, 64<<10)
		for i := range n {
			fmt.Fprintf(w, "SUB orders.region%d.item%d %d\r\n", i%100, i, i)
		}
		fmt.Fprint(w, "PING\r\n")
		if err := w.Flush(); err != nil {
			return func() { c.Close() }, err
		}
		return func() { c.Close() }, pong(c)
	})
}

// grows measures how much a fresh server's memory grows with n of something.
func (p *process) grows(n int, load func() (func(), error)) (float64, error) {
	if err := p.restart(); err != nil {
		return 0, err
	}
	before, err := p.rss()
	if err != nil {
		return 0, err
	}
	unload, err := load()
	defer unload()
	if err != nil {
		return 0, err
	}
	after, err := p.rss()
	return (after - before) / float64(n), err
}

// connect opens a client connection that has answered its first PING.
func (p *process) connect() (net.Conn, error) {
	c, err := net.Dial("tcp", p.addr)
	if err != nil {
		return nil, err
	}
	if _, err := io.WriteString(c, "CONNECT {\"verbose\":false,\"pedantic\":false,\"lang\":\"go\",\"protocol\":1}\r\nPING\r\n"); err != nil {
		return nil, err
	}
	return c, pong(c)
}

// pong reads up to the answer to a PING.
func pong(c net.Conn) error {
	c.SetReadDeadline(time.Now().Add(time.Minute))
	var seen []byte
	b := make([]byte, 4096)
	for {
		n, err := c.Read(b)
		if seen = append(seen, b[:n]...); bytes.Contains(seen, []byte("PONG\r\n")) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("no PONG from %s: %w", c.RemoteAddr(), err)
		}
	}
}

func median(v []float64) float64 {
	s := append([]float64(nil), v...)
	sort.Float64s(s)
	return s[len(s)/2]
}
