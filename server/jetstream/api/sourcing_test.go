package api

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// sourcingConsumer is what a source asks its origin for.
func sourcingConsumer() *ConsumerConfig {
	return &ConsumerConfig{
		Name: "JS_SRC_x", DeliverSubject: "$JS.S.abcdefgh", AckWait: 22 * time.Hour, MaxDeliver: 1, Heartbeat: time.Second,
		FlowControl: true, Direct: true, Sourcing: true, InactiveThreshold: 10 * time.Second,
	}
}

func TestSourcingConsumersAsRecorded(t *testing.T) {
	const onLimits = `{"name":"JS_SRC_x-Voq0P31F","deliver_policy":"all","ack_policy":"none","ack_wait":79200000000000,"max_deliver":1,` +
		`"replay_policy":"instant","flow_control":true,"deliver_subject":"$JS.S.abcdefgh","idle_heartbeat":1000000000,` +
		`"inactive_threshold":10000000000,"num_replicas":0,"direct":true,"sourcing":true,"metadata":{"_nats.req.level":"0"}}`
	const onQueue = `{"durable_name":"JS_SRC_x","name":"JS_SRC_x","deliver_policy":"by_start_sequence","opt_start_seq":5,` +
		`"ack_policy":"flow_control","max_deliver":-1,"replay_policy":"instant","max_ack_pending":1000,"flow_control":true,` +
		`"deliver_subject":"$JS.S.abcdefgh","idle_heartbeat":1000000000,"num_replicas":0,"sourcing":true,"metadata":{"_nats.req.level":"4"}}`
	limits := &StreamConfig{Name: "L", Subjects: []string{"l.>"}, Replicas: 1}
	queue := &StreamConfig{Name: "Q", Subjects: []string{"q.>"}, Replicas: 1, Retention: WorkQueuePolicy}
	settle := func(c *ConsumerConfig, stream *StreamConfig) *ConsumerConfig {
		c.SettleSourcing(stream, "Voq0P31F")
		c, err := CheckConsumerConfig(c, stream, ConsumerServerLimits{}, false)
		require.Nil(t, err)
		require.Nil(t, CheckConsumerFilters(c, stream, [][]string{nil}), "rules of work queues do not concern it")
		return c
	}
	require.Equal(t, onLimits, string(Marshal(settle(sourcingConsumer(), limits))))
	later := sourcingConsumer()
	later.DeliverPolicy, later.OptStartSeq = DeliverByStartSequence, 5
	was := settle(later, queue)
	require.Equal(t, onQueue, string(Marshal(was)))

	next := settle(sourcingConsumer(), queue)
	require.Nil(t, CheckConsumerUpdate(was, next), "it may ask for another start")
	require.Equal(t, onQueue, string(Marshal(next)), "but does not get it")

	nameless := sourcingConsumer()
	nameless.Name = ""
	nameless.SettleSourcing(queue, "Voq0P31F")
	require.True(t, nameless.Direct)
	plain := &ConsumerConfig{Name: "p"}
	plain.SettleSourcing(limits, "Voq0P31F")
	require.Equal(t, "p", plain.Name)
}

func TestStreamIdentityOfSourcingConsumers(t *testing.T) {
	created := time.Date(2026, 11, 24, 9, 39, 6, 510989778, time.UTC)
	same, other := block("Nats-Stream-Identity: 6aQiPvW0"), block("Nats-Stream-Identity: x")
	c := sourcingConsumer()
	for _, header := range [][]byte{nil, same, block("Nats-Stream-Identity: "), block("X: y")} {
		require.Nil(t, CheckStreamIdentity(c, header, created))
	}
	err := CheckStreamIdentity(c, other, created)
	require.ErrorIs(t, err, ErrConsumerStreamIdentityMismatch)
	require.Equal(t, "consumer's stream identity does not match: 6aQiPvW0", err.Description)
	require.Nil(t, CheckStreamIdentity(&ConsumerConfig{}, other, created), "who is not internal is not asked")
}

