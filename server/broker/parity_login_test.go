package broker_test

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
)

// TestRelogin: a second CONNECT changes user and account and drops the subscriptions.
func TestRelogin(t *testing.T) {
	s := newScript(t, `accounts {
		A { users: [{user: a, password: a, permissions: {publish: "only"}}], limits {max_payload: 10} }
		B { users: [{user: b, password: b}] } }`)
	s.say("x", `CONNECT {"verbose":false,"pedantic":false,"protocol":1,"user":"a","pass":"a"}`, "PING", "SUB foo 1", "PUB foo 0\r\n")
	require.Contains(t, s.told("x"), `-ERR 'Permissions Violation for Publish to "foo"'`)
	s.say("b", `CONNECT {"verbose":false,"user":"b","pass":"b"}`, "SUB foo 1")
	s.told("b")
	s.say("x", `CONNECT {"user":"b","pass":"b"}`, "PING", "PUB foo 20\r\n12345678901234567890")
	text := s.told("x")
	require.NotContains(t, text, "-ERR")
	require.NotContains(t, text, "MSG", "the subscription of before is gone")
	require.Equal(t, "MSG foo 1 20\r\n12345678901234567890\r\n", strings.TrimPrefix(s.told("b"), "PING\r\n"))
	a, b := s.broker.LookupAccount("A"), s.broker.LookupAccount("B")
	require.Equal(t, []int{0, 2}, []int{a.NumConnections(), b.NumConnections()})
	s.say("x", `CONNECT {"user":"a","pass":"wrong"}`)
	require.Contains(t, s.told("x"), "-ERR 'Authorization Violation'")
	require.Equal(t, []string{"Authentication Failure"}, s.reasons())
}

// TestConnectionTypes: a user for other kinds of connections does not get in by a socket.
func TestConnectionTypes(t *testing.T) {
	s := newScript(t, `authorization { users: [
		{user: any, password: p}
		{user: std, password: p, allowed_connection_types: [standard]}
		{user: ws, password: p, allowed_connection_types: [WEBSOCKET, MQTT]}
		{user: pipe, password: p, allowed_connection_types: [IN_PROCESS]} ] }`)
	for user, in := range map[string]bool{"any": true, "std": true, "ws": false, "pipe": false} { //lockstep:ordered each is asked alone
		s.say(user, fmt.Sprintf(`CONNECT {"verbose":true,"user":%q,"pass":"p"}`, user))
		text := s.told(user)
		require.Equal(t, in, strings.HasSuffix(text, "+OK\r\n"), user)
		require.Equal(t, !in, strings.Contains(text, "-ERR 'Authorization Violation'"), user)
	}
}

// TestNkeyLogin: the client signs the nonce of its INFO, in either base64.
func TestNkeyLogin(t *testing.T) {
	good, bad := newVouch(t, nkeys.PrefixByteUser, 1), newVouch(t, nkeys.PrefixByteUser, 2)
	s := newScript(t, "authorization { users: [ {nkey: "+good.key+", permissions: {publish: x}} ] }")
	try := func(name string, signer vouch, std bool) string {
		s.open(name)
		s.settle()
		sig := signer.sign(t, s.nonce(name))
		if std {
			raw, err := base64.RawURLEncoding.DecodeString(sig)
			require.NoError(t, err)
			sig = base64.StdEncoding.EncodeToString(raw)
		}
		s.told(name)
		s.say(name, fmt.Sprintf(`CONNECT {"verbose":false,"nkey":%q,"sig":%q}`, good.key, sig), "PUB y 0\r\n")
		return s.told(name)
	}
	denied := "-ERR 'Permissions Violation for Publish to \"y\"'\r\n"
	require.Equal(t, denied, try("url", good, false))
	require.Equal(t, denied, try("std", good, true))
	require.Equal(t, "-ERR 'Authorization Violation'\r\n", try("other", bad, false))
}

// TestControlLineBoundary: the limit is on the arguments alone, of whatever verb.
func TestControlLineBoundary(t *testing.T) {
	for _, tc := range []struct {
		size int
		over bool
	}{{256, false}, {257, true}} {
		for _, line := range []string{
			"SUB " + strings.Repeat("a", tc.size-2) + " 1",
			"SUB   \t" + strings.Repeat("a", tc.size-2) + " 1", // blanks after the verb do not count
			"UNSUB " + strings.Repeat("a", tc.size-2) + " 1",
			"PUB " + strings.Repeat("a", tc.size-2) + " 0\r\n",
			`CONNECT {"name":"` + strings.Repeat("a", tc.size-11) + `"}`,
		} {
			s := newScript(t, "max_control_line: 256")
			s.say("a", line)
			verb, _, _ := strings.Cut(line, " ")
			if !tc.over {
				require.NotContains(t, s.told("a"), "-ERR", "%s %d", verb, tc.size)
				require.Empty(t, s.reasons())
				continue
			}
			require.True(t, strings.HasSuffix(s.told("a"), "-ERR 'maximum control line exceeded'\r\n"), "%s %d", verb, tc.size)
			require.Equal(t, []string{"Maximum Control Line Exceeded"}, s.reasons())
		}
	}
}

