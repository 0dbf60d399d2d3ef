package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/server/account"
)

// A exports to B; C has the same subjects and nothing to do with either. B passes on to
// D what it imports itself. The side import comes and goes with reloads.
var (
	streamsB = []core.Crossing{
		{From: "A", Remote: "feed.>", Local: "imp.feed.>"},
		{From: "A", Remote: "side.>", Local: "imp.side.>", Spans: []core.Span{{On: true}}},
	}
	servicesB = []core.Crossing{
		{From: "A", Remote: "svc.*", Local: "ask.*"},
		{From: "A", Remote: "svc.*", Local: "chain.*"},
		{From: "A", Remote: "flow.*", Local: "askflow.*", Response: core.Streamed},
		{From: "A", Remote: "bits.*", Local: "askbits.*", Response: core.Chunked},
	}
	servicesD = []core.Crossing{{From: "B", Remote: "chain.*", Local: "far.*"}}

	// Two shares and a loss; two shares; one share, and the rest as it was.
	mappingsA = []core.Mapping{
		core.Renamed("map.*", "mapped.*"),
		{From: "split.a", To: []core.Destination{
			{To: "parted.a.x", Weight: 40}, {To: "parted.b.x", Weight: 20}, {To: "split.a", Weight: 10},
			{To: "parted.c.x", Weight: 100, Cluster: "elsewhere"},
		}},
		{From: "halves.*", To: []core.Destination{{To: "half.a.*", Weight: 50}, {To: "half.b.*", Weight: 50}}},
		{From: "rest.*", To: []core.Destination{{To: "half.rest.*", Weight: 60}}},
	}
)

const (
	// The limits of accounts C and D.
	limitedSubs    = 10
	limitedPayload = 2048
)

// Permissions that a restricted user may have, in turn.
var restrictions = []core.Permissions{
	{PubDeny: []string{"t.b.>"}, SubDeny: []string{"t.b.y"}},
	{
		PubAllow: []string{"t.>", "_INBOX.>", "svc.*", "ask.*", "feed.a", "lone.*"},
		SubAllow: []string{"t.a.>", "t.*.x", "t.>", "_INBOX.>", "feed.>", "imp.>", "imp.feed.a", "svc.*"},
	},
	{},
	{SubAllow: []string{"t.>", "feed.*", "_INBOX.>", "imp.>", "t.*.x q1*", "*.a q2*", "*.a"}, SubDeny: []string{"t.a.x q2*"}},
	{PubDeny: []string{"t.a.x", "feed.b"}, SubDeny: []string{"t.a.*", "t.b.x"}, SubAllow: []string{"t.>", "t.*.*", "feed.*", "_INBOX.>", "imp.>"}},
}

// answerer may publish nothing but answers.
var answerer = core.Permissions{Responses: true, ResponsesMax: 2, SubAllow: []string{"svc.>", "flow.*", "bits.*", "_INBOX.>", "t.>", "t.*.x"}}

// newTopology is what every server is configured with at first.
func newTopology(rnd *rand.Rand) core.World {
	user := func(name, account string, p core.Permissions) core.User {
		return core.User{Name: name, Account: account, Versions: []core.Version{{Perms: p}}}
	}
	draw := func() core.Permissions { return restrictions[rnd.IntN(len(restrictions))] }
	side := slices.Clone(streamsB)
	return core.World{
		Accounts: []core.Account{
			{Name: "A", Mappings: mappingsA},
			{Name: "B", Streams: side, Services: servicesB},
			{Name: "C", MaxSubs: limitedSubs},
			{Name: "D", Services: servicesD, MaxSubs: limitedSubs, MaxPayload: limitedPayload},
			{Name: garbageAccount, MaxSubs: garbageSubsMax},
		},
		Users: []core.User{
			user("a-free", "A", core.Permissions{}),
			user("b-free", "B", core.Permissions{}),
			user("a-some", "A", draw()),
			user("a-answers", "A", answerer),
			user("c-free", "C", core.Permissions{}),
			user("b-some", "B", draw()),
			user("d-free", "D", core.Permissions{}),
			user(nkeyUser, "A", core.Permissions{}),
			user(anyUser, "B", core.Permissions{}),
			user(garbageUser, garbageAccount, core.Permissions{}),
		},
	}
}

