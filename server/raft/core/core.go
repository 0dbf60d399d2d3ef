package core

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// MemberID names a member for good: a server that is removed and added again is another
// member. 0 is nobody.
type MemberID uint64

// Life tells apart what a member was before and after it forgot. 0 is not known yet.
type Life uint64

// FirstLife is the life of the members that a group is created with.
const FirstLife Life = 1

// Term numbers leaderships; 0 is before the first.
type Term uint64

// Index numbers entries from 1.
type Index uint64

// Kind says what an entry is.
type Kind uint8

// Kinds from 0 to KindHostMax are the host's; they fit the log's four bits.
const (
	KindHostMax Kind = 13
	// KindEmpty begins a leadership; machines skip it.
	KindEmpty Kind = 14
	// KindConfig holds an encoded [Config]; machines skip it.
	KindConfig Kind = 15
)

// Entry is one entry of the group's log.
type Entry struct {
	Index   Index
	Term    Term
	Kind    Kind
	Payload []byte // never changed
}

// HardState is what a member must not forget, whatever else it has.
type HardState struct {
	Term Term
	Vote MemberID
	Life Life
}

// Role is what a member does.
type Role uint8

// Roles.
const (
	Follower Role = iota
	PreCandidate
	Candidate
	Leader
)

func (r Role) String() string {
	return [...]string{"follower", "pre-candidate", "candidate", "leader"}[r]
}

// Standing is whether a member counts.
type Standing uint8

const (
	// Outside: no configuration that the member knows has it.
	Outside Standing = iota
	// Voter counts.
	Voter
	// Learning members get entries and do not count.
	Learning
	// Forgot: the configuration names another life of the member, so it does not count.
	Forgot
	// Damaged: entries must be got back before the member votes.
	Damaged
)

func (s Standing) String() string {
	return [...]string{"outside", "voter", "learner", "forgot", "damaged"}[s]
}

// Errors of proposals, reads and changes. Each is answered at once, and means that nothing was done.
var (
	// ErrNotLeader: another member leads, or nobody does.
	ErrNotLeader = errors.New("not the leader")
	// ErrBusy: more is uncommitted, or committed and not applied, than the options allow.
	ErrBusy = errors.New("too much is proposed and not yet committed or applied")
	// ErrTransferring: the leadership is being handed over.
	ErrTransferring = errors.New("the leadership is being transferred")
	// ErrPending: an earlier change of members is not finished.
	ErrPending = errors.New("a change of members is under way")
	// ErrBehind: the member is not known well enough, or has not caught up.
	ErrBehind = errors.New("the member has not caught up")
	// ErrChange: the change makes no sense for the present members; it is wrapped.
	ErrChange = errors.New("the change of members is not possible")
)

// Options of a member. Start from [DefaultOptions].
type Options struct {
	ID MemberID
	// Rand draws election time-outs and lives.
	Rand *rand.Rand
	// HeartbeatInterval is the silence a leader allows itself.
	HeartbeatInterval time.Duration
	// A follower campaigns after a silence drawn from ElectionMin to ElectionMax. ElectionMin is three
	// heartbeats or more.
	ElectionMin, ElectionMax time.Duration
	// HostHeartbeats: the host tells LeaderAlive and PeerAlive for all its groups at once, so
	// that the core sends heartbeats only to confirm reads and to find what got lost.
	HostHeartbeats bool
	// CommitDelay is how long followers may wait to hear what is committed when no entry
	// brings the news.
	CommitDelay time.Duration
	// AppendBytesMax bounds the payloads of one message; one entry always fits.
	AppendBytesMax int
	// InflightMessagesMax and InflightBytesMax bound what a follower was sent and has not acknowledged.
	InflightMessagesMax, InflightBytesMax int
	// UncommittedMax and UnappliedMax bound payload bytes: proposals above are refused.
	UncommittedMax, UnappliedMax int64
	// CacheBytes of applied entries stay in memory for followers that lag.
	CacheBytes int64
	// ApplyBytesMax bounds the committed payloads of one Ready.
	ApplyBytesMax int
	// ChunksMax is how many chunks of a snapshot may be under way to one follower.
	ChunksMax int
	// Log reads entries that the cache has no more; nil sends a snapshot instead.
	Log Reader
}

// Reader reads back entries that were handed to the log.
type Reader interface {
	// Entries appends entries from lo to below hi to dst, without a gap, until their payloads exceed
	// bytesMax. It may return none: [ErrReading] when they are being read and the host calls
	// LogRead later, any other error when they cannot be had.
	Entries(dst []Entry, lo, hi Index, bytesMax int) ([]Entry, error)
}

