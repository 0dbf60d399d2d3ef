package broker

import (
	"encoding/binary"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/subject"
)

// target is one subscription that a subject reaches, with the receiver's stage
// of this publisher at hand so that delivery needs no search.
type target struct {
	sub *account.Subscription
	to  *Client // nil for internal subscriptions
	st  *stage
}

// group is a queue group: one member receives each message.
type group struct {
	name    string
	members []target     // of this server
	away    []awayMember // of others
}

// matched is a resolved subject: what the index found, with receivers looked up.
type matched struct {
	subject string
	res     subject.Result[*account.Subscription]
	plain   []target
	groups  []group
	links   []linkTarget // the other servers that have any of it
}

// routeCache keeps what recent subjects resolved to. Entries are checked against
// the index's generations, so a change of interest is seen by the next message.
type routeCache struct {
	last    *matched // of the previous message
	entries map[string]*matched
	seen    []uint32   // hashes of subjects resolved once: only a repeated subject is kept
	own     []*matched // of uncached look-ups, one for each account boundary that a message has crossed
	depth   int
	hits    int // of the present batch
	targets int // receivers in entries
}

const (
	cacheMax = 1024
	seenSize = 256 // a power of two
	// cacheTargetsMax bounds the receivers of all cached subjects together, as they
	// were when cached: subjects with many receivers make room for each other.
	cacheTargetsMax = 64 << 10
)

// lookup resolves subject in acc. The result is valid until the next lookup at
// the same depth.
func (p *publisher) lookup(acc *account.Account, subj []byte) *matched {
	rc := &p.routes
	if acc != p.acc || rc.depth > 0 {
		return p.resolve(acc, subj, rc.uncached())
	}
	index := acc.Index()
	if m := rc.last; m != nil && m.subject == string(subj) {
		if index.Fresh(&m.res) {
			rc.hits++
			return m
		}
		return p.resolve(acc, subj, m)
	}
	if m := rc.entries[string(subj)]; m != nil {
		if index.Fresh(&m.res) {
			rc.hits++
		} else {
			p.resolve(acc, subj, m)
		}
		rc.last = m
		return m
	}
	return p.admit(acc, subj)
}

// uncached is where a look-up that is not cached goes. Those of the boundaries
// before it are still walked.
func (rc *routeCache) uncached() *matched {
	for len(rc.own) <= rc.depth {
		rc.own = append(rc.own, &matched{})
	}
	return rc.own[rc.depth]
}

// admit resolves a subject that is not cached, and caches it when it comes a
// second time soon: unique subjects, such as inboxes, would only flood the cache.
func (p *publisher) admit(acc *account.Account, subj []byte) *matched {
	rc := &p.routes
	h := hashSubject(subj)
	if rc.seen == nil {
		rc.seen = make([]uint32, seenSize)
	}
	if slot := &rc.seen[h%seenSize]; *slot != h {
		*slot = h
		return p.resolve(acc, subj, rc.uncached())
	}
	if len(rc.entries) >= cacheMax || rc.targets >= cacheTargetsMax {
		acc.Index().CountCached(-len(rc.entries))
		clear(rc.entries)
		rc.targets = 0
	}
	if rc.entries == nil {
		rc.entries = make(map[string]*matched)
	}
	m := &matched{subject: string(subj)}
	rc.entries[m.subject] = m
	acc.Index().CountCached(1)
	rc.last = m
	p.resolve(acc, subj, m)
	rc.targets += m.res.Fanout()
	return m
}

// hashSubject mixes eight bytes at a time; it is never 0. Who makes subjects collide makes
// himself uncached.
func hashSubject(s []byte) uint32 {
	const k = 0x9e3779b97f4a7c15
	h := uint64(len(s)) * k
	for len(s) >= 8 {
		h = (h ^ binary.LittleEndian.Uint64(s)) * k
		h ^= h >> 32
		s = s[8:]
	}
	for _, b := range s {
		h = (h ^ uint64(b)) * k
	}
	return uint32(h>>32) | 1
}

// resolve asks the index and looks the receivers up.
func (p *publisher) resolve(acc *account.Account, subj []byte, m *matched) *matched {
	acc.Index().Match(subj, &m.res)
	clear(m.plain)
	m.plain = m.plain[:0]
	m.resetLinks()
	for _, sub := range m.res.Plain {
		if l, away := linkOf(sub); away {
			m.addAway(l, sub, nil, 0)
			continue
		}
		m.plain = append(m.plain, p.target(sub))
	}
	for len(m.groups) < len(m.res.Groups) {
		m.groups = append(m.groups, group{})
	}
	m.groups = m.groups[:len(m.res.Groups)]
	for i := range m.res.Groups {
		g := &m.groups[i]
		clear(g.members)
		g.name, g.members, g.away = m.res.Groups[i].Name, g.members[:0], g.away[:0]
		for _, member := range m.res.Groups[i].Members {
			if l, away := linkOf(member.Value); away {
				m.addAway(l, member.Value, g, int(member.Weight))
				continue
			}
			g.members = append(g.members, p.target(member.Value))
		}
	}
	return m
}

