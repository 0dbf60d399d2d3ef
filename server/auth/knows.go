package auth

// Knows tells whether a user or nkey of this name is still among the users: a
// reload closes connections whose user is gone without a word.
func (t *Table) Knows(user, nkey string) bool {
	if nkey != "" {
		return t.nkeys[nkey] != nil
	}
	return t.users[user] != nil || user != "" && user == t.cfg.Username
}
