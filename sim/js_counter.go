package sim

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/lockstepmq/lockstep/checks/js"
	"github.com/lockstepmq/lockstep/server/wire"
)

// counterLoad adds to counters. Its messages say by a header which publish they are, since the server makes their
// bodies.
type counterLoad struct {
	plainLoad
	purges bool
}

// idHeader names a message that has no body of its own.
const idHeader = "X-Id"

func startCounterLoad(j *jsWorld) jsLoad {
	rnd := j.w.sim.Rand("js/counter")
	l := &counterLoad{plainLoad: plainLoad{j: j}}
	h := &js.Stream{Window: j.plan.Window}
	if n := rnd.IntN(4); n < 3 {
		h.MaxPer = [...]int{1, 1, 5}[n]
	}
	l.purges = rnd.IntN(3) == 0
	l.s = j.newStream("CTR", map[string]any{"subjects": []string{"ctr.>"}, "allow_msg_counter": true, "allow_atomic": true}, h)
	l.begin("ctr", 3, l.step)
	return l
}

func (l *counterLoad) step(c *jsClient) {
	rnd, s := c.rnd, l.s
	subject := "ctr." + string(rune('a'+rnd.IntN(5)))
	switch n := rnd.IntN(100); {
	case n < 15:
		s.get(c, 0, subject, rnd.IntN(2) == 0)
	case n < 18:
		s.info(c)
	case n < 28:
		l.batch(c, 2+rnd.IntN(4), rnd.IntN(8) > 0)
	case n < 31:
		l.wrong(c, subject)
	case n == 31 && l.purges:
		s.purge(c, subject, 0, 0)
	default:
		w := l.increment(c, subject)
		if rnd.IntN(3) == 0 {
			if n := len(s.ids); n > 0 && rnd.IntN(2) == 0 {
				w.MsgID = s.ids[max(0, n-1-rnd.IntN(6))]
			} else {
				w.MsgID = "id" + strconv.FormatUint(w.ID, 10)
				s.ids = append(s.ids, w.MsgID)
			}
		}
		s.publish(c, w, func(a *js.Answer) { l.whole(c, w, a) })
	}
}

// whole demands that no counter is broken: nobody but the server writes its value.
func (l *counterLoad) whole(c *jsClient, w *js.Write, a *js.Answer) {
	if a != nil && a.Err == 10172 {
		c.w.violate(js.Counter, "%s was refused: %s", w, errText(a))
	}
}

// increment makes the record of one.
func (l *counterLoad) increment(c *jsClient, subject string) *js.Write {
	w := l.s.write(c, subject)
	switch n := c.rnd.IntN(30); {
	case n == 0: // beyond 64 bits
		w.Incr = "+1" + strings.Repeat("0", 20+c.rnd.IntN(3)) + strconv.Itoa(c.rnd.IntN(10))
	case n < 3:
		w.Incr = "0"
	default:
		w.Incr = fmt.Sprintf("%+d", c.rnd.IntN(200)-60)
	}
	l.j.ops["js_increments"]++
	return w
}

// batch adds to several counters, or to one several times, at once.
func (l *counterLoad) batch(c *jsClient, n int, commit bool) {
	subjects := make([]string, n)
	for i := range subjects {
		subjects[i] = "ctr." + string(rune('a'+c.rnd.IntN(3)))
	}
	l.s.batchOf(c, subjects, commit, l.increment)
}

// wrong asks for what a counter refuses: it must leave no trace.
func (l *counterLoad) wrong(c *jsClient, subject string) {
	w := l.s.write(c, subject)
	body, head := []byte(nil), header(idHeader, strconv.FormatUint(w.ID, 10), "Nats-Incr", "+7")
	switch c.rnd.IntN(3) {
	case 0:
		head = header(idHeader, strconv.FormatUint(w.ID, 10), "Nats-Incr", "seven")
	case 1:
		head = header(idHeader, strconv.FormatUint(w.ID, 10))
	default:
		body = appendPayload(nil, w.ID, w.Size)
	}
	c.ask(subject, head, body, func(r *jsReply) {
		a := c.answer(r)
		l.s.outcome(w, a)
		if w.Outcome == js.OK {
			c.w.violate(js.Counter, "%s is no increment and was stored at %d", w, w.Seq)
		}
	})
}

// identify tells which publish a stored message comes from, whether it is whole, and its value if it is a
// counter's.
func identify(head, body []byte) (id uint64, intact bool, val string) {
	if _, ok := wire.HeaderValue(head, "Nats-Incr"); !ok {
		id, intact = readPayload(body)
		return id, intact, ""
	}
	text, _ := wire.HeaderValue(head, idHeader)
	id, err := strconv.ParseUint(string(text), 10, 64)
	val, front := strings.CutPrefix(string(body), `{"val":"`)
	val, back := strings.CutSuffix(val, `"}`)
	return id, err == nil && front && back, val
}
