package cluster_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/test/scripts"
)

var record = flag.Bool("record", false, "accept what the server that NATS_SERVER names prints")

// world is what a script runs in: this server in simulation, or another one as a process.
type world interface {
	// start starts a server of this configuration, in which $name stands for the address of
	// a peer that listens.
	start(config string)
	listen(name string)          // a peer listens
	dial(name string)            // a peer dials the server's route port
	send(name, text string)      // a peer, or the nth connection that one took ("f.2"), sends
	close(name string)           // and closes
	reload(config string)        // the server's configuration changes
	client(text string)          // a client of the server sends
	wait(d time.Duration)        // time passes
	got() map[string]*transcript // by connection: what came since the last time
	names(text string) string    // replaces what differs from run to run
	patience() time.Duration     // what every command is given
}

// transcript is what came over one connection.
type transcript struct {
	text  string
	ended bool
}

// A script has blocks of commands, then `----`, then everything that the peers received. Each block
// goes on where the one before ended.
//
//	server              the lines up to ---- are the server's configuration
//	reload              the same, of a running server
//	listen f            a peer listens; every connection that it takes is sent the INFO of the
//	                    next line, and answers PING
//	dial p              a peer dials
//	p: INFO {...}       sends the text and CRLF; escapes are Go's. f.2 is the second connection of f
//	p raw: ...          sends the text without CRLF
//	close p             a connection ends
//	client: PUB foo 2\r\nhi   a client sends
//	wait 2s             time passes
//
// Of INFO the keys that matter are shown, RS+ and RS- lines in a row are sorted, PING and PONG and what concerns
// the system account are left out. The connections of one listener are sorted by what they got. A file
// that begins with `# ours` tells what only this server does.
func runScript(t *testing.T, w world, text string) string {
	return scripts.Blocks(text, func(in string) string {
		in = strings.TrimPrefix(in, ours+"\n")
		if conf, is := strings.CutPrefix(in, "server\n"); is {
			w.start(conf)
		} else if conf, is := strings.CutPrefix(in, "reload\n"); is {
			w.reload(conf)
		} else {
			for line := range scripts.Commands(in) {
				runCommand(t, w, line)
				w.wait(w.patience())
			}
		}
		w.wait(w.patience())
		return show(w)
	})
}

// ours begins a script that tells what only this server does.
const ours = "# ours"

var command = regexp.MustCompile(`^([\w.]+)( raw)?: ?(.*)$`)

func runCommand(t *testing.T, w world, line string) {
	f := strings.Fields(line)
	switch f[0] {
	case "listen":
		w.listen(f[1])
	case "dial":
		w.dial(f[1])
	case "close":
		w.close(f[1])
	case "wait":
		d, err := time.ParseDuration(f[1])
		require.NoError(t, err)
		w.wait(d)
	default:
		m := command.FindStringSubmatch(line)
		require.NotNil(t, m, "no such command: %s", line)
		text := strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\t`, "\t", `\x00`, "\x00").Replace(m[3])
		if m[2] == "" {
			text += "\r\n"
		}
		if m[1] == "client" {
			w.client(text)
			return
		}
		w.send(m[1], text)
	}
}

// show prints what came, connection by connection.
func show(w world) string {
	all := w.got()
	var names []string
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	out := ""
	var listener string
	var group []string
	flush := func() {
		slices.Sort(group)
		out += strings.Join(group, "")
		group = nil
	}
	for _, name := range names {
		base, _, taken := strings.Cut(name, ".")
		text := lines(base, w.names(all[name].text))
		if all[name].ended {
			text += base + "> (closed)\n"
		}
		if text == "" {
			continue
		}
		if !taken {
			flush()
			out += text
			continue
		}
		if listener != base {
			flush()
			listener = base
		}
		if !forNothing.MatchString(text) {
			group = append(group, text)
		}
	}
	flush()
	return out
}

// lines prints what came over a connection.
func lines(name, text string) string {
	var shown, interest []string
	flush := func() {
		slices.Sort(interest)
		shown = append(shown, interest...)
		interest = nil
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
		switch {
		case line == "" || line == "PING" || line == "PONG" || strings.Contains(line, "$SYS."):
			continue
		case strings.HasPrefix(line, "RS+ ") || strings.HasPrefix(line, "RS- "):
			interest = append(interest, line)
			continue
		case strings.HasPrefix(line, "INFO "):
			line = "INFO " + shortInfo(strings.TrimPrefix(line, "INFO "))
		case strings.HasPrefix(line, "CONNECT "):
			line = "CONNECT " + shortConnect(strings.TrimPrefix(line, "CONNECT "))
		}
		flush()
		shown = append(shown, line)
	}
	flush()
	out := ""
	for _, line := range shown {
		out += name + "> " + line + "\n"
	}
	return out
}

var infoKeys = []string{
	"server_id", "server_name", "host", "port", "ip", "cluster", "cluster_dynamic", "headers", "auth_required", "tls_required", "tls_verify", "connect_urls",
	"ldm", "compression", "import", "export", "lnoc", "lnocu", "route_pool_size", "route_pool_idx", "route_account",
	"route_acc_add_reqid", "gossip_mode",
}

var connectKeys = []string{"echo", "verbose", "pedantic", "user", "pass", "tls_required", "headers", "name", "cluster", "cluster_dynamic", "lnoc"}

// forNothing is a connection that was dialled and not used: how many of these there are is a
// matter of luck.
var forNothing = regexp.MustCompile(`^\S+> CONNECT .*\n\S+> \(closed\)\n$`)

func shortInfo(text string) string    { return short(text, infoKeys) }
func shortConnect(text string) string { return short(text, connectKeys) }

// short prints some members of a JSON object.
func short(text string, keys []string) string {
	var members map[string]json.RawMessage
	if err := json.Unmarshal([]byte(text), &members); err != nil {
		return "not JSON: " + text
	}
	var parts []string
	for _, k := range keys {
		if v, ok := members[k]; ok {
			parts = append(parts, k+"="+string(v))
		}
	}
	return strings.Join(parts, " ")
}

func TestScripts(t *testing.T) {
	scripts.Run(t, "testdata/*.txt", func(t *testing.T, text string) string { return runScript(t, newSimWorld(t), text) })
}

// TestScriptsAreTrueOfTheOfficialServer runs the scripts against the program that the environment
// variable NATS_SERVER names.
func TestScriptsAreTrueOfTheOfficialServer(t *testing.T) {
	program := os.Getenv("NATS_SERVER")
	if program == "" {
		t.Skip("NATS_SERVER does not name a server to compare with")
	}
	scripts.Each(t, "testdata/*.txt", func(t *testing.T, s *scripts.Script) {
		if strings.HasPrefix(s.Text, ours) {
			t.Skip("the script says that the other server differs")
		}
		s.Hold(t, runScript(t, newProcessWorld(t, program), s.Text), *record)
	})
}

var (
	serverKey = regexp.MustCompile(`\bN[A-Z2-7]{55}\b`)
	peerURL   = regexp.MustCompile(`nats-route://[a-z0-9.]+:6222/`)
	dynamic   = regexp.MustCompile(`\b[0-9A-Za-z]{22}\b`)
)

// commonNames replaces what differs in any world.
func commonNames(text string) string {
	text = serverKey.ReplaceAllString(text, "SERVER")
	text = peerURL.ReplaceAllString(text, "nats-route://PEER:6222/")
	return dynamic.ReplaceAllString(text, "GENERATED")
}

func port(n int) string { return fmt.Sprint(n) }
