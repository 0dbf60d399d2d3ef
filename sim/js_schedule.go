package sim

import (
	"fmt"
	"strconv"
	"time"

	"github.com/lockstepmq/lockstep/checks/js"
	"github.com/lockstepmq/lockstep/server/wire"
)

// scheduleLoad has messages made at their time, and other messages in between.
type scheduleLoad struct {
	plainLoad
	next    time.Duration // virtual, of the next thing that is done
	sourced int           // schedules that are made of another message; each has a subject of its own
	quiet   bool
	leave   bool // the repeating ones go on, in the end
}

const (
	scheduleSubjects = 10
	schedulePause    = 400 * time.Millisecond // on average, between two things that are done
)

func startScheduleLoad(j *jsWorld) jsLoad {
	l := &scheduleLoad{plainLoad: plainLoad{j: j}, leave: j.w.sim.Rand("js/schedule").IntN(3) == 0}
	l.s = j.newStream("SCH", map[string]any{"subjects": []string{"sch.>"}, "allow_msg_schedules": true, "allow_rollup_hdrs": true}, &js.Stream{Schedules: true})
	l.begin("sch", 2, l.step)
	return l
}

func (l *scheduleLoad) step(c *jsClient) {
	if now := c.w.sim.Now(); now < l.next {
		return
	} else {
		l.next = now + time.Duration(min(c.rnd.ExpFloat64(), 6)*float64(schedulePause))
	}
	rnd, s := c.rnd, l.s
	subject := "sch.s" + strconv.Itoa(rnd.IntN(scheduleSubjects))
	switch n := rnd.IntN(100); {
	case n < 40:
		l.once(c, subject, time.Duration(rnd.IntN(17_000)-2000)*time.Millisecond)
	case n < 44: // not in this run
		l.once(c, subject, 20*time.Hour)
	case n < 60:
		l.every(c, subject, time.Duration(1+rnd.IntN(4))*time.Second, false)
	case n < 68:
		l.every(c, subject, time.Duration(2+rnd.IntN(4))*time.Second, true)
	case n < 72:
		l.sourced++
		w := l.write(c, "sch.q"+strconv.Itoa(l.sourced))
		w.Schedule.Due, w.Schedule.Target, w.Schedule.Source = s.j.serverNow().Add(time.Duration(rnd.IntN(8))*time.Second), l.target(c), "sch.from"
		l.publish(c, w)
	case n < 76: // another message in its place
		l.publish(c, l.write(c, subject))
	case n < 82:
		w := l.write(c, "sch.t9")
		w.Schedule.Ends, w.Fleeting = subject, false
		l.publish(c, w)
	case n < 86 && s.bySubj[subject] > 0:
		s.delete(c, s.bySubj[subject])
	case n < 89:
		s.purge(c, subject, 0, 0)
	case n < 91:
		s.info(c)
	default:
		s.publish(c, s.write(c, [...]string{"sch.from", "sch.t8"}[rnd.IntN(2)]), nil)
	}
}

// write makes the record of a publish that has to do with schedules. What is on a subject of schedules goes
// by itself.
func (l *scheduleLoad) write(c *jsClient, subject string) *js.Write {
	w := l.s.write(c, subject)
	w.Schedule, w.Fleeting = &js.Scheduled{}, true
	return w
}

func (l *scheduleLoad) target(c *jsClient) string { return "sch.t" + strconv.Itoa(c.rnd.IntN(4)) }

func (l *scheduleLoad) once(c *jsClient, subject string, in time.Duration) {
	w := l.write(c, subject)
	w.Schedule.Due, w.Schedule.Target = l.j.serverNow().Add(in).Truncate(time.Millisecond), l.target(c)
	l.publish(c, w)
}

func (l *scheduleLoad) every(c *jsClient, subject string, d time.Duration, calendar bool) {
	w := l.write(c, subject)
	w.Schedule.Every, w.Schedule.Target = d, l.target(c)
	if calendar {
		w.Schedule.Every = time.Minute // the last interval of each minute is another one; none is longer
		l.publish(c, w, "Nats-Schedule", fmt.Sprintf("*/%d * * * * *", d/time.Second))
		return
	}
	l.publish(c, w, "Nats-Schedule", "@every "+d.String())
}

func (l *scheduleLoad) publish(c *jsClient, w *js.Write, more ...string) {
	p := w.Schedule
	switch {
	case p.Ends != "":
		more = append(more, "Nats-Scheduler", p.Ends, "Nats-Schedule-Next", "purge", endsHeader, "1")
	case p.Target == "":
	case p.Every == 0:
		more = append(more, "Nats-Schedule", "@at "+p.Due.UTC().Format(time.RFC3339Nano))
	}
	if p.Target != "" {
		more = append(more, "Nats-Schedule-Target", p.Target)
		l.j.ops["js_schedules"]++
	}
	if p.Source != "" {
		more = append(more, "Nats-Schedule-Source", p.Source)
	}
	l.s.publish(c, w, nil, more...)
}

// endsHeader tells a publish that ends a schedule from a message that a schedule made.
const endsHeader = "X-Ends"

// firingOf is what a message says of the schedule that made it; nil when none did.
func firingOf(head []byte) *js.Firing {
	scheduler, ok := wire.HeaderValue(head, "Nats-Scheduler")
	if !ok {
		return nil
	}
	if _, published := wire.HeaderValue(head, endsHeader); published {
		return nil
	}
	f := &js.Firing{Scheduler: string(scheduler)}
	next, _ := wire.HeaderValue(head, "Nats-Schedule-Next")
	f.Next, _ = time.Parse(time.RFC3339, string(next)) // what is no time is the last time
	return f
}

// calm ends the schedules that would go on for ever, unless they may.
func (l *scheduleLoad) calm() {
	l.plainLoad.calm()
	l.quiet = true
	if l.leave || !l.s.created {
		return
	}
	c := l.clients[0]
	c.strand.Post(func() {
		if c.state != clientReady {
			return
		}
		for i := range scheduleSubjects {
			l.s.purge(c, "sch.s"+strconv.Itoa(i), 0, 0)
		}
		c.send()
	})
}
