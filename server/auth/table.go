package auth

import (
	"fmt"
	"regexp"

	"github.com/nats-io/nkeys"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/perm"
)

// Config is what a [Table] is built from. Nothing in it may change afterwards.
type Config struct {
	Users []*User
	Nkeys []*NkeyUser
	// Username and Password are the single user, Token the single token, of a server
	// without users. They have every permission in the global account.
	Username string
	Password string
	Token    string
	// NoAuthUser is the user or nkey that clients without credentials become.
	NoAuthUser string
	// TLSMap lets the client's certificate name the user.
	TLSMap bool
	// TLSMapElsewhere tells that another listener maps certificates: users without a
	// password are then identities of certificates, and cannot log in without one.
	TLSMapElsewhere bool
	// ProxyRequired refuses the single user and the token without a trusted proxy;
	// users and nkeys say so themselves.
	ProxyRequired bool
	// TrustedProxies are the public keys of proxies, of any kind.
	TrustedProxies []string
	// AlwaysNonce asks for a nonce that nobody needs.
	AlwaysNonce bool
	// Custom decides alone when it is set.
	Custom Authentication
	// Global is the account of users that name none. It must be set.
	Global *account.Account
	// DefaultPermissions are those of users that have none; nil allows everything.
	DefaultPermissions *perm.Permissions
}

// Table knows every user of the server. It is immutable.
type Table struct {
	cfg     Config
	users   map[string]*userEntry // looked up only
	mapped  []*userEntry          // those whose name is a distinguished name, in order
	nkeys   map[string]*nkeyEntry // looked up only
	proxies []proxy
}

type userEntry struct {
	user        *User
	account     *account.Account
	permissions *perm.Permissions
	perms       *perm.Set
	name        dn // nil when the user name is none
}

type nkeyEntry struct {
	user        *NkeyUser
	account     *account.Account
	permissions *perm.Permissions
	perms       *perm.Set
	key         nkeys.KeyPair
}

type proxy struct {
	name string
	key  nkeys.KeyPair
}

// NewTable checks and compiles the users.
func NewTable(cfg Config) (*Table, error) {
	t := &Table{cfg: cfg, users: map[string]*userEntry{}, nkeys: map[string]*nkeyEntry{}}
	for _, u := range cfg.Users {
		if err := t.addUser(u); err != nil {
			return nil, err
		}
	}
	for _, u := range cfg.Nkeys {
		if err := t.addNkey(u); err != nil {
			return nil, err
		}
	}
	for _, name := range cfg.TrustedProxies {
		key, err := nkeys.FromPublicKey(name)
		if err != nil {
			return nil, fmt.Errorf("trusted proxy key %q is not a public nkey: %w", name, err)
		}
		t.proxies = append(t.proxies, proxy{name, key})
	}
	return t, t.checkNoAuthUser()
}

func (t *Table) addUser(u *User) error {
	if t.users[u.Username] != nil {
		//lint:ignore ST1005 operators know this text
		return fmt.Errorf("Duplicate user %q detected", u.Username)
	}
	e := &userEntry{user: u, account: t.accountOr(u.Account), permissions: t.permissionsOr(u.Permissions)}
	var err error
	if e.perms, err = compile(e.permissions); err != nil {
		return fmt.Errorf("user %q: %w", u.Username, err)
	}
	if e.name, err = parseDN(u.Username); err == nil {
		t.mapped = append(t.mapped, e)
	}
	t.users[u.Username] = e
	return nil
}

func (t *Table) addNkey(u *NkeyUser) error {
	if t.nkeys[u.Nkey] != nil {
		//lint:ignore ST1005 operators know this text
		return fmt.Errorf("Duplicate nkey %q detected", u.Nkey)
	}
	key, err := nkeys.FromPublicKey(u.Nkey)
	if err != nil || !nkeys.IsValidPublicUserKey(u.Nkey) {
		//lint:ignore ST1005 operators know this text
		return fmt.Errorf("Not a valid public nkey for a user: %q", u.Nkey)
	}
	e := &nkeyEntry{user: u, account: t.accountOr(u.Account), permissions: t.permissionsOr(u.Permissions), key: key}
	if e.perms, err = compile(e.permissions); err != nil {
		return fmt.Errorf("nkey %q: %w", u.Nkey, err)
	}
	t.nkeys[u.Nkey] = e
	return nil
}

func (t *Table) accountOr(a *account.Account) *account.Account {
	if a == nil {
		return t.cfg.Global
	}
	return a
}

func (t *Table) permissionsOr(p *perm.Permissions) *perm.Permissions {
	if p == nil {
		return t.cfg.DefaultPermissions
	}
	return p
}

// compile is the set of p, nil when p allows everything.
func compile(p *perm.Permissions) (*perm.Set, error) {
	if p == nil {
		return nil, nil
	}
	return perm.Compile(p)
}

func (t *Table) checkNoAuthUser() error {
	name := t.cfg.NoAuthUser
	switch {
	case name == "" || t.users[name] != nil || t.nkeys[name] != nil:
		return nil
	case len(t.users)+len(t.nkeys) == 0:
		return fmt.Errorf("no_auth_user: %q present, but users/nkeys are not defined", name)
	}
	return fmt.Errorf("no_auth_user: %q not present as user or nkey in authorization block or account configuration", name)
}

// WithTLSMap is the table for another listener, which maps certificates or not.
func (t *Table) WithTLSMap(on bool) *Table {
	other := *t
	other.cfg.TLSMapElsewhere = t.cfg.TLSMapElsewhere || t.cfg.TLSMap
	other.cfg.TLSMap = on
	return &other
}

// Required tells whether clients must say who they are.
func (t *Table) Required() bool {
	return t.cfg.Custom != nil || len(t.users)+len(t.nkeys) > 0 || t.cfg.Username != "" || t.cfg.Token != ""
}

// NonceRequired tells whether INFO must carry a nonce.
func (t *Table) NonceRequired() bool {
	return t.cfg.AlwaysNonce || len(t.nkeys) > 0 || len(t.proxies) > 0
}

// NoAuthUser is the user or nkey that clients without credentials become, "" for none.
func (t *Table) NoAuthUser() string { return t.cfg.NoAuthUser }

// Implicit tells whether a connection of this type may send other operations
// before CONNECT, which makes it the user for clients without credentials.
func (t *Table) Implicit(connType string) bool {
	e := t.users[t.cfg.NoAuthUser]
	return t.cfg.Custom == nil && t.cfg.NoAuthUser != "" && e != nil && !e.user.ProxyRequired &&
		allowed(e.user.AllowedConnectionTypes, connType)
}

// hashed is what a bcrypt password looks like.
var hashed = regexp.MustCompile(`^\$2[abxy]\$\d{2}\$.*`)

// PlaintextPasswords tells whether a configured password can be read, which is
// worth a warning at start.
func (t *Table) PlaintextPasswords() bool {
	if t.cfg.Username != "" && !hashed.MatchString(t.cfg.Password) {
		return true
	}
	for _, u := range t.cfg.Users {
		if !hashed.MatchString(u.Password) {
			return true
		}
	}
	return false
}

// TrustsProxy tells whether key is that of a trusted proxy.
func (t *Table) TrustsProxy(key string) bool {
	for _, p := range t.proxies {
		if p.name == key {
			return true
		}
	}
	return false
}
