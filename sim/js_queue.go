package sim

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/checks/js"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/wire"
)

// queueLoad has consumers, with workers that pull from them.
type queueLoad struct {
	plainLoad
	consumers []*jsConsumer
	workers   []*jsWorker
	quiet     bool // publishers have stopped, and workers are well-behaved
}

// jsConsumer is a pull consumer as the workload knows it.
type jsConsumer struct {
	l      *queueLoad
	name   string
	config map[string]any
	hist   *js.Consumer // of the present incarnation; nil while there is none
	asking bool
	ghost  *js.Consumer // whose creation was not answered
	fleet  bool         // it comes and goes
	empty  bool         // nothing is left, it said
	halted bool         // it was paused
	asked  bool         // an info is under way
}

func startQueueLoad(j *jsWorld, retention string) jsLoad {
	l := &queueLoad{plainLoad: plainLoad{j: j}}
	name := map[string]string{"workqueue": "WQ", "interest": "INT", "limits": "CON"}[retention]
	prefix := strings.ToLower(name)
	l.s = j.newStream(name, map[string]any{"subjects": []string{prefix + ".>"}}, &js.Stream{Retention: retention})
	v := j.plan.Variants[4]
	filters := []string{""}
	switch {
	case retention == "workqueue" && v%2 == 0:
		filters = []string{prefix + ".a", prefix + ".b"}
	case retention != "workqueue":
		filters = []string{"", prefix + ".a", prefix + ".*"}[:2+v%2]
	}
	for i, f := range filters {
		c := &jsConsumer{l: l, name: "C" + strconv.Itoa(i), fleet: retention == "interest" && i == 1 && v/2%2 == 0}
		c.config = map[string]any{"durable_name": c.name, "ack_policy": "explicit", "deliver_policy": "all", "ack_wait": int64(j.plan.AckWait)}
		if f != "" {
			c.config["filter_subject"] = f
		}
		if j.plan.Deliver > 0 {
			c.config["max_deliver"] = j.plan.Deliver
		}
		if v/4%3 == 0 {
			c.config["max_ack_pending"] = 2 + v/12%8
		}
		l.consumers = append(l.consumers, c)
	}
	l.begin(prefix, 1, func(c *jsClient) {
		for _, k := range l.consumers { // interest is there before what it is for
			if !k.ensure(c) && !k.fleet {
				return
			}
		}
		if len(l.s.hist.Writes) < jsWritesMax/2 {
			w := l.s.write(c, prefix+"."+string(rune('a'+c.rnd.IntN(2))))
			l.s.publish(c, w, nil)
		}
		k := l.consumers[c.rnd.IntN(len(l.consumers))]
		switch n := c.rnd.IntN(40); {
		case n < 2:
			k.info(c)
		case n == 2 && k.fleet:
			k.delete(c)
		case n == 3:
			l.s.info(c)
		case n == 4 && c.rnd.IntN(3) == 0:
			k.pause(c)
		}
	})
	for i, k := range l.consumers {
		for n := range 1 + (v/100+i)%2 {
			c := j.newClient(fmt.Sprintf("js-%s-w%d%d", prefix, i, n))
			l.clients = append(l.clients, c)
			w := &jsWorker{c: c, k: k, conn: ""}
			l.workers = append(l.workers, w)
			c.every(w.step)
		}
	}
	return l
}

// calm stops the publishers; workers go on until all is done.
func (l *queueLoad) calm() {
	l.quiet = true
	l.clients[0].paused = true
}

func (l *queueLoad) drained() bool {
	for _, k := range l.consumers {
		if k.hist != nil && !k.empty {
			return false
		}
	}
	return true
}

// ensure makes the consumer, unless it is there.
func (k *jsConsumer) ensure(c *jsClient) bool {
	if k.hist != nil || k.asking {
		return k.hist != nil
	}
	k.asking = true
	h := &js.Consumer{
		Stream: k.l.s.name, Name: k.name, AckWait: k.l.j.plan.AckWait, MaxDeliver: k.l.j.plan.Deliver,
		Asked: c.w.rec.now(), Deleted: core.Never, Gone: core.Never, Created: core.Never,
	}
	if k.ghost != nil {
		h.Asked = k.ghost.Asked
	}
	h.Filter, _ = k.config["filter_subject"].(string)
	h.MaxPending, _ = k.config["max_ack_pending"].(int)
	c.request("CONSUMER.DURABLE.CREATE."+k.l.s.name+"."+k.name, map[string]any{"stream_name": k.l.s.name, "config": k.config}, func(a *js.Answer) {
		k.asking = false
		switch {
		case a != nil && a.Err == 0:
			h.Created = a.At
			if k.ghost != nil {
				h.Asked, k.ghost = k.ghost.Asked, nil
			}
			k.hist = h
			k.l.s.hist.Consumers = append(k.l.s.hist.Consumers, h)
			k.l.j.ops["js_consumers"]++
		case a == nil: // it may be there: what it keeps is kept by right
			k.ghost = h
		case a.Err != js.NoResponders && !k.l.j.troubled():
			c.w.violate(js.APITruth, "creating consumer %s was refused: %s", k.name, errText(a))
		}
	})
	return false
}

