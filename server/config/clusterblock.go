package config

import (
	"crypto/tls"
	"net/url"
	"strings"

	"github.com/lockstepmq/lockstep/server/config/lang"
)

// clusterKeys are the keys of the cluster block, aliases included.
var clusterKeys map[string]func(d *decoder, key string, v *lang.Value)

// clusterKeys is filled here and not where it is declared, since readers lead back to it.
func init() {
	clusterKeys = make(map[string]func(*decoder, string, *lang.Value))
	add := func(names string, read func(*decoder, string, *lang.Value)) {
		for name := range strings.FieldsSeq(names) {
			clusterKeys[name] = read
		}
	}
	add("name", (*decoder).clusterName)
	add("listen", (*decoder).clusterListen)
	add("port", integer(func(o *Options) *int { return &o.Cluster.Port }))
	add("host net", text(func(o *Options) *string { return &o.Cluster.Host }))
	add("advertise cluster_advertise", text(func(o *Options) *string { return &o.Cluster.Advertise }))
	add("no_advertise", boolean(func(o *Options) *bool { return &o.Cluster.NoAdvertise }))
	add("routes", (*decoder).routes)
	add("authorization", (*decoder).clusterAuthorization)
	add("permissions", (*decoder).clusterPermissions)
	add("tls", (*decoder).clusterTLS)
	add("connect_retries", integer(func(o *Options) *int { return &o.Cluster.ConnectRetries }))
	add("connect_backoff", boolean(func(o *Options) *bool { return &o.Cluster.ConnectBackoff }))
	add("pool_size", integer(func(o *Options) *int { return &o.Cluster.PoolSize }))
	add("accounts", (*decoder).pinnedAccounts)
	add("compression", func(d *decoder, key string, v *lang.Value) {
		if c, ok := d.compression(key, v, CompressionS2Fast); ok {
			d.o.Cluster.Compression = c
		}
	})
	add("ping_interval", (*decoder).clusterPing)
	add("ping_max", integer(func(o *Options) *int { return &o.Cluster.MaxPingsOut }))
	add("write_deadline", func(d *decoder, key string, v *lang.Value) {
		if dur, ok := d.seconds(key, v); ok {
			d.o.Cluster.WriteDeadline = dur
		}
	})
	add("write_timeout", func(d *decoder, _ string, v *lang.Value) {
		if p, ok := d.writeTimeoutPolicy(v); ok {
			d.o.Cluster.WriteTimeout = p
		}
	})
}

// cluster reads the cluster block.
func (d *decoder) cluster(_ string, v *lang.Value) {
	m, ok := v.Data.(*lang.Map)
	if !ok {
		d.add(v.Pos, "Expected map to define cluster, got %s", v.TypeName())
		return
	}
	for _, pair := range m.Pairs() {
		key := strings.ToLower(pair.Key)
		if read := clusterKeys[key]; read != nil {
			read(d, key, pair.Value)
		} else {
			d.unknown(pair.Value.Pos, pair.Value, pair.Key)
		}
	}
}

func (d *decoder) clusterName(_ string, v *lang.Value) {
	name, ok := d.text(v)
	switch {
	case !ok:
	case strings.Contains(name, " "):
		d.add(v.Pos, "%v", errClusterName)
	default:
		d.o.Cluster.Name = name
	}
}

func (d *decoder) clusterListen(_ string, v *lang.Value) {
	if host, port, ok := d.hostPort(v); ok {
		d.o.Cluster.Host, d.o.Cluster.Port = host, port
	}
}

// routes reads a list of URLs; one that stands twice is taken once, with a warning.
func (d *decoder) routes(_ string, v *lang.Value) {
	list, ok := d.list(v)
	if !ok {
		return
	}
	var urls []*url.URL
	seen := make(map[string]bool, len(list))
	for _, e := range list {
		text, ok := d.text(e)
		if !ok {
			continue
		}
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil {
			d.add(e.Pos, "error parsing route url [%q]", text)
			continue
		}
		if seen[u.String()] {
			d.warn(e.Pos, text, "Duplicate route entry detected")
			continue
		}
		seen[u.String()] = true
		urls = append(urls, u)
	}
	d.o.Routes = urls
}

// clusterAuthorization reads the one user that peers log in with.
func (d *decoder) clusterAuthorization(_ string, v *lang.Value) {
	m, ok := d.mapping(v)
	if !ok {
		return
	}
	var b authBlock
	callout, before := false, len(d.errs)
	for _, pair := range m.Pairs() {
		switch strings.ToLower(pair.Key) {
		case "auth_callout", "auth_hook":
			callout = true
		default:
			d.authField(&b, pair)
		}
	}
	if len(d.errs) > before {
		return
	}
	switch {
	case b.users != nil:
		d.add(v.Pos, "Cluster authorization does not allow multiple users")
		return
	case b.token != "":
		d.add(v.Pos, "Cluster authorization does not support tokens")
		return
	case callout:
		d.add(v.Pos, "Cluster authorization callouts not supported")
		return
	}
	c := &d.o.Cluster
	c.Username, c.Password, c.AuthTimeout = b.user, b.pass, b.timeout
	if b.defaults == nil {
		return
	}
	d.warn(v.Pos, "authorization", `setting "permissions" within cluster authorization block is deprecated`)
	c.Permissions = &RoutePermissions{Import: b.defaults.Publish, Export: b.defaults.Subscribe}
}

func (d *decoder) clusterPermissions(_ string, v *lang.Value) {
	p := d.permissions(v)
	if p == nil {
		return
	}
	if p.Response != nil {
		d.add(v.Pos, "Cluster permissions do not support dynamic responses")
		return
	}
	perms := &RoutePermissions{Import: p.Publish, Export: p.Subscribe}
	if text := perms.check(); text != "" {
		d.add(v.Pos, "%s", text)
		return
	}
	d.o.Cluster.Permissions = perms
}

// clusterTLS reads the tls block of routes. The same authorities verify both sides, and
// both must have a certificate.
func (d *decoder) clusterTLS(_ string, v *lang.Value) {
	cfg, opts := d.tlsConfig(v, true)
	if cfg == nil {
		return
	}
	cfg.ClientAuth = tls.RequireAndVerifyClientCert
	cfg.RootCAs = cfg.ClientCAs
	c := &d.o.Cluster
	c.TLSConfig, c.tlsOpts, c.TLSTimeout = cfg, opts, opts.Timeout
	c.TLSMap, c.TLSCheckKnownURLs, c.TLSPinnedCerts = opts.Map, opts.TLSCheckKnownURLs, opts.PinnedCerts
}

func (d *decoder) pinnedAccounts(_ string, v *lang.Value) {
	names := []string{}
	switch data := v.Data.(type) {
	case string:
		names = append(names, data)
	case []*lang.Value:
		for _, e := range data {
			name, ok := e.Data.(string)
			if !ok {
				d.add(e.Pos, "error parsing accounts: unsupported type in array %s", e.TypeName())
				continue
			}
			names = append(names, name)
		}
	default:
		d.add(v.Pos, "error parsing accounts: unsupported type %s", v.TypeName())
		return
	}
	d.o.Cluster.PinnedAccounts = names
}

func (d *decoder) clusterPing(key string, v *lang.Value) {
	dur, ok := d.seconds(key, v)
	if !ok {
		return
	}
	if dur > MaxRoutePingInterval {
		d.warnings = append(d.warnings, &Error{v.Pos, "Cluster 'ping_interval' will reset to 30s which is the max for routes"})
	}
	d.o.Cluster.PingInterval = dur
}
