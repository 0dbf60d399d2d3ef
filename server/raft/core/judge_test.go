package core

import (
	"fmt"
	"slices"
)

// judge knows what must hold over all members, and sees everything.
type judge struct {
	w         *world
	broken    []string
	leaders   map[Term]Member
	votes     map[ballot]MemberID
	committed []judged // by index-1
	states    []uint64 // machine hashes by applied index-1; 0 unknown
	asked     map[question]Index
	tainted   bool // damage or loss of memory happened: disks may hold less than was promised
	exempt    bool // entries may be lost legally: a loss was declared
	elections int
	commits   int
	reads     int
	cuts      int
	installs  int
	admitted  int
}

type judged struct {
	term Term
	hash uint64
	set  bool
	by   Term // in which it was committed, at the latest
}

type ballot struct {
	id   MemberID
	life Life
	term Term
}

type question struct {
	id       MemberID
	restarts int
	ctx      uint64
}

func (j *judge) violation(format string, args ...any) {
	if len(j.broken) < 10 {
		j.broken = append(j.broken, fmt.Sprintf(format, args...))
	}
}

// hard sees a hard state become durable: term-vote.
func (j *judge) hard(n *node, h HardState) {
	d := n.disk.hard
	if h.Life == d.Life && (h.Term < d.Term || h.Term == d.Term && d.Vote != 0 && h.Vote != d.Vote) {
		j.violation("RAFT.term-vote: member %d goes from term %d vote %d to term %d vote %d", n.id, d.Term, d.Vote, h.Term, h.Vote)
	}
}

// persist sees what is handed to the log: no-cut.
func (j *judge) persist(n *node, r *Ready) {
	if r.Truncate > 0 {
		j.cuts++
		again := len(r.Append) > 0 && r.Append[0].Index <= r.Truncate && r.Append[len(r.Append)-1].Index >= n.c.Commit()
		if r.Truncate <= n.c.Commit() && !again || r.Truncate <= n.machine.applied {
			j.violation("RAFT.no-cut: member %d truncates from %d, committed %d", n.id, r.Truncate, n.c.Commit())
		}
	}
	for i := range r.Append {
		e := &r.Append[i]
		if e.Index <= n.seen && j.committed[e.Index-1].term != e.Term {
			j.violation("RAFT.no-cut: member %d replaces committed entry %d", n.id, e.Index)
		}
	}
}

// sent sees a message leave: what it says must be durable.
func (j *judge) sent(n *node, m *Message) {
	h := n.disk.hard
	if m.Type != MsgPreVote && m.Type != MsgPreVoteReply && m.Term > h.Term {
		j.violation("RAFT.term-vote: member %d says term %d in %v, durable is %d", n.id, m.Term, m.Type, h.Term)
	}
	if m.Life != h.Life {
		j.violation("RAFT.members: member %d speaks in a life that is not durable", n.id)
	}
	switch {
	case m.Type == MsgVoteReply && !m.Is(Reject):
		j.voted(n, m, m.To)
	case m.Type == MsgVote:
		j.voted(n, m, n.id)
	case m.Type == MsgAppended && !m.Is(Reject):
		if m.Index > n.disk.last() || slices.ContainsFunc(n.disk.damaged, func(i Index) bool { return i <= m.Index }) {
			j.violation("RAFT.commit-rule: member %d acknowledges %d, durable is %d, damaged %v", n.id, m.Index, n.disk.last(), n.disk.damaged)
		}
	}
}

func (j *judge) voted(n *node, m *Message, who MemberID) {
	if h := n.disk.hard; h.Term == m.Term && h.Vote != who {
		j.violation("RAFT.term-vote: member %d votes for %d in term %d, durable is %d", n.id, who, m.Term, h.Vote)
	}
	if slices.ContainsFunc(n.disk.damaged, func(i Index) bool { return i <= n.c.Flushed() }) {
		j.violation("RAFT.members: damaged member %d votes", n.id)
	}
	if j.votes == nil {
		j.votes = map[ballot]MemberID{}
	}
	b := ballot{n.id, m.Life, m.Term}
	if old, known := j.votes[b]; known && old != who {
		j.violation("RAFT.term-vote: member %d votes for %d and %d in term %d", n.id, old, who, m.Term)
	}
	j.votes[b] = who
}

// look compares a member with what is known after a step.
func (j *judge) look(n *node) {
	c := n.c
	if err := c.Failed(); err != nil {
		j.violation("RAFT.log-match: member %d failed: %v", n.id, err)
		return
	}
	if c.Role() == Leader {
		j.leads(n)
	}
	if c.Commit() < n.seen {
		j.violation("RAFT.monotone: commit of member %d falls from %d to %d", n.id, n.seen, c.Commit())
	}
	for i := n.seen + 1; i <= c.Commit(); i++ {
		j.commit(n, i)
	}
	n.seen = c.Commit()
}

