package perm

import (
	"strings"
	"testing"
	"time"

	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func compile(t require.TestingT, p *Permissions) *Set {
	s, err := Compile(p)
	require.NoError(t, err)
	return s
}

func allow(entries ...string) *SubjectPermission { return &SubjectPermission{Allow: entries} }
func deny(entries ...string) *SubjectPermission  { return &SubjectPermission{Deny: entries} }

func TestPublish(t *testing.T) {
	responses := &ResponsePermission{}
	for _, tc := range []struct {
		name    string
		p       *Permissions
		subject string
		want    bool
	}{
		{"no permissions", nil, "foo", true},
		{"no lists", &Permissions{}, "foo", true},
		{"empty lists", &Permissions{Publish: &SubjectPermission{Allow: []string{}, Deny: []string{}}}, "foo", true},
		{"allowed", &Permissions{Publish: allow("foo")}, "foo", true},
		{"not allowed", &Permissions{Publish: allow("foo")}, "bar", false},
		{"allowed by *", &Permissions{Publish: allow("foo.*")}, "foo.a", true},
		{"* is one token", &Permissions{Publish: allow("foo.*")}, "foo.a.b", false},
		{"* is at least one token", &Permissions{Publish: allow("foo.*")}, "foo", false},
		{"allowed by >", &Permissions{Publish: allow("foo.>")}, "foo.a.b", true},
		{"> is at least one token", &Permissions{Publish: allow("foo.>")}, "foo", false},
		{"foo* is a literal", &Permissions{Publish: allow("foo*")}, "food", false},
		{"second branch", &Permissions{Publish: allow("a.b.c", "a.*.d")}, "a.b.d", true},
		{"wildcard published is text", &Permissions{Publish: allow("foo.*")}, "foo.>", true},
		{"wildcard published is no pattern", &Permissions{Publish: allow("foo.bar")}, "foo.*", false},
		{"denied", &Permissions{Publish: deny("foo")}, "foo", false},
		{"not denied", &Permissions{Publish: deny("foo")}, "bar", true},
		{"deny beats allow", &Permissions{Publish: &SubjectPermission{Allow: []string{"foo.>"}, Deny: []string{"foo.secret.*"}}}, "foo.secret.x", false},
		{"allowed beside a deny", &Permissions{Publish: &SubjectPermission{Allow: []string{"foo.>"}, Deny: []string{"foo.secret.*"}}}, "foo.x", true},
		{"subscribe lists do not matter", &Permissions{Subscribe: deny(">")}, "foo", true},
		{"empty token matches no allow", &Permissions{Publish: allow(">")}, "foo..bar", false},
		{"empty token at the start", &Permissions{Publish: allow(">")}, ".foo", false},
		{"empty token at the end", &Permissions{Publish: allow(">")}, "foo.", false},
		{"empty token matches no deny", &Permissions{Publish: deny(">")}, "foo..bar", true},
		{"empty subject matches no deny", &Permissions{Publish: deny(">")}, "", true},
		{"responses turn no list into nothing", &Permissions{Response: responses}, "foo", false},
		{"responses turn an empty list into nothing", &Permissions{Publish: &SubjectPermission{Allow: []string{}}, Response: responses}, "foo", false},
		{"responses turn a deny only into nothing", &Permissions{Publish: deny("foo"), Response: responses}, "bar", false},
		{"responses leave an allow", &Permissions{Publish: allow("foo"), Response: responses}, "foo", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := compile(t, tc.p)
			require.Equal(t, tc.want, s.CanPublish([]byte(tc.subject)))
			require.Equal(t, tc.want, s.CanPublishString(tc.subject))
			var c PubCache
			for range 3 {
				require.Equal(t, tc.want, c.Allows(s, []byte(tc.subject)))
			}
		})
	}
}

