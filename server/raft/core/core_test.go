package core

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func options(id MemberID) Options { return DefaultOptions(id, rand.New(rand.NewPCG(uint64(id), 7))) }

func TestOptionsTellAllThatIsWrong(t *testing.T) {
	o := options(1)
	require.NoError(t, o.Validate())
	o.ID, o.Rand, o.ElectionMin, o.ApplyBytesMax = 0, nil, o.HeartbeatInterval, 0
	require.EqualError(t, o.Validate(), "id is 0\nrand is nil\n"+
		"heartbeat 200ms, election 200ms to 1.2s: want 0 < 3*heartbeat <= minimum < maximum\na bound is not above zero")
	_, err := Restart(o, Start{})
	require.ErrorContains(t, err, "member 0: id is 0")
}

func TestBootstrapRefusesWhatMakesNoSense(t *testing.T) {
	for _, tc := range []struct {
		name   string
		voters []MemberID
		leader MemberID
	}{
		{"nobody", nil, 1},
		{"not a member itself", []MemberID{2, 3}, 2},
		{"leader is no member", []MemberID{1, 2}, 3},
		{"a member twice", []MemberID{1, 2, 2}, 1},
		{"id 0", []MemberID{0, 1}, 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Bootstrap(options(1), tc.voters, tc.leader, 0)
			require.ErrorIs(t, err, ErrChange)
		})
	}
}

func TestRestartRefusesALogThatIsNone(t *testing.T) {
	cfg := Config{Voters: []Member{{1, 1}}}
	first := Entry{1, 1, KindConfig, AppendConfig(nil, &cfg)}
	for _, tc := range []struct {
		name    string
		entries []Entry
		want    string
	}{
		{"a gap", []Entry{first, {Index: 3, Term: 1}}, "restart of member 1: entry 3 of term 1 follows 1 of term 1"},
		{"a falling term", []Entry{{1, 2, KindEmpty, nil}, {Index: 2, Term: 1}}, "restart of member 1: entry 2 of term 1 follows 1 of term 2"},
		{"no configuration", []Entry{{1, 1, KindConfig, []byte("?")}}, "restart of member 1: entry 1: a configuration is not encoded as one"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := Restart(options(1), Start{Hard: HardState{Term: 2, Life: 1}, Entries: tc.entries})
			require.EqualError(t, err, tc.want)
		})
	}
	c, err := Restart(options(1), Start{Hard: HardState{Term: 1, Vote: 1, Life: 1}, Entries: []Entry{first, {2, 3, 0, nil}}})
	require.NoError(t, err)
	require.Equal(t, HardState{Term: 3, Life: 1}, c.Hard(), "nothing was said in term 3, or it would be durable")
	require.Equal(t, Voter, c.State().Standing)
}

// started is a group of three without faults, whose leader is 1.
func started(t *testing.T, tune func(*Options)) *world {
	w := newWorld(1)
	w.tune = tune
	w.bootstrap(3, 1)
	w.settle()
	t.Cleanup(func() {
		w.judge.logs()
		require.Empty(t, w.judge.broken)
	})
	return w
}

func propose(t *testing.T, n *node, payloads ...string) {
	for _, p := range payloads {
		_, err := n.c.Propose(0, []byte(p))
		require.NoError(t, err)
	}
	n.pump()
}

func TestProposalsAreTakenTogetherOrNotAtAll(t *testing.T) {
	w := started(t, func(o *Options) { o.UncommittedMax = 4 })
	l := w.node(1)
	first, err := l.c.Propose(3, []byte("ab"), []byte("c"))
	require.NoError(t, err)
	require.EqualValues(t, 2, first)
	require.EqualValues(t, 3, l.c.Last())
	_, err = l.c.Propose(3, []byte("x"), []byte("y"))
	require.ErrorIs(t, err, ErrBusy)
	require.EqualValues(t, 3, l.c.Last())
	_, err = w.node(2).c.Propose(3, []byte("x"))
	require.ErrorIs(t, err, ErrNotLeader)
	l.pump()
	w.settle()
	require.Equal(t, Kind(3), l.c.log.at(2).Kind)
	_, err = l.c.Propose(KindConfig, []byte("no configuration"))
	require.NoError(t, err)
	require.Equal(t, KindHostMax, l.c.log.at(4).Kind, "the core's kinds are its own")
}

