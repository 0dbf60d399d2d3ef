package api

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestStreamConfigTexts are errors that no request leads to, or only with limits.
func TestStreamConfigTexts(t *testing.T) {
	minute := StreamLimits{Duplicates: time.Minute}
	for _, tc := range []struct {
		c        StreamConfig
		l        StreamLimits
		pedantic bool
		want     string
	}{
		{c: StreamConfig{Name: "S", Retention: 9}, want: "invalid retention"},
		{c: StreamConfig{Name: "S", Discard: 9}, want: "invalid discard policy"},
		{c: StreamConfig{Name: "S", Compression: 9}, want: "invalid compression"},
		{c: StreamConfig{Name: "S", Storage: 9}, want: "invalid storage type"},
		{c: StreamConfig{}, want: `stream name is required and can not contain '.', '*', '>', '\', '/'`},
		{c: StreamConfig{Name: "a b"}, want: `stream name is required and can not contain '.', '*', '>', '\', '/'`},
		{c: StreamConfig{Name: strings.Repeat("n", 256)}, want: "stream name is too long, maximum allowed is 255"},
		{c: StreamConfig{Name: "S", Duplicates: 61 * time.Second}, l: minute, want: "duplicates window can not be larger then server limit of 1m0s"},
		{c: StreamConfig{Name: "S", Duplicates: 61 * time.Second, MaxAge: time.Minute}, l: minute, want: "duplicates window can not be larger then max age"},
		{c: StreamConfig{Name: "S"}, l: minute, pedantic: true, want: "pedantic mode: duplicate window limits are higher than current limits"},
	} {
		_, err := CheckStreamConfig(&tc.c, tc.l, tc.pedantic)
		require.NotNil(t, err)
		require.Equal(t, tc.want, err.Description)
	}
	c, err := CheckStreamConfig(&StreamConfig{Name: "S"}, minute, false)
	require.Nil(t, err)
	require.Equal(t, time.Minute, c.Duplicates)
	_, err = CheckStreamUpdate(c, &StreamConfig{Name: "T"}, StreamLimits{}, false)
	require.Equal(t, "stream configuration name must match original", err.Description)
	_, err = CheckStreamConfig(&StreamConfig{Name: strings.Repeat("n", 255)}, StreamLimits{}, false)
	require.Nil(t, err)
}

func TestSealedStreams(t *testing.T) {
	was, err := CheckStreamCreate(&StreamConfig{Name: "S", MaxAge: time.Hour}, StreamLimits{}, false)
	require.Nil(t, err)
	sealed, err := CheckStreamUpdate(was, &StreamConfig{Name: "S", MaxAge: time.Hour, Sealed: true, AllowRollup: true}, StreamLimits{}, false)
	require.Nil(t, err)
	require.Zero(t, sealed.MaxAge)
	require.Equal(t, DiscardNew, sealed.Discard)
	require.True(t, sealed.DenyDelete && sealed.DenyPurge && !sealed.AllowRollup)
	_, err = CheckStreamUpdate(sealed, &StreamConfig{Name: "S"}, StreamLimits{}, false)
	require.Equal(t, "stream configuration update can not unseal a sealed stream", err.Description)
	_, err = CheckStreamUpdate(sealed, &StreamConfig{Name: "S", Sealed: true}, StreamLimits{}, false)
	require.Equal(t, "stream configuration update can not cancel deny message deletes", err.Description)
}

func TestSubjectsOverlap(t *testing.T) {
	require.True(t, SubjectsOverlap([]string{"x", "a.*"}, []string{"b", "*.b"}))
	require.False(t, SubjectsOverlap([]string{"x", "a.*"}, []string{"b", "a.b.c"}))
	require.False(t, SubjectsOverlap(nil, []string{">"}))
	require.False(t, SubjectsOverlap([]string{"a..b"}, []string{">"}), "what is not valid overlaps nothing")
}

func TestEnumTexts(t *testing.T) {
	require.Equal(t, "workqueue file s2 async last_per_subject flow_control original pinned_client update new",
		strings.Join([]string{
			WorkQueuePolicy.String(), FileStorage.String(), S2Compression.String(), AsyncPersistMode.String(),
			DeliverLastPerSubject.String(), AckFlowControl.String(), ReplayOriginal.String(), PriorityPinnedClient.String(),
			ActionUpdate.String(), DiscardNew.String(),
		}, " "))
	require.Equal(t, "unknown(9)", AckPolicy(9).String())
	require.Panics(t, func() { Marshal(&ConsumerConfig{AckPolicy: 9}) }, "nothing else shall be written")
}