func TestSubscribe(t *testing.T) {
	mixed := &SubjectPermission{
		Allow: []string{"foo", "foo v1", "bar v2.*", "baz v.>", "*.x", "a.* q"},
		Deny:  []string{"a.b"},
	}
	for _, tc := range []struct {
		name       string
		p          *SubjectPermission
		sub, queue string
		ok, filter bool
	}{
		{"no lists", nil, "foo", "", true, false},
		{"empty lists", &SubjectPermission{Allow: []string{}}, "foo", "q", true, false},
		{"allowed", allow("foo"), "foo", "", true, false},
		{"not allowed", allow("foo"), "bar", "", false, false},
		{"unqualified allows every queue", allow("foo"), "foo", "q", true, false},
		{"wildcard as text, by *", allow("foo.*"), "foo.*", "", true, false},
		{"wildcard as text, by >", allow("foo.>"), "foo.*", "", true, false},
		{"> passes *", allow("foo.*"), "foo.>", "", true, false},
		{"wildcard is no pattern", allow("a.*.c"), "*.b.c", "", false, false},
		{"wider than allowed", allow("foo.*"), ">", "", false, false},

		{"plain beside a queue", mixed, "foo", "", true, false},
		{"the queue named", mixed, "foo", "v1", true, false},
		{"another queue", mixed, "foo", "v2", false, false},
		{"qualified only refuses plain", mixed, "bar", "", false, false},
		{"queue by *", mixed, "bar", "v2.a", true, false},
		{"queue shorter than *", mixed, "bar", "v2", false, false},
		{"queue by >", mixed, "baz", "v.a.b", true, false},
		{"queue shorter than >", mixed, "baz", "v", false, false},
		{"queue is text", mixed, "baz", "v.*", true, false},
		{"plain by wildcard", mixed, "k.x", "", true, false},
		{"plain deny beats a queue", mixed, "a.b", "q", false, false},
		{"queue by wildcard subject", mixed, "a.c", "q", true, false},
		{"two entries, queue named", mixed, "a.x", "q", true, false},
		{"two entries, other queue", mixed, "a.x", "r", false, false},
		{"two entries, plain", mixed, "a.x", "", true, false},

		{"denied", deny("foo"), "foo", "", false, false},
		{"denied with queue", deny("foo"), "foo", "q", false, false},
		{"deny as text", deny("foo.*"), "foo.*", "", false, false},
		{"> is denied by *", deny("foo.*"), "foo.>", "", false, false},
		{"deeper than the deny", deny("foo.*"), "foo.a.b", "", true, false},
		{"wider than the deny", deny("foo.bar"), "foo.*", "", true, true},
		{"crossing the deny", deny("foo.*"), "*.a", "", true, true},
		{"beside the deny", deny("foo.bar"), "baz.*", "", true, false},
		{"deny of a queue refuses it", deny("foo v1"), "foo", "v1", false, false},
		{"deny of a queue leaves plain", deny("foo v1"), "foo", "", true, false},
		{"deny of a queue leaves others", deny("foo v1"), "foo", "v2", true, false},
		{"deny of both refuses plain", deny("foo", "foo v1"), "foo", "", false, false},
		{"deny of both refuses the queue", deny("foo", "foo v1"), "foo", "v1", false, false},
		{"deny of both refuses other queues", deny("foo", "foo v1"), "foo", "v2", false, false},
		{"filter for the queue denied", deny("foo.bar v1"), "foo.*", "v1", true, true},
		{"no filter for other queues", deny("foo.bar v1"), "foo.*", "v2", true, false},
		{"no filter for plain", deny("foo.bar v1"), "foo.*", "", true, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			ok, filter := compile(t, &Permissions{Subscribe: tc.p}).CanSubscribe(tc.sub, tc.queue)
			require.Equal(t, tc.ok, ok)
			require.Equal(t, tc.filter, filter)
		})
	}
}

func TestDelivery(t *testing.T) {
	s := compile(t, &Permissions{Subscribe: deny("foo.bar v1", "foo.baz", "x.> q.*")})
	for _, tc := range []struct {
		name, subject, queue string
		denied               bool
	}{
		{"plain entry", "foo.baz", "", true},
		{"plain entry, queue", "foo.baz", "v9", true},
		{"queue entry, plain", "foo.bar", "", false},
		{"queue entry, that queue", "foo.bar", "v1", true},
		{"queue entry, other queue", "foo.bar", "v2", false},
		{"wildcards in both", "x.y.z", "q.1", true},
		{"wildcards in both, other queue", "x.y.z", "q", false},
		{"nothing", "foo", "", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.denied, s.DeniesDelivery([]byte(tc.subject), tc.queue))
		})
	}
	require.False(t, compile(t, nil).DeniesDelivery([]byte("foo"), ""))
}

