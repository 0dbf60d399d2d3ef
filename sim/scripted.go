package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
)

// Script is a scripted plan: it brings about, again and again on an otherwise healthy
// world, what faults at random rarely line up.
type Script struct {
	Name, About string
	mean        time.Duration // between two acts
	journal     bool          // needs one
	act         func(*World, *rand.Rand)
}

// Scripts lists the scripted plans.
func Scripts() []Script {
	return []Script{
		{"churn-reload", "reloads while every client subscribes and unsubscribes", 400 * time.Millisecond, false, (*World).actChurnReload},
		{"at-max-pending", "a reader takes nothing until max_pending is nearly, or just, reached", 3 * time.Second, false, (*World).actMaxPending},
		{"loaded-lame-duck", "lame duck mode while every client publishes much", 12 * time.Second, false, (*World).actLameDuck},
		{"kill-after-answer", "the server is killed right after it confirmed a SUB or UNSUB", 2 * time.Second, false, (*World).actKillAfterAnswer},
		{"power-after-ack", "the disk loses power right after a record was acknowledged", time.Second, true, (*World).actPowerAfterAck},
		{"full-disk", "the disk is full for a while", time.Second, true, (*World).actFullDisk},
		{"user-removed", "a reload removes a user while two clients log in as it", 2 * time.Second, false, (*World).actUserRemoved},
	}
}

// drawScript decides whether the run is a scripted plan.
func (p *Plan) drawScript(rnd *rand.Rand) {
	all := Scripts()
	on, s := rnd.IntN(10) == 0, all[rnd.IntN(len(all))]
	journal := newJournalPlan(rnd, p.Profile)
	if on && p.Profile == Swarm || p.Profile == Plans {
		p.follow(s, journal)
	}
}

// follow makes the plan that of a script: nothing else goes wrong.
func (p *Plan) follow(s Script, journal *JournalPlan) {
	p.Script, p.Rates, p.Token, p.Journal = s.Name, nil, false, nil
	p.Link.Bandwidth, p.Refuse, p.Slow, p.Lateness = 0, 0, 0, 0
	p.Chaos = max(p.Chaos, 30*time.Second, 6*s.mean) // that nothing happens in it is one in 400
	if s.journal {
		f := &journal.Faults
		f.WriteError, f.WriteFull, f.SyncError, f.ReadError, f.Hang = 0, 0, 0, 0, 0
		journal.CrashPer, journal.RecoverPer, journal.DamagePer = 0, 0, 0
		p.Journal = journal
	}
}

// ParseScript finds a scripted plan by name.
func ParseScript(name string) (Script, bool) {
	all := Scripts()
	i := slices.IndexFunc(all, func(s Script) bool { return s.Name == name })
	if i < 0 {
		return Script{}, false
	}
	return all[i], true
}

// startScript lets the plan's script act until the world heals.
func (w *World) startScript() {
	s, ok := ParseScript(w.plan.Script)
	if !ok {
		return
	}
	rnd := w.sim.Rand("script plan")
	var next func(time.Duration)
	next = func(d time.Duration) {
		w.sim.After(d, nil, clock.KindFault, func() {
			if w.chaos {
				s.act(w, rnd)
				next(time.Duration(min(rnd.ExpFloat64(), 5) * float64(s.mean)))
			}
		})
	}
	next(time.Duration(rnd.Float64() * float64(s.mean)))
}

// acted counts an act of the script.
func (w *World) acted() { w.count("plan: " + w.plan.Script) }

// everybody lets every connected client act, now.
func (w *World) everybody(act func(*Client)) {
	for _, c := range w.clients {
		c.strand.Post(func() {
			if c.state == clientReady && c.conn.Buffered() < unsentMax {
				act(c)
				c.ping()
				c.send()
			}
		})
	}
}

// churn subscribes and unsubscribes.
func (c *Client) churn() {
	for range 1 + c.rnd.IntN(8) {
		if s := c.anySub(); s != nil && c.rnd.IntN(2) == 0 {
			c.unsubscribe(s, 0)
		} else {
			c.scriptSub()
		}
		c.publish(pick(c.rnd, publishSubjects, c.account), "", c.size()%500, 0)
	}
}

func (w *World) actChurnReload(rnd *rand.Rand) {
	if w.process == nil || w.process.ending {
		return
	}
	w.acted()
	w.everybody((*Client).churn)
	for range 1 + rnd.IntN(3) {
		w.sim.After(logTime(rnd, 10*time.Microsecond, 20*time.Millisecond), nil, clock.KindFault, w.Reload)
	}
	w.sim.After(logTime(rnd, 10*time.Microsecond, 20*time.Millisecond), nil, clock.KindFault, func() { w.everybody((*Client).churn) })
}

