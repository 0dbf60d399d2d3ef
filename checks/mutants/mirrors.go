package mutants

import "github.com/lockstepmq/lockstep/checks/js"

const (
	following = "server/jetstream/source/request.go"
	copies    = "server/jetstream/machine/copy.go"
	consPush  = "server/jetstream/consumer/push.go"
	consAdmin = "server/jetstream/consumer/admin.go"
	consSend  = "server/jetstream/consumer/deliver.go"
	consAsk   = "server/jetstream/consumer/request.go"
)

// copying are those of mirrors, sources and push consumers.
var copying = []Mutant{
	{"source-begins-at-its-last", js.SourceOnce, streams, following, []Edit{{
		"	f.proposed = seq\n	if f.remade", "	f.proposed = max(seq, 1) - 1\n	if f.remade"}}, nil},
	{"filter-ignored-after-resume", js.SourceOnce, streams, following, []Edit{{
		"if s := f.src.FilterSubject; s != \"\" {", "if s := f.src.FilterSubject; s != \"\" && f.proposed == 0 {"}}, []string{js.MirrorPrefix}},
	{"made-anew-and-followed-from-where-it-was", js.PassThrough, streams, following, []Edit{{
		"		f.proposed = 0\n", "		f.proposed = seq\n"}}, nil},
	{"moved-and-left-behind", js.OriginAck, streams, consAdmin, []Edit{{
		"		c.ackUpTo(seq-1, false)\n", "		_ = c.floor\n"}}, nil},
	{"copy-timed-by-its-own-clock", js.MirrorPrefix, streams, copies, []Edit{{
		"msg.seq, msg.time, msg.copied, msg.remember = seq, at,", "msg.seq, msg.time, msg.copied, msg.remember = seq, max(at, m.now),"}}, nil},
	{"conditions-copied", js.MirrorPrefix, streams, copies, []Edit{{
		"		b.header = AppendWithoutConditions(b.header[:0], c.Header)\n", "		flags = 0\n"}}, nil},
	{"source-forgotten-at-restart", js.SourceOnce, streams, snapshot, []Edit{{
		"	m.sources.restore(&r)\n", "	m.sources.restore(&r)\n	m.sources = sources{}\n"}}, lost},
	{"one-heartbeat-only", js.Beats, streams, consPush, []Edit{{
		"		p.beatAt = now + int64(c.cfg.Heartbeat)\n", "		p.beatAt = 0\n"}}, []string{js.CatchUp}},
	{"heartbeat-names-the-next", js.Beats, streams, consAsk, []Edit{{
		"api.AppendHeartbeat(w.buf[:0], c.dseq, c.position(), stalled)", "api.AppendHeartbeat(w.buf[:0], c.dseq+1, c.position(), stalled)"}},
		[]string{js.CatchUp, js.PassThrough, js.Moves}},
	{"flow-control-ignored", js.Window, streams, consPush, []Edit{{
		"return c.push.window > 0 && c.push.outstanding > c.push.window }", "return c.push.window > 0 && c.push.outstanding > 8*c.push.window }"}}, nil},
	{"stalled-after-interest-came-back", js.Moves, streams, consPush, []Edit{{
		"	p.outstanding, p.asked, p.question = 0, 0, nil\n", "	p.asked, p.question = 0, nil\n"}}, nil},
	{"cold-message-passed-over", js.PushOrder, streams, consSend, []Edit{{
		"	if found == msgs.Cold {\n		c.fetch(msg.Seq)\n		return false\n	}\n	if !c.mayDeliver()",
		"	if found == msgs.Cold {\n		if c.fetch(msg.Seq); c.lazy {\n			c.passTo(msg.Seq)\n			c.ahead--\n		}\n		return false\n	}\n	if !c.mayDeliver()"}},
		[]string{js.PassThrough}},
}
