//lockstep:exempt names the errors of real sockets, which simulated ones return too
package netsim

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// Reasons of simulated failures. They are those of real sockets.
var (
	errSimReset   = fmt.Errorf("read: %w", error(syscall.ECONNRESET))
	errSimRefused = fmt.Errorf("connect: %w", error(syscall.ECONNREFUSED))
	errSimTimeout = fmt.Errorf("i/o timeout: %w", os.ErrDeadlineExceeded)
	errSimNoHost  = errors.New("no such host")
	errSimInUse   = fmt.Errorf("bind: %w", error(syscall.EADDRINUSE))
)
