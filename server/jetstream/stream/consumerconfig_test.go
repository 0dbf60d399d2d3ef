package stream

import (
	"encoding/hex"
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
)

// everyField is a configuration in which nothing is left out. It is not one that a stream would take.
func everyField() *api.ConsumerConfig {
	start := time.Date(2024, 5, 6, 7, 8, 9, 10, time.FixedZone("", 3600))
	pause := time.Unix(3, 4).UTC()
	return &api.ConsumerConfig{
		Durable: "D", Name: "N", Description: "text", DeliverPolicy: api.DeliverByStartTime, OptStartSeq: 1 << 63, OptStartTime: &start,
		AckPolicy: api.AckExplicit, AckWait: time.Second, MaxDeliver: -1, BackOff: []time.Duration{1, time.Hour}, FilterSubject: "f.*",
		FilterSubjects: []string{"a", "b.>"}, ReplayPolicy: api.ReplayOriginal, RateLimit: 7, SampleFrequency: "50%", MaxWaiting: 8,
		MaxAckPending: 9, FlowControl: true, HeadersOnly: true, MaxRequestBatch: 10, MaxRequestExpires: 11, MaxRequestBytes: 12,
		DeliverSubject: "to", DeliverGroup: "g", Heartbeat: 13, InactiveThreshold: 14, Replicas: 3, MemoryStorage: true, Direct: true,
		Sourcing: true, Metadata: map[string]string{"k": "v", "a": ""}, PauseUntil: &pause, PriorityGroups: []string{"p"},
		PriorityPolicy: api.PriorityPinnedClient, PinnedTTL: 15,
	}
}

// TestEveryFieldOfAConsumerIsKept fails for a field that was added to configurations and not to their form on disk.
func TestEveryFieldOfAConsumerIsKept(t *testing.T) {
	cfg := everyField()
	v := reflect.ValueOf(cfg).Elem()
	for i := range v.NumField() {
		f := v.Type().Field(i)
		if f.Name == "inactiveByDefault" { // JSON does not keep it either
			continue
		}
		require.False(t, v.Field(i).IsZero(), "everyField leaves %s out", f.Name)
	}
	p := appendConsumerConfig(nil, "N", cfg)
	d := &codec.Reader{P: p}
	got := readConsumerConfig(d, "N", nil)
	require.NoError(t, d.Err())
	require.False(t, d.More())
	require.Equal(t, string(api.Marshal(cfg)), string(api.Marshal(got)))
	for n := range p { // what is cut off is not taken
		d := &codec.Reader{P: p[:n]}
		readConsumerConfig(d, "N", nil)
		require.Error(t, d.Err())
	}
	got.OptStartTime, cfg.OptStartTime = nil, nil // equal but for the pointer to the zone
	require.Equal(t, cfg, got)
}

// TestSomeFieldsOfAConsumerAreKept draws which fields are set.
func TestSomeFieldsOfAConsumerAreKept(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := everyField()
		cfg.OptStartTime = nil
		v := reflect.ValueOf(cfg).Elem()
		for i := range v.NumField() {
			if v.Field(i).CanSet() && rapid.Bool().Draw(t, v.Type().Field(i).Name) {
				v.Field(i).SetZero()
			}
		}
		name := rapid.SampledFrom([]string{"N", "D", "x"}).Draw(t, "name")
		d := &codec.Reader{P: appendConsumerConfig(nil, name, cfg)}
		known := rapid.SampledFrom([]map[string]string{nil, {"k": "v"}, {"k": "v", "a": ""}, {"k": "v", "a": "b"}}).Draw(t, "known")
		require.Equal(t, cfg, readConsumerConfig(d, name, known))
		require.NoError(t, d.Err())
		require.False(t, d.More())
	})
}

// TestConsumersOnDiskArePinned holds the form of consumers in entries and checkpoints. A change needs other kinds
// of entries, and another stateVersion.
func TestConsumersOnDiskArePinned(t *testing.T) {
	require.Equal(t, 3, stateVersion)
	require.Equal(t, []int{10, 11, 12}, []int{kindConsumerCreate, kindConsumerUpdate, kindConsumerRestore})
	pinned := func(want string, p []byte) { require.Equal(t, want, hex.EncodeToString(p)) }
	pinned("05014e12ffffffff7f0144000480a8d6b90701101203662e2a02016100016b017608021c0602746f016702016103622e3e02028080c58bc6d101ffffffffffffffffff010f010000000eddca6ac90000000a003c04746578740e033530251416181a0f010000000e7791f70300000004ffff010170041e", appendConsumerEntry(nil, 5, "N", time.Unix(0, 9), everyField()))
	pinned("ac0204776f726b12ff0300000480b09dc2df01018008d00f086f72646572732e31010f5f6e6174732e7265712e6c6576656c0130", appendConsumerEntry(nil, 300, "work", time.Unix(0, 9), &api.ConsumerConfig{
		Durable: "work", Name: "work", AckPolicy: api.AckExplicit, AckWait: 30 * time.Second, MaxDeliver: -1, MaxWaiting: 512,
		MaxAckPending: 1000, FilterSubject: "orders.1", Metadata: map[string]string{"_nats.req.level": "0"},
	}))
}

// TestKnownMetadataIsShared keeps consumers of one kind from having a map each.
func TestKnownMetadataIsShared(t *testing.T) {
	cfg := &api.ConsumerConfig{Durable: "d", Name: "d", AckPolicy: api.AckExplicit, Metadata: map[string]string{"a": "b", "c": "d"}}
	p := appendConsumerEntry(nil, 1, "d", time.Unix(1, 0), cfg)
	_, _, _, got, err := readConsumerEntry(&codec.Reader{P: p}, cfg.Metadata)
	require.NoError(t, err)
	require.Equal(t, reflect.ValueOf(cfg.Metadata).Pointer(), reflect.ValueOf(got.Metadata).Pointer())
	require.LessOrEqual(t, testing.AllocsPerRun(100, func() { _, _, _, _, _ = readConsumerEntry(&codec.Reader{P: p}, cfg.Metadata) }), 4.0)
	b := make([]byte, 0, 1024)
	require.Zero(t, testing.AllocsPerRun(100, func() { appendConsumerEntry(b, 1, "d", time.Unix(1, 0), cfg) }))
}
