package stream

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// The peers of official servers of these names are shown so.
func TestPeerIDIsTheOfficialOne(t *testing.T) {
	for name, want := range map[string]string{"n2": "44jzkV9D", "n3": "BXScrY9i"} {
		require.Equal(t, want, PeerID(MemberOf(name)))
	}
}
