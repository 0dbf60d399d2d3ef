package core

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
)

// Damage is an entry that was durable and cannot be read.
type Damage struct {
	Index Index
	Term  Term
}

// memory is what is known of who can be relied on.
type memory struct {
	notes      []note // of members heard of, ascending
	mendMark   uint64 // with which the last repaired entry is durable
	mendFrom   Index  // the first entry that waits for it
	reform     bool   // see Reform
	lostVoters []MemberID
}

// note is how a member last spoke of itself.
type note struct {
	id      MemberID
	life    Life
	damaged bool
	// where its log ended when it said so
	last     Index
	lastTerm Term
}

// note remembers how a member speaks of itself. Only members are remembered, if they are known.
func (c *Core) note(m *Message) {
	i, known := slices.BinarySearchFunc(c.notes, m.From, func(n note, id MemberID) int {
		return cmp.Compare(n.id, id)
	})
	damaged := m.Is(SaysDamaged)
	if known && m.Type == MsgHello {
		c.notes[i].last, c.notes[i].lastTerm = m.Index, m.LogTerm
	}
	if !known {
		if !c.Config().Has(m.From) && len(c.Config().Voters) > 0 || m.Life == 0 || len(c.notes) >= 3*MembersMax {
			return
		}
		n := note{id: m.From, life: m.Life, damaged: damaged}
		if m.Type == MsgHello {
			n.last, n.lastTerm = m.Index, m.LogTerm
		}
		c.notes = slices.Insert(c.notes, i, n)
		c.changed = true
		return
	}
	if n := &c.notes[i]; m.Life != 0 && (n.life != m.Life || n.damaged != damaged) {
		n.life, n.damaged = m.Life, damaged
		c.changed = true
	}
}

// forget begins another life.
func (c *Core) forget() {
	l := Life(c.opts.Rand.Uint64())
	for l <= FirstLife {
		l = Life(c.opts.Rand.Uint64())
	}
	c.setHard(HardState{Term: c.hard.Term, Life: l})
}

// stuck tells why majorities of members that remember everything cannot be had, as far as those members spoke; else
// it is empty.
func (c *Core) stuck() string {
	cfg := c.Config()
	for _, half := range [...][]Member{cfg.Voters, cfg.Outgoing} {
		forgot, damaged := 0, 0
		for _, m := range half {
			switch c.condition(m) {
			case Forgot:
				forgot++
			case Damaged:
				damaged++
			}
		}
		if need := len(half)/2 + 1; len(half)-forgot-damaged < need && len(half) > 0 {
			return fmt.Sprintf("%d of %d voters forgot and %d are damaged: %d that remember everything are needed",
				forgot, len(half), damaged, need)
		}
	}
	return ""
}

// condition is what is known of a voter.
func (c *Core) condition(m Member) Standing {
	if m.ID == c.id {
		if c.hard.Life != m.Life {
			return Forgot
		}
		if len(c.damaged) > 0 || c.mendPending() {
			return Damaged
		}
		return Voter
	}
	for i := range c.notes {
		if n := &c.notes[i]; n.id == m.ID {
			switch {
			case n.life != m.Life:
				return Forgot
			case n.damaged:
				return Damaged
			}
		}
	}
	return Voter
}

// inferTerms gives damaged entries the terms that their neighbours leave no doubt about, and cuts the
// entries before one that remains without.
func inferTerms(before Term, entries []Entry, damaged []Index) []Entry {
	for i := range entries {
		e := &entries[i]
		if e.Term == 0 || slices.Contains(damaged, e.Index) {
			next := Term(0)
			for j := i + 1; j < len(entries) && next == 0; j++ {
				if !slices.Contains(damaged, entries[j].Index) {
					next = entries[j].Term
				}
			}
			switch {
			case e.Term != 0:
			case e.Index == 1: // every member wrote it when the group was created
				e.Term = 1
			case next == before && before != 0:
				e.Term = before
			default:
				return entries[:i]
			}
			e.Payload = nil
		}
		before = e.Term
	}
	return entries
}

