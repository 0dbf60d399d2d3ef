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
		s.group.CheckpointNow(func(error) { s.stop(done) })
	})
}

// stop lets go of everything.
func (s *Stream) stop(done func()) {
	s.group.Stop(func() {
		s.closed = true
		s.letIn()
		s.uncount()
		s.wake.Stop()
		s.store.Close()
		s.sender.Close()
		done()
	})
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
		s.consumerDeleted(h)
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
