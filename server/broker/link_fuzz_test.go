package broker_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
)

// FuzzLink: whatever another server says, this one goes on, and forgets it all when the link
// ends.
func FuzzLink(f *testing.F) {
	for _, seed := range []string{
		"RS+ $G foo\r\nRS+ $G foo q 3\r\nRS- $G foo q\r\nRMSG $G foo 2\r\nhi\r\n",
		"RS+ X foo\r\nRS+ Y foo\r\nRMSG Y foo + r q q2 2\r\nhi\r\nHMSG X foo | q 12 12\r\nNATS/1.0\r\n\r\n\r\n",
		"LS+ LC X foo q 2\r\nLS+ LD X foo\r\nLS- LC X foo q\r\nLMSG LC X foo r 0 1\r\nx\r\n",
		"RMSG $G local $JS.ACK.a.b.c.d.e.f@shown 1\r\n1\r\nRMSG $G local $JS.ACK.@ 1\r\n1\r\nRMSG $G local $JS.ACK.a.b.c.d.e.f@ 0\r\n\r\n",
		"RS+ none a.b\r\nRS+ $G .\r\n", "RS+ $G > q 999999999\r\nRS+ $G > q 0\r\nRMSG $G away | q q q 1\r\n1\r\n",
		"RMSG X pub.1 1\r\n1\r\nRMSG X svc.a in 1\r\n1\r\nRMSG X _R_.000000.000000 1\r\n1\r\nRMSG Y ask.a in 1\r\n1\r\n",
	} {
		f.Add([]byte(seed), uint16(0), false)
		f.Add([]byte(seed), uint16(7), true)
	}
	f.Fuzz(func(t *testing.T, p []byte, cut uint16, pinned bool) {
		b := newBroker(t, meshAccounts)
		b.NewAnnouncer()
		strand := clock.NewSim(1).Clock("server").NewStrand("link")
		local := accept(b)
		local.say("SUB local 1\r\nSUB local q 2\r\nSUB foo q 3\r\n")
		other := newLinkIn(b, strand, "other")
		other.hear("RS+ $G away q 2\r\nRS+ X foo\r\nRS+ Y > q 1\r\n")
		before := b.NumSubscriptions()

		l := &linkIn{}
		o := broker.LinkOptions{ID: b.NextID(), Conn: &l.sink, Strand: strand, Name: "peer", RemoteID: "peer", Headers: !pinned, Origins: true}
		if pinned {
			o.Account = b.LookupAccount("X")
		}
		l.link = b.NewLink(o)
		l.parser.Pinned = pinned
		require.NoError(t, b.Reload(meshOptions(t, meshAccounts)))
		at := min(int(cut), len(p))
		for _, part := range [][]byte{p[:at], p[at:]} {
			for len(part) > 0 {
				rest, ok, err := l.parser.Next(part, &l.op)
				if err == nil && ok {
					err = l.link.Op(&l.op)
				}
				if err != nil || !ok {
					break
				}
				part = rest
			}
			l.link.EndBatch()
		}
		subs := l.link.Subscriptions()
		require.Len(t, subs, l.link.Stats().Subscriptions)
		local.say("PUB foo 1\r\n1\r\nPUB local 1\r\n1\r\n")
		for _, s := range subs[:min(len(subs), 2)] {
			l.link.DropAccount(s.Account)
			require.NotContains(t, l.link.Subscriptions(), s)
		}
		l.link.Close()
		require.Zero(t, l.link.Stats().Subscriptions)
		require.Equal(t, before, b.NumSubscriptions())
		local.say("PUB foo 1\r\n1\r\nPUB local 1\r\n1\r\n")
	})
}