func TestCompileErrors(t *testing.T) {
	pub := func(p *SubjectPermission) *Permissions { return &Permissions{Publish: p} }
	sub := func(p *SubjectPermission) *Permissions { return &Permissions{Subscribe: p} }
	for _, tc := range []struct {
		name string
		p    *Permissions
		err  string
	}{
		{"publish with queue", pub(allow("foo bar")), `subject "foo bar" is not a valid subject`},
		{"publish deny with queue", pub(deny("foo q")), `subject "foo q" is not a valid subject`},
		{"publish with tab", pub(allow("foo\tbar")), `subject "foo\tbar" is not a valid subject`},
		{"publish empty token", pub(allow("ok", "foo..bar")), `subject "foo..bar" is not a valid subject`},
		{"subscribe empty token", sub(allow("foo..bar")), `subject "foo..bar" is not a valid subject`},
		{"subscribe empty", sub(allow("")), `subject "" is not a valid subject`},
		{"subscribe leading blank", sub(allow(" foo")), `subject " foo" is not a valid subject`},
		{"subscribe three words", sub(allow("foo a b")), `subject "foo a b" is not a valid subject`},
		{"subscribe > inside", sub(deny("foo.>.x")), `subject "foo.>.x" is not a valid subject`},
		{"subscribe bad subject with queue", sub(allow("foo. q")), `subject "foo." is not a valid subject`},
		{"queue empty token", sub(allow("foo q..")), `queue "q.." is not a valid queue`},
		{"queue > inside", sub(allow("foo q.>.x")), `queue "q.>.x" is not a valid queue`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, err := Compile(tc.p)
			require.EqualError(t, err, tc.err)
			require.Nil(t, s)
		})
	}
	for _, entry := range []string{"foo*", "foo  q", "foo\tq", "foo >", ">", "*.*"} {
		compile(t, sub(allow(entry)))
	}
}

func TestResponses(t *testing.T) {
	for _, tc := range []struct {
		name string
		p    *ResponsePermission
		max  int
		ttl  time.Duration
		ok   bool
	}{
		{"none", nil, 0, 0, false},
		{"defaults", &ResponsePermission{}, 1, 2 * time.Minute, true},
		{"given", &ResponsePermission{MaxMsgs: 5, Expires: time.Second}, 5, time.Second, true},
		{"unlimited", &ResponsePermission{MaxMsgs: -1, Expires: -1}, -1, -1, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			maxMsgs, ttl, ok := compile(t, &Permissions{Response: tc.p}).Responses()
			require.Equal(t, tc.max, maxMsgs)
			require.Equal(t, tc.ttl, ttl)
			require.Equal(t, tc.ok, ok)
		})
	}
}

func TestNilSetAllowsEverything(t *testing.T) {
	var s *Set
	require.True(t, s.CanPublish([]byte("foo")))
	ok, filter := s.CanSubscribe("foo.*", "q")
	require.True(t, ok)
	require.False(t, filter)
	require.False(t, s.DeniesDelivery([]byte("foo"), ""))
	require.False(t, s.RestrictsPublish())
	_, _, ok = s.Responses()
	require.False(t, ok)
}

// model is the rules as sentences, over plain lists.
type model struct{ p *SubjectPermission }

func (m model) matches(entries []string, sub, queue string) (plain, qualified, named bool) {
	for _, text := range entries {
		s, q, isQueue := strings.Cut(text, " ")
		switch {
		case !matchText(sub, s):
		case !isQueue:
			plain = true
		case queue != "":
			qualified = true
			named = named || matchText(queue, q)
		}
	}
	return plain, qualified, named
}

