//lockstep:exempt names the errors of real sockets, which simulated ones return too
package netsim

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
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

// simSplitAddr parts "host:port" as the system does.
func simSplitAddr(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: %w", addr, err)
	}
	port, err = strconv.Atoi(p)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("address %q: port must be 0 to 65535", addr)
	}
	return host, port, nil
}
