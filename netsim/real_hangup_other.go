//go:build unix && (!linux || race)

package netsim

// watchHangup does nothing: every short read is followed by one that finds
// nothing. So it is under the race detector, too, whose reads are those of
// other systems.
func watchHangup(*socket) {}

func unwatchHangup(*socket) {}
