package archive

import (
	"bytes"
	"errors"
	"strconv"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// Sizes of chunks and of what may be under way, in bytes.
const (
	ChunkDefault  = 128 << 10
	ChunkMin      = 1 << 10
	ChunkMax      = 1 << 20
	WindowDefault = 8 << 20
	WindowMin     = 1 << 10
	WindowMax     = 32 << 20
)

// Times of both exchanges.
const (
	interestWait = 2 * time.Second // for somebody who listens to chunks
	stallAfter   = 5 * time.Second // without progress
)

// SnapshotHost is what a Snapshot needs. All of it is called on the stream's strand; nothing in it calls
// back before it returns.
type SnapshotHost interface {
	NewTimer(task func()) clock.Timer
	// Interested tells whether anybody listens to the deliver subject. When that changes, Interest is called.
	Interested() bool
	// Send publishes to the deliver subject. reply is "" and header and data nil for none. data is valid
	// during the call.
	Send(reply string, header, data []byte)
	// Fill writes more of the backup, a little at a time; it calls End when that was all. When messages must
	// be loaded first, or the task has lasted long enough, it writes nothing, and [Snapshot.Resume] is called
	// later.
	Fill(w *Writer)
	// Done tells that the exchange is over; err is nil if everything was sent.
	Done(err error)
}

// Snapshot sends a backup to who asked for it. The reply to the request is sent before Start.
type Snapshot struct {
	host   SnapshotHost
	w      *Writer
	ack    string // begins the subjects of acknowledgements
	chunk  int
	window int // chunks that may be under way
	state  snapshotState
	timer  clock.Timer
	sent   int // full chunks
	acked  int
	buf    []byte
}

type snapshotState uint8

const (
	snapshotWaits snapshotState = iota // for interest
	snapshotSends
	snapshotOver
)

// Errors that end a Snapshot, as the receiver is told.
var (
	ErrNoInterest = errors.New("408 No Interest")
	ErrNoResponse = errors.New("408 No Flow Response")
)

// NewSnapshot makes the sender of a backup of a stream. chunk and window are what the request asks
// for, in bytes; id makes the subjects of acknowledgements unique.
func NewSnapshot(h SnapshotHost, w *Writer, stream, id string, chunk, window int) *Snapshot {
	s := &Snapshot{host: h, w: w, ack: api.SnapshotAckPrefix + stream + "." + id + "."}
	s.chunk, window = Sizes(chunk, window)
	s.window = window / s.chunk
	s.timer = h.NewTimer(s.timeout)
	return s
}

// Sizes puts what a request asks for within bounds; 0 or less is the default.
func Sizes(chunk, window int) (int, int) {
	if chunk <= 0 {
		chunk = ChunkDefault
	}
	if window <= 0 {
		window = WindowDefault
	}
	chunk = min(max(chunk, ChunkMin), ChunkMax)
	return chunk, max(min(max(window, WindowMin), WindowMax), chunk)
}

// AckSubject is what must be subscribed to before Start, and given to Ack.
func (s *Snapshot) AckSubject() string { return s.ack + ">" }

// Start begins.
func (s *Snapshot) Start() {
	s.timer.Reset(interestWait)
	s.Interest()
}

// Interest tells that somebody may listen now, or not any more.
func (s *Snapshot) Interest() {
	switch {
	case s.state == snapshotWaits && s.host.Interested():
		s.state = snapshotSends
		s.timer.Reset(stallAfter)
		s.pump()
	case s.state == snapshotSends && !s.host.Interested():
		s.end(ErrNoInterest)
	}
}

// Ack takes an acknowledgement by its subject.
func (s *Snapshot) Ack(subject []byte) {
	i := bytes.LastIndexByte(subject, '.')
	n, err := strconv.Atoi(string(subject[i+1:]))
	if err != nil || n <= s.acked || n > s.sent || s.state != snapshotSends {
		return
	}
	s.acked = n
	s.timer.Reset(stallAfter)
	s.pump()
}

// Resume goes on after Fill had to wait.
func (s *Snapshot) Resume() {
	if s.state == snapshotSends {
		s.pump()
	}
}

// Fail gives up: the backup cannot be read.
func (s *Snapshot) Fail(err error) {
	if s.state != snapshotOver {
		s.end(errors.New("500 " + err.Error()))
	}
}

// Stop gives up without a word: the stream goes.
func (s *Snapshot) Stop() {
	s.state = snapshotOver
	s.timer.Stop()
}

// pump sends what the window lets it.
func (s *Snapshot) pump() {
	for s.state == snapshotSends && s.sent-s.acked < s.window {
		for s.w.Ready() < s.chunk && !s.w.Ended() {
			before := s.w.Written()
			if s.host.Fill(s.w); s.w.Written() == before && !s.w.Ended() {
				if s.sent == s.acked {
					s.timer.Reset(stallAfter) // it is not the receiver who is late
				}
				return
			}
		}
		if s.w.Ready() < s.chunk {
			s.finish()
			return
		}
		s.sent++
		s.buf = s.w.Take(s.buf[:0], s.chunk)
		s.host.Send(s.ack+strconv.Itoa(s.chunk)+"."+strconv.Itoa(s.sent), nil, s.buf)
	}
}

// finish sends what is less than a chunk, and the end.
func (s *Snapshot) finish() {
	if s.buf = s.w.Take(s.buf[:0], s.w.Ready()); len(s.buf) > 0 {
		s.host.Send("", nil, s.buf)
	}
	var header []byte
	if s.sent > 0 {
		header = []byte("NATS/1.0 204\r\n\r\n")
	}
	s.host.Send("", header, nil)
	s.Stop()
	s.host.Done(nil)
}

func (s *Snapshot) end(err error) {
	s.Stop()
	s.host.Send("", []byte("NATS/1.0 "+oneLine(err.Error())+"\r\n\r\n"), nil)
	s.host.Done(err)
}

// oneLine makes a text fit into a header's line.
func oneLine(text string) string {
	return string(bytes.Map(func(r rune) rune {
		if r == '\r' || r == '\n' {
			return ' '
		}
		return r
	}, []byte(text)))
}

func (s *Snapshot) timeout() {
	switch s.state {
	case snapshotWaits:
		s.end(ErrNoInterest)
	case snapshotSends:
		if s.sent == s.acked {
			s.timer.Reset(stallAfter)
			return
		}
		s.end(ErrNoResponse)
	}
}