func TestCommittedComesInPieces(t *testing.T) {
	w := started(t, func(o *Options) { o.ApplyBytesMax = 3 })
	l := w.node(1)
	propose(t, l, "ab", "cd", "efghi", "j", "k")
	w.settle()
	c := w.node(2).c
	require.EqualValues(t, 6, l.machine.applied)
	require.Less(t, c.delivered, Index(6))
	w.pass(10 * time.Millisecond)
	require.EqualValues(t, 6, w.node(2).machine.applied)
}

func TestEntriesAreReadBackForWhoLags(t *testing.T) {
	for _, tc := range []struct {
		name     string
		damaged  bool
		installs int
	}{{"read from the log", false, 0}, {"a snapshot when they cannot be read", true, 1}} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(1)
			w.readers = true
			w.bootstrap(3, 1)
			w.settle()
			l := w.node(1)
			w.node(3).crash(0)
			for i := range 20 {
				propose(t, l, fmt.Sprint(i, "........"))
				w.settle()
			}
			require.Greater(t, l.c.log.first, Index(10), "what is applied is forgotten")
			if tc.damaged {
				l.compact()
				l.disk.entries = nil
			}
			w.node(3).start()
			w.pass(400 * time.Millisecond)
			require.Equal(t, l.machine, w.node(3).machine)
			require.Equal(t, tc.installs, w.judge.installs)
			require.Empty(t, w.judge.broken)
		})
	}
}

func TestSnapshotsSayWhatTheyReplace(t *testing.T) {
	w := started(t, nil)
	l := w.node(1)
	propose(t, l, "a", "b")
	w.settle()
	meta, ok := l.c.SnapshotAt(2)
	require.True(t, ok)
	require.Equal(t, SnapshotMeta{2, 1, *l.c.Config()}, meta)
	_, ok = l.c.SnapshotAt(4)
	require.False(t, ok, "not applied")
	l.c.SnapshotTaken(2)
	require.EqualValues(t, 3, l.c.First())
	l.c.SnapshotTaken(99)
	require.EqualValues(t, 4, l.c.First(), "no further than what is applied")
	_, ok = l.c.SnapshotAt(1)
	require.False(t, ok, "the log begins behind it")
	require.Equal(t, Term(1), l.c.TermAt(3))
	require.Zero(t, l.c.TermAt(2))
}

func TestNeededIsWhatTheSlowestLiveFollowerNeeds(t *testing.T) {
	w := started(t, nil)
	l := w.node(1)
	propose(t, l, "a")
	w.settle()
	require.EqualValues(t, 2, l.c.Needed())
	w.cut[0][2], w.cut[2][0] = true, true
	propose(t, l, "b")
	w.settle()
	require.EqualValues(t, 2, l.c.Needed())
	w.pass(200 * time.Millisecond)
	require.EqualValues(t, 3, l.c.Needed(), "who is not heard of is not waited for")
}

func TestWhoContradictsWhatIsCommittedIsNotFollowed(t *testing.T) {
	w := started(t, nil)
	propose(t, w.node(1), "a")
	w.settle()
	w.pass(10 * time.Millisecond)
	for _, tc := range []struct {
		name string
		m    Message
		want string
	}{
		{"an entry", Message{Type: MsgAppend, Term: 9, Index: 1, LogTerm: 1, Entries: []Entry{{Index: 2, Term: 9}}},
			"entry 2 of term 1 is committed; leader 3 has it with term 9"},
		{"what precedes", Message{Type: MsgAppend, Term: 9, Index: 2, LogTerm: 8}, "entry 2 of term 1 is committed; leader 3 has it with term 8"},
		{"a second leader", Message{Type: MsgHeartbeat, Term: 1}, "members 1 and 3 say that they lead term 1"},
		{"no configuration", Message{Type: MsgAppend, Term: 9, Index: 2, LogTerm: 1, Entries: []Entry{{3, 9, KindConfig, nil}}},
			"entry 3 of leader 3: a configuration is not encoded as one"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			n := w.node(2)
			c, err := Restart(options(2), Start{Hard: n.disk.hard, Entries: slices.Clone(n.disk.entries)})
			require.NoError(t, err)
			c.Step(&Message{Type: MsgAppend, From: 1, To: 2, Term: 1, Life: 1, Index: 2, LogTerm: 1, Commit: 2})
			require.EqualValues(t, 2, c.Commit())
			tc.m.From, tc.m.To, tc.m.Life = 3, 2, 1
			c.Step(&tc.m)
			require.EqualError(t, c.Failed(), tc.want)
			require.EqualValues(t, 2, c.Last())
			_, due := c.Deadline()
			require.False(t, due)
			c.Step(&Message{Type: MsgVote, From: 3, To: 2, Term: 99, Life: 1, ToLife: 1, Index: 99, LogTerm: 99})
			require.Less(t, c.Hard().Term, Term(99), "it does nothing any more")
		})
	}
}

