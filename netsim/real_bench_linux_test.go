//lockstep:exempt benchmarks of real sockets
package netsim

import (
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"runtime"
	"testing"
)

// BenchmarkRealPingPong is one small message there and back; the peer is a
// plain net.Conn. The processor's time includes the peer's, so what a server of
// plain net.Conns takes stands beside it.
func BenchmarkRealPingPong(b *testing.B) {
	for _, how := range []string{"real", "net.Conn"} {
		for _, size := range []int{16, 1024} {
			b.Run(fmt.Sprintf("how=%s/size=%d", how, size), func(b *testing.B) {
				nc, c := listen(b).connect(b)
				if how == "real" {
					p := newProbe(b)
					vec := make([][]byte, 1)
					p.onData = func(m []byte) {
						vec[0] = m
						lend(c, vec...)
					}
					c.Start(testClock.NewStrand("conn"), p)
				} else {
					go echoPlain(c.(*realConn).t.(*socket).nc)
				}
				buf := make([]byte, size)
				b.ReportAllocs()
				start := processorTime(b)
				for b.Loop() {
					_, _ = nc.Write(buf)
					_, _ = io.ReadFull(nc, buf)
				}
				b.ReportMetric(float64(processorTime(b)-start)/float64(b.N), "cpu-ns/op")
			})
		}
	}
}

func echoPlain(nc net.Conn) {
	buf := make([]byte, 64<<10)
	for {
		n, err := nc.Read(buf)
		if err != nil {
			return
		}
		_, _ = nc.Write(buf[:n])
	}
}

// BenchmarkRealSend is one Write or Lend with its Flush, read by a plain peer.
func BenchmarkRealSend(b *testing.B) {
	for _, how := range []string{"write", "lend", "net.Conn"} {
		for _, size := range []int{256, 64 << 10} {
			b.Run(fmt.Sprintf("how=%s/size=%d", how, size), func(b *testing.B) {
				nc, c := listen(b).connect(b)
				c.Start(testClock.NewStrand("conn"), newProbe(b))
				go sink(nc)
				vec := [][]byte{pattern(size)}
				below := make(chan struct{}, 1)
				tell := func() { below <- struct{}{} }
				b.SetBytes(int64(size))
				b.ReportAllocs()
				for b.Loop() {
					switch how {
					case "write":
						c.Write(vec...)
						c.Flush()
					case "lend":
						lend(c, vec...)
					default:
						_, _ = c.(*realConn).t.(*socket).nc.Write(vec[0])
						continue
					}
					if c.Buffered() > 1<<20 {
						c.WhenBelow(1<<18, tell)
						<-below
					}
				}
			})
		}
	}
}

func sink(r io.Reader) {
	buf := make([]byte, 256<<10)
	for {
		if _, err := r.Read(buf); err != nil {
			return
		}
	}
}

// BenchmarkRealReceive is what a handler gets from a peer that writes without pause.
func BenchmarkRealReceive(b *testing.B) {
	nc, c := listen(b).connect(b)
	p := newProbe(b)
	const size = 64 << 10
	credit := make(chan int, 1024)
	p.onData = func(m []byte) { credit <- len(m) }
	c.Start(testClock.NewStrand("conn"), p)
	go func() {
		buf := pattern(size)
		for {
			if _, err := nc.Write(buf); err != nil {
				return
			}
		}
	}()
	b.SetBytes(size)
	b.ReportAllocs()
	left := 0
	for b.Loop() {
		for left += size; left > 0; {
			left -= <-credit
		}
	}
}

func BenchmarkTLSSend(b *testing.B) {
	for _, size := range []int{256, 64 << 10} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			nc, c := listen(b).connect(b)
			s := testClock.NewStrand("conn")
			c.Start(s, newProbe(b))
			server, client := tlsConfigs(b)
			done := startTLS(c, s, TLSOptions{Config: server, Server: true})
			if err := tls.Client(nc, client).Handshake(); err != nil {
				b.Fatal(err)
			}
			<-done
			go sink(nc)
			vec := [][]byte{pattern(size)}
			below := make(chan struct{}, 1)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				lend(c, vec...)
				if c.Buffered() > 1<<20 {
					c.WhenBelow(1<<18, func() { below <- struct{}{} })
					<-below
				}
			}
		})
	}
}

// BenchmarkRealIdle reports the Go memory of a connection that has carried a
// message and waits for the next, its goroutine's stack included, without the
// handler's own. The peers are file descriptors, which cost the heap nothing.
func BenchmarkRealIdle(b *testing.B) {
	const conns = 2000
	a := listen(b)
	peers := make([]*rawPeer, conns)
	ends := make([]Conn, conns)
	for b.Loop() {
		before := memory()
		p := &counter{}
		for i := range conns {
			peers[i] = dialRaw(b, a.l.Addr())
			ends[i] = await(b, a.conns)
			ends[i].Start(testClock.NewStrand("conn"), p)
		}
		for i := range conns {
			peers[i].send(b, 'x')
		}
		eventually(b, "all are read", func() bool { return p.got.Load() >= conns })
		b.ReportMetric(float64(memory()-before)/conns, "bytes/conn")
		for i := range conns {
			ends[i].Abort(nil)
			peers[i].close()
		}
		eventually(b, "all are closed", func() bool { return p.closed.Load() >= conns })
	}
}

// memory is what heap and stacks use after a collection.
func memory() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc + m.StackInuse)
}
