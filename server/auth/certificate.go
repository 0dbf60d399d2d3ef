package auth

import (
	"crypto/x509"
	"encoding/asn1"
	"fmt"
	"strings"
)

// certificate lets the first certificate of the peer decide who it is. A password
// that the user has must be given all the same.
func (t *Table) certificate(r Request, proxied bool) (Identity, *Error) {
	id, err := t.certified(r, proxied)
	warning := ""
	if name := r.Connect.Username; name != "" {
		warning = fmt.Sprintf("User %q found in connect proto, but user required from cert", name)
	}
	if err != nil {
		err.Warning = warning
		return Identity{}, err
	}
	id.Warning = warning
	return id, nil
}

func (t *Table) certified(r Request, proxied bool) (Identity, *Error) {
	if r.TLS == nil || len(r.TLS.PeerCertificates) == 0 {
		return Identity{}, refuse("User required in cert, no certificate was presented")
	}
	e, reason := t.fromCertificate(r.TLS.PeerCertificates[0], r.ConnType)
	switch {
	case e == nil:
		return Identity{}, refuse(reason)
	case e.user.ProxyRequired && !proxied:
		return Identity{}, e.named(proxyRequired())
	case !matches(e.user.Password, r.Connect.Password):
		return Identity{}, e.named(refuse("wrong password"))
	}
	return e.identity(), nil
}

// fromCertificate finds the user that the certificate names and that may connect
// in this way, or tells why there is none.
func (t *Table) fromCertificate(cert *x509.Certificate, connType string) (*userEntry, string) {
	name, subject := subjectOf(cert)
	if len(cert.EmailAddresses)+len(cert.DNSNames)+len(cert.URIs)+len(name) == 0 {
		return nil, "User required in cert, none found"
	}
	for _, candidate := range alternativeNames(cert) {
		if e := t.usable(t.users[candidate], connType); e != nil {
			return e, ""
		}
	}
	for _, same := range []func(a, b dn) bool{dn.equal, dn.equalAnyOrder} {
		for _, e := range t.mapped {
			if same(e.name, name) && t.usable(e, connType) != nil {
				return e, ""
			}
		}
	}
	for _, candidate := range []string{subject + domainComponents(cert), subject} {
		if e := t.usable(t.users[candidate], connType); e != nil && candidate != "" {
			return e, ""
		}
	}
	return nil, fmt.Sprintf("User in cert [%q], not found", subject)
}

func (t *Table) usable(e *userEntry, connType string) *userEntry {
	if e == nil || !allowed(e.user.AllowedConnectionTypes, connType) {
		return nil
	}
	return e
}

// alternativeNames of the certificate: mail addresses, then host names, then URIs.
func alternativeNames(cert *x509.Certificate) []string {
	names := append(append([]string(nil), cert.EmailAddresses...), cert.DNSNames...)
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	return names
}

// subjectOf is the certificate's subject, structured, and as text with the most
// significant part last.
func subjectOf(cert *x509.Certificate) (dn, string) {
	return dnOfCertificate(cert.RawSubject), cert.Subject.ToRDNSequence().String()
}

var oidDomainComponent = asn1.ObjectIdentifier{0, 9, 2342, 19200300, 100, 1, 25}

// domainComponents is ",DC=x" for each domain component, in the certificate's order.
func domainComponents(cert *x509.Certificate) string {
	var b strings.Builder
	for _, attr := range cert.Subject.Names {
		if text, ok := attr.Value.(string); ok && attr.Type.Equal(oidDomainComponent) {
			b.WriteString(",DC=" + text)
		}
	}
	return b.String()
}
