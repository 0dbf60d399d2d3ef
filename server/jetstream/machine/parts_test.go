package machine

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/storage/msgs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestEveryErrorOfPublishHasAScript looks for the errors that publishers can get in the scripts.
func TestEveryErrorOfPublishHasAScript(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	var all strings.Builder
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		all.Write(text)
	}
	// 10158 does not occur: what is under way is judged when it is applied. 10167 is the intake's.
	for _, code := range []int{
		10002, 10023, 10043, 10054, 10057, 10060, 10070, 10071, 10077, 10097, 10109, 10110, 10111, 10120, 10164, 10165, 10166,
		10168, 10169, 10170, 10171, 10172, 10174, 10175, 10176, 10177, 10179, 10185, 10188, 10189, 10190, 10191, 10192, 10193,
		10199, 10200, 10201, 10203, 10205, 10206, 10207, 10208, 10210, 10211, 10212, 10223, 10227,
	} {
		e := api.ByCode(code)
		require.NotNil(t, e, code)
		inPub, inFast := fmt.Sprintf("refused 0 %d ", code), fmt.Sprintf(`"err_code":%d,`, code)
		inAdmin := fmt.Sprintf("error %d ", code)
		require.True(t, strings.Contains(all.String(), inPub) || strings.Contains(all.String(), inFast) || strings.Contains(all.String(), inAdmin),
			"%d %s", code, e.Description)
	}
}

func TestJudgeSchedule(t *testing.T) {
	judge := func(lines string) ScheduleVerdict {
		var h api.PublishHeaders
		h.Parse([]byte(api.HeaderLine + lines + "\r\n\r\n"))
		return JudgeSchedule(&h, 100e9+1)
	}
	require.Equal(t, ScheduleVerdict{}, judge("A: b"), "no schedule")
	require.Equal(t, ScheduleVerdict{Due: 102e9}, judge("Nats-Schedule: @every 2s"))
	require.Equal(t, ScheduleVerdict{Due: 1}, judge("Nats-Schedule: @at 1970-01-01T00:00:00Z"), "due is never 0")
	require.Equal(t, ScheduleVerdict{Due: 120e9}, judge("Nats-Schedule: 0 * * * * *"))
	require.Equal(t, ScheduleVerdict{Err: api.ErrMessageSchedulesPatternInvalid}, judge("Nats-Schedule: 0 0 0 31 2 *"), "never")
	require.Equal(t, ScheduleVerdict{Err: api.ErrMessageSchedulesPatternInvalid}, judge("Nats-Schedule: x"))
	require.Equal(t, ScheduleVerdict{Err: api.ErrMessageSchedulesTimeZoneInvalid}, judge("Nats-Schedule: @daily\r\nNats-Schedule-Time-Zone: X/Y"))
}

// TestDedupeAgainstMap compares the window with a list.
func TestDedupeAgainstMap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		type entry struct {
			id   string
			seq  uint64
			time int64
		}
		window := rapid.Int64Range(1, 100).Draw(t, "window")
		d, list, now, seq := dedupe{window: window}, []entry(nil), int64(0), uint64(0)
		for range rapid.IntRange(1, 400).Draw(t, "steps") {
			now += rapid.Int64Range(0, 3).Draw(t, "time")
			d.expire(now)
			id := fmt.Sprint("id", rapid.IntRange(0, 60).Draw(t, "id"))
			want := uint64(0)
			for _, e := range list {
				if e.id == id && now-e.time < window {
					want = e.seq
				}
			}
			got, ok := d.find([]byte(id), now)
			require.Equal(t, want, got)
			require.Equal(t, want != 0, ok)
			if !ok {
				seq++
				d.add([]byte(id), seq, now)
				list = append(list, entry{id, seq, now})
			}
			if rapid.IntRange(0, 50).Draw(t, "restart?") == 0 {
				snapshot := d.snapshot(nil)
				d = dedupe{window: window}
				d.restore(&codec.Reader{P: snapshot})
				require.Equal(t, snapshot, d.snapshot(nil))
			}
			if rapid.IntRange(0, 50).Draw(t, "shorter?") == 0 {
				window = max(1, window-5)
				d.setWindow(window, now)
			}
			require.LessOrEqual(t, d.len(), len(list))
		}
		d.setWindow(0, now)
		_, ok := d.find([]byte("id1"), now)
		require.False(t, ok)
	})
}