// SetDamaged tells that entries which the log holds cannot be read there any more, nor from
// memory. A leader steps down.
func (c *Core) SetDamaged(indexes ...Index) {
	for _, i := range indexes {
		if i <= c.log.snap || i > c.log.last {
			continue
		}
		at, known := slices.BinarySearchFunc(c.damaged, i, func(d Damage, i Index) int { return cmp.Compare(d.Index, i) })
		if !known {
			c.damaged = slices.Insert(c.damaged, at, Damage{i, c.log.term(i)})
		}
	}
	if len(c.damaged) == 0 {
		return
	}
	c.changed = true
	c.takeBack()
	switch c.role {
	case Leader:
		c.resign()
	case PreCandidate, Candidate:
		c.becomeFollower(c.hard.Term, 0)
	}
	c.fetchDamaged()
}

// takeBack drops the promises that have not left yet.
func (c *Core) takeBack() {
	promise := func(m *Message) bool {
		return m.Type == MsgVote || m.Type == MsgHeartbeatReply || (m.Type == MsgVoteReply || m.Type == MsgAppended) && !m.Is(Reject)
	}
	c.held = slices.DeleteFunc(c.held, func(h heldMessage) bool { return promise(&h.Message) })
	c.msgs = slices.DeleteFunc(c.msgs, func(m Message) bool { return promise(&m) })
	c.acked = min(c.acked, c.damaged[0].Index-1)
}

// Damaged lists the entries that are still to be repaired.
func (c *Core) Damaged() []Damage { return c.damaged }

func (c *Core) dropDamage(upTo Index) {
	c.damaged = slices.DeleteFunc(c.damaged, func(d Damage) bool { return d.Index <= upTo })
}

// mendPending tells whether repaired entries are not durable yet.
func (c *Core) mendPending() bool { return c.mendMark > c.persisted }

// mend puts an entry in the place of the damaged one that it equals.
func (c *Core) mend(e *Entry) {
	i := slices.Index(c.damaged, Damage{e.Index, e.Term})
	if i < 0 {
		return
	}
	if e.Kind == KindConfig {
		cfg, err := ParseConfig(e.Payload)
		if err != nil {
			return
		}
		at := slices.IndexFunc(c.configs, func(f configAt) bool { return f.index > e.Index })
		if at < 0 {
			at = len(c.configs)
		}
		c.configs = slices.Insert(c.configs, at, configAt{e.Index, cfg})
	}
	c.damaged = slices.Delete(c.damaged, i, i+1)
	if !c.mendPending() || e.Index < c.mendFrom {
		c.mendFrom = e.Index
	}
	c.mendMark = c.mark + 1
	if e.Index >= c.log.first {
		held := c.log.at(e.Index)
		c.log.bytes += int64(len(e.Payload)) - int64(len(held.Payload))
		if e.Index <= c.commit && e.Index > c.applied {
			c.unapplied += int64(len(e.Payload)) - int64(len(held.Payload))
		}
		*held = *e
	}
	c.repairs = append(c.repairs, *e)
	c.changed = true
}

// fetchMax is how many damaged entries are asked for at a time.
const fetchMax = 64

// fetchDamaged asks the leader for the damaged entries, or everybody while there is none.
func (c *Core) fetchDamaged() {
	c.others = c.others[:0]
	if c.leader != 0 {
		c.others = append(c.others, c.leader)
	} else {
		c.others = c.Config().ids(c.others)
		for _, n := range c.notes { // the configuration may be what is damaged
			if !slices.Contains(c.others, n.id) {
				c.others = append(c.others, n.id)
			}
		}
	}
	for _, id := range c.others {
		if id == c.id {
			continue
		}
		for _, d := range c.damaged[:min(len(c.damaged), fetchMax)] {
			m := c.message(MsgFetch, id)
			m.Index, m.LogTerm = d.Index, d.Term
		}
	}
}

