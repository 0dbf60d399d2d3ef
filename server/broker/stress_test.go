package broker_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/logging"
)

// stressConf are the two configurations that reloads change between: other permissions,
// another prefix of an import, and a mapping that comes and goes.
var stressConf = [2]string{
	`accounts {
		A {users: [{user: a, password: a}], exports: [{service: "svc.*"}, {stream: "ev.>"}]}
		B {users: [{user: b, password: b}, {user: p, password: p, permissions: {subscribe: {deny: "foo.0"}, publish: ">"}}]
		   imports: [{service: {account: A, subject: "svc.*"}, to: "ask.*"}, {stream: {account: A, subject: "ev.>"}, prefix: one}]}
	}`,
	`accounts {
		A {users: [{user: a, password: a}], exports: [{service: "svc.*"}, {stream: "ev.>"}], mappings {gone: svc.gone}}
		B {users: [{user: b, password: b}, {user: p, password: p, permissions: {subscribe: {deny: "foo.1"}, publish: ">"}}]
		   imports: [{service: {account: A, subject: "svc.*"}, to: "ask.*"}, {stream: {account: A, subject: "ev.>"}, prefix: two}]}
	}`,
}

// stress is a broker on the machine's own clock and sockets.
type stress struct {
	t      *testing.T
	broker *broker.Broker
	strand clock.Strand
	clock  clock.Clock
	addr   string
}

func stressOptions(t *testing.T, text string) *config.Options {
	o := &config.Options{}
	require.NoError(t, o.ProcessConfigString(text))
	o.SetBaseline()
	require.NoError(t, o.Validate())
	return o
}

func newStress(t *testing.T) *stress {
	c, n := clock.NewReal(), netsim.NewReal()
	b, err := broker.New(broker.Config{Clock: c, Log: logging.NewSwitch(), Options: stressOptions(t, stressConf[0])})
	require.NoError(t, err)
	s := &stress{t: t, broker: b, clock: c, strand: c.NewStrand("stress")}
	l, err := n.Listen(s.strand, "127.0.0.1:0", b.Accept)
	require.NoError(t, err)
	t.Cleanup(l.Close)
	s.addr = l.Addr()
	return s
}

// dial connects a user and gives what it says and hears.
func (s *stress) dial(user string) (net.Conn, *bufio.Reader) {
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Error(err)
		return nil, nil
	}
	fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"protocol\":1,\"headers\":true,\"user\":%q,\"pass\":%q}\r\n", user, user)
	return conn, bufio.NewReaderSize(conn, 16<<10)
}

// sync sends PING and counts the messages up to its PONG.
func (s *stress) sync(conn net.Conn, r *bufio.Reader) (msgs int) {
	fmt.Fprint(conn, "PING\r\n")
	for {
		line, err := r.ReadSlice('\n')
		switch {
		case err != nil:
			s.t.Errorf("before the answer to PING: %v", err)
			return msgs
		case bytes.HasPrefix(line, []byte("PONG")):
			return msgs
		case bytes.HasPrefix(line, []byte("MSG ")), bytes.HasPrefix(line, []byte("HMSG ")):
			msgs++
		}
	}
}

// publisher publishes, large and small, and asks the service now and then.
func (s *stress) publisher(n int) {
	conn, r := s.dial("b")
	defer conn.Close()
	fmt.Fprint(conn, "SUB answer 1\r\n")
	large := bytes.Repeat([]byte{'x'}, 5000)
	for i := range n {
		fmt.Fprintf(conn, "PUB foo.%d 2\r\nhi\r\nPUB foo.0 %d\r\n%s\r\nPUB ask.%d answer 0\r\n\r\n", i%3, len(large), large, i)
		if i%8 == 7 {
			s.sync(conn, r)
		}
	}
	s.sync(conn, r)
}

// subscriber comes and goes with subscriptions of all sorts.
func (s *stress) subscriber(user string, n int) {
	for i := range n {
		conn, r := s.dial(user)
		fmt.Fprint(conn, "SUB foo.* 1\r\nSUB foo.0 q 2\r\nSUB foo.> 3\r\nUNSUB 3 2\r\nSUB one.ev.> 4\r\nSUB two.ev.> q 5\r\nPUB foo.1 1\r\nx\r\n")
		s.sync(conn, r)
		fmt.Fprint(conn, "UNSUB 1\r\nSUB foo.* 1\r\nUNSUB 2\r\n")
		s.sync(conn, r)
		if i%2 == 0 {
			fmt.Fprint(conn, "SUB foo.* 9\r\nPUB foo.2 1\r\nx\r\n") // and away at once
		}
		conn.Close()
	}
}

// service answers what it is asked, and publishes events.
func (s *stress) service(ready chan<- struct{}, done <-chan struct{}) {
	conn, r := s.dial("a")
	fmt.Fprint(conn, "SUB svc.* 1\r\n")
	s.sync(conn, r)
	close(ready)
	go func() { <-done; conn.Close() }()
	for {
		line, err := r.ReadBytes('\n')
		if err != nil {
			return
		}
		if f := bytes.Fields(line); len(f) == 6 && string(f[0]) == "HMSG" {
			fmt.Fprintf(conn, "PUB %s 2\r\nok\r\nPUB ev.x 1\r\ne\r\n", f[3])
		}
	}
}

