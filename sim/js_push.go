package sim

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/checks/js"
	"github.com/lockstepmq/lockstep/server/wire"
)

// pushLoad has consumers that send without being asked: to one subscription, to a group of
// them, and ordered ones, whose clients make them anew whenever something is amiss.
type pushLoad struct {
	*queueLoad
	ordered []*jsOrdered
}

func startPushLoad(j *jsWorld) jsLoad {
	rnd := j.w.sim.Rand("jetstream/push")
	l := &pushLoad{queueLoad: &queueLoad{plainLoad: plainLoad{j: j}}}
	l.s = j.newStream("PSH", map[string]any{"subjects": []string{"psh.>"}}, &js.Stream{})
	flow := rnd.IntN(4) > 0
	plain := l.consumer(rnd, "PLAIN", flow)
	group := l.consumer(rnd, "GROUP", false)
	group.config["deliver_group"] = "members"
	l.consumers = []*jsConsumer{plain, group}
	l.begin("push", 1, func(c *jsClient) {
		plain.ensure(c)
		group.ensure(c)
		if len(l.s.hist.Writes) < jsWritesMax/2 {
			l.s.publish(c, l.s.write(c, "psh."+string(rune('a'+c.rnd.IntN(2)))), nil)
		}
		k := l.consumers[c.rnd.IntN(2)]
		switch n := c.rnd.IntN(60); {
		case n < 2:
			k.info(c)
		case n == 2:
			l.s.info(c)
		case n == 3 && c.rnd.IntN(3) == 0:
			k.pause(c)
		}
	})
	l.listen(plain, "js-push-plain", "", flow && rnd.IntN(3) == 0)
	for i := range 2 + rnd.IntN(2) {
		l.listen(group, "js-push-g"+strconv.Itoa(i), "members", false)
	}
	for i := range 1 + rnd.IntN(2) {
		o := &jsOrdered{l: l, next: 1, mute: rnd.IntN(4) == 0, beat: beatOf(rnd)}
		o.c = j.newClient("js-push-o" + strconv.Itoa(i))
		o.hist = &js.Ordered{Name: o.c.name, Filter: [...]string{"", "psh.a"}[i]}
		l.s.hist.Ordered = append(l.s.hist.Ordered, o.hist)
		l.clients, l.ordered = append(l.clients, o.c), append(l.ordered, o)
		o.c.every(o.step)
	}
	return l
}

// beatOf draws how often a consumer says that it is there.
func beatOf(rnd *rand.Rand) time.Duration {
	return logTime(rnd, 100*time.Millisecond, 3*time.Second)
}

// consumer describes one of the two durable consumers.
func (l *pushLoad) consumer(rnd *rand.Rand, name string, flow bool) *jsConsumer {
	k := &jsConsumer{l: l.queueLoad, name: name, config: map[string]any{
		"durable_name": name, "ack_policy": "explicit", "deliver_policy": "all", "ack_wait": int64(l.j.plan.AckWait),
		"deliver_subject": "pushed." + strings.ToLower(name),
	}}
	if flow {
		k.config["flow_control"], k.config["idle_heartbeat"] = true, int64(beatOf(rnd))
	}
	if rnd.IntN(3) == 0 {
		k.config["filter_subject"] = "psh.a"
	}
	if l.j.plan.Deliver > 0 {
		k.config["max_deliver"] = l.j.plan.Deliver
	}
	if rnd.IntN(3) == 0 {
		k.config["max_ack_pending"] = 2 + rnd.IntN(20)
	}
	return k
}

// listen makes a client that is subscribed to what a consumer sends.
func (l *pushLoad) listen(k *jsConsumer, name, group string, mute bool) {
	c := l.j.newClient(name)
	w := &jsListener{jsWorker: jsWorker{c: c, k: k}, group: group, mute: mute}
	l.clients = append(l.clients, c)
	c.every(w.step)
}

// drained tells whether everybody has everything.
func (l *pushLoad) drained() bool {
	if !l.queueLoad.drained() {
		return false
	}
	for _, o := range l.ordered {
		want := l.s.last
		if o.hist.Filter != "" {
			want = l.s.bySubj[o.hist.Filter]
		}
		if o.next <= want {
			return false
		}
		o.hist.Done = true
	}
	return true
}

// describe says how far ordered consumers are.
func (l *pushLoad) describe() string {
	text := ""
	for _, o := range l.ordered {
		text += fmt.Sprintf("; %s is at %d of %d", o.c.name, o.next-1, l.s.last)
	}
	return text
}