func TestConsumerRequests(t *testing.T) {
	long := string(make([]byte, NameMax+1))
	for _, tc := range []struct {
		title, name, filter string
		durable             bool
		r                   CreateConsumerRequest
		want                *Error
		named               string
	}{
		{title: "other stream", name: "c", r: CreateConsumerRequest{Stream: "T"}, want: ErrStreamMismatch},
		{title: "separator in the subject", name: "a/b", r: CreateConsumerRequest{Stream: "S"}, want: ErrConsumerNameContainsPathSeparators},
		{title: "separator in the name", r: CreateConsumerRequest{Stream: "S", Config: ConsumerConfig{Name: `a\b`}}, want: ErrConsumerNameContainsPathSeparators},
		{title: "not durable", name: "c", durable: true, r: CreateConsumerRequest{Stream: "S"}, want: ErrConsumerDurableNameNotSet},
		{title: "other durable", name: "c", durable: true, r: CreateConsumerRequest{Stream: "S", Config: ConsumerConfig{Durable: "d"}}, want: ErrConsumerDurableNameNotMatchSubject},
		{title: "other durable, new form", name: "c", r: CreateConsumerRequest{Stream: "S", Config: ConsumerConfig{Durable: "d"}}, want: ErrConsumerDurableNameNotMatchSubject},
		{title: "durable without name in the subject", r: CreateConsumerRequest{Stream: "S", Config: ConsumerConfig{Durable: "d"}}, want: ErrConsumerEphemeralWithDurableName},
		{title: "filters", name: "c", filter: "a", r: CreateConsumerRequest{Stream: "S", Config: ConsumerConfig{FilterSubjects: []string{"a"}}}, want: ErrConsumerMultipleFiltersNotAllowed},
		{title: "other filter", name: "c", filter: "a", r: CreateConsumerRequest{Stream: "S", Config: ConsumerConfig{FilterSubject: "b"}}, want: ErrConsumerCreateFilterSubjectMismatch},
		{title: "no filter", name: "c", filter: "a", r: CreateConsumerRequest{Stream: "S"}, want: ErrConsumerCreateFilterSubjectMismatch},
		{title: "replicas", name: "c", r: CreateConsumerRequest{Stream: "S", Config: ConsumerConfig{Replicas: 2}}, want: ErrStreamReplicasNotSupported},
		{title: "bad name", r: CreateConsumerRequest{Stream: "S", Config: ConsumerConfig{Name: "a b"}}, want: ErrStreamInvalidConfig},
		{title: "bad name in the subject", name: "a*b", r: CreateConsumerRequest{Stream: "S"}, want: ErrStreamInvalidConfig},
		{title: "the subject decides", name: "c", r: CreateConsumerRequest{Stream: "S", Config: ConsumerConfig{Name: "d"}}, named: "c"},
		{title: "named in the body", r: CreateConsumerRequest{Stream: "S", Config: ConsumerConfig{Name: "d"}}, named: "d"},
		{title: "nameless", r: CreateConsumerRequest{Stream: "S"}},
		{title: "durable", name: "c", filter: "a.>", r: CreateConsumerRequest{Stream: "S", Config: ConsumerConfig{Durable: "c", FilterSubject: "a.>"}}, named: "c"},
	} {
		t.Run(tc.title, func(t *testing.T) {
			err := CheckConsumerRequest("S", tc.name, tc.filter, tc.durable, &tc.r)
			if tc.want != nil {
				require.ErrorIs(t, err, tc.want)
				return
			}
			require.Nil(t, err)
			require.Equal(t, tc.named, tc.r.Config.Name)
		})
	}
	stream := &StreamConfig{Replicas: 1}
	for _, tc := range []struct {
		c    ConsumerConfig
		want *Error
	}{
		{ConsumerConfig{Durable: long}, ErrConsumerNameTooLong},
		{ConsumerConfig{Name: long}, ErrConsumerCreate},
		{ConsumerConfig{Name: "a", Durable: "b"}, ErrConsumerCreateDurableAndNameMismatch},
		{ConsumerConfig{Name: "a.b"}, ErrConsumerBadDurableName},
		{ConsumerConfig{AckPolicy: 99}, ErrConsumerAckPolicyInvalid},
		{ConsumerConfig{ReplayPolicy: 99}, ErrConsumerReplayPolicyInvalid},
		{ConsumerConfig{Replicas: 2}, ErrConsumerReplicasExceedsStream},
	} {
		_, err := CheckConsumerConfig(&tc.c, stream, ConsumerServerLimits{}, false)
		require.ErrorIs(t, err, tc.want)
	}
	_, err := CheckConsumerConfig(&ConsumerConfig{Replicas: 1}, &StreamConfig{Replicas: 3, Retention: InterestPolicy}, ConsumerServerLimits{}, false)
	require.ErrorIs(t, err, ErrConsumerReplicasShouldMatchStream)
	require.True(t, StreamConsumerLimits{MaxAckPending: 5}.Violates(&ConsumerConfig{MaxAckPending: 6}))
	require.True(t, StreamConsumerLimits{InactiveThreshold: 5}.Violates(&ConsumerConfig{InactiveThreshold: 6}))
	require.False(t, StreamConsumerLimits{MaxAckPending: 5}.Violates(&ConsumerConfig{MaxAckPending: 5, InactiveThreshold: time.Hour}))
}

// Ways through streams that each have two sources, forty streams deep, are too many to follow.
func TestWaysThroughSourcesAreBounded(t *testing.T) {
	streams := make(map[string]*StreamConfig)
	name := func(layer, side int) string { return fmt.Sprintf("L%d-%d", layer, side) }
	both := func(layer int) (list []*StreamSource) {
		for side := range 2 {
			list = append(list, &StreamSource{Name: name(layer, side), FilterSubject: "of.nobody"})
		}
		return list
	}
	for layer := range 40 {
		for side := range 2 {
			n := name(layer, side)
			streams[n] = &StreamConfig{Name: n, Subjects: []string{n}, Sources: both(layer + 1)}
		}
	}
	l := StreamLimits{Find: func(name string) *StreamConfig { return streams[name] }}
	_, err := CheckStreamCreate(&StreamConfig{Name: "S", Sources: both(0)}, l, false)
	require.Equal(t, "detected cycle", err.Description)
	_, err = CheckStreamCreate(&StreamConfig{Name: "S", Sources: both(30)}, l, false)
	require.Nil(t, err)
}
