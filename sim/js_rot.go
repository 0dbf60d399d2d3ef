package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/checks/js"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/logging"
	"github.com/lockstepmq/lockstep/storage"
)

// rot is what happens when all has been judged and all clients have gone: files of the stopped server are damaged
// between two of its lives, and every stream is read once more.
type rot struct {
	j       *jsWorld
	rnd     *rand.Rand
	log     *rotLog
	auditor *jsClient
	damage  []string
}

// rotEvery: so many runs have one with damage.
const rotEvery = 3

// rotJS lets the disk rot, in some runs.
func (w *World) rotJS(advance func(time.Duration)) {
	j := w.js
	if j == nil || j.plan.Rot%rotEvery != 0 || len(w.found) > 0 || !j.serving || j.faulty() {
		return
	}
	r := &rot{j: j, rnd: w.sim.Rand("js/rot"), log: &rotLog{next: w.logger}}
	w.logger = r.log
	j.rotten = true
	for range 1 + r.rnd.IntN(3) {
		if !r.round(advance) {
			break
		}
	}
	if r.auditor != nil {
		r.auditor.stop()
	}
	advance(quietStep)
}

// round stops the server, damages files, starts it, and reads. It is false when the server does not serve any more.
func (r *rot) round(advance func(time.Duration)) bool {
	j, w := r.j, r.j.w
	if !r.stop(advance) {
		return false
	}
	r.spoil()
	j.refused, j.serving = nil, false
	w.restartAfter(0)
	if !j.wait(advance, jsAuditMax, func() bool { return j.serving || j.refused != nil }) {
		w.violate(js.Rot, "the server neither serves nor says why not: %v", r.damage)
		return false
	}
	if j.refused != nil {
		j.ops["js_rot_refused"]++
		w.note(clock.LevelFault, "JetStream does not serve its damaged disk: %v", j.refused)
		return false
	}
	if r.auditor == nil {
		r.auditor = j.newClient("js-rot")
	}
	if !j.wait(advance, jsAuditMax, r.auditor.idle) {
		w.violate(js.Rot, "nobody can connect to the server: %v", r.damage)
		return false
	}
	for _, l := range j.loads {
		for _, s := range l.streams() {
			if len(s.hist.Audits) > 0 {
				r.read(advance, s)
			}
		}
	}
	return true
}

func (r *rot) stop(advance func(time.Duration)) bool {
	j, w := r.j, r.j.w
	p, stopped := w.process, false
	p.ending = true
	w.sim.After(0, p.clock, clock.KindWorkload, func() { p.server.Stop(func() { stopped = true }) })
	j.wait(advance, 30*time.Second, func() bool { return stopped })
	w.endProcess(false)
	return stopped
}

// spoil damages some files. Of the log it is one bit at most at a time: where the end of the log is spoiled together with
// the witness of its closing, nobody can tell it from a write that was cut short.
func (r *rot) spoil() {
	disk := r.j.disk
	groups := make(map[string][]string) // by what they are: of streams, of the log, or what all depend on
	for _, name := range disk.Files() {
		kind := strings.SplitN(name, "/", 2)[0]
		if kind == "wal" && !strings.HasSuffix(name, ".wal") || kind != "wal" && kind != "streams" {
			kind = "root"
		}
		if size, _ := disk.FileSize(name); size > 0 {
			groups[kind] = append(groups[kind], name)
		}
	}
	inLog := false
	for range 1 + r.rnd.IntN(4) {
		kind := "streams"
		switch n := r.rnd.IntN(60); {
		case n == 0:
			kind = "root"
		case n < 20:
			kind = "wal"
		}
		if len(groups[kind]) == 0 {
			continue
		}
		list := groups[kind]
		name := list[r.rnd.IntN(len(list))]
		if kind == "wal" && r.rnd.IntN(3) > 0 {
			name = list[len(list)-1] // what no checkpoint has is there
		}
		size, _ := disk.FileSize(name)
		at := r.rnd.Int64N(size)
		switch {
		case kind == "wal" && inLog:
		case kind == "streams" && r.rnd.IntN(6) == 0:
			how := storage.Rot(r.rnd.IntN(2))
			if disk.RotSector(name, at/512, how) {
				r.damage = append(r.damage, fmt.Sprintf("sector %d of %s", at/512, name))
			}
		case disk.FlipBit(name, at*8+int64(r.rnd.IntN(8))):
			inLog = inLog || kind == "wal"
			r.damage = append(r.damage, fmt.Sprintf("byte %d of %d of %s", at, size, name))
		}
	}
	r.j.ops["js_rot_damages"] += len(r.damage)
	r.j.w.note(clock.LevelFault, "rot: %v", r.damage)
}

// read reads a stream, message by message where something is missing, and publishes a little.
func (r *rot) read(advance func(time.Duration), s *jsStream) {
	c, j := r.auditor, r.j
	got := &js.RotRead{At: c.w.rec.now(), Damage: slices.Clone(r.damage), Failed: make(map[uint64]bool)}
	s.hist.Rots = append(s.hist.Rots, got)
	over, failed := false, false
	do := func(fn func()) bool {
		over, failed = false, false
		j.wait(advance, jsTimeout*2, c.idle)
		c.strand.Post(func() {
			if failed = c.state != clientReady; !failed {
				fn()
				c.send()
			}
		})
		j.wait(advance, jsAuditMax, func() bool { return over || failed })
		return over && !failed
	}
	there := do(func() {
		c.request("STREAM.INFO."+s.name, nil, func(a *js.Answer) {
			over, got.Gone = true, a != nil && a.Err == 10059
			failed = a == nil || a.Err != 0
		})
	})
	if there {
		do(func() { r.next(s, got, 1, func() { over = true }) })
		r.probe(do, s, got, &over)
		do(func() {
			c.request("STREAM.INFO."+s.name, nil, func(a *js.Answer) {
				if over = true; a != nil && a.State != nil {
					got.Lost = a.State.Lost.Msgs
					j.ops["js_rot_lost"] += len(got.Lost)
				}
			})
		})
		r.publish(do, s, got, &over)
		r.judge(s, got)
		return
	}
	r.judge(s, got)
	got.Stopped = !got.Gone && r.problem(s.name)
	if !got.Gone && !got.Stopped {
		j.w.violate(js.Rot, "stream %s does not answer, and the server does not say that it has stopped: %v", s.name, r.damage)
	}
	if got.Stopped {
		j.ops["js_rot_stopped"]++
	}
}

