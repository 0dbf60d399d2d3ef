package account

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/subject"
)

func TestPairingPublished(t *testing.T) {
	for _, tc := range []struct {
		local, remote string
		published     string // in the exporting account
		want          string // as the importing account sees it
		pattern       string // local, without references
		mode          int    // of the way there
	}{
		{"a.b", "a.b", "a.b", "a.b", "a.b", rewriteSame},
		{"a.*", "a.*", "a.x", "a.x", "a.*", rewriteSame},
		{"p.q.a.>", "a.>", "a.x.y", "p.q.a.x.y", "p.q.a.>", rewritePrefix},
		{"p.*.>", "*.>", "x.y.z", "p.x.y.z", "p.*.>", rewritePrefix},
		{"a.>", "p.a.>", "p.a.x.y", "a.x.y", "a.>", rewriteCut},
		{"one", "two", "two", "one", "one", rewriteLiteral},
		{"x.$1", "priv.*", "priv.y", "x.y", "x.*", rewriteTokens},
		{"x.{{wildcard(1)}}", "priv.*", "priv.y", "x.y", "x.*", rewriteTokens},
		{"x.{{ Wildcard( 1 ) }}", "priv.*", "priv.y", "x.y", "x.*", rewriteTokens},
		{"x.*.y.>", "priv.*.>", "priv.1.2.3", "x.1.y.2.3", "x.*.y.>", rewriteTokens},
		{"$2.$1", "*.*", "1.2", "2.1", "*.*", rewriteTokens},
		{"x.$1.$1", "a.*", "a.1", "x.1.1", "x.*.*", rewriteTokens},
		{"$SYS.REQ", "a", "a", "$SYS.REQ", "$SYS.REQ", rewriteLiteral},
	} {
		t.Run(tc.local+" from "+tc.remote, func(t *testing.T) {
			p, err := pairSubjects(tc.local, tc.remote, false)
			require.NoError(t, err)
			require.Equal(t, tc.want, string(p.toLocal.append(nil, []byte(tc.published))))
			require.Equal(t, tc.pattern, strings.Join(p.local, "."))
			require.Equal(t, tc.mode, p.toLocal.mode)
		})
	}
}

func TestShadowSubject(t *testing.T) {
	for _, tc := range []struct {
		local, remote string
		sub           string
		want          string // "" for none
	}{
		{"p.a.>", "a.>", "p.a.x", "a.x"},
		{"p.a.>", "a.>", "p.>", "a.>"},
		{"p.a.>", "a.>", ">", "a.>"},
		{"p.a.>", "a.>", "p.*.*", "a.*"},
		{"p.a.>", "a.>", "p.a.*.>", "a.*.>"},
		{"p.a.>", "a.>", "p.a", ""},
		{"p.a.>", "a.>", "q.>", ""},
		{"p.a.>", "a.>", "p.b.x", ""},
		{"x.$1", "priv.*", "x.y", "priv.y"},
		{"x.$1", "priv.*", "x.*", "priv.*"},
		{"x.$1", "priv.*", "x.>", "priv.*"},
		{"x.$1", "priv.*", "x.y.z", ""},
		{"$2.$1.>", "*.*.>", "a.*.c.>", "*.a.c.>"},
		{"x.$1.$1", "a.*", "x.1.*", "a.1"},
		{"x.$1.$1", "a.*", "x.*.1", "a.1"},
		{"x.$1.$1", "a.*", "x.1.2", ""},
		{"x.$1.$1", "a.*", "x.>", "a.*"},
		{"b", "a", "*", "a"},
		{"b", "a", "c", ""},
	} {
		t.Run(tc.sub+" through "+tc.local, func(t *testing.T) {
			p, err := pairSubjects(tc.local, tc.remote, false)
			require.NoError(t, err)
			got, ok := p.shadow(tc.sub)
			require.Equal(t, tc.want, got)
			require.Equal(t, tc.want != "", ok)
		})
	}
}

