package api

import (
	"math"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTimesBeyondNanosecondsAreTheNearestThatFit(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	require.Equal(t, now.UnixNano(), Nanos(now))
	require.Equal(t, int64(math.MaxInt64), Nanos(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
	require.Equal(t, int64(math.MinInt64), Nanos(time.Time{}))
}