func (p *publisher) target(sub *account.Subscription) target {
	to, _ := sub.Owner.(*Client)
	return target{sub: sub, to: to}
}

// stageFor finds or makes this publisher's stage of a receiver.
func (p *publisher) stageFor(to *Client) *stage {
	if s := p.recent; s != nil && s.to == to {
		return s
	}
	s := p.stages[to]
	if s == nil {
		if p.stages == nil {
			p.stages = make(map[*Client]*stage)
		}
		s = &stage{to: to}
		p.stages[to] = s
	}
	p.recent = s
	return s
}

// route delivers m to everybody in acc who should receive it and tells whether
// anybody did.
func (p *publisher) route(acc *account.Account, m *message) bool {
	r := p.lookup(acc, m.subject)
	if len(r.links) > 0 {
		return p.routeAway(r, acc, m)
	}
	if len(r.plain) == 0 && len(r.groups) == 0 {
		return false
	}
	delivered := false
	for i := range r.plain {
		if p.deliver(&r.plain[i], acc, m) {
			delivered = true
		}
	}
	for i := range r.groups {
		if p.deliverGroup(&r.groups[i], acc, m) {
			delivered = true
		}
	}
	return delivered
}

// deliverGroup tries members from a random start until one takes the message.
func (p *publisher) deliverGroup(g *group, acc *account.Account, m *message) bool {
	n := len(g.members)
	if n == 0 {
		return false
	}
	start := 0
	if n > 1 {
		start = p.strand.Rand("queue").IntN(n)
	}
	for i := range n {
		if p.deliver(&g.members[(start+i)%n], acc, m) {
			return true
		}
	}
	return false
}

// deliver gives m to one subscription and tells whether it was taken.
func (p *publisher) deliver(t *target, acc *account.Account, m *message) bool {
	sub, to := t.sub, t.to
	if to == nil {
		return p.deliverInternal(t, acc, m)
	}
	if to == p.self && !to.echo {
		return false
	}
	if sub.Closed() || to.out.stalled.Load() && p.dropsFor(to) {
		return false
	}
	if to.out.filters.Load() && to.denies(sub, p.localSubject(sub, m)) {
		return false
	}
	counted := sub.Limited()
	if counted && !to.reserve(sub, p.self) {
		return false
	}
	if t.st == nil {
		t.st = p.stageFor(to)
	}
	p.stageMessage(t.st, sub, m, counted)
	return true
}

// dropsFor tells whether a message is lost on a receiver that was found to have much
// pending, because its producers are not to wait. It looks again: a reload may have
// changed what they are to do, and who was to end this state.
func (p *publisher) dropsFor(to *Client) bool {
	if p.self == nil || to == p.self {
		return false
	}
	o := p.b.options()
	if o.NoFastProducerStall && int64(to.conn.Buffered()) > o.MaxPending/4*3 {
		return true
	}
	to.out.stalled.Store(false)
	return false
}

// denies tells whether the receiver's permissions keep subject from a wildcard
// subscription that overlaps what is denied.
func (c *Client) denies(sub *account.Subscription, subj []byte) bool {
	p := c.perms.Load()
	return p != nil && p.DeniesDelivery(subj, sub.Queue)
}

// reserve counts one delivery of a subscription with auto-unsubscribe, on the
// receiver's side, and ends the subscription with its last one: at once when the
// receiver is the publisher itself, whose next operation may use the sid anew.
func (c *Client) reserve(sub *account.Subscription, from *Client) bool {
	n := sub.Counter()
	c.out.mu.Lock()
	if n.Closed() || n.Max > 0 && n.Delivered >= n.Max {
		c.out.mu.Unlock()
		return false
	}
	n.Delivered++
	last := n.Max > 0 && n.Delivered >= n.Max
	c.out.mu.Unlock()
	switch {
	case last && c == from:
		c.removeSub(n)
	case last:
		c.strand.Post(func() { c.removeSub(n) })
	}
	return true
}

// localSubject is the subject under which the owner of sub sees a message.
func (p *publisher) localSubject(sub *account.Subscription, m *message) []byte {
	if sub.Shadow == nil || m.shown != nil {
		return m.seen()
	}
	p.scratch = sub.Shadow.Import.AppendLocal(p.scratch[:0], m.subject)
	return p.scratch
}
