// Package cluster makes servers a cluster: it takes and dials the connections between
// them, the routes, and decides which of them carries what.
//
// A [Cluster] has a strand of its own for what is dialled, and each route ([conn]) one for what it reads.
// They share the table of remotes, which hides its lock. What comes over a route is handed to a
// [broker.Link], which knows interest and messages; this package never touches an account.
//
// # Invariants
//
//   - A registered route has a place of its own: a slot of a pool, an account, or the whole remote.
//   - A server is told of the interest in an account over one route only.
//   - What a server was told of a third one is never told on, unless that says so.
//   - A configured route is dialled until it is removed from the configuration or turns out to be
//     this server.
package cluster

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/auth"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/lane"
	"github.com/lockstepmq/lockstep/server/perm"
)

// Config is what a cluster is built from.
type Config struct {
	Broker  *broker.Broker
	Clock   clock.Clock
	Network netsim.Network
	Log     broker.Log
	// Options are those in force.
	Options func() *config.Options
	// ClientURLs tells where clients reach this server, as host:port.
	ClientURLs func() []string
	// TLSIdentity is what the server states in simulated handshakes.
	TLSIdentity *netsim.Identity
	// Lane carries what only servers of this kind say to each other, over connections of its own; nil: none.
	Lane *lane.Lane
}

// Cluster is this server's part of a cluster. Its methods may be called from any strand.
type Cluster struct {
	Config
	id        broker.Identity
	strand    clock.Strand
	announcer *broker.Announcer
	table     table
	dials     dials
	lanes     lanes
	settings  atomic.Pointer[settings]
	listener  atomic.Pointer[netsim.Listener]
	address   atomic.Pointer[address]
	stats     Stats
}

// Stats count what happened to routes since the start.
type Stats struct {
	Slow  atomic.Int64 // took nothing within the write deadline
	Stale atomic.Int64 // did not answer pings
}

// address is where other servers reach this one.
type address struct {
	host string
	port int
	ip   string // url to be told to others; empty: they see for themselves
}

// settings are the options, prepared. Immutable.
type settings struct {
	o      *config.Options
	layout *layout
	users  *auth.Table
	perms  *perm.Set // publish part: interest that is told; subscribe part: interest that is taken
}

// New makes the part of a server whose options have a cluster. It listens to nothing before
// Listen.
func New(c Config) (*Cluster, error) {
	cl := &Cluster{Config: c, id: c.Broker.Identity(), strand: c.Clock.NewStrand("cluster")}
	cl.table.own = cl.id.ServerID
	cl.dials.c, cl.lanes.c = cl, cl
	s, err := cl.prepare(c.Options())
	if err != nil {
		return nil, err
	}
	cl.settings.Store(s)
	name := s.o.Cluster.Name
	if name == "" {
		name = cl.drawName()
	}
	cl.table.setName(name, s.o.Cluster.Name == "")
	c.Broker.SetCluster(name)
	cl.announcer = c.Broker.NewAnnouncer()
	return cl, nil
}

// prepare compiles options.
func (c *Cluster) prepare(o *config.Options) (*settings, error) {
	s := &settings{o: o, layout: c.newLayout(o)}
	cl := &o.Cluster
	users := auth.Config{Global: c.Broker.Global(), Username: cl.Username, Password: cl.Password}
	if cl.TLSMap { // the certificate is enough
		users = auth.Config{Global: c.Broker.Global(), TLSMap: true, Users: []*auth.User{{Username: cl.Username}}}
	}
	var err error
	if s.users, err = auth.NewTable(users); err != nil {
		return nil, fmt.Errorf("cluster authorization: %w", err)
	}
	if p := cl.Permissions; p != nil {
		if s.perms, err = perm.Compile(&perm.Permissions{Publish: p.Import, Subscribe: p.Export}); err != nil {
			return nil, fmt.Errorf("cluster permissions: %w", err)
		}
	}
	return s, nil
}

// nameDigits and nameLength make a generated cluster name.
const (
	nameDigits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	nameLength = 22
	nonceSize  = 11
)

func (c *Cluster) drawName() string {
	b := c.entropy("cluster name", nameLength)
	for i := range b {
		b[i] = nameDigits[int(b[i])%len(nameDigits)]
	}
	return string(b)
}

func (c *Cluster) newNonce() string {
	return base64.RawURLEncoding.EncodeToString(c.entropy("nonce", nonceSize))
}

func (c *Cluster) entropy(purpose string, n int) []byte {
	b := make([]byte, n)
	if _, err := c.Clock.Entropy(purpose).Read(b); err != nil {
		panic("cluster: no entropy for a " + purpose + ": " + err.Error())
	}
	return b
}

