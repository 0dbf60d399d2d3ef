//go:build !race

//lockstep:exempt a second epoll instance for the ends of real sockets
package netsim

import (
	"os"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// A read that does not fill its buffer has emptied the socket, so the reader may
// wait at once and save the read that would only say so. With Go's poller alone
// that would be wrong: it reports bytes and an end that came together as one
// event, which the read of the bytes uses up, and the end would go unnoticed.
// hangups is a second, edge-triggered epoll instance that reports only ends
// (FIN, RST, errors); data does not wake it. After an end, drained is false for
// good, and the reader is woken to look.
type hangups struct {
	mu    sync.Mutex
	epoll int
	ends  []hangupEnd // by file descriptor
	round int32       // tells sockets of one descriptor apart
}

type hangupEnd struct {
	s     *socket
	round int32
}

// watcher is nil where the system refuses.
var watcher = sync.OnceValue(func() *hangups {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		_ = unix.Close(fd)
		return nil
	}
	f := os.NewFile(uintptr(fd), "hangups")
	raw, err := f.SyscallConn()
	if err != nil || f.SetReadDeadline(past) != nil { // Go's poller does not take it
		_ = f.Close()
		return nil
	}
	h := &hangups{epoll: fd}
	go h.run(f, raw)
	return h
})

// watchHangup makes drained true for s as long as its peer has not ended.
func watchHangup(s *socket) {
	h := watcher()
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	for len(h.ends) <= s.fd {
		h.ends = append(h.ends, hangupEnd{})
	}
	h.round++
	ev := unix.EpollEvent{Events: unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(s.fd), Pad: h.round}
	if unix.EpollCtl(h.epoll, unix.EPOLL_CTL_ADD, s.fd, &ev) != nil {
		return
	}
	h.ends[s.fd] = hangupEnd{s, h.round}
	s.watched = true
}

// unwatchHangup is called before the descriptor is closed, which takes it out
// of the epoll instance.
func unwatchHangup(s *socket) {
	if !s.watched {
		return
	}
	h := watcher()
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ends[s.fd] = hangupEnd{}
}

func (h *hangups) run(f *os.File, raw syscall.RawConn) {
	_ = f.SetReadDeadline(noDeadline)
	events := make([]unix.EpollEvent, 256)
	_ = raw.Read(func(fd uintptr) bool {
		for {
			n, err := unix.EpollWait(int(fd), events, 0)
			if err == unix.EINTR {
				continue
			}
			if n <= 0 {
				return false
			}
			for _, ev := range events[:n] {
				if s := h.find(int(ev.Fd), ev.Pad); s != nil {
					s.hungUp.Store(true)
					s.hangup()
				}
			}
		}
	})
	_ = f.Close() // unreachable while the process lives; keeps f alive until here
}

func (h *hangups) find(fd int, round int32) *socket {
	h.mu.Lock()
	defer h.mu.Unlock()
	if e := h.ends[fd]; e.round == round {
		return e.s
	}
	return nil
}
