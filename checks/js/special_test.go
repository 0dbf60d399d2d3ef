package js

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/checks/core"
)

// counted is a good history of a counter: +1, +2, +3, told by acks and two reads.
func counted() *Stream {
	s := &Stream{Name: "S", Retention: "limits", Window: time.Minute, WallMax: epoch.Add(time.Minute)}
	for i, val := range []string{"1", "3", "6"} {
		n := uint64(i + 1)
		w := written(100+n, "a", core.Stamp(2*n-1), core.Stamp(2*n), n)
		w.Incr, w.Val = "+"+string(rune('0'+n)), val
		s.Writes = append(s.Writes, w)
	}
	s.Audits = []*Audit{read(50, s.Writes...), read(60, s.Writes...)}
	for _, a := range s.Audits {
		for i := range a.Msgs {
			a.Msgs[i].Val = s.Writes[i].Val
		}
	}
	return s
}

func TestCounters(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Stream)
		want   string
	}{
		{"as it should be", func(*Stream) {}, ""},
		{"an increment is left out", func(s *Stream) {
			s.Writes[2].Val, s.Audits[0].Msgs[2].Val, s.Audits[1].Msgs[2].Val = "4", "4", "4"
		}, Counter},
		{"another value than was acknowledged", func(s *Stream) { s.Audits[1].Msgs[2].Val = "7" }, Counter},
		{"the one between is unknown, and has happened", func(s *Stream) { unknownSecond(s) }, ""},
		{"the one between is unknown, and has not happened", func(s *Stream) {
			unknownSecond(s)
			s.Writes[2].Val, s.Audits[0].Msgs[1].Val = "4", "4"
		}, ""},
		{"the one between is unknown, and does not explain it", func(s *Stream) {
			unknownSecond(s)
			s.Writes[2].Val, s.Audits[0].Msgs[1].Val = "9", "9"
		}, Counter},
		{"a purge began it anew", func(s *Stream) {
			s.Removals = []*Removal{{Filter: "a", Call: 3, Return: core.Never}}
			s.Audits = nil
			s.Writes[1].Val, s.Writes[2].Val = "2", "5"
		}, ""},
		{"it begins anew by itself", func(s *Stream) {
			s.Audits = nil
			s.Writes[1].Val, s.Writes[2].Val = "2", "5"
		}, Counter},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := counted()
			tc.change(s)
			requireJudged(t, tc.want, s)
		})
	}
}

// unknownSecond makes the second increment one of which nobody knows, in a stream that keeps one value.
func unknownSecond(s *Stream) {
	s.MaxPer = 2
	w := s.Writes[1]
	w.Outcome, w.Seq, w.Val, w.Return = Unknown, 0, "", core.Never
	a := s.Audits[0]
	a.Msgs = append(a.Msgs[:1:1], a.Msgs[2])
	a.State.Msgs, a.State.NumDeleted = 2, 1
	s.Audits = s.Audits[:1]
}

// scheduled is a good history: one schedule fired at its time and went, one repeats, one is far off.
func scheduled() *Stream {
	s := &Stream{Name: "S", Retention: "limits", Window: time.Minute, WallMax: epoch.Add(time.Hour), Schedules: true, Settled: epoch.Add(9 * time.Second)}
	at := func(n int) time.Time { return epoch.Add(time.Duration(n) * time.Second) }
	once, often, far := written(101, "s.a", 1, 2, 1), written(102, "s.b", 3, 4, 2), written(103, "s.c", 5, 6, 3)
	once.Schedule = &Scheduled{Target: "t", Due: at(4)}
	often.Schedule = &Scheduled{Target: "t", Every: 2 * time.Second}
	far.Schedule = &Scheduled{Target: "t", Due: at(9000)}
	s.Writes = []*Write{once, often, far}
	for _, w := range s.Writes {
		w.Fleeting = true
	}
	made := func(seq uint64, id uint64, subject string, when, next int) Stored {
		f := &Firing{Scheduler: subject}
		if next > 0 {
			f.Next = at(next)
		}
		return Stored{Seq: seq, Subject: "t", ID: id, Intact: true, Time: at(when), Read: at(30), Marker: true, Fired: f}
	}
	a := read(50, often, far)
	a.Msgs = append(a.Msgs, made(4, 101, "s.a", 4, 0), made(5, 102, "s.b", 6, 8), made(6, 102, "s.b", 8, 10))
	a.State.Msgs, a.State.LastSeq = 5, 6
	s.Audits = []*Audit{a}
	return s
}

