package stream

import (
	"errors"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/raft"
)

// proposal is an entry that waits for room.
type proposal struct {
	payload []byte
	tag     any
	class   raft.Class
}

// fullRetry is when a proposal is tried again that a full disk kept out.
const fullRetry = time.Second

// propose hands an entry to the group. Its tag comes back with Apply. Where the disk does not keep
// up, entries wait, in order; [Stream.take] bounds what publishers add to them. A full disk takes
// no publishes, be it full for the log or for the messages; what the stream itself must log waits for space.
func (s *Stream) propose(payload []byte, tag any, class raft.Class) {
	if t, ok := tag.(*intake); ok && s.store.Full() { // the log would only be in the way of what makes room
		s.refusePublish(t, raft.ErrFull)
		return
	}
	if len(s.jam) == 0 {
		err := s.group.Propose(payload, tag, class)
		if err == nil {
			return
		}
		if errors.Is(err, raft.ErrNotLeader) { // [Stream.Followed] is on its way, and ends what was not logged
			s.Unsure(tag)
			return
		}
		if t, ok := tag.(*intake); ok && !errors.Is(err, raft.ErrBusy) {
			s.refusePublish(t, err)
			return
		}
		if !s.waitForRoom(err) {
			s.refuse(tag, err)
			return
		}
	}
	s.jam = append(s.jam, proposal{payload, tag, class})
	s.jammed += len(payload)
}

// waitForRoom has what waits tried again when that may succeed; false if it never will.
func (s *Stream) waitForRoom(err error) bool {
	switch {
	case errors.Is(err, raft.ErrBusy):
		s.group.WhenRoom(s.clearJam)
	case errors.Is(err, raft.ErrFull):
		if s.retryTimer == nil {
			s.retryTimer = s.strand.NewTimer(s.clearJam)
		}
		s.retryTimer.Reset(fullRetry)
	default:
		return false
	}
	return true
}

// clearJam proposes what waits, as far as there is room.
func (s *Stream) clearJam() {
	if s.closed || s.failed != nil {
		return
	}
	s.tick()
	jam := s.jam
	s.jam, s.jammed = nil, 0
	for _, p := range jam {
		s.propose(p.payload, p.tag, p.class)
	}
	s.endTask()
}

// refuse ends what waited for an entry that the group will never take.
func (s *Stream) refuse(tag any, err error) {
	switch tag.(type) {
	case *eventsTag:
		s.events.flying--
	case nil:
		s.machine.Forget()
	}
	s.fail(err)
}

// refusePublish answers publishers whose messages the log does not take: nothing of them is stored. A log
// that failed answers nothing, as a server that is gone.
func (s *Stream) refusePublish(t *intake, err error) {
	switch {
	case errors.Is(err, raft.ErrFull):
		s.answerAll(t, api.ErrInsufficientResources, nil)
	case errors.Is(err, raft.ErrTooLarge):
		s.answerAll(t, api.ErrStreamStoreFailed.With("message too large"), nil)
	default:
		s.fail(err)
	}
	s.letGoIntake(t)
}

// answerAll refuses every message of an intake.
func (s *Stream) answerAll(t *intake, refusal *api.Error, header []byte) {
	ack := api.AppendPubAckError(nil, s.name, refusal)
	for n, i := range t.items {
		m := &t.batch.Messages[i]
		if f := t.fastOf(n); f != nil {
			ans := s.fast.Refused(nil, f.batch, f.seq, refusal, m.Reply)
			s.answerFast(m.Reply, &ans)
		} else if len(m.Reply) > 0 && !s.cfg.NoAck {
			s.sender.Publish(m.Reply, nil, header, ack)
		}
	}
}
