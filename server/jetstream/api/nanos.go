package api

import (
	"math"
	"time"
)

// Times that fit into nanoseconds since 1970.
var (
	nanosMin = time.Unix(0, math.MinInt64).UTC()
	nanosMax = time.Unix(0, math.MaxInt64).UTC()
)

// Nanos is t in nanoseconds since 1970; what a request names beyond the years that these
// can count is the nearest that they can.
func Nanos(t time.Time) int64 {
	switch {
	case t.Before(nanosMin):
		return math.MinInt64
	case t.After(nanosMax):
		return math.MaxInt64
	}
	return t.UnixNano()
}