// proxyV2 is a binary PROXY header; family 0x11 is TCP over IPv4, 0x21 over IPv6.
func proxyV2(command, family byte, block []byte) string {
	h := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x20|command, family, 0, 0)
	binary.BigEndian.PutUint16(h[14:], uint16(len(block)))
	return string(append(h, block...))
}

// TestProxyProtocol: the client's address is the one that the load balancer states; a
// header that is wrong ends the connection without a text.
func TestProxyProtocol(t *testing.T) {
	v4 := []byte{192, 0, 2, 7, 10, 0, 0, 1, 0x30, 0x39, 0x10, 0x7e}
	v6 := append(append([]byte{0x20, 0x01, 0x0d, 0xb8, 15: 1}, make([]byte, 16)...), 0x30, 0x39, 0x10, 0x7e)
	tlv := append(append([]byte{}, v4...), 4, 0, 1, 0)
	for _, tc := range []struct {
		name, header, host string
		port               int
	}{
		{"version 1", "PROXY TCP4 192.0.2.7 10.0.0.1 12345 4222\r\n", "192.0.2.7", 12345},
		{"version 1, IPv6", "PROXY TCP6 2001:db8::1 ::1 12345 4222\r\n", "2001:db8::1", 12345},
		{"version 1, unknown", "PROXY UNKNOWN\r\n", "client-a", 0},
		{"version 2", proxyV2(1, 0x11, v4), "192.0.2.7", 12345},
		{"version 2, IPv6", proxyV2(1, 0x21, v6), "2001:db8::1", 12345},
		{"version 2, more fields", proxyV2(1, 0x11, tlv), "192.0.2.7", 12345},
		{"version 2, local", proxyV2(0, 0, nil), "client-a", 0},
		{"wrong family", "PROXY TCP4 2001:db8::1 ::1 12345 4222\r\n", "", 0},
		{"wrong port", "PROXY TCP4 192.0.2.7 10.0.0.1 x 4222\r\n", "", 0},
		{"too long", "PROXY TCP4 " + strings.Repeat("1", 100) + "\r\n", "", 0},
		{"version 2, short block", proxyV2(1, 0x11, v4[:8]), "", 0},
		{"version 2, datagram", proxyV2(1, 0x12, v4), "", 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			for _, cut := range []bool{false, true} {
				s := newScript(t, "proxy_protocol: true")
				s.open("a")
				s.settle()
				bytes := tc.header + quietly + "\r\nPING\r\n"
				if cut {
					for i := range len(bytes) {
						s.clients["a"].conn.Write([]byte(bytes[i : i+1]))
						s.clients["a"].conn.Flush()
						s.sim.RunFor(time.Millisecond)
					}
				} else {
					s.clients["a"].conn.Write([]byte(bytes))
					s.clients["a"].conn.Flush()
				}
				s.settle()
				text := s.told("a")
				if tc.host == "" {
					require.Zero(t, s.broker.NumClients())
					require.NotContains(t, text, "-ERR")
					require.NotContains(t, text, "PONG")
					continue
				}
				require.Contains(t, text, "PONG\r\n")
				require.Equal(t, 1, s.broker.NumClients())
				st := s.broker.Clients()[0].State(false)
				require.Equal(t, tc.host, st.Host)
				if tc.port != 0 {
					require.Equal(t, tc.port, st.Port)
				}
			}
		})
	}
}

// TestProxyHeaderIsAwaited: whoever sends nothing is closed in time.
func TestProxyHeaderIsAwaited(t *testing.T) {
	s := newScript(t, "proxy_protocol: true")
	s.open("a")
	s.sim.RunFor(4 * time.Second)
	require.Equal(t, 1, s.broker.NumClients())
	s.sim.RunFor(2 * time.Second)
	require.Zero(t, s.broker.NumClients())
}

// TestEveryoneElsesReason: close reasons that no text goes with, or that others decide.
func TestEveryoneElsesReason(t *testing.T) {
	s := newScript(t, "max_connections: 4")
	for _, name := range []string{"a", "b", "c", "d", "e"} {
		s.say(name, quietly)
	}
	require.Equal(t, []string{"Maximum Connections Exceeded"}, s.reasons())
	require.Contains(t, s.told("e"), "INFO {", "INFO comes first")
	s.net.Reset(s.pair("a"))
	s.run("close b")
	s.settle()
	require.Equal(t, []string{"Read Error", "Client Closed"}, s.reasons()[1:])
	done := false
	s.broker.Shutdown(s.sim.Clock("server").NewStrand("test"), func() { done = true })
	s.sim.RunFor(time.Second)
	require.True(t, done)
	require.Equal(t, []string{"Server Shutdown", "Server Shutdown"}, s.reasons()[3:])
	require.NotContains(t, s.told("c")+s.told("d"), "-ERR")
}
