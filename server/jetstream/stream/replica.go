package stream

import (
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/consumer"
	"github.com/lockstepmq/lockstep/server/jetstream/source"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// What a stream of several servers does beyond one of one: the server that leads serves, the others apply what it
// has logged. A leader's consumers are ahead of the log, so one that leads no more begins again from what the
// log has: the stream ends, and its owner opens it anew.

var _ raft.Replica = (*Stream)(nil)

// Role is told, on the stream's strand, what this server is to a stream of several.
type Role interface {
	// Leads: it serves from now on.
	Leads(s *Stream)
	// Follows: another leads, 0 when it is not known who.
	Follows(s *Stream, leader core.MemberID)
	// Resigned: it led, and leads no more. The stream has ended here; what the log has of it can be opened again.
	Resigned(s *Stream)
}

// Led is part of [raft.Replica].
func (s *Stream) Led(core.Term) {
	if s.failed != nil || s.closed || s.leads {
		return
	}
	s.tick()
	s.leader, s.since = s.spec.Self, time.Unix(0, s.now).UTC()
	s.lead((*consumer.Consumer).Recovered)
	s.afterEvents()
	s.letIn()
	s.endTask()
	s.spec.Role.Leads(s)
}

// Followed is part of [raft.Replica].
func (s *Stream) Followed(leader core.MemberID) {
	if s.failed != nil || s.closed {
		return
	}
	if leader == 0 && s.leader != 0 {
		s.tick()
		s.unled = s.mono
	}
	s.leader = leader
	if s.leads {
		s.spec.Role.Follows(s, leader)
		s.resign()
		return
	}
	s.spec.Role.Follows(s, leader)
}

// Unsure is part of [raft.Replica]: nobody who waits is told anything.
func (s *Stream) Unsure(tag any) {
	if t, ok := tag.(*intake); ok {
		s.letGoIntake(t)
	}
}

// resign ends the stream here, without a word to the log: what its consumers have done and not logged did not happen.
func (s *Stream) resign() {
	s.tick()
	s.unsubscribe()
	s.stopBackups()
	s.stopFollowing(source.Left)
	s.saving = nil
	for _, h := range s.consumers.all() {
		h.c.Stop(consumer.Moved)
	}
	s.closed = true
	s.letIn()
	s.wake.Stop()
	s.sender.Flush()
	s.uncount()
	s.strand.Post(func() { // not from within the group's own task
		s.group.Stop(func() {
			s.store.Close()
			s.sender.Close()
			if !s.ended() { // what is closed cannot wait for a log that takes nothing any more
				s.spec.Role.Resigned(s)
			}
		})
	})
}

// Leads tells whether this server serves the stream.
func (s *Stream) Leads() bool { return s.leads && !s.closed && s.failed == nil }
