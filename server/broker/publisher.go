package broker

import (
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/account"
)

// publisher is whoever publishes, a connection or the server itself: what it needs
// to find the receivers of a message and to hand over to each, at the end of a task,
// what the task brought it. It belongs to its strand.
type publisher struct {
	b      *Broker
	strand clock.Strand
	self   *Client             // nil for the server itself and for links
	from   *Link               // nil but for links
	name   string              // of the server's own
	about  *account.ClientInfo // the server's own; nil until asked for
	acc    *account.Account
	now    time.Duration // of the present task

	routes  routeCache
	touched []*stage
	staged  int  // bytes in touched stages
	lent    bool // some stage refers to the read buffer
	stages  map[*Client]*stage
	recent  *stage // that stageFor gave last
	sinks   map[*Sink]*stage
	linked  map[*Link]*stage
	stall   netsim.Conn // of the receiver that this batch must wait for
	crowded *Sink       // the sink that this batch must wait for
	batch   batchCounts
	ended   []*account.Subscription // reached their maximum in this flush
	scratch []byte
	mapped  []byte // subject after the account's mappings
	ack     []byte // reply subject that tells another server a subject too
	iov     [][]byte
	abroad  []record // of the present flush, through stream imports
}

// batchCounts are the statistics of one task, added to the shared counters at
// its end.
type batchCounts struct {
	inMsgs, inBytes   int64
	outMsgs, outBytes int64
}

// discard drops what was staged: the publisher has ended.
func (p *publisher) discard() {
	for _, s := range p.touched {
		s.reset(&p.b.buffers)
	}
	p.touched = nil
}

// letGo drops what a publisher keeps of receivers that have gone, now and then: one
// that publishes to others, or to nobody any more, would not notice.
func (p *publisher) letGo() {
	if p.gone() > 0 {
		p.forgetStages()
	}
}

// forgetStages drops the stages and whatever refers to them, so that receivers
// that have gone are not kept.
func (p *publisher) forgetStages() {
	clear(p.stages)
	p.recent = nil
	clear(p.sinks)
	clear(p.linked)
	p.forgetRoutes()
	if p.from != nil {
		p.from.epoch++
	}
}

// holds tells whether there are stages of any receiver.
func (p *publisher) holds() bool { return len(p.stages)+len(p.sinks)+len(p.linked) > 0 }

// forgetRoutes empties the cache of resolved subjects.
func (p *publisher) forgetRoutes() {
	p.routes.drop(p.acc)
}

// drop empties the cache of what was resolved in acc.
func (rc *routeCache) drop(acc *account.Account) {
	if n := len(rc.entries); n > 0 && acc != nil {
		acc.Index().CountCached(-n)
	}
	*rc = routeCache{seen: rc.seen, depth: rc.depth, hits: rc.hits}
}

// countHits adds the look-ups that the cache spared the index to its statistics.
func (p *publisher) countHits() {
	if p.routes.hits > 0 && p.acc != nil {
		p.acc.Index().CountHits(p.routes.hits)
		p.routes.hits = 0
	}
}

// sendersKeep is how many stages the server's own publishers keep from one task to the
// next: there are many of them, and most have few receivers.
const sendersKeep = 64

// stagesMax is how many stages are kept although the present batch did not need most.
func (p *publisher) stagesMax() int {
	if p.self == nil && p.from == nil {
		return sendersKeep
	}
	return cacheMax
}

// countOut adds what the batch brought to clients to the server's statistics.
func (p *publisher) countOut() {
	if n := &p.batch; n.outMsgs > 0 {
		p.b.stats.Out.Add(n.outMsgs, n.outBytes)
		n.outMsgs, n.outBytes = 0, 0
	}
}
