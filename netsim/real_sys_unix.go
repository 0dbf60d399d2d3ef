//go:build unix && (!linux || race)

//lockstep:exempt system calls of the real network
package netsim

import "syscall"

// These serve other systems than Linux, and the race detector, which learns from
// them that what happened before a write happened before its read.

func sysRead(fd int, p []byte) (int, syscall.Errno) {
	n, err := syscall.Read(fd, p)
	return n, errno(err)
}

func sysWrite(fd int, p []byte) (int, syscall.Errno) {
	n, err := syscall.Write(fd, p)
	return n, errno(err)
}

// sysWritev writes buffer by buffer.
func sysWritev(fd int, v *vector) (int, syscall.Errno) {
	sum := 0
	for _, p := range v.b[:v.n] {
		n, e := sysWrite(fd, p)
		if e != 0 {
			if sum > 0 && (e == syscall.EAGAIN || e == syscall.EINTR) {
				return sum, 0
			}
			return sum, e
		}
		sum += n
		if n < len(p) {
			break
		}
	}
	return sum, 0
}

func errno(err error) syscall.Errno {
	if err == nil {
		return 0
	}
	if e, ok := err.(syscall.Errno); ok {
		return e
	}
	return syscall.EIO
}

type iovecs struct{}