// actMaxPending keeps a reader from reading while others of its account send it as
// much as may be pending, a little less or a little more.
func (w *World) actMaxPending(rnd *rand.Rand) {
	victim := w.clients[rnd.IntN(len(w.clients))]
	var pair *netsim.SimPair
	for _, p := range w.net.Pairs(nil) {
		if p.ClientHost() == victim.name {
			pair = p
		}
	}
	if pair == nil || victim.state != clientReady || len(victim.live) >= limitedSubs {
		return
	}
	w.acted()
	w.net.SlowReader(pair, true, logTime(rnd, 200*time.Millisecond, 4*time.Second))
	victim.strand.Post(func() {
		if victim.state == clientReady {
			victim.subscribe("lone.a", "", false)
			victim.send()
		}
	})
	w.fill(victim, w.plan.MaxPending+w.plan.SocketBuffer*2-8<<10+rnd.IntN(16<<10))
}

// fill lets the others of an account publish about so many bytes to it, in steps.
func (w *World) fill(victim *Client, bytes int) {
	if bytes <= 0 || !w.chaos {
		return
	}
	const step = 16 << 10
	for _, c := range w.clients {
		if c.account != victim.account || c == victim {
			continue
		}
		c.strand.Post(func() {
			if c.state != clientReady || c.conn.Buffered() > unsentMax {
				return
			}
			size := min(1000, c.payloadMax()-100)
			for range min(step, bytes)/size + 1 {
				c.publish("lone.a", "", size, 0)
			}
			c.ping()
			c.send()
		})
		break
	}
	w.sim.After(5*time.Millisecond, nil, clock.KindFault, func() { w.fill(victim, bytes-step) })
}

func (w *World) actLameDuck(rnd *rand.Rand) {
	if w.process == nil || w.process.ending {
		return
	}
	w.acted()
	w.everybody((*Client).flood)
	w.strikeLameDuck()
	for range 1 + rnd.IntN(10) {
		w.sim.After(logTime(rnd, time.Millisecond, 30*time.Second), nil, clock.KindFault, func() { w.everybody((*Client).flood) })
	}
}

// actKillAfterAnswer arms the kill: the next client that hears that its operations
// were carried out sets it off.
func (w *World) actKillAfterAnswer(rnd *rand.Rand) {
	if w.process == nil || w.process.ending {
		return
	}
	c := w.clients[rnd.IntN(len(w.clients))]
	power := rnd.IntN(2) == 0
	w.everybody((*Client).churn)
	c.answered = func() {
		w.sim.After(0, nil, clock.KindFault, func() {
			if w.chaos && w.process != nil {
				w.acted()
				w.strikeDeath("crash", power)
			}
		})
	}
}

func (w *World) actPowerAfterAck(*rand.Rand) { w.journal.acked = (*journalLoad).losePower }

// losePower ends the machine's life, and what its disk had not synced.
func (l *journalLoad) losePower() {
	life := l.life
	l.w.sim.After(0, nil, clock.KindFault, func() {
		if l.stopped || l.life != life || !l.disk.Mounted() {
			return
		}
		l.w.acted()
		l.clock.Kill()
		l.life++
		l.disk.PowerLoss()
		l.w.sim.After(logTime(l.rnd, time.Millisecond, time.Second), nil, clock.KindFault, l.begin)
	})
}

func (w *World) actFullDisk(rnd *rand.Rand) {
	l := w.journal
	w.acted()
	full := l.plan.Faults
	full.WriteFull = 1
	l.disk.SetFaults(full)
	w.sim.After(logTime(rnd, 10*time.Millisecond, 500*time.Millisecond), nil, clock.KindFault, func() { l.disk.SetFaults(l.plan.Faults) })
}

// actUserRemoved takes a user away for a while, as two clients log in as that user.
func (w *World) actUserRemoved(rnd *rand.Rand) {
	if w.process == nil || w.process.ending || w.removed != "" {
		return
	}
	var some []*Client
	for _, c := range w.clients {
		if len(some) == 0 && c.user != "a-free" && c.user != anyUser || len(some) > 0 && some[0].user == c.user {
			some = append(some, c)
		}
	}
	if len(some) == 0 {
		return
	}
	w.acted()
	w.removed = some[0].user
	if len(some) > 1 && rnd.IntN(2) == 0 {
		some = some[:1] // the others stay
	}
	for _, c := range some { // they come back at once
		c.strand.Post(func() {
			if c.conn != nil {
				c.conn.Abort(nil)
			}
		})
	}
	w.sim.After(logTime(rnd, 5*time.Millisecond, time.Second), nil, clock.KindFault, func() { w.employ(w.removed, false) })
	w.sim.After(time.Second+logTime(rnd, 100*time.Millisecond, 2*time.Second), nil, clock.KindFault, func() {
		w.employ(w.removed, true)
		w.removed = ""
	})
}

// employ puts a user into the configuration, or takes it out.
func (w *World) employ(name string, on bool) {
	change := func() core.World {
		next := w.rec.h.World
		next.Users = slices.Clone(next.Users)
		for i := range next.Users {
			if u := &next.Users[i]; u.Name == name {
				if u.Spans == nil {
					u.Spans = []core.Span{{On: true}}
				}
				u.Spans = append(slices.Clone(u.Spans), core.Span{Since: w.rec.now(), On: on})
			}
		}
		return next
	}
	p := w.process
	if p == nil || p.ending {
		w.rec.h.World = change() // the next one begins with it
		return
	}
	w.sim.After(0, p.clock, clock.KindWorkload, func() {
		if w.process == p {
			w.reload(p, change(), false)
		}
	})
}
