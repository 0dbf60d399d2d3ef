package auth

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestParseDN(t *testing.T) {
	const cn, o, dc = "2.5.4.3", "2.5.4.10", "0.9.2342.19200300.100.1.25"
	for _, tc := range []struct {
		text string
		want dn // nil for refused
	}{
		{"CN=bob", dn{{{cn, "bob"}}}},
		{"cn = bob , O=Acme Inc ", dn{{{cn, "bob"}}, {{o, "Acme Inc"}}}},
		{"CN=bob,DC=acme,DC=com", dn{{{cn, "bob"}}, {{dc, "acme"}}, {{dc, "com"}}}},
		{"O=Acme+CN=bob", dn{{{o, "Acme"}, {cn, "bob"}}}},
		{"CN=bob+O=Acme", dn{{{o, "Acme"}, {cn, "bob"}}}},
		{"2.5.4.3=bob", dn{{{cn, "bob"}}}},
		{"CN=", dn{{{cn, ""}}}},
		{`CN=a\,b\+c\=d\\\"`, dn{{{cn, `a,b+c=d\"`}}}},
		{`CN=\ a\ `, dn{{{cn, " a "}}}},
		{`CN=\C3\BC`, dn{{{cn, "ü"}}}},
		{"CN=a=b", dn{{{cn, "a=b"}}}},
		{"CN=#0c03626f62", dn{{{cn, "bob"}}}},
		{`CN=\#x`, dn{{{cn, "#x"}}}},
		{"", nil},
		{"bob", nil},
		{"CN=bob,", nil},
		{"CN=bob+", nil},
		{"XX=bob", nil},
		{"=bob", nil},
		{"254=bob", nil},
		{`CN=a"b`, nil},
		{"CN=a;b", nil},
		{`CN=\`, nil},
		{`CN=\x`, nil},
		{`CN=\g0`, nil},
		{"CN=#0c", nil},
		{"CN=#zz", nil},
		{"CN=#0c03626f6200", nil},
		{"CN=#", nil},
	} {
		t.Run(tc.text, func(t *testing.T) {
			got, err := parseDN(tc.text)
			require.Equal(t, tc.want, got)
			require.Equal(t, tc.want == nil, err != nil)
		})
	}
}

// write is the text of a name, with every byte of the values as a hex pair or as it is.
func write(n dn, hex func() bool) string {
	var parts []string
	for _, part := range n {
		var attrs []string
		for _, a := range part {
			var b strings.Builder
			for i := range len(a.value) {
				switch c := a.value[i]; {
				case hex() || c >= 0x80 || c < ' ':
					fmt.Fprintf(&b, `\%02x`, c)
				case strings.IndexByte(" \"#+,;<=>\\", c) >= 0:
					b.WriteString(`\` + string(c))
				default:
					b.WriteByte(c)
				}
			}
			attrs = append(attrs, a.oid+"="+b.String())
		}
		parts = append(parts, strings.Join(attrs, "+"))
	}
	return strings.Join(parts, ",")
}

func TestPropertyDN(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var n dn
		for range rapid.IntRange(1, 4).Draw(t, "parts") {
			var part rdn
			for range rapid.IntRange(1, 3).Draw(t, "attributes") {
				part = append(part, attribute{
					rapid.SampledFrom([]string{"2.5.4.3", "2.5.4.10", "1.2.3"}).Draw(t, "type"), rapid.String().Draw(t, "value"),
				})
			}
			sortRDN(part)
			n = append(n, part)
		}
		text := write(n, func() bool { return rapid.Bool().Draw(t, "hex") })
		got, err := parseDN(text)
		require.NoError(t, err, text)
		require.True(t, n.equal(got), "%q", text)
		shuffled := dn(rapid.Permutation(n).Draw(t, "order"))
		require.True(t, n.equalAnyOrder(shuffled))
		require.True(t, shuffled.equalAnyOrder(n))
		require.False(t, n.equalAnyOrder(append(shuffled, n[0])))
	})
}

func FuzzParseDN(f *testing.F) {
	for _, s := range []string{"CN=bob,O=Acme", `cn=\C3\BC+O=#0c03626f62`, `CN=\`, "CN=#30803080", ",,,", "+=+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := parseDN(s)
		if err != nil {
			require.Nil(t, n)
			return
		}
		again, err := parseDN(write(n, func() bool { return false }))
		require.NoError(t, err)
		require.True(t, n.equal(again), "%q", s)
	})
}

func FuzzCertificateSubject(f *testing.F) {
	f.Add([]byte{0x30, 0x00})
	f.Add([]byte{0x30, 0x0e, 0x31, 0x0c, 0x30, 0x0a, 0x06, 0x03, 0x55, 0x04, 0x03, 0x0c, 0x03, 'b', 'o', 'b'})
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, part := range dnOfCertificate(raw) {
			for _, a := range part {
				require.NotEmpty(t, a.oid)
			}
		}
	})
}
