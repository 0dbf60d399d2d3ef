package sim

import (
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
)

// subsMax is how many subscriptions a script keeps on one connection.
const subsMax = 14

// StartScript makes the client act at random until it is told otherwise.
func (c *Client) StartScript() {
	c.paused = false
	c.strand.Post(c.step)
}

// step is one burst of operations, which travel together.
func (c *Client) step() {
	if c.paused {
		return
	}
	c.steps.Reset(time.Duration(min(c.rnd.ExpFloat64(), 10) * float64(c.w.plan.Think)))
	if c.state != clientReady || c.conn.Buffered() > unsentMax {
		return
	}
	if len(c.owed) > 0 {
		c.payOwed()
	}
	for range 1 + c.rnd.IntN(c.w.plan.Burst) {
		c.act()
		if c.state != clientReady {
			return
		}
	}
	if c.rnd.IntN(2) == 0 && len(c.pings) < 16 {
		c.ping()
	}
	c.send()
}

// act is one operation of the script.
func (c *Client) act() {
	switch n := c.rnd.IntN(100); {
	case n < 52:
		c.publish(pick(c.rnd, publishSubjects, c.account), "", c.size(), 0)
	case n < 66:
		if list := requestSubjects[c.account]; len(list) > 0 {
			c.request(list[c.rnd.IntN(len(list))], c.size())
		}
	case n < 78:
		c.scriptSub()
	case n < 86:
		if s := c.anySub(); s != nil {
			c.unsubscribe(s, 0)
		}
	case n < 90:
		if s := c.anySub(); s != nil && s.Max == 0 {
			c.unsubscribe(s, s.got+1+c.rnd.IntN(4))
		}
	case n < 94:
		s := c.scriptSub()
		if s != nil {
			c.unsubscribe(s, 1+c.rnd.IntN(3))
		}
	case n < 99:
		c.ping()
	case c.rnd.IntN(4) > 0:
		c.flood()
	case c.limits().MaxPayload > 0 && c.rnd.IntN(2) == 0:
		c.w.used("max_payload passed")
		c.publish(pick(c.rnd, publishSubjects, c.account), "", c.payloadMax()+1, 0).TooBig = true
		c.send()
	default:
		c.send()
		c.conn.Close(nil)
		c.state = clientDown
	}
}

// flood publishes much at once on one subject: more than one piece of what the
// server hands over takes.
func (c *Client) flood() {
	subject := pick(c.rnd, publishSubjects, c.account)
	for range 20 + c.rnd.IntN(100) {
		c.publish(subject, "", 200+c.rnd.IntN(1000), 0)
	}
}

// scriptSub subscribes, unless there are enough.
func (c *Client) scriptSub() *liveSub {
	if len(c.live) >= subsMax || len(c.live) > limitedSubs && c.limits().MaxSubs > 0 {
		return nil
	}
	queue := ""
	if c.rnd.IntN(3) == 0 {
		queue = []string{"q1", "q2"}[c.rnd.IntN(2)] + c.account
	}
	subject := pick(c.rnd, subscribeSubjects, c.account)
	if subject == ">" && c.rnd.IntN(3) > 0 { // hides what nobody listens to
		subject = "t.>"
	}
	return c.subscribe(subject, c.w.queueOn(subject, queue), false)
}

// anySub draws one of the subscriptions that may go.
func (c *Client) anySub() *liveSub {
	if len(c.live) == 0 {
		return nil
	}
	if s := c.live[c.rnd.IntN(len(c.live))]; !s.wanted && s.UnsubSent == 0 {
		return s
	}
	return nil
}

// size draws a payload's length: mostly small, sometimes up to the limit.
func (c *Client) size() int {
	most := c.payloadMax() - 100
	switch c.rnd.IntN(20) {
	case 0:
		return c.rnd.IntN(most)
	case 1, 2:
		return min(1500+c.rnd.IntN(2000), most)
	}
	return c.rnd.IntN(200)
}

// newScripts makes the plan's clients. The first are of accounts that exchange.
func (w *World) newScripts() {
	rnd := w.sim.Rand("clients")
	all := w.rec.h.World.Users
	users := all[:len(all)-1] // the last one is for garbage
	watch := map[int][]string{0: {"parted.>", "split.*", "half.>"}, 1: {"imp.>"}}
	if !w.plan.Token {
		watch[0] = append(watch[0], "flow.*", "bits.*", "svc.*")
	}
	for i := range w.plan.Clients {
		u := &users[i%len(users)]
		if i >= 3 {
			u = &users[rnd.IntN(len(users))]
		}
		c := w.newClient("c"+string(rune('0'+i)), u.Name, u.Account)
		for range 1 + rnd.IntN(3) {
			d := desire{subject: pick(rnd, subscribeSubjects, u.Account)}
			if rnd.IntN(3) == 0 {
				d.queue = w.queueOn(d.subject, "q1"+u.Account)
			}
			c.wanted = append(c.wanted, d)
		}
		for _, subject := range watch[i] {
			if c.account != "B" && i == 1 {
				break
			}
			c.wanted = append(c.wanted, desire{subject: subject})
		}
	}
}

// probe makes every client that can say something on every subject, so that it
// reaches all who listen.
func (c *Client) probe() {
	if c.state != clientReady {
		return
	}
	seen := map[string]bool{}
	for _, from := range []string{"", c.account} {
		for _, subject := range publishSubjects[from] {
			if !seen[subject] {
				seen[subject] = true
				c.publish(subject, "", 30, 0).Probe = true
			}
		}
	}
	c.ping()
	c.send()
}

// quiet tells whether the client is connected and everything it sent was answered.
func (c *Client) quiet() bool {
	return c.state == clientReady && len(c.pings) == 0 && len(c.open) == 0 && c.conn.Buffered() == 0 && c.c.Closed == core.Never
}
