package machine

import (
	"testing"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/stretchr/testify/require"
)

// everything is a configuration that allows what can be allowed together.
func everything(c *api.StreamConfig) {
	c.AllowMsgTTL, c.AllowRollup, c.AllowMsgSchedules, c.AllowAtomicPublish = true, true, true, true
	c.SubjectDeleteMarkerTTL, c.MaxMsgs, c.MaxMsgsPer = 2e9, 10, 3
	c.Sources = []*api.StreamSource{{Name: "O"}}
}

// seedEntries are good entries of every kind.
func seedEntries() [][]byte {
	header := []byte("NATS/1.0\r\nNats-Msg-Id: 1\r\nNats-TTL: 5\r\nNats-Rollup: sub\r\n\r\n")
	var b Builder
	b.Begin(nil, 3600e9)
	b.Add([]byte("s.a"), nil, []byte("x"), Verdict{})
	b.Add([]byte("s.a"), header, nil, Verdict{Limits: AccountExceeded, Chain: 7, Schedule: ScheduleVerdict{Err: api.ErrMessageSchedulesTimeZoneInvalid}})
	b.Add([]byte("s.b"), []byte("NATS/1.0\r\nNats-Schedule: @every 1s\r\nNats-Schedule-Target: s.t\r\n\r\n"), nil, Verdict{Schedule: ScheduleVerdict{Due: 3600e9}})
	entries := [][]byte{b.Bytes()}

	m := New(Options{Store: &naiveStore{}, Config: testConfig(everything), Effects: &countEffects{}})
	m.Apply(entries[0])
	entries = append(entries, m.Due(nil, 3601e9, func() {}))

	s := NewStaging(BatchLimits{}, &OpenBatches{})
	var h api.PublishHeaders
	block := []byte("NATS/1.0\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: 1\r\nNats-Batch-Commit: 1\r\n\r\n")
	h.Parse(block)
	entries = append(entries, s.Add(nil, 3600e9, testConfig(everything), &Arrival{Subject: []byte("s.c"), Header: block, Headers: &h}, 0).Commit)

	var c Copies
	c.Begin(nil, 3600e9)
	c.Add(&Copy{Seq: 5, Time: 1e9, Subject: []byte("s.a"), Header: header, Data: []byte("x")})
	entries = append(entries, c.Bytes())
	var src SourceBuilder
	src.Begin(nil, 3600e9)
	src.Add(&Sourced{Source: &api.StreamSource{Name: "O"}, Seq: 3, Identity: "i", Origin: []byte("o"), Subject: []byte("s.o"), Header: header})
	entries = append(entries, src.Bytes())
	return append(entries, EncodeDelete(nil, 3600e9, 1, true), EncodePurge(nil, 3600e9, "s.*", 3, 0), EncodeExpire(nil, 3600e9),
		EncodeSkip(nil, 3600e9, 9), EncodeAcked(nil, 3600e9, []uint64{1, 5, 2}), EncodeConfig(nil, 3600e9, testConfig(everything)))
}

// FuzzApply: whatever the bytes, two machines come to the same, and their state can be brought back.
func FuzzApply(f *testing.F) {
	for _, e := range seedEntries() {
		f.Add(e, false)
		f.Add(e, true)
	}
	f.Fuzz(func(t *testing.T, entry []byte, counter bool) {
		var ms [2]*Machine
		for i := range ms {
			change := everything
			if counter {
				change = func(c *api.StreamConfig) { c.AllowMsgCounter, c.AllowAtomicPublish = true, true }
			}
			ms[i] = New(Options{Store: &naiveStore{}, Config: testConfig(change), Effects: &countEffects{}})
			if !counter {
				for _, e := range seedEntries()[:3] {
					ms[i].Apply(e)
				}
			}
			require.True(t, ms[i].Apply(entry))
		}
		require.Equal(t, ms[0].Hash(), ms[1].Hash())
		snapshot := ms[0].Snapshot()
		require.Equal(t, snapshot, ms[1].Snapshot())
		back := New(Options{Store: ms[0].store, Config: ms[0].Config(), Effects: &countEffects{}})
		require.NoError(t, back.Restore(snapshot))
		require.Equal(t, snapshot, back.Snapshot())
	})
}

// FuzzRestore: a snapshot is taken or refused, and one that is taken comes out again.
func FuzzRestore(f *testing.F) {
	m := New(Options{Store: &naiveStore{}, Config: testConfig(everything), Effects: &countEffects{}})
	f.Add(m.Snapshot())
	for _, e := range seedEntries() {
		m.Apply(e)
		f.Add(m.Snapshot())
	}
	f.Fuzz(func(t *testing.T, snapshot []byte) {
		m := New(Options{Store: &naiveStore{}, Config: testConfig(everything), Effects: &countEffects{}})
		if m.Restore(snapshot) != nil {
			return
		}
		again := New(Options{Store: &naiveStore{}, Config: testConfig(everything), Effects: &countEffects{}})
		require.NoError(t, again.Restore(m.Snapshot()))
		require.Equal(t, m.Snapshot(), again.Snapshot())
		for _, e := range seedEntries() {
			m.Apply(e)
		}
	})
}

func FuzzParseFastReply(f *testing.F) {
	for _, s := range []string{"_INBOX.a.id.10.ok.1.0.$FI", "x.id.0.fail.2.3.$FI", "id.1.ok.1.0.$FI", ".$FI", "a.b.c.d.e.f.$FI"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, reply []byte) {
		var r FastReply
		if !ParseFastReply(reply, &r) {
			return
		}
		require.True(t, IsFastReply(reply))
		require.NotEmpty(t, r.ID)
		require.Positive(t, r.Seq)
		require.LessOrEqual(t, r.Op, FastPing)
		require.True(t, r.Flow >= 1 && r.Flow <= flowMax)
	})
}

func FuzzParseStreamSource(f *testing.F) {
	for _, s := range []string{"O 1 > > o.a ID", "O 2 o.>\fx so.>\f> o.a", "O 3", "$JS.ACK.O.C.1.22.3.4.5", "O:x:C=y 18446744073709551615 > >", ""} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, value []byte) {
		h, ok := ParseStreamSource(value)
		if !ok || h.Filters == "" {
			return
		}
		again, ok := ParseStreamSource(h.Append(nil))
		require.True(t, ok)
		require.Equal(t, h, again)
	})
}

func FuzzJudgeSchedule(f *testing.F) {
	for _, s := range []string{"@at 2030-01-01T00:00:00Z", "@every 1h", "0 0 0 29 2 *", "*/7 1-5/2 ? JAN-MAR,7 * MON", "@daily", "@every 2562047h"} {
		f.Add([]byte(s), []byte("Europe/Berlin"), int64(1.7e18))
		f.Add([]byte(s), []byte(nil), int64(0))
	}
	f.Fuzz(func(t *testing.T, schedule, zone []byte, now int64) {
		now &= 1<<62 - 1
		h := api.PublishHeaders{Has: api.HasSchedule, Schedule: schedule}
		if zone != nil {
			h.Has, h.ScheduleTimeZone = h.Has|api.HasScheduleTimeZone, zone
		}
		v := JudgeSchedule(&h, now)
		require.True(t, (v.Err == nil) == (v.Due != 0))
		if v.Err == nil {
			next := nextDue(&h, v.Due, max(now, v.Due))
			require.True(t, next == 0 || next > now)
		}
	})
}