// TestCrowdOfIDsIsForgotten: memory goes with what it was for.
func TestCrowdOfIDsIsForgotten(t *testing.T) {
	d := dedupe{window: 100_000}
	for i := range int64(100_000) {
		d.add(fmt.Append(nil, i), uint64(i), i)
	}
	require.Equal(t, 100_000, d.len())
	d.expire(199_900)
	require.Equal(t, 99, d.len())
	require.LessOrEqual(t, len(d.chunks), 2)
	for i := range int64(10) {
		d.expire(199_901 + i)
	}
	require.LessOrEqual(t, len(d.ring), 2048)
	d.expire(1 << 40)
	require.Nil(t, d.ring)
	require.Nil(t, d.table)
}

// TestExpiryComesInPortions: what one entry leaves is due at once.
func TestExpiryComesInPortions(t *testing.T) {
	store := msgs.NewMemory(nil, msgs.Options{})
	m := New(Options{Store: store, Config: testConfig(func(c *api.StreamConfig) { c.MaxAge = 1e9 }), Effects: &countEffects{}})
	var b Builder
	b.Begin(nil, 10e9)
	for range 2*expireMax + 10 {
		b.Add([]byte("s.a"), nil, nil, Verdict{})
	}
	require.True(t, m.Apply(b.Bytes()))
	require.Equal(t, int64(11e9), m.Deadline())
	require.Nil(t, m.Due(nil, 11e9-1, nil))
	for i := range 3 {
		entry := m.Due(nil, 12e9, nil)
		require.NotNil(t, entry, i)
		require.Nil(t, m.Due(nil, 12e9, nil), "one at a time")
		require.True(t, m.Apply(entry))
	}
	require.Zero(t, store.State().Msgs)
	require.Zero(t, m.Deadline())
	// After that, messages expire a batch at a time.
	b.Begin(nil, 12e9)
	b.Add([]byte("s.a"), nil, nil, Verdict{})
	require.True(t, m.Apply(b.Bytes()))
	require.Equal(t, int64(13e9), m.Deadline())
	b.Begin(nil, 12e9+1e6)
	b.Add([]byte("s.a"), nil, nil, Verdict{})
	require.True(t, m.Apply(b.Bytes()))
	require.True(t, m.Apply(m.Due(nil, 13e9, nil)))
	require.Equal(t, int64(13e9)+granularity, m.Deadline())
	require.Nil(t, m.Due(nil, 13e9+2e6, nil))
}

// TestForgottenProposalsComeAgain: a leader that lost what it proposed proposes it anew.
func TestForgottenProposalsComeAgain(t *testing.T) {
	m := New(Options{Store: &naiveStore{}, Effects: &countEffects{}, Config: testConfig(func(c *api.StreamConfig) {
		c.AllowMsgSchedules, c.AllowRollup = true, true
	})})
	header := []byte("NATS/1.0\r\nNats-Schedule: @every 1s\r\nNats-Schedule-Target: s.t\r\n\r\n")
	var b Builder
	b.Begin(nil, 10e9)
	b.Add([]byte("s.a"), header, nil, Verdict{Schedule: ScheduleVerdict{Due: 11e9}})
	require.True(t, m.Apply(b.Bytes()))
	first := m.Due(nil, 11e9, nil)
	require.NotNil(t, first)
	require.Nil(t, m.Due(nil, 11e9, nil))
	require.Zero(t, m.Deadline())
	m.Forget()
	require.Equal(t, int64(11e9), m.Deadline())
	again := m.Due(nil, 11e9, nil)
	require.Equal(t, first, again)
	require.True(t, m.Apply(again))
	require.True(t, m.Apply(first), "the other one comes late")
	require.Equal(t, uint64(2), m.store.State().Last, "and fires nothing")
}

