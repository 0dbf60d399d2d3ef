package cluster_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/lane"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// laneEnd is what a server's lane tells, and a check of the promises of [lane.Handler].
type laneEnd struct {
	t      require.TestingT
	events []string
	up     map[core.MemberID]lane.Peer
	last   map[core.MemberID]int // number of the last frame since the member came up
	frames int
}

func newLaneEnd(t require.TestingT) *laneEnd {
	return &laneEnd{t: t, up: map[core.MemberID]lane.Peer{}, last: map[core.MemberID]int{}}
}

func (e *laneEnd) Up(p lane.Peer) {
	require.NotContains(e.t, e.up, p.Member, "came up twice")
	e.up[p.Member], e.last[p.Member] = p, 0
	e.events = append(e.events, "up "+p.ServerName+" "+p.ServerID)
}

func (e *laneEnd) Down(id core.MemberID) {
	require.Contains(e.t, e.up, id, "went down that was not up")
	e.events = append(e.events, "down "+e.up[id].ServerName)
	delete(e.up, id)
}

// Frame takes frames that hold a number which rises, and filling.
func (e *laneEnd) Frame(from core.MemberID, p []byte) {
	require.Contains(e.t, e.up, from, "a frame of who is not up")
	var n, size int
	_, err := fmt.Sscanf(string(p), "%d %d ", &n, &size)
	require.NoError(e.t, err)
	require.Equal(e.t, laneFrame(n, size), p)
	require.Greater(e.t, n, e.last[from], "frames out of order")
	e.last[from] = n
	e.frames++
}

func laneFrame(n, size int) []byte {
	return append(fmt.Appendf(nil, "%d %d ", n, size), strings.Repeat(string(rune('a'+n%26)), size)...)
}

func (e *laneEnd) took() []string {
	events := e.events
	e.events = nil
	return events
}

// laneWorld is one server with a lane, number 5, and peers that speak to it as told.
type laneWorld struct {
	*pair
	log *logLines
}

// logLines keeps what a server says.
type logLines struct{ errors []string }

func (l *logLines) Errorf(format string, v ...any) {
	l.errors = append(l.errors, fmt.Sprintf(format, v...))
}
func (*logLines) Noticef(string, ...any) {}
func (*logLines) Warnf(string, ...any)   {}
func (*logLines) Fatalf(string, ...any)  {}
func (*logLines) Debugf(string, ...any)  {}
func (*logLines) Tracef(string, ...any)  {}

func newLaneWorld(t *testing.T, block string) *laneWorld {
	sim := clock.NewSim(3)
	w := &laneWorld{pair: &pair{t: t, sim: sim, net: netsim.NewSim(sim)}, log: &logLines{}}
	text := "no_system_account: true\ncluster { name: C, listen: \"server:6222\", pool_size: -1\n" + block + " }"
	o := lane.DefaultOptions(5)
	w.node = startLaneNode(t, sim, w.net, "server", simServerID, options(t, text), &o)
	w.node.log.Set(w.log)
	return w
}

var nonceKey = regexp.MustCompile(`"nonce":"([^"]*)"`)

// greeted opens a connection and gives the nonce of its INFO.
func (w *laneWorld) greeted(name string) (*simPeer, string) {
	p := w.open(name, 6222)
	info := p.took()
	require.Contains(w.t, info, `"lockstep":{"member":"5","lane":1}`)
	m := nonceKey.FindStringSubmatch(info)
	require.NotNil(w.t, m)
	return p, m[1]
}

const laneHello = `LANE {"lane":1,"member":"%d","server_id":"%s","server_name":"%s","cluster":"%s","user":"u","pass":"p","nonce":"mine","answers":"%s"}` + "\r\n"

func TestLaneIsAnswered(t *testing.T) {
	w := newLaneWorld(t, `authorization { user: u, password: p }`)
	p, nonce := w.greeted("p")
	hello := fmt.Sprintf(laneHello, 2, "NP", "P", "C", nonce)
	for _, c := range hello[:len(hello)-3] {
		w.send(p, string(c))
	}
	require.Empty(t, p.took())
	w.send(p, hello[len(hello)-3:]+"\x05\x00\x00\x00\x01"+"1 1 b"+"\x08\x00\x00\x00\x02abcdefgh"+"\x05\x00")
	answer, frames, found := strings.Cut(p.took(), "\r\n")
	require.True(t, found)
	require.Regexp(t, `^LANE \{"lane":1,"member":"5","server_id":"`+simServerID+`","server_name":"server","cluster":"C","nonce":"[^"]+","answers":"mine"\}$`, answer)
	require.NotContains(t, answer, nonce+`","answers":"`+nonce)
	require.Equal(t, "\x08\x00\x00\x00\x02", frames[:5], "a ping")
	require.Equal(t, "\x08\x00\x00\x00\x03abcdefgh", frames[13:], "and a pong")
	require.Equal(t, []string{"up P NP"}, w.node.heard.took())
	require.Equal(t, 1, w.node.heard.frames)
	require.Zero(t, w.node.cluster.NumRoutes())
	w.send(p, "\x00\x00\x01"+"2 1 c")
	require.Equal(t, 2, w.node.heard.frames)

	require.True(t, w.node.lane.Send(2, []byte("hi")))
	w.sim.RunFor(10 * time.Millisecond)
	require.Equal(t, "\x02\x00\x00\x00\x01hi", p.took())
	p.conn.Close(nil)
	w.sim.RunFor(10 * time.Millisecond)
	require.Equal(t, []string{"down P"}, w.node.heard.took())
}

