package consumer

import (
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/subject"
)

// Info tells how the consumer does. Where it lives is left to the caller. The configuration in it
// is the consumer's own, not to be changed.
func (c *Consumer) Info() *api.ConsumerInfo {
	now := c.host.Now()
	c.dropExhausted()
	if c.live && c.pull != nil {
		c.prune(int64(c.host.Mono()))
	}
	info := &api.ConsumerInfo{
		Stream: c.host.Stream().Name, Name: c.name, Created: c.Created(), Config: c.cfg,
		Delivered:     api.SequenceInfo{Consumer: c.dseq, Stream: c.position(), Last: timeOf(c.deliveredAt)},
		AckFloor:      api.SequenceInfo{Consumer: c.floorDseq, Stream: c.floor, Last: timeOf(c.ackedAt)},
		NumAckPending: c.pending.len(),
		NumPending:    c.numPending(),
		PushBound:     c.push != nil && c.push.active,
		TimeStamp:     time.Unix(0, now).UTC(),
	}
	if c.cfg.MaxDeliver != 1 {
		info.NumRedelivered = c.pending.many + len(c.exhausted)
	}
	if c.pull != nil {
		info.NumWaiting = c.pull.waiting.len()
	}
	if c.paused() {
		info.Paused = true
		info.PauseRemaining = time.Duration(api.Nanos(*c.cfg.PauseUntil) - now)
	}
	if g := c.group; g != nil {
		state := api.PriorityGroupState{Group: g.name, PinnedClientID: g.pin}
		if g.pin != "" {
			state.PinnedTS = time.Unix(0, g.pinnedAt).UTC()
		}
		info.PriorityGroups = []api.PriorityGroupState{state}
	}
	return info
}

// numPending is how many messages are still to be delivered for the first time.
func (c *Consumer) numPending() uint64 {
	if c.counting {
		return c.ahead
	}
	n := c.countAhead()
	if !c.listening && c.w == nil && len(c.cfg.FilterSubjects) == 0 && !subject.HasWildcard(c.cfg.FilterSubject) {
		c.filter = nil // it is soon made again, and an idle consumer is to cost little
	}
	return n
}

func timeOf(nanos int64) *time.Time {
	if nanos == 0 {
		return nil
	}
	t := time.Unix(0, nanos).UTC()
	return &t
}
