package config

import (
	"fmt"
	"net/url"
	"slices"

	"github.com/lockstepmq/lockstep/server/perm"
)

// clusterRefusal keeps the address on which routes are taken.
func clusterRefusal(old, next *Options) string {
	a, b := &old.Cluster, &next.Cluster
	if a.Host != b.Host {
		return fmt.Sprintf("cluster host: old=%s, new=%s", a.Host, b.Host)
	}
	if a.Port != b.Port {
		return fmt.Sprintf("cluster port: old=%d, new=%d", a.Port, b.Port)
	}
	return ""
}

// sameCluster compares two cluster blocks; a file that asks for any port keeps the one
// that was found.
func sameCluster(old, next *Options) bool {
	a, b := old.Cluster, next.Cluster
	return a.Name == b.Name && a.Host == b.Host && a.Port == b.Port &&
		a.Advertise == b.Advertise && a.NoAdvertise == b.NoAdvertise &&
		a.Username == b.Username && a.Password == b.Password && a.AuthTimeout == b.AuthTimeout &&
		a.Permissions.same(b.Permissions) &&
		sameTLSConfig(a.TLSConfig, b.TLSConfig) && a.TLSTimeout == b.TLSTimeout && a.TLSMap == b.TLSMap &&
		a.TLSCheckKnownURLs == b.TLSCheckKnownURLs && equal(a.TLSPinnedCerts, b.TLSPinnedCerts) &&
		a.ConnectRetries == b.ConnectRetries && a.ConnectBackoff == b.ConnectBackoff &&
		a.PoolSize == b.PoolSize && slices.Equal(a.PinnedAccounts, b.PinnedAccounts) &&
		a.Compression.Same(b.Compression) && a.PingInterval == b.PingInterval && a.MaxPingsOut == b.MaxPingsOut &&
		a.WriteDeadline == b.WriteDeadline && a.WriteTimeout == b.WriteTimeout
}

func (p *RoutePermissions) same(q *RoutePermissions) bool {
	if p == nil || q == nil {
		return p == q
	}
	return sameSubjects(p.Import, q.Import) && sameSubjects(p.Export, q.Export)
}

func sameSubjects(p, q *perm.SubjectPermission) bool {
	if p == nil || q == nil {
		return p == q
	}
	return slices.Equal(p.Allow, q.Allow) && slices.Equal(p.Deny, q.Deny)
}

func sameRoutes(old, next *Options) bool {
	return slices.EqualFunc(old.Routes, next.Routes, func(a, b *url.URL) bool { return a.String() == b.String() })
}