func TestAppendTarget(t *testing.T) {
	a, b, _ := three()
	require.NoError(t, a.AddServiceExport(">", nil))
	for _, tc := range []struct {
		from, to, requested, want string // want "" for not covered
	}{
		{"mine.*", "svc.*", "mine.q", "svc.q"},
		{"m2.$2.$1", "svc.*.*", "m2.1.2", "svc.2.1"},
		{"m3.*.*", "svc.$2.$1", "m3.1.2", "svc.2.1"},
		{"m4.>", "svc.>", "m4.a.b", "svc.a.b"},
		{"m5.*", "literal", "m5.x", "literal"},
		{"m6.>", "literal", "m6.x.y", "literal"},
		{"uno", "one", "uno", "one"},
		{"same.>", "", "same.x", "same.x"},
		{"m7.*", "svc.*", "m7.x.y", ""},
		{"m8.*", "svc.*", "m8", ""},
		{"strip.a.>", "a.>", "strip.a.b", "a.b"},
	} {
		t.Run(tc.from+" to "+tc.to, func(t *testing.T) {
			require.NoError(t, b.AddServiceImport(a, tc.from, tc.to))
			list := b.Graph().ServiceImports
			got, ok := list[len(list)-1].AppendTarget([]byte("> "), []byte(tc.requested))
			require.Equal(t, "> "+tc.want, string(got))
			require.Equal(t, tc.want != "", ok)
		})
	}
}

var tokenNames = []string{"a", "b", "c"}

// drawPair draws the two subjects of an import, and the remote one without references.
func drawPair(t *rapid.T) (local, remote string) {
	var r []string
	stars := 0
	for range rapid.IntRange(1, 4).Draw(t, "remote tokens") {
		tok := rapid.SampledFrom(append([]string{"*"}, tokenNames...)).Draw(t, "remote token")
		if tok == "*" {
			stars++
		}
		r = append(r, tok)
	}
	var l []string
	order := rapid.Permutation([]string{"$1", "$2", "$3", "$4"}[:stars]).Draw(t, "references")
	for _, ref := range order {
		for range rapid.IntRange(0, 2).Draw(t, "literals") {
			l = append(l, rapid.SampledFrom(tokenNames).Draw(t, "local token"))
		}
		l = append(l, ref)
		if rapid.IntRange(0, 5).Draw(t, "again") == 0 {
			l = append(l, ref)
		}
	}
	if len(l) == 0 {
		l = append(l, rapid.SampledFrom(tokenNames).Draw(t, "local token"))
	}
	if rapid.Bool().Draw(t, "tail") {
		l, r = append(l, ">"), append(r, ">")
	}
	return strings.Join(l, "."), strings.Join(r, ".")
}

func drawSubject(t *rapid.T, what string, wildcards bool) string {
	var s []string
	n := rapid.IntRange(1, 5).Draw(t, what)
	for i := range n {
		names := tokenNames
		if wildcards {
			names = append([]string{"*"}, names...)
			if i == n-1 {
				names = append([]string{">"}, names...)
			}
		}
		s = append(s, rapid.SampledFrom(names).Draw(t, what))
	}
	return strings.Join(s, ".")
}

// naiveLocal is what the importer sees of a message on published, spelled out
// token by token; false when the import does not cover it.
func naiveLocal(local, remote, published string) (string, bool) {
	r, p := strings.Split(remote, "."), strings.Split(published, ".")
	var wild, rest []string
	for i, tok := range r {
		switch {
		case tok == ">" && i < len(p):
			rest = p[i:]
			p = p[:i]
			r = r[:i]
		case i >= len(p) || tok != "*" && tok != p[i]:
			return "", false
		case tok == "*":
			wild = append(wild, p[i])
		}
	}
	if len(r) != len(p) {
		return "", false
	}
	var out []string
	for _, tok := range strings.Split(local, ".") {
		switch {
		case tok == ">":
			out = append(out, rest...)
		case tok[0] == '$':
			out = append(out, wild[tok[1]-'1'])
		default:
			out = append(out, tok)
		}
	}
	return strings.Join(out, "."), true
}

