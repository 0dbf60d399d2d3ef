package consumer

import (
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// located is a [Host] that knows what advisories say of where the stream is. Without it they do not
// say it.
type located interface {
	Account() string
	Domain() string // "" is none
	// NamesAccounts tells whether the subjects of acks and of flow control say it, too.
	NamesAccounts() bool
}

// place is the account and domain of the stream, and the stream's name.
func (c *Consumer) place() (account, domain, stream string) {
	if l, ok := c.host.(located); ok {
		account, domain = l.Account(), l.Domain()
	}
	return account, domain, c.host.Stream().Name
}

// ackHead is what the subjects begin with that acks are published to.
func (c *Consumer) ackHead() string {
	account, domain, stream := c.place()
	if c.namesAccount() {
		return api.AckHeadV2(domain, api.Hash8(account), stream, c.name)
	}
	return api.AckHead(stream, c.name)
}

// flowHead is the same of answers to flow control.
func (c *Consumer) flowHead() string {
	account, domain, stream := c.place()
	if c.namesAccount() {
		return api.FlowControlHeadV2(domain, api.Hash8(account), stream, c.name)
	}
	return api.FlowControlHead(stream, c.name)
}

func (c *Consumer) namesAccount() bool {
	l, ok := c.host.(located)
	return ok && l.NamesAccounts()
}

func (c *Consumer) adviseAck(a *api.AckReply, took int64) {
	_, domain, stream := c.place()
	dseq, seq, count := a.ConsumerSeq, a.StreamSeq, a.Delivered
	c.host.Advise(api.AckMetricSubject(stream, c.name), func(id string, now time.Time) any {
		return api.NewAckMetric(id, now, stream, c.name, dseq, seq, time.Duration(took), count, domain)
	})
}

func (c *Consumer) adviseNak(a *api.AckReply) {
	_, domain, stream := c.place()
	said := *a
	c.host.Advise(api.NakedSubject(stream, c.name), func(id string, now time.Time) any {
		return api.NewNaked(id, now, stream, c.name, &said, domain)
	})
}

func (c *Consumer) adviseTerminated(seq, dseq uint64, count uint64, reason string) {
	_, domain, stream := c.place()
	c.host.Advise(api.TerminatedSubject(stream, c.name), func(id string, now time.Time) any {
		return api.NewTerminated(id, now, stream, c.name, dseq, seq, count, reason, domain)
	})
}

func (c *Consumer) adviseMaxDeliver(seq uint64, count uint64) {
	_, domain, stream := c.place()
	c.host.Advise(api.MaxDeliveriesSubject(stream, c.name), func(id string, now time.Time) any {
		return api.NewMaxDelivered(id, now, stream, c.name, seq, count, domain)
	})
}

func (c *Consumer) advisePause() {
	_, domain, stream := c.place()
	paused, until := c.paused(), time.Time{}
	if t := c.cfg.PauseUntil; t != nil {
		until = *t
	}
	c.host.Advise(api.ConsumerPauseSubject(stream, c.name), func(id string, now time.Time) any {
		return api.NewConsumerPaused(id, now, stream, c.name, paused, until, domain)
	})
}

func (c *Consumer) advisePinned() {
	account, domain, stream := c.place()
	group, pin := c.group.name, c.group.pin
	c.host.Advise(api.ConsumerPinnedSubject(stream, c.name), func(id string, now time.Time) any {
		return api.NewGroupPinned(id, now, account, stream, c.name, domain, group, pin)
	})
}

func (c *Consumer) adviseUnpinned(reason string) {
	account, domain, stream := c.place()
	group := c.group.name
	c.host.Advise(api.ConsumerUnpinnedSubject(stream, c.name), func(id string, now time.Time) any {
		return api.NewGroupUnpinned(id, now, account, stream, c.name, domain, group, reason)
	})
}
