package source

import (
	"encoding/json"
	"fmt"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/subject"
)

// origin is a stream elsewhere, reduced to what a follower sees of it.
type origin struct {
	w        *world
	name     string
	identity string
	queue    bool // work queue: an ack removes
	level    int  // that its server knows
	last     uint64
	msgs     map[uint64]*originMsg
	all      []*originMsg // ever, of this identity
	cons     map[string]*originConsumer
	error    int // answered to every create, if not 0
	silent   bool
	incarn   int
}

type originMsg struct {
	seq     uint64
	time    int64
	subject string
	header  string
	data    string
}

type originConsumer struct {
	o           *origin
	name        string
	cfg         api.ConsumerConfig
	next        uint64
	dseq        uint64
	last        uint64
	floor       uint64 // acked up to here
	outstanding int
	window      int
	question    string
	asked       int
	gone        bool
	quiet       time.Duration
}

func (w *world) origin(name string) *origin {
	o := &origin{w: w, name: name, level: 5, cons: make(map[string]*originConsumer)}
	w.origins[name] = o
	o.recreate()
	w.sim.After(time.Second, nil, clock.KindNet, o.tick)
	return o
}

// recreate deletes the stream and makes it anew.
func (o *origin) recreate() {
	o.incarn++
	o.identity = fmt.Sprintf("id%06d", o.incarn)
	o.last, o.msgs, o.all = 0, make(map[uint64]*originMsg), nil
	for _, c := range o.cons { //lockstep:ordered each is ended alike
		c.gone = true
	}
	o.cons = make(map[string]*originConsumer)
}

func (o *origin) publish(subj, header, data string) uint64 {
	o.last++
	m := &originMsg{o.last, o.w.Now(), subj, header, data}
	o.msgs[o.last] = m
	o.all = append(o.all, m)
	o.pump()
	return o.last
}

func (o *origin) remove(seq uint64) { delete(o.msgs, seq) }

func (o *origin) purge() { clear(o.msgs) }

func (o *origin) pump() {
	for _, name := range o.names() {
		o.cons[name].pump()
	}
}

func (o *origin) names() []string {
	var names []string
	for name := range o.cons { //lockstep:ordered sorted below
		names = append(names, name)
	}
	sort.Strings(names)
	return names
}

func (o *origin) tick() {
	for _, name := range o.names() {
		o.cons[name].beat()
	}
	o.w.sim.After(time.Second, nil, clock.KindNet, o.tick)
}

func (o *origin) serve(word string, rest []string, header, body []byte, reply func(h, b []byte)) {
	if o.silent {
		return
	}
	fail := func(code int, text string) {
		reply(nil, []byte(fmt.Sprintf(`{"error":{"code":400,"err_code":%d,"description":%q}}`, code, text)))
	}
	if v, _ := strconv.Atoi(string(api.HeaderValue(header, api.HdrRequiredApiLevel))); v > o.level {
		fail(10185, "JetStream minimum api level required")
		return
	}
	id := string(api.HeaderValue(header, api.HdrStreamIdentity))
	switch word {
	case "DELETE":
		delete(o.cons, rest[0])
		return
	case "RESET":
		o.reset(rest[0], body, fail, reply)
		return
	}
	if o.error != 0 {
		fail(o.error, "no")
		return
	}
	var req api.CreateConsumerRequest
	if err := json.Unmarshal(body, &req); err != nil {
		panic(err)
	}
	if o.level < 4 && req.Config.Sourcing {
		fail(10025, `invalid JSON: json: unknown field "sourcing"`)
		return
	}
	if id != "" && id != o.identity {
		fail(10225, "consumer's stream identity does not match: "+o.identity)
		return
	}
	c := o.cons[req.Config.Name]
	if c == nil || !o.queue {
		if c != nil {
			c.gone = true
		}
		c = &originConsumer{o: o, name: req.Config.Name}
		o.cons[c.name] = c
	}
	c.cfg = req.Config
	c.restart(c.startOf(&req.Config))
	o.confirm(c, reply)
}

func (c *originConsumer) startOf(cfg *api.ConsumerConfig) uint64 {
	switch cfg.DeliverPolicy {
	case api.DeliverByStartSequence:
		return cfg.OptStartSeq
	case api.DeliverByStartTime:
		for seq := uint64(1); seq <= c.o.last; seq++ {
			if m := c.o.msgs[seq]; m != nil && m.time >= cfg.OptStartTime.UnixNano() {
				return seq
			}
		}
		return c.o.last + 1
	}
	return 1
}

// restart begins at a sequence, or behind what was acked, or at the first that there is.
func (c *originConsumer) restart(next uint64) {
	c.dseq, c.outstanding, c.window, c.question = 0, 0, 600, ""
	c.next = max(next, 1)
	if c.o.queue {
		c.next = max(c.next, c.floor+1)
	}
	for c.next <= c.o.last && c.o.msgs[c.next] == nil {
		c.next++
	}
	c.last = c.next - 1
}

