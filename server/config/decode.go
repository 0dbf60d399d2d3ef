package config

import (
	"strings"

	"github.com/lockstepmq/lockstep/server/config/lang"
)

// decoder fills options from one parsed file and collects every complaint.
type decoder struct {
	problems
	o     *Options
	names identities
}

// setting is one top-level key.
type setting struct {
	// field is the option that the key states, or the first of them.
	field string
	// read decodes the value; key is the name as written, in lower case.
	read func(d *decoder, key string, v *lang.Value)
}

// decode reads the top level of a file. Accounts are read last whatever their place:
// their users are checked against those of the authorization block.
func (d *decoder) decode(root *lang.Map) {
	var accounts []lang.Pair
	for _, pair := range root.Pairs() {
		key := strings.ToLower(pair.Key)
		s, known := settings[key]
		switch {
		case unsupportedKeys[key]:
			d.notYet(pair.Value.Pos, pair.Key)
		case !known:
			d.unknown(pair.Value.Pos, pair.Value, pair.Key)
		case key == "accounts":
			accounts = append(accounts, pair)
			d.o.inFile[s.field] = true
		default:
			d.o.inFile[s.field] = true
			s.read(d, key, pair.Value)
		}
	}
	for _, pair := range accounts {
		d.accounts(pair.Value)
	}
}

// unsupportedKeys are top-level keys of features that this server does not have.
var unsupportedKeys = keySet(
	"websocket", "ws", "mqtt", "gateway", "leafnodes", "leaf",
	"operator", "operators", "root", "roots", "root_operator", "root_operators", "trusted_keys", "trusted",
	"resolver", "account_resolver", "accounts_resolver", "resolver_preload", "resolver_pinned_accounts",
	"resolver_tls", "default_sentinel", "ocsp", "ocsp_cache",
)

func keySet(names ...string) map[string]bool {
	set := make(map[string]bool, len(names))
	for _, name := range names {
		set[name] = true
	}
	return set
}

// The makers below give the reader of a plain option.

func boolean(field func(*Options) *bool) func(*decoder, string, *lang.Value) {
	return func(d *decoder, _ string, v *lang.Value) {
		if b, ok := d.truth(v); ok {
			*field(d.o) = b
		}
	}
}

func text(field func(*Options) *string) func(*decoder, string, *lang.Value) {
	return func(d *decoder, _ string, v *lang.Value) {
		if s, ok := d.text(v); ok {
			*field(d.o) = s
		}
	}
}

func integer[T int | int64](field func(*Options) *T) func(*decoder, string, *lang.Value) {
	return func(d *decoder, _ string, v *lang.Value) {
		if n, ok := d.number(v); ok {
			*field(d.o) = T(n)
		}
	}
}

// size32 is an option of bytes that must fit 31 bits.
func size32(field func(*Options) *int32) func(*decoder, string, *lang.Value) {
	return func(d *decoder, key string, v *lang.Value) {
		n, ok := d.number(v)
		switch {
		case !ok:
		case n > 1<<31-1 || n < -1<<31:
			d.add(v.Pos, "%s value is too big", key)
		default:
			*field(d.o) = int32(n)
		}
	}
}