// next reads message after message; what cannot be read is passed over.
func (r *rot) next(s *jsStream, got *js.RotRead, from uint64, done func()) {
	c := r.auditor
	c.request("STREAM.MSG.GET."+s.name, map[string]any{"seq": from, "next_by_subj": ">"}, func(a *js.Answer) {
		switch {
		case a == nil || a.Err == 10037 || a.Err == 0 && a.Message == nil:
			done()
		case a.Err != 0:
			r.j.ops[fmt.Sprintf("js_rot_error_%d", a.Err)]++
			got.Failed[from] = true
			r.next(s, got, from+1, done)
		default:
			got.Msgs = append(got.Msgs, s.stored(a.Message))
			r.j.ops["js_rot_read"]++
			r.next(s, got, a.Message.Seq+1, done)
		}
		c.send()
	})
}

// probe asks for each message that is missing by its sequence.
func (r *rot) probe(do func(func()) bool, s *jsStream, got *js.RotRead, over *bool) {
	here := make(map[uint64]bool, len(got.Msgs))
	for i := range got.Msgs {
		here[got.Msgs[i].Seq] = true
	}
	before := s.hist.Audits[len(s.hist.Audits)-1]
	asked := 0
	for i := range before.Msgs {
		seq := before.Msgs[i].Seq
		if here[seq] || got.Failed[seq] || asked > 40 {
			continue
		}
		asked++
		do(func() {
			r.auditor.request("STREAM.MSG.GET."+s.name, map[string]any{"seq": seq}, func(a *js.Answer) {
				if *over = true; a != nil && a.Err != 0 && a.Err != 10037 {
					r.j.ops[fmt.Sprintf("js_rot_error_%d", a.Err)]++
					got.Failed[seq] = true
				}
			})
		})
	}
	r.j.ops["js_rot_missing"] += asked
}

// publish adds a little to a stream that takes plain messages.
func (r *rot) publish(do func(func()) bool, s *jsStream, got *js.RotRead, over *bool) {
	subjects, _ := s.config["subjects"].([]string)
	if len(subjects) != 1 || s.config["allow_msg_counter"] == true || s.hist.Recreated {
		return
	}
	for range 2 {
		do(func() {
			w := s.write(r.auditor, strings.Replace(subjects[0], ">", "rot", 1))
			s.hist.Writes = s.hist.Writes[:len(s.hist.Writes)-1] // it is judged by itself
			got.Sent = append(got.Sent, w)
			s.publish(r.auditor, w, func(a *js.Answer) {
				if *over = true; w.Outcome == js.OK {
					got.Acked = append(got.Acked, w)
				}
			})
		})
	}
}

// judge notes what the server said of a stream.
func (r *rot) judge(s *jsStream, got *js.RotRead) {
	got.Told = r.problem(s.name) || r.log.names("'"+jsAccount+" > "+s.name+"'") || r.log.names("JetStream's log is damaged")
}

// problem tells whether the server's health names a stream, or what all depend on.
func (r *rot) problem(name string) bool {
	p := r.j.w.process
	if p == nil || p.server.JetStream() == nil {
		return false
	}
	for _, x := range p.server.JetStream().Problems() {
		if x.Stream == name || x.Stream == "" {
			return true
		}
	}
	return false
}

// rotLog keeps what the server says of damage.
type rotLog struct {
	next  logging.Logger
	lines []string
}

func (l *rotLog) names(what string) bool {
	return slices.ContainsFunc(l.lines, func(line string) bool { return strings.Contains(line, what) })
}

func (l *rotLog) keep(format string, v []any) { l.lines = append(l.lines, fmt.Sprintf(format, v...)) }

// Noticef and the others are part of [logging.Logger].
func (l *rotLog) Noticef(format string, v ...any) {
	if l.next != nil {
		l.next.Noticef(format, v...)
	}
}

// Warnf keeps the line.
func (l *rotLog) Warnf(format string, v ...any) {
	l.keep(format, v)
	if l.next != nil {
		l.next.Warnf(format, v...)
	}
}

// Fatalf keeps the line.
func (l *rotLog) Fatalf(format string, v ...any) {
	l.keep(format, v)
	if l.next != nil {
		l.next.Fatalf(format, v...)
	}
}

// Errorf keeps the line.
func (l *rotLog) Errorf(format string, v ...any) {
	l.keep(format, v)
	if l.next != nil {
		l.next.Errorf(format, v...)
	}
}

// Debugf passes it on.
func (l *rotLog) Debugf(format string, v ...any) {
	if l.next != nil {
		l.next.Debugf(format, v...)
	}
}

// Tracef passes it on.
func (l *rotLog) Tracef(format string, v ...any) {
	if l.next != nil {
		l.next.Tracef(format, v...)
	}
}
