package js

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/checks/core"
)

var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// written is a publish that was acknowledged at a sequence.
func written(id uint64, subject string, call, ret core.Stamp, seq uint64) *Write {
	return &Write{ID: id, Conn: "c#1", Subject: subject, Call: call, Return: ret, Outcome: OK, Seq: seq, LastSeq: -1, LastSubjSeq: -1}
}

// read is an audit of some writes, as they should be.
func read(at core.Stamp, list ...*Write) *Audit {
	a := &Audit{At: at}
	subjects := map[string]bool{}
	for _, w := range list {
		a.Msgs = append(a.Msgs, Stored{Seq: w.Seq, Subject: w.Subject, ID: w.ID, Intact: true, Time: epoch.Add(time.Duration(w.Seq) * time.Second), Read: epoch.Add(time.Minute)})
		subjects[w.Subject] = true
	}
	if n := len(list); n > 0 {
		a.State = StreamState{Msgs: uint64(n), FirstSeq: list[0].Seq, LastSeq: list[n-1].Seq, Subjects: len(subjects)}
		a.State.NumDeleted = int(a.State.LastSeq-a.State.FirstSeq) + 1 - n
	}
	return a
}

// threeStored is a good history: three messages on two subjects, read twice.
func threeStored() *Stream {
	s := &Stream{Name: "S", Retention: "limits", Window: time.Minute, WallMax: epoch.Add(time.Minute)}
	s.Writes = []*Write{written(101, "a", 1, 2, 1), written(102, "b", 3, 4, 2), written(103, "a", 5, 6, 3)}
	s.Audits = []*Audit{read(50, s.Writes...), read(60, s.Writes...)}
	return s
}

func judged(streams ...*Stream) []string {
	var names []string
	for _, v := range Check(&History{Streams: streams, Deaths: map[int]time.Duration{}}).Violations {
		names = append(names, v.Invariant)
	}
	return names
}

// requireJudged demands that a history breaks an invariant, or none for "".
func requireJudged(t *testing.T, want string, streams ...*Stream) {
	t.Helper()
	if want == "" {
		require.Empty(t, judged(streams...))
	} else {
		require.Contains(t, judged(streams...), want)
	}
}