func TestSchedules(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*Stream, []Stored)
		want   string
	}{
		{"as it should be", func(*Stream, []Stored) {}, ""},
		{"before its time", func(_ *Stream, m []Stored) { m[2].Time = epoch.Add(3 * time.Second) }, Schedule},
		{"long after its time", func(s *Stream, m []Stored) {
			for i := 2; i < 5; i++ {
				m[i].Time = epoch.Add(time.Minute)
			}
		}, Schedule},
		{"twice for one time", func(_ *Stream, m []Stored) { m[4].Fired.Next = m[3].Fired.Next }, Schedule},
		{"again, though it was the last time", func(_ *Stream, m []Stored) { m[3].Fired.Next = time.Time{} }, Schedule},
		{"one that nobody asked for", func(_ *Stream, m []Stored) { m[2].ID, m[2].Fired.Scheduler = 101, "s.x" }, Schedule},
		{"to another subject", func(_ *Stream, m []Stored) { m[2].Subject = "u" }, Schedule},
		{"refused, and it fired", func(s *Stream, _ []Stored) { s.Writes[0].Outcome, s.Writes[0].Seq = Refused, 0 }, Schedule},
		{"replaced, and it fired", func(s *Stream, _ []Stored) {
			s.Writes[0].Subject, s.Audits[0].Msgs[2].Fired.Scheduler = "s.b", "s.b"
		}, Schedule},
		{"never fired", func(s *Stream, m []Stored) { s.Audits[0].Msgs = append(m[:2:2], m[3:]...) }, Schedule},
		{"waits for what is past", func(s *Stream, m []Stored) {
			s.Settled = epoch.Add(10000 * time.Second)
			for i := range m {
				m[i].Read = s.Settled.Add(time.Second)
			}
		}, Schedule},
		{"waits for what is past, and a plain message may have ended it", func(s *Stream, m []Stored) {
			s.Settled = epoch.Add(10000 * time.Second)
			for i := range m {
				m[i].Read = s.Settled.Add(time.Second)
			}
			for i, subject := range []string{"s.b", "s.c"} {
				w := written(uint64(105+i), subject, 12, 13, 0)
				w.Outcome = Unknown
				s.Writes = append(s.Writes, w)
			}
		}, ""},
		{"gone, and nobody ended it", func(s *Stream, m []Stored) { s.Audits[0].Msgs = append(m[:1:1], m[2:]...) }, Schedule},
		{"gone, and somebody ended it", func(s *Stream, m []Stored) {
			s.Audits[0].Msgs = append(m[:1:1], m[2:]...)
			s.Removals = []*Removal{{Seq: 3, Call: 10, Return: 11, Outcome: OK}}
		}, ""},
		{"ended, and it fires after that", func(s *Stream, m []Stored) {
			s.Removals = []*Removal{{Filter: "s.b", Call: 8, Return: 9, Outcome: OK}}
			w := written(104, "t", 10, 11, 5)
			s.Writes = append(s.Writes, w)
			m[3] = Stored{Seq: 5, Subject: "t", ID: 104, Intact: true, Time: epoch.Add(7 * time.Second), Read: epoch.Add(30 * time.Second)}
		}, Schedule},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := scheduled()
			tc.change(s, s.Audits[0].Msgs)
			requireJudged(t, tc.want, s)
		})
	}
}

// batched is a good history of a fast batch of three, which ended.
func batched() (*Stream, *FastBatch) {
	s := threeStored()
	f := &FastBatch{ID: "f", GapFail: true, Acked: 3, AckedAt: 20, Final: true, Count: 3, LastSeq: 3, FinalAt: 20, Refused: map[uint64]bool{}}
	for i, w := range s.Writes {
		w.Outcome, w.Seq, w.Return, w.BatchSeq = Unknown, 0, 20, i+1
		f.Writes = append(f.Writes, w)
	}
	s.Fast = []*FastBatch{f}
	return s, f
}