func TestLaneIsRefused(t *testing.T) {
	for _, tc := range []struct {
		name  string
		hello string // NONCE stands for that of INFO
		err   string // what the peer is told; empty: nothing
		log   string
	}{
		{"wrong password", `LANE {"lane":1,"member":"2","server_id":"NP","server_name":"P","cluster":"C","user":"u","pass":"q","answers":"NONCE"}`, "Authorization Violation", "Authorization Violation"},
		{"no login", `LANE {"lane":1,"member":"2","server_id":"NP","server_name":"P","cluster":"C","answers":"NONCE"}`, "Authorization Violation", "Authorization Violation"},
		{"wrong cluster", fmt.Sprintf(laneHello, 2, "NP", "P", "D", "NONCE"), `Rejecting lane, cluster name "D" does not match "C"`, `cluster name "D" does not match "C"`},
		{"other connection's nonce", fmt.Sprintf(laneHello, 2, "NP", "P", "C", "other"), "Rejecting lane, the nonce is not that of this connection", "nonce"},
		{"this server's number", fmt.Sprintf(laneHello, 5, "NP", "P", "C", "NONCE"),
			`Rejecting lane to server "server" (` + simServerID + `): server "P" (NP) claims member number 5, which is this server's`, `server "P" (NP)`},
		{"higher number", fmt.Sprintf(laneHello, 6, "NP", "P", "C", "NONCE"), "Rejecting lane, member 6 is dialled by 5", "member 6"},
		{"number 0", fmt.Sprintf(laneHello, 0, "NP", "P", "C", "NONCE"), "Authorization Violation", "member number 0 is nobody's"},
		{"no number", `LANE {"lane":1,"server_id":"NP"}`, "Authorization Violation", "member number 0 is nobody's"},
		{"number is no string", `LANE {"lane":1,"member":7,"server_id":"NP"}`, "Authorization Violation", "not the JSON that is wanted"},
		{"no JSON", `LANE you`, "Authorization Violation", "not the JSON that is wanted"},
		{"other verb", `LS+ $G foo`, "Authorization Violation", "line is not LANE"},
		{"endless", "LANE " + strings.Repeat("x", 17<<10), "Authorization Violation", "LANE line is longer than 16384 bytes"},
		{"an error", `L` + "\r\n" + `-ERR 'no'`, "Authorization Violation", "line is not LANE"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newLaneWorld(t, `authorization { user: u, password: p }`)
			p, nonce := w.greeted("p")
			w.send(p, strings.TrimSuffix(strings.ReplaceAll(tc.hello, "NONCE", nonce), "\r\n")+"\r\n")
			require.True(t, p.end)
			require.Equal(t, "-ERR '"+tc.err+"'\r\n", p.took())
			require.Contains(t, strings.Join(w.log.errors, "\n"), tc.log)
			require.Empty(t, w.node.heard.events)
		})
	}
}

// TestNobodyHasALaneWithoutOne: a server without a lane says nothing of one, and refuses LANE as it does all
// that is not CONNECT.
func TestNobodyHasALaneWithoutOne(t *testing.T) {
	p := newPair(t, "")
	require.NotContains(t, p.peer.took(), "lockstep")
	p.send(p.peer, fmt.Sprintf(laneHello, 2, "NP", "P", "C", ""))
	require.Equal(t, "-ERR 'Authorization Violation'\r\n", p.peer.took())
}

// TestLaneThatIsSlow: a handshake that does not end is ended.
func TestLaneThatIsSlow(t *testing.T) {
	w := newLaneWorld(t, `authorization { user: u, password: p, timeout: 2 }`)
	p, _ := w.greeted("p")
	w.send(p, "LA")
	w.sim.RunFor(1900 * time.Millisecond)
	require.False(t, p.end)
	w.sim.RunFor(200 * time.Millisecond)
	require.True(t, p.end)
	require.Equal(t, "-ERR 'Authentication Timeout'\r\n", p.took())
}