// TestManyAtOnce lets everything that connections do happen at the same time as
// reloads, monitoring and departures, and then expects nothing to be left.
func TestManyAtOnce(t *testing.T) {
	s := newStress(t)
	ready, done := make(chan struct{}), make(chan struct{})
	var service, work sync.WaitGroup
	service.Go(func() { s.service(ready, done) })
	<-ready
	for range 3 {
		work.Go(func() { s.publisher(400) })
	}
	for _, user := range []string{"b", "b", "p"} {
		work.Go(func() { s.subscriber(user, 100) })
	}
	work.Go(func() {
		for i := range 100 {
			if err := s.broker.Reload(stressOptions(t, stressConf[(i+1)%2])); err != nil {
				t.Error(err)
			}
			for _, c := range s.broker.Clients() {
				c.State(true)
				c.MeasureRTT()
			}
		}
	})
	work.Wait()
	close(done)
	service.Wait()
	gone := make(chan struct{})
	s.broker.Shutdown(s.strand, func() { close(gone) })
	<-gone
	require.Zero(t, s.broker.NumClients())
	for _, a := range s.broker.Accounts() {
		require.Zero(t, a.NumConnections(), a.Name)
	}
	require.Eventually(t, func() bool { // the last connections give up what they had
		n := 0
		for _, a := range s.broker.Accounts() {
			n += a.TotalSubs() - len(a.Graph().ServiceImports) - min(a.Responses().Len(), 1)
		}
		return n <= 1 // the subscription for responses lingers
	}, 10*time.Second, 5*time.Millisecond)
}

// TestUnreadAnswers: answers that nobody reads are bounded as messages are.
func TestUnreadAnswers(t *testing.T) {
	s := newStress(t)
	require.NoError(t, s.broker.Reload(stressOptions(t, "max_pending: 1MB\n"+stressConf[0])))
	conn, _ := s.dial("b")
	defer conn.Close()
	pings := bytes.Repeat([]byte("PING\r\n"), 64<<10)
	var err error
	for i := 0; i < 500 && err == nil; i++ { // 200 MB of answers at most
		_, err = conn.Write(pings)
	}
	require.Error(t, err, "the connection was not closed")
	require.NotErrorIs(t, err, io.EOF)
	require.Eventually(t, func() bool { return len(s.broker.Closed()) == 1 }, 10*time.Second, 5*time.Millisecond)
	require.Equal(t, broker.SlowConsumerPendingBytes, s.broker.Closed()[0].Reason)
}

// TestServicesAtOnce lets connections publish into one sink at the same time, under a credit
// that makes them wait, while it answers each, and reloads and departures go on: everything
// comes, once and in order, and is answered once.
func TestServicesAtOnce(t *testing.T) {
	const publishers, rounds, each = 6, 60, 40
	s := newStress(t)
	acc := s.broker.LookupAccount("B")
	strand := s.clock.NewStrand("service")
	send := s.broker.NewSender(strand, acc, "service")
	next := map[string]int{}
	total := 0
	k := s.broker.NewSink(strand, broker.SinkOptions{Credit: 8 << 10, WithInfo: true}, func(batches []*broker.Batch) {
		for _, b := range batches {
			if b.Info.Account != "B" || b.FromAccount != acc {
				t.Errorf("from account %s, %s", b.Info.Account, b.FromAccount)
			}
			for i := range b.Messages {
				m := &b.Messages[i]
				if want := next[string(m.Subject)]; string(m.Data) != fmt.Sprint(want) {
					t.Errorf("%s: %s after %d", m.Subject, m.Data, want-1)
				}
				next[string(m.Subject)]++
				total++
				send.Publish(m.Reply, nil, nil, m.Data)
			}
			b.Release()
		}
		send.Flush()
	})
	_, err := k.Subscribe(acc, "api.*", "")
	require.NoError(t, err)
	var work sync.WaitGroup
	for p := range publishers {
		work.Go(func() {
			conn, r := s.dial("b")
			defer conn.Close()
			fmt.Fprintf(conn, "SUB in.%d.* 1\r\n", p)
			answers := 0
			for i := range rounds {
				var text []byte
				for j := range each {
					n := fmt.Sprint(i*each + j)
					text = fmt.Appendf(text, "PUB api.%d in.%d.%s %d\r\n%s\r\n", p, p, n, len(n), n)
				}
				_, _ = conn.Write(text)
				answers += s.sync(conn, r)
			}
			for answers < rounds*each {
				line, err := r.ReadSlice('\n')
				if err != nil {
					t.Errorf("after %d answers: %v", answers, err)
					return
				}
				if bytes.HasPrefix(line, []byte("MSG ")) {
					answers++
				}
			}
			if n := s.sync(conn, r); n > 0 {
				t.Errorf("%d answers too many", n)
			}
		})
	}
	work.Go(func() {
		for i := range 20 {
			if err := s.broker.Reload(stressOptions(t, stressConf[(i+1)%2])); err != nil {
				t.Error(err)
			}
		}
	})
	work.Go(func() {
		for range 50 {
			other, err := k.Subscribe(acc, "foo.*", "_sys_")
			if err != nil {
				t.Error(err)
				return
			}
			stop := s.broker.WatchInterest(acc, "in.1.x", strand, func() {})
			s.broker.Interested(acc, "in.1.x", "")
			k.Unsubscribe(other)
			stop()
		}
	})
	work.Wait()
	done := make(chan struct{})
	strand.Post(func() { close(done) })
	<-done
	require.Equal(t, publishers*rounds*each, total)
	msgs, size := k.Waiting()
	require.Zero(t, msgs+size)
	require.Zero(t, acc.Watches())
	k.Close()
}
