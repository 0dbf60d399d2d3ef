package archive

import (
	"errors"
	"fmt"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// RestoreHost is what a Restore needs. All of it is called on the stream's strand; nothing in it calls back
// before it returns.
type RestoreHost interface {
	NewTimer(task func()) clock.Timer
	// Reply answers a chunk; body is nil for an empty answer.
	Reply(to []byte, body []byte)
	// Take takes a part of the backup, of which it keeps nothing that is not its own. False tells that it is
	// busy, or that the task has lasted long enough: Resume is called when it can take more. An error ends the
	// restore.
	Take(it *Item) (bool, error)
	// Finish is called when all of the backup was taken. It completes the stream, and then calls
	// [Restore.Finished].
	Finish()
	// Abort is called when nothing comes of it: what was restored goes. err says why; nil if the sender
	// just left.
	Abort(err error)
}

// Restore takes the chunks of a backup.
type Restore struct {
	host    RestoreHost
	r       *Reader
	label   string
	state   restoreState
	timer   clock.Timer
	replies [][]byte // of the chunks that are being taken
	ending  bool     // the last one was
	bytes   int64
	it      Item
	failed  error
}

type restoreState uint8

const (
	restoreWaits  restoreState = iota // for a chunk
	restoreBusy                       // with a chunk: the host takes it
	restoreFinish                     // the host completes the stream
	restoreFailed                     // the next chunk with a reply subject is told why
	restoreOver
)

// NewRestore makes the receiver of a backup. account and stream are named in errors.
func NewRestore(h RestoreHost, r *Reader, account, stream string) *Restore {
	s := &Restore{host: h, r: r, label: fmt.Sprintf("restore for stream '%s > %s'", account, stream)}
	s.timer = h.NewTimer(s.timeout)
	return s
}

// Start begins to wait for chunks. The reply to the request, with the subject of the chunks, is sent before.
func (s *Restore) Start() { s.timer.Reset(stallAfter) }

// Bytes is the number of bytes that came, compressed.
func (s *Restore) Bytes() int64 { return s.bytes }

// Chunk takes a chunk; an empty one is the end. Its reply is sent once the host has taken all of it, which
// is what holds the sender back.
func (s *Restore) Chunk(reply, data []byte) {
	switch {
	case s.state == restoreFailed && len(reply) > 0:
		s.Stop()
		s.host.Reply(reply, s.refusal())
		return
	case s.state != restoreWaits && s.state != restoreBusy:
		return
	case len(reply) == 0:
		s.fail(errors.New(s.label + " requires reply subject for each chunk"))
		return
	case s.ending, s.r.Waiting()+len(data) > waitingMax:
		s.fail(errors.New(s.label + " received more than was asked for"))
		return
	}
	s.timer.Stop()
	s.bytes += int64(len(data))
	s.replies = append(s.replies, append([]byte(nil), reply...))
	s.ending = len(data) == 0
	s.r.Feed(data)
	if s.state == restoreWaits {
		s.state = restoreBusy
		s.take()
	}
}

// waitingMax bounds the bytes of chunks that came before the ones before them were answered.
const waitingMax = 32 << 20

// Resume goes on when the host is not busy any more.
func (s *Restore) Resume() {
	if s.state == restoreBusy {
		s.take()
	}
}

// take gives the host what there is.
func (s *Restore) take() {
	for {
		ok, err := s.r.Next(&s.it)
		if err != nil {
			s.fail(err)
			return
		}
		if !ok {
			break
		}
		more, err := s.host.Take(&s.it)
		if err != nil {
			s.fail(err)
			return
		}
		if !more {
			return
		}
	}
	if s.ending {
		if err := s.r.End(); err != nil {
			s.fail(err)
			return
		}
		s.state = restoreFinish
		s.host.Finish()
		return
	}
	s.state = restoreWaits
	s.timer.Reset(stallAfter)
	for _, reply := range s.replies {
		s.host.Reply(reply, nil)
	}
	s.replies = s.replies[:0]
}

// Finished answers the last chunk: body is what the stream's creation is answered with.
func (s *Restore) Finished(body []byte) {
	if s.state == restoreFinish {
		s.state = restoreOver
		s.answer(body)
	}
}

// answer answers the last chunk, and the ones before it that are not answered yet.
func (s *Restore) answer(body []byte) {
	for i, reply := range s.replies {
		if i == len(s.replies)-1 {
			s.host.Reply(reply, body)
		} else {
			s.host.Reply(reply, nil)
		}
	}
	s.replies = nil
}

// Fail ends the restore: the stream cannot be made.
func (s *Restore) Fail(err error) {
	if s.state != restoreOver && s.state != restoreFailed {
		s.fail(err)
	}
}

// Stop ends it without a word: the server goes.
func (s *Restore) Stop() {
	s.state = restoreOver
	s.timer.Stop()
}

// fail answers the chunk at hand, or the next one that can be answered.
func (s *Restore) fail(err error) {
	s.failed = err
	s.state = restoreFailed
	if len(s.replies) > 0 {
		s.Stop()
		s.answer(s.refusal())
	} else {
		s.timer.Reset(stallAfter)
	}
	s.host.Abort(err)
}

func (s *Restore) refusal() []byte {
	return api.EndpointStreamCreate.Refusal(api.Wrap(api.ErrStreamRestore, s.failed))
}

func (s *Restore) timeout() {
	switch s.state {
	case restoreWaits:
		s.Stop()
		s.host.Abort(nil)
	case restoreFailed:
		s.Stop()
	}
}