// TestOpenBatchesAreCounted over the streams of a server.
func TestOpenBatchesAreCounted(t *testing.T) {
	var total OpenBatches
	cfg := testConfig(func(c *api.StreamConfig) { c.AllowAtomicPublish, c.AllowBatchPublish = true, true })
	limits := BatchLimits{AtomicTotal: 2, FastTotal: 2}
	var h api.PublishHeaders
	atomic := func(s *Staging, id string) *api.Error {
		block := []byte("NATS/1.0\r\nNats-Batch-Id: " + id + "\r\nNats-Batch-Sequence: 1\r\n\r\n")
		h.Parse(block)
		return s.Add(nil, 1, cfg, &Arrival{Subject: []byte("s.a"), Header: block, Headers: &h}, 0).Err
	}
	fast := func(f *FastBatches, id string) *api.Error {
		h.Parse(nil)
		return f.Add(nil, 1, cfg, &Arrival{Subject: []byte("s.a"), Headers: &h}, []byte("i."+id+".1.ok.1.0.$FI")).Err
	}
	a, b := NewStaging(limits, &total), NewStaging(limits, &total)
	require.Nil(t, atomic(a, "1"))
	require.Nil(t, atomic(b, "1"))
	require.Equal(t, api.ErrAtomicPublishTooManyInflight, atomic(a, "2"))
	a.Expire(int64(11e9))
	require.Equal(t, []Abandoned{{"1", AbandonedTimeout}}, a.TakeAbandoned())
	require.Empty(t, a.TakeAbandoned())
	require.Nil(t, atomic(b, "2"))
	require.Equal(t, 2, b.Len())
	b.Clear()
	require.Zero(t, total.atomic.Load())
	require.Zero(t, b.Deadline())

	f, g := NewFastBatches(limits, &total, 1), NewFastBatches(limits, &total, 1)
	require.Nil(t, fast(f, "1"))
	require.Nil(t, fast(g, "1"))
	require.Equal(t, api.ErrBatchPublishTooManyInflight, fast(f, "2"))
	g.Clear()
	require.Nil(t, fast(f, "2"))
	require.Equal(t, 2, f.Len())
	f.Expire(int64(11e9))
	require.Zero(t, total.fast.Load())
}

// TestStagedBytesAreBounded: a batch does not outgrow memory, or the log.
func TestStagedBytesAreBounded(t *testing.T) {
	var total OpenBatches
	cfg := testConfig(func(c *api.StreamConfig) { c.AllowAtomicPublish = true })
	s := NewStaging(BatchLimits{Bytes: 1000}, &total)
	var err *api.Error
	n := 0
	for ; err == nil && n < 100; n++ {
		block := fmt.Appendf(nil, "NATS/1.0\r\nNats-Batch-Id: b\r\nNats-Batch-Sequence: %d\r\n\r\n", n+1)
		var h api.PublishHeaders
		h.Parse(block)
		err = s.Add(nil, 1, cfg, &Arrival{Subject: []byte("s.a"), Header: block, Headers: &h, Data: make([]byte, 100)}, 0).Err
	}
	require.Equal(t, 10199, err.ErrCode)
	require.Less(t, n, 10)
	require.Equal(t, []Abandoned{{"b", AbandonedLarge}}, s.TakeAbandoned())
	require.Zero(t, total.bytes.Load())

	// All batches of a server together have a bound as well.
	s = NewStaging(BatchLimits{BytesTotal: 1000}, &total)
	for i := range 3 {
		block := fmt.Appendf(nil, "NATS/1.0\r\nNats-Batch-Id: b%d\r\nNats-Batch-Sequence: 1\r\n\r\n", i)
		var h api.PublishHeaders
		h.Parse(block)
		err = s.Add(nil, 1, cfg, &Arrival{Subject: []byte("s.a"), Header: block, Headers: &h, Data: make([]byte, 400)}, 0).Err
		require.Equal(t, i == 2, err != nil)
	}
	require.Equal(t, 2, s.Len())
	s.Clear()
	require.Zero(t, total.bytes.Load())
	require.Zero(t, s.Len())
}

func TestSourceNames(t *testing.T) {
	src := &api.StreamSource{Name: "O"}
	require.Equal(t, "O > >", SourceKey(src))
	src.FilterSubject = "o.a"
	require.Equal(t, "O o.a >", SourceKey(src))
	src.FilterSubject, src.SubjectTransforms = "", []api.SubjectTransformConfig{{Source: "o.>", Destination: "so.>"}, {Source: "x"}}
	require.Equal(t, "O o.>\fx so.>\f>", SourceKey(src))
	src.External = &api.ExternalStream{ApiPrefix: "$JS.D.API"}
	src.Consumer = &api.StreamConsumerSource{Name: "C"}
	require.Regexp(t, `^O:[0-9A-Za-z]{8}:C=[0-9A-Za-z]{8} `, SourceKey(src))

	h, ok := ParseStreamSource([]byte("$JS.ACK.O.C.1.22.3.4.5"))
	require.True(t, ok)
	require.Equal(t, StreamSourceHeader{Origin: "O", Seq: 22}, h)
	h, ok = ParseStreamSource([]byte("O 23"))
	require.True(t, ok)
	require.Equal(t, StreamSourceHeader{Origin: "O", Seq: 23}, h)
	require.Empty(t, h.Key())
	h, ok = ParseStreamSource([]byte("O 24 o.>\fx so.>\f> o.a ID"))
	require.True(t, ok)
	require.Equal(t, StreamSourceHeader{"O", 24, "o.>\fx", "so.>\f>", "o.a", "ID"}, h)
	require.Equal(t, "O o.>\fx so.>\f>", h.Key())
	for _, bad := range []string{"", "O", "O x", "$JS.ACK.O.C.1.x.3.4.5", "O -1 > > a"} {
		_, ok = ParseStreamSource([]byte(bad))
		require.False(t, ok, bad)
	}
}

