package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/lockstepmq/lockstep/server/config/lang"
)

// ProxiesConfig names the proxies that may vouch for clients.
type ProxiesConfig struct {
	Trusted []*ProxyConfig
}

// ProxyConfig is one proxy, known by its public nkey, of any kind.
type ProxyConfig struct {
	Key string
}

// TrustedProxyKeys are the public keys of the proxies that may vouch for clients.
func (o *Options) TrustedProxyKeys() []string {
	if o.Proxies == nil {
		return nil
	}
	var keys []string
	for _, p := range o.Proxies.Trusted {
		keys = append(keys, p.Key)
	}
	return keys
}

func (p *ProxiesConfig) clone() *ProxiesConfig {
	if p == nil {
		return nil
	}
	c := &ProxiesConfig{Trusted: slices.Clone(p.Trusted)}
	for i, t := range c.Trusted {
		one := *t
		c.Trusted[i] = &one
	}
	return c
}

func (d *decoder) proxies(_ string, v *lang.Value) {
	m, ok := v.Data.(*lang.Map)
	if !ok {
		d.add(v.Pos, "expected proxies to be a map/struct, got %s", v.TypeName())
		return
	}
	out := &ProxiesConfig{}
	for _, pair := range m.Pairs() {
		switch strings.ToLower(pair.Key) {
		case "trusted":
			out.Trusted = d.trustedProxies(pair.Value)
		default:
			d.unknown(pair.Value.Pos, pair.Value, pair.Key)
		}
	}
	d.o.Proxies = out
}

func (d *decoder) trustedProxies(v *lang.Value) []*ProxyConfig {
	list, ok := v.Data.([]*lang.Value)
	if !ok {
		d.add(v.Pos, "expected proxies' trusted field to be an array, got %s", v.TypeName())
		return nil
	}
	var out []*ProxyConfig
	for _, e := range list {
		m, ok := e.Data.(*lang.Map)
		if !ok {
			d.add(e.Pos, "expected proxies' trusted entry to be a map/struct, got %s", e.TypeName())
			continue
		}
		out = append(out, d.trustedProxy(m))
	}
	return out
}

// trustedProxy reads one entry. That it names a key at all is checked at start.
func (d *decoder) trustedProxy(m *lang.Map) *ProxyConfig {
	p := &ProxyConfig{}
	for _, pair := range m.Pairs() {
		v := pair.Value
		switch strings.ToLower(pair.Key) {
		case "key", "public_key":
			key, ok := d.text(v)
			if ok && !nkeys.IsValidPublicKey(key) {
				d.add(v.Pos, "invalid proxy key %q", key)
			}
			p.Key = key
		default:
			d.unknown(v.Pos, v, pair.Key)
		}
	}
	return p
}

func checkProxies(o *Options) error {
	for _, key := range o.TrustedProxyKeys() {
		if !nkeys.IsValidPublicKey(key) {
			return fmt.Errorf("proxy trusted key %q is invalid", key)
		}
	}
	return nil
}

// keysBeyond are the keys of list that are not in other.
func keysBeyond(list, other []string) []string {
	var out []string
	for _, key := range list {
		if !slices.Contains(other, key) {
			out = append(out, key)
		}
	}
	return out
}

// sameProxies compares whom the options trust; order and repetition do not count.
func sameProxies(old, next *Options) bool {
	a, b := old.TrustedProxyKeys(), next.TrustedProxyKeys()
	return len(keysBeyond(a, b))+len(keysBeyond(b, a)) == 0
}

// proxyLines say which proxies a reload trusts no longer, and which from now on.
func proxyLines(old, next *Options) []string {
	var lines []string
	a, b := old.TrustedProxyKeys(), next.TrustedProxyKeys()
	if gone := keysBeyond(a, b); len(gone) > 0 {
		lines = append(lines, fmt.Sprintf("Reloaded: proxies trusted keys %q were removed", gone))
	}
	if come := keysBeyond(b, a); len(come) > 0 {
		lines = append(lines, fmt.Sprintf("Reloaded: proxies trusted keys %q were added", come))
	}
	return lines
}
