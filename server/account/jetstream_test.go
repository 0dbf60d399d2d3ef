package account

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAdoptGrantsJetStream(t *testing.T) {
	grant := func(maxStreams int) *JetStream {
		l := JetStreamUnlimited
		l.MaxStreams = maxStreams
		return &JetStream{Tiers: map[string]JetStreamLimits{"": l}}
	}
	live := New("A")
	nobody := func(string) *Account { return nil }
	adopt := func(j *JetStream) Changes {
		next := New("A")
		next.SetJetStream(j)
		return live.Adopt(next, nobody)
	}
	require.Nil(t, live.JetStream())
	require.False(t, adopt(nil).Any())
	require.Equal(t, Changes{JetStream: true}, adopt(grant(1)))
	was := live.JetStream()
	require.False(t, adopt(grant(1)).Any(), "an equal grant is no change")
	require.Same(t, was, live.JetStream())
	require.Equal(t, Changes{JetStream: true}, adopt(grant(2)))
	require.Equal(t, 2, live.JetStream().Tiers[""].MaxStreams)
	require.Equal(t, Changes{JetStream: true}, adopt(&JetStream{Tiers: grant(2).Tiers, OwnerTraffic: true}))
	require.Equal(t, Changes{JetStream: true}, adopt(nil))
	require.Nil(t, live.JetStream())
}
