package core

// Ready is what the host must carry out; see the package comment for the order.
type Ready struct {
	// Mark numbers what has to be made durable: Truncate, Append, Repair and Hard; 0 when there is nothing.
	Mark uint64
	// Truncate, when above 0, is the index from which the log's entries are invalid.
	Truncate Index
	// Append are the entries to add, without a gap.
	Append []Entry
	// Repair are entries to write in the place of damaged ones.
	Repair []Entry
	// Hard replaces the hard state if HardChanged.
	Hard        HardState
	HardChanged bool

	Messages []Message
	// Committed are the entries to apply, without a gap.
	Committed []Entry
	Reads     []Read

	// Chunks of a snapshot are to be stored, in order.
	Chunks []Chunk
	// Install, when its Index is above 0, is the snapshot that is complete and replaces state and log. Until
	// SnapshotInstalled is told, nothing is delivered, and the host takes no snapshot of its own.
	Install SnapshotMeta
	// Wants are the parts of snapshots that followers need.
	Wants []Want

	// State is news if Changed.
	State   State
	Changed bool
}

// State is what the world may want to know of a member.
type State struct {
	Term     Term
	Role     Role
	Leader   MemberID
	Standing Standing
	Asleep   bool
	// Stuck, when not empty, tells why no majority can be had without those who forgot or are damaged.
	Stuck string
}

// durability is what was handed to the log and is not durable yet.
type durability struct {
	mark      uint64 // of the last Ready that had something to persist
	persisted uint64
	writes    []write // handed over and not durable, ascending

	hardDirty bool
	hardMark  uint64 // with which the present hard state is durable
	handed    Index  // entries up to it were handed to the log
	cut       Index  // truncation to be handed over; 0 for none
	junk      Index  // from it on the log holds what cannot be used, which goes when its place is needed; 0 for none
	repairs   []Entry
}

// write is what one Ready handed over.
type write struct {
	mark uint64
	last Index // of the log at that time, less what was truncated since
}

// outgoing is what the next Ready brings.
type outgoing struct {
	msgs, spare []Message
	held        []heldMessage
	dropped     heldMessage
	arena       []Entry // entries of messages
	spareArena  []Entry
	appends     []Entry // of the Ready that is out
	commits     []Entry
	mended      []Entry
	reads       []Read
	spareReads  []Read
	chunks      []Chunk
	spareChunks []Chunk
	wants       []Want
	spareWants  []Want
	install     SnapshotMeta
	changed     bool
	told        State
	ready       Ready
}

// heldMax bounds what waits for a slow disk, in messages.
const heldMax = 1024

// heldMessage waits until mark is durable.
type heldMessage struct {
	mark uint64
	Message
}

// message begins a message to a member, which leaves when what it tells is durable. The
// pointer is valid until the next one.
func (c *Core) message(t Type, to MemberID) *Message {
	var m *Message
	if c.hardMark > c.persisted && len(c.held) >= heldMax {
		c.dropped.Message = Message{} // as if the network had lost it
		m = &c.dropped.Message
	} else if c.hardMark > c.persisted {
		c.held = append(c.held, heldMessage{mark: c.hardMark})
		m = &c.held[len(c.held)-1].Message
	} else {
		c.msgs = append(c.msgs, Message{})
		m = &c.msgs[len(c.msgs)-1]
	}
	m.Type, m.From, m.To = t, c.id, to
	m.Term, m.Life = c.hard.Term, c.hard.Life
	switch c.standing() {
	case Forgot:
		m.Flags = SaysForgot
	case Damaged:
		m.Flags = SaysDamaged
	}
	return m
}

// setHard changes the hard state; it is durable with the next mark.
func (c *Core) setHard(h HardState) {
	if h != c.hard {
		c.hard = h
		c.hardDirty = true
		c.hardMark = c.mark + 1
		c.changed = true
	}
}

// appendEntry adds the next entry to the log.
func (c *Core) appendEntry(e Entry) {
	if c.junk > 0 {
		c.cutFrom(c.junk)
		c.junk = 0
	}
	c.log.append(e)
}

// truncate removes the entries from i on, which is above what is committed.
func (c *Core) truncate(i Index) {
	c.log.truncate(i)
	for n := len(c.configs); n > 1 && c.configs[n-1].index >= i; n-- {
		c.configs = c.configs[:n-1]
	}
	for n := len(c.damaged); n > 0 && c.damaged[n-1].Index >= i; n-- {
		c.damaged = c.damaged[:n-1]
	}
	if i <= c.handed {
		c.cutFrom(i)
		c.handed = i - 1
	}
	for w := range c.writes {
		c.writes[w].last = min(c.writes[w].last, i-1)
	}
	c.flushed = min(c.flushed, i-1)
	c.changed = true
}

// cutFrom makes the next Ready truncate the log.
func (c *Core) cutFrom(i Index) {
	if c.cut == 0 || i < c.cut {
		c.cut = i
	}
}

// Persisted tells that everything that bore the mark, or one before it, is durable.
func (c *Core) Persisted(mark uint64) {
	if mark <= c.persisted || mark > c.mark || c.failed != nil {
		return
	}
	c.persisted = mark
	n := 0
	for n < len(c.writes) && c.writes[n].mark <= mark {
		c.flushed = max(c.flushed, c.writes[n].last)
		n++
	}
	c.writes = c.writes[:copy(c.writes, c.writes[n:])]
	c.release()
	c.votePersisted()
	if c.role == Leader {
		c.ownFlushed()
	} else {
		c.acknowledge()
	}
}

