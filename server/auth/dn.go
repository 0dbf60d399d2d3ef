package auth

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// dn is a distinguished name in the order that text has: most significant last.
type dn []rdn

// rdn is one part of a name: an attribute, or several that count as one, sorted.
type rdn []attribute

type attribute struct {
	oid   string // dotted
	value string
}

// attributeOIDs are the attribute types that have short names.
var attributeOIDs = map[string]string{
	"CN": "2.5.4.3", "SERIALNUMBER": "2.5.4.5", "C": "2.5.4.6", "L": "2.5.4.7", "ST": "2.5.4.8",
	"STREET": "2.5.4.9", "O": "2.5.4.10", "OU": "2.5.4.11", "POSTALCODE": "2.5.4.17",
	"DC": "0.9.2342.19200300.100.1.25",
}

func (n dn) equal(o dn) bool { return slices.EqualFunc(n, o, slices.Equal[rdn]) }

// equalAnyOrder tells whether both names have the same parts.
func (n dn) equalAnyOrder(o dn) bool {
	if len(n) != len(o) {
		return false
	}
	rest := slices.Clone(o)
	for _, part := range n {
		i := slices.IndexFunc(rest, func(other rdn) bool { return slices.Equal(part, other) })
		if i < 0 {
			return false
		}
		rest = slices.Delete(rest, i, i+1)
	}
	return true
}

func sortRDN(r rdn) {
	//lockstep:total attributes that compare equal are the same
	slices.SortFunc(r, func(a, b attribute) int {
		if c := strings.Compare(a.oid, b.oid); c != 0 {
			return c
		}
		return strings.Compare(a.value, b.value)
	})
}

// dnOfCertificate reads the subject of a certificate; a subject that cannot be read
// is empty.
func dnOfCertificate(raw []byte) dn {
	var seq pkix.RDNSequence
	if rest, err := asn1.Unmarshal(raw, &seq); err != nil || len(rest) > 0 {
		return nil
	}
	name := make(dn, 0, len(seq))
	for _, set := range slices.Backward(seq) {
		var part rdn
		for _, attr := range set {
			part = append(part, attribute{attr.Type.String(), fmt.Sprint(attr.Value)})
		}
		sortRDN(part)
		name = append(name, part)
	}
	return name
}

// parseDN reads the text form of a name as RFC 4514 defines it: parts separated by
// ',', attributes of one part by '+', special characters escaped by '\' or as hex
// pairs, and values in hex after '#'. Types are short names in any case, or dotted.
func parseDN(s string) (dn, error) {
	p := dnParser{rest: s}
	var name dn
	for {
		part, err := p.part()
		if err != nil {
			return nil, err
		}
		name = append(name, part)
		if p.rest == "" {
			return name, nil
		}
		p.rest = p.rest[1:] // the comma
	}
}

type dnParser struct{ rest string }

func (p *dnParser) part() (rdn, error) {
	var part rdn
	for {
		attr, err := p.attribute()
		if err != nil {
			return nil, err
		}
		part = append(part, attr)
		if p.rest == "" || p.rest[0] == ',' {
			sortRDN(part)
			return part, nil
		}
		p.rest = p.rest[1:] // the plus
	}
}

func (p *dnParser) attribute() (attribute, error) {
	kind, rest, ok := strings.Cut(p.rest, "=")
	if !ok {
		return attribute{}, errors.New("distinguished name: '=' is missing")
	}
	kind = strings.TrimSpace(kind)
	oid := attributeOIDs[strings.ToUpper(kind)]
	if oid == "" && dotted(kind) {
		oid = kind
	}
	if oid == "" {
		return attribute{}, fmt.Errorf("distinguished name: attribute type %q is not known", kind)
	}
	p.rest = strings.TrimLeft(rest, " ")
	if strings.HasPrefix(p.rest, "#") {
		value, err := p.encoded()
		return attribute{oid, value}, err
	}
	value, err := p.value()
	return attribute{oid, value}, err
}

func dotted(s string) bool {
	for i := range len(s) {
		if (s[i] < '0' || s[i] > '9') && s[i] != '.' {
			return false
		}
	}
	return strings.Contains(s, ".")
}

// encoded is a value written as the hex of its encoding.
func (p *dnParser) encoded() (string, error) {
	end := strings.IndexAny(p.rest, ",+")
	if end < 0 {
		end = len(p.rest)
	}
	raw, err := hex.DecodeString(strings.TrimRight(p.rest[1:end], " "))
	if err != nil {
		return "", fmt.Errorf("distinguished name: value in hex: %w", err)
	}
	var value any
	if rest, err := asn1.Unmarshal(raw, &value); err != nil || len(rest) > 0 {
		return "", errors.New("distinguished name: the hex is not one encoded value")
	}
	p.rest = p.rest[end:]
	return fmt.Sprint(value), nil
}

// value is a value written as text, up to the next separator. Blanks around it that
// are not escaped do not count.
func (p *dnParser) value() (string, error) {
	var b []byte
	keep := 0 // what trimming must leave
	for p.rest != "" && p.rest[0] != ',' && p.rest[0] != '+' {
		c := p.rest[0]
		switch {
		case c == '\\':
			one, err := p.escaped()
			if err != nil {
				return "", err
			}
			b = append(b, one)
			keep = len(b)
			continue
		case strings.IndexByte("\"<>;\x00", c) >= 0:
			return "", fmt.Errorf("distinguished name: %q must be escaped", c)
		case c != ' ':
			keep = len(b) + 1
		}
		b = append(b, c)
		p.rest = p.rest[1:]
	}
	return string(b[:keep]), nil
}

// escaped is the byte after a backslash.
func (p *dnParser) escaped() (byte, error) {
	after := p.rest[1:]
	if after != "" && strings.IndexByte(" \"#+,;<=>\\", after[0]) >= 0 {
		p.rest = after[1:]
		return after[0], nil
	}
	if len(after) >= 2 {
		if raw, err := hex.DecodeString(after[:2]); err == nil {
			p.rest = after[2:]
			return raw[0], nil
		}
	}
	return 0, errors.New(`distinguished name: a backslash escapes a special character or two hex digits`)
}
