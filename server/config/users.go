package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nkeys"

	"github.com/lockstepmq/lockstep/server/auth"
	"github.com/lockstepmq/lockstep/server/config/lang"
	"github.com/lockstepmq/lockstep/server/perm"
)

func quote(s string) string { return strconv.Quote(s) }

// identities are the names that users and nkeys have taken, over all accounts.
type identities map[string]bool

// userList is the users of one block.
type userList struct {
	users []*auth.User
	nkeys []*auth.NkeyUser
}

// users reads a list of user entries. bare makes the complaint about a value that is
// no list go without its place.
func (d *decoder) users(v *lang.Value, bare bool) userList {
	var out userList
	list, ok := v.Data.([]*lang.Value)
	if !ok {
		if bare {
			d.addBare("Expected users field to be an array, got %v", v.Plain())
		} else {
			d.add(v.Pos, "Expected users field to be an array, got %v", v.Plain())
		}
		return out
	}
	for _, e := range list {
		m, ok := e.Data.(*lang.Map)
		if !ok {
			d.add(e.Pos, "Expected user entry to be a map/struct, got %v", e.Plain())
			continue
		}
		d.user(m, e.Pos, &out)
	}
	return out
}

// userEntry is one entry as it is read.
type userEntry struct {
	user, pass, nkey string
	perms            *perm.Permissions
	connections      map[string]struct{}
	proxyRequired    bool
}

func (d *decoder) user(m *lang.Map, at lang.Pos, out *userList) {
	before := len(d.errs)
	var e userEntry
	for _, pair := range m.Pairs() {
		at = pair.Value.Pos
		d.userField(&e, pair)
	}
	if len(d.errs) > before {
		return
	}
	switch {
	case e.nkey != "" && !nkeys.IsValidPublicUserKey(e.nkey):
		d.add(at, "Not a valid public nkey for a user")
	case e.nkey != "" && (e.user != "" || e.pass != ""):
		d.add(at, "Nkey users do not take usernames or passwords")
	case e.nkey != "":
		out.nkeys = append(out.nkeys, &auth.NkeyUser{
			Nkey: e.nkey, Permissions: e.perms, AllowedConnectionTypes: e.connections, ProxyRequired: e.proxyRequired,
		})
	case e.user == "":
		d.add(at, "User entry requires a user")
	default:
		out.users = append(out.users, &auth.User{
			Username: e.user, Password: e.pass, Permissions: e.perms, AllowedConnectionTypes: e.connections,
			ProxyRequired: e.proxyRequired,
		})
	}
}

func (d *decoder) userField(e *userEntry, pair lang.Pair) {
	v := pair.Value
	switch strings.ToLower(pair.Key) {
	case "user", "username":
		e.user, _ = d.text(v)
	case "pass", "password":
		e.pass, _ = d.text(v)
	case "nkey":
		e.nkey, _ = d.text(v)
	case "permission", "permissions", "authorization":
		e.perms = d.permissions(v)
	case "allowed_connection_types", "connection_types", "clients":
		e.connections = d.connectionTypes(v)
	case "proxy_required":
		e.proxyRequired, _ = d.truth(v)
	default:
		d.unknown(v.Pos, v, pair.Key)
	}
}

// connectionKinds are the names that allowed_connection_types takes.
var connectionKinds = []string{
	auth.Standard, auth.WebSocket, auth.Leafnode, auth.LeafnodeWS, auth.MQTT, auth.MQTTWS, auth.InProcess,
}

func (d *decoder) connectionTypes(v *lang.Value) map[string]struct{} {
	var names []string
	switch data := v.Data.(type) {
	case string:
		names = append(names, data)
	case []*lang.Value:
		for _, e := range data {
			name, ok := e.Data.(string)
			if !ok {
				d.add(e.Pos, "error parsing allowed connection types: unsupported type in array %s", e.TypeName())
				return nil
			}
			names = append(names, name)
		}
	default:
		d.add(v.Pos, "error parsing allowed connection types: unsupported type %s", v.TypeName())
		return nil
	}
	allowed := make(map[string]struct{}, len(names))
	var bad []string
	for _, name := range names {
		name = strings.ToUpper(name)
		if !slices.Contains(connectionKinds, name) {
			bad = append(bad, name)
		}
		allowed[name] = struct{}{}
	}
	if len(bad) > 0 {
		d.add(v.Pos, "invalid connection types %q", bad)
		return nil
	}
	return allowed
}

// claim takes the names of a block's users and nkeys; the first that is taken already
// is the complaint, which is "" when there is none.
func (n identities) claim(l userList) string {
	for _, u := range l.users {
		if n["user "+u.Username] {
			return fmt.Sprintf("Duplicate user %q detected", u.Username)
		}
		n["user "+u.Username] = true
	}
	for _, u := range l.nkeys {
		if n["nkey "+u.Nkey] {
			return fmt.Sprintf("Duplicate nkey %q detected", u.Nkey)
		}
		n["nkey "+u.Nkey] = true
	}
	return ""
}

// defaultTo gives perms to the users that have none of their own.
func (l userList) defaultTo(perms *perm.Permissions) {
	for _, u := range l.users {
		if u.Permissions == nil {
			u.Permissions = perms
		}
	}
	for _, u := range l.nkeys {
		if u.Permissions == nil {
			u.Permissions = perms
		}
	}
}

func cloneUsers(list []*auth.User) []*auth.User {
	out := slices.Clone(list)
	for i, u := range out {
		c := *u
		c.Permissions = clonePermissions(u.Permissions)
		out[i] = &c
	}
	return out
}

func cloneNkeys(list []*auth.NkeyUser) []*auth.NkeyUser {
	out := slices.Clone(list)
	for i, u := range out {
		c := *u
		c.Permissions = clonePermissions(u.Permissions)
		out[i] = &c
	}
	return out
}

func clonePermissions(p *perm.Permissions) *perm.Permissions {
	if p == nil {
		return nil
	}
	c := *p
	c.Publish, c.Subscribe = cloneSubjects(p.Publish), cloneSubjects(p.Subscribe)
	if p.Response != nil {
		r := *p.Response
		c.Response = &r
	}
	return &c
}

func cloneSubjects(p *perm.SubjectPermission) *perm.SubjectPermission {
	if p == nil {
		return nil
	}
	return &perm.SubjectPermission{Allow: slices.Clone(p.Allow), Deny: slices.Clone(p.Deny)}
}
