package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/config/lang"
	"github.com/lockstepmq/lockstep/server/perm"
)

// crossing is an export or import as it is read; it is added to its account when all
// accounts are known.
type crossing struct {
	acc     *account.Account
	service bool
	subject string

	// Exports. Accounts nil is public.
	accounts  []string
	position  int
	response  account.ResponseType
	threshold time.Duration
	trace     bool

	// Imports: subject lives in account from, and here under to or behind prefix.
	from       string
	to, prefix string
	share      bool
}

// accountSet is what an accounts block adds up to.
type accountSet struct {
	byName           map[string]*account.Account
	exports, imports []*crossing
}

func (d *decoder) accounts(v *lang.Value) {
	set := &accountSet{byName: make(map[string]*account.Account)}
	before := len(d.errs)
	switch data := v.Data.(type) {
	case []*lang.Value:
		for _, e := range data {
			d.namedAccount(set, e)
		}
	case *lang.Map:
		for _, pair := range data.Pairs() {
			d.account(set, pair)
		}
	default:
		d.mismatch(v.Pos, v, "map[string]interface {}")
	}
	if len(d.errs) > before {
		return
	}
	for _, stage := range []struct {
		list    []*crossing
		service bool
		add     func(*accountSet, *crossing) error
	}{
		{set.exports, false, (*accountSet).export},
		{set.exports, true, (*accountSet).export},
		{set.imports, false, (*accountSet).importStream},
		{set.imports, true, (*accountSet).importService},
	} {
		for _, c := range stage.list {
			if c.service != stage.service {
				continue
			}
			if err := stage.add(set, c); err != nil {
				d.add(v.Pos, "%v", err)
				return
			}
		}
	}
}

// namedAccount reads an element of the list form, which only declares names.
func (d *decoder) namedAccount(set *accountSet, v *lang.Value) {
	name, ok := d.text(v)
	switch {
	case !ok:
	case name == account.Global:
		d.add(v.Pos, "%q is a Reserved Account", name)
	case set.byName[name] != nil:
		d.add(v.Pos, "Duplicate Account Entry: %s", name)
	default:
		d.newAccount(set, name)
	}
}

func (d *decoder) newAccount(set *accountSet, name string) *account.Account {
	acc := account.New(name)
	set.byName[name] = acc
	d.o.Accounts = append(d.o.Accounts, acc)
	return acc
}

func (d *decoder) account(set *accountSet, pair lang.Pair) {
	m, ok := pair.Value.Data.(*lang.Map)
	if !ok {
		d.add(pair.Value.Pos, "Expected map entries for accounts")
		return
	}
	if pair.Key == account.Global {
		d.add(pair.Value.Pos, "%q is a Reserved Account", pair.Key)
		return
	}
	acc := d.newAccount(set, pair.Key)
	var users userList
	var usersAt lang.Pos
	var defaults *perm.Permissions
	for _, p := range m.Pairs() {
		switch v := p.Value; strings.ToLower(p.Key) {
		case "nkey":
			d.accountKey(acc, v)
		case "users":
			users, usersAt = d.users(v, true), v.Pos
		case "default_permissions":
			defaults = d.permissions(v)
		case "exports":
			d.exports(set, acc, v)
		case "imports":
			d.imports(set, acc, v)
		case "mappings", "maps":
			d.mappings(acc, v)
		case "limits":
			d.limits(acc, v)
		case "jetstream":
			d.accountJetStream(acc, v)
		case "msg_trace", "trace_dest":
			d.notYet(v.Pos, p.Key)
		default:
			d.unknown(v.Pos, v, p.Key)
		}
	}
	d.accountUsers(acc, users, usersAt, defaults)
}

// accountUsers adds the users of an account to all users.
func (d *decoder) accountUsers(acc *account.Account, list userList, at lang.Pos, defaults *perm.Permissions) {
	o := d.o
	if len(list.users)+len(list.nkeys) == 0 {
		return
	}
	switch {
	case o.Username != "" || o.Password != "":
		d.add(at, "Can not have a single user/pass and accounts")
		return
	case o.Authorization != "":
		d.add(at, "Can not have a token and accounts")
		return
	}
	if text := d.names.claim(list); text != "" {
		d.add(at, "%s", text)
		return
	}
	if defaults != nil {
		list.defaultTo(defaults)
	}
	for _, u := range list.users {
		u.Account = acc
	}
	for _, u := range list.nkeys {
		u.Account = acc
	}
	o.Users, o.Nkeys = append(o.Users, list.users...), append(o.Nkeys, list.nkeys...)
}

