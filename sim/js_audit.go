package sim

import (
	"fmt"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/checks/js"
	"github.com/lockstepmq/lockstep/clock"
)

const (
	jsDrainMax = 120 * time.Second
	jsAuditMax = 600 * time.Second
)

// startJS lets the plan's workloads begin.
func (w *World) startJS() {
	if w.js == nil {
		return
	}
	w.note(clock.LevelFault, "JetStream: %+v", w.js.plan)
	for _, name := range w.js.plan.Loads {
		for _, l := range jsLoads {
			if l.name == name {
				w.js.loads = append(w.js.loads, l.start(w.js))
			}
		}
	}
	w.js.disk.SetFaults(w.js.plan.Disk)
}

// finishJS lets the workloads drain, reads every stream, restarts the server and reads again.
func (w *World) finishJS(advance func(time.Duration)) {
	j := w.js
	if j == nil {
		return
	}
	for _, l := range j.loads {
		l.calm()
	}
	if !j.wait(advance, jsDrainMax, j.settled) {
		w.violate(js.Moves, "%v after everything was healed JetStream still does not serve everybody: %s", jsDrainMax, j.unsettled())
		return
	}
	for _, c := range j.clients {
		c.paused = true
	}
	j.wait(advance, jsTimeout*2, j.idle)
	for _, h := range j.hist.Streams {
		h.Settled = j.serverNow()
	}
	auditor := j.newClient("js-auditor")
	rounds := 2 + j.rnd.IntN(2)
	for round := range rounds {
		if round > 0 {
			j.restart(advance)
		}
		if !j.wait(advance, jsAuditMax, func() bool { return j.serving && auditor.idle() }) {
			w.violate(js.Moves, "JetStream does not serve on a healthy disk")
			return
		}
		if !j.audit(advance, auditor, round) {
			return
		}
	}
}

func (c *jsClient) stop() {
	c.stopped = true
	if c.conn != nil {
		c.conn.Close(nil)
	}
}

// wait lets time pass until something is so, and tells whether it is.
func (j *jsWorld) wait(advance func(time.Duration), most time.Duration, is func() bool) bool {
	for d := time.Duration(0); d < most; d += quietStep {
		j.watch()
		if is() {
			return true
		}
		advance(quietStep)
	}
	return is()
}

// settled tells whether nothing is left to deliver.
func (j *jsWorld) settled() bool { return j.unsettled() == "" }

func (j *jsWorld) unsettled() string {
	if !j.serving {
		return "the server is down"
	}
	for i, l := range j.loads {
		if !l.drained() {
			return "workload " + j.plan.Loads[i] + " is not drained" + describeLoad(l)
		}
	}
	return ""
}

// describeLoad says what consumers report.
func describeLoad(l jsLoad) string {
	load, ok := l.(queued)
	if !ok {
		return ""
	}
	q := load.queue()
	text := ""
	if p, ok := l.(*pushLoad); ok {
		text = p.describe()
	}
	for _, k := range q.consumers {
		if k.hist != nil && len(k.hist.Infos) > 0 {
			in := k.hist.Infos[len(k.hist.Infos)-1].Answer
			text += fmt.Sprintf("; %s > %s has %d pending, %d acks pending, delivered %v, floor %v", q.s.name, k.name, in.Pending, in.AckPend, *in.Delivered, *in.AckFloor)
		}
	}
	return text
}

func (j *jsWorld) idle() bool {
	for _, c := range j.clients {
		if !c.idle() {
			return false
		}
	}
	return true
}

// restart ends the server, gently or not, and starts it again.
func (j *jsWorld) restart(advance func(time.Duration)) {
	w := j.w
	p := w.process
	switch {
	case p == nil:
	case j.rnd.IntN(3) == 0:
		w.note(clock.LevelFault, "audit: the server stops")
		stopped := false
		p.ending = true
		w.sim.After(0, p.clock, clock.KindWorkload, func() { p.server.Stop(func() { stopped = true }) })
		j.wait(advance, 30*time.Second, func() bool { return stopped })
		if !stopped {
			w.violate(core.CrashFree, "the server does not stop")
		}
		w.endProcess(false)
	default:
		w.note(clock.LevelFault, "audit: power is lost")
		w.endProcess(true)
	}
	j.serving = false
	w.restartAfter(0)
	advance(quietStep)
}

// queued is a load with durable consumers.
type queued interface{ queue() *queueLoad }

func (l *queueLoad) queue() *queueLoad { return l }

// awaited is a load that must come to rest before it is read.
type awaited interface {
	await(advance func(time.Duration), c *jsClient)
}

// audit reads every stream.
func (j *jsWorld) audit(advance func(time.Duration), c *jsClient, round int) bool {
	for _, l := range j.loads {
		if a, ok := l.(awaited); ok {
			a.await(advance, c)
		}
		for _, s := range l.streams() {
			if !s.created && len(s.hist.Deletions) == 0 {
				continue
			}
			if !j.auditStream(advance, c, s, round) {
				return false
			}
		}
		if q, ok := l.(queued); ok {
			j.auditConsumers(advance, c, q.queue())
		}
	}
	return true
}

func (j *jsWorld) auditStream(advance func(time.Duration), c *jsClient, s *jsStream, round int) bool {
	var got *js.Audit
	for try := 0; try < 4 && got == nil; try++ { // the first may be lost with a connection
		over := false
		j.wait(advance, jsTimeout, c.idle)
		c.strand.Post(func() {
			if over = c.state != clientReady; over {
				return
			}
			c.request("STREAM.CREATE."+s.name, s.config, func(a *js.Answer) { // so that one that was deleted is there
				if over = a == nil; !over {
					s.read(c, !s.plain && (round+j.plan.Variants[5])%2 == 0, func(a *js.Audit) { got, over = a, true })
				}
			})
			c.send()
		})
		j.wait(advance, jsAuditMax, func() bool { return over })
	}
	if got == nil {
		j.w.violate(js.APITruth, "stream %s cannot be read in audit %d", s.name, round+1)
		return false
	}
	j.sampleWall()
	s.hist.Audits = append(s.hist.Audits, got)
	s.hist.Jumped = j.w.faults["wall-jump"]+j.w.faults["drift"]+j.w.faults["stuck-clock"]+j.w.faults["suspend"] > 0
	j.ops["js_audited"] += len(got.Msgs)
	return true
}

// auditConsumers asks every consumer, when nobody else is busy.
func (j *jsWorld) auditConsumers(advance func(time.Duration), c *jsClient, q *queueLoad) {
	for _, k := range q.consumers {
		if k.ghost != nil {
			q.s.hist.Consumers = append(q.s.hist.Consumers, k.ghost)
			k.ghost = nil
		}
		if k.hist == nil {
			continue
		}
		h, n := k.hist, len(k.hist.Infos)
		for try := 0; try < 4 && len(h.Infos) == n; try++ {
			j.wait(advance, jsTimeout, c.idle)
			c.strand.Post(func() {
				k.asked = false
				if c.state == clientReady {
					k.info(c)
					c.send()
				}
			})
			advance(quietStep)
			j.wait(advance, jsTimeout*2, func() bool { return !k.asked })
		}
		if len(h.Infos) == n {
			j.w.violate(js.APITruth, "consumer %s is not there in the audit", h)
			continue
		}
		h.Infos[len(h.Infos)-1].Quiet = true
		h.Restarts = j.lives - 1
	}
}

// judgeJS judges what clients saw of JetStream.
func (w *World) judgeJS() core.Verdict {
	if w.js == nil {
		return core.Verdict{}
	}
	w.replicas.forgetReads()
	return js.Check(&w.js.hist)
}