// TestPositionsOfGoneSourcesAreBounded: an endless change of sources does not grow the state.
func TestPositionsOfGoneSourcesAreBounded(t *testing.T) {
	var t1 sources
	keep := &api.StreamSource{Name: "KEEP"}
	t1.set([]byte(SourceKey(keep)), 7, nil)
	for i := range 2 * sourcesMax {
		t1.set(fmt.Appendf(nil, "S%d > >", i), 1, nil)
		t1.configure(testConfig(func(c *api.StreamConfig) { c.Sources = []*api.StreamSource{keep} }))
		require.LessOrEqual(t, len(t1.at), sourcesMax)
	}
	require.Equal(t, uint64(7), t1.at[SourceKey(keep)].seq)
}

// TestUnreadableEntries change nothing, and are told of.
func TestUnreadableEntries(t *testing.T) {
	m := New(Options{Store: &naiveStore{}, Config: testConfig(nil), Effects: &countEffects{}})
	require.NoError(t, m.Err())
	for _, bad := range [][]byte{nil, {kindPublish}, {0xff, 0, 1}, append(appendHead(nil, kindPublish, 1), 0x80), {kindDelete, 0, featureLevel + 1, 1, 0}} {
		m.err = nil
		require.True(t, m.Apply(bad))
		require.ErrorIs(t, m.Err(), codec.ErrUnreadable, "%x", bad)
		require.Zero(t, m.store.State().Last)
	}
}

// TestOldConfigurationRemovesNothing: a machine is made with what the stream was created with, before
// its snapshot brings what is in force.
func TestOldConfigurationRemovesNothing(t *testing.T) {
	store := msgs.NewMemory(nil, msgs.Options{})
	created := testConfig(func(c *api.StreamConfig) { c.MaxMsgs = 1 })
	m := New(Options{Store: store, Config: created, Effects: &countEffects{}})
	require.True(t, m.Apply(EncodeConfig(nil, 10e9, testConfig(nil))))
	require.True(t, m.Apply(entryOf(5, nil, nil)))
	require.Equal(t, uint64(5), store.State().Msgs)
	again := New(Options{Store: store, Config: created, Effects: &countEffects{}})
	require.NoError(t, again.Restore(m.Snapshot()))
	require.True(t, again.Apply(entryOf(1, nil, nil)))
	require.Equal(t, uint64(6), store.State().Msgs)
	// A new stream has its limits from the first entry on.
	store = msgs.NewMemory(nil, msgs.Options{})
	m = New(Options{Store: store, Config: created, Effects: &countEffects{}})
	require.True(t, m.Apply(entryOf(5, nil, nil)))
	require.Equal(t, uint64(1), store.State().Msgs)
}

// TestFirstSequence: a stream can begin anywhere.
func TestFirstSequence(t *testing.T) {
	store := msgs.NewMemory(nil, msgs.Options{})
	m := New(Options{Store: store, Config: testConfig(func(c *api.StreamConfig) { c.FirstSeq = 100 }), Effects: &countEffects{}})
	require.Equal(t, uint64(100), store.State().First)
	var b Builder
	b.Begin(nil, 10e9)
	b.Add([]byte("s.a"), nil, nil, Verdict{})
	require.True(t, m.Apply(b.Bytes()))
	require.Equal(t, uint64(100), store.State().Last)
}

// TestTimesDoNotFall: an entry of a leader whose clock is behind is applied at the time of those before it.
func TestTimesDoNotFall(t *testing.T) {
	store := msgs.NewMemory(nil, msgs.Options{})
	m := New(Options{Store: store, Config: testConfig(nil), Effects: &countEffects{}})
	for i, now := range []int64{20e9, 10e9, 30e9} {
		var b Builder
		b.Begin(nil, now)
		b.Add([]byte("s.a"), []byte("NATS/1.0\r\nA: b\r\n\r\n"), nil, Verdict{})
		require.True(t, m.Apply(b.Bytes()))
		at, ok := store.TimeOf(uint64(i + 1))
		require.True(t, ok)
		require.Equal(t, []int64{20e9, 20e9, 30e9}[i], at)
		require.Equal(t, at, m.now)
	}
}
