//lockstep:exempt the real disk: system calls of Linux

package storage

import (
	"os"

	"golang.org/x/sys/unix"
)

// syncData makes a file's bytes and length durable; its times may lag.
func syncData(f *os.File) error { return os.NewSyscallError("fdatasync", unix.Fdatasync(int(f.Fd()))) }

// readNoWait reads what the page cache holds and tells how much that was.
func readNoWait(f *os.File, p []byte, off int64) int {
	n, err := unix.Preadv2(int(f.Fd()), [][]byte{p}, off, unix.RWF_NOWAIT)
	if err != nil {
		return 0
	}
	return n
}
