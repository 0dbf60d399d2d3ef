package config

import (
	"cmp"
	"time"
)

// SetBaseline fills in what was left zero: Port 0 becomes the default port, MaxConn 0
// the default limit unless a file stated it, and so on. It may be called twice.
func (o *Options) SetBaseline() {
	fill(&o.Host, DefaultHost)
	fill(&o.HTTPHost, o.Host)
	fill(&o.Port, DefaultPort)
	if !o.MaxConnExplicit() {
		fill(&o.MaxConn, DefaultMaxConnections)
	}
	fill(&o.PingInterval, DefaultPingInterval)
	fill(&o.MaxPingsOut, DefaultPingMax)
	fill(&o.TLSTimeout, DefaultTLSTimeout.Seconds())
	fill(&o.AuthTimeout, defaultAuthTimeout(o).Seconds())
	fill(&o.MaxControlLine, DefaultMaxControlLine)
	fill(&o.MaxPayload, DefaultMaxPayload)
	fill(&o.MaxPending, DefaultMaxPending)
	fill(&o.WriteDeadline, DefaultFlushDeadline)
	fill(&o.MaxClosedClients, DefaultMaxClosedClients)
	fill(&o.LameDuckDuration, DefaultLameDuckDuration)
	fill(&o.LameDuckGracePeriod, DefaultLameDuckGracePeriod)
	fill(&o.ConnectErrorReports, DefaultConnectErrorReports)
	fill(&o.ReconnectErrorReports, DefaultReconnectErrorReports)
	o.clusterBaseline()
	o.jetStreamBaseline()
}

// fill sets a field that is zero.
func fill[T comparable](field *T, value T) { *field = cmp.Or(*field, value) }

// defaultAuthTimeout leaves a TLS handshake its time and credentials a second more.
func defaultAuthTimeout(o *Options) time.Duration {
	if o.TLSConfig != nil {
		return time.Duration(o.TLSTimeout*float64(time.Second)) + time.Second
	}
	return DefaultAuthTimeout
}
