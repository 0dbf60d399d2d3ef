package auth

import (
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/wire"
)

// Request is a connection that asks to be let in.
type Request struct {
	Connect *wire.Connect
	// Nonce is what INFO carried, to the letter.
	Nonce []byte
	// TLS is nil without it.
	TLS *tls.ConnectionState
	// ConnType is one of the connection types.
	ConnType string
	// Client is what a custom authentication sees. Its RegisterUser is not called:
	// the answer is in the Identity.
	Client ClientAuthentication
}

// Identity is who a connection is and what it may do.
type Identity struct {
	Account     *account.Account
	Perms       *perm.Set         // nil allows everything
	Permissions *perm.Permissions // what Perms was compiled from
	// Name is the user as monitoring shows it; Label as log lines do, "user:x",
	// "nkey:x" or "token". Both are empty for nobody in particular.
	Name  string
	Label string
	Nkey  string
	// Deadline is when the connection must end; the zero time is never.
	Deadline               time.Time
	AllowedConnectionTypes map[string]struct{} // empty is all
	// ProxyKey is that of the trusted proxy that passed the connection on.
	ProxyKey string
	// NoAuth tells that the client gave no credentials and became no_auth_user.
	NoAuth bool
	// Warning is worth a log line, "" when nothing is.
	Warning string
}

// Kind says why a connection was refused, as far as its closed state tells.
type Kind int

const (
	Failed Kind = iota
	ProxyRequired
	ProxyNotTrusted
)

// Error is a refusal. Clients learn none of it but "Authorization Violation".
type Error struct {
	Kind   Kind
	Reason string
	// Who the client claimed to be, as the log shows it: `User "x"`, `Nkey "x"`,
	// `Token "[REDACTED]"` or nothing.
	Who     string
	Warning string // worth a log line of its own
	// Name is who the client claimed to be, as monitoring shows it.
	Name string
	// ProxyKey is that of the trusted proxy that vouched for the refused client.
	ProxyKey string
}

func (e *Error) Error() string {
	if e.Who == "" {
		return "authentication error"
	}
	return "authentication error - " + e.Who
}

// Redacted stands for a token wherever one would be shown.
const Redacted = "[REDACTED]"

// claim is who the client says it is.
func claim(c *wire.Connect) (name, label, who string) {
	switch {
	case c.Nkey != "":
		return c.Nkey, "nkey:" + c.Nkey, fmt.Sprintf("Nkey %q", c.Nkey)
	case c.Username != "":
		return c.Username, "user:" + c.Username, fmt.Sprintf("User %q", c.Username)
	case c.Token != "":
		return Redacted, "token", fmt.Sprintf("Token %q", Redacted)
	}
	return "", "", ""
}

// Authenticate decides who the connection is. Every error is an *[Error].
func (t *Table) Authenticate(r Request) (Identity, error) {
	id, err := t.decide(r)
	if err != nil {
		name, _, who := claim(r.Connect)
		err.Name = name
		if err.Who == "" {
			err.Who = who
		}
		return Identity{}, err
	}
	if id.Name == "" {
		id.Name, id.Label, _ = claim(r.Connect)
	}
	return id, nil
}

func (t *Table) decide(r Request) (Identity, *Error) {
	c := r.Connect
	if c.Account != "" || c.AccountNew {
		return Identity{}, refuse("clients may not choose their account")
	}
	if t.cfg.Custom != nil {
		return t.custom(r)
	}
	proxyKey, err := t.verifyProxy(c.ProxySig, r.Nonce)
	if err != nil {
		return Identity{}, err
	}
	id, err := t.builtIn(r, proxyKey != "")
	if err != nil {
		err.ProxyKey = proxyKey
	}
	id.ProxyKey = proxyKey
	return id, err
}

// builtIn is the order of the methods that need no program.
func (t *Table) builtIn(r Request, proxied bool) (Identity, *Error) {
	c := r.Connect
	if !t.Required() {
		return t.anyone(), nil
	}
	anonymous := c.Username == "" && c.Password == "" && c.Token == ""
	if len(t.nkeys) > 0 {
		if c.Nkey != "" {
			return t.nkey(r, t.nkeys[c.Nkey], proxied)
		}
		if e := t.nkeys[t.cfg.NoAuthUser]; e != nil && anonymous {
			return t.assumeNkey(e, r.ConnType, proxied)
		}
	}
	switch {
	case len(t.users) == 0:
	case t.cfg.TLSMap:
		return t.certificate(r, proxied)
	case anonymous && t.users[t.cfg.NoAuthUser] != nil:
		return t.assumeUser(t.users[t.cfg.NoAuthUser], r.ConnType, proxied)
	default:
		return t.password(r, t.users[c.Username], proxied)
	}
	return t.single(c, proxied)
}

func refuse(reason string) *Error { return &Error{Reason: reason} }

func proxyRequired() *Error { return &Error{Kind: ProxyRequired, Reason: "proxy connection required"} }

// anyone is who everybody is where nobody in particular is asked for.
func (t *Table) anyone() Identity { return Identity{Account: t.cfg.Global} }

// recorder keeps what a custom authentication registers.
type recorder struct {
	ClientAuthentication
	user *User
}

func (r *recorder) RegisterUser(u *User) { r.user = u }

func (t *Table) custom(r Request) (Identity, *Error) {
	rec := &recorder{ClientAuthentication: r.Client}
	if !t.cfg.Custom.Check(rec) {
		return Identity{}, refuse("refused by the custom authentication")
	}
	if rec.user == nil {
		return t.anyone(), nil
	}
	perms, err := compile(rec.user.Permissions)
	if err != nil {
		return Identity{}, refuse("permissions of the registered user: " + err.Error())
	}
	e := &userEntry{user: rec.user, account: t.accountOr(rec.user.Account), permissions: rec.user.Permissions, perms: perms}
	return e.identity(), nil
}

