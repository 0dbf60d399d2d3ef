package sim

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/lockstepmq/lockstep/checks/core"
)

// Three accounts: A exports to B; C has the same subjects and nothing to do with either.
var (
	crossStreamB  = core.Crossing{From: "A", Remote: "feed.>", Local: "imp.feed.>"}
	crossServiceB = core.Crossing{From: "A", Remote: "svc.*", Local: "ask.*"}
	mappingA      = core.Mapping{From: "map.*", To: "mapped.*"}
)

// Permissions that a restricted user may have, in turn.
var restrictions = []core.Permissions{
	{PubDeny: []string{"t.b.>"}, SubDeny: []string{"t.b.y"}},
	{
		PubAllow: []string{"t.>", "_INBOX.>", "svc.*", "ask.*", "feed.a", "lone.*"},
		SubAllow: []string{"t.a.>", "t.*.x", "t.>", "_INBOX.>", "feed.>", "imp.>", "imp.feed.a", "svc.*"},
	},
	{},
	{PubDeny: []string{"t.a.x", "feed.b"}, SubDeny: []string{"t.a.*", "t.b.x"}, SubAllow: []string{"t.>", "t.*.*", "feed.*", "_INBOX.>", "imp.>"}},
}

// answerer may publish nothing but answers.
var answerer = core.Permissions{Responses: true, SubAllow: []string{"svc.>", "_INBOX.>", "t.>", "t.*.x"}}

// newTopology is what every server is configured with at first.
func newTopology(rnd *rand.Rand) core.World {
	user := func(name, account string, p core.Permissions) core.User {
		return core.User{Name: name, Account: account, Versions: []core.Version{{Perms: p}}}
	}
	draw := func() core.Permissions { return restrictions[rnd.IntN(len(restrictions))] }
	return core.World{
		Accounts: []core.Account{
			{Name: "A", Mappings: []core.Mapping{mappingA}},
			{Name: "B", Streams: []core.Crossing{crossStreamB}, Services: []core.Crossing{crossServiceB}},
			{Name: "C"},
			{Name: garbageAccount},
		},
		Users: []core.User{
			user("a-free", "A", core.Permissions{}),
			user("b-free", "B", core.Permissions{}),
			user("a-some", "A", draw()),
			user("a-answers", "A", answerer),
			user("c-free", "C", core.Permissions{}),
			user("b-some", "B", draw()),
			user(garbageUser, garbageAccount, core.Permissions{}),
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
	b.WriteString("accounts {\n")
	for i := range w.Accounts {
		writeAccount(&b, w, &w.Accounts[i])
	}
	b.WriteString("}\n")
	return b.String()
}

func writeAccount(b *strings.Builder, w *core.World, a *core.Account) {
	fmt.Fprintf(b, "  %s {\n    users: [\n", a.Name)
	for i := range w.Users {
		if u := &w.Users[i]; u.Account == a.Name {
			perms := u.Versions[len(u.Versions)-1].Perms
			fmt.Fprintf(b, "      {user: %q, password: %q%s}\n", u.Name, password(u.Name), permissionsText(&perms))
		}
	}
	b.WriteString("    ]\n")
	var streams, services []string
	for _, other := range w.Accounts {
		for _, im := range other.Streams {
			if im.From == a.Name {
				streams = append(streams, im.Remote)
			}
		}
		for _, im := range other.Services {
			if im.From == a.Name {
				services = append(services, im.Remote)
			}
		}
	}
	list := func(name string, entries []string) {
		if len(entries) > 0 {
			fmt.Fprintf(b, "    %s: [%s]\n", name, strings.Join(entries, ", "))
		}
	}
	var exports, imports []string
	for _, s := range streams {
		exports = append(exports, fmt.Sprintf("{stream: %q}", s))
	}
	for _, s := range services {
		exports = append(exports, fmt.Sprintf("{service: %q}", s))
	}
	list("exports", exports)
	for _, im := range a.Streams {
		imports = append(imports, fmt.Sprintf("{stream: {account: %s, subject: %q}, prefix: %q}", im.From, im.Remote, strings.TrimSuffix(im.Local, "."+im.Remote)))
	}
	for _, im := range a.Services {
		imports = append(imports, fmt.Sprintf("{service: {account: %s, subject: %q}, to: %q}", im.From, im.Remote, im.Local))
	}
	list("imports", imports)
	if a.Name == garbageAccount {
		fmt.Fprintf(b, "    limits: {max_subs: %d}\n", garbageSubsMax)
	}
	for _, m := range a.Mappings {
		fmt.Fprintf(b, "    mappings: {%q: %q}\n", m.From, strings.Replace(m.To, "*", "$1", 1))
	}
	b.WriteString("  }\n")
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
		parts = append(parts, `allow_responses: {max: 1, expires: "1m"}`)
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
		"":  {"t.a.x", "t.a.y", "t.b.x", "t.b.y", "feed.a", "feed.b", "lone.a"},
		"A": {"map.a", "map.b", "svc.a", "mapped.a"},
		"B": {"ask.a", "ask.b", "imp.feed.a", "svc.a"},
		"C": {"svc.a", "ask.a", "imp.feed.a"},
	}
	subscribeSubjects = map[string][]string{
		"":  {"t.a.x", "t.a.y", "t.b.x", "t.b.y", "t.*.x", "t.a.*", "t.>", "*.a", "feed.a", "feed.*", "feed.>", "t.*.*", ">"},
		"A": {"mapped.*", "map.a", "svc.a", "svc.*"},
		"B": {"imp.>", "imp.feed.a", "imp.*.b", "ask.a"},
		"C": {"imp.>", "svc.*"},
	}
	requestSubjects = map[string][]string{
		"A": {"svc.a", "svc.b", "lone.a", "t.a.x"},
		"B": {"ask.a", "ask.b", "lone.a", "t.b.y"},
		"C": {"svc.a", "ask.a", "lone.a"},
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
