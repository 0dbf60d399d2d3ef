package api

import (
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/stretchr/testify/require"
)

func TestCalls(t *testing.T) {
	for subj, want := range map[string]Call{
		"INFO":                           {Endpoint: EndpointAccountInfo},
		"STREAM.CREATE.S":                {Endpoint: EndpointStreamCreate, Stream: "S"},
		"STREAM.NAMES":                   {Endpoint: EndpointStreamNames},
		"STREAM.INFO.S":                  {Endpoint: EndpointStreamInfo, Stream: "S"},
		"STREAM.MSG.GET.S":               {Endpoint: EndpointMsgGet, Stream: "S"},
		"STREAM.PEER.REMOVE.S":           {Endpoint: EndpointStreamPeerRemove, Stream: "S"},
		"STREAM.CANCEL_MOVE.S":           {Endpoint: EndpointStreamCancelMove, Stream: "S"},
		"STREAM.LEADER.STEPDOWN.S":       {Endpoint: EndpointStreamStepdown, Stream: "S"},
		"CONSUMER.CREATE.S":              {Endpoint: EndpointConsumerCreate, Stream: "S"},
		"CONSUMER.CREATE.S.C":            {Endpoint: EndpointConsumerCreate, Stream: "S", Consumer: "C"},
		"CONSUMER.CREATE.S.C.f":          {Endpoint: EndpointConsumerCreate, Stream: "S", Consumer: "C", Tail: "f"},
		"CONSUMER.CREATE.S.C.f.*.>":      {Endpoint: EndpointConsumerCreate, Stream: "S", Consumer: "C", Tail: "f.*.>"},
		"CONSUMER.DURABLE.CREATE.S.C":    {Endpoint: EndpointConsumerDurable, Stream: "S", Consumer: "C"},
		"CONSUMER.INFO.S.C":              {Endpoint: EndpointConsumerInfo, Stream: "S", Consumer: "C"},
		"CONSUMER.LEADER.STEPDOWN.S.C":   {Endpoint: EndpointConsumerStepdown, Stream: "S", Consumer: "C"},
		"CONSUMER.MSG.NEXT.S.C":          {Endpoint: EndpointMsgNext, Stream: "S", Consumer: "C"},
		"DIRECT.GET.S":                   {Endpoint: EndpointDirectGet, Stream: "S"},
		"DIRECT.GET.S.a.b":               {Endpoint: EndpointDirectGet, Stream: "S", Tail: "a.b"},
		"META.LEADER.STEPDOWN":           {Endpoint: EndpointMetaStepdown},
		"ACCOUNT.PURGE.A":                {Endpoint: EndpointAccountPurge, Account: "A"},
		"ACCOUNT.STREAM.MOVE.A.S":        {Endpoint: EndpointAccountStreamMove, Account: "A", Stream: "S"},
		"ACCOUNT.STREAM.CANCEL_MOVE.A.S": {Endpoint: EndpointAccountStreamCancelMove, Account: "A", Stream: "S"},
	} {
		got, ok := ParseCall("$JS.API." + subj)
		require.True(t, ok, subj)
		require.Equal(t, want, got, subj)
	}
	for _, subj := range []string{
		"", "INFO.x", "STREAM", "STREAM.CREATE", "STREAM.CREATE.", "STREAM.CREATE.a.b", "STREAM.INFO", "STREAM.NAMES.x", "STREAM.FOO.x",
		"CONSUMER.INFO.S", "CONSUMER.INFO.S.", "CONSUMER.INFO.S.C.x", "CONSUMER.CREATE", "CONSUMER.CREATE.", "CONSUMER.CREATE.S.",
		"CONSUMER.CREATE.S.C.", "CONSUMER.DURABLE.CREATE.S", "CONSUMER.DURABLE.CREATE.S.C.x", "CONSUMER.MSG.NEXT.S", "DIRECT.GET",
		"DIRECT.GET.", "DIRECT.GET.S.", "STREAM.TEMPLATE.NAMES", "ACCOUNT.PURGE", "ACCOUNT.STREAM.MOVE.A", "ACCOUNT.STREAM.MOVE..S",
	} {
		_, ok := ParseCall("$JS.API." + subj)
		require.False(t, ok, subj)
	}
	_, ok := ParseCall("JS.API.INFO")
	require.False(t, ok)
	call := "$JS.API.CONSUMER.CREATE.S.C.f.*.>"
	require.Zero(t, testing.AllocsPerRun(100, func() { ParseCall(call) }))
}