func TestFastBatches(t *testing.T) {
	drop := func(s *Stream) { // the second is not stored
		for _, a := range s.Audits {
			a.Msgs = append(a.Msgs[:1:1], a.Msgs[2])
			a.State.Msgs, a.State.NumDeleted, a.State.Subjects = 2, 1, 1
		}
	}
	for _, tc := range []struct {
		name   string
		change func(*Stream, *FastBatch)
		want   string
	}{
		{"as it should be", func(*Stream, *FastBatch) {}, ""},
		{"acknowledged and not there", func(s *Stream, _ *FastBatch) { drop(s) }, Fast},
		{"a gap that was told", func(s *Stream, f *FastBatch) {
			drop(s)
			f.GapFail, f.Gaps = false, []Gap{{2, 3}}
		}, ""},
		{"one that was refused", func(s *Stream, f *FastBatch) {
			drop(s)
			f.GapFail, f.Refused[2] = false, true
		}, ""},
		{"refused and there", func(_ *Stream, f *FastBatch) { f.Refused[2] = true }, Fast},
		{"a gap ends it, and it goes on", func(s *Stream, f *FastBatch) {
			drop(s)
			f.Acked, f.Final = 1, false
		}, Fast},
		{"more than it ended with", func(_ *Stream, f *FastBatch) { f.Count, f.Acked, f.LastSeq = 2, 2, 2 }, Fast},
		{"it ended elsewhere", func(_ *Stream, f *FastBatch) { f.LastSeq = 2 }, Fast},
		{"out of order", func(s *Stream, f *FastBatch) {
			f.Writes[0].BatchSeq, f.Writes[1].BatchSeq = 2, 1
			f.Writes[0], f.Writes[1] = f.Writes[1], f.Writes[0]
		}, Fast},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, f := batched()
			tc.change(s, f)
			requireJudged(t, tc.want, s)
		})
	}
}

func TestRot(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(*RotRead)
		want   bool
	}{
		{"all of it is there", func(*RotRead) {}, false},
		{"other bytes", func(r *RotRead) { r.Msgs[1].Intact = false }, true},
		{"another message", func(r *RotRead) { r.Msgs[1].ID = 101 }, true},
		{"another time", func(r *RotRead) { r.Msgs[1].Time = epoch }, true},
		{"other bytes, though damage was told", func(r *RotRead) { r.Told, r.Msgs[1].Intact = true, false }, true},
		{"lost in silence", func(r *RotRead) { r.Msgs = r.Msgs[:2] }, true},
		{"lost and told", func(r *RotRead) { r.Msgs, r.Told = r.Msgs[:2], true }, false},
		{"lost and listed", func(r *RotRead) { r.Msgs, r.Lost = r.Msgs[:2], []uint64{3} }, false},
		{"it cannot be read", func(r *RotRead) { r.Msgs, r.Failed = r.Msgs[:2], map[uint64]bool{3: true} }, false},
		{"the stream stopped", func(r *RotRead) { r.Msgs, r.Stopped = nil, true }, false},
		{"the stream is gone in silence", func(r *RotRead) { r.Msgs, r.Gone = nil, true }, true},
		{"a sequence is given away again", func(r *RotRead) { r.Told, r.Acked = true, []*Write{written(110, "a", 70, 71, 3)} }, true},
		{"a new one is given away", func(r *RotRead) { r.Acked = []*Write{written(110, "a", 70, 71, 4)} }, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := threeStored()
			r := &RotRead{At: 80, Msgs: read(80, s.Writes...).Msgs}
			tc.change(r)
			s.Rots = []*RotRead{r}
			if tc.want {
				require.Contains(t, judged(s), Rot)
			} else {
				require.Empty(t, judged(s))
			}
		})
	}
	t.Run("what came after the damage is lost at the next", func(t *testing.T) {
		s := threeStored()
		w := written(110, "a", 70, 71, 4)
		s.Writes = append(s.Writes, w)
		s.Rots = []*RotRead{
			{At: 69, Msgs: read(69, s.Writes[:3]...).Msgs, Acked: []*Write{w}},
			{At: 80, Msgs: read(80, s.Writes[:3]...).Msgs},
		}
		require.Contains(t, judged(s), Rot)
		s.Rots[1].Msgs = read(80, s.Writes...).Msgs
		require.Empty(t, judged(s))
	})
}

// TestLeft compares what a delivery says to come after it.
func TestLeft(t *testing.T) {
	for pending, want := range map[uint64]bool{1: true, 2: false, 3: true} { //lockstep:ordered each by itself
		s, c := consumed("limits")
		for i, d := range c.Deliveries {
			d.Pending = uint64(2 - i)
		}
		c.Deliveries[0].Pending = pending
		if want {
			require.Contains(t, judged(s), NumPending)
		} else {
			require.Empty(t, judged(s))
		}
	}
}
