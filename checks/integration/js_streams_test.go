package integration

import (
	"fmt"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

func TestStreamsAreManaged(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	ctx := within(t)
	s := stream(t, js, jetstream.StreamConfig{Name: "A", Description: "first", MaxMsgs: 100})
	stream(t, js, jetstream.StreamConfig{Name: "B", Storage: jetstream.MemoryStorage})
	_, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "A", Subjects: []string{"other"}})
	require.ErrorIs(t, err, jetstream.ErrStreamNameAlreadyInUse)
	require.Equal(t, 10065, refused(t, nc, "STREAM.CREATE.C", map[string]any{"name": "C", "subjects": []string{"A.x"}}), "overlap")
	_, err = js.UpdateStream(ctx, jetstream.StreamConfig{Name: "A", Subjects: []string{"A", "A.>"}, MaxMsgs: 5, Storage: jetstream.MemoryStorage})
	require.Error(t, err, "storage cannot change")
	fill(t, js, "A.x", 8)
	_, err = js.UpdateStream(ctx, jetstream.StreamConfig{Name: "A", Subjects: []string{"A", "A.>"}, MaxMsgs: 5})
	require.NoError(t, err)
	st := state(t, s)
	require.EqualValues(t, 5, st.Msgs, "a lower limit holds at once")
	require.EqualValues(t, 4, st.FirstSeq)
	require.EqualValues(t, 8, st.LastSeq)
	var names []string
	for name := range js.StreamNames(ctx).Name() {
		names = append(names, name)
	}
	require.Equal(t, []string{"A", "B"}, names)
	listed := 0
	for info := range js.ListStreams(ctx).Info() {
		require.Contains(t, names, info.Config.Name)
		listed++
	}
	require.Equal(t, 2, listed)
	name, err := js.StreamNameBySubject(ctx, "B.anything")
	require.NoError(t, err)
	require.Equal(t, "B", name)
	account, err := js.AccountInfo(ctx)
	require.NoError(t, err)
	require.Equal(t, 2, account.Streams)
	require.NoError(t, js.DeleteStream(ctx, "B"))
	_, err = js.Stream(ctx, "B")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
	require.ErrorIs(t, js.DeleteStream(ctx, "B"), jetstream.ErrStreamNotFound)
}

func TestStreamStateAndDeletions(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, _ := p.js()
	ctx := within(t)
	s := stream(t, js, jetstream.StreamConfig{Name: "S", AllowDirect: true})
	fill(t, js, "S.a", 3) // 1-3
	fill(t, js, "S.b", 3) // 4-6
	require.NoError(t, s.DeleteMsg(ctx, 2))
	require.NoError(t, s.SecureDeleteMsg(ctx, 5))
	require.Error(t, s.DeleteMsg(ctx, 5))
	check := func(s jetstream.Stream) {
		info, err := s.Info(ctx, jetstream.WithDeletedDetails(true), jetstream.WithSubjectFilter(">"))
		require.NoError(t, err)
		require.Equal(t, []uint64{2, 5}, info.State.Deleted)
		require.Equal(t, map[string]uint64{"S.a": 2, "S.b": 2}, info.State.Subjects)
		require.EqualValues(t, 4, info.State.Msgs)
		_, err = s.GetMsg(ctx, 2)
		require.ErrorIs(t, err, jetstream.ErrMsgNotFound)
		m, err := s.GetLastMsgForSubject(ctx, "S.a")
		require.NoError(t, err)
		require.EqualValues(t, 3, m.Sequence)
		m, err = s.GetMsg(ctx, 5, jetstream.WithGetMsgSubject("S.b"))
		require.NoError(t, err)
		require.EqualValues(t, 6, m.Sequence)
		require.Equal(t, "3", string(m.Data))
	}
	check(s)
	js, _ = p.restart(syscall.SIGKILL).js()
	s, err := js.Stream(ctx, "S")
	require.NoError(t, err)
	check(s)
	require.NoError(t, s.Purge(ctx, jetstream.WithPurgeSubject("S.a"), jetstream.WithPurgeSequence(3)))
	require.EqualValues(t, 3, state(t, s).Msgs)
	require.NoError(t, s.Purge(ctx, jetstream.WithPurgeSubject("S.b"), jetstream.WithPurgeKeep(1)))
	require.EqualValues(t, 2, state(t, s).Msgs)
	require.NoError(t, s.Purge(ctx))
	st := state(t, s)
	require.Zero(t, st.Msgs)
	require.EqualValues(t, 7, st.FirstSeq)
	require.EqualValues(t, 6, st.LastSeq)
}