func (d *decoder) accountKey(acc *account.Account, v *lang.Value) {
	key, ok := v.Data.(string)
	if !ok || !nkeys.IsValidPublicAccountKey(key) {
		d.add(v.Pos, "Not a valid public nkey for an account: %q", v.Plain())
		return
	}
	acc.Nkey = key
}

func (d *decoder) limits(acc *account.Account, v *lang.Value) {
	m, ok := v.Data.(*lang.Map)
	if !ok {
		d.add(v.Pos, "Expected account limits to be a map/struct, got %v", v.Plain())
		return
	}
	l := account.Unlimited
	for _, pair := range m.Pairs() {
		var limit *int64
		switch strings.ToLower(pair.Key) {
		case "max_connections", "max_conn":
			limit = &l.Connections
		case "max_subscriptions", "max_subs":
			limit = &l.Subs
		case "max_payload", "max_pay":
			limit = &l.Payload
		case "max_leafnodes", "max_leafs":
			limit = &l.LeafNodes
		default:
			if !pair.Value.Used {
				d.add(pair.Value.Pos, "Unknown field %q parsing account limits", pair.Key)
			}
			continue
		}
		if n, ok := d.number(pair.Value); ok {
			*limit = n
		}
	}
	acc.SetLimits(l)
}

// kind names what c is, for messages.
func (c *crossing) kind() string {
	if c.service {
		return "service"
	}
	return "stream"
}

// account finds the account called name, for a crossing of the given kind.
func (s *accountSet) account(name string, c *crossing, direction string) (*account.Account, error) {
	if acc := s.byName[name]; acc != nil {
		return acc, nil
	}
	return nil, fmt.Errorf("%q account not defined for %s %s", name, c.kind(), direction)
}

func (s *accountSet) export(c *crossing) error {
	var allowed []*account.Account
	for _, name := range c.accounts {
		acc, err := s.account(name, c, "export")
		if err != nil {
			return err
		}
		allowed = append(allowed, acc)
	}
	if c.accounts != nil {
		allowed = slices.Grow(allowed, 1) // nobody is not everybody
	}
	var err error
	if c.service {
		err = c.acc.AddServiceExportWithTokenPosition(c.subject, c.response, allowed, c.position)
		if err == nil && c.threshold > 0 {
			err = c.acc.SetServiceExportResponseThreshold(c.subject, c.threshold)
		}
		if err == nil && c.trace {
			err = c.acc.SetServiceExportAllowTrace(c.subject, true)
		}
	} else {
		err = c.acc.AddStreamExportWithTokenPosition(c.subject, allowed, c.position)
	}
	if err != nil {
		return fmt.Errorf("Error adding %s export %q: %w", c.kind(), c.subject, err)
	}
	return nil
}

func (s *accountSet) importStream(c *crossing) error {
	from, err := s.account(c.from, c, "import")
	if err != nil {
		return err
	}
	if c.to != "" {
		err = c.acc.AddMappedStreamImport(from, c.subject, c.to)
	} else {
		err = c.acc.AddStreamImport(from, c.subject, c.prefix)
	}
	if err == nil && c.trace {
		err = c.acc.SetStreamImportAllowTrace(from, c.subject, true)
	}
	if err != nil {
		return fmt.Errorf("Error adding stream import %q: %w", c.subject, err)
	}
	return nil
}

func (s *accountSet) importService(c *crossing) error {
	from, err := s.account(c.from, c, "import")
	if err != nil {
		return err
	}
	local := c.to
	if local == "" {
		local = c.subject
	}
	if err = c.acc.AddServiceImport(from, local, c.subject); err == nil && c.share {
		err = c.acc.SetServiceImportSharing(from, c.subject, true)
	}
	if err != nil {
		return fmt.Errorf("Error adding service import %q: %w", c.subject, err)
	}
	return nil
}
