package founding

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// script is a world on a perfect network, for stories.
type script struct {
	*world
	t *testing.T
}

func newScript(t *testing.T, size int) script {
	w := newWorld(1, size)
	w.trace = t.Logf
	return script{w, t}
}

func (s script) start(servers ...int) {
	for _, i := range servers {
		s.servers[i-1].start()
	}
}

// lose stops a server and takes its disk.
func (s script) lose(i int) {
	s.servers[i-1].crash(false)
	s.servers[i-1].wipe()
}

func (s script) pass(d time.Duration) {
	s.run(d)
	require.Empty(s.t, s.violation)
}

// outcomes gives what each server was told last, in the order of servers.
func (s script) outcomes() string {
	var text []string
	for _, o := range s.servers {
		switch {
		case o.node == nil:
			text = append(text, "down")
		case o.outcomes == 0:
			text = append(text, "-")
		default:
			text = append(text, o.last.Kind.String())
		}
	}
	return strings.Join(text, " ")
}

func (s script) state(i int) string { return s.servers[i-1].node.State().String() }

func TestLoneServerFoundsAtOnce(t *testing.T) {
	s := newScript(t, 1)
	s.start(1)
	s.pass(20 * time.Millisecond)
	require.Equal(t, "found", s.outcomes())
	s.servers[0].crash(false)
	s.start(1)
	s.pass(time.Second)
	require.Equal(t, "resume", s.outcomes())
	require.Zero(t, s.servers[0].node.Deadline())
}

func TestThreeFoundTogether(t *testing.T) {
	s := newScript(t, 3)
	s.start(1, 2)
	require.Equal(t, "waiting for 2 of 3 servers: 1 here", s.state(1))
	s.pass(100 * time.Millisecond)
	require.Equal(t, "founding the cluster with 2 of 3 servers", s.state(1))
	s.start(3)
	s.pass(200 * time.Millisecond)
	require.Equal(t, "found found found", s.outcomes())
	require.Equal(t, []core.MemberID{10, 20, 30}, s.servers[2].last.Voters)
	require.Equal(t, core.MemberID(10), s.servers[2].last.Leader)
	require.Contains(t, s.state(2), ", which 3 of 3 servers here know")
}

func TestMajorityFoundsAfterPatienceAndTheLastOneJoins(t *testing.T) {
	s := newScript(t, 3)
	s.start(1, 2)
	s.pass(1900 * time.Millisecond)
	require.Equal(t, "- - down", s.outcomes())
	s.pass(time.Second)
	require.Equal(t, "found found down", s.outcomes())
	s.start(3)
	s.pass(100 * time.Millisecond)
	require.Equal(t, "found found join", s.outcomes())
}

func TestMinorityWaits(t *testing.T) {
	s := newScript(t, 5)
	s.start(1, 2, 3)
	s.pass(time.Second)
	s.servers[2].crash(false)
	s.pass(time.Hour)
	require.Equal(t, "- - down down down", s.outcomes())
	require.Equal(t, "waiting for 3 of 5 servers: 2 here: n3 is missing", s.state(1))
}

func TestWhoLostItsDiskJoins(t *testing.T) {
	s := newScript(t, 3)
	s.start(1, 2, 3)
	s.pass(time.Second)
	s.lose(1)
	s.start(1)
	s.pass(time.Second)
	require.Equal(t, "join found found", s.outcomes())
	s.lose(2) // one of three again, since the first one knows again
	s.servers[2].crash(false)
	s.start(2)
	s.pass(time.Second)
	require.Equal(t, "join join down", s.outcomes())
}

// The maker of the ballot is gone after the others have agreed: they end it by themselves.
func TestOthersCompleteWithoutTheFounder(t *testing.T) {
	s := newScript(t, 3)
	s.faults.writeMax = 0
	s.start(1, 2, 3)
	for s.holds == nil {
		s.pass(50 * time.Microsecond)
	}
	require.Nil(t, s.servers[0].node.cur.Settled)
	s.servers[0].crash(false)
	s.pass(5 * time.Second)
	require.Equal(t, "down found found", s.outcomes())
	s.start(1)
	s.pass(time.Second)
	require.Equal(t, "found found found", s.outcomes())
}

