package auth

import "github.com/lockstepmq/lockstep/server/wire"

// Distrusted refuses a client that came through a proxy which is trusted no longer. It
// gives no reason: the reload that took the trust away logs it.
func Distrusted(c *wire.Connect) *Error {
	e := &Error{Kind: ProxyNotTrusted}
	e.Name, _, e.Who = claim(c)
	return e
}

// Knows tells whether a user or nkey of this name is still among the users: a
// reload closes connections whose user is gone without a word.
func (t *Table) Knows(user, nkey string) bool {
	if nkey != "" {
		return t.nkeys[nkey] != nil
	}
	return t.users[user] != nil || user != "" && user == t.cfg.Username
}
