package config

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/account"
)

// TestAliases: whatever the name of an option, the options are the same.
func TestAliases(t *testing.T) {
	inCorpusDir(t)
	user := func(entry string) string { return "authorization { users: [ {user: u, " + entry + "} ] }" }
	account := func(inside string) string {
		return "accounts { A { users: [{user: a, password: p}], " + inside + " }, B {} }"
	}
	for _, tc := range []struct {
		before string
		names  []string
		after  string
	}{
		{"", []string{"host", "net"}, ": \"127.0.0.1\""},
		{"", []string{"max_connections", "max_conn", "MAX_CONN"}, ": 7"},
		{"", []string{"max_subscriptions", "max_subs"}, ": 7"},
		{"", []string{"max_sub_tokens", "max_subscription_tokens"}, ": 7"},
		{"", []string{"disable_sublist_cache", "no_sublist_cache"}, ": true"},
		{"", []string{"mappings", "maps"}, " { a: b }"},
		{"accounts { S {} }\n", []string{"system_account", "system"}, ": S"},
		{"", []string{"no_system_account", "no_system", "no_sys_acc"}, ": true"},
		{"", []string{"http_port", "monitor_port"}, ": 7"},
		{"", []string{"pid_file", "pidfile"}, ": p"},
		{"", []string{"log_file", "logfile"}, ": l"},
		{"", []string{"log_size_limit", "logfile_size_limit"}, ": 7"},
		{"", []string{"log_max_num", "logfile_max_num"}, ": 7"},
		{"authorization { pass: p, ", []string{"user", "username"}, ": u }"},
		{"authorization { user: u, ", []string{"pass", "password"}, ": p }"},
		{"authorization { users: [{user: u, password: p}], ", []string{"default_permissions", "default_permission", "permissions"}, ": {publish: x} }"},
		{"authorization { users: [ {pass: p, ", []string{"user", "username"}, ": u} ] }"},
		{"authorization { users: [ {user: u, ", []string{"pass", "password"}, ": p} ] }"},
		{"authorization { users: [ {user: u, ", []string{"permissions", "permission", "authorization"}, ": {publish: x}} ] }"},
		{"authorization { users: [ {user: u, ", []string{"allowed_connection_types", "connection_types", "clients"}, ": [STANDARD]} ] }"},
		{"", []string{user("permissions: {publish: x}"), user("permissions: {pub: x}"), user("permissions: {import: x}")}, ""},
		{"", []string{user("permissions: {subscribe: x}"), user("permissions: {sub: x}"), user("permissions: {export: x}")}, ""},
		{"", []string{user("permissions: {allow_responses: true}"), user("permissions: {publish_allow_responses: true}")}, ""},
		{"", []string{
			user("permissions: {allow_responses: {max: 3}}"), user("permissions: {allow_responses: {max_msgs: 3}}"),
			user("permissions: {allow_responses: {max_messages: 3}}"), user("permissions: {allow_responses: {max_responses: 3}}"),
		}, ""},
		{"", []string{
			user("permissions: {allow_responses: {expires: \"3s\"}}"), user("permissions: {allow_responses: {expiration: \"3s\"}}"),
			user("permissions: {allow_responses: {ttl: \"3s\"}}"),
		}, ""},
		{"", []string{account("mappings: {a: b}"), account("maps: {a: b}")}, ""},
		{"", []string{account("mappings: {a: {dest: b, weight: 5}}"), account("mappings: {a: {destination: b, weight: \"5%\"}}")}, ""},
		{"", []string{account("limits: {max_connections: 1}"), account("limits: {max_conn: 1}")}, ""},
		{"", []string{account("limits: {max_subscriptions: 1}"), account("limits: {max_subs: 1}")}, ""},
		{"", []string{account("limits: {max_payload: 1}"), account("limits: {max_pay: 1}")}, ""},
		{"", []string{account("limits: {max_leafnodes: 1}"), account("limits: {max_leafs: 1}")}, ""},
		{"", []string{account("exports: [{service: s, response: stream}]"), account("exports: [{service: s, response_type: stream}]")}, ""},
		{"", []string{account("exports: [{service: s, response: single}]"), account("exports: [{service: s, response: singleton}]")}, ""},
		{"", []string{account("exports: [{service: s, response: chunk}]"), account("exports: [{service: s, response: chunked}]")}, ""},
		{"", []string{
			account("exports: [{service: s, threshold: \"3s\"}]"), account("exports: [{service: s, response_threshold: \"3s\"}]"),
			account("exports: [{service: s, response_max_time: \"3s\"}]"), account("exports: [{service: s, response_time: \"3s\"}]"),
		}, ""},
		{"tls { cert_file: cert.pem, key_file: key.pem, ", []string{"handshake_first", "first", "immediate"}, ": true }"},
		{"tls { ", []string{"certs", "certificates"}, ": [ {cert_file: cert.pem, key_file: key.pem} ] }"},
	} {
		var first *Options
		stated := ""
		for _, name := range tc.names {
			o := &Options{}
			require.NoError(t, o.ProcessConfigString(tc.before+name+tc.after), name)
			accounts := describe(o.Accounts)
			if stated == "" {
				stated = accounts
			}
			require.Equal(t, stated, accounts, name)
			o.inFile, o.ConfigFile, o.digest = nil, "", ""
			for _, u := range o.Users {
				u.Account = nil
			}
			if first == nil {
				first = o
				require.NotEqual(t, &Options{}, first, "%s has an effect", name)
				first.Accounts = nil
				continue
			}
			o.Accounts = nil
			require.Equal(t, first, o, name)
		}
	}
}

// describe tells what accounts are, apart from where they lie in memory.
func describe(accounts []*account.Account) string {
	out := fmt.Sprintln(len(accounts))
	for _, a := range accounts {
		g := a.Graph()
		out += fmt.Sprintf("%s %+v\n", a.Name, a.Limits())
		for _, e := range g.ServiceExports {
			out += fmt.Sprintln("service", e.Subject, e.Response, e.Threshold)
		}
		if g.Mappings == nil {
			continue
		}
		rnd := rand.New(rand.NewPCG(1, 2))
		for range 100 {
			dest, drop := g.Mappings.Choose("a", "", rnd)
			out += fmt.Sprintln(dest, drop)
		}
	}
	return out
}