// The maker of the ballot is gone before anybody but itself agreed: the others found without it, and it
// takes part in theirs.
func TestOthersFoundWhenTheAttemptIsVoid(t *testing.T) {
	s := newScript(t, 3)
	s.start(1, 2, 3)
	first := s.servers[0]
	for first.node.cur.Accepted.Founding == nil {
		s.pass(time.Millisecond)
	}
	void := first.node.cur.Accepted.Founding.ID
	s.split(func(i int) int { return min(i, 1) })
	first.persist()
	s.pass(10 * time.Second)
	require.Equal(t, "- found found", s.outcomes())
	require.NotEqual(t, void, s.holds.ID)
	s.split(func(int) int { return 0 })
	s.pass(time.Second)
	require.Equal(t, "join found found", s.outcomes())
}

// A crash between the record and the member: the outcome is repeated.
func TestOutcomeIsRepeatedUntilBegun(t *testing.T) {
	s := newScript(t, 1)
	n := s.servers[0]
	s.start(1)
	for n.begin == nil {
		s.pass(100 * time.Microsecond)
	}
	n.crash(false)
	s.start(1)
	require.Equal(t, "found", s.outcomes())
	s.pass(time.Second)
	require.Equal(t, 1, n.created)
}

// What cannot be avoided: see "Lost disks" in the package comment. It is said aloud.
func TestTwoFoundingsAreAConflict(t *testing.T) {
	s := newScript(t, 3)
	s.start(1, 2)
	s.pass(5 * time.Second)
	s.split(func(i int) int { return min(i, 1) })
	s.lose(2)
	s.start(2, 3)
	s.lenient = true
	s.run(10 * time.Second)
	require.Contains(t, s.violation, " holds, and ")
	s.split(func(int) int { return 0 })
	s.run(time.Second)
	one, two := s.servers[0].node.State(), s.servers[2].node.State()
	require.Len(t, one.Conflicts, 2)
	require.Equal(t, []Conflict{{Peer: 10, Name: "n1", ID: one.ID}}, two.Conflicts)
	require.Equal(t, fmt.Sprintf("conflict: this server belongs to cluster %v, n1 to %v; they are never merged: one side has to be wiped", two.ID, one.ID), two.String())
}

func TestUnreadableRecordWaits(t *testing.T) {
	s := newScript(t, 3)
	s.servers[1].disk = Unreadable().Encode()
	s.start(1, 2)
	s.pass(time.Minute)
	require.Equal(t, "- - down", s.outcomes())
	require.Equal(t, "waiting for 2 of 3 servers: 1 here; n2 may have forgotten what it agreed to, and does not count", s.state(1))
	require.Equal(t, "may have forgotten what it agreed to: waits for a server that belongs to the cluster", s.state(2))
	s.start(3)
	s.pass(10 * time.Second)
	require.Equal(t, "found join found", s.outcomes())
}

func TestLargerNumberOfServersCounts(t *testing.T) {
	s := newScript(t, 5)
	s.servers[0].expected, s.servers[1].expected = 3, 3
	s.start(1, 2, 3)
	s.servers[2].crash(false)
	s.start(3)
	s.pass(50 * time.Millisecond)
	require.Contains(t, s.state(1), "n3 expects 5 servers, and 3 are expected here: 5 count")
	s.pass(10 * time.Second)
	require.Equal(t, "found found found down down", s.outcomes())
}

func TestOtherClustersAndNamesakesAreNotHeard(t *testing.T) {
	o := DefaultOptions(1, "n1", "c", 3, rand.New(rand.NewPCG(1, 1)))
	n, err := New(o, nil, 0)
	require.NoError(t, err)
	n.Up(1, "n1")
	n.Up(2, "n2")
	n.Message(2, appendStatement(nil, &statement{Kept: Kept{Self: Seat{2, 5}}, expected: 3, cluster: "d"}))
	n.Message(2, appendStatement(nil, &statement{Kept: Kept{Self: Seat{3, 5}}, expected: 3, cluster: "c"}))
	n.Message(9, appendStatement(nil, &statement{Kept: Kept{Self: Seat{9, 5}}, expected: 3, cluster: "c"}))
	require.Equal(t, `waiting for 2 of 3 servers: 1 here; n2 is of cluster "d" and not of "c"`, n.State().String())
}

