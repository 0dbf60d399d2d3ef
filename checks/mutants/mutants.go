// Package mutants holds faults to plant: small patches that break the server or
// the disk journal as a careless change would, each with the invariant that the
// simulation must see broken. They are data: where a text is replaced, and by what;
// a text that is not there once means that the patch no longer applies. The
// package only reads files; building and running is its command's business.
//
//lockstep:exempt reads the tree's source files
package mutants

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/checks/core"
)

// Mutant is one planted fault.
type Mutant struct {
	Name      string
	Invariant string // that it must trip, and no other first
	Profile   string // of the simulation that looks for it, or one of Tests
	File      string // from the root of the tree
	Edits     []Edit
	Also      []string // what may trip first
}

// Edit replaces a text that occurs exactly once.
type Edit struct{ Old, New string }

const (
	route     = "server/broker/route.go"
	deliver   = "server/broker/deliver.go"
	subs      = "server/broker/subs.go"
	publish   = "server/broker/publish.go"
	publisher = "server/broker/publisher.go"
	service   = "server/broker/service.go"
	reload    = "server/broker/reload.go"
	journal   = "storage/journal.go"
	recovery  = "storage/journal_recovery.go"
)

// All lists every mutant.
var All = slices.Concat(messaging, jetStream, copying, consensus, routing, replicated)

