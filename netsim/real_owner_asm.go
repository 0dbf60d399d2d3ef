//go:build amd64 || arm64

package netsim

// canOwn: goroutine tells goroutines apart, so a Lend may claim the writer role
// for the Flush that follows on the same goroutine.
const canOwn = true

// goroutine is a number that no other goroutine has as long as this one lives.
func goroutine() uintptr