// delete takes the consumer away; it is made again later.
func (k *jsConsumer) delete(c *jsClient) {
	h := k.hist
	if h == nil {
		return
	}
	k.hist, k.asking = nil, true
	h.Deleted = c.w.rec.now()
	c.request("CONSUMER.DELETE."+k.l.s.name+"."+k.name, nil, func(a *js.Answer) {
		k.asking = false
		k.l.j.ops["js_consumer_deletes"]++
		if o := js.OutcomeOf(a); o != js.Unknown {
			h.Gone = a.At
		} else {
			k.hist = nil
		}
	})
}

// pause keeps the consumer from delivering for a while.
func (k *jsConsumer) pause(c *jsClient) {
	if k.hist == nil {
		return
	}
	until := k.l.j.serverNow().Add(time.Duration(100+c.rnd.IntN(3000)) * time.Millisecond)
	k.l.j.ops["js_pauses"]++
	k.halted = true
	c.request("CONSUMER.PAUSE."+k.l.s.name+"."+k.name, map[string]any{"pause_until": until.UTC().Format(time.RFC3339Nano)}, func(*js.Answer) {})
}

// resume ends a pause, which a clock that was set back makes a long one.
func (k *jsConsumer) resume(c *jsClient) {
	c.request("CONSUMER.PAUSE."+k.l.s.name+"."+k.name, map[string]any{}, func(a *js.Answer) {
		k.halted = k.halted && (a == nil || a.Err != 0)
	})
}

// info asks what the consumer says of itself.
func (k *jsConsumer) info(c *jsClient) {
	h := k.hist
	if h == nil || k.asked {
		return
	}
	k.asked = true
	in := &js.ConsumerInfo{Call: c.w.rec.now(), Life: c.epoch}
	c.request("CONSUMER.INFO."+k.l.s.name+"."+k.name, nil, func(a *js.Answer) {
		k.asked = false
		if a == nil || a.Err != 0 || a.Delivered == nil || a.AckFloor == nil {
			return
		}
		in.At, in.Answer = a.At, *a
		h.Infos = append(h.Infos, in)
		k.empty = a.Pending == 0 && a.AckPend == 0
		h.Drained = k.empty
	})
}

// jsWorker pulls from a consumer and says something of what it is given.
type jsWorker struct {
	c    *jsClient
	k    *jsConsumer
	conn string
	open *js.PullReq
}