// messaging are those of core messaging and of the disk journal.
var messaging = []Mutant{
	{"unsub-forgotten", core.NoMore, "calm", subs, []Edit{{
		"	if sub != nil && !later {\n		c.removeSub(sub)\n", "	if sub != nil && later {\n		c.removeSub(sub)\n"}}, nil},
	{"second-before-first", core.PairOrder, "calm", deliver, []Edit{{
		"	s.buf = b\n",
		"	if len(s.recs) == 1 && len(s.ext) == 0 {\n		copy(b, append(append([]byte(nil), b[before:]...), b[:before]...))\n	}\n	s.buf = b\n"}}, nil},
	{"queue-to-two", core.QueueOne, "calm", route, []Edit{{
		"	for i := range n {\n		if p.deliver(&g.members[(start+i)%n], acc, m) {\n			return true\n		}\n	}\n	return false\n",
		"	took := 0\n	for i := range n {\n		if took < 2 && p.deliver(&g.members[(start+i)%n], acc, m) {\n			took++\n		}\n	}\n	return took > 0\n"}}, nil},
	{"queue-to-none", core.LossTold, "calm", route, []Edit{{
		"		start = p.strand.Rand(\"queue\").IntN(n)\n",
		"		start = p.strand.Rand(\"queue\").IntN(n)\n		if start == n-1 {\n			return true\n		}\n"}}, nil},
	{"echo-anyway", core.Exact, "calm", route, []Edit{{"	if to == p.self && !to.echo {\n", "	if to == p.self && !to.echo && false {\n"}}, nil},
	{"one-more-than-max", core.Exact, "calm", subs, []Edit{{"sub.SetMax(int64(op.Max))", "sub.SetMax(int64(op.Max) + 1)"}}, nil},
	{"no-responders-always", core.Exact, "calm", publish, []Edit{{
		"	if c.route(acc, &m) || len(m.reply) == 0", "	if c.route(acc, &m) && m.size() > 100 || len(m.reply) == 0"}}, nil},
	{"no-responders-never", core.Exact, "calm", publish, []Edit{{
		"	sid, ok := c.ownInterest(m.reply)\n	if !ok {", "	sid, ok := c.ownInterest(m.reply)\n	if ok {"}}, nil},
	{"unsub-unanswered", core.Exact, "calm", subs, []Edit{{
		"	if sub != nil && !later {\n		c.removeSub(sub)\n	}\n	c.acknowledge()\n",
		"	if sub != nil && !later {\n		c.removeSub(sub)\n		return\n	}\n	c.acknowledge()\n"}}, nil},
	{"stale-interest", core.Exact, "calm", "server/subject/index.go", []Edit{{
		"		counter.Add(1)\n		fits", "		if !HasWildcard(subject) {\n			counter.Add(1)\n		}\n		fits"}}, nil},
	{"full-stage-dropped", core.LossTold, "calm", deliver, []Edit{{
		"			p.flushStage(s)\n			s.empty()\n",
		"			if s.to == p.self {\n				p.flushStage(s)\n			}\n			s.empty()\n"}}, nil},
	{"deny-ignored-by-wildcards", core.Perms, "calm", route, []Edit{{
		" && to.denies(", " && p.self == to && to.denies("}}, nil},
	{"permission-cache-by-token", core.Perms, "calm", "server/perm/pubcache.go", []Edit{
		{"c.verdicts[string(subject)]; known", "c.verdicts[string(subject[:min(3, len(subject))])]; known"},
		{"c.remember(string(subject), ok)", "c.remember(string(subject[:min(3, len(subject))]), ok)"}}, nil},
	{"import-keeps-foreign-subject", core.NoMore, "calm", deliver, []Edit{{
		"		subj = p.localSubject(sub, m)\n", "		subj = m.seen()\n"}}, nil},
	{"import-widened", core.Isolation, "calm", "server/account/imports.go", []Edit{{
		"{ return i.pair.shadow(sub) }",
		"{\n	s, ok := i.pair.shadow(sub)\n	if ok {\n		s = i.From\n	}\n	return s, ok\n}"}}, nil},
	{"answer-leaks-to-exporter", core.Isolation, "calm", service, []Edit{{
		"	delivered := p.routeAcross(open.Requestor, &back)\n",
		"	delivered := p.routeAcross(open.Requestor, &back)\n	p.routeAcross(acc, &back)\n"}}, nil},
	{"reload-keeps-forbidden", core.Reload, "crash", reload, []Edit{{
		"		if !ok {\n			c.removeSub(s)\n", "		if !ok && s.Queue != \"\" {\n			c.removeSub(s)\n"}}, nil},
	{"pending-without-bound", core.Bound, "network", deliver, []Edit{{
		"int64(pending) > p.b.options().MaxPending {", "int64(pending) > p.b.options().MaxPending*100 {"}}, nil},
	{"closed-connection-keeps-interest", core.Interest, "network", subs, []Edit{{
		"	for i, s := range d.left[:n] {\n		d.c.removeSub(s)\n", "	for i := range d.left[:n] {\n"}}, nil},
	{"limited-deliveries-uncounted", core.Health, "calm", deliver, []Edit{{
		"		msgs++\n		payload += int64(r.payload)\n", "		if !r.counted {\n			msgs++\n		}\n		payload += int64(r.payload)\n"}}, nil},
	{"answers-never-expire", core.Clean, "calm", service, []Edit{{
		"		a.Responses().ExpireBefore(now)\n", ""}}, nil},
	{"unknown-sid", core.CrashFree, "calm", subs, []Edit{{
		"	if sub != nil && int64(op.Max) > sub.Delivered {", "	if int64(op.Max) > sub.Delivered {"}}, nil},
	{"mapping-never-drops", core.Exact, "calm", "server/subject/mapping.go", []Edit{{
		"	case m.drops:\n", "	case m.drops && len(subject) == 0:\n"}}, nil},
	{"mapping-ignores-cluster", core.NoMore, "calm", "server/broker/service.go", []Edit{{
		"m.subject, \"\", p.strand", "m.subject, \"elsewhere\", p.strand"}}, nil},
	{"queue-permission-ignored", core.Perms, "calm", "server/perm/set.go", []Edit{{
		"if m.qualified && !m.queue || !m.qualified && !m.plain {", "if !m.qualified && !m.plain {"}}, nil},
	{"answers-not-counted", core.Perms, "calm", "server/perm/replies.go", []Edit{{
		"	if p.used++; p.used == r.max {", "	if p.used == r.max {"}}, nil},
	{"reload-takes-answers-away", core.Perms, "plans", "server/broker/connect.go", []Edit{{
		"sameUser && had == ok &&", "sameUser && !had && !ok &&"}}, nil},
	{"response-ends-early", core.LossTold, "calm", service, []Edit{{
		"	case !delivered || m.size() == 0:\n", "	case !delivered || m.size() < 40:\n"}}, nil},
	{"response-never-ends", core.Exact, "calm", service, []Edit{{
		"	case !delivered || m.size() == 0:\n", "	case !delivered:\n"}}, nil},
	{"single-answer-to-all", core.Exact, "calm", service, []Edit{{
		"	if last && !acc.Responses().Remove(open, p.now) {", "	if last && m.size() == 0 && !acc.Responses().Remove(open, p.now) {"}}, nil},
	{"chain-of-one", core.LossTold, "calm", service, []Edit{{"const boundariesMax = 32", "const boundariesMax = 1"}}, nil},
	{"renewal-drops-unchanged-import", core.LossTold, "crash", reload, []Edit{{
		"		removeShadows(gone)\n", "		removeShadows(old)\n		_ = gone\n"}}, nil},
	{"certificate-ignored", core.Isolation, "calm", "server/auth/certificate.go", []Edit{{
		"	e, reason := t.fromCertificate(r.TLS.PeerCertificates[0], r.ConnType)\n",
		"	e, reason := t.fromCertificate(r.TLS.PeerCertificates[0], r.ConnType)\n	if u := t.users[r.Connect.Username]; u != nil {\n		e = u\n	}\n"}}, nil},
	{"proxy-address-ignored", core.Health, "calm", "server/broker/prelude.go", []Edit{{"	if src.host != \"\" {\n", "	if src.host == \"\" {\n"}}, nil},
	{"account-payload-ignored", core.Health, "calm", "server/broker/connect.go", []Edit{{
		"	c.parser.MaxPayload = lower(c.parser.MaxPayload, l.Payload)\n", ""}}, nil},
	{"account-subscriptions-off-by-one", core.Bound, "calm", subs, []Edit{{"n >= c.subsMax {\n		c.b.complain", "n > c.subsMax {\n		c.b.complain"}}, nil},
	{"gone-receivers-kept", core.Clean, "network", publisher, []Edit{{"	if p.gone() > 0 {\n", "	if p.gone() > 1000 {\n"}}, nil},
	{"removed-user-stays", core.Reload, "plans", reload, []Edit{{
		"		c.authViolation(err)\n		return false\n	}\n	next := id.Account\n", "		return true\n	}\n	next := id.Account\n"},
		{"		if prior := c.ident.Load(); prior != nil && c.known && !t.Knows(prior.User, prior.Nkey) {\n			c.b.log.Debugf(\"%s - %v\", c, errMoved)\n			c.end(ClientClosed)\n			return false\n		}\n", ""}}, nil},
	{"reset-swallows-what-came-first", core.NoMore, "network", "netsim/sim_pipe.go", []Edit{{
		"	p.buf = p.buf[:p.head+p.arrived+keep]\n",
		"	copy(p.buf[p.head+p.arrived:], p.buf[len(p.buf)-keep:])\n	p.buf = p.buf[:p.head+p.arrived+keep]\n"}}, nil},
	{"ack-before-sync", core.StorePrefix, "disk", journal, []Edit{{
		"	j.file.Sync(j.strand, j.syncedTask)\n",
		"	for _, w := range j.flying {\n		w.done(w.seq, nil)\n	}\n	j.flying = j.flying[:0]\n	j.file.Sync(j.strand, j.syncedTask)\n"}}, nil},
	{"damage-taken-for-torn", core.StoreTorn, "disk", recovery, []Edit{{
		"		if h.durable > r.pos {\n", "		if h.durable > r.size {\n"}}, nil},
	{"fence-forgotten", core.StoreFence, "disk", journal, []Edit{{
		"	if j.closing != nil {\n		j.finish(j.failed)\n	}\n", "	if j.closing != nil {\n		j.finish(j.failed)\n	}\n	j.failed = nil\n"}}, nil},
}

// Apply gives the mutant's file with the patch, and an error when the patch no
// longer applies. root is the directory of go.mod.
func (m *Mutant) Apply(root string) (path string, text []byte, err error) {
	path = filepath.Join(root, filepath.FromSlash(m.File))
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", nil, fmt.Errorf("mutant %s no longer applies: %w", m.Name, err)
	}
	patched := string(raw)
	for _, e := range m.Edits {
		if n := strings.Count(patched, e.Old); n != 1 {
			return "", nil, fmt.Errorf("mutant %s no longer applies: %s has %q %d times, once is needed", m.Name, m.File, e.Old, n)
		}
		patched = strings.Replace(patched, e.Old, e.New, 1)
	}
	return path, []byte(patched), nil
}
