package stream

import (
	"github.com/lockstepmq/lockstep/server/jetstream/consumer"
	"github.com/lockstepmq/lockstep/server/jetstream/source"
	"github.com/lockstepmq/lockstep/server/raft"
)

// Close stops the stream after a checkpoint, so that the next start has nothing to
// replay. done is called on its strand.
func (s *Stream) Close(done func()) {
	if s.closed {
		done()
		return
	}
	s.ending = done
	s.unsubscribe()
	s.stopBackups()
	s.stopFollowing(source.Left)
	s.saveRest()
	for _, h := range s.consumers.all() {
		h.c.Stop(consumer.Shutdown)
	}
	s.proposeEvents()
	s.sender.Flush()
	s.whenSettled(func() {
		s.group.CheckpointNow(func(error) { s.stop() })
	})
}

// stop lets go of everything, unless a lost leadership has begun to.
func (s *Stream) stop() {
	if s.closed {
		return
	}
	s.group.Stop(func() {
		s.closed = true
		s.letIn()
		s.uncount()
		s.wake.Stop()
		s.store.Close()
		s.sender.Close()
		s.ended()
	})
}

// ended tells who closes the stream, once; false when nobody does.
func (s *Stream) ended() bool {
	done := s.ending
	s.ending = nil
	if done == nil {
		return false
	}
	done()
	return true
}

// whenSettled runs fn when the log has everything that the consumers' state has.
func (s *Stream) whenSettled(fn func()) {
	if s.settled() || s.failed != nil {
		fn()
		return
	}
	s.closing = fn
}

// Delete removes the stream and everything it has; the catalogue no longer knows it. done
// is called on its strand.
func (s *Stream) Delete(done func()) {
	if s.closed {
		done()
		return
	}
	s.unsubscribe()
	s.stopBackups()
	s.stopFollowing(source.Removed)
	s.saving = nil
	for _, h := range s.consumers.all() {
		h.c.Stop(consumer.StreamDeleted)
		s.consumers.remove(h)
		if s.leads {
			s.consumerDeleted(h)
		}
	}
	s.closed = true
	s.letIn()
	s.wake.Stop()
	s.sender.Flush()
	s.uncount()
	drop := func() {
		s.group.Drop(func(error) {})
		s.store.Delete(func(err error) {
			if err != nil {
				s.env.Log.Errorf("Stream '%s > %s': files could not be removed: %v", s.spec.Account.Name, s.name, err)
			}
			s.sender.Close()
			done()
		})
	}
	drop()
}

var _ raft.Machine = (*Stream)(nil)