func TestStreamRulesOfDeletion(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	ctx := within(t)
	stream(t, js, jetstream.StreamConfig{Name: "D", DenyDelete: true, DenyPurge: true})
	fill(t, js, "D", 1)
	require.Equal(t, 10057, refused(t, nc, "STREAM.MSG.DELETE.D", map[string]any{"seq": 1}))
	require.Equal(t, 10110, refused(t, nc, "STREAM.PURGE.D", nil))
	stream(t, js, jetstream.StreamConfig{Name: "SEALED"})
	fill(t, js, "SEALED", 1)
	_, err := js.UpdateStream(ctx, jetstream.StreamConfig{Name: "SEALED", Subjects: []string{"SEALED", "SEALED.>"}, Sealed: true})
	require.NoError(t, err)
	require.Equal(t, 10109, code(request(t, nc, "SEALED", "no")))
	require.Equal(t, 10109, refused(t, nc, "STREAM.PURGE.SEALED", nil))
	m, err := js.Stream(ctx, "SEALED")
	require.NoError(t, err)
	raw, err := m.GetMsg(ctx, 1)
	require.NoError(t, err)
	require.Equal(t, "1", string(raw.Data))
}

func TestStreamLimitsDiscard(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	old := stream(t, js, jetstream.StreamConfig{Name: "OLD", MaxMsgsPerSubject: 2, MaxMsgSize: 10})
	fill(t, js, "OLD.a", 5)
	fill(t, js, "OLD.b", 1)
	require.EqualValues(t, 3, state(t, old).Msgs)
	require.Equal(t, 10054, code(request(t, nc, "OLD.a", "more than ten bytes")))
	stream(t, js, jetstream.StreamConfig{Name: "NEW", MaxMsgs: 2, Discard: jetstream.DiscardNew})
	fill(t, js, "NEW", 2)
	require.Equal(t, 10077, code(request(t, nc, "NEW", "x")))
	stream(t, js, jetstream.StreamConfig{
		Name: "EACH", MaxMsgsPerSubject: 1, Discard: jetstream.DiscardNew, DiscardNewPerSubject: true,
	})
	require.Zero(t, code(request(t, nc, "EACH.a", "x")))
	require.Equal(t, 10077, code(request(t, nc, "EACH.a", "x")))
	require.Zero(t, code(request(t, nc, "EACH.b", "x")))
	aged := stream(t, js, jetstream.StreamConfig{Name: "AGED", MaxAge: 100 * time.Millisecond, Duplicates: 100 * time.Millisecond})
	fill(t, js, "AGED", 10)
	require.Eventually(t, func() bool { return state(t, aged).Msgs == 0 }, patience, tick)
}

func TestStreamChangesSubjects(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{
		Name: "T", Subjects: []string{"in.*"},
		SubjectTransform: &jetstream.SubjectTransformConfig{Source: "in.*", Destination: "kept.{{wildcard(1)}}"},
		RePublish:        &jetstream.RePublish{Source: ">", Destination: "out.>"},
	})
	sub := flushed(t, nc, "out.>")
	require.Zero(t, code(request(t, nc, "in.x", "body")))
	m := next(t, sub)
	require.Equal(t, "out.kept.x", m.Subject)
	require.Equal(t, "body", string(m.Data))
	require.Equal(t, "T", m.Header.Get("Nats-Stream"))
	require.Equal(t, "1", m.Header.Get("Nats-Sequence"))
	raw, err := s.GetMsg(within(t), 1)
	require.NoError(t, err)
	require.Equal(t, "kept.x", raw.Subject)
}

func TestMessageTTLAndDeleteMarkers(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "TTL", AllowMsgTTL: true, SubjectDeleteMarkerTTL: time.Second})
	require.Zero(t, code(request(t, nc, "TTL.a", "short", "Nats-TTL", "1s")))
	require.Zero(t, code(request(t, nc, "TTL.b", "ever", "Nats-TTL", "never")))
	require.Equal(t, 10165, code(request(t, nc, "TTL.b", "bad", "Nats-TTL", "soon")))
	var marker *jetstream.RawStreamMsg
	require.Eventually(t, func() bool {
		m, err := s.GetLastMsgForSubject(within(t), "TTL.a")
		if err != nil || m.Sequence == 1 {
			return false
		}
		marker = m
		return true
	}, patience, tick)
	require.Equal(t, "MaxAge", marker.Header.Get("Nats-Marker-Reason"))
	require.Equal(t, "1s", marker.Header.Get("Nats-TTL"))
	require.Equal(t, map[string]uint64{"TTL.a": 1, "TTL.b": 1}, subjects(t, s))
	stream(t, js, jetstream.StreamConfig{Name: "NOTTL"})
	require.Equal(t, 10166, code(request(t, nc, "NOTTL", "x", "Nats-TTL", "1s")))
}

// subjects counts a stream's messages by subject.
func subjects(t *testing.T, s jetstream.Stream) map[string]uint64 {
	t.Helper()
	info, err := s.Info(within(t), jetstream.WithSubjectFilter(">"))
	require.NoError(t, err)
	return info.State.Subjects
}

