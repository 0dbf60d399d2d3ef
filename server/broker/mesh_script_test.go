package broker_test

import (
	"fmt"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/test/scripts"
)

// meshScript runs one file of testdata/links against several brokers. A file has blocks of
// commands, then `----`, then everything that clients and other servers received.
//
//	config                      the lines up to ---- are the configuration of servers to come
//	servers A B C               start, joined to each other by nothing
//	tie A B                     connects two; `account=X` serves that account alone, `noheaders`,
//	                            `import=s` and `export=s` name what A tells B and takes from it
//	hold A B 700ms              nothing that A sends to B arrives for so long
//	wait 1s                     virtual time passes
//	cut A B                     closes the connections between two
//	open a A [user]             client a connects to A
//	a: PUB foo 2\r\nhi          sends the text and CRLF
//	close a                     client a goes away
//	reload A                    the lines up to ---- are its configuration from now on
//	stats A                     what links of A count
type meshScript struct {
	*mesh
	conf    string
	clients map[string]*meshClient
	seen    map[*linkEnd]int
}

func (s *meshScript) run(line, rest string) (out string) {
	f := strings.Fields(line)
	switch f[0] {
	case "servers":
		if s.mesh == nil {
			s.mesh = newMesh(s.t, 1, s.conf)
		}
		for _, name := range f[1:] {
			s.start(name, s.conf)
		}
	case "tie":
		s.tie(f[1], f[2], s.parseTie(f[3:]))
	case "cut":
		s.cut(f[1], f[2])
	case "hold":
		d, err := time.ParseDuration(f[3])
		require.NoError(s.t, err)
		s.net.Clog(f[1], f[2], d)
	case "wait":
		d, err := time.ParseDuration(f[1])
		require.NoError(s.t, err)
		s.sim.RunFor(d)
	case "open":
		c := s.client(f[1], f[2])
		s.clients[f[1]] = c
		s.settle()
		user := ""
		if len(f) > 3 {
			user = fmt.Sprintf(`,"user":%q,"pass":"p"`, f[3])
		}
		c.say("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true%s}\r\n", user)
	case "close":
		s.clients[f[1]].conn.Close(nil)
	case "reload":
		require.NoError(s.t, s.nodes[f[1]].broker.Reload(meshOptions(s.t, rest)))
	case "stats":
		st := s.nodes[f[1]].broker.Stats()
		out += fmt.Sprintf("%s: clients in=%d out=%d routes in=%d out=%d\n", f[1], st.In.Msgs.Load(), st.Out.Msgs.Load(), st.RoutesIn.Msgs.Load(), st.RoutesOut.Msgs.Load())
		for _, e := range s.nodes[f[1]].ends {
			if x := e.link.Stats(); !e.closed {
				out += fmt.Sprintf("%s-%s: in=%d/%d out=%d/%d subs=%d pending=%d\n", f[1], e.to.name, x.InMsgs, x.InBytes, x.OutMsgs, x.OutBytes, x.Subscriptions, x.Pending)
			}
		}
	default:
		name, text, ok := strings.Cut(line, ": ")
		require.True(s.t, ok, "no such command: %s", line)
		s.clients[name].say("%s\r\n", strings.NewReplacer(`\r`, "\r", `\n`, "\n").Replace(text))
	}
	return out
}

func (s *meshScript) parseTie(options []string) (t tie) {
	set := func(p perm.Permissions) *perm.Set {
		compiled, err := perm.Compile(&p)
		require.NoError(s.t, err)
		return compiled
	}
	for _, o := range options {
		key, value, _ := strings.Cut(o, "=")
		allow := &perm.SubjectPermission{Allow: []string{value}}
		switch key {
		case "account":
			t.account = value
		case "noheaders":
			t.noHeaders = true
		case "import":
			t.imports = set(perm.Permissions{Publish: allow})
		case "export":
			t.export = set(perm.Permissions{Subscribe: allow})
		}
	}
	return t
}

// received prints what each server and each client got since the last time.
func (s *meshScript) received() (out string) {
	for _, at := range s.names {
		for _, e := range s.nodes[at].ends {
			if s.seen[e] > len(e.heard) || s.seen[e] < 0 {
				continue
			}
			text := string(e.heard[s.seen[e]:])
			s.seen[e] = len(e.heard)
			out += shownLines(e.to.name+">"+at+" ", text)
			if e.closed {
				s.seen[e] = -1
				out += e.to.name + ">" + at + " (closed)\n"
			}
		}
	}
	var names []string
	for name := range s.clients {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		c := s.clients[name]
		out += shownLines(name+"> ", strings.Join(c.take(), "\r\n"))
		if c.end != nil {
			out += name + "> (closed)\n"
			delete(s.clients, name)
		}
	}
	return out
}

func shownLines(prefix, text string) (out string) {
	if text == "" {
		return ""
	}
	for line := range strings.SplitSeq(strings.TrimSuffix(text, "\r\n"), "\r\n") {
		out += strings.TrimRight(prefix+line, " ") + "\n"
	}
	return out
}

func TestMeshScripts(t *testing.T) { scripts.Run(t, "testdata/links/*.txt", runMeshScript) }

func runMeshScript(t *testing.T, text string) string {
	s := &meshScript{mesh: newMesh(t, 1, ""), clients: map[string]*meshClient{}, seen: map[*linkEnd]int{}}
	return scripts.Blocks(text, func(in string) (out string) {
		first, rest, _ := strings.Cut(in, "\n")
		for strings.HasPrefix(first, "#") {
			first, rest, _ = strings.Cut(rest, "\n")
		}
		switch {
		case first == "config":
			s.conf = rest
			return ""
		case strings.HasPrefix(first, "reload "):
			s.run(first, rest)
		default:
			for line := range scripts.Commands(in) {
				out += s.run(line, "")
				s.settle()
			}
		}
		s.sim.RunFor(time.Second)
		return s.received() + out
	})
}
