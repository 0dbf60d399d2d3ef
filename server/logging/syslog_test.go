//go:build !windows && !plan9

package logging

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestSyslogTargets(t *testing.T) {
	for address, want := range map[string]string{
		"udp://h:514": "udp h:514", "tcp://h:1": "tcp h:1", "unix:///run/s": "unix /run/s",
	} {
		network, target, err := syslogTarget(address)
		require.NoError(t, err)
		require.Equal(t, want, network+" "+target)
	}
	for address, want := range map[string]string{
		"foo://x": `error invalid network type: "foo"`, "::": `parse "::": missing protocol scheme`,
		"unix:///nowhere/at/all": `error connecting to syslog: "dial unix /nowhere/at/all: connect: no such file or directory"`,
	} {
		_, err := NewRemoteSyslog(address, "tag")
		require.EqualError(t, err, want)
	}
}

func TestRemoteSyslog(t *testing.T) {
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer conn.Close()
	l, err := NewRemoteSyslog("udp://"+conn.LocalAddr().String(), "tagged")
	require.NoError(t, err)
	defer l.Close()
	write(l)
	buf := make([]byte, 2000)
	for _, want := range []string{
		`^<5>.* tagged\[\d+\]: n 1\n$`, `^<4>.*: w 2\n$`, `^<3>.*: e 3\n$`, `^<2>.*: f 4\n$`, `^<7>.*: d 5\n$`, `^<5>.*: t 6\n$`,
	} {
		require.NoError(t, conn.SetReadDeadline(time.Now().Add(10*time.Second)))
		n, _, err := conn.ReadFrom(buf)
		require.NoError(t, err)
		require.Regexp(t, want, string(buf[:n]))
	}
}
