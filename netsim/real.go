//lockstep:exempt real sockets, the goroutines that serve them and their deadlines
package netsim

import (
	"context"
	"net"
	"sync"
	"time"

	"github.com/lockstepmq/lockstep/clock"
)

// Pauses of an accept loop that met an error, such as too many open files.
const (
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
)

// Real is the network of the operating system.
//
// Every connection has one goroutine, which waits for bytes and runs the
// handler on the connection's strand. Writes are sent by whoever flushes; only
// when the peer does not take them at once, a second goroutine waits with the
// rest. An idle connection holds no buffer.
type Real struct{}

// NewReal makes the network. Its strands should implement clock.Doer: handlers
// then run on the goroutine that reads.
func NewReal() *Real { return &Real{} }

var _ Network = (*Real)(nil)

// Listen implements Network.
func (*Real) Listen(s clock.Strand, addr string, accept func(Conn)) (Listener, error) {
	lc := net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	nl, err := lc.Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	l := &realListener{nl: nl, closed: make(chan struct{})}
	go l.loop(s, accept)
	return l, nil
}

// Dial implements Network.
func (*Real) Dial(s clock.Strand, addr string, o DialOptions, done func(Conn, error)) {
	go func() {
		d := net.Dialer{Timeout: o.Timeout, KeepAlive: -1}
		nc, err := d.Dial("tcp", addr)
		var c Conn
		if err == nil {
			c, err = connOver(nc)
		}
		doOn(s, func() { done(c, err) })
	}()
}

// connOver makes a Conn of a socket; it closes the socket when it cannot.
func connOver(nc net.Conn) (Conn, error) {
	t, err := newSocket(nc)
	if err != nil {
		_ = nc.Close()
		return nil, err
	}
	c := newRealConn(t)
	t.hangup = c.hangup
	watchHangup(t)
	return c, nil
}

type realListener struct {
	nl     net.Listener
	once   sync.Once
	closed chan struct{}
}

func (l *realListener) Addr() string { return l.nl.Addr().String() }

func (l *realListener) Close() {
	l.once.Do(func() {
		close(l.closed)
		_ = l.nl.Close()
	})
}

func (l *realListener) loop(s clock.Strand, accept func(Conn)) {
	pause := acceptPauseMin
	for {
		nc, err := l.nl.Accept()
		if err != nil {
			if !l.wait(pause) {
				return
			}
			pause = min(2*pause, acceptPauseMax)
			continue
		}
		pause = acceptPauseMin
		c, err := connOver(nc)
		if err != nil {
			continue
		}
		doOn(s, func() { accept(c) })
	}
}

// wait reports false when the listener was closed.
func (l *realListener) wait(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-l.closed:
		return false
	case <-t.C:
		return true
	}
}

// doOn runs task on s and returns when it has run, or, if s cannot do that,
// when it has been posted.
func doOn(s clock.Strand, task func()) {
	if d, ok := s.(clock.Doer); ok {
		d.Do(task)
		return
	}
	s.Post(task)
}

// postDoer lends Do to a strand that has none. It is for readers only: a task
// that called it would wait for itself.
type postDoer struct{ s clock.Strand }

func (p postDoer) Do(task func()) {
	ran := make(chan struct{})
	p.s.Post(func() {
		task()
		close(ran)
	})
	<-ran
}