// pushEar hears one subscription to what a consumer sends.
type pushEar struct {
	c     *jsClient
	call  *jsCall
	hist  *js.Listening
	heard time.Duration // when something came last, or the subscription began
	mute  bool          // it answers no question of flow control before all is quiet
	quiet func() bool
	owed  string // the question that was not answered
}

// open subscribes. hear is given the messages, and with nil the end.
func (e *pushEar) open(subject, group string, config map[string]any, hear func(*jsReply)) {
	c := e.c
	e.hist.Conn = fmt.Sprintf("%s#%d", c.name, c.life)
	e.hist.Group = group != ""
	if beat, ok := config["idle_heartbeat"].(int64); ok {
		e.hist.Heartbeat = time.Duration(beat)
	}
	if config["flow_control"] == true {
		if e.hist.Window = c.j.plan.Sizes.Window; e.hist.Window == 0 {
			e.hist.Window = 2 << 20
		}
	}
	e.heard = c.w.sim.Now()
	e.call = c.subscribe(subject, group, func(r *jsReply) {
		switch {
		case r == nil:
			hear(nil)
			return
		case r.Status == 0:
			e.heard = c.w.sim.Now()
			hear(r)
		case r.Status == 100:
			e.heard = c.w.sim.Now()
			e.control(r)
		}
	})
}

// control takes a heartbeat or a question of flow control.
func (e *pushEar) control(r *jsReply) {
	if r.Reply != "" {
		e.hist.Events = append(e.hist.Events, js.PushEvent{Kind: js.PushQuestion, At: r.At})
		e.owed = r.Reply
		e.answer()
		return
	}
	value, _ := wire.HeaderValue(r.Header, "Nats-Last-Consumer")
	last, err := strconv.ParseUint(string(value), 10, 64)
	if err != nil {
		e.c.w.violate(js.Beats, "%s was sent a heartbeat that does not say where the consumer is: %q", e.c.name, r.Header)
		return
	}
	e.c.j.ops["js_heartbeats"]++
	e.hist.Events = append(e.hist.Events, js.PushEvent{Kind: js.PushBeat, At: r.At, CSeq: last})
	if stalled, ok := wire.HeaderValue(r.Header, "Nats-Consumer-Stalled"); ok {
		e.owed = string(stalled)
		e.answer()
	}
}

// answer answers the latest question, unless it does not want to.
func (e *pushEar) answer() {
	if e.owed == "" || e.mute && !e.quiet() {
		return
	}
	e.c.put(e.owed, "", nil, nil)
	e.owed = ""
	e.c.j.ops["js_flow_answers"]++
	e.hist.Events = append(e.hist.Events, js.PushEvent{Kind: js.PushAnswer, At: e.c.w.rec.now()})
}

// message notes a message of the subscription.
func (e *pushEar) message(r *jsReply, d *js.Delivery) {
	e.hist.Events = append(e.hist.Events, js.PushEvent{
		Kind: js.PushMessage, At: r.At, CSeq: d.CSeq, Seq: d.Seq, ID: d.ID, Size: len(r.Subject) + len(r.Reply) + len(r.Header) + len(r.Body),
	})
}

// listen notes when heartbeats do not come on a connection that is well, in a world that is well.
func (e *pushEar) listen() {
	e.answer()
	c := e.c
	beat := e.hist.Heartbeat
	if beat == 0 || c.w.chaos || e.hist.Silent > 0 {
		return
	}
	// What came on the connection later shows that nothing is on its way.
	if silence := c.heard - max(e.heard, c.j.healed); silence > 3*beat+beatSlack {
		e.hist.Silent = silence
	}
}

// beatSlack is how late a heartbeat may come, besides.
const beatSlack = 5 * time.Second

// jsListener is subscribed to what a durable consumer sends.
type jsListener struct {
	jsWorker
	group string
	mute  bool
	ear   *pushEar
}

func (w *jsListener) step() {
	k, c := w.k, w.c
	if k.hist == nil {
		return
	}
	if k.l.quiet && k.halted {
		k.resume(c)
	}
	if w.ear != nil {
		w.ear.listen()
		switch n := c.rnd.IntN(80); {
		case k.l.quiet && n < 20:
			k.info(c)
		case n == 79 && !k.l.quiet: // it goes away for a while
			c.end(w.ear.call)
			w.ear = nil
		}
		return
	}
	w.conn = w.name()
	h := k.hist
	ear := &pushEar{c: c, mute: w.mute, hist: &js.Listening{}, quiet: func() bool { return k.l.quiet }}
	h.Listeners = append(h.Listeners, ear.hist)
	// A subscription is a request that never ends.
	p := &js.PullReq{Conn: w.conn, Sent: c.w.rec.now(), Time: c.w.sim.Now(), Life: c.epoch}
	w.ear = ear
	ear.open(k.config["deliver_subject"].(string), w.group, k.config, func(r *jsReply) {
		if r == nil {
			w.ear = nil
			return
		}
		n := len(h.Deliveries)
		w.given(h, p, r)
		if len(h.Deliveries) > n {
			ear.message(r, h.Deliveries[n])
		}
	})
}

