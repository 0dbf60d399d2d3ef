package core

// Type says what a message is.
type Type uint8

// Messages, with the fields that they use besides From, To, Term, Life and Flags.
const (
	_ Type = iota
	// MsgAppend: the entries that follow Index of LogTerm; Commit.
	MsgAppend
	// MsgAppended: everything up to Index is durable. With Reject: no entry Index of LogTerm is here; one that
	// may fit is Hint, whose term is HintTerm.
	MsgAppended
	// MsgHeartbeat: Commit, as far as it concerns the receiver; Seq is the newest round of reads; Offset is a number that only
	// the present life of the receiver can know.
	MsgHeartbeat
	// MsgHeartbeatReply: Seq, Offset; Index is what was received, and Hint what of it is durable.
	MsgHeartbeatReply
	// MsgPreVote and MsgVote: the log ends at Index of LogTerm; ToLife is the life that would count.
	MsgPreVote
	// MsgPreVoteReply and MsgVoteReply: the answer to what the receiver was in the life ToLife.
	MsgPreVoteReply
	MsgVote
	MsgVoteReply
	// MsgTimeoutNow: campaign at once.
	MsgTimeoutNow
	// MsgRead: Seq is the sender's batch of reads. MsgReadReply: Seq, and Index to be applied.
	MsgRead
	MsgReadReply
	// MsgSnapshot: a chunk Data at Offset of snapshot Seq at Index of LogTerm, whose encoded configuration is
	// Meta; Last.
	MsgSnapshot
	// MsgSnapshotReply: everything before Offset of snapshot Seq at Index is stored. With Reject: send from
	// there.
	MsgSnapshotReply
	// MsgHello asks for the leader's attention; the log ends at Index of LogTerm. With Reject: here is no leader, only this member.
	MsgHello
	// MsgSleep: the group sleeps, and everybody has Index of LogTerm, which is committed.
	MsgSleep
	// MsgFetch asks for the entry Index of LogTerm. MsgFetched: it is in Entries. With Reject: it is not here any more.
	MsgFetch
	MsgFetched

	typeEnd
)

var typeNames = [...]string{
	"none", "append", "appended", "heartbeat", "heartbeat-reply", "prevote", "prevote-reply", "vote", "vote-reply",
	"timeout-now", "read", "read-reply", "snapshot", "snapshot-reply", "hello", "sleep", "fetch", "fetched",
}

func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return "unknown"
}

// Flags of a message.
type Flags uint8

const (
	// Reject: the answer is no.
	Reject Flags = 1 << iota
	// Transfer: the leader has asked for this campaign.
	Transfer
	// All: the campaign needs every voter.
	All
	// Last: the chunk ends the snapshot.
	Last
	// Gone: the receiver is no member any more, as of the configuration at Hint.
	Gone
	// SaysForgot and SaysDamaged tell the sender's standing.
	SaysForgot
	SaysDamaged
)

// Message travels between two members of a group. Which group is the host's to say.
type Message struct {
	Type         Type
	Flags        Flags
	From, To     MemberID
	Term         Term
	Life, ToLife Life
	Index        Index
	LogTerm      Term
	Commit       Index
	Hint         Index
	HintTerm     Term
	Seq          uint64
	Offset       uint64
	Clock        int64 // the sender's wall clock, Unix nanoseconds; 0 when it is not told
	Entries      []Entry
	Data, Meta   []byte
}

// Is tells whether the flag is set.
func (m *Message) Is(f Flags) bool { return m.Flags&f != 0 }

// most bounds terms and indexes: nobody gets there, and one more can be added.
const most = 1 << 62

// plausible tells whether m can be what a member sends to this one.
func (c *Core) plausible(m *Message) bool {
	if m.Type == 0 || m.Type >= typeEnd || m.To != c.id || m.From == c.id || m.From == 0 || m.Term == 0 && m.Type != MsgHello && m.Type != MsgFetch && m.Type != MsgFetched {
		return false
	}
	if max(uint64(m.Term), uint64(m.Index), uint64(m.Commit), uint64(m.LogTerm)) > most {
		return false
	}
	switch m.Type {
	case MsgAppend:
		last := m.LogTerm
		for i := range m.Entries {
			e := &m.Entries[i]
			if e.Index != m.Index+1+Index(i) || e.Term < last || e.Term > m.Term || e.Kind > KindConfig || e.Term == 0 {
				return false
			}
			last = e.Term
		}
	case MsgFetched:
		return m.Is(Reject) || len(m.Entries) == 1
	case MsgPreVote, MsgPreVoteReply:
		return m.Term > 0
	}
	return true
}

// Step takes a message. The core keeps its payloads.
func (c *Core) Step(m *Message) {
	if c.failed != nil || !c.plausible(m) {
		return
	}
	c.note(m)
	if m.Is(Gone) && m.Hint > c.configs[len(c.configs)-1].index && c.role != Leader {
		c.gone = true
		c.becomeFollower(c.hard.Term, 0)
		return
	}
	switch m.Type { // not bound to a term
	case MsgFetch:
		c.onFetch(m)
		return
	case MsgFetched:
		c.onFetched(m)
		return
	case MsgHello:
		c.onHello(m)
		return
	}
	if m.Term > c.hard.Term && !c.higher(m) {
		return
	}
	if m.Term < c.hard.Term {
		c.lower(m)
		return
	}
	c.dispatch(m)
}

// higher meets a message of a later term, and tells whether it is to be looked at.
func (c *Core) higher(m *Message) bool {
	switch m.Type {
	case MsgPreVote:
		return true
	case MsgPreVoteReply:
		if !m.Is(Reject) {
			return true // it echoes the term that we asked about
		}
	case MsgVote:
		if !m.Is(Transfer) && c.leaderFresh() {
			return false
		}
	case MsgAppend, MsgHeartbeat, MsgSnapshot, MsgSleep:
		c.becomeFollower(m.Term, m.From)
		return true
	}
	c.becomeFollower(m.Term, 0)
	return true
}

// lower answers a message of an earlier term, so that its sender learns of ours.
func (c *Core) lower(m *Message) {
	switch m.Type {
	case MsgAppend, MsgHeartbeat, MsgSnapshot, MsgSleep:
		r := c.message(MsgAppended, m.From)
		r.Flags |= Reject
		r.Index, r.LogTerm = m.Index, m.LogTerm
		r.Hint, r.HintTerm = c.log.before(min(m.Index, c.log.last), m.LogTerm)
	case MsgPreVote:
		r := c.message(MsgPreVoteReply, m.From)
		r.Flags |= Reject
		r.ToLife = m.Life
	case MsgVote:
		r := c.message(MsgVoteReply, m.From)
		r.Flags |= Reject
		r.ToLife = m.Life
	}
}

// dispatch takes a message of the present term, or one for which terms do not matter.
func (c *Core) dispatch(m *Message) {
	switch m.Type {
	case MsgPreVote:
		c.onPreVote(m)
	case MsgVote:
		c.onVote(m)
	case MsgPreVoteReply, MsgVoteReply:
		c.onVoteReply(m)
	case MsgTimeoutNow:
		c.onTimeoutNow(m)
	case MsgAppend, MsgHeartbeat, MsgSnapshot, MsgSleep:
		if !c.fromLeader(m) {
			return
		}
		switch m.Type {
		case MsgAppend:
			c.onAppend(m)
		case MsgHeartbeat:
			c.onHeartbeat(m)
		case MsgSnapshot:
			c.onSnapshot(m)
		case MsgSleep:
			c.onSleep(m)
		}
	case MsgReadReply:
		c.onReadReply(m)
	default:
		c.fromFollower(m)
	}
}