// onFetch gives an entry to a member that lost it to damage.
func (c *Core) onFetch(m *Message) {
	if slices.ContainsFunc(c.damaged, func(d Damage) bool { return d.Index == m.Index }) || !c.log.has(m.Index, m.LogTerm) && m.Index > c.log.snap {
		return
	}
	var found []Entry
	if held := c.log.held(m.Index, m.Index+1); len(held) > 0 {
		found = slices.Clone(held)
	} else if c.opts.Log != nil && m.Index > c.log.snap {
		var err error
		found, err = c.opts.Log.Entries(nil, m.Index, m.Index+1, 1)
		if errors.Is(err, ErrReading) {
			return // it is asked for again
		}
	}
	r := c.message(MsgFetched, m.From)
	r.Index, r.LogTerm = m.Index, m.LogTerm
	if len(found) == 1 && found[0].Index == m.Index && found[0].Term == m.LogTerm {
		r.Entries = found
		return
	}
	r.Flags |= Reject
	if p := c.find(m.From); c.role == Leader && p != nil && p.pace != snapshotting {
		c.beginSnapshot(p) // nobody has to have the entry any more
	}
}

func (c *Core) onFetched(m *Message) {
	if m.Is(Reject) || len(m.Entries) != 1 || len(c.damaged) == 0 {
		return
	}
	c.mend(&m.Entries[0])
}

// needsSnapshot tells whether damage that no log may hold any more makes a snapshot at index welcome.
func (c *Core) needsSnapshot(index Index) bool {
	return len(c.damaged) > 0 && c.damaged[0].Index <= index
}

// Reform allows an election by all voters, whatever they forgot, when no majority that remembers can
// be had. lost are voters whose loss an operator has declared: they are not waited for, and are
// members no more. The host allows it where its mode of flushing makes the loss of unsynced
// entries legal, or on an operator's word, and takes it back when the group is well.
func (c *Core) Reform(allow bool, lost ...MemberID) {
	c.reform = allow
	c.lostVoters = append(c.lostVoters[:0], lost...)
	if allow && c.role != Leader && c.electionAt == 0 {
		c.resetElection()
	}
}

// mayReform tells whether an election by all is allowed, needed, and has a chance: everybody who must
// vote has spoken, and nobody's log goes further.
func (c *Core) mayReform() bool {
	if !c.reform || c.suppress || c.failed != nil || c.installing() || c.stuck() == "" {
		return false
	}
	cfg := c.Config()
	for _, half := range [...][]Member{cfg.Voters, cfg.Outgoing} {
		for _, m := range half {
			if m.ID != c.id && !slices.Contains(c.lostVoters, m.ID) && !slices.ContainsFunc(c.notes, func(n note) bool {
				return n.id == m.ID && (n.lastTerm < c.log.lastTerm() || n.lastTerm == c.log.lastTerm() && n.last <= c.log.last)
			}) {
				return false
			}
		}
	}
	return true
}

// reformGap is how many terms an election by all leaves out: those that were used, and which
// everybody forgot, must not be used again.
const reformGap = 1 << 16

// allVoted tells whether every voter said yes.
func (c *Core) allVoted(cfg *Config) bool {
	for _, half := range [...][]Member{cfg.Voters, cfg.Outgoing} {
		for _, m := range half {
			if !slices.Contains(c.lostVoters, m.ID) && !slices.ContainsFunc(c.votes, func(v vote) bool { return v.member.ID == m.ID && v.granted }) {
				return false
			}
		}
	}
	return true
}

// nameLives begins the leadership that all voters gave: its first entry names them as they are now.
func (c *Core) nameLives() {
	old := c.Config()
	next := Config{Learners: old.clone().Learners}
	for _, m := range old.Voters {
		for _, v := range c.votes {
			if v.member.ID == m.ID && !slices.Contains(c.lostVoters, m.ID) {
				next.Voters = append(next.Voters, v.member)
			}
		}
	}
	c.votes = c.votes[:0]
	c.propose(next)
	c.ownFlushed()
}