// TestEndpointPatterns says that each endpoint's pattern matches a request to it, and no other
// endpoint answers first.
func TestEndpointPatterns(t *testing.T) {
	for e := EndpointAccountInfo; e < endpoints; e++ {
		require.True(t, subject.Valid(e.Pattern()), e.Pattern())
		request := strings.NewReplacer("*", "x", ">", "x").Replace(e.Pattern())
		call, ok := ParseCall(request)
		require.True(t, ok, request)
		require.Equal(t, e, call.Endpoint, request)
		require.True(t, subject.Matches(request, e.Pattern()))
		silent := e == EndpointMsgNext || e == EndpointDirectGet
		require.Equal(t, silent, e.ResponseType() == "", request)
	}
	require.Equal(t, "io.nats.jetstream.api.v1.stream_names_response", EndpointStreamNames.Response().Type)
	require.True(t, EndpointConsumerList.Informs())
	require.False(t, EndpointStreamPurge.Informs())
	require.Equal(t, "$JS.API.CONSUMER.MSG.NEXT.S.*", PullSubject("S", "*"))
	require.Equal(t, "$JS.API.DIRECT.GET.S", DirectSubject("S"))
	require.Equal(t, "C", string(LastToken([]byte(PullSubject("S", "C")))))
	require.Equal(t, "$JS.hub.API.", DomainPrefix("hub"))
	require.Equal(t, "$JS.SNAPSHOT.ACK.S.id.131072.3", SnapshotAckSubject("S", "id", 131072, 3))
	require.Equal(t, "$JS.SNAPSHOT.RESTORE.S.id", RestoreSubject("S", "id"))
}

func FuzzCall(f *testing.F) {
	f.Add("$JS.API.CONSUMER.CREATE.S.C.f.>")
	f.Add("$JS.API.DIRECT.GET.S.a.b")
	f.Fuzz(func(t *testing.T, subj string) {
		call, ok := ParseCall(subj)
		if ok && subject.ValidPublish(subj) && call.Endpoint.Pattern() != subj &&
			!subject.Matches(subj, call.Endpoint.Pattern()) && !strings.HasSuffix(call.Endpoint.Pattern(), ">") {
			t.Fatalf("%q is not of %s", subj, call.Endpoint.Pattern())
		}
	})
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a": true, "A-b_c": true, "é": true, "a:b": true, "": false, "a b": false, "a.b": false, "a*": false, "a>": false, "a/b": false,
		`a\b`: false, "a\tb": false, "a\nb": false, "a\rb": false, "a\fb": false, "a\vb": true,
	} {
		require.Equal(t, want, ValidName(name), "%q", name)
	}
	require.Equal(t, "6aQiPvW0", StreamIdentity(time.Date(2026, 11, 24, 9, 39, 6, 510989778, time.UTC)), "as an official server gives it")
	require.Equal(t, "6aQiPvW0", Hash8("2026-11-24T09:39:06.510989778Z"))
	r := rand.New(rand.NewPCG(1, 2))
	require.Regexp(t, regexp.MustCompile(`^[0-9A-Za-z]{22}$`), NewID(r))
	require.NotEqual(t, NewID(r), NewID(r))
	require.Regexp(t, regexp.MustCompile(`^[0-9A-Za-z]{8}$`), Name8(1<<63))
	s := &StreamSource{Name: "S", External: &ExternalStream{ApiPrefix: "x"}, Consumer: &StreamConsumerSource{Name: "c"}}
	require.Equal(t, "S:"+Hash8("x")+":C="+Hash8("c"), s.IndexName())
	require.Equal(t, "S", (&StreamSource{Name: "S"}).IndexName())
}