func TestStreams(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Stream)
		want   string // "" is a good history
	}{
		{"as it should be", func(*Stream) {}, ""},
		{"acked and gone", func(s *Stream) {
			s.Audits[0], s.Audits[1] = read(50, s.Writes[0], s.Writes[2]), read(60, s.Writes[0], s.Writes[2])
		}, Acked},
		{"acked and spoiled", func(s *Stream) { s.Audits[0].Msgs[1].Intact = false }, Acked},
		{"a sequence used twice", func(s *Stream) { s.Writes[2].Seq = 2 }, Dense},
		{"two acks for one sequence", func(s *Stream) {
			s.Audits = nil
			s.Writes[2].Seq = 2
		}, Dense},
		{"nobody published it", func(s *Stream) { s.Audits[0].Msgs[2].ID = 999 }, NothingElse},
		{"refused and stored", func(s *Stream) { s.Writes[1].Outcome, s.Writes[1].Err = Refused, 10060 }, NothingElse},
		{"unknown and stored", func(s *Stream) { s.Writes[1].Outcome, s.Writes[1].Seq, s.Writes[1].Return = Unknown, 0, core.Never }, ""},
		{"unknown and not stored", func(s *Stream) {
			w := written(104, "a", 7, core.Never, 0)
			w.Outcome = Unknown
			s.Writes = append(s.Writes, w)
		}, ""},
		{"unknown and stored twice", func(s *Stream) {
			s.Writes[1].Outcome, s.Writes[1].Seq, s.Writes[1].Return = Unknown, 0, core.Never
			s.Audits[1].Msgs[1].Seq, s.Audits[1].Msgs[1].ID = 2, 102
			s.Audits[1].Msgs[2].ID, s.Audits[1].Msgs[2].Subject = 102, "b"
		}, NothingElse},
		{"later and before", func(s *Stream) { s.Writes[0].Call, s.Writes[0].Return = 30, 31 }, Order},
		{"expected the last", func(s *Stream) { s.Writes[2].LastSeq = 2 }, ""},
		{"expected another last", func(s *Stream) { s.Writes[2].LastSeq = 1 }, Expected},
		{"expected the last of its subject", func(s *Stream) { s.Writes[2].LastSubjSeq = 1 }, ""},
		{"expected none on its subject", func(s *Stream) { s.Writes[2].LastSubjSeq = 0 }, Expected},
		{"refused though it fits", func(s *Stream) {
			w := &Write{ID: 104, Conn: "d#1", Subject: "a", Call: 7, Return: 8, Outcome: Refused, Err: errWrongLast, LastSeq: 3, LastSubjSeq: -1, ErrSeq: 3}
			s.Writes = append(s.Writes, w)
		}, Expected},
		{"refused for a last that was long past", func(s *Stream) {
			w := &Write{ID: 104, Conn: "d#1", Subject: "a", Call: 7, Return: 8, Outcome: Refused, Err: errWrongLast, LastSeq: 9, LastSubjSeq: -1, ErrSeq: 1}
			s.Writes = append(s.Writes, w)
		}, Expected},
		{"an id twice in the window", func(s *Stream) { s.Writes[0].MsgID, s.Writes[2].MsgID = "x", "x" }, Dedupe},
		{"an id again after the window", func(s *Stream) {
			s.Window = 2 * time.Second
			s.Writes[0].MsgID, s.Writes[2].MsgID = "x", "x"
		}, ""},
		{"a duplicate of another id", func(s *Stream) {
			w := written(104, "a", 7, 8, 1)
			w.Dup, w.MsgID = true, "y"
			s.Writes = append(s.Writes, w)
		}, Dedupe},
		{"a duplicate that is stored", func(s *Stream) { s.Writes[2].Dup, s.Writes[2].MsgID, s.Writes[2].Seq = true, "x", 1 }, Dedupe},
		{"a batch in one piece", func(s *Stream) {
			s.Writes[1].Batch, s.Writes[2].Batch, s.Writes[2].Commit = "b", "b", true
		}, ""},
		{"half a batch", func(s *Stream) {
			s.Writes[2].Batch, s.Writes[2].Commit = "b", true
			w := written(104, "b", 5, 6, 0)
			w.Batch, w.Outcome = "b", Unknown
			s.Writes = []*Write{s.Writes[0], s.Writes[1], w, s.Writes[2]}
		}, Batch},
		{"a batch without its commit", func(s *Stream) {
			s.Writes[2].Batch, s.Writes[2].Outcome, s.Writes[2].Return, s.Writes[2].Seq = "b", Unknown, core.Never, 0
		}, Batch},
		{"too many", func(s *Stream) { s.MaxMsgs = 2 }, Policy},
		{"as many as may be", func(s *Stream) { s.MaxMsgs = 3 }, ""},
		{"the oldest went", func(s *Stream) {
			s.MaxMsgs = 2
			s.Audits = []*Audit{read(50, s.Writes[1:]...)}
		}, ""},
		{"the oldest went too early", func(s *Stream) {
			s.MaxMsgs = 3
			s.Audits = []*Audit{read(50, s.Writes[1:]...)}
		}, Acked},
		{"more than one on a subject", func(s *Stream) { s.MaxPer = 1 }, Policy},
		{"more values than kept", func(s *Stream) { s.MaxPer, s.KV = 1, true }, KVHist},
		{"it lives too long", func(s *Stream) { s.MaxAge = 10 * time.Second }, Policy},
		{"counted wrong", func(s *Stream) { s.Audits[0].State.Msgs++ }, Info},
		{"time falls", func(s *Stream) { s.Audits[0].Msgs[2].Time = epoch }, EarlyTime},
		{"lost over a restart", func(s *Stream) { s.Audits[1] = read(60, s.Writes[0], s.Writes[2]) }, Prefix},
		{"deleted", func(s *Stream) {
			s.Removals = []*Removal{{Seq: 2, Call: 10, Return: 11, Outcome: OK}}
			s.Audits = []*Audit{read(50, s.Writes[0], s.Writes[2])}
		}, ""},
		{"deleted and there", func(s *Stream) { s.Removals = []*Removal{{Seq: 2, Call: 10, Return: 11, Outcome: OK}} }, Deleted},
		{"deleted and back", func(s *Stream) {
			s.Removals = []*Removal{{Seq: 2, Call: 10, Return: core.Never}}
			s.Audits[0] = read(50, s.Writes[0], s.Writes[2])
		}, Tombstones},
		{"purged but for one", func(s *Stream) {
			s.Removals = []*Removal{{Keep: 1, Call: 10, Return: 11, Outcome: OK}}
			s.Audits = []*Audit{read(50, s.Writes[2])}
		}, ""},
		{"a purge kept too many", func(s *Stream) { s.Removals = []*Removal{{Keep: 1, Call: 10, Return: 11, Outcome: OK}} }, Deleted},
		{"a purge kept none", func(s *Stream) {
			s.Removals = []*Removal{{Keep: 1, Call: 10, Return: 11, Outcome: OK}}
			s.Audits = []*Audit{{At: 50, State: StreamState{FirstSeq: 4, LastSeq: 3}}}
		}, Acked},
		{"rolled up and there", func(s *Stream) { s.Writes[2].Rollup = true }, Deleted},
		{"bounds fall", func(s *Stream) {
			s.FirstLast = []Bounds{{1, 3, 10, 11}, {1, 2, 12, 13}}
		}, Tombstones},
		{"an older bound that was asked for before the newer one was told", func(s *Stream) {
			s.FirstLast = []Bounds{{1, 3, 10, 20}, {1, 3, 21, 22}, {1, 2, 15, 23}}
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := threeStored()
			tc.change(s)
			requireJudged(t, tc.want, s)
		})
	}
}