// An old disk under a new name keeps what it knows, and is not the voter that the old name was.
func TestOldDiskUnderANewNameJoins(t *testing.T) {
	s := newScript(t, 3)
	s.start(1, 2, 3)
	s.pass(time.Second)
	kept, err := DecodeKept(s.servers[0].disk)
	require.NoError(t, err)
	n, err := New(DefaultOptions(99, "n9", "c", 3, rand.New(rand.NewPCG(1, 1))), kept, 0)
	require.NoError(t, err)
	require.Equal(t, Join, n.Ready().Outcome.Kind)
}

// A promise binds after a restart, and only those of its basis agree in a ballot.
func TestWhatIsAgreedTo(t *testing.T) {
	me, a, b := Seat{1, 11}, Seat{2, 12}, Seat{3, 13}
	f := &Founding{ID: ID{1}, Voters: []Seat{me, a}, Leader: 2}
	asks := func(round uint64, basis ...Seat) []byte {
		k := Kept{Self: a, Promised: Ballot{round, a.Birth}, Accepted: Proposal{Ballot{round, a.Birth}, basis, f}}
		return appendStatement(nil, &statement{Kept: k, expected: 3, cluster: "c"})
	}
	for _, tc := range []struct {
		name     string
		promised Ballot
		message  []byte
		agrees   bool
	}{
		{"a later ballot", Ballot{4, 13}, asks(5, me, a), true},
		{"the promised ballot", Ballot{5, 12}, asks(5, me, a), true},
		{"an earlier round", Ballot{6, 12}, asks(5, me, a), false},
		{"the same round of who comes before", Ballot{5, 13}, asks(5, me, a), false},
		{"a basis without this server", Ballot{4, 13}, asks(5, a, b), false},
		{"a basis with what this server was", Ballot{4, 13}, asks(5, Seat{1, 10}, a), false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			kept, err := DecodeKept((&Kept{Self: me, Promised: tc.promised}).Encode())
			require.NoError(t, err)
			n, err := New(DefaultOptions(1, "n1", "c", 3, rand.New(rand.NewPCG(1, 1))), kept, 0)
			require.NoError(t, err)
			n.Up(2, "n2")
			n.Message(2, tc.message)
			require.Equal(t, tc.agrees, n.cur.Accepted.Founding != nil)
			require.Nil(t, n.durable.Accepted.Founding)
			said := n.Ready().Messages[0].Data
			require.False(t, bytes.Contains(said, f.ID[:]), "said before it is durable")
		})
	}
}

func TestOptionsTellAllThatIsWrong(t *testing.T) {
	_, err := New(Options{Expected: ExpectedMax + 1}, nil, 0)
	require.EqualError(t, err, `founding: the server has no member id
founding: no source of randomness
founding: 1025 servers are expected; 1 to 1024 are allowed
founding: retry 0s must be above zero
founding: round 0s must be at least two retries (0s) and longer than gather (0s)`)
}

// Who was born after an attempt began does not count in it, whatever it promises.
func TestOnlyThoseAskedCount(t *testing.T) {
	for _, tc := range []struct {
		name     string
		birth    Birth
		proposes bool
	}{
		{"who was here when it began", 12, true},
		{"who lost its disk since", 22, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := DefaultOptions(1, "n1", "c", 3, rand.New(rand.NewPCG(1, 1)))
			n, err := New(o, &Kept{Self: Seat{1, 11}}, 0)
			require.NoError(t, err)
			says := func(birth Birth, promised Ballot) {
				k := Kept{Self: Seat{2, birth}, Promised: promised}
				n.Message(2, appendStatement(nil, &statement{Kept: k, expected: 3, cluster: "c"}))
			}
			n.Up(2, "n2")
			says(12, Ballot{})
			n.Advance(o.Patience)
			require.Equal(t, Ballot{1, 11}, n.Ready().Kept.Promised)
			n.Persisted()
			says(tc.birth, Ballot{1, 11})
			n.Advance(o.Patience + o.Gather)
			require.Equal(t, tc.proposes, n.cur.Accepted.Founding != nil)
		})
	}
}