// newTokenTopology is the one account of a server that asks for a token.
func newTokenTopology() core.World {
	return core.World{
		Accounts: []core.Account{{Name: account.Global, Mappings: mappingsA}},
		Users: []core.User{
			{Name: tokenUser, Account: account.Global, Versions: []core.Version{{}}},
			{Name: garbageUser, Account: garbageAccount, Versions: []core.Version{{}}}, // whom nobody lets in
		},
	}
}

// configText is the configuration of a server with the users' latest permissions.
func configText(w *core.World, p *Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "server_name: sim\nlisten: \"0.0.0.0:%d\"\n", serverPort)
	fmt.Fprintf(&b, "max_payload: %d\nmax_pending: %d\n", p.MaxPayload, p.MaxPending)
	fmt.Fprintf(&b, "ping_interval: \"%dms\"\nwrite_deadline: \"%dms\"\n", p.PingInterval.Milliseconds(), p.WriteDeadline.Milliseconds())
	fmt.Fprintf(&b, "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"2s\"\n")
	b.WriteString(p.jsText())
	if p.Proxy {
		b.WriteString("proxy_protocol: true\n")
	}
	if p.NoStall {
		b.WriteString("no_fast_producer_stall: true\n")
	}
	if p.Token {
		fmt.Fprintf(&b, "authorization {token: %q}\n", password(tokenUser))
		writeMappings(&b, &w.Accounts[0])
		return b.String()
	}
	fmt.Fprintf(&b, "no_auth_user: %q\n", anyUser)
	b.WriteString("accounts {\n")
	b.WriteString(p.jsAccountText())
	for i := range w.Accounts {
		writeAccount(&b, w, p, &w.Accounts[i])
	}
	b.WriteString("}\n")
	return b.String()
}

func writeAccount(b *strings.Builder, w *core.World, p *Plan, a *core.Account) {
	fmt.Fprintf(b, "  %s {\n    users: [\n", a.Name)
	for i := range w.Users {
		if u := &w.Users[i]; u.Account == a.Name && u.Employed() {
			perms := u.Versions[len(u.Versions)-1].Perms
			fmt.Fprintf(b, "      {%s%s}\n", p.userText(u.Name), permissionsText(&perms))
		}
	}
	b.WriteString("    ]\n")
	writeCrossings(b, w, a)
	var limits []string
	if a.MaxSubs > 0 {
		limits = append(limits, fmt.Sprintf("max_subs: %d", a.MaxSubs))
	}
	if a.MaxPayload > 0 {
		limits = append(limits, fmt.Sprintf("max_payload: %d", a.MaxPayload))
	}
	if limits != nil {
		fmt.Fprintf(b, "    limits: {%s}\n", strings.Join(limits, ", "))
	}
	writeMappings(b, a)
	b.WriteString("  }\n")
}

// writeCrossings writes an account's imports, and the exports that others import.
func writeCrossings(b *strings.Builder, w *core.World, a *core.Account) {
	var exports, imports []string
	export := func(text string) {
		if !slices.Contains(exports, text) {
			exports = append(exports, text)
		}
	}
	for _, other := range w.Accounts {
		for _, im := range other.Streams {
			if im.From == a.Name {
				export(fmt.Sprintf("{stream: %q}", im.Remote))
			}
		}
		for _, im := range other.Services {
			if im.From == a.Name {
				export(fmt.Sprintf("{service: %q, response_type: %q}", im.Remote, [...]string{"single", "stream", "chunked"}[im.Response]))
			}
		}
	}
	for _, im := range a.Streams {
		if n := len(im.Spans); n == 0 || im.Spans[n-1].On {
			imports = append(imports, fmt.Sprintf("{stream: {account: %s, subject: %q}, prefix: %q}", im.From, im.Remote, strings.TrimSuffix(im.Local, "."+im.Remote)))
		}
	}
	for _, im := range a.Services {
		imports = append(imports, fmt.Sprintf("{service: {account: %s, subject: %q}, to: %q}", im.From, im.Remote, im.Local))
	}
	for _, list := range []struct {
		name    string
		entries []string
	}{{"exports", exports}, {"imports", imports}} {
		if len(list.entries) > 0 {
			fmt.Fprintf(b, "    %s: [%s]\n", list.name, strings.Join(list.entries, ", "))
		}
	}
}