func TestVersions(t *testing.T) {
	future := time.Unix(1, 0)
	for want, list := range map[int][]*StreamConfig{
		0: {{}},
		1: {{AllowMsgTTL: true}, {SubjectDeleteMarkerTTL: time.Second}},
		2: {{AllowMsgCounter: true}, {AllowAtomicPublish: true}, {AllowMsgSchedules: true}, {PersistMode: AsyncPersistMode, AllowMsgTTL: true}},
		4: {{AllowBatchPublish: true}, {AllowBatchPublish: true, AllowMsgTTL: true}},
	} {
		for _, c := range list {
			require.Equal(t, want, StreamLevel(c), "%+v", c)
		}
	}
	for want, list := range map[int][]*ConsumerConfig{
		0: {{}, {PauseUntil: &time.Time{}}},
		1: {{PauseUntil: &future}, {PriorityPolicy: PriorityOverflow}, {PinnedTTL: 1}, {PriorityGroups: []string{"a"}}},
		4: {{AckPolicy: AckFlowControl}},
	} {
		for _, c := range list {
			require.Equal(t, want, ConsumerLevel(c), "%+v", c)
		}
	}
	c := &StreamConfig{AllowMsgTTL: true, Metadata: map[string]string{"a": "b", MetaServerVersion: "9", MetaServerLevel: "9", MetaRequiredLevel: "9"}}
	given := c.Metadata
	c.SetStaticMetadata()
	require.Equal(t, map[string]string{"a": "b", MetaRequiredLevel: "1"}, c.Metadata)
	require.Len(t, given, 4, "the caller's map stays")
	shown := c.WithDynamicMetadata("2.15.2")
	require.Equal(t, map[string]string{"a": "b", MetaRequiredLevel: "1", MetaServerVersion: "2.15.2", MetaServerLevel: "5"}, shown.Metadata)
	require.Len(t, c.Metadata, 2)
	require.True(t, c.Equal(shown), "versions do not count")
	shown.Metadata["a"] = "c"
	require.False(t, c.Equal(shown))
	k := &ConsumerConfig{Name: "k"}
	k.SetStaticMetadata()
	require.True(t, k.Equal(k.WithDynamicMetadata("1")))
	require.Equal(t, 0, RequiredLevel(nil))
	require.Equal(t, 1, RequiredLevel(c.Metadata))
	require.Equal(t, Level+1, RequiredLevel(map[string]string{MetaRequiredLevel: "x"}))
	for value, want := range map[string]bool{"5": true, "6": false, "x": false, "": true, "-1": true, "+3": true, " 3": true, "3 ": false, "0x1": false, "99999999999999999999": false} {
		require.Equal(t, want, LevelServed(block("Nats-Required-Api-Level: "+value)), "%q", value)
	}
	require.True(t, LevelServed(nil))
	require.True(t, LevelServed(block("nats-required-api-level: 9")))
}

func TestCloneIsDeep(t *testing.T) {
	a := readCorpus(t, "stream_create.json").account(t)
	a = append(a, &StreamConfig{
		Placement: &Placement{Tags: []string{"a"}}, SubjectTransform: &SubjectTransformConfig{}, RePublish: &RePublish{},
		Mirror:   &StreamSource{OptStartTime: &time.Time{}, External: &ExternalStream{}, Consumer: &StreamConsumerSource{}, SubjectTransforms: make([]SubjectTransformConfig, 1)},
		Metadata: map[string]string{"a": "b"},
	})
	for _, c := range a {
		was := string(Marshal(c))
		d := c.Clone()
		require.Equal(t, was, string(Marshal(d)))
		for _, s := range append(d.Sources, d.Mirror) {
			if s != nil {
				s.Name = "changed"
				if s.External != nil {
					s.External.ApiPrefix, s.Consumer.Name, s.SubjectTransforms[0].Source = "changed", "changed", "changed"
					*s.OptStartTime = time.Unix(1, 1)
				}
			}
		}
		if d.Placement != nil {
			d.Placement.Tags[0], d.SubjectTransform.Source, d.RePublish.Source = "changed", "changed", "changed"
		}
		d.Metadata["x"] = "y"
		if len(d.Subjects) > 0 {
			d.Subjects[0] = "changed"
		}
		require.Equal(t, was, string(Marshal(c)))
	}
	k := &ConsumerConfig{OptStartTime: &time.Time{}, BackOff: []time.Duration{1}, FilterSubjects: []string{"a"}, Metadata: map[string]string{}, PauseUntil: &time.Time{}, PriorityGroups: []string{"g"}}
	was := string(Marshal(k))
	d := k.Clone()
	*d.OptStartTime, *d.PauseUntil = time.Unix(1, 1), time.Unix(1, 1)
	d.BackOff[0], d.FilterSubjects[0], d.PriorityGroups[0], d.Metadata["a"] = 2, "b", "h", "b"
	require.Equal(t, was, string(Marshal(k)))
}

// TestDirectGetsAsRecorded is what an official server answers to combinations of fields.
func TestDirectGetsAsRecorded(t *testing.T) {
	data, err := os.ReadFile("testdata/gets.txt")
	require.NoError(t, err)
	n := 0
	for line := range strings.Lines(string(data)) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		require.Len(t, fields, 4, line)
		body, get, direct, bySubject := []byte(fields[0]), fields[1], fields[2], fields[3]
		var r JSApiMsgGetRequest
		if e := DecodeStrict(body, &r); e == nil {
			require.Equal(t, get == "10003", CheckMsgGet(&r) != nil, line)
		} else {
			require.Equal(t, "10025", get, line)
		}
		r = JSApiMsgGetRequest{}
		require.Equal(t, direct, ParseDirectGet(body, "", &r), line)
		r = JSApiMsgGetRequest{}
		require.Equal(t, bySubject, ParseDirectGet(body, "dg.1", &r), line)
		n++
	}
	require.Greater(t, n, 150)
}
