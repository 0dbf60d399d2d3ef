package integration

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// A script is blocks: commands, a line "----", what they made the server say, and
// an empty line. Lines that begin with # before a block are comments.
//
//	config          the lines below it, up to ----, are the server's configuration
//	reload          the same, put in force with SIGHUP; prints the log of it
//	check           the same, given to -t; prints what it says
//	run -p 1 -t     runs the program with arguments; prints what it says
//	connect a       opens connection a and reads its INFO
//	info a          prints the last INFO of a
//	a> PUB x 0      sends a line and CRLF; $REPLY is the last reply subject of a
//	                service import that a received
//	a>> "x\r\n"     sends the bytes of a quoted string
//	sync a b        prints what each says up to the PONG to a PING
//	sorted a b      the same in sorted order, where the order is anybody's
//	log some text   waits for a line of the log with the text, and prints it
//	eof a           prints what a says up to its end
type script struct {
	blocks []*block
}

type block struct {
	comments []string
	input    []string
	output   []string
}

func parseScript(text string) *script {
	s := &script{}
	b := &block{}
	into := &b.input
	flush := func() {
		if len(b.input) > 0 || len(b.comments) > 0 {
			s.blocks = append(s.blocks, b)
		}
		b = &block{}
		into = &b.input
	}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		switch {
		case line == "----":
			into = &b.output
		case line == "" && into == &b.output:
			flush()
		case line == "" && len(b.input) == 0:
			flush()
		case strings.HasPrefix(line, "#") && len(b.input) == 0:
			b.comments = append(b.comments, line)
		default:
			*into = append(*into, line)
		}
	}
	flush()
	return s
}

func (s *script) String() string {
	var out strings.Builder
	for i, b := range s.blocks {
		if i > 0 {
			out.WriteByte('\n')
		}
		for _, l := range b.comments {
			out.WriteString(l + "\n")
		}
		if len(b.input) == 0 {
			continue
		}
		out.WriteString(strings.Join(b.input, "\n") + "\n----\n")
		for _, l := range b.output {
			out.WriteString(l + "\n")
		}
	}
	return out.String()
}

// compare fails for each block whose output is another one in got.
func (s *script) compare(t *testing.T, got *script) {
	t.Helper()
	require.Len(t, got.blocks, len(s.blocks))
	for i, b := range s.blocks {
		want, have := strings.Join(b.output, "\n"), strings.Join(got.blocks[i].output, "\n")
		if want != have {
			t.Errorf("block %d:\n%s\n---- want\n%s\n---- got\n%s", i+1, strings.Join(b.input, "\n"), want, have)
		}
	}
}

// runner carries a script out against one server.
type runner struct {
	t       testing.TB
	program string
	split   bool
	server  *process
	conns   map[string]*raw
	replies map[string]string
	dir     string
	out     []string
}

// run returns the script with what happened as its output.
func (s *script) run(t testing.TB, program string, split bool) *script {
	t.Helper()
	r := &runner{t: t, program: program, split: split, conns: map[string]*raw{}, replies: map[string]string{}, dir: t.TempDir()}
	done := &script{}
	for _, b := range s.blocks {
		r.out = nil
		if len(b.input) > 0 {
			r.block(b.input)
		}
		done.blocks = append(done.blocks, &block{b.comments, b.input, r.out})
	}
	if r.server != nil {
		r.server.kill()
	}
	return done
}

func (r *runner) block(input []string) {
	r.t.Helper()
	body := strings.Join(input[1:], "\n") + "\n"
	switch input[0] {
	case "config":
		r.server = startIn(r.t, r.program, r.dir, body)
	case "reload":
		for _, line := range r.server.reload(body) {
			if strings.Contains(line, "Reloaded") || strings.Contains(line, "Failed to reload") {
				r.logLine(line)
			}
		}
	case "check":
		r.check(body)
	default:
		if r.server == nil && !strings.HasPrefix(input[0], "run ") {
			r.server = startIn(r.t, r.program, r.dir, "")
		}
		for _, line := range input {
			r.command(line)
		}
	}
}

func (r *runner) command(line string) {
	r.t.Helper()
	if name, rest, ok := strings.Cut(line, ">> "); ok && !strings.Contains(name, " ") {
		text, err := strconv.Unquote(rest)
		require.NoError(r.t, err, line)
		r.conn(name).send(text)
		return
	}
	if name, rest, ok := strings.Cut(line, "> "); ok && !strings.Contains(name, " ") {
		r.conn(name).send(strings.ReplaceAll(rest, "$REPLY", r.replies[name]) + "\r\n")
		return
	}
	if text, ok := strings.CutPrefix(line, "log "); ok {
		r.logLine(r.server.waitLog(text))
		r.server.log.pass()
		return
	}
	words := strings.Fields(strings.ReplaceAll(line, "DIR", r.dir))
	if words[0] == "run" {
		r.run(words[1:]...)
		return
	}
	for _, name := range words[1:] {
		switch words[0] {
		case "connect":
			c := r.server.raw()
			c.split = r.split
			r.conns[name] = c
		case "info":
			r.print(name, "INFO "+r.conn(name).info)
		case "sync":
			for _, l := range r.conn(name).sync() {
				r.print(name, l)
			}
		case "sorted":
			lines := r.conn(name).sync()
			slices.Sort(lines)
			for _, l := range lines {
				r.print(name, l)
			}
		case "eof":
			r.untilEnd(name)
		default:
			require.Fail(r.t, "unknown command: "+line)
		}
	}
}

func (r *runner) conn(name string) *raw {
	r.t.Helper()
	c := r.conns[name]
	require.NotNil(r.t, c, "no connection %q", name)
	return c
}