func TestMessagesThatMakeNoSenseAreDropped(t *testing.T) {
	w := started(t, nil)
	c := w.node(2).c
	before := c.State()
	for _, m := range []Message{
		{},
		{Type: typeEnd, From: 1, To: 2, Term: 5},
		{Type: MsgHeartbeat, From: 1, To: 3, Term: 5},
		{Type: MsgHeartbeat, From: 2, To: 2, Term: 5},
		{Type: MsgHeartbeat, To: 2, Term: 5},
		{Type: MsgHeartbeat, From: 1, To: 2, Term: most + 1},
		{Type: MsgHeartbeat, From: 1, To: 2},
		{Type: MsgAppend, From: 1, To: 2, Term: 5, Index: 1, LogTerm: 1, Entries: []Entry{{Index: 3, Term: 1}}},
		{Type: MsgAppend, From: 1, To: 2, Term: 5, Index: 1, LogTerm: 2, Entries: []Entry{{Index: 2, Term: 1}}},
		{Type: MsgAppend, From: 1, To: 2, Term: 5, Index: 1, LogTerm: 1, Entries: []Entry{{Index: 2, Term: 6}}},
		{Type: MsgAppend, From: 1, To: 2, Term: 5, Index: 1, LogTerm: 1, Entries: []Entry{{Index: 2, Term: 1, Kind: KindConfig + 1}}},
		{Type: MsgFetched, From: 1, To: 2},
	} {
		c.Step(&m)
	}
	require.Equal(t, before, c.State())
	require.False(t, c.HasReady())
}

func TestTransferIsRefusedWithAReason(t *testing.T) {
	w := started(t, nil)
	l := w.node(1).c
	require.ErrorIs(t, w.node(2).c.TransferLeadership(1), ErrNotLeader)
	require.ErrorIs(t, l.TransferLeadership(9), ErrChange)
	require.NoError(t, l.TransferLeadership(1))
	require.Zero(t, l.Transferring())
	require.NoError(t, l.TransferLeadership(2))
	require.EqualValues(t, 2, l.Transferring())
	require.NoError(t, l.TransferLeadership(2))
	require.ErrorIs(t, l.TransferLeadership(3), ErrTransferring)
	_, err := l.ProposeConfig(Change{Remove: []MemberID{3}})
	require.ErrorIs(t, err, ErrTransferring)
	require.ErrorIs(t, l.CancelChange(), ErrPending)
	require.ErrorIs(t, w.node(2).c.CancelChange(), ErrNotLeader)
}

func TestReadsThatWaitAreBounded(t *testing.T) {
	w := started(t, nil)
	l := w.node(1).c
	for i := range readsMax {
		require.NoError(t, l.ReadIndex(uint64(i)))
	}
	require.ErrorIs(t, l.ReadIndex(0), ErrBusy)
	n := w.node(2)
	n.crash(0)
	n.start()
	require.ErrorIs(t, n.c.ReadIndex(1), ErrNotLeader, "it has not heard of one")
	clear(l.waiting)
	l.waiting = l.waiting[:0]
}

func TestPersistedTakesOnlyMarksThatWereGiven(t *testing.T) {
	w := started(t, nil)
	n := w.node(1)
	n.slow = true
	propose(t, n, "a")
	n.c.Persisted(n.c.mark + 1)
	require.EqualValues(t, 1, n.c.Flushed())
	n.c.Persisted(0)
	require.EqualValues(t, 1, n.c.Flushed())
	n.flush(1)
	require.EqualValues(t, 2, n.c.Flushed())
}

func TestWhatWaitsForTheDiskIsBounded(t *testing.T) {
	w := started(t, nil)
	n := w.node(2)
	n.slow = true
	for term := range Term(5000) {
		n.c.Step(&Message{Type: MsgHeartbeat, From: 3, To: 2, Term: term + 2, Life: 1})
		n.c.Step(&Message{Type: MsgPreVote, From: 1, To: 2, Term: term + 3, Life: 1, ToLife: 1})
	}
	require.Len(t, n.c.held, heldMax)
	require.Empty(t, n.c.msgs)
	n.pump()
	n.flush(1 << 30)
	require.Empty(t, n.c.held)
	w.net = nil
}