// ErrReading is what a Reader answers when the disk has to be asked.
var ErrReading = errors.New("the entries are being read")

// DefaultOptions are those of a production server.
func DefaultOptions(id MemberID, r *rand.Rand) Options {
	return Options{
		ID: id, Rand: r,
		HeartbeatInterval: 200 * time.Millisecond,
		ElectionMin:       600 * time.Millisecond, ElectionMax: 1200 * time.Millisecond,
		CommitDelay:    5 * time.Millisecond,
		AppendBytesMax: 256 << 10, InflightMessagesMax: 64, InflightBytesMax: 4 << 20,
		UncommittedMax: 64 << 20, UnappliedMax: 64 << 20,
		CacheBytes: 8 << 20, ApplyBytesMax: 1 << 20, ChunksMax: 4,
	}
}

// Validate tells all that is wrong.
func (o *Options) Validate() error {
	var errs []error
	if o.ID == 0 {
		errs = append(errs, errors.New("id is 0"))
	}
	if o.Rand == nil {
		errs = append(errs, errors.New("rand is nil"))
	}
	if o.HeartbeatInterval <= 0 || o.ElectionMin < 3*o.HeartbeatInterval || o.ElectionMax <= o.ElectionMin {
		errs = append(errs, fmt.Errorf("heartbeat %v, election %v to %v: want 0 < 3*heartbeat <= minimum < maximum",
			o.HeartbeatInterval, o.ElectionMin, o.ElectionMax))
	}
	if o.CommitDelay < 0 || o.AppendBytesMax <= 0 || o.InflightMessagesMax <= 0 || o.InflightBytesMax <= 0 ||
		o.UncommittedMax <= 0 || o.UnappliedMax <= 0 || o.CacheBytes < 0 || o.ApplyBytesMax <= 0 || o.ChunksMax <= 0 {
		errs = append(errs, errors.New("a bound is not above zero"))
	}
	return errors.Join(errs...)
}

// Core is one member of a group.
type Core struct {
	opts Options
	id   MemberID
	now  time.Duration
	wall int64 // Unix nanoseconds, as the host told last

	hard     HardState
	role     Role
	leader   MemberID
	log      tail
	configs  []configAt // ascending; the last is in force
	damaged  []Damage   // ascending
	failed   error
	suppress bool // never campaign

	commit    Index
	delivered Index // given to the host in a Ready
	applied   Index
	flushed   Index // the log holds everything up to it durably

	// uncommitted and unapplied are payload bytes; the first is counted by a leader only.
	uncommitted, unapplied int64

	durability
	outgoing
	follow
	election
	leading
	reading
	receiving
	sleeping
	memory
}

// follow is what a follower knows of its leader's log.
type follow struct {
	matched Index // the log equals the leader's of this term up to it
	acked   Index // last acknowledged to it
	heardAt time.Duration
}

// Start is what a member finds when it starts again.
type Start struct {
	Hard     HardState
	Snapshot SnapshotMeta // what the entries follow; the zero value when there is none
	Entries  []Entry      // without a gap; damaged ones have their places, too
	// Damaged lists the indexes of entries that were durable and cannot be read. Their terms in
	// Entries may be 0.
	Damaged []Index
	// Forgot tells that more may have been promised than is found here: votes, terms, entries.
	// A member that starts with nothing, be it new or wiped, Forgot by definition.
	Forgot bool
	Now    time.Duration
}

// Bootstrap makes a member of a group that is being created: all members are given the same voters and the same
// leader, which leads at once. Each writes the same first entry, which names the voters. It is allowed once in the life of a member id: a
// host that cannot tell whether it was called before uses Restart with Forgot.
func Bootstrap(o Options, voters []MemberID, leader MemberID, now time.Duration) (*Core, error) {
	cfg := Config{}
	for _, id := range voters {
		cfg.Voters = append(cfg.Voters, Member{ID: id, Life: FirstLife})
	}
	slices.SortStableFunc(cfg.Voters, compareMembers)
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("bootstrap of member %d: %w", o.ID, err)
	}
	if !cfg.Names(leader, FirstLife) || !cfg.Names(o.ID, FirstLife) {
		return nil, fmt.Errorf("bootstrap of member %d: %w: it and leader %d must be among the voters", o.ID, ErrChange, leader)
	}
	c, err := newCore(o, SnapshotMeta{}, now)
	if err != nil {
		return nil, err
	}
	c.setHard(HardState{Term: 1, Vote: leader, Life: FirstLife})
	first := Entry{Index: 1, Term: 1, Kind: KindConfig, Payload: AppendConfig(nil, &cfg)}
	c.configs = append(c.configs, configAt{first.Index, cfg})
	c.appendEntry(first)
	c.leader = leader
	c.heardAt = now
	if leader == o.ID {
		c.lead()
		c.begun = first.Index
	}
	return c, nil
}