func (m model) canSubscribe(sub, queue string) bool {
	if len(m.p.Allow) > 0 {
		plain, qualified, named := m.matches(m.p.Allow, sub, queue)
		if qualified {
			plain = named
		}
		if !plain {
			return false
		}
	}
	return !m.denied(sub, queue)
}

func (m model) denied(sub, queue string) bool {
	plain, _, named := m.matches(m.p.Deny, sub, queue)
	return plain || named
}

// matchText matches token by token.
func matchText(s, pattern string) bool {
	st, pt := strings.Split(s, "."), strings.Split(pattern, ".")
	for _, token := range st {
		if token == "" {
			return false
		}
	}
	for i, p := range pt {
		switch {
		case i >= len(st):
			return false
		case p == ">":
			return true
		case p != "*" && p != st[i]:
			return false
		}
	}
	return len(st) == len(pt)
}

var (
	drawPattern = rapid.StringMatching(`([ab*]\.){0,2}[ab*>]`)
	drawEntry   = rapid.OneOf(drawPattern, rapid.StringMatching(`([ab*]\.){0,2}[ab*>] ([qr*]\.){0,1}[qr*>]`))
	drawSubject = rapid.StringMatching(`([ab*>]?\.){0,2}[ab*>]?`)
	drawQueue   = rapid.StringMatching(`|([qr*]\.){0,1}[qr]`)
)

func drawPermission(t *rapid.T) *SubjectPermission {
	return &SubjectPermission{
		Allow: rapid.SliceOfN(drawEntry, 0, 4).Draw(t, "allow"),
		Deny:  rapid.SliceOfN(drawEntry, 0, 4).Draw(t, "deny"),
	}
}

func TestAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := drawPermission(t)
		s, m := compile(t, &Permissions{Subscribe: p}), model{p}
		for range 4 {
			sub, queue := drawSubject.Draw(t, "subject"), drawQueue.Draw(t, "queue")
			ok, filter := s.CanSubscribe(sub, queue)
			require.Equal(t, m.canSubscribe(sub, queue), ok)
			require.Equal(t, m.denied(sub, queue), s.DeniesDelivery([]byte(sub), queue))
			if ok && !filter && subject.Valid(sub) { // then no delivery may be denied
				literal := strings.NewReplacer("*", "a", ">", "b.a").Replace(sub)
				require.False(t, s.DeniesDelivery([]byte(literal), queue), "%q reaches %q", sub, literal)
			}
		}
		bare := &SubjectPermission{Allow: withoutQueues(p.Allow), Deny: withoutQueues(p.Deny)}
		s, m = compile(t, &Permissions{Publish: bare}), model{bare}
		var cache PubCache
		for range 4 {
			sub := drawSubject.Draw(t, "published")
			require.Equal(t, m.canSubscribe(sub, ""), s.CanPublish([]byte(sub)))
			require.Equal(t, m.canSubscribe(sub, ""), cache.Allows(s, []byte(sub)))
		}
	})
}

func withoutQueues(entries []string) (out []string) {
	for _, e := range entries {
		s, _, _ := strings.Cut(e, " ")
		out = append(out, s)
	}
	return out
}

func FuzzSet(f *testing.F) {
	f.Add("foo.*", "foo.bar q.*", "foo.bar", "q.1")
	f.Add(">", "a b c", "..", "")
	f.Add("*.x", "", "*.>", "\xff")
	f.Fuzz(func(t *testing.T, allowed, denied, sub, queue string) {
		p := &SubjectPermission{Allow: []string{allowed}, Deny: []string{denied}}
		s, err := Compile(&Permissions{Subscribe: p})
		if err != nil {
			return
		}
		normal := func(e string) string { return strings.Join(strings.Fields(e), " ") }
		m := model{&SubjectPermission{Allow: []string{normal(allowed)}, Deny: []string{normal(denied)}}}
		ok, _ := s.CanSubscribe(sub, queue)
		require.Equal(t, m.canSubscribe(sub, queue), ok)
		require.Equal(t, m.denied(sub, queue), s.DeniesDelivery([]byte(sub), queue))
	})
}