func (o *origin) reset(name string, body []byte, fail func(int, string), reply func(h, b []byte)) {
	c := o.cons[name]
	if c == nil {
		fail(10014, "consumer not found")
		return
	}
	var req api.JSApiConsumerResetRequest
	if len(body) > 0 {
		if err := json.Unmarshal(body, &req); err != nil {
			panic(err)
		}
	}
	if req.Seq == 0 {
		req.Seq = c.floor + 1
	}
	c.restart(req.Seq)
	o.confirm(c, reply)
}

// durable makes a consumer beforehand.
func (o *origin) durable(name, deliver string) *originConsumer {
	c := &originConsumer{o: o, name: name, cfg: api.ConsumerConfig{DeliverSubject: deliver, AckPolicy: api.AckFlowControl}}
	o.cons[name] = c
	c.restart(1)
	c.gone = true // not before the first reset
	return c
}

func (o *origin) confirm(c *originConsumer, reply func(h, b []byte)) {
	c.gone = false
	var r struct {
		api.ConsumerInfo
	}
	cfg := c.cfg
	if o.queue {
		cfg.AckPolicy = api.AckFlowControl
	}
	r.Config = &cfg
	r.Delivered.Stream = c.next - 1
	r.NumPending = c.pending()
	h := []byte(nil)
	if o.level >= 5 {
		h = []byte("NATS/1.0\r\nNats-Stream-Identity: " + o.identity + "\r\n\r\n")
	}
	reply(h, api.Marshal(&r))
	c.pump()
}

func (c *originConsumer) wants(m *originMsg) bool {
	if m == nil {
		return false
	}
	for _, f := range c.cfg.Filters() {
		if subject.Matches(m.subject, f) {
			return true
		}
	}
	return len(c.cfg.Filters()) == 0
}

func (c *originConsumer) pending() (n uint64) {
	for seq := c.next; seq <= c.o.last; seq++ {
		if c.wants(c.o.msgs[seq]) {
			n++
		}
	}
	return n
}

func (c *originConsumer) pump() {
	for !c.gone && c.next <= c.o.last && c.outstanding <= c.window {
		m := c.o.msgs[c.next]
		if !c.wants(m) {
			c.next++
			continue
		}
		a := broker.Arrival{Subject: []byte(m.subject), Data: []byte(m.data)}
		if m.header != "" {
			a.Header = []byte(m.header)
		}
		c.next++
		pending := c.pending()
		a.Reply = []byte(fmt.Sprintf("$JS.ACK.%s.%s.1.%d.%d.%d.%d", c.o.name, c.name, m.seq, c.dseq+1, m.time, pending))
		if !c.o.w.deliver(c.cfg.DeliverSubject, a) {
			c.next--
			return
		}
		c.quiet = c.o.w.sim.Now()
		c.dseq++
		c.last = m.seq
		c.outstanding += len(m.subject) + len(m.data) + 60
		if c.question == "" && c.outstanding > c.window/2 {
			c.ask()
		}
	}
}

func (c *originConsumer) ask() {
	c.question = fmt.Sprintf("$JS.FC.%s.%s.%04d", c.o.name, c.name, c.o.w.rand.IntN(10000))
	c.asked = c.outstanding
	c.o.w.deliver(c.cfg.DeliverSubject, broker.Arrival{
		Subject: []byte(c.cfg.DeliverSubject), Reply: []byte(c.question), Header: []byte("NATS/1.0 100 FlowControl Request\r\n\r\n"),
	})
}

func (c *originConsumer) beat() {
	c.pump()
	if c.gone || c.o.w.sim.Now()-c.quiet < time.Second {
		return
	}
	h := "NATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: " + strconv.FormatUint(c.dseq, 10) +
		"\r\nNats-Last-Stream: " + strconv.FormatUint(c.last, 10) + "\r\n"
	if c.question != "" {
		h += "Nats-Consumer-Stalled: " + c.question + "\r\n"
	}
	c.o.w.deliver(c.cfg.DeliverSubject, broker.Arrival{Subject: []byte(c.cfg.DeliverSubject), Header: []byte(h + "\r\n")})
	if c.question == "" && c.floor < c.last && (c.o.queue || c.cfg.AckPolicy == api.AckFlowControl) {
		c.ask()
	}
}

// answered takes the answer to a flow control question.
func (o *origin) answered(subj string, header []byte) {
	for _, name := range o.names() {
		c := o.cons[name]
		if c.question != subj || !strings.Contains(subj, "."+o.name+".") {
			continue
		}
		c.question = ""
		c.outstanding -= c.asked
		c.window = min(2*c.window, 4000)
		if upTo, err := strconv.ParseUint(string(api.HeaderValue(header, api.HdrLastStream)), 10, 64); err == nil {
			c.ack(upTo)
		}
		c.pump()
	}
}

func (c *originConsumer) ack(upTo uint64) {
	if c.o.w.ackable != nil {
		c.o.w.ackable(c.o, upTo)
	}
	c.floor = max(c.floor, upTo)
	if !c.o.queue {
		return
	}
	for seq := range c.o.msgs { //lockstep:ordered each is removed alike
		if seq <= upTo && c.wants(c.o.msgs[seq]) {
			delete(c.o.msgs, seq)
		}
	}
}