// release lets go what waited for the hard state.
func (c *Core) release() {
	n := 0
	for n < len(c.held) && c.held[n].mark <= c.persisted {
		c.msgs = append(c.msgs, c.held[n].Message)
		n++
	}
	if n > 0 {
		left := copy(c.held, c.held[n:])
		clear(c.held[left:])
		c.held = c.held[:left]
	}
}

// HasReady tells whether Ready has something.
func (c *Core) HasReady() bool {
	c.prepare()
	if c.changed && c.state() == c.told {
		c.changed = false
	}
	return c.mustPersist() || len(c.msgs) > 0 || c.toDeliver() > c.delivered || len(c.reads) > 0 ||
		len(c.chunks) > 0 || len(c.wants) > 0 || c.install.Index > 0 || c.changed
}

func (c *Core) mustPersist() bool {
	return c.hardDirty || c.cut > 0 || c.handed < c.log.last || len(c.repairs) > 0
}

// prepare makes what is due: messages are made late so that one carries much.
func (c *Core) prepare() {
	if c.role == Leader {
		c.startRound()
		c.feedAll()
	} else {
		c.forwardReads()
	}
}

// Ready gives what is to be carried out. It is valid until the next call.
func (c *Core) Ready() *Ready {
	c.prepare()
	r := &c.ready
	*r = Ready{}
	if c.mustPersist() {
		c.handOver(r)
	}
	r.Messages, c.msgs, c.spare = c.msgs, c.spare[:0], c.msgs
	c.arena, c.spareArena = c.spareArena[:0], c.arena
	r.Reads, c.reads, c.spareReads = c.reads, c.spareReads[:0], c.reads
	r.Chunks, c.chunks, c.spareChunks = c.chunks, c.spareChunks[:0], c.chunks
	r.Wants, c.wants, c.spareWants = c.wants, c.spareWants[:0], c.wants
	r.Install, c.install = c.install, SnapshotMeta{}
	if to := c.toDeliver(); to > c.delivered {
		c.deliver(r, to)
	}
	if c.changed {
		c.changed = false
		if s := c.state(); s != c.told {
			c.told = s
			r.State, r.Changed = s, true
		}
	}
	return r
}

// handOver gives the log its work.
func (c *Core) handOver(r *Ready) {
	c.mark++
	r.Mark, r.Truncate = c.mark, c.cut
	c.appends = append(c.appends[:0], c.log.held(c.handed+1, c.log.last+1)...)
	c.mended = append(c.mended[:0], c.repairs...)
	r.Append, r.Repair = c.appends, c.mended
	r.Hard, r.HardChanged = c.hard, c.hardDirty
	c.writes = append(c.writes, write{mark: c.mark, last: c.log.last})
	clear(c.repairs)
	c.repairs = c.repairs[:0]
	c.hardDirty, c.cut, c.handed = false, 0, c.log.last
}

// toDeliver is the index up to which the machine may get entries: committed, durable here, intact, and not too
// much at once.
func (c *Core) toDeliver() Index {
	to := min(c.commit, c.flushed)
	if len(c.damaged) > 0 {
		to = min(to, c.damaged[0].Index-1)
	}
	if c.mendPending() || c.installing() {
		to = c.delivered
	}
	return to
}

// deliver gives committed entries, some of which only the Reader may have after a restart.
func (c *Core) deliver(r *Ready, to Index) {
	c.commits = c.commits[:0]
	size := 0
	for _, e := range c.log.held(c.delivered+1, to+1) {
		size += len(e.Payload)
		if size > c.opts.ApplyBytesMax && len(c.commits) > 0 {
			break
		}
		c.commits = append(c.commits, e)
	}
	r.Committed = c.commits
	c.delivered += Index(len(c.commits))
}

// Applied tells that the machine has done everything up to index.
func (c *Core) Applied(index Index) {
	index = min(index, c.delivered)
	for _, e := range c.log.held(c.applied+1, index+1) {
		c.unapplied -= int64(len(e.Payload))
	}
	if index > c.applied {
		c.applied = index
	}
	c.trim()
}

// trim lets go of applied entries that memory need not hold.
func (c *Core) trim() {
	if c.opts.Log == nil {
		return // nobody else can give them to a follower
	}
	for c.log.bytes > c.opts.CacheBytes && c.log.first <= min(c.applied, c.flushed) {
		c.log.evict(c.log.first)
	}
}

// State tells the member's state now.
func (c *Core) State() State { return c.state() }

func (c *Core) state() State {
	return State{
		Term: c.hard.Term, Role: c.role, Leader: c.leader, Standing: c.standing(), Asleep: c.asleep, Stuck: c.stuck(),
	}
}

// standing is how far the member counts by its own knowledge.
func (c *Core) standing() Standing {
	cfg := &c.configs[len(c.configs)-1].Config
	life, votes := cfg.life(c.id)
	switch {
	case c.gone:
		return Outside
	case votes && life != c.hard.Life && !cfg.Names(c.id, c.hard.Life):
		return Forgot
	case len(c.damaged) > 0 || c.mendPending(): // whose configuration may be damaged, too
		return Damaged
	case !votes && cfg.learner(c.id) >= 0:
		return Learning
	case !votes:
		return Outside
	}
	return Voter
}
