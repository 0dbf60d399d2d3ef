package mutants

import (
	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/checks/js"
)

const (
	retention   = "server/jetstream/stream/retention.go"
	streamOpen  = "server/jetstream/stream/open.go"
	checks      = "server/jetstream/machine/checks.go"
	publishing  = "server/jetstream/machine/publish.go"
	deduping    = "server/jetstream/machine/dedupe.go"
	snapshot    = "server/jetstream/machine/snapshot.go"
	batching    = "server/jetstream/machine/batch.go"
	limits      = "storage/msgs/limits.go"
	purging     = "storage/msgs/purge.go"
	expire      = "storage/msgs/expire.go"
	logWrite    = "storage/wal/write.go"
	consAck     = "server/jetstream/consumer/ack.go"
	consState   = "server/jetstream/consumer/state.go"
	consAlarm   = "server/jetstream/consumer/alarm.go"
	consNew     = "server/jetstream/consumer/recover.go"
	consInfo    = "server/jetstream/consumer/info.go"
	counting    = "server/jetstream/machine/counter.go"
	scheduling  = "server/jetstream/machine/schedule.go"
	firing      = "server/jetstream/machine/due.go"
	fastBatch   = "server/jetstream/machine/fast.go"
	msgStore    = "storage/msgs/store.go"
	msgPurge    = "storage/msgs/purge.go"
	msgRecord   = "storage/msgs/record.go"
	msgOpened   = "storage/msgs/open_finish.go"
	msgJobs     = "storage/msgs/jobs.go"
	msgPoint    = "storage/msgs/checkpoint.go"
	msgFull     = "storage/msgs/full.go"
	logScan     = "storage/wal/scan.go"
	consServe   = "server/jetstream/consumer/deliver.go"
	streamLog   = "server/jetstream/stream/propose.go"
	raftPropose = "server/raft/propose.go"
	raftApply   = "server/raft/apply.go"
	streams     = "streams"
)

// lost is what a store that forgets may show first.
var lost = []string{
	js.Acked, js.Dense, js.Prefix, js.Tombstones, js.Order, js.Info, js.AtLeastOnce, js.AckedStays, js.InOrder, js.Floor, js.Dedupe,
	js.Expected, js.WorkQueue, js.Interest, js.CAS, js.Linear, js.NothingElse, js.NoDamage, js.Incarnation, js.APITruth, js.Batch, js.Moves,
	js.Deleted, js.NoOrphans, js.KVHist, js.NumPending, js.MaxDeliver,
}

