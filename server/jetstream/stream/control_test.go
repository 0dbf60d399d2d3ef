package stream

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

func wanting(domain string) *Stream {
	s := &Stream{heads: headsOf("ACC", "S", domain)}
	s.consumers.init()
	for i, cfg := range []*api.ConsumerConfig{
		{Name: "pull", AckPolicy: api.AckExplicit}, {Name: "all", AckPolicy: api.AckAll}, {Name: "none"},
		{Name: "push", AckPolicy: api.AckExplicit, FlowControl: true}, {Name: "flow", AckPolicy: api.AckFlowControl, FlowControl: true},
	} {
		s.consumers.byName[cfg.Name] = newHosted(uint32(i), cfg.Name, cfg)
	}
	return s
}

func TestWhatConsumersListenTo(t *testing.T) {
	v2 := "." + api.Hash8("ACC") + ".S."
	for _, tc := range []struct {
		subject string
		want    bool
	}{
		{"$JS.ACK.S.pull.1.1.1.1.1", true},
		{"$JS.ACK.S.all.1.1.1.1.1", true},
		{"$JS.ACK.S.push.1.1.1.1.1", true},
		{"$JS.ACK.S.none.1.1.1.1.1", false},
		{"$JS.ACK.S.flow.1.1.1.1.1", false},
		{"$JS.ACK.S.other.1.1.1.1.1", false},
		{"$JS.ACK.S.pull.1.1.1.1", false},
		{"$JS.ACK.S.pull.1.1.1.1.1.1", false},
		{"$JS.ACK.S.pull", false},
		{"$JS.ACK._" + v2 + "pull.1.1.1.1.1", true},
		{"$JS.ACK._" + v2 + "pull.1.1.1.1.1.more.and.more", true},
		{"$JS.ACK._" + v2 + "pull.1.1.1.1", false},
		{"$JS.ACK._" + v2 + "none.1.1.1.1.1", false},
		{"$JS.ACK._" + v2 + "pull", false},
		{"$JS.FC.S.push.abcd", true},
		{"$JS.FC.S.flow.abcd", true},
		{"$JS.FC.S.pull.abcd", false},
		{"$JS.FC.S.push", false},
		{"$JS.FC.S.push.abcd.e", false},
		{"$JS.FC._" + v2 + "push.abcd", true},
		{"$JS.FC._" + v2 + "push.abcd.e", false},
		{"$JS.API.CONSUMER.MSG.NEXT.S.none", true},
		{"$JS.API.CONSUMER.MSG.NEXT.S.other", false},
		{"$JS.API.DIRECT.GET.S", true},
	} {
		require.Equal(t, tc.want, wanting("").wantsControl([]byte(tc.subject)), tc.subject)
	}
}

// A stream may have the name of its domain: then its acks of the second version look like some of the first.
func TestStreamNamedAsItsDomain(t *testing.T) {
	s := wanting("S")
	require.True(t, s.wantsControl([]byte("$JS.ACK.S."+api.Hash8("ACC")+".S.pull.1.1.1.1.1")))
	require.True(t, s.wantsControl([]byte("$JS.ACK.S.pull.1.1.1.1.1")))
	s.cfg, s.name = &api.StreamConfig{}, "S"
	require.Equal(t, []string{"$JS.API.CONSUMER.MSG.NEXT.S.*", "$JS.ACK.S.>", "$JS.FC.S.>"}, s.controlSubjects())
}

func TestWantingAllocatesNothing(t *testing.T) {
	s := wanting("")
	subject := []byte("$JS.ACK.S.pull.1.123456.123456.1700000000000000000.99")
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if !s.wantsControl(subject) {
			t.Fatal("not wanted")
		}
	}))
}
