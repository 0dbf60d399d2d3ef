package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/config/lang"
	"github.com/lockstepmq/lockstep/server/perm"
)

// authTimeoutMax is the authentication timeout above which reading warns.
const authTimeoutMax = 60.0

// authBlock is an authorization block as it is read.
type authBlock struct {
	user, pass, token string
	timeout           float64 // seconds
	users             *userList
	defaults          *perm.Permissions
	proxyRequired     bool
}

func (d *decoder) authorization(_ string, v *lang.Value) {
	m, ok := d.mapping(v)
	if !ok {
		return
	}
	var b authBlock
	for _, pair := range m.Pairs() {
		d.authField(&b, pair)
	}
	o := d.o
	o.Username, o.Password, o.Authorization = b.user, b.pass, b.token
	o.ProxyRequired = b.proxyRequired
	if b.timeout != 0 {
		o.AuthTimeout = b.timeout
	}
	single := b.user != "" || b.pass != ""
	if single && b.token != "" {
		d.add(v.Pos, "Cannot have a user/pass and token")
		return
	}
	if b.users == nil {
		return
	}
	if single {
		d.add(v.Pos, "Can not have a single user/pass and a users array")
		return
	}
	if b.token != "" {
		d.add(v.Pos, "Can not have a token and a users array")
		return
	}
	if b.defaults != nil {
		b.users.defaultTo(b.defaults)
	}
	if text := d.names.claim(*b.users); text != "" {
		d.add(v.Pos, "%s", text)
		return
	}
	o.Users, o.Nkeys = append(o.Users, b.users.users...), append(o.Nkeys, b.users.nkeys...)
}

func (d *decoder) authField(b *authBlock, pair lang.Pair) {
	v := pair.Value
	switch strings.ToLower(pair.Key) {
	case "user", "username":
		b.user, _ = d.text(v)
	case "pass", "password":
		b.pass, _ = d.text(v)
	case "token":
		b.token, _ = d.text(v)
	case "timeout":
		b.timeout = d.authTimeout(v)
	case "users":
		list := d.users(v, false)
		b.users = &list
	case "default_permission", "default_permissions", "permissions":
		b.defaults = d.permissions(v)
	case "proxy_required":
		b.proxyRequired, _ = d.truth(v)
	case "auth_callout", "auth_hook":
		d.notYet(v.Pos, pair.Key)
	default:
		d.unknown(v.Pos, v, pair.Key)
	}
}

// authTimeout reads seconds, as a number or as a duration string.
func (d *decoder) authTimeout(v *lang.Value) float64 {
	seconds, err := timeoutSeconds(v)
	if err != "" {
		d.add(v.Pos, "error parsing authorization config, 'timeout' %s", err)
		return 0
	}
	if seconds > authTimeoutMax {
		d.warn(v.Pos, "timeout", "timeout of %v (%f seconds) is high, consider keeping it under 60 seconds. "+
			"possibly caused by unquoted duration; use '1m' instead of 1m, for example", v.Data, seconds)
	}
	return seconds
}

// timeoutSeconds reads a timeout of an authorization or tls block.
func timeoutSeconds(v *lang.Value) (seconds float64, complaint string) {
	switch data := v.Data.(type) {
	case int64:
		return float64(data), ""
	case float64:
		return data, ""
	case string:
		dur, err := time.ParseDuration(data)
		if err != nil {
			return 0, fmt.Sprint(err)
		}
		return dur.Seconds(), ""
	}
	return 0, "wrong type"
}
