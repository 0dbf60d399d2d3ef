package integration

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// raw is a connection that speaks the protocol byte by byte as the test says.
type raw struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
	// split makes every byte a write of its own.
	split bool
	// pings shows the server's PING to the test instead of answering it.
	pings bool
	info  string // the last INFO's JSON
}

// errEnded says that the server closed the connection; how TCP puts it (end of
// file or reset) depends on what was under way.
var errEnded = errors.New("closed")

// raw connects and reads the first INFO.
func (p *process) raw() *raw {
	p.t.Helper()
	r := p.rawSilent()
	line, err := r.read()
	require.NoError(p.t, err)
	require.True(p.t, strings.HasPrefix(line, "INFO {"), "first line: %s", line)
	return r
}

// rawSilent connects and reads nothing.
func (p *process) rawSilent() *raw {
	p.t.Helper()
	conn, err := net.DialTimeout("tcp", p.addr, patience)
	require.NoError(p.t, err)
	p.t.Cleanup(func() { conn.Close() })
	return &raw{t: p.t, conn: conn, r: bufio.NewReaderSize(conn, 64<<10)}
}

// connected is raw with a CONNECT of the usual kind: not verbose, not pedantic,
// with headers and no_responders, and the keys of more (`"user":"u"`).
func (p *process) connected(more ...string) *raw {
	p.t.Helper()
	r := p.raw()
	fields := append([]string{`"verbose":false,"pedantic":false,"headers":true,"no_responders":true`}, more...)
	r.send("CONNECT {" + strings.Join(fields, ",") + "}\r\n")
	return r
}

// send writes bytes as they are. A connection that the server has closed takes
// nothing, which reading will show.
func (r *raw) send(text string) {
	r.t.Helper()
	require.NoError(r.t, r.conn.SetWriteDeadline(time.Now().Add(patience)))
	b := []byte(text)
	for len(b) > 0 {
		n := len(b)
		if r.split {
			n = 1
		}
		if _, err := r.conn.Write(b[:n]); err != nil {
			require.True(r.t, ended(err), "write: %v", err)
			return
		}
		b = b[n:]
	}
}

// line writes a control line.
func (r *raw) line(format string, args ...any) {
	r.t.Helper()
	r.send(fmt.Sprintf(format, args...) + "\r\n")
}

func ended(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE) ||
		errors.Is(err, io.ErrUnexpectedEOF)
}

// read returns the next operation from the server. A message is its control line,
// a blank and the quoted payload. errEnded says that the connection was closed.
func (r *raw) read() (string, error) {
	if err := r.conn.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	for {
		line, err := r.r.ReadString('\n')
		if err != nil {
			return "", r.failure(err)
		}
		line = strings.TrimSuffix(line, "\r\n")
		switch verb, rest, _ := strings.Cut(line, " "); {
		case verb == "INFO":
			r.info = strings.TrimSpace(rest)
			return line, nil
		case verb == "PING" && !r.pings:
			r.send("PONG\r\n")
		case verb == "MSG" || verb == "HMSG":
			return r.payload(line)
		default:
			return line, nil
		}
	}
}

func (r *raw) failure(err error) error {
	if ended(err) {
		return errEnded
	}
	return err
}

func (r *raw) payload(line string) (string, error) {
	size, err := strconv.Atoi(line[strings.LastIndexByte(line, ' ')+1:])
	if err != nil {
		return "", fmt.Errorf("no size at the end of %q: %w", line, err)
	}
	body := make([]byte, size+2)
	if _, err := io.ReadFull(r.r, body); err != nil {
		return "", r.failure(err)
	}
	if string(body[size:]) != "\r\n" {
		return "", fmt.Errorf("payload of %q ends with %q", line, body[size:])
	}
	return line + " " + strconv.Quote(string(body[:size])), nil
}

// want reads the next operation and compares.
func (r *raw) want(line string) {
	r.t.Helper()
	got, err := r.read()
	require.NoError(r.t, err, "want %s", line)
	require.Equal(r.t, line, got)
}

// wantErr reads the next operation, which has to be an error of that text.
func (r *raw) wantErr(text string) {
	r.t.Helper()
	r.want("-ERR '" + text + "'")
}

// wantClosed has nothing more to read but the end.
func (r *raw) wantClosed() {
	r.t.Helper()
	got, err := r.read()
	require.Equal(r.t, errEnded, err, "want the end of the connection, got %q", got)
}

// sync makes the server process all that was sent, and returns what it said
// meanwhile.
func (r *raw) sync() []string {
	r.t.Helper()
	r.send("PING\r\n")
	var lines []string
	for {
		line, err := r.read()
		if err != nil {
			lines = append(lines, err.Error())
			return lines
		}
		if line == "PONG" {
			return lines
		}
		lines = append(lines, line)
	}
}

// quiet is sync that has to hear nothing.
func (r *raw) quiet() {
	r.t.Helper()
	require.Empty(r.t, r.sync())
}

// field is a key of the last INFO, nil when it has none.
func (r *raw) field(key string) any {
	r.t.Helper()
	var info map[string]any
	require.NoError(r.t, json.Unmarshal([]byte(r.info), &info))
	return info[key]
}
