//go:build !race

//lockstep:exempt system calls of the real network
package netsim

import (
	"syscall"
	"unsafe"
)

// The sockets are non-blocking, so their calls return at once and need not tell
// the scheduler: that saves time, and keeps this thread's processor when copying
// a large buffer takes longer than the scheduler's patience.

func sysRead(fd int, p []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), e
}

func sysWrite(fd int, p []byte) (int, syscall.Errno) {
	n, _, e := syscall.RawSyscall(syscall.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	return int(n), e
}

func sysWritev(fd int, v *vector) (int, syscall.Errno) {
	for i, p := range v.b[:v.n] {
		v.iov[i].Base = unsafe.SliceData(p)
		v.iov[i].SetLen(len(p))
	}
	n, _, e := syscall.RawSyscall(syscall.SYS_WRITEV, uintptr(fd), uintptr(unsafe.Pointer(&v.iov)), uintptr(v.n))
	return int(n), e
}

type iovecs [vectorMax]syscall.Iovec