// Restart makes a member from what it finds. It keeps the slices.
func Restart(o Options, s Start) (*Core, error) {
	c, err := newCore(o, s.Snapshot, s.Now)
	if err != nil {
		return nil, err
	}
	if err := c.load(s); err != nil {
		return nil, fmt.Errorf("restart of member %d: %w", o.ID, err)
	}
	c.hard = s.Hard
	if last := c.log.lastTerm(); last > c.hard.Term { // nothing was said in that term, or it would be durable
		c.hard.Term, c.hard.Vote = last, 0
	}
	if s.Forgot || c.hard.Life == 0 || c.junk > 0 {
		c.forget()
	}
	return c, nil
}

func newCore(o Options, snap SnapshotMeta, now time.Duration) (*Core, error) {
	if err := o.Validate(); err != nil {
		return nil, fmt.Errorf("member %d: %w", o.ID, err)
	}
	c := &Core{opts: o, id: o.ID, now: now}
	c.log.reset(snap.Index, snap.Term)
	c.configs = []configAt{{snap.Index, snap.Config}}
	c.commit, c.delivered, c.applied, c.flushed = snap.Index, snap.Index, snap.Index, snap.Index
	c.handed = snap.Index
	c.heardAt = now - o.ElectionMax
	c.drawTimeout()
	c.resetElection()
	c.changed = true
	return c, nil
}

// load takes the entries that were found.
func (c *Core) load(s Start) error {
	entries := inferTerms(s.Snapshot.Term, s.Entries, s.Damaged)
	for i := range entries {
		e := &entries[i]
		if e.Index != c.log.last+1 || e.Term < c.log.lastTerm() {
			return fmt.Errorf("entry %d of term %d follows %d of term %d", e.Index, e.Term, c.log.last, c.log.lastTerm())
		}
		if e.Kind == KindConfig && !slices.Contains(s.Damaged, e.Index) {
			cfg, err := ParseConfig(e.Payload)
			if err != nil {
				return fmt.Errorf("entry %d: %w", e.Index, err)
			}
			c.configs = append(c.configs, configAt{e.Index, cfg})
		}
		c.log.append(*e)
	}
	for _, i := range s.Damaged {
		if i > c.log.snap && i <= c.log.last {
			c.damaged = append(c.damaged, Damage{i, c.log.term(i)})
		}
	}
	c.flushed, c.handed = c.log.last, c.log.last
	if len(entries) < len(s.Entries) {
		c.junk = c.log.last + 1
	}
	return nil
}

// ID is the member's name.
func (c *Core) ID() MemberID { return c.id }

// Hard is the hard state, durable or not.
func (c *Core) Hard() HardState { return c.hard }

// Role is what the member does now.
func (c *Core) Role() Role { return c.role }

// LeaderID is the leader of the present term as far as it is known, else 0.
func (c *Core) LeaderID() MemberID { return c.leader }

// Last is the index of the last entry, durable or not.
func (c *Core) Last() Index { return c.log.last }

// Commit is the index up to which entries are known to be committed.
func (c *Core) Commit() Index { return c.commit }

// Flushed is the index up to which the log is durable here.
func (c *Core) Flushed() Index { return c.flushed }

// First is the index of the first entry that the log keeps.
func (c *Core) First() Index { return c.log.snap + 1 }

// TermAt is the term of an entry that the log has, or of the one before its first; else 0.
func (c *Core) TermAt(i Index) Term { return c.log.term(i) }

// Failed tells what made the member stop for good, or nil: a peer contradicted what is
// committed. Such a member says and does nothing any more.
func (c *Core) Failed() error { return c.failed }

// fail stops the member: going on would destroy what is committed.
func (c *Core) fail(err error) {
	if c.failed == nil {
		c.failed = err
		c.becomeFollower(c.hard.Term, 0)
		c.electionAt = 0
		c.changed = true
	}
}

// SetWall tells the host's wall clock, in Unix nanoseconds, which travels with acknowledgements.
func (c *Core) SetWall(unixNano int64) { c.wall = unixNano }

// SetSuppressed tells a member whether it must not campaign, for example while its server is about to stop.
func (c *Core) SetSuppressed(yes bool) { c.suppress = yes }
