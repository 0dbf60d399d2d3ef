package broker_test

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/wire"
)

// realEnd is a link over a socket.
type realEnd struct {
	conn   netsim.Conn
	link   *broker.Link
	parser wire.RouteParser
	op     wire.RouteOp
	closed chan struct{}
}

func (e *realEnd) Data(p []byte) {
	for len(p) > 0 {
		rest, ok, err := e.parser.Next(p, &e.op)
		if err == nil && ok {
			err = e.link.Op(&e.op)
		}
		if err != nil || !ok {
			break
		}
		p = rest
	}
	e.link.EndBatch()
}

func (e *realEnd) Closed(error) {
	e.link.Close()
	close(e.closed)
}

// realLink joins two brokers by a socket.
func realLink(t *testing.T, a, b *stress, announce [2]*broker.Announcer) (ends [2]*realEnd) {
	n := netsim.NewReal()
	join := func(s *stress, to string, at *broker.Announcer, conn netsim.Conn, strand clock.Strand) *realEnd {
		e := &realEnd{conn: conn, closed: make(chan struct{})}
		e.link = s.broker.NewLink(broker.LinkOptions{ID: s.broker.NextID(), Conn: conn, Strand: strand, Name: to, RemoteID: to, Headers: true})
		at.Add(e.link, func(string) bool { return true }, nil)
		conn.Start(strand, e)
		return e
	}
	ready := make(chan *realEnd, 2)
	accept := b.clock.NewStrand("accept")
	l, err := n.Listen(accept, "127.0.0.1:0", func(c netsim.Conn) { ready <- join(b, "a", announce[1], c, b.clock.NewStrand("in")) })
	require.NoError(t, err)
	defer l.Close()
	out := a.clock.NewStrand("out")
	n.Dial(out, l.Addr(), netsim.DialOptions{}, func(c netsim.Conn, err error) {
		if err == nil {
			ready <- join(a, "b", announce[0], c, out)
		}
	})
	for range ends {
		select {
		case e := <-ready:
			if e.link.RemoteID() == "b" {
				ends[0] = e
			} else {
				ends[1] = e
			}
		case <-time.After(10 * time.Second):
			t.Fatal("no link")
		}
	}
	return ends
}

// known is what a link knows of the other server's clients.
func known(l *broker.Link) (all []string) {
	for _, s := range l.Subscriptions() {
		if !strings.HasPrefix(s.Subject, "_R_.") {
			all = append(all, fmt.Sprint(s.Account, " ", s.Subject, " ", s.Queue, " ", s.Weight))
		}
	}
	slices.Sort(all)
	return all
}

// TestLinksAtOnce lets clients of two servers come, go, publish and ask at the same time, while
// the link between them is replaced and reloads go on: in the end each server knows the
// other's interest.
func TestLinksAtOnce(t *testing.T) {
	a, b := newStress(t), newStress(t)
	announce := [2]*broker.Announcer{a.broker.NewAnnouncer(), b.broker.NewAnnouncer()}
	ends := realLink(t, a, b, announce)
	var work sync.WaitGroup
	for _, s := range []*stress{a, b} {
		for range 2 {
			work.Go(func() { s.publisher(150) })
		}
		work.Go(func() { s.subscriber("b", 30) })
		work.Go(func() { s.subscriber("p", 30) })
		work.Go(func() { s.subscriber("a", 10) })
		work.Go(func() {
			for i := range 10 {
				if err := s.broker.Reload(stressOptions(t, stressConf[(i+1)%2])); err != nil {
					t.Error(err)
				}
			}
		})
	}
	work.Go(func() {
		for range 5 {
			ends[0].conn.Close(io.EOF)
			<-ends[0].closed
			<-ends[1].closed
			ends = realLink(t, a, b, announce)
		}
	})
	work.Wait()

	for i, s := range []*stress{a, b} {
		conn, r := s.dial("b")
		defer conn.Close()
		fmt.Fprintf(conn, "SUB end.%d 1\r\nSUB end q 2\r\nSUB end q 3\r\n", i)
		s.sync(conn, r)
	}
	settled := func() bool {
		for i, e := range ends {
			want := []string{"B end q 2", fmt.Sprintf("B end.%d  1", 1-i)}
			if !slices.Equal(known(e.link), want) {
				return false
			}
		}
		return true
	}
	require.Eventually(t, settled, 20*time.Second, 5*time.Millisecond, "%v %v", known(ends[0].link), known(ends[1].link))
	for i, s := range []*stress{a, b} {
		acc := s.broker.LookupAccount("B")
		require.True(t, s.broker.Interested(acc, fmt.Sprintf("end.%d", 1-i), ""))
		require.False(t, s.broker.Interested(acc, "foo.0", ""))
	}
	for _, e := range ends {
		e.conn.Close(io.EOF)
	}
	for _, e := range ends {
		<-e.closed
	}
	require.Eventually(t, func() bool {
		return !a.broker.Interested(a.broker.LookupAccount("B"), "end.1", "") && !b.broker.Interested(b.broker.LookupAccount("B"), "end.0", "")
	}, 10*time.Second, time.Millisecond)
}
