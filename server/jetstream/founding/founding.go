package founding

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// ExpectedMax bounds how many servers a configuration may name.
const ExpectedMax = 1024

// ID names a founded cluster: 128 random bits. The zero value names none.
type ID [16]byte

const (
	idLength = 22 // digits of base 62 that 128 bits need
	digits   = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

// String gives 22 letters and digits.
func (id ID) String() string {
	var text [idLength]byte
	for i := range text {
		rest := 0
		for j := range id { // a long division by 62
			v := rest<<8 | int(id[j])
			id[j], rest = byte(v/62), v%62
		}
		text[idLength-1-i] = digits[rest]
	}
	return string(text[:])
}

func drawID(r *rand.Rand) (id ID) {
	for id == (ID{}) {
		for i := range id {
			id[i] = byte(r.Uint32())
		}
	}
	return id
}

// Birth tells apart what a server was before and after it lost its disk: it is drawn when a server
// finds nothing kept, and is durable before it is spoken. 0 is none.
type Birth uint64

// Seat is a server with the memory it has.
type Seat struct {
	ID    core.MemberID
	Birth Birth
}

func compareSeats(a, b Seat) int {
	return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Birth, b.Birth))
}

// Founding is what is agreed upon. It never changes.
type Founding struct {
	ID     ID
	Voters []Seat // the first members of the meta group: ascending by id, at most core.MembersMax
	Leader core.MemberID
}

// names tells whether the server, with this memory, is one of the first members.
func (f *Founding) names(s Seat) bool { return slices.Contains(f.Voters, s) }

// Ballot numbers an attempt. Ballots are ordered by round, then by who makes them; the zero value is
// below all.
type Ballot struct {
	Round uint64
	By    Birth
}

// roundMax bounds rounds, so that nobody can make the next one overflow.
const roundMax = 1 << 48

func (b Ballot) compare(o Ballot) int {
	return cmp.Or(cmp.Compare(b.Round, o.Round), cmp.Compare(b.By, o.By))
}

func (b Ballot) above(o Ballot) bool { return b.compare(o) > 0 }
func (b Ballot) none() bool          { return b == Ballot{} }

// Proposal is a founding that one ballot puts forward. No Founding: there is none.
type Proposal struct {
	Ballot   Ballot
	Basis    []Seat // who promised this ballot: nobody else may agree in it; ascending by id
	Founding *Founding
}

// Kept is what a server keeps durably. What it points to never changes.
type Kept struct {
	Self Seat
	// Forgot: more may have been promised than is kept. Such a server takes no part in a founding and
	// waits to be told of one.
	Forgot   bool
	Promised Ballot    // takes part in no ballot below
	Accepted Proposal  // has agreed to; not yet known to hold
	Settled  *Founding // holds: for good
	// Begun: the host has durably created, or opened, its member of the meta group.
	Begun bool
}

// Unreadable is what a server starts with that kept something but cannot read it, or that
// has other reason to believe that it took part in a founding that it does not remember.
func Unreadable() *Kept { return &Kept{Forgot: true} }

// Options say who a server is. Start from [DefaultOptions].
type Options struct {
	Self     core.MemberID
	Name     string // of the server, for people
	Cluster  string // its name: servers of another one are not listened to
	Expected int    // servers that the configuration names, this one included: 1 to ExpectedMax
	Rand     *rand.Rand

	// Patience is how long a majority waits for the others, so that the founding names, and
	// is remembered by, as many as can be. Zero or more.
	Patience time.Duration
	// Retry is how often a server that waits repeats what it says. Above zero.
	Retry time.Duration
	// Gather is how long an attempt waits for promises beyond a majority. Zero or more.
	Gather time.Duration
	// Round is how long an attempt may take before another is made. It must be at least
	// two retries and longer than Gather.
	Round time.Duration
}

// DefaultOptions are for a network of a server's usual round trips, below 100 ms.
func DefaultOptions(self core.MemberID, name, cluster string, expected int, r *rand.Rand) Options {
	return Options{
		Self: self, Name: name, Cluster: cluster, Expected: expected, Rand: r,
		Patience: 2 * time.Second, Retry: 500 * time.Millisecond, Gather: 250 * time.Millisecond, Round: 2 * time.Second,
	}
}

// Validate tells everything that is wrong.
func (o *Options) Validate() error {
	var errs []error
	bad := func(wrong bool, format string, args ...any) {
		if wrong {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	bad(o.Self == 0, "founding: the server has no member id")
	bad(o.Rand == nil, "founding: no source of randomness")
	bad(o.Expected < 1 || o.Expected > ExpectedMax, "founding: %d servers are expected; 1 to %d are allowed", o.Expected, ExpectedMax)
	bad(len(o.Cluster) > clusterNameMax, "founding: the cluster's name has %d bytes; at most %d are allowed", len(o.Cluster), clusterNameMax)
	bad(o.Patience < 0 || o.Gather < 0, "founding: patience %v and gather %v must not be negative", o.Patience, o.Gather)
	bad(o.Retry <= 0, "founding: retry %v must be above zero", o.Retry)
	bad(o.Round < 2*o.Retry || o.Round <= o.Gather, "founding: round %v must be at least two retries (%v) and longer than gather (%v)", o.Round, o.Retry, o.Gather)
	return errors.Join(errs...)
}

// OutcomeKind is what a host has to do about the meta group.
type OutcomeKind uint8

const (
	// Found: make the member with [core.Bootstrap] of Voters and Leader, unless the log has
	// it already. Then call [Node.Begun].
	Found OutcomeKind = iota + 1
	// Join: the cluster exists, and this server is no member with memory. Open the group as one that
	// forgot and wait to be admitted, unless the log has the member already. Then call [Node.Begun].
	Join
	// Resume: an earlier run of the server has begun. Open the member that the log has; when
	// the log has none, that is a loss of memory: open it as one that forgot.
	Resume
)

func (k OutcomeKind) String() string {
	switch k {
	case Found:
		return "found"
	case Join:
		return "join"
	case Resume:
		return "resume"
	}
	return "none"
}

// Outcome is the end of the matter. All servers' outcomes with the same ID have the same voters and leader.
type Outcome struct {
	Kind   OutcomeKind
	ID     ID
	Voters []core.MemberID // ascending
	Leader core.MemberID
}