// jsOrdered goes through the stream with one ephemeral consumer after another, as clients'
// libraries do.
type jsOrdered struct {
	l    *pushLoad
	c    *jsClient
	hist *js.Ordered
	ear  *pushEar
	next uint64 // sequence of the stream to go on at
	cseq uint64 // the last that came
	made bool
	mute bool
	beat time.Duration
}

func (o *jsOrdered) step() {
	c := o.c
	if !o.l.s.created {
		return
	}
	if o.ear == nil {
		o.begin()
		return
	}
	if o.made {
		o.ear.listen()
	}
	if c.w.sim.Now()-o.ear.heard > 2*(3*o.beat+beatSlack) { // late enough to be told from lateness
		o.reset()
	}
}

// reset gives the present consumer up.
func (o *jsOrdered) reset() {
	o.c.end(o.ear.call)
	o.ear = nil
}

// begin makes a consumer that goes on.
func (o *jsOrdered) begin() {
	c := o.c
	c.asked++
	subject := fmt.Sprintf("ordered.%s.%d", c.name, c.asked)
	config := map[string]any{
		"deliver_subject": subject, "deliver_policy": "all", "ack_policy": "none", "max_deliver": 1, "ack_wait": int64(22 * time.Hour),
		"mem_storage": true, "num_replicas": 1, "flow_control": true, "idle_heartbeat": int64(o.beat),
	}
	if o.hist.Filter != "" {
		config["filter_subject"] = o.hist.Filter
	}
	if o.next > 1 {
		config["deliver_policy"], config["opt_start_seq"] = "by_start_sequence", o.next
	}
	ear := &pushEar{c: c, mute: o.mute, hist: &js.Listening{First: 1}, quiet: func() bool { return o.l.quiet }}
	o.hist.Parts = append(o.hist.Parts, ear.hist)
	o.ear, o.made, o.cseq = ear, false, 0
	ear.open(subject, "", config, func(r *jsReply) { o.hear(ear, r) })
	c.request("CONSUMER.CREATE."+o.l.s.name, map[string]any{"stream_name": o.l.s.name, "config": config}, func(a *js.Answer) {
		switch {
		case o.ear != ear:
		case a == nil || a.Err != 0:
			o.reset()
		default:
			o.made = true
			ear.heard = c.w.sim.Now()
			o.l.j.ops["js_ordered"]++
		}
	})
}

func (o *jsOrdered) hear(ear *pushEar, r *jsReply) {
	if o.ear != ear {
		return
	}
	if r == nil {
		o.ear = nil
		return
	}
	parts := strings.Split(r.Reply, ".")
	if len(parts) < 9 {
		o.c.w.violate(js.APITruth, "%s was given a message with the reply subject %q", o.c.name, r.Reply)
		return
	}
	number := func(i int) uint64 { n, _ := strconv.ParseUint(parts[len(parts)-i], 10, 64); return n }
	d := &js.Delivery{Seq: number(4), CSeq: number(3)}
	d.ID, d.Intact = readPayload(r.Body)
	if !d.Intact {
		o.c.w.violate(js.NothingElse, "%s was given sequence %d, whose payload is not whole", o.c.name, d.Seq)
	}
	ear.message(r, d)
	o.l.j.ops["js_deliveries"]++
	o.cseq, o.next = d.CSeq, max(o.next, d.Seq+1)
}

// subscribe hears what is sent to a subject, until the connection ends: then hear is given nil.
func (c *jsClient) subscribe(subject, group string, hear func(*jsReply)) *jsCall {
	c.asked++
	sid := "s" + strconv.Itoa(c.asked)
	call := &jsCall{subject: sid, until: 1 << 62, sid: sid, standing: true, hear: func(r *jsReply) bool {
		hear(r)
		return false
	}}
	c.calls = append(c.calls, call)
	c.replies[sid] = call
	c.out = wire.AppendSub(c.out, []byte(subject), []byte(group), []byte(sid))
	return call
}
