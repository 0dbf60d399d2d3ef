package broker

import (
	"errors"
	"fmt"
	"sort"
	"sync"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/auth"
	"github.com/lockstepmq/lockstep/server/config"
)

// accounts are the tenants of a server, by name. Safe from any strand.
type accounts struct {
	mu     sync.RWMutex
	byName map[string]*account.Account
	global *account.Account
	system *account.Account
}

// init registers the accounts of the options, and the two that always exist.
func (r *accounts) init(o *config.Options, now time.Time) error {
	r.byName = make(map[string]*account.Account)
	for _, a := range o.Accounts {
		a.SetUpdated(now)
		r.byName[a.Name] = a
	}
	r.global = r.ensure(account.Global, now)
	switch {
	case o.SystemAccount != "" && o.SystemAccount != account.System:
		if r.system = r.byName[o.SystemAccount]; r.system == nil {
			return errNoSystemAccount
		}
	case !o.NoSystemAccount:
		r.system = r.ensure(account.System, now)
	}
	return nil
}

// errNoSystemAccount: system_account names an account that is not configured.
var errNoSystemAccount = errors.New("error resolving system account: account missing")

// ensure finds or makes an account.
func (r *accounts) ensure(name string, now time.Time) *account.Account {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.byName[name]
	if a == nil {
		a = account.New(name)
		a.SetUpdated(now)
		r.byName[name] = a
	}
	return a
}

// Global is the account of connections that name no other.
func (b *Broker) Global() *account.Account { return b.accounts.global }

// SystemAccount is nil when there is none.
func (b *Broker) SystemAccount() *account.Account {
	b.accounts.mu.RLock()
	defer b.accounts.mu.RUnlock()
	return b.accounts.system
}

// SetSystemAccount makes a known account the system account.
func (b *Broker) SetSystemAccount(name string) error {
	b.accounts.mu.Lock()
	defer b.accounts.mu.Unlock()
	a := b.accounts.byName[name]
	if a == nil {
		return fmt.Errorf("account %q does not exist: register it first", name)
	}
	b.accounts.system = a
	return nil
}

// LookupAccount finds an account by name; nil when there is none.
func (b *Broker) LookupAccount(name string) *account.Account {
	b.accounts.mu.RLock()
	defer b.accounts.mu.RUnlock()
	return b.accounts.byName[name]
}

// RegisterAccount makes a new account.
func (b *Broker) RegisterAccount(name string) (*account.Account, error) {
	if b.LookupAccount(name) != nil {
		return nil, fmt.Errorf("account %q exists already", name)
	}
	a, _ := b.LookupOrRegisterAccount(name)
	return a, nil
}

// LookupOrRegisterAccount finds or makes an account; isNew tells which.
func (b *Broker) LookupOrRegisterAccount(name string) (a *account.Account, isNew bool) {
	if a := b.LookupAccount(name); a != nil {
		return a, false
	}
	return b.ensureAccount(name), true
}

// ensureAccount finds or makes an account, and makes it known to other servers and what they
// are interested in to it.
func (b *Broker) ensureAccount(name string) *account.Account {
	a := b.LookupAccount(name)
	if a != nil {
		return a
	}
	a = b.accounts.ensure(name, b.clock.Now())
	if n := b.announcer.Load(); n != nil {
		n.open(a)
	}
	b.rebindLinks()
	return a
}

// Accounts lists all accounts by name.
func (b *Broker) Accounts() []*account.Account {
	b.accounts.mu.RLock()
	all := make([]*account.Account, 0, len(b.accounts.byName))
	for _, a := range b.accounts.byName { //lockstep:ordered sorted below
		all = append(all, a)
	}
	b.accounts.mu.RUnlock()
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name }) //lockstep:total names are unique
	return all
}

// live maps an account of freshly read options to the one that serves under its
// name.
func (b *Broker) liveAccount(a *account.Account) *account.Account {
	if a == nil {
		return b.Global()
	}
	if l := b.LookupAccount(a.Name); l != nil {
		return l
	}
	return a
}

// buildTable compiles the users of o, bound to the accounts that serve.
func (b *Broker) buildTable(o *config.Options) (*auth.Table, error) {
	users := make([]*auth.User, len(o.Users))
	for i, u := range o.Users {
		n := *u
		n.Account = b.liveAccount(u.Account)
		users[i] = &n
	}
	nkeys := make([]*auth.NkeyUser, len(o.Nkeys))
	for i, u := range o.Nkeys {
		n := *u
		n.Account = b.liveAccount(u.Account)
		nkeys[i] = &n
	}
	noAuth := o.NoAuthUser
	if b.onlySystemUsers(o) {
		noAuth = b.anonymous
		users = append(users, &auth.User{Username: noAuth, Password: b.anonymous, Account: b.Global()})
	}
	return auth.NewTable(auth.Config{
		Users: users, Nkeys: nkeys, Username: o.Username, Password: o.Password, Token: o.Authorization,
		NoAuthUser: noAuth, TLSMap: o.TLSMap, Custom: o.CustomClientAuthentication, Global: b.Global(),
		AlwaysNonce: o.AlwaysEnableNonce, TrustedProxies: o.TrustedProxyKeys(), ProxyRequired: o.ProxyRequired,
	})
}

// onlySystemUsers tells whether users exist in the system account alone: then
// everybody else still comes in without credentials, as a user of $G that nobody
// can name.
func (b *Broker) onlySystemUsers(o *config.Options) bool {
	system := b.SystemAccount()
	if system == nil || o.NoAuthUser != "" || o.Username != "" || o.Authorization != "" || o.CustomClientAuthentication != nil {
		return false
	}
	if len(o.Users)+len(o.Nkeys) == 0 {
		return false
	}
	for _, a := range o.Accounts {
		if a.Name != system.Name && a.Name != account.Global {
			return false
		}
	}
	for _, u := range o.Users {
		if b.liveAccount(u.Account) != system {
			return false
		}
	}
	for _, u := range o.Nkeys {
		if b.liveAccount(u.Account) != system {
			return false
		}
	}
	return true
}

// AuthRequired tells whether clients must send credentials.
func (b *Broker) AuthRequired() bool { return b.table().Required() }

// NonceRequired tells whether INFO carries a nonce to sign.
func (b *Broker) NonceRequired() bool {
	return b.table().NonceRequired()
}

// bindAnonymous makes a connection that needs no credentials a member of $G.
func (c *Client) bindAnonymous() {
	c.bind(auth.Identity{Account: c.b.Global()})
	c.verbose, c.pedantic, c.echo = true, true, true
}