func TestRollups(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	s := stream(t, js, jetstream.StreamConfig{Name: "R", AllowRollup: true})
	fill(t, js, "R.a", 3)
	fill(t, js, "R.b", 3)
	require.Zero(t, code(request(t, nc, "R.a", "sum", "Nats-Rollup", "sub")))
	require.Equal(t, map[string]uint64{"R.a": 1, "R.b": 3}, subjects(t, s))
	require.Zero(t, code(request(t, nc, "R.b", "sum", "Nats-Rollup", "all")))
	require.Equal(t, map[string]uint64{"R.b": 1}, subjects(t, s))
}

func TestMirrorsAndSources(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, _ := p.js()
	ctx := within(t)
	stream(t, js, jetstream.StreamConfig{Name: "ORIGIN"})
	stream(t, js, jetstream.StreamConfig{Name: "OTHER"})
	fill(t, js, "ORIGIN.a", 5)
	fill(t, js, "ORIGIN.b", 5)
	fill(t, js, "OTHER.a", 2)
	mirror := stream(t, js, jetstream.StreamConfig{Name: "MIRROR", Mirror: &jetstream.StreamSource{Name: "ORIGIN"}, MirrorDirect: true})
	filtered := stream(t, js, jetstream.StreamConfig{Name: "FILTERED", Mirror: &jetstream.StreamSource{Name: "ORIGIN", FilterSubject: "ORIGIN.b"}})
	sources := stream(t, js, jetstream.StreamConfig{Name: "ALL", Sources: []*jetstream.StreamSource{
		{Name: "ORIGIN", SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "ORIGIN.a", Destination: "from.origin"}}}, {Name: "OTHER"},
	}})
	want := func(s jetstream.Stream, msgs, last int) {
		t.Helper()
		require.Eventually(t, func() bool {
			st := state(t, s)
			return st.Msgs == uint64(msgs) && st.LastSeq == uint64(last)
		}, patience, tick)
	}
	want(mirror, 10, 10)
	want(filtered, 5, 10)
	want(sources, 7, 7)
	require.Equal(t, map[string]uint64{"from.origin": 5, "OTHER.a": 2}, subjects(t, sources))
	account, err := js.AccountInfo(ctx)
	require.NoError(t, err)
	require.Equal(t, 4, account.Consumers, "those that no list shows count")
	js, _ = p.restart(syscall.SIGKILL).js()
	fill(t, js, "ORIGIN.a", 3)
	for name, counts := range map[string][2]int{"MIRROR": {13, 13}, "FILTERED": {5, 10}, "ALL": {10, 10}} {
		s, err := js.Stream(ctx, name)
		require.NoError(t, err)
		if name == "FILTERED" {
			require.EqualValues(t, 5, state(t, s).Msgs)
			continue
		}
		want(s, counts[0], counts[1])
	}
	s, err := js.Stream(ctx, "MIRROR")
	require.NoError(t, err)
	for seq, text := range map[uint64]string{1: "1", 10: "5", 11: "1", 13: "3"} {
		m, err := s.GetMsg(ctx, seq)
		require.NoError(t, err)
		require.Equal(t, text, string(m.Data))
	}
}

func TestMemoryStreamsStayWithoutTheirMessages(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, _ := p.js()
	stream(t, js, jetstream.StreamConfig{Name: "M", Storage: jetstream.MemoryStorage})
	fill(t, js, "M", 5)
	js, nc := p.restart(syscall.SIGTERM).js()
	s, err := js.Stream(within(t), "M")
	require.NoError(t, err)
	require.Zero(t, state(t, s).Msgs)
	ack := request(t, nc, "M", "new")
	require.Zero(t, code(ack))
}

func TestLegacyStreamManagement(t *testing.T) {
	t.Parallel()
	nc := startJS(t).client()
	js, err := nc.JetStream(nats.MaxWait(patience))
	require.NoError(t, err)
	info, err := js.AddStream(&nats.StreamConfig{Name: "L", Subjects: []string{"L.*"}})
	require.NoError(t, err)
	require.Equal(t, "L", info.Config.Name)
	require.NotEmpty(t, info.Config.Metadata["_nats.level"])
	_, err = js.Publish("L.a", []byte("x"))
	require.NoError(t, err)
	_, err = js.Publish("nobody", nil)
	require.ErrorIs(t, err, nats.ErrNoStreamResponse)
	m, err := js.GetLastMsg("L", "L.a")
	require.NoError(t, err)
	require.Equal(t, "x", string(m.Data))
	require.NoError(t, js.DeleteMsg("L", 1))
	require.NoError(t, js.PurgeStream("L"))
	require.NoError(t, js.DeleteStream("L"))
	require.ErrorIs(t, js.DeleteStream("L"), nats.ErrStreamNotFound)
}