// A message reaches a local subscription exactly when the import covers it and the
// subject it is seen under matches.
func TestPropertyShadow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		local, remote := drawPair(t)
		sub := drawSubject(t, "sub", true)
		published := drawSubject(t, "published", false)
		if rapid.Bool().Draw(t, "fit") { // a random subject seldom matches
			published = fit(t, remote)
		}
		p, err := pairSubjects(local, remote, false)
		require.NoError(t, err)
		seen, covered := naiveLocal(local, remote, published)
		want := covered && subject.Matches(seen, sub)
		shadow, ok := p.shadow(sub)
		require.Equal(t, want, ok && subject.Matches(published, shadow),
			"%s of %s seen as %q by %s, shadow %q", published, remote, seen, sub, shadow)
		if ok {
			require.True(t, subject.SubsetOf(shadow, remote), "shadow %q leaves %q", shadow, remote)
		}
		if covered {
			require.Equal(t, seen, string(p.toLocal.append(nil, []byte(published))))
		}
	})
}

// fit draws a subject that matches pattern.
func fit(t *rapid.T, pattern string) string {
	tokens := strings.Split(pattern, ".")
	for i, tok := range tokens {
		switch tok {
		case "*":
			tokens[i] = rapid.SampledFrom(tokenNames).Draw(t, "fit")
		case ">":
			tokens[i] = drawSubject(t, "fit", false)
		}
	}
	return strings.Join(tokens, ".")
}

// A request reaches the subject that, seen the other way round, is its own.
func TestPropertyTargetInvertsLocal(t *testing.T) {
	a, b, _ := three()
	require.NoError(t, a.AddServiceExport(">", nil))
	rapid.Check(t, func(t *rapid.T) {
		local, remote := drawPair(t)
		require.NoError(t, b.AddServiceImport(a, local, remote))
		i := b.Graph().ServiceImports[0]
		defer b.RemoveServiceImport(a, i.From)
		target := fit(t, remote)
		requested, ok := naiveLocal(local, remote, target)
		require.True(t, ok)
		got, ok := i.AppendTarget(nil, []byte(requested))
		require.True(t, ok)
		require.Equal(t, target, string(got))
	})
}

func FuzzPairing(f *testing.F) {
	f.Add("x.$2.$1.>", "a.*.*.>", "x.*.b.>", "a.1.2.3")
	f.Add("x.{{wildcard(1)}}", "*", ">", "b")
	f.Add("{{", "}}", ".", "")
	f.Add("$1", "$1", "$1", "$1")
	f.Add("$99999999999999999999.{{wildcard(-1)}}", "*.*", "*", "a")
	f.Fuzz(func(t *testing.T, local, remote, sub, published string) {
		for _, lossy := range []bool{false, true} {
			p, err := pairSubjects(local, remote, lossy)
			if err != nil {
				continue
			}
			if validPattern(sub) {
				p.shadow(sub)
			}
			p.toLocal.append(nil, []byte(published))
			p.toRemote.append(nil, []byte(published))
		}
	})
}

func TestRewriteAllocates(t *testing.T) {
	a, b, _ := three()
	require.NoError(t, a.AddStreamExport(">", nil))
	require.NoError(t, a.AddServiceExport(">", nil))
	require.NoError(t, b.AddMappedStreamImport(a, "a.*.*.>", "x.$2.$1.>"))
	require.NoError(t, b.AddServiceImport(a, "y.$2.$1.>", "a.*.*.>"))
	stream, service := b.Graph().StreamImports[0], b.Graph().ServiceImports[0]
	published, requested, dst := []byte("a.1.2.3.4"), []byte("y.1.2.3.4"), make([]byte, 0, 64)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		dst = stream.AppendLocal(dst[:0], published)
		dst, _ = service.AppendTarget(dst[:0], requested)
	}))
	require.Equal(t, "a.2.1.3.4", string(dst))
}

func BenchmarkAppendLocal(b *testing.B) {
	for _, to := range []struct{ kind, subject string }{{"same", "a.*.>"}, {"prefix", "p.a.*.>"}, {"tokens", "x.*.y.>"}} {
		b.Run("kind="+to.kind, func(b *testing.B) {
			p, err := pairSubjects(to.subject, "a.*.>", false)
			require.NoError(b, err)
			published, dst := []byte("a.orders.eu.1234"), make([]byte, 0, 64)
			b.ReportAllocs()
			for b.Loop() {
				dst = p.toLocal.append(dst[:0], published)
			}
		})
	}
}