// leads sees a leader: one-leader, leader-complete.
func (j *judge) leads(n *node) {
	term := n.c.Hard().Term
	if j.leaders == nil {
		j.leaders = map[Term]Member{}
	}
	me := Member{n.id, n.c.Hard().Life}
	old, known := j.leaders[term]
	if known {
		if old != me {
			j.violation("RAFT.one-leader: %v and %v lead term %d", old, me, term)
		}
		return
	}
	j.leaders[term] = me
	j.elections++
	if at := n.c.State().Standing; at == Forgot || at == Damaged { // others may have to, without a vote of their own
		j.violation("RAFT.members: %d leads term %d as %v", n.id, term, n.c.State().Standing)
	}
	for i := n.c.First(); int(i) <= len(j.committed) && !j.exempt; i++ {
		if want := &j.committed[i-1]; want.set && want.by < term && n.c.TermAt(i) != want.term {
			j.violation("RAFT.leader-complete: %d leads term %d with entry %d of term %d, committed is term %d",
				n.id, term, i, n.c.TermAt(i), want.term)
			return
		}
	}
}

// commit sees a member learn that index is committed: log-match, leader-complete, commit-rule.
func (j *judge) commit(n *node, i Index) {
	for len(j.committed) < int(i) {
		j.committed = append(j.committed, judged{})
	}
	at := &j.committed[i-1]
	term := n.c.TermAt(i)
	hash, known := uint64(0), false
	if held := n.c.log.held(i, i+1); len(held) > 0 {
		hash, known = hashOf(&held[0]), true
		for _, d := range n.c.Damaged() {
			known = known && d.Index != i
		}
	}
	if i < n.c.First() {
		return // by a snapshot
	}
	switch {
	case !at.set:
		*at = judged{term, hash, true, n.c.Hard().Term}
		j.commits++
		if n.c.Role() == Leader {
			j.rule(n, i)
		}
	case known && at.hash == 0:
		at.hash = hash
	case at.term != term || known && at.hash != hash:
		j.violation("RAFT.apply-same: member %d has entry %d committed with term %d, it was term %d", n.id, i, term, at.term)
	}
}

// rule sees a leader commit: majorities hold it durably.
func (j *judge) rule(n *node, i Index) {
	if j.tainted {
		return
	}
	holds := func(m Member) bool {
		if int(m.ID) > len(j.w.nodes) {
			return false
		}
		d := &j.w.node(m.ID).disk
		if i <= d.snap.Index {
			return true
		}
		return d.last() >= i && d.entries[i-d.snap.Index-1].Term == n.c.TermAt(i) && d.hard.Life == m.Life
	}
	for f := len(n.c.configs) - 1; f >= 0; f-- { // committing may have begun the next change
		if n.c.configs[f].each(holds) {
			return
		}
		if n.c.configs[f].index <= i {
			break
		}
	}
	j.violation("RAFT.commit-rule: %d commits %d, which no majority holds", n.id, i)
}

// applied sees an entry reach a machine: apply-same, and durable here.
func (j *judge) applied(n *node, e *Entry) {
	j.state(n, e.Index)
	if e.Index > n.disk.last() {
		j.violation("RAFT.commit-rule: member %d applies %d, durable is %d", n.id, e.Index, n.disk.last())
	}
	if slices.Contains(n.disk.damaged, e.Index) {
		j.violation("RAFT.members: member %d applies damaged entry %d", n.id, e.Index)
	}
	if e.Kind == KindConfig {
		j.admitted++
	}
}

func (j *judge) state(n *node, i Index) {
	for len(j.states) < int(i) {
		j.states = append(j.states, 0)
	}
	if at := &j.states[i-1]; *at == 0 {
		*at = n.machine.hash
	} else if *at != n.machine.hash {
		j.violation("RAFT.apply-same: state of member %d at %d differs", n.id, i)
	}
}

func (j *judge) installed(n *node, meta SnapshotMeta) {
	j.installs++
	if n.disk.state.applied == n.machine.applied {
		j.state(n, meta.Index)
	}
}

// ask sees a read begin: whatever is committed anywhere by now must be seen.
func (j *judge) ask(n *node, ctx uint64) {
	most := Index(0)
	for _, o := range j.w.nodes {
		if o.c != nil {
			most = max(most, o.c.Commit())
		}
	}
	for i, e := range slices.Backward(j.committed) {
		if e.set {
			most = max(most, Index(i+1))
			break
		}
	}
	if j.asked == nil {
		j.asked = map[question]Index{}
	}
	j.asked[question{n.id, n.restarts, ctx}] = most
}

func (j *judge) answered(n *node, r Read) {
	q := question{n.id, n.restarts, r.Ctx}
	want, known := j.asked[q]
	if !known {
		j.violation("RAFT.lease: member %d answers read %d, which nobody asked", n.id, r.Ctx)
	}
	delete(j.asked, q)
	if r.OK {
		j.reads++
		if r.Index < want {
			j.violation("RAFT.lease: member %d reads at %d, committed when asked was %d", n.id, r.Index, want)
		}
	}
}

// logs compares all pairs of logs: log-match.
func (j *judge) logs() {
	for a, x := range j.w.nodes {
		for _, y := range j.w.nodes[a+1:] {
			if x.c != nil && y.c != nil {
				j.pair(x, y)
			}
		}
	}
}

func (j *judge) pair(x, y *node) {
	same := false
	for i := min(x.c.Last(), y.c.Last()); i >= max(x.c.First(), y.c.First()); i-- {
		if equal := x.c.TermAt(i) == y.c.TermAt(i); equal {
			same = true
		} else if same {
			j.violation("RAFT.log-match: %d and %d agree behind %d and have it with terms %d and %d", x.id, y.id, i, x.c.TermAt(i), y.c.TermAt(i))
			return
		}
	}
}