func (r *runner) untilEnd(name string) {
	for {
		line, err := r.conn(name).read()
		if err != nil {
			r.print(name, err.Error())
			return
		}
		r.print(name, line)
	}
}

func (r *runner) check(config string) {
	path := filepath.Join(r.dir, "server.conf")
	require.NoError(r.t, os.WriteFile(path, []byte(config), 0o600))
	r.run("-t", "-c", path)
	slices.Sort(r.out) // several errors come in any order
}

// run prints what the program says and how it ends.
func (r *runner) run(args ...string) {
	stdout, stderr, code := command(r.t, r.program, args...)
	if strings.Contains(stdout+stderr, "Usage: ") {
		r.out = append(r.out, "(usage)")
	}
	for line := range strings.Lines(stderr) {
		line = strings.TrimPrefix(r.plain(logPrefix.ReplaceAllString(strings.TrimSpace(line), "")), "lockstep: ")
		switch {
		case line == "" || line == "lockstep:" || strings.HasPrefix(line, "[INF]"):
		case strings.Contains(stderr, "Usage: ") && !misuse.MatchString(line):
		default:
			r.out = append(r.out, line)
		}
	}
	r.out = append(r.out, fmt.Sprintf("exit %d", code))
}

var (
	digest    = regexp.MustCompile(`sha256:[0-9a-f]{64}`)
	replyName = regexp.MustCompile(`_R_\.[0-9A-Za-z]{6}\.[0-9A-Za-z]{6}`)
	roundTrip = regexp.MustCompile(`HMSG (.*) \d+ \d+ (".*\\"rtt\\":)\d+`)
	peerPort  = regexp.MustCompile(`127\.0\.0\.1:\d+`)
	misuse    = regexp.MustCompile(`^(flag|invalid) `)
	clientID  = regexp.MustCompile(`cid:\d+`)
	requestor = regexp.MustCompile(`\\"start\\":\\"[^"\\]*\\",\\"host\\":\\"127\.0\.0\.1\\",\\"id\\":\d+`)
	logPrefix = regexp.MustCompile(`^(\[\d+\] )?\d{4}/\S+ \S+ `)
	program   = regexp.MustCompile(`\b(nats-server|lockstep)\b`)
)

func (r *runner) print(name, line string) {
	if rest, ok := strings.CutPrefix(line, "INFO "); ok {
		line = "INFO " + plainInfo(rest)
	}
	if reply := replyName.FindString(line); reply != "" {
		r.replies[name] = reply
	}
	line = replyName.ReplaceAllString(line, "_R_.xxxxxx.xxxxxx")
	line = requestor.ReplaceAllString(line, `\"start\":T,\"host\":\"127.0.0.1\",\"id\":N`)
	line = roundTrip.ReplaceAllString(line, "HMSG $1 N N ${2}N")
	r.out = append(r.out, name+"< "+line)
}

func (r *runner) logLine(line string) {
	r.out = append(r.out, r.plain(logPrefix.ReplaceAllString(line, "")))
}

// plain removes what differs from run to run.
func (r *runner) plain(line string) string {
	line = strings.ReplaceAll(line, r.dir, "DIR")
	line = clientID.ReplaceAllString(line, "cid:N")
	line = peerPort.ReplaceAllString(line, "127.0.0.1:port")
	line = digest.ReplaceAllString(line, "sha256:x")
	return program.ReplaceAllString(line, "lockstep")
}

// plainInfo lists the keys of an INFO in their order; values that differ from run
// to run are left out.
func plainInfo(text string) string {
	vary := map[string]bool{"server_id": true, "server_name": true, "version": true, "git_commit": true, "go": true,
		"port": true, "client_id": true, "nonce": true, "xkey": true}
	dec := json.NewDecoder(strings.NewReader(text))
	if _, err := dec.Token(); err != nil {
		return text
	}
	var out []string
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			return text
		}
		var value json.RawMessage
		if err := dec.Decode(&value); err != nil {
			return text
		}
		name := key.(string)
		switch {
		case name == "lockstep_version" || name == "git_commit": // ours alone; known to stamped builds alone
		case vary[name]:
			out = append(out, name)
		default:
			out = append(out, name+"="+string(value))
		}
	}
	return strings.Join(out, " ")
}

func scripts(t *testing.T) map[string]string {
	names, err := filepath.Glob("testdata/scripts/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, names)
	found := map[string]string{}
	for _, name := range names {
		found[strings.TrimSuffix(filepath.Base(name), ".txt")] = name
	}
	return found
}

// TestScripts holds the server to the recorded conversations.
func TestScripts(t *testing.T) {
	t.Parallel()
	for name, path := range scripts(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			want := parseScript(string(text))
			got := want.run(t, binary, false)
			if os.Getenv("LOCKSTEP_REWRITE") != "" {
				require.NoError(t, os.WriteFile(path, []byte(got.String()), 0o600))
				return
			}
			want.compare(t, got)
		})
	}
}

// TestScriptsByteByByte sends the same bytes one by one: the transcripts stay.
func TestScriptsByteByByte(t *testing.T) {
	t.Parallel()
	for name, path := range scripts(t) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			want := parseScript(string(text))
			want.compare(t, want.run(t, binary, true))
		})
	}
}

// TestScriptsAgainstOther compares with another server, when one is named.
func TestScriptsAgainstOther(t *testing.T) {
	other := os.Getenv("LOCKSTEP_AGAINST")
	if other == "" {
		t.Skip("LOCKSTEP_AGAINST names no other server")
	}
	for name, path := range scripts(t) {
		t.Run(name, func(t *testing.T) {
			text, err := os.ReadFile(path)
			require.NoError(t, err)
			s := parseScript(string(text))
			s.run(t, other, false).compare(t, s.run(t, binary, false))
		})
	}
}