func writeMappings(b *strings.Builder, a *core.Account) {
	if len(a.Mappings) == 0 {
		return
	}
	b.WriteString("    mappings: {\n")
	for _, m := range a.Mappings {
		var to []string
		for _, d := range m.To {
			cluster := ""
			if d.Cluster != "" {
				cluster = fmt.Sprintf(", cluster: %q", d.Cluster)
			}
			to = append(to, fmt.Sprintf("{destination: %q, weight: %d%s}", strings.Replace(d.To, "*", "$1", 1), d.Weight, cluster))
		}
		fmt.Fprintf(b, "      %q: [%s]\n", m.From, strings.Join(to, ", "))
	}
	b.WriteString("    }\n")
}

func password(user string) string { return "secret-of-" + user }

func permissionsText(p *core.Permissions) string {
	var parts []string
	side := func(name string, allow, deny []string) {
		var lists []string
		if allow != nil {
			lists = append(lists, fmt.Sprintf("allow: [%s]", quoted(allow)))
		}
		if deny != nil {
			lists = append(lists, fmt.Sprintf("deny: [%s]", quoted(deny)))
		}
		if lists != nil {
			parts = append(parts, fmt.Sprintf("%s: {%s}", name, strings.Join(lists, ", ")))
		}
	}
	side("publish", p.PubAllow, p.PubDeny)
	side("subscribe", p.SubAllow, p.SubDeny)
	if p.Responses {
		parts = append(parts, fmt.Sprintf(`allow_responses: {max: %d, expires: "1m"}`, max(p.ResponsesMax, 1)))
	}
	if parts == nil {
		return ""
	}
	return ", permissions: {" + strings.Join(parts, ", ") + "}"
}

func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(out, ", ")
}

// What clients publish and subscribe, by account; "" is for all.
var (
	publishSubjects = map[string][]string{
		"":             {"t.a.x", "t.a.y", "t.b.x", "t.b.y", "feed.a", "feed.b", "lone.a"},
		"A":            {"map.a", "map.b", "svc.a", "mapped.a", "split.a", "split.b", "halves.a", "rest.a", "side.a", "parted.a.x"},
		"B":            {"ask.a", "ask.b", "imp.feed.a", "svc.a", "chain.a"},
		"C":            {"svc.a", "ask.a", "imp.feed.a"},
		"D":            {"far.a", "far.b", "chain.a", "svc.a"},
		account.Global: {"map.a", "mapped.a", "split.a", "split.b", "halves.a", "rest.a"},
	}
	subscribeSubjects = map[string][]string{
		"":             {"t.a.x", "t.a.y", "t.b.x", "t.b.y", "t.*.x", "t.a.*", "t.>", "*.a", "feed.a", "feed.*", "feed.>", "t.*.*", ">"},
		"A":            {"mapped.*", "map.a", "svc.a", "svc.*", "parted.>", "half.>", "flow.*", "bits.*", "parted.a.*", "rest.*", "split.*"},
		"B":            {"imp.>", "imp.feed.a", "imp.*.b", "ask.a", "imp.*.a", "chain.*", "imp.side.a", "imp.feed.>"},
		"C":            {"imp.>", "svc.*"},
		"D":            {"far.*", "chain.*", "svc.*"},
		account.Global: {"mapped.*", "map.a", "parted.>", "half.>", "parted.a.*", "rest.*", "split.*"},
	}
	requestSubjects = map[string][]string{
		"A":            {"svc.a", "svc.b", "lone.a", "t.a.x", "split.a"},
		"B":            {"ask.a", "ask.b", "lone.a", "t.b.y", "askflow.a", "askbits.a", "askflow.b", "chain.b"},
		"C":            {"svc.a", "ask.a", "lone.a"},
		"D":            {"far.a", "far.b", "chain.a", "lone.a"},
		account.Global: {"lone.a", "t.a.x", "split.a"},
	}
)

// pick draws one of an account's subjects.
func pick(rnd *rand.Rand, from map[string][]string, account string) string {
	common, own := from[""], from[account]
	i := rnd.IntN(len(common) + len(own))
	if i < len(common) {
		return common[i]
	}
	return own[i-len(common)]
}