func TestWindow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var w window
		var model []flight
		next := Index(1)
		o := Options{InflightMessagesMax: 12, InflightBytesMax: 40}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				if w.full(&o) {
					t.Skip("full")
				}
				f := flight{next, rapid.IntRange(0, 9).Draw(t, "bytes")}
				next++
				w.add(f.last, f.bytes)
				model = append(model, f)
			},
			"acked": func(t *rapid.T) {
				to := Index(rapid.Uint64Range(0, uint64(next)).Draw(t, "to"))
				w.acked(to)
				for len(model) > 0 && model[0].last <= to {
					model = model[1:]
				}
			},
			"empty": func(t *rapid.T) {
				w.empty()
				model = nil
			},
			"": func(t *rapid.T) {
				bytes := 0
				for _, f := range model {
					bytes += f.bytes
				}
				require.Equal(t, len(model), w.count)
				require.Equal(t, bytes, w.bytes)
				require.Equal(t, len(model) >= 12 || bytes >= 40, w.full(&o))
			},
		})
	})
}

func TestPeersAreWhatTheLeaderKnows(t *testing.T) {
	w := started(t, nil)
	l := w.node(1)
	propose(t, l, "a")
	w.settle()
	w.pass(20 * time.Millisecond)
	require.Equal(t, []Peer{{ID: 2, Match: 2, Present: true}, {ID: 3, Match: 2, Present: true}}, l.c.Peers(nil))
	require.Empty(t, w.node(2).c.Peers(nil))
	w.node(3).crash(0)
	propose(t, l, "b")
	w.settle()
	w.pass(300 * time.Millisecond)
	peers := l.c.Peers(nil)
	require.Equal(t, Peer{ID: 2, Match: 3, Present: true, Heard: peers[0].Heard}, peers[0])
	require.Less(t, peers[0].Heard, 40*time.Millisecond)
	require.Equal(t, Peer{ID: 3, Match: 2, Heard: peers[1].Heard}, peers[1])
	require.GreaterOrEqual(t, peers[1].Heard, 300*time.Millisecond)
}

// TestDeterminism runs seeds twice: everything that happens is the same.
func TestDeterminism(t *testing.T) {
	run := func(seed uint64) uint64 {
		c := newChaos(seed)
		h := fnv.New64a()
		c.detail = true
		c.trace = func(format string, args ...any) { fmt.Fprintf(h, format+"\n", args...) }
		for range 1500 {
			c.step()
		}
		c.heal(true)
		c.converge()
		return h.Sum64()
	}
	for seed := range uint64(10) {
		require.Equal(t, run(seed), run(seed), "seed %d", seed)
	}
}

// TestOneElectionForAReturningMember: whoever comes back costs nobody a leader.
func TestOneElectionForAReturningMember(t *testing.T) {
	w := started(t, nil)
	for _, id := range []MemberID{2, 3} {
		n := w.node(id)
		for other := range w.nodes {
			w.cut[id-1][other], w.cut[other][id-1] = true, true
		}
		w.pass(2 * time.Second)
		for i := range w.cut {
			clear(w.cut[i])
		}
		w.pass(200 * time.Millisecond)
		n.crash(0)
		w.pass(time.Second)
		n.start()
		w.pass(time.Second)
	}
	require.EqualValues(t, 1, w.node(1).c.Hard().Term)
	require.Equal(t, 1, w.judge.elections)
}

// TestSleepCostsNothing: a sleeping group has no deadline and says nothing, however long.
func TestSleepCostsNothing(t *testing.T) {
	w := started(t, func(o *Options) { o.HostHeartbeats = true })
	propose(t, w.node(1), "a")
	w.settle()
	require.True(t, w.node(1).c.Sleep())
	w.node(1).pump()
	w.settle()
	steps := w.steps
	for _, n := range w.nodes {
		_, due := n.c.Deadline()
		require.False(t, due, "member %d", n.id)
		require.True(t, n.c.State().Asleep)
	}
	w.pass(time.Hour)
	require.LessOrEqual(t, w.steps, steps+2*len(w.nodes))
	require.NoError(t, w.node(2).c.ReadIndex(1))
	w.judge.ask(w.node(2), 1)
	w.node(2).pump()
	w.settle()
	require.Equal(t, []Read{{Ctx: 1, Index: 2, OK: true}}, w.node(2).reads)
	require.EqualValues(t, 1, w.node(1).c.Hard().Term)
}