// jetStream are those of streams, consumers and their stores.
var jetStream = []Mutant{
	{"log-not-flushed", js.NoDamage, streams, logWrite, []Edit{{
		"	l.file.Sync(l.strand, l.committedTask)\n", "	l.file.WriteOut(l.strand, l.committedTask)\n"}}, lost},
	{"ack-before-flush", js.AckedStays, streams, consAck, []Edit{{
		"	if c.recorded == c.committed {\n		c.confirm(inbox)\n", "	if c.recorded >= c.committed {\n		c.confirm(inbox)\n"}}, nil},
	{"dedupe-forgotten-at-restart", js.Dedupe, streams, snapshot, []Edit{{
		"	m.dedupe.restore(&r)\n", "	m.dedupe.restore(&r)\n	m.dedupe = dedupe{window: windowOf(cfg)}\n"}}, nil},
	{"dedupe-window-too-short", js.Dedupe, streams, deduping, []Edit{{"now-e.time < d.window", "now-e.time < d.window/4"}}, nil},
	{"duplicate-names-the-next", js.Dedupe, streams, publishing, []Edit{{
		"m.acked(i, outcome.seq, true)", "m.acked(i, outcome.seq+1, true)"}}, nil},
	{"refused-leaves-an-id", js.Dedupe, streams, publishing, []Edit{{
		"	outcome, err := m.check(it, msg)\n",
		"	outcome, err := m.check(it, msg)\n	if err != nil && msg.h.Has&api.HasMsgID != 0 {\n		if _, known := m.dedupe.find(msg.h.MsgID, m.now); !known {\n			m.dedupe.add(msg.h.MsgID, m.store.State().Last, m.now)\n		}\n	}\n"}}, nil},
	{"expected-subject-not-judged", js.Expected, streams, checks, []Edit{{
		"last != h.ExpectedLastSubjSeq {", "last > h.ExpectedLastSubjSeq+3 {"}}, []string{js.Linear, js.CAS}},
	{"expected-last-judged-loosely", js.Expected, streams, checks, []Edit{{
		"last != msg.h.ExpectedLastSeq {", "last > msg.h.ExpectedLastSeq+2 {"}}, nil},
	{"plain-message-keeps-last-id", js.Expected, streams, publishing, []Edit{{
		"	m.lastTime = at\n	m.lastID = m.lastID[:0]\n	m.hash = mix(m.hash, seq)\n	s.Seq, s.Time, s.Subject, s.Header, s.Data = seq, at, it.subject, nil, it.data\n",
		"	m.lastTime = at\n	m.hash = mix(m.hash, seq)\n	s.Seq, s.Time, s.Subject, s.Header, s.Data = seq, at, it.subject, nil, it.data\n"}}, nil},
	{"batch-torn", js.Batch, streams, batching, []Edit{{
		"		seq, err := m.put(msg)\n		if err != nil { // admit", "		if i == 2 {\n			last = m.skip(msg)\n			continue\n		}\n		seq, err := m.put(msg)\n		if err != nil { // admit"}},
		[]string{js.Acked, js.Linear, js.Info, js.Expected}},
	{"rollup-forgets-the-only-one", js.Deleted, streams, publishing, []Edit{{
		"m.store.Subject(msg.subject).Count > 0 {", "m.store.Subject(msg.subject).Count > 1 {"}}, nil},
	{"delete-hits-the-next", js.Deleted, streams, "server/jetstream/machine/admin.go", []Edit{{
		"m.remove(seq, erase != 0, msgs.ByDelete)", "m.remove(seq+1, erase != 0, msgs.ByDelete)"}}, []string{js.Acked, js.Linear}},
	{"purge-keeps-one-more", js.Deleted, streams, purging, []Edit{{"p.kept < p.Keep && p.end > 0;", "p.kept <= p.Keep && p.end > 0;"}}, []string{js.Linear, js.Expected}},
	{"one-message-above-the-limit", js.Policy, streams, limits, []Edit{{
		"(l.Msgs > 0 && count > l.Msgs ||", "(l.Msgs > 0 && count > l.Msgs+1 ||"}}, nil},
	{"discard-new-one-too-late", js.Policy, streams, limits, []Edit{{
		"int64(s.messages) >= l.Msgs && !full", "int64(s.messages) > l.Msgs && !full"}}, nil},
	{"one-value-too-many", js.KVHist, streams, limits, []Edit{{
		"		for n := int64(inf.count) - per; n > 0; n-- {", "		for n := int64(inf.count) - per - 1; n > 0; n-- {"}}, []string{js.Policy}},
	{"age-ends-early", js.Acked, streams, expire, []Edit{{"	return at + age\n", "	return at + age/3\n"}}, nil},
	{"age-never-ends", js.Policy, streams, expire, []Edit{{"	due = s.dueByAge(due, now, max)\n", ""}}, nil},
	{"work-queue-removal-skipped", js.WorkQueue, streams, retention, []Edit{{
		"	s.machine.RemoveAcked(seq)\n}\n\n// adopt", "	if !s.isQueue() || seq%4 > 0 {\n		s.machine.RemoveAcked(seq)\n	}\n}\n\n// adopt"}}, []string{js.NumPending, js.AtLeastOnce}},
	{"interest-one-too-few", js.Interest, streams, retention, []Edit{{"n > 1 {", "n > 2 {"}}, []string{js.NumPending, js.AtLeastOnce, js.Floor, js.Moves}},
	{"interest-one-too-many", js.NoOrphans, streams, retention, []Edit{{"	s.keep.needs[seq] = n\n", "	s.keep.needs[seq] = n + 1\n"}}, nil},
	{"interest-not-taken-back", js.NoOrphans, streams, retention, []Edit{{"		s.eachNeeded(h, s.letGo)\n", ""}}, nil},
	{"ack-not-replayed", js.AckedStays, streams, consState, []Edit{{
		"	case evAck:\n		c.applyAck(e.seq)\n", "	case evAck:\n		if e.seq%4 > 0 {\n			c.applyAck(e.seq)\n		}\n"}}, []string{js.Moves, js.Floor}},
	{"redeliveries-forgotten-at-restart", js.InOrder, streams, consState, []Edit{{
		"c.applyAgain(p, a.count, e.at)", "c.applyAgain(p, p.count, e.at)"}}, nil},
	{"horizon-ignored", js.InOrder, streams, consNew, []Edit{{"	if c.lazy || n == 0 {\n", "	if c.lazy || n >= 0 {\n"}}, nil},
	{"position-falls-with-a-crash", js.Floor, streams, consNew, []Edit{{"	c.passOver()\n", ""}}, nil},
	{"one-delivery-too-many", js.Limits, streams, consState, []Edit{{
		"		return uint32(min(c.cfg.MaxDeliver, 1<<31))\n", "		return uint32(min(c.cfg.MaxDeliver, 1<<31)) + 1\n"}}, nil},
	{"ack-wait-cut-short", js.Limits, streams, consAlarm, []Edit{{"e == nil || e.at+ack > now", "e == nil || e.at+ack/8 > now"}}, nil},
	{"floor-past-a-gap", js.Floor, streams, consState, []Edit{{"floor, dseq = e.seq-1, 0\n", "floor, dseq = e.seq+1, 0\n"}}, nil},
	{"consumers-not-restored", js.APITruth, streams, streamOpen, []Edit{{"		s.consumers.add(h)\n	}\n	s.keep.restore(d)\n", "		if h.id != 2 {\n			s.consumers.add(h)\n		}\n	}\n	s.keep.restore(d)\n"}}, lost},
	{"counter-reads-a-stale-total", js.Counter, streams, counting, []Edit{{
		"	seq := m.store.Subject(subj).Last\n	if seq == 0 {\n		if within", "	seq := m.store.Subject(subj).Last\n	if before, ok := m.store.Prev(msgs.NewFilter(string(subj)), max(seq, 1)-1); ok && seq%16 == 0 {\n		seq = before\n	}\n	if seq == 0 {\n		if within"}}, nil},
	{"counter-forgets-at-restart", js.Counter, streams, counting, []Edit{
		{"	if !m.cfg.AllowMsgCounter {\n		return true\n	}\n	if m.warm.pending > 0 {\n", "	if m.cfg.AllowMsgCounter || !m.cfg.AllowMsgCounter {\n		return true\n	}\n	if m.warm.pending > 0 {\n"},
		{"	if !ok {\n		return nil, nil, api.ErrMessageCounterBroken\n	}\n	if total, ok = parseCounter", "	if !ok {\n		return new(big.Int), nil, nil\n	}\n	if total, ok = parseCounter"}}, nil},
	{"schedule-fired-again-after-restart", js.Schedule, streams, scheduling, []Edit{{
		"		t.set(subj, seq, due)\n", "		t.set(subj, seq, due-int64(2e9))\n"}}, lost},
	{"schedule-lost-at-checkpoint", js.Schedule, streams, scheduling, []Edit{{
		"	slices.Sort(subjects)\n	dst =", "	slices.Sort(subjects)\n	if len(subjects) > 1 {\n		subjects = subjects[1:]\n	}\n	dst ="}}, []string{js.Tombstones}},
	{"schedule-fires-early", js.Schedule, streams, firing, []Edit{{
		"t.queue[0].due <= now &&", "t.queue[0].due <= now+int64(time.Second) &&"}}, nil},
	{"replaced-schedule-fires", js.Schedule, streams, publishing, []Edit{{
		"	} else if m.schedules.any() {\n		m.schedules.drop(string(msg.subject))\n	}\n", "	}\n"}}, nil},
	{"fired-schedule-stays", js.Schedule, streams, scheduling, []Edit{{
		"		m.remove(s.seq, false, msgs.ByDelete)\n		m.schedules.drop(subj)\n", "		m.schedules.drop(subj)\n		_ = msgs.ByDelete\n"}}, nil},
	{"fast-batch-acks-what-it-dropped", js.Fast, streams, fastBatch, []Edit{{
		"	b.seq = r.Seq\n	b.flying.start(r.Seq)\n", "	b.seq = r.Seq\n	if r.Op == FastAppend && r.Seq%5 == 0 {\n		b.settle()\n		return FastAnswer{Batch: b, Body: dst}\n	}\n	b.flying.start(r.Seq)\n"}}, nil},
	{"fast-batch-acks-on-arrival", js.Fast, streams, fastBatch, []Edit{{
		"	b.flying.start(r.Seq)\n", "	b.flying.start(r.Seq)\n	b.done = r.Seq\n"}}, nil},
	{"fast-batch-ignores-gaps", js.Fast, streams, fastBatch, []Edit{{
		"		if b.gapFail || r.Seq < expected {", "		if r.Seq < expected {"}}, nil},
	{"fast-batch-goes-on-behind-a-refusal", js.Fast, streams, fastBatch, []Edit{{
		"	if b.gapFail {\n		a.Chain = b.chain\n	}\n", "	_ = b.chain\n"}}, nil},
	{"rot-served-silently", js.Rot, streams, msgRecord, []Edit{{
		"	if recordSum(p[:r.length], seed, off) != binary.LittleEndian.Uint32(p) {", "	if len(p) == 0 && recordSum(p[:r.length], seed, off) != binary.LittleEndian.Uint32(p) {"}}, nil},
	{"rot-loses-silently", js.Rot, streams, msgPoint, []Edit{{
		"	if !found {\n		l.seqs = slices.Insert", "	if !found && size < 0 {\n		l.seqs = slices.Insert"}, {"	return !found\n", "	return !found && size < 0\n"}}, nil},
	{"rotten-log-taken-for-torn", js.Rot, streams, logScan, []Edit{{
		"	return s.vouched > pos ||", "	return s.vouched > pos+1<<30 ||"}}, nil},
	{"purge-keep-off-by-one-across-blocks", js.Deleted, streams, msgPurge, []Edit{{
		"		p.end = seq // 0: there are no more than are kept\n		p.kept++\n",
		"		if _, i, ok := s.locate(seq); ok && i == 0 && seq > s.first && p.end != seq+1 {\n			p.kept--\n		}\n		p.end = seq\n		p.kept++\n"}}, []string{js.Linear, js.Expected, js.Acked}},
	{"pending-counts-the-one-delivered", js.NumPending, streams, consServe, []Edit{{
		"d.msg, d.count, d.left = msg, 1, c.ahead-1", "d.msg, d.count, d.left = msg, 1, c.ahead"}}, nil},
	{"entry-times-fall", js.EarlyTime, streams, msgStore, []Edit{{
		"	at = max(at, s.lastTime)\n", "	at = max(at, s.lastTime)\n	if s.last%8 == 7 {\n		at -= 5e6\n	}\n"}}, []string{js.Dedupe, js.Acked, js.Policy, js.Schedule, js.MirrorPrefix}},
	{"checkpoint-lets-go-too-early", js.Acked, streams, streamOpen, []Edit{{
		"			s.manifest = manifest\n", "			s.manifest = manifest\n			s.store.Release(manifest)\n"}}, lost},
	{"checkpoint-keeps-too-little", js.Acked, streams, msgJobs, []Edit{{"		if g.needed >= d.durable ||", "		if g.needed > d.durable ||"}}, lost},
	{"full-disk-loses-what-waited", js.Acked, streams, msgFull, []Edit{{
		"		again = append(again, j)\n", "		if j.frame == nil {\n			again = append(again, j)\n		}\n"}}, append([]string{js.Fast, js.Counter, js.Schedule, js.MirrorPrefix, js.Rot}, lost...)},
	{"full-disk-leaves-half-a-write", js.Acked, streams, msgFull, []Edit{{
		"			f.cut, f.handed = f.sound, 0\n", "			f.handed = 0\n"}}, append([]string{js.Fast, js.Counter, js.Schedule, js.MirrorPrefix, js.Rot}, lost...)},
	{"refused-publish-not-released", core.Reach, streams, streamLog, []Edit{{
		"		s.fail(err)\n	}\n	s.letGoIntake(t)\n", "		s.fail(err)\n	}\n"}}, nil},
	{"payload-spent-when-proposed", core.NoMore, streams, raftPropose, []Edit{{
		"	g.bytes += uint64(len(payload))\n", "	g.bytes += uint64(len(payload))\n	if g.opts.Spent != nil {\n		g.opts.Spent(payload)\n	}\n"}}, lost},
	{"payload-spent-before-it-is-applied", core.NoMore, streams, raftApply, []Edit{{
		"	g.resumed = false\n	if !g.machine.Apply(&g.entry) {\n", "	g.resumed = false\n	if g.opts.Spent != nil && !it.replay {\n		g.opts.Spent(it.payload)\n	}\n	if !g.machine.Apply(&g.entry) {\n"}}, lost},
	{"lifetimes-forgotten-at-restart", js.Policy, streams, msgOpened, []Edit{{
		"		if !b.isDead(int(t.slot)) {\n			s.expiry.heap.Push", "		if !b.isDead(int(t.slot)) && t.slot%2 == 1 {\n			s.expiry.heap.Push"}}, nil},
}