// TestTwoOfOneNumber: the second of two servers that claim a number is refused, and the log names both.
func TestTwoOfOneNumber(t *testing.T) {
	w := newLaneWorld(t, "")
	p, nonce := w.greeted("p")
	w.send(p, fmt.Sprintf(laneHello, 2, "NP", "P", "C", nonce))
	require.Equal(t, []string{"up P NP"}, w.node.heard.took())
	q, nonce := w.greeted("q")
	w.send(q, fmt.Sprintf(laneHello, 2, "NQ", "Q", "C", nonce))
	require.Contains(t, q.took(), `server "Q" (NQ) claims member number 2, which server "P" (NP) has`)
	require.True(t, q.end)
	require.Contains(t, w.log.errors[0], `server "Q" (NQ) claims member number 2, which server "P" (NP) has`)
	require.False(t, p.end)

	again, nonce := w.greeted("p")
	w.send(again, fmt.Sprintf(laneHello, 2, "NP2", "P", "C", nonce))
	require.True(t, p.end)
	require.Equal(t, []string{"down P", "up P NP2"}, w.node.heard.took())
}

// TestLaneIsDialled: the server with the lower number dials, and judges who answers.
func TestLaneIsDialled(t *testing.T) {
	const (
		info   = `INFO {"server_id":"NP","server_name":"P","cluster":"C","nonce":"its","lockstep":{"member":"7","lane":1}}` + "\r\n"
		answer = `LANE {"lane":1,"member":"%d","server_id":"%s","server_name":"P","cluster":"%s","nonce":"its","answers":"%s"}` + "\r\n"
	)
	for _, tc := range []struct {
		name   string
		info   string
		answer string // NONCE stands for the one that was said; empty: none is due
		log    string // empty: the lane comes up
	}{
		{"good", info, fmt.Sprintf(answer, 7, "NP", "C", "NONCE"), ""},
		{"restarted meanwhile", strings.Replace(info, "NP", "NP2", 1), fmt.Sprintf(answer, 7, "NP2", "C", "NONCE"), ""},
		{"other number", strings.Replace(info, `"7"`, `"8"`, 1), "", `Server "P" (NP) is not member 7`},
		{"no lane any more", strings.Replace(info, "lockstep", "other", 1), "", `Server "P" (NP) is not member 7`},
		{"other cluster", strings.Replace(info, `"C"`, `"D"`, 1), "", `cluster name "D" does not match "C"`},
		{"no INFO", "PONG\r\nRS+ $G foo\r\n", "", "Stale Connection"},
		{"garbage", "\x00\x01\x02\r\n", "", "Protocol Violation"},
		{"refused", info, "-ERR 'Authorization Violation'\r\n", "refused: Authorization Violation"},
		{"answers as another", info, fmt.Sprintf(answer, 7, "NQ", "C", "NONCE"), `server "P" (NP), member 7, says in LANE that it is "P" (NQ), member 7`},
		{"answers with another number", info, fmt.Sprintf(answer, 9, "NP", "C", "NONCE"), `says in LANE that it is "P" (NP), member 9`},
		{"answers from another cluster", info, fmt.Sprintf(answer, 7, "NP", "D", "NONCE"), `cluster name "D" does not match "C"`},
		{"answers another nonce", info, fmt.Sprintf(answer, 7, "NP", "C", "other"), "the nonce is not that of this connection"},
		{"garbage for an answer", info, "\x05\x00\x00\x00\x01hello\n", "line is not LANE"},
		{"no answer", info, "L", "Stale Connection"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newLaneWorld(t, `authorization { user: u, password: p }`)
			var dialled []*simPeer
			strand := w.sim.Clock("p").NewStrand("p")
			_, err := w.net.Host("p").Listen(strand, "p:7000", func(c netsim.Conn) {
				p := &simPeer{conn: c}
				dialled = append(dialled, p)
				c.Start(strand, p)
				c.Write([]byte(tc.info))
				c.Flush()
			})
			require.NoError(t, err)
			route, _ := w.greeted("p")
			w.send(route, `CONNECT {"name":"NP","cluster":"C","user":"u","pass":"p"}`+"\r\n"+
				`INFO {"server_id":"NP","server_name":"P","cluster":"C","host":"p","port":7000,"auth_required":true,"lockstep":{"member":"7","lane":1}}`+"\r\n")
			require.Len(t, dialled, 1)
			p := dialled[0]
			if tc.answer != "" {
				hello := p.took()
				require.Regexp(t, `^LANE \{"lane":1,"member":"5","server_id":"`+simServerID+
					`","server_name":"server","cluster":"C","user":"u","pass":"p","nonce":"[^"]+","answers":"its"\}\r\n$`, hello)
				w.send(p, strings.ReplaceAll(tc.answer, "NONCE", nonceKey.FindStringSubmatch(hello)[1]))
			}
			w.sim.RunFor(4 * time.Second)
			if tc.log == "" {
				require.Contains(t, w.node.heard.took()[0], "up P ")
				require.Empty(t, w.log.errors)
				return
			}
			require.Empty(t, w.node.heard.events)
			require.Contains(t, strings.Join(w.log.errors, "\n"), tc.log)
			require.True(t, p.end)
			require.Greater(t, len(dialled), 1, "it is sought on")
			require.Less(t, len(w.log.errors), 12)
		})
	}
}