// verifyProxy finds the trusted proxy that signed the nonce, "" without a signature.
func (t *Table) verifyProxy(sig string, nonce []byte) (string, *Error) {
	if len(t.proxies) == 0 || sig == "" {
		return "", nil
	}
	raw, err := decodeSignature(sig)
	if err != nil {
		return "", &Error{Kind: ProxyNotTrusted, Reason: "Proxy signature not valid base64"}
	}
	for _, p := range t.proxies {
		if p.key.Verify(nonce, raw) == nil {
			return p.name, nil
		}
	}
	return "", &Error{Kind: ProxyNotTrusted, Reason: "proxy is not trusted"}
}

func (t *Table) nkey(r Request, e *nkeyEntry, proxied bool) (Identity, *Error) {
	switch {
	case e == nil:
		return Identity{}, refuse("nkey is not known")
	case !allowed(e.user.AllowedConnectionTypes, r.ConnType):
		return Identity{}, refuse("connection type " + r.ConnType + " is not allowed")
	case e.user.ProxyRequired && !proxied:
		return Identity{}, proxyRequired()
	case r.Connect.Sig == "":
		return Identity{}, refuse("Signature missing")
	}
	raw, err := decodeSignature(r.Connect.Sig)
	if err != nil {
		return Identity{}, refuse("Signature not valid base64")
	}
	if len(r.Nonce) == 0 || e.key.Verify(r.Nonce, raw) != nil {
		return Identity{}, refuse("Signature not verified")
	}
	return e.identity(), nil
}

func (t *Table) assumeNkey(e *nkeyEntry, connType string, proxied bool) (Identity, *Error) {
	if !allowed(e.user.AllowedConnectionTypes, connType) {
		return Identity{}, refuse("connection type " + connType + " is not allowed for no_auth_user")
	}
	if e.user.ProxyRequired && !proxied {
		return Identity{}, proxyRequired()
	}
	id := e.identity()
	id.NoAuth = true
	return id, nil
}

func (t *Table) assumeUser(e *userEntry, connType string, proxied bool) (Identity, *Error) {
	if !allowed(e.user.AllowedConnectionTypes, connType) {
		return Identity{}, e.named(refuse("connection type " + connType + " is not allowed for no_auth_user"))
	}
	if e.user.ProxyRequired && !proxied {
		return Identity{}, e.named(proxyRequired())
	}
	id := e.identity()
	id.NoAuth = true
	return id, nil
}

// named tells the log whom the refused connection would have been.
func (e *userEntry) named(err *Error) *Error {
	err.Who = fmt.Sprintf("User %q", e.user.Username)
	return err
}

func (t *Table) password(r Request, e *userEntry, proxied bool) (Identity, *Error) {
	switch {
	case e == nil:
		return Identity{}, refuse("user is not known")
	case !allowed(e.user.AllowedConnectionTypes, r.ConnType):
		return Identity{}, refuse("connection type " + r.ConnType + " is not allowed")
	case e.user.ProxyRequired && !proxied:
		return Identity{}, proxyRequired()
	case e.user.Password == "" && t.cfg.TLSMapElsewhere:
		return Identity{}, refuse("user has no password and is for certificates only")
	case !matches(e.user.Password, r.Connect.Password):
		return Identity{}, refuse("wrong password")
	}
	return e.identity(), nil
}

// single is the token or user of a server without users.
func (t *Table) single(c *wire.Connect, proxied bool) (Identity, *Error) {
	switch {
	case t.cfg.ProxyRequired && !proxied:
		return Identity{}, proxyRequired()
	case t.cfg.Token != "":
		if !matches(t.cfg.Token, c.Token) {
			return Identity{}, refuse("wrong token")
		}
	case t.cfg.Username == "" || t.cfg.Username != c.Username:
		return Identity{}, refuse("user is not known")
	case !matches(t.cfg.Password, c.Password):
		return Identity{}, refuse("wrong password")
	}
	return t.anyone(), nil
}

func (e *userEntry) identity() Identity {
	u := e.user
	id := Identity{
		Account: e.account, Perms: e.perms, Permissions: e.permissions, Name: u.Username,
		Deadline: u.ConnectionDeadline, AllowedConnectionTypes: u.AllowedConnectionTypes,
	}
	if u.Username != "" {
		id.Label = "user:" + u.Username
	}
	return id
}

func (e *nkeyEntry) identity() Identity {
	return Identity{
		Account: e.account, Perms: e.perms, Permissions: e.permissions, Name: e.user.Nkey,
		Label: "nkey:" + e.user.Nkey, Nkey: e.user.Nkey, AllowedConnectionTypes: e.user.AllowedConnectionTypes,
	}
}

// allowed tells whether a user restricted to types may connect in this way.
func allowed(types map[string]struct{}, connType string) bool {
	if len(types) == 0 {
		return true
	}
	_, ok := types[connType]
	return ok
}

// matches compares a configured secret, which may be a bcrypt hash, with a given one.
func matches(secret, given string) bool {
	if hashed.MatchString(secret) {
		return bcrypt.CompareHashAndPassword([]byte(secret), []byte(given)) == nil
	}
	return subtle.ConstantTimeCompare([]byte(secret), []byte(given)) == 1
}

// decodeSignature reads both alphabets of base64 that clients use.
func decodeSignature(sig string) ([]byte, error) {
	raw, err := base64.RawURLEncoding.DecodeString(sig)
	if err != nil {
		raw, err = base64.StdEncoding.DecodeString(sig)
	}
	return raw, err
}