func TestSubjectsAreLinearizable(t *testing.T) {
	get := func(id, seq uint64, call, ret core.Stamp) *Read {
		return &Read{Subject: "a", ID: id, Seq: seq, Call: call, Return: ret}
	}
	for _, tc := range []struct {
		name string
		read *Read
		want bool
	}{
		{"the last", get(103, 3, 7, 8), true},
		{"the one before, while the last came", get(101, 1, 3, 6), true},
		{"one that was replaced", get(101, 1, 7, 8), false},
		{"none, and there was one", get(0, 0, 7, 8), false},
		{"none, before there was any", get(0, 0, 0, 2), true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := threeStored()
			s.Reads = []*Read{tc.read}
			if tc.want {
				require.Empty(t, judged(s))
			} else {
				require.Contains(t, judged(s), Linear)
			}
			s = threeStored()
			s.KV, s.Reads = true, []*Read{tc.read}
			require.Equal(t, !tc.want, len(judged(s)) > 0)
		})
	}
}

// TestUnknownWritesAreBothWays: a publish that nobody answered has happened or has not.
func TestUnknownWritesAreBothWays(t *testing.T) {
	s := threeStored()
	s.Audits = nil
	w := written(104, "a", 7, core.Never, 0)
	w.Outcome, w.LastSubjSeq = Unknown, 3
	s.Writes = append(s.Writes, w)
	require.Empty(t, judged(s), "it has not")
	next := written(105, "a", 20, 21, 5)
	next.LastSubjSeq = 4
	s.Writes = append(s.Writes, next)
	require.Empty(t, judged(s), "it has, at 4")
	w.LastSubjSeq = 1
	require.Contains(t, judged(s), Linear, "it cannot have")
}

// consumed is a good history of a consumer: three messages, each delivered and acknowledged.
func consumed(retention string) (*Stream, *Consumer) {
	s := threeStored()
	s.Retention = retention
	p := &PullReq{Conn: "w#1", Batch: 3, Sent: 20, Got: 3, Ended: 26, Life: 1}
	c := &Consumer{Stream: "S", Name: "C", AckWait: time.Second, Asked: 0, Created: 0, Deleted: core.Never, Gone: core.Never, Pulls: []*PullReq{p}, Drained: true}
	for i, w := range s.Writes {
		d := &Delivery{Conn: "w#1", Pull: p, Seq: w.Seq, CSeq: w.Seq, Count: 1, ID: w.ID, Intact: true, Subject: w.Subject, At: core.Stamp(21 + i), Life: 1, Pending: uint64(len(s.Writes) - 1 - i)}
		c.Deliveries = append(c.Deliveries, d)
		c.Acks = append(c.Acks, &Ack{Of: d, Conn: "w#1", Call: core.Stamp(30 + 2*i), Return: core.Stamp(31 + 2*i), Confirmed: true})
	}
	s.Consumers = []*Consumer{c}
	if retention != "limits" {
		s.Audits = []*Audit{{At: 50, State: StreamState{FirstSeq: 4, LastSeq: 3}}}
	}
	return s, c
}

