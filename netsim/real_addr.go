//lockstep:exempt uses net to take addresses apart; opens nothing
package netsim

import (
	"fmt"
	"net"
	"strconv"
)

// SplitHostPort takes "host:port" apart. The host may be empty; the port is a
// number from 0 to 65535.
func SplitHostPort(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: want host:port: %w", addr, err)
	}
	n, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("address %q: port %q is not a number from 0 to 65535", addr, p)
	}
	return host, int(n), nil
}

// JoinHostPort is the reverse of SplitHostPort; an IPv6 host gets its brackets.
func JoinHostPort(host string, port int) string {
	return net.JoinHostPort(host, strconv.Itoa(port))
}
