package broker_test

import (
	"fmt"
	"regexp"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/server/test/scripts"
)

// script runs one file of testdata against a broker in simulation. A file has
// blocks of commands, then `----`, then everything that the clients received.
//
//	config            the lines up to ---- are the server's configuration
//	open a            client a connects; its INFO is shown as the keys that matter
//	a: PUB foo 2\r\nhi  sends the text and CRLF; escapes are Go's
//	a raw: ...        sends the text without CRLF
//	close a           client a goes away
//	wait 2s           virtual time passes
//	connz             the connections that ended, with their reasons
type script struct {
	t       *testing.T
	sim     *clock.Sim
	clock   clock.Clock // the server's
	net     *netsim.Sim
	broker  *broker.Broker
	log     *logging.Switch
	clients map[string]*scriptClient
}

type scriptClient struct {
	conn netsim.Conn
	got  []byte
	end  string
}

func (c *scriptClient) Data(p []byte)    { c.got = append(c.got, p...) }
func (c *scriptClient) Closed(err error) { c.end = err.Error() }

func newScript(t *testing.T, text string) *script {
	o := &config.Options{}
	require.NoError(t, o.ProcessConfigString(text))
	o.SetBaseline()
	require.NoError(t, o.Validate())
	sim := clock.NewSim(1)
	s := &script{t: t, sim: sim, net: netsim.NewSim(sim), clients: map[string]*scriptClient{}, log: logging.NewSwitch()}
	c := sim.Clock("server")
	b, err := broker.New(broker.Config{
		Clock: c, Log: s.log, Options: o, Identity: broker.Identity{ServerID: "NSCRIPT", ServerName: "script"},
	})
	require.NoError(t, err)
	s.broker, s.clock = b, c
	_, err = s.net.Host("server").Listen(c.NewStrand("listen"), "server:4222", b.Accept)
	require.NoError(t, err)
	return s
}

// settle lets everything happen that is due in the next half second.
func (s *script) settle() { s.sim.RunFor(500 * time.Millisecond) }

func (s *script) open(name string) {
	c := &scriptClient{}
	s.clients[name] = c
	strand := s.sim.Clock("client-" + name).NewStrand(name)
	s.net.Host("client-"+name).Dial(strand, "server:4222", netsim.DialOptions{}, func(conn netsim.Conn, err error) {
		require.NoError(s.t, err)
		c.conn = conn
		conn.Start(strand, c)
	})
}

func (s *script) send(name, text string) {
	c := s.clients[name]
	require.NotNil(s.t, c, "client %q is not open", name)
	unquoted := strings.NewReplacer(`\r`, "\r", `\n`, "\n", `\t`, "\t", `\x00`, "\x00").Replace(text)
	c.conn.Write([]byte(unquoted))
	c.conn.Flush()
}

var command = regexp.MustCompile(`^(\w+)( raw)?: ?(.*)$`)

func (s *script) run(line string) string {
	f := strings.Fields(line)
	switch f[0] {
	case "open":
		s.open(f[1])
	case "close":
		s.clients[f[1]].conn.Close(netsim.ErrClosed)
	case "wait":
		d, err := time.ParseDuration(f[1])
		require.NoError(s.t, err)
		s.sim.RunFor(d)
	case "connz":
		s.settle()
		out := ""
		for _, c := range s.broker.Closed() {
			out += fmt.Sprintf("closed cid=%d %s\n", c.ID, c.Reason)
		}
		return out + fmt.Sprintf("open=%d subs=%d\n", s.broker.NumClients(), s.broker.NumSubscriptions())
	default:
		m := command.FindStringSubmatch(line)
		require.NotNil(s.t, m, "no such command: %s", line)
		end := `\r\n`
		if m[2] != "" {
			end = ""
		}
		s.send(m[1], m[3]+end)
	}
	return ""
}

var infoKeys = regexp.MustCompile(`"(auth_required|max_payload|ldm|connect_info|remote_account|acc_is_sys|nonce|headers)":("[^"]*"|\w+)`)

// received prints what each client got since the last time.
func (s *script) received() string {
	var names []string
	for name := range s.clients {
		names = append(names, name)
	}
	sort.Strings(names)
	out := ""
	for _, name := range names {
		c := s.clients[name]
		text := strings.ReplaceAll(string(c.got), "\r\n", "\n")
		c.got = nil
		for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
			if text == "" {
				continue
			}
			if strings.HasPrefix(line, "INFO ") {
				line = "INFO " + strings.Join(infoKeys.FindAllString(line, -1), " ")
			}
			out += name + "> " + line + "\n"
		}
		if c.end != "" && c.end != "told" {
			out += name + "> (" + c.end + ")\n"
			c.end = "told"
		}
	}
	return out
}

func TestScripts(t *testing.T) { scripts.Run(t, "testdata/*.txt", runScript) }

func runScript(t *testing.T, text string) string {
	var s *script
	return scripts.Blocks(text, func(in string) (out string) {
		if conf, isConf := strings.CutPrefix(in, "config\n"); isConf {
			s = newScript(t, conf)
			return ""
		}
		if s == nil {
			s = newScript(t, "")
		}
		for line := range scripts.Commands(in) {
			out += s.run(line)
			s.settle()
		}
		return s.received() + out
	})
}
