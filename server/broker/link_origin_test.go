package broker_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// sent keeps what is written to a link from now on, and gives it.
func (l *linkIn) sent() (take func() string) {
	var text strings.Builder
	l.watch = func(p []byte) { text.Write(p) }
	return func() string {
		s := text.String()
		text.Reset()
		return s
	}
}

// TestInterestOfLeafnodes: what other servers have of leafnodes is interest of its own kind. Queue
// groups use it last, and it does not get what came from the same cluster.
func TestInterestOfLeafnodes(t *testing.T) {
	s := newScript(t, "")
	strand := s.clock.NewStrand("link")
	one, two, three := newLinkIn(s.broker, strand, "1"), newLinkIn(s.broker, strand, "2"), newLinkIn(s.broker, strand, "3")
	toOne, toTwo := one.sent(), two.sent()
	pub := accept(s.broker)
	one.hear("LS+ LC $G foo\r\nLS+ LC $G bar q 5\r\nLS+ LD $G bar q 1\r\n")
	two.hear("RS+ $G bar q 1\r\n")
	require.Equal(t, 3, one.link.Stats().Subscriptions)
	require.Equal(t, "LC", one.link.Subscriptions()[0].Origin)

	pub.say("PUB foo 1\r\n1\r\n")
	require.Equal(t, "RMSG $G foo 1\r\n1\r\n", toOne())
	for range 20 {
		pub.say("PUB bar 1\r\n2\r\n")
	}
	require.Empty(t, toOne(), "a member elsewhere comes before leafnodes")
	require.Equal(t, strings.Repeat("RMSG $G bar | q 1\r\n2\r\n", 20), toTwo())

	two.hear("RS- $G bar q\r\n")
	pub.say("PUB bar r 1\r\n3\r\n")
	require.Equal(t, "RMSG $G bar + r q 1\r\n3\r\n", toOne())

	// From a leafnode of another server: on, only for a queue group, and never to its own cluster.
	three.hear("LMSG LD $G foo 0 1\r\n4\r\nLMSG LD $G bar | q 0 1\r\n5\r\n")
	require.Equal(t, "LMSG LD $G bar | q 0 1\r\n5\r\n", toOne())
	one.parser.OriginInUnsub = true
	one.hear("LS- LC $G bar q\r\n")
	three.hear("LMSG LD $G bar | q 0 1\r\n6\r\n")
	require.Empty(t, toOne(), "LD alone is left, where it came from")
	three.hear("LMSG LE $G bar | q 12 13\r\nNATS/1.0\r\n\r\n7\r\n")
	require.Equal(t, "LMSG LE $G bar | q 12 13\r\nNATS/1.0\r\n\r\n7\r\n", toOne())

	one.parser.OriginInUnsub = false
	one.hear("LS- $G bar q\r\nLS- $G foo\r\n")
	require.Zero(t, one.link.Stats().Subscriptions)
	require.Zero(t, s.broker.NumSubscriptions())
}

// TestOneMessagePerServer: of two connections to one server, such as one whose end was not noticed, a message
// takes the newer.
func TestOneMessagePerServer(t *testing.T) {
	s := newScript(t, "")
	strand := s.clock.NewStrand("link")
	older, newer := newLinkIn(s.broker, strand, "same"), newLinkIn(s.broker, strand, "same")
	toOlder, toNewer := older.sent(), newer.sent()
	pub := accept(s.broker)
	newer.hear("RS+ $G foo\r\nRS+ $G foo q 1\r\n")
	older.hear("RS+ $G foo\r\nRS+ $G foo.* q 1\r\n")
	pub.say("PUB foo 1\r\n1\r\n")
	require.Empty(t, toOlder())
	require.Equal(t, "RMSG $G foo | q 1\r\n1\r\n", toNewer())
	newer.link.Close()
	pub.say("PUB foo 1\r\n2\r\n")
	require.Equal(t, "RMSG $G foo 1\r\n2\r\n", toOlder())
}

// TestInvalidInterest: what is no subject is told to the peer, and leaves nothing.
func TestInvalidInterest(t *testing.T) {
	s := newScript(t, "")
	l := newLinkIn(s.broker, s.clock.NewStrand("link"), "peer")
	require.PanicsWithValue(t, `Invalid Subscription after "RS+ $G foo..bar\r\n"`, func() { l.hear("RS+ $G foo..bar\r\n") })
	require.Zero(t, l.link.Stats().Subscriptions)
}