// Listen opens the listener and dials the configured routes. It returns when the address is
// bound.
func (c *Cluster) Listen() error {
	o := c.settings.Load().o
	name, dynamic := c.table.clusterName()
	c.Log.Noticef("Cluster name is %s", name)
	if dynamic {
		c.Log.Warnf("Cluster name was dynamically generated, consider setting one")
	}
	at := netsim.JoinHostPort(o.Cluster.Host, max(o.Cluster.Port, 0))
	l, err := c.Network.Listen(c.strand, at, c.accept)
	if err != nil {
		return fmt.Errorf("Error listening on router port: %d - %w", o.Cluster.Port, err)
	}
	_, port, err := netsim.SplitHostPort(l.Addr())
	if err != nil {
		l.Close()
		return err
	}
	c.Log.Noticef("Listening for route connections on %s", netsim.JoinHostPort(o.Cluster.Host, port))
	if err := c.advertise(o, port); err != nil {
		l.Close()
		return err
	}
	c.listener.Store(&l)
	c.table.open()
	if t := o.Cluster.TLSConfig; t != nil && t.InsecureSkipVerify {
		c.Log.Warnf("TLS certificate chain and hostname of solicited routes will not be verified. DO NOT USE IN PRODUCTION!")
	}
	routes := slices.Clone(o.Routes)
	c.strand.Post(func() { c.dials.configured(routes) })
	return nil
}

// advertise finds where other servers reach this one.
func (c *Cluster) advertise(o *config.Options, port int) error {
	a := &address{host: o.Cluster.Host, port: port}
	if text := o.Cluster.Advertise; text != "" {
		host, p, err := splitAdvertised(text, port)
		if err != nil {
			return fmt.Errorf("Error setting route INFO with Cluster.Advertise value of %s, err=%w", text, err)
		}
		a.host, a.port = host, p
		a.ip = routeURL(host, p)
	}
	c.address.Store(a)
	return nil
}

// splitAdvertised reads host or host:port; port holds where none is said.
func splitAdvertised(text string, port int) (string, int, error) {
	host, p, found := strings.Cut(text, ":")
	if !found {
		return text, port, nil
	}
	if strings.Contains(p, ":") || strings.HasPrefix(text, "[") {
		h, n, err := netsim.SplitHostPort(text)
		return h, n, err
	}
	n, err := strconv.Atoi(p)
	if err != nil {
		return "", 0, fmt.Errorf("port %q is not a number", p)
	}
	if n <= 0 {
		n = port
	}
	return host, n, nil
}

// routeURL is how a server's address is told to others.
func routeURL(host string, port int) string {
	u := url.URL{Scheme: "nats-route", Host: netsim.JoinHostPort(host, port), Path: "/"}
	return u.String()
}

// accept takes a new connection of another server.
func (c *Cluster) accept(nc netsim.Conn) { c.newConn(nc, nil) }

// Addr is where routes are taken, empty before Listen.
func (c *Cluster) Addr() string {
	if l := c.listener.Load(); l != nil {
		return (*l).Addr()
	}
	return ""
}

// Name is the cluster's, which changes when a generated one gives way to another.
func (c *Cluster) Name() string {
	name, _ := c.table.clusterName()
	return name
}

// Stats of all routes.
func (c *Cluster) Stats() *Stats { return &c.stats }

// Announcer tells the routes of this server's interest.
func (c *Cluster) Announcer() *broker.Announcer { return c.announcer }

// Shutdown closes the listener and all routes, and dials nothing more. done is posted to s when
// all have gone.
func (c *Cluster) Shutdown(s clock.Strand, done func()) {
	if l := c.listener.Load(); l != nil {
		(*l).Close()
	}
	gone := func() { s.Post(done) }
	all := c.table.shut(gone)
	if len(all) == 0 {
		gone()
	}
	for _, k := range all {
		k.disconnect(serverShutdown, "")
	}
	c.strand.Post(c.dials.stop)
	c.strand.Post(c.lanes.stop)
}

// LameDuck tells the other servers that clients are better sent elsewhere.
func (c *Cluster) LameDuck() {
	c.table.setLame()
	c.tellInfo()
}

// tellInfo says anew to every peer what this server is.
func (c *Cluster) tellInfo() {
	for _, k := range c.table.registered() {
		k.strand.Post(k.sayInfo)
	}
}

// adopt takes the name of another server's cluster and leaves what has the old one, but for
// a route.
func (c *Cluster) adopt(name string, dynamic bool, except *conn) {
	gone := c.table.except(except)
	c.rename(name, dynamic)
	for _, k := range gone {
		k.disconnect(clusterNameConflict, "")
	}
}

func (c *Cluster) rename(name string, dynamic bool) {
	c.table.setName(name, dynamic)
	c.Broker.SetCluster(name)
	c.Log.Noticef("Cluster name updated to %s", name)
}

// clientURLs are those that peers are told.
func (c *Cluster) clientURLs() []string {
	if c.settings.Load().o.Cluster.NoAdvertise || c.ClientURLs == nil {
		return nil
	}
	return c.ClientURLs()
}

// tellClients says to clients where else they may go: here, and to the servers that there
// are routes to.
func (c *Cluster) tellClients() {
	if c.settings.Load().o.Cluster.NoAdvertise {
		return
	}
	own := c.clientURLs()
	urls := slices.Clone(own)
	for _, u := range c.table.peerURLs() {
		if !slices.Contains(urls, u) {
			urls = append(urls, u)
		}
	}
	c.Broker.SetConnectURLs(urls)
}
