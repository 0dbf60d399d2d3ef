package auth

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"math/big"
	"net/url"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/wire"
)

// certificate signs a certificate of itself.
func certificate(t *testing.T, template *x509.Certificate) *tls.ConnectionState {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template.SerialNumber = big.NewInt(1)
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return &tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}}
}

func bob() pkix.Name {
	return pkix.Name{CommonName: "bob", OrganizationalUnit: []string{"Dev"}, Organization: []string{"Acme"}, Country: []string{"US"}}
}

// ordered is a subject whose parts are in the order given, least significant last.
func ordered(t *testing.T, parts ...pkix.AttributeTypeAndValue) []byte {
	var seq pkix.RDNSequence
	for _, p := range parts {
		seq = append(seq, pkix.RelativeDistinguishedNameSET{p})
	}
	raw, err := asn1.Marshal(seq)
	require.NoError(t, err)
	return raw
}

func TestTLSMap(t *testing.T) {
	uri, err := url.Parse("spiffe://acme/bob")
	require.NoError(t, err)
	cn := pkix.AttributeTypeAndValue{Type: asn1.ObjectIdentifier{2, 5, 4, 3}, Value: "bob"}
	com := pkix.AttributeTypeAndValue{Type: oidDomainComponent, Value: "com"}
	acme := pkix.AttributeTypeAndValue{Type: oidDomainComponent, Value: "acme"}
	full := &x509.Certificate{Subject: bob(), EmailAddresses: []string{"bob@acme.com"}, DNSNames: []string{"bob.acme.com"}, URIs: []*url.URL{uri}}
	dcs := &x509.Certificate{RawSubject: ordered(t, com, acme, cn)}
	for _, tc := range []struct {
		name  string
		cert  *x509.Certificate
		users []string
		want  string // "" for refused
	}{
		{"mail first", full, []string{"spiffe://acme/bob", "bob.acme.com", "bob@acme.com", "CN=bob,OU=Dev,O=Acme,C=US"}, "bob@acme.com"},
		{"host next", full, []string{"spiffe://acme/bob", "bob.acme.com", "CN=bob,OU=Dev,O=Acme,C=US"}, "bob.acme.com"},
		{"URI next", full, []string{"CN=bob,OU=Dev,O=Acme,C=US", "spiffe://acme/bob"}, "spiffe://acme/bob"},
		{"subject last", full, []string{"CN=bob,OU=Dev,O=Acme,C=US"}, "CN=bob,OU=Dev,O=Acme,C=US"},
		{"bare common name", full, []string{"bob", "CN=bob"}, ""},
		{"same order wins", full, []string{"C=US,O=Acme,OU=Dev,CN=bob", "cn=bob, ou=Dev, o=Acme, c=US"}, "cn=bob, ou=Dev, o=Acme, c=US"},
		{"any order", full, []string{"O=Acme,C=US,CN=bob,OU=Dev"}, "O=Acme,C=US,CN=bob,OU=Dev"},
		{"values have case", full, []string{"CN=Bob,OU=Dev,O=Acme,C=US"}, ""},
		{"one part more", full, []string{"CN=bob,OU=Dev,O=Acme,C=US,L=X"}, ""},
		{"one part less", full, []string{"CN=bob,OU=Dev,O=Acme"}, ""},
		{"domain components", dcs, []string{"CN=bob,DC=acme,DC=com"}, "CN=bob,DC=acme,DC=com"},
		{"domain components in any order", dcs, []string{"CN=bob,DC=com,DC=acme"}, "CN=bob,DC=com,DC=acme"},
		{"text without domain components", dcs, []string{"CN=bob"}, "CN=bob"},
		{"nothing in the certificate", &x509.Certificate{}, []string{"", "bob"}, ""},
		{"host only", &x509.Certificate{DNSNames: []string{"a", "b"}}, []string{"b"}, "b"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cfg := Config{TLSMap: true}
			for _, name := range tc.users {
				cfg.Users = append(cfg.Users, &User{Username: name})
			}
			id, err := newTable(t, cfg).Authenticate(Request{Connect: &wire.Connect{}, TLS: certificate(t, tc.cert), ConnType: Standard})
			require.Equal(t, tc.want, id.Name)
			require.Equal(t, tc.want == "", err != nil)
		})
	}
}

func TestTLSMapRules(t *testing.T) {
	state := certificate(t, &x509.Certificate{Subject: bob(), DNSNames: []string{"first", "second"}})
	table := newTable(t, Config{TLSMap: true, NoAuthUser: "second", Users: []*User{
		{Username: "first", AllowedConnectionTypes: types(WebSocket)},
		{Username: "second"},
		{Username: "px", ProxyRequired: true},
	}})
	id, err := table.Authenticate(Request{Connect: &wire.Connect{Username: "first"}, TLS: state, ConnType: Standard})
	require.NoError(t, err)
	require.Equal(t, "second", id.Name, "a candidate that may not connect in this way is passed over")
	require.Equal(t, `User "first" found in connect proto, but user required from cert`, id.Warning)
	id, err = table.Authenticate(Request{Connect: &wire.Connect{}, TLS: state, ConnType: WebSocket})
	require.NoError(t, err)
	require.Equal(t, "first", id.Name)
	require.Empty(t, id.Warning)

	_, err = table.Authenticate(Request{Connect: &wire.Connect{}, ConnType: Standard})
	require.Error(t, err, "no_auth_user does not replace a certificate")
	_, err = table.Authenticate(Request{Connect: &wire.Connect{}, TLS: &tls.ConnectionState{}, ConnType: Standard})
	require.Error(t, err)
	var refusal *Error
	_, err = table.Authenticate(Request{Connect: &wire.Connect{Username: "x"}, TLS: certificate(t, &x509.Certificate{DNSNames: []string{"px"}}), ConnType: Standard})
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, ProxyRequired, refusal.Kind)
	require.NotEmpty(t, refusal.Warning)

	secret := newTable(t, Config{TLSMap: true, Users: []*User{{Username: "first", Password: "p"}}})
	id, err = secret.Authenticate(Request{Connect: &wire.Connect{Username: "x", Password: "p"}, TLS: state, ConnType: Standard})
	require.NoError(t, err)
	require.Equal(t, "first", id.Name)
	_, err = secret.Authenticate(Request{Connect: &wire.Connect{}, TLS: state, ConnType: Standard})
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, "wrong password", refusal.Reason)
	require.Equal(t, `User "first"`, refusal.Who)

	plain := table.WithTLSMap(false)
	_, err = plain.Authenticate(Request{Connect: &wire.Connect{Username: "second"}, TLS: state, ConnType: Standard})
	require.ErrorAs(t, err, &refusal)
	require.Equal(t, "user has no password and is for certificates only", refusal.Reason)
	id, err = plain.Authenticate(Request{Connect: &wire.Connect{}, ConnType: Standard})
	require.NoError(t, err)
	require.True(t, id.NoAuth)
}