// step pulls, unless a pull is open.
func (w *jsWorker) step() {
	k, c := w.k, w.c
	if k.hist == nil {
		return
	}
	if k.l.quiet && k.halted {
		k.resume(c)
	}
	if w.open != nil && w.open.Ended == 0 && w.conn == w.name() {
		if k.l.quiet && c.rnd.IntN(4) == 0 {
			k.info(c)
		}
		return
	}
	w.conn = w.name()
	h := k.hist
	p := &js.PullReq{
		Conn: w.conn, Batch: 1 + c.rnd.IntN(6), Expires: time.Duration(200+c.rnd.IntN(3000)) * time.Millisecond, Sent: c.w.rec.now(), Time: c.w.sim.Now(),
		Life: c.epoch,
	}
	body := map[string]any{"batch": p.Batch, "expires": int64(p.Expires)}
	if c.rnd.IntN(4) == 0 {
		body["no_wait"] = true
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	h.Pulls = append(h.Pulls, p)
	w.open = p
	k.l.j.ops["js_pulls"]++
	life := c.life
	c.pull("$JS.API.CONSUMER.MSG.NEXT."+k.l.s.name+"."+k.name, text, p.Expires+jsTimeout, func(r *jsReply) bool {
		switch {
		case r == nil:
			if p.Ended == 0 && c.life == life && c.state == clientReady && c.w.sim.Now()-p.Time > p.Expires+jsTimeout-time.Second && k.l.quiet && !c.w.chaos && h.Deleted == core.Never && !c.w.replicas.mayLose(p.Time) {
				p.Silent = true
			}
			p.Ended = c.w.rec.now()
			return true
		case r.Status == 100:
			return false
		case r.Status != 0:
			p.Status = r.Status
			if p.Ended == 0 {
				p.Ended = r.At
			}
			return false // anything more is noticed
		}
		if p.Ended != 0 {
			p.Late = p.Status != 0
			if p.Got < p.Batch {
				return false
			}
		}
		p.Got++
		if p.Got >= p.Batch && p.Ended == 0 {
			p.Ended = r.At
		}
		w.given(h, p, r)
		return false
	})
}

func (w *jsWorker) name() string { return fmt.Sprintf("%s#%d", w.c.name, w.c.life) }

// given takes one message.
func (w *jsWorker) given(h *js.Consumer, p *js.PullReq, r *jsReply) {
	c, j := w.c, w.k.l.j
	if h.Deleted != core.Never {
		return // it may come from the one that was made in its place: the pull was late
	}
	parts := strings.Split(r.Reply, ".")
	if len(parts) < 9 {
		c.w.violate(js.APITruth, "%s was given a message with the reply subject %q", c.name, r.Reply)
		return
	}
	number := func(i int) uint64 { n, _ := strconv.ParseUint(parts[len(parts)-i], 10, 64); return n }
	d := &js.Delivery{
		Conn: p.Conn, Pull: p, Count: number(5), Seq: number(4), CSeq: number(3), Pending: number(1), Subject: r.Subject,
		At: r.At, Time: c.w.sim.Now(), Life: c.epoch,
	}
	d.ID, d.Intact = readPayload(r.Body)
	h.Deliveries = append(h.Deliveries, d)
	j.ops["js_deliveries"]++
	if d.Count > 1 {
		j.ops["js_redeliveries"]++
	}
	if w.k.l.quiet {
		w.ack(h, d, r.Reply, js.Ack_, "+ACK", true)
		return
	}
	switch n := c.rnd.IntN(100); {
	case n < 45:
		w.ack(h, d, r.Reply, js.Ack_, "+ACK", true)
	case n < 60:
		w.ack(h, d, r.Reply, js.Ack_, "+ACK", false)
	case n < 65: // twice
		w.ack(h, d, r.Reply, js.Ack_, "+ACK", true)
		w.ack(h, d, r.Reply, js.Ack_, "+ACK", c.rnd.IntN(2) == 0)
	case n < 75:
		delay := time.Duration(c.rnd.IntN(1500)) * time.Millisecond
		w.ack(h, d, r.Reply, js.Nak, fmt.Sprintf(`-NAK {"delay":%d}`, delay), false)
	case n < 80:
		w.ack(h, d, r.Reply, js.Term, "+TERM", true)
	case n < 90: // slow: late by a part of the ack wait, or by more than it
		life := c.life
		if c.rnd.IntN(3) == 0 {
			w.ack(h, d, r.Reply, js.Progress, "+WPI", false)
		}
		c.after(time.Duration(c.rnd.Float64()*2*float64(j.plan.AckWait)), func() {
			if c.life == life && c.state == clientReady {
				w.ack(h, d, r.Reply, js.Ack_, "+ACK", true)
				c.send()
			}
		})
	default: // it dies with the message in its hands
		if c.rnd.IntN(4) == 0 && c.w.chaos {
			c.conn.Abort(nil)
		}
	}
}

// ack says something of a message.
func (w *jsWorker) ack(h *js.Consumer, d *js.Delivery, reply string, kind js.AckKind, text string, confirm bool) {
	c := w.c
	a := &js.Ack{Kind: kind, Of: d, Conn: w.name(), Call: c.w.rec.now(), Return: core.Never, Time: c.w.sim.Now()}
	h.Acks = append(h.Acks, a)
	w.k.l.j.ops["js_acks_sent"]++
	if !confirm {
		c.put(reply, "", nil, []byte(text))
		return
	}
	c.ask(reply, nil, []byte(text), func(r *jsReply) {
		if r != nil && r.Status == 0 {
			a.Confirmed, a.Return = true, r.At
			w.k.l.j.ops["js_acks_confirmed"]++
		}
	})
}

// pull is a call whose answers come with subjects of their own, on a subscription of theirs.
func (c *jsClient) pull(subject string, body []byte, wait time.Duration, hear func(*jsReply) bool) {
	c.asked++
	sid := "p" + strconv.Itoa(c.asked)
	reply := "_PULL." + c.name + "." + strconv.Itoa(c.life) + "." + sid
	call := &jsCall{subject: sid, until: c.w.sim.Now() + wait, sid: sid, hear: hear}
	c.calls = append(c.calls, call)
	c.replies[sid] = call
	c.out = wire.AppendSub(c.out, []byte(reply), nil, []byte(sid))
	c.put(subject, reply, nil, body)
}

// after acts once, later.
func (c *jsClient) after(d time.Duration, act func()) {
	c.w.sim.After(d, c.clock, clock.KindWorkload, func() { c.strand.Post(act) })
}
