package broker

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
)

// endpoint is a peer's address; without a host the socket's own holds.
type endpoint struct {
	host string
	port int
}

// The PROXY protocol (HAProxy, proxy-protocol.txt), versions 1 and 2.
const (
	proxyV1LineMax = 107 // bytes, CRLF included
	proxyV2Fixed   = 16
)

var (
	proxyV1Start = []byte("PROXY ")
	proxyV2Start = []byte("\r\n\r\n\x00\r\nQUIT\n")
)

// parseProxy reads a PROXY header at the front of p. n is its length, 0 when
// there is none, -1 when more bytes are needed to tell.
func parseProxy(p []byte) (src endpoint, n int, err error) {
	switch {
	case bytes.HasPrefix(p, proxyV1Start):
		return parseProxyV1(p)
	case bytes.HasPrefix(p, proxyV2Start):
		return parseProxyV2(p)
	case bytes.HasPrefix(proxyV1Start, p), bytes.HasPrefix(proxyV2Start, p):
		return src, -1, nil
	}
	return src, 0, nil
}

func parseProxyV1(p []byte) (src endpoint, n int, err error) {
	end := bytes.Index(p, []byte("\r\n"))
	if end < 0 {
		if len(p) >= proxyV1LineMax {
			return src, 0, fmt.Errorf("version 1 line is longer than %d bytes", proxyV1LineMax)
		}
		return src, -1, nil
	}
	if end+2 > proxyV1LineMax {
		return src, 0, fmt.Errorf("version 1 line is longer than %d bytes", proxyV1LineMax)
	}
	f := strings.Fields(string(p[:end]))
	if len(f) >= 2 && f[1] == "UNKNOWN" {
		return src, end + 2, nil
	}
	if len(f) != 6 {
		return src, 0, fmt.Errorf("version 1 line has %d fields, not 6", len(f))
	}
	addr, err := proxyAddr(f[1], f[2])
	if err != nil {
		return src, 0, err
	}
	if _, err := proxyAddr(f[1], f[3]); err != nil {
		return src, 0, err
	}
	port, err := strconv.ParseUint(f[4], 10, 16)
	if err != nil {
		return src, 0, fmt.Errorf("version 1 source port %q is not a port", f[4])
	}
	if _, err := strconv.ParseUint(f[5], 10, 16); err != nil {
		return src, 0, fmt.Errorf("version 1 destination port %q is not a port", f[5])
	}
	return endpoint{addr.String(), int(port)}, end + 2, nil
}

// proxyAddr parses an address of the stated family.
func proxyAddr(family, text string) (netip.Addr, error) {
	a, err := netip.ParseAddr(text)
	if err != nil {
		return a, fmt.Errorf("version 1 address %q is not an IP address", text)
	}
	if family == "TCP4" && a.Is4() || family == "TCP6" && a.Is6() {
		return a, nil
	}
	return a, fmt.Errorf("version 1 address %q is not of family %q", text, family)
}

var errProxyShort = errors.New("version 2 address block is too short for its family")

func parseProxyV2(p []byte) (src endpoint, n int, err error) {
	if len(p) < proxyV2Fixed {
		return src, -1, nil
	}
	if p[12]>>4 != 2 {
		return src, 0, fmt.Errorf("version %d is not 1 or 2", p[12]>>4)
	}
	command, family, proto := p[12]&0xf, p[13]>>4, p[13]&0xf
	size := int(binary.BigEndian.Uint16(p[14:16]))
	n = proxyV2Fixed + size
	if command > 1 {
		return src, 0, fmt.Errorf("version 2 command %d is not LOCAL or PROXY", command)
	}
	if len(p) < n {
		return src, -1, nil
	}
	block := p[proxyV2Fixed:n]
	if command == 0 { // LOCAL: the socket's address holds
		return src, n, nil
	}
	if proto != 1 {
		return src, 0, fmt.Errorf("version 2 transport %d is not STREAM", proto)
	}
	switch {
	case family == 0: // UNSPEC: the socket's address holds, too
		return src, n, nil
	case family == 1 && size >= 12:
		a, _ := netip.AddrFromSlice(block[:4])
		return endpoint{a.String(), int(binary.BigEndian.Uint16(block[8:]))}, n, nil
	case family == 2 && size >= 36:
		a, _ := netip.AddrFromSlice(block[:16])
		return endpoint{a.String(), int(binary.BigEndian.Uint16(block[32:]))}, n, nil
	case family == 1 || family == 2:
		return src, 0, errProxyShort
	}
	return src, 0, fmt.Errorf("version 2 family %d is not IPv4 or IPv6", family)
}
