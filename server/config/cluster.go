package config

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/perm"
)

// Sizes and periods of clusters that hold when nothing else is said.
const (
	DefaultRoutePoolSize   = 3
	DefaultRouteDial       = time.Second // how long a dial may take
	DefaultRouteConnect    = time.Second // from a failed dial to the next
	DefaultRouteConnectMax = 30 * time.Second
	MaxRoutePingInterval   = 30 * time.Second
)

// ClusterOpts says how a server takes part in a cluster. A Port of zero leaves it out
// of any.
type ClusterOpts struct {
	Name        string `json:"-"`                      // empty: one is generated
	Host        string `json:"addr,omitempty"`         // where routes are taken
	Port        int    `json:"cluster_port,omitempty"` // RandomPort: any free one
	Advertise   string `json:"-"`                      // host[:port] told to peers instead of Host, Port
	NoAdvertise bool   `json:"-"`                      // clients are not told of peers, nor peers of this server's client URL

	// Who may connect. AuthTimeout is seconds.
	Username    string            `json:"-"`
	Password    string            `json:"-"`
	AuthTimeout float64           `json:"auth_timeout,omitempty"`
	Permissions *RoutePermissions `json:"-"`

	// TLS of routes in both directions; peers always need a certificate. TLSTimeout is
	// seconds.
	TLSConfig         *tls.Config   `json:"-"`
	TLSTimeout        float64       `json:"-"`
	TLSMap            bool          `json:"-"` // Username must be in the peer's certificate
	TLSCheckKnownURLs bool          `json:"-"` // a configured route must be in the peer's certificate
	TLSPinnedCerts    PinnedCertSet `json:"-"`

	// ConnectRetries is how often the dial of a route learned from a peer is repeated.
	// With ConnectBackoff the time between doubles.
	ConnectRetries int  `json:"-"`
	ConnectBackoff bool `json:"-"`

	// PoolSize is the number of connections to each peer that accounts share: 0 is
	// DefaultRoutePoolSize, a negative one turns pooling off. PinnedAccounts have a
	// connection of their own.
	PoolSize       int             `json:"-"`
	PinnedAccounts []string        `json:"-"`
	Compression    CompressionOpts `json:"-"`

	// PingInterval, MaxPingsOut and WriteDeadline of 0 are those of clients.
	PingInterval  time.Duration      `json:"-"`
	MaxPingsOut   int                `json:"-"`
	WriteDeadline time.Duration      `json:"-"`
	WriteTimeout  WriteTimeoutPolicy `json:"-"` // default is to retry

	tlsOpts *TLSConfigOpts
}

// RoutePermissions limit what subjects cross routes: Import which local interest peers
// are told of, Export which interest of peers is taken. Nil allows all.
type RoutePermissions struct {
	Import *perm.SubjectPermission `json:"import"`
	Export *perm.SubjectPermission `json:"export"`
}

// clone copies what c does not share.
func (c ClusterOpts) clone() ClusterOpts {
	c.PinnedAccounts = slices.Clone(c.PinnedAccounts)
	c.Compression.RTTThresholds = slices.Clone(c.Compression.RTTThresholds)
	if c.TLSConfig != nil {
		c.TLSConfig = c.TLSConfig.Clone()
	}
	if c.Permissions != nil {
		p := *c.Permissions
		c.Permissions = &p
	}
	if c.tlsOpts != nil {
		t := *c.tlsOpts
		c.tlsOpts = &t
	}
	return c
}

func cloneURLs(urls []*url.URL) []*url.URL {
	out := slices.Clone(urls)
	for i, u := range out {
		if u != nil {
			c := *u
			out[i] = &c
		}
	}
	return out
}

// clusterBaseline fills in what was left zero of a server in a cluster.
func (o *Options) clusterBaseline() {
	c := &o.Cluster
	if c.Port == 0 {
		return
	}
	fill(&c.Host, DefaultHost)
	fill(&c.TLSTimeout, DefaultTLSTimeout.Seconds())
	timeout := DefaultAuthTimeout.Seconds()
	if c.TLSConfig != nil {
		timeout = c.TLSTimeout + 1
	}
	fill(&c.AuthTimeout, timeout)
	fill(&c.PoolSize, DefaultRoutePoolSize)
	if mode, err := c.Compression.normal(CompressionS2Fast); err == nil {
		c.Compression = mode
	}
}

// PinnedTo lists the accounts that have routes of their own: those stated and the
// system account; none without a pool.
func (o *Options) PinnedTo(system string) []string {
	c := &o.Cluster
	if c.PoolSize < 0 {
		return nil
	}
	var out []string
	for _, name := range c.PinnedAccounts {
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if system != "" && !slices.Contains(out, system) {
		out = append(out, system)
	}
	return out
}

func checkCluster(o *Options) error {
	c := &o.Cluster
	if strings.Contains(c.Name, " ") {
		return errClusterName
	}
	if c.Port == 0 {
		return nil
	}
	if c.PoolSize < 0 && len(c.PinnedAccounts) > 0 {
		return errors.New("pool_size cannot be negative if pinned accounts are specified")
	}
	if _, err := c.Compression.normal(CompressionS2Fast); err != nil {
		return err
	}
	if slices.Contains(o.Routes, nil) {
		return errors.New("a route url is nil")
	}
	if c.Permissions != nil {
		if text := c.Permissions.check(); text != "" {
			return errors.New(text)
		}
	}
	if o.JetStream {
		return checkClusteredJetStream(o)
	}
	return nil
}

var errClusterName = errors.New("cluster name cannot contain spaces")

func checkClusteredJetStream(o *Options) error {
	if o.ServerName == "" {
		return errors.New("jetstream cluster requires `server_name` to be set")
	}
	if o.Cluster.Name == "" {
		return errors.New("jetstream cluster requires `cluster.name` to be set")
	}
	return nil
}

// check says what is wrong with the subjects; "" is nothing.
func (p *RoutePermissions) check() string {
	for _, side := range []struct {
		name string
		p    *perm.SubjectPermission
	}{{"import", p.Import}, {"export", p.Export}} {
		if side.p == nil {
			continue
		}
		for _, list := range []struct {
			name    string
			entries []string
		}{{"allow", side.p.Allow}, {"deny", side.p.Deny}} {
			for _, entry := range list.entries {
				if !validSubject(entry) {
					return fmt.Sprintf("cluster %s %s: subject %s is not a valid subject", side.name, list.name, quote(entry))
				}
			}
		}
	}
	return ""
}