func TestConsumers(t *testing.T) {
	again := func(c *Consumer, seq uint64, count uint64, at core.Stamp, after time.Duration) *Delivery {
		p := &PullReq{Conn: "w#1", Batch: 1, Sent: at - 1, Got: 1, Ended: at, Life: 1, Time: after}
		c.Pulls = append(c.Pulls, p)
		first := c.Deliveries[seq-1]
		d := &Delivery{Conn: "w#1", Pull: p, Seq: seq, CSeq: uint64(len(c.Deliveries) + 1), Count: count, ID: first.ID, Intact: true, Subject: first.Subject, At: at, Life: 1, Time: after}
		c.Deliveries = append(c.Deliveries, d)
		return d
	}
	for _, tc := range []struct {
		name, retention string
		change          func(*Stream, *Consumer)
		want            string
	}{
		{"as it should be", "limits", func(*Stream, *Consumer) {}, ""},
		{"again after the ack wait", "limits", func(_ *Stream, c *Consumer) { again(c, 1, 2, 28, 2*time.Second) }, ""},
		{"again too early", "limits", func(_ *Stream, c *Consumer) { again(c, 1, 2, 28, 100*time.Millisecond) }, Limits},
		{"again after its ack was confirmed", "limits", func(_ *Stream, c *Consumer) { again(c, 1, 2, 40, 2*time.Second) }, AckedStays},
		{"more often than allowed", "limits", func(_ *Stream, c *Consumer) {
			c.MaxDeliver = 1
			again(c, 1, 2, 28, 2*time.Second)
		}, Limits},
		{"the count falls", "limits", func(_ *Stream, c *Consumer) { again(c, 1, 1, 28, 2*time.Second) }, InOrder},
		{"a sequence of the consumer twice", "limits", func(_ *Stream, c *Consumer) { again(c, 1, 2, 28, 2*time.Second).CSeq = 2 }, InOrder},
		{"first deliveries out of order", "limits", func(_ *Stream, c *Consumer) { c.Deliveries[0].CSeq, c.Deliveries[1].CSeq = 2, 1 }, InOrder},
		{"what the filter does not match", "limits", func(_ *Stream, c *Consumer) { c.Filter = "a" }, NothingElse},
		{"another payload", "limits", func(_ *Stream, c *Consumer) { c.Deliveries[1].Intact = false }, NothingElse},
		{"a pull of three got four", "limits", func(_ *Stream, c *Consumer) { c.Pulls[0].Got = 4 }, Pull},
		{"a message after the end", "limits", func(_ *Stream, c *Consumer) { c.Pulls[0].Late = true }, Pull},
		{"a pull without an end", "limits", func(_ *Stream, c *Consumer) { c.Pulls[0].Silent = true }, Pull},
		{"one was never delivered", "limits", func(_ *Stream, c *Consumer) { c.Deliveries, c.Acks = c.Deliveries[:2], c.Acks[:2] }, AtLeastOnce},
		{"a floor that falls", "limits", func(_ *Stream, c *Consumer) {
			c.Infos = []*ConsumerInfo{report(40, 3, 3), report(42, 2, 3)}
		}, Floor},
		{"a floor past what is not acknowledged", "limits", func(_ *Stream, c *Consumer) {
			c.Acks = []*Ack{c.Acks[0], c.Acks[2]}
			c.Infos = []*ConsumerInfo{report(40, 3, 3)}
		}, Floor},
		{"too many acks pending", "limits", func(_ *Stream, c *Consumer) {
			c.MaxPending = 1
			c.Infos = []*ConsumerInfo{report(29, 0, 3)}
			c.Infos[0].Answer.AckPend = 2
		}, Limits},
		{"pending counted wrong", "limits", func(_ *Stream, c *Consumer) {
			c.Infos = []*ConsumerInfo{report(70, 3, 3)}
			c.Infos[0].Quiet, c.Infos[0].Answer.Pending = true, 1
		}, NumPending},
		{"a queue that is empty", "workqueue", func(*Stream, *Consumer) {}, ""},
		{"a queue lost what was not acknowledged", "workqueue", func(_ *Stream, c *Consumer) { c.Acks = c.Acks[:2] }, WorkQueue},
		{"a queue keeps what was acknowledged", "workqueue", func(s *Stream, _ *Consumer) { s.Audits = []*Audit{read(50, s.Writes[2])} }, WorkQueue},
		{"out of deliveries and removed", "workqueue", func(_ *Stream, c *Consumer) { c.Acks, c.MaxDeliver = c.Acks[:2], 1 }, MaxDeliver},
		{"interest lost what one needs", "interest", func(_ *Stream, c *Consumer) { c.Acks = c.Acks[:2] }, Interest},
		{"interest keeps what one needs that came later", "interest", func(s *Stream, c *Consumer) {
			later := *c
			later.Name, later.Asked, later.Created = "later", 40, 41
			later.Pulls, later.Deliveries, later.Acks, later.Infos, later.Drained = nil, nil, nil, nil, false
			s.Consumers = append(s.Consumers, &later)
			s.Audits = []*Audit{read(50, s.Writes[2])}
		}, ""},
		{"interest keeps what nobody needs", "interest", func(s *Stream, _ *Consumer) { s.Audits = []*Audit{read(50, s.Writes[2])} }, NoOrphans},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, c := consumed(tc.retention)
			tc.change(s, c)
			requireJudged(t, tc.want, s)
		})
	}
}