func TestRulesOfTheAPI(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	stream(t, js, jetstream.StreamConfig{Name: "S"})
	require.Equal(t, 10025, refused(t, nc, "STREAM.CREATE.X", map[string]any{"name": "X", "colour": "red"}), "an unknown field")
	require.Equal(t, 10025, refused(t, nc, "STREAM.CREATE.X", "text"))
	require.Equal(t, 10056, refused(t, nc, "STREAM.CREATE.X", map[string]any{"name": "Y"}))
	require.Equal(t, 10059, refused(t, nc, "STREAM.INFO.NONE", nil))
	require.Equal(t, 10157, refused(t, nc, "STREAM.CREATE.X", map[string]any{"name": "X", "max_msgs": -5, "pedantic": true}))
	answer, err := nc.RequestMsg(message("$JS.API.INFO", "", "Nats-Required-Api-Level", "99"), patience)
	require.NoError(t, err)
	require.Contains(t, string(answer.Data), `"err_code":10185`)
	answer, err = nc.RequestMsg(message("$JS.API.STREAM.NAMES", "", "Nats-Required-Api-Level", "1"), patience)
	require.NoError(t, err)
	require.Contains(t, string(answer.Data), `"streams":["S"]`)
	_, err = nc.Request("$JS.API.NOTHING", nil, 100*time.Millisecond)
	require.Error(t, err)
}

func TestLongListsComeInPages(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	const many = 300
	for i := range many {
		must(t, nc, fmt.Sprintf("STREAM.CREATE.S%03d", i), map[string]any{"name": fmt.Sprintf("S%03d", i), "storage": "memory"})
	}
	page := must(t, nc, "STREAM.LIST", map[string]any{"offset": 256})
	require.EqualValues(t, many, page["total"])
	require.Len(t, page["streams"], many-256)
	names := 0
	for range js.StreamNames(within(t)).Name() {
		names++
	}
	require.Equal(t, many, names)
}

func TestFirstSequenceAndPromotion(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	ctx := within(t)
	stream(t, js, jetstream.StreamConfig{Name: "A", FirstSeq: 1000})
	require.EqualValues(t, 1000, request(t, nc, "A", "x")["seq"])
	m := stream(t, js, jetstream.StreamConfig{Name: "M", Mirror: &jetstream.StreamSource{Name: "A"}})
	require.Eventually(t, func() bool { return state(t, m).LastSeq == 1000 }, patience, tick)
	require.NoError(t, js.DeleteStream(ctx, "A"))
	_, err := js.UpdateStream(ctx, jetstream.StreamConfig{Name: "M", Subjects: []string{"A"}})
	require.NoError(t, err, "a mirror becomes a stream of its own")
	require.EqualValues(t, 1001, request(t, nc, "A", "y")["seq"])
}

// Streams that would feed each other without end are refused, when they are made and when they change.
func TestCyclesOfSources(t *testing.T) {
	t.Parallel()
	_, nc := startJS(t).js()
	from := func(name, filter string) map[string]any {
		return map[string]any{"name": name, "filter_subject": filter}
	}
	create := func(name string, sources ...any) (string, any) {
		return "STREAM.CREATE." + name, map[string]any{"name": name, "subjects": []string{name + ".>"}, "sources": sources}
	}
	update := func(name string, sources ...any) (string, any) {
		_, config := create(name, sources...)
		return "STREAM.UPDATE." + name, config
	}
	mirror := func(name, of, filter string) (string, any) {
		return "STREAM.CREATE." + name, map[string]any{"name": name, "mirror": from(of, filter)}
	}
	for _, ask := range []func() (string, any){
		func() (string, any) { return create("A", from("A", "")) },
		func() (string, any) { return create("A", from("A", "A.x")) },
		func() (string, any) { return mirror("A", "A", "other") },
	} {
		subject, config := ask()
		require.Equal(t, 10052, refused(t, nc, subject, config))
	}
	made := func(subject string, config any) { t.Helper(); must(t, nc, subject, config) }
	cycle := func(subject string, config any) {
		t.Helper()
		require.Equal(t, 10052, refused(t, nc, subject, config))
	}
	made(create("SELF", from("SELF", "other")))
	made(create("A"))
	made(create("B", from("A", "")))
	cycle(update("A", from("B", "")))
	cycle(update("A", from("B", "B.x")))
	made(update("B", from("A", "other")))
	made(update("A", from("B", "B.x")))
	made(create("C"))
	made(mirror("M", "C", ""))
	cycle(update("C", from("M", "")))
	cycle(update("C", from("M", "other")))
	made(mirror("N", "D", "other"))
	cycle(create("D", from("N", "other")))
	cycle(create("E", from("C", ""), from("M", ""))) // no way back, but the same twice
	made(create("E", from("M", ""), from("C", "")))
}
