package mutants

import "github.com/lockstepmq/lockstep/checks/core"

const (
	announce     = "server/broker/announce.go"
	link         = "server/broker/link.go"
	linkInterest = "server/broker/linkinterest.go"
	linkIn       = "server/broker/linkin.go"
	linkOut      = "server/broker/linkout.go"
	tally        = "server/account/tally.go"
	cluster      = "cluster"
)

// routing are those of what servers tell each other, and send.
var routing = []Mutant{
	{"route-unsub-not-told", core.Interest, cluster, announce, []Edit{{
		"		} else {\n			a.buf = wire.AppendRUnsub(", "		} else if c.Queue != \"\" {\n			a.buf = wire.AppendRUnsub("}}, nil},
	{"route-weight-stale", core.Interest, cluster, tally, []Edit{{
		"	return c.count\n", "	return min(c.count, 1)\n"}}, nil},
	{"route-weight-kept", core.Interest, cluster, linkInterest, []Edit{{
		"	held.weight = weight\n", "	if !known {\n		held.weight = weight\n	}\n"}}, nil},
	{"route-told-nothing-again", core.Interest, cluster, announce, []Edit{{
		"			a.tell(to, l, l.tally.Told())\n", "			a.tell(to, l, nil)\n"}}, nil},
	{"route-end-leaves-interest", core.Clean, cluster, link, []Edit{{
		"	l.b.links.remove(l)\n	l.drop(all)\n", "	l.b.links.remove(l)\n	l.drop(nil)\n"}}, []string{core.Interest}},
	{"route-account-by-length", core.Isolation, cluster, linkIn, []Edit{{
		"pl.name == string(name))", "len(pl.name) == len(name))"}}, []string{core.NoMore, core.Perms}},
	{"route-import-again", core.NoMore, cluster, "server/broker/service.go", []Edit{{
		"	case sub.Service != nil && p.from != nil && m.depth == 0:\n		return false // it was evaluated where the request entered\n", ""}},
		[]string{core.Isolation, core.QueueOne, core.Exact}},
	{"route-queue-here-too", core.QueueOne, cluster, linkOut, []Edit{{
		"			return true\n		}\n	}\n	if p.deliverGroup(g, acc, m) {\n", "		}\n	}\n	if p.deliverGroup(g, acc, m) {\n"}}, []string{core.NoMore}},
	{"route-queue-unasked", core.QueueOne, cluster, linkIn, []Edit{{
		"	on := false\n", "	on := false\n	if len(queues) == 0 {\n		for i := range r.groups {\n			p.deliverGroup(&r.groups[i], acc, m)\n		}\n	}\n"}}, nil},
	{"route-passed-on", core.NoMore, cluster, linkIn, []Edit{{
		"	if on {\n", "	if on || len(m.body)%7 == 3 && len(queues) == 0 {\n"},
		{"			p.sendAway(&r.links[i], acc, m, false)\n", "			p.sendAway(&r.links[i], acc, m, p.from.o.RemoteID < r.links[i].link.o.RemoteID && !on)\n"}},
		[]string{core.PairOrder, core.QueueOne, core.Exact}},
	{"route-answers-not-told", core.Interest, cluster, announce, []Edit{{
		"	if s.Service != nil {\n		return false\n	}\n", "	if s.Service != nil || s.Response {\n		return false\n	}\n"}}, []string{core.LossTold}},
	{"route-pending-forgotten", core.Interest, cluster, announce, []Edit{{
		"	if !l.noted {\n		l.noted = true\n", "	if !l.noted && a.waiting.Load() < 2 {\n		l.noted = true\n"}}, nil},
	{"lane-replaced-is-not-awaited", core.PairOrder, cluster, "server/lane/lane.go", []Edit{{
		"	if old == nil {\n		k.begin()\n", "	if old == nil || true {\n		k.begin()\n"}}, []string{core.Reach}},
	{"lane-part-forgotten", core.PairOrder, cluster, "server/lane/frame.go", []Edit{{
		"	if len(r.part) == 0 && len(p) >= headSize {", "	if len(p) >= headSize && p[4] == kindFrame && p[3] == 0 {"}}, []string{core.Reach}},
	{"lane-lent-too-long", core.PairOrder, cluster, "server/lane/link.go", []Edit{{
		"		k.conn.FlushLent()\n", "		k.strand.Post(k.conn.FlushLent)\n"}}, nil},
}