// report is what a consumer says of itself.
func report(at core.Stamp, floor, delivered uint64) *ConsumerInfo {
	return &ConsumerInfo{Call: at, At: at + 1, Life: 1, Answer: Answer{
		AckFloor: &SequencePair{Consumer: floor, Stream: floor}, Delivered: &SequencePair{Consumer: delivered, Stream: delivered},
	}}
}

func TestRecreatedStreams(t *testing.T) {
	story := func() *Stream {
		s := threeStored()
		s.Recreated = true
		s.Deletions = []*Removal{{Call: 10, Return: 11, Outcome: OK}}
		fresh := written(104, "a", 12, 13, 1)
		s.Writes = append(s.Writes, fresh)
		s.Audits = []*Audit{read(50, fresh)}
		return s
	}
	require.Empty(t, judged(story()))
	for _, tc := range []struct {
		name   string
		change func(*Stream)
		want   string
	}{
		{"of the one before", func(s *Stream) { s.Audits = []*Audit{read(50, s.Writes[3], s.Writes[1])} }, Incarnation},
		{"not there", func(s *Stream) {
			s.Audits = []*Audit{{At: 50, State: StreamState{LastSeq: 1, FirstSeq: 2}}}
		}, Acked},
		{"an id of the one before", func(s *Stream) {
			s.Writes[1].MsgID = "x"
			w := written(105, "a", 14, 15, 2)
			w.Dup, w.MsgID = true, "x"
			s.Writes = append(s.Writes, w)
		}, Incarnation},
		{"a sequence twice", func(s *Stream) {
			s.Writes = append(s.Writes, written(105, "a", 14, 15, 1))
		}, Dense},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := story()
			tc.change(s)
			require.Contains(t, judged(s), tc.want)
		})
	}
}

func TestOutcomes(t *testing.T) {
	require.Equal(t, Unknown, OutcomeOf(nil))
	require.Equal(t, OK, OutcomeOf(&Answer{Seq: 1}))
	require.Equal(t, Refused, OutcomeOf(&Answer{Code: 400, Err: errWrongLast}))
	require.Equal(t, Refused, OutcomeOf(&Answer{Code: 503, Err: NoResponders}))
	require.Equal(t, Unknown, OutcomeOf(&Answer{Code: 503, Err: 10008}), "what the models do not list")
}
