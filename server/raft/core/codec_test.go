package core

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// drawMessage draws any message that can be encoded.
func drawMessage(t *rapid.T) Message {
	// small and huge numbers, both
	num := func(name string) uint64 {
		return rapid.OneOf(rapid.Uint64Range(0, 3), rapid.Uint64()).Draw(t, name)
	}
	m := Message{
		Type:  Type(rapid.IntRange(1, int(typeEnd)-1).Draw(t, "type")),
		Flags: Flags(rapid.Uint8().Draw(t, "flags")),
		From:  MemberID(num("from")), To: MemberID(num("to")), Term: Term(num("term")), Life: Life(num("life")),
		ToLife: Life(num("tolife")), Index: Index(num("index")), LogTerm: Term(num("logterm")), Commit: Index(num("commit")),
		Hint: Index(num("hint")), HintTerm: Term(num("hintterm")), Seq: num("seq"), Offset: num("offset"),
		Clock: rapid.Int64().Draw(t, "clock"),
		Data:  rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "data"), Meta: rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "meta"),
	}
	first := Index(num("first"))
	for i := range rapid.IntRange(0, 3).Draw(t, "entries") {
		m.Entries = append(m.Entries, Entry{
			Index: first + Index(i), Term: Term(num("entry term")), Kind: Kind(rapid.Uint8().Draw(t, "kind")),
			Payload: rapid.SliceOfN(rapid.Byte(), 0, 5).Draw(t, "payload"),
		})
	}
	return m
}

// canonical makes empty slices nil, which are the same on the wire.
func canonical(m Message) Message {
	if len(m.Data) == 0 {
		m.Data = nil
	}
	if len(m.Meta) == 0 {
		m.Meta = nil
	}
	if len(m.Entries) == 0 {
		m.Entries = nil
	}
	m.Entries = slices.Clone(m.Entries)
	for i := range m.Entries {
		if len(m.Entries[i].Payload) == 0 {
			m.Entries[i].Payload = nil
		}
	}
	return m
}

func TestMessagesSurviveTheirEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawMessage(t), drawMessage(t)
		wire := AppendMessage(AppendMessage(nil, &a), &b)
		var got Message
		rest, err := ParseMessage(wire, &got)
		require.NoError(t, err)
		require.Equal(t, canonical(a), canonical(got))
		rest, err = ParseMessage(rest, &got)
		require.NoError(t, err)
		require.Empty(t, rest)
		require.Equal(t, canonical(b), canonical(got))
		for cut := range AppendMessage(nil, &a) { // no prefix is a message
			_, err := ParseMessage(wire[:cut], &got)
			require.ErrorIs(t, err, errMessage)
		}
	})
}

func TestSmallMessagesAreSmall(t *testing.T) {
	m := Message{Type: MsgHeartbeat, From: 1, To: 2, Term: 7, Life: FirstLife, Commit: 1 << 20}
	require.LessOrEqual(t, len(AppendMessage(nil, &m)), 12)
	m = Message{Type: MsgAppend, From: 1, To: 2, Term: 7, Life: FirstLife, Index: 1 << 20, LogTerm: 7, Commit: 1 << 20}
	for i := range 100 {
		m.Entries = append(m.Entries, Entry{Index: m.Index + 1 + Index(i), Term: 7, Payload: make([]byte, 100)})
	}
	require.LessOrEqual(t, len(AppendMessage(nil, &m)), 24+100*(100+3))
}

func TestCodecAllocatesNothing(t *testing.T) {
	m := Message{Type: MsgAppend, From: 1, To: 2, Term: 7, Life: FirstLife, Index: 10, LogTerm: 7, Commit: 9}
	for i := range 16 {
		m.Entries = append(m.Entries, Entry{Index: 11 + Index(i), Term: 7, Payload: make([]byte, 100)})
	}
	wire, got := AppendMessage(nil, &m), Message{Entries: make([]Entry, 0, 16)}
	require.Zero(t, testing.AllocsPerRun(100, func() {
		wire = AppendMessage(wire[:0], &m)
		if _, err := ParseMessage(wire, &got); err != nil {
			t.Fatal(err)
		}
	}))
}

func TestConfigsSurviveTheirEncoding(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var c Config
		members := func(name string, least int) (list []Member) {
			for _, id := range rapid.SliceOfNDistinct(rapid.Uint64Range(1, 9), least, 5, rapid.ID).Draw(t, name) {
				list = append(list, Member{MemberID(id), Life(rapid.Uint64Range(1, 1<<63).Draw(t, "life"))})
			}
			slices.SortFunc(list, compareMembers)
			return list
		}
		c.Voters, c.Outgoing = members("voters", 1), members("outgoing", 0)
		for id := MemberID(20); id < 23; id++ {
			if rapid.Bool().Draw(t, "learner") {
				c.Learners = append(c.Learners, Learner{id, rapid.Bool().Draw(t, "auto")})
			}
		}
		wire := AppendConfig(nil, &c)
		got, err := ParseConfig(wire)
		require.NoError(t, err)
		require.Equal(t, AppendConfig(nil, &c), AppendConfig(nil, &got))
		for cut := range wire {
			_, err := ParseConfig(wire[:cut])
			require.ErrorIs(t, err, errConfig)
		}
		_, err = ParseConfig(append(wire, 0))
		require.ErrorIs(t, err, errConfig)
	})
}

func TestConfigsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name string
		c    Config
	}{
		{"nobody", Config{}},
		{"no id", Config{Voters: []Member{{0, 1}}}},
		{"no life", Config{Voters: []Member{{1, 0}}}},
		{"out of order", Config{Voters: []Member{{2, 1}, {1, 1}}}},
		{"twice", Config{Voters: []Member{{1, 1}, {1, 2}}}},
		{"outgoing twice", Config{Voters: []Member{{1, 1}}, Outgoing: []Member{{1, 1}, {1, 1}}}},
		{"learner votes", Config{Voters: []Member{{1, 1}}, Learners: []Learner{{1, true}}}},
		{"learner twice", Config{Voters: []Member{{1, 1}}, Learners: []Learner{{2, true}, {2, false}}}},
		{"too many", Config{Voters: make([]Member, MembersMax+1)}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.ErrorIs(t, tc.c.Validate(), ErrChange)
			_, err := ParseConfig(AppendConfig(nil, &tc.c))
			require.ErrorIs(t, err, errConfig)
		})
	}
}

// FuzzParse: what is parsed is encoded again to what parses to the same.
func FuzzParse(f *testing.F) {
	w := newWorld(1)
	w.bootstrap(3, 1)
	for _, p := range w.net {
		f.Add(AppendMessage(nil, &p.Message))
	}
	cfg := w.node(1).c.Config()
	f.Add(AppendConfig(nil, cfg))
	f.Add([]byte{1, 0, 0xff, 0xff, 0x03})
	f.Fuzz(func(t *testing.T, b []byte) {
		var m, again Message
		if _, err := ParseMessage(b, &m); err == nil {
			if _, err := ParseMessage(AppendMessage(nil, &m), &again); err != nil {
				t.Fatal(err)
			}
			require.Equal(t, canonical(m), canonical(again))
		}
		if c, err := ParseConfig(b); err == nil {
			if again, err := ParseConfig(AppendConfig(nil, &c)); err != nil {
				t.Fatal(err)
			} else {
				require.Equal(t, c, again)
			}
		}
	})
}

// FuzzStep: whatever a peer sends, a member neither panics nor grows without bound.
func FuzzStep(f *testing.F) {
	seed := func(list ...Message) {
		var b []byte
		for i := range list {
			b = AppendMessage(b, &list[i])
		}
		f.Add(b)
	}
	one := Entry{Index: 2, Term: 1, Payload: []byte("x")}
	seed(Message{Type: MsgAppend, From: 1, To: 2, Term: 1, Life: 1, Index: 1, LogTerm: 1, Commit: 1, Entries: []Entry{one}})
	seed(Message{Type: MsgAppend, From: 1, To: 2, Term: 2, Life: 1, Index: 1 << 63, LogTerm: 2, Commit: 1 << 63})
	seed(Message{Type: MsgSnapshot, From: 3, To: 2, Term: 9, Life: 1, Index: 5, LogTerm: 3, Seq: 1, Data: []byte("a"), Flags: Last,
		Meta: AppendConfig(nil, &Config{Voters: []Member{{1, 1}, {2, 1}}})})
	seed(Message{Type: MsgVote, From: 3, To: 2, Term: 9, Life: 1, ToLife: 1, Index: 5, LogTerm: 3},
		Message{Type: MsgAppended, From: 3, To: 2, Term: 9, Life: 1, Flags: Reject, Index: 1, Hint: 1 << 40})
	seed(Message{Type: MsgFetched, From: 3, To: 2, Term: 9, Life: 1, Entries: []Entry{one}}, Message{Type: MsgFetch, From: 3, To: 2, Term: 1, Index: 1, LogTerm: 1})
	seed(Message{Type: MsgTimeoutNow, From: 1, To: 2, Term: 1, Life: 1}, Message{Type: MsgVoteReply, From: 1, To: 2, Term: 2, Life: 1, ToLife: 1},
		Message{Type: MsgAppended, From: 1, To: 2, Term: 2, Life: 1, Index: 1}, Message{Type: MsgSnapshotReply, From: 1, To: 2, Term: 2, Life: 1, Seq: 1, Offset: 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		var cores []*Core
		for _, leader := range []MemberID{1, 2} {
			c, err := Bootstrap(DefaultOptions(2, rand.New(rand.NewPCG(1, 2))), []MemberID{1, 2, 3}, leader, 0)
			require.NoError(t, err)
			cores = append(cores, c)
		}
		for _, c := range cores {
			fuzzOne(t, c, b)
		}
	})
}

func fuzzOne(t *testing.T, c *Core, b []byte) {
	now := time.Duration(0)
	for turn := 0; len(b) > 0; turn++ {
		var m Message
		rest, err := ParseMessage(b, &m)
		if err != nil {
			break
		}
		b = rest
		c.Step(&m)
		now += 300 * time.Millisecond
		c.Advance(now)
		for k := 0; c.HasReady(); k++ {
			r := c.Ready()
			if r.Mark > 0 {
				c.Persisted(r.Mark)
			}
			for _, ch := range r.Chunks {
				c.ChunkStored(ch.ID, ch.Offset+uint64(len(ch.Data)), true)
			}
			if r.Install.Index > 0 {
				c.SnapshotInstalled(r.Install, true)
			}
			for _, w := range r.Wants {
				c.SnapshotUnavailable(w.To)
			}
			c.Applied(c.Commit())
			require.Less(t, k, 100, "work never ends")
		}
	}
	require.LessOrEqual(t, len(c.notes), 3*MembersMax)
	require.GreaterOrEqual(t, c.Last(), c.Commit())
}
