package sim

import (
	"bytes"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/checks/js"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/wire"
)

// jsClient uses JetStream over the real protocol. Each request has a reply subject of its
// own; an answer that does not come in time, or before the connection ends, is unknown.
type jsClient struct {
	w       *World
	j       *jsWorld
	name    string
	clock   *clock.SimClock
	strand  clock.Strand
	network netsim.Network
	rnd     *rand.Rand
	timer   clock.Timer // connects, keeps alive, and gives up what waits too long

	conn    netsim.Conn
	state   clientState
	parser  wire.ClientParser
	life    int // of the connection
	epoch   int // of the server that the connection is to
	secure  bool
	nonce   *string
	heard   time.Duration
	born    time.Duration // of the connection
	pinged  bool
	out     []byte
	calls   []*jsCall // in the order they were made
	replies map[string]*jsCall
	asked   int
	stopped bool
	ready   func() // at each new connection
	step    func() // the workload's
	steps   clock.Timer
	paused  bool
}

// jsCall waits for answers on a reply subject.
type jsCall struct {
	subject string
	until   time.Duration
	// hear takes an answer; it is true when there will be no other. A nil answer
	// means that nobody knows.
	hear func(*jsReply) (done bool)
	over bool
	sid  string // of a subscription of its own
	// standing subscriptions end with their connection, and nobody waits for them.
	standing bool
}

// jsReply is a message that a client was sent.
type jsReply struct {
	Subject, Reply string
	Header         []byte
	Body           []byte
	Status         int
	Text           string // of the status
	At             core.Stamp
}

const (
	jsTick    = 250 * time.Millisecond
	jsTimeout = 5 * time.Second
)

func (j *jsWorld) newClient(name string) *jsClient {
	w := j.w
	c := &jsClient{w: w, j: j, name: name, clock: w.sim.Clock(name), network: w.net.Host(name), rnd: w.sim.Rand("script/" + name)}
	c.strand = c.clock.NewStrand("client")
	c.timer = c.strand.NewTimer(c.tick)
	c.steps = c.strand.NewTimer(c.act)
	j.clients = append(j.clients, c)
	c.strand.Post(c.dial)
	return c
}

// every makes the client act again and again, with pauses of the plan's length.
func (c *jsClient) every(step func()) {
	c.step = step
	c.steps.Reset(0)
}

func (c *jsClient) act() {
	if c.paused || c.stopped {
		return
	}
	c.steps.Reset(time.Duration(min(c.rnd.ExpFloat64(), 8) * float64(c.j.plan.Think)))
	if c.state == clientReady && c.conn.Buffered() < unsentMax && c.waiting() < jsWaitingMax {
		c.step()
		c.send()
	}
}

// jsWaitingMax bounds the requests of a client that wait for their answers: what overlaps too
// much has too many explanations.
const jsWaitingMax = 3

// waiting counts the requests that wait for their one answer.
func (c *jsClient) waiting() (n int) {
	for _, call := range c.calls {
		if !call.over && call.sid == "" {
			n++
		}
	}
	return n
}

func (c *jsClient) dial() {
	if c.state != clientDown || c.stopped {
		return
	}
	c.state = clientDialing
	c.life++
	life := c.life
	c.network.Dial(c.strand, c.address(), netsim.DialOptions{Timeout: dialMax}, func(conn netsim.Conn, err error) {
		if err != nil || c.stopped || c.life != life {
			if conn != nil {
				conn.Abort(nil)
			}
			c.state = clientDown
			c.timer.Reset(logTime(c.rnd, 5*time.Millisecond, 300*time.Millisecond))
			return
		}
		c.conn, c.state, c.parser, c.secure, c.nonce, c.pinged = conn, clientGreeting, wire.ClientParser{}, false, nil, false
		c.out = c.out[:0]
		c.replies = make(map[string]*jsCall)
		c.heard, c.born = c.w.sim.Now(), c.w.sim.Now()
		conn.Start(c.strand, &jsSession{c, life})
		if c.w.plan.TLS == TLSFirst {
			c.startTLS(nil)
		}
		c.timer.Reset(jsTick)
	})
}

// tick is housekeeping.
func (c *jsClient) tick() {
	if c.state == clientDown {
		c.dial()
		return
	}
	if c.state == clientDialing {
		return
	}
	now := c.w.sim.Now()
	for _, call := range c.calls {
		if !call.over && now >= call.until {
			c.giveUp(call)
		}
	}
	n := 0
	for _, call := range c.calls {
		if !call.over {
			c.calls[n] = call
			n++
		}
	}
	clear(c.calls[n:])
	c.calls = c.calls[:n]
	switch silence := now - c.heard; {
	case silence > silenceMax:
		if healed := c.j.healed; healed > 0 && c.born > max(healed, c.w.started) && c.state == clientReady {
			c.w.violate(core.Reach, "%s, which connected after everything was healed, is not answered for %v", c.name, silence)
		}
		c.conn.Abort(nil)
		return
	case silence > keepAlive && c.state == clientReady && !c.pinged:
		c.pinged = true
		c.out = append(c.out, "PING\r\n"...)
	}
	if c.state == clientReady {
		c.send()
	}
	c.timer.Reset(jsTick)
}

func (c *jsClient) giveUp(call *jsCall) {
	c.end(call)
	call.hear(nil)
}

// jsSession hears one connection.
type jsSession struct {
	c    *jsClient
	life int
}

// Data is what the server sent.
func (s *jsSession) Data(p []byte) {
	c := s.c
	if c.life != s.life {
		return
	}
	c.heard = c.w.sim.Now()
	var op wire.Op
	for len(p) > 0 {
		rest, ok, err := c.parser.Next(p, &op)
		if err != nil {
			c.w.violate(core.NoMore, "%s was sent what is not the protocol: %v", c.name, err)
			c.conn.Abort(nil)
			return
		}
		p = rest
		if !ok {
			break
		}
		was := c.secure
		c.hear(&op)
		if c.secure && !was {
			c.startTLS(p)
			return
		}
	}
	c.send()
}

// Closed ends the connection: what was not answered never will be.
func (s *jsSession) Closed(error) {
	c := s.c
	if c.life != s.life {
		return
	}
	c.conn, c.state = nil, clientDown
	calls := c.calls
	c.calls = nil
	for _, call := range calls {
		if !call.over {
			c.giveUp(call)
		}
	}
	c.timer.Reset(logTime(c.rnd, 5*time.Millisecond, 300*time.Millisecond))
}

func (c *jsClient) hear(op *wire.Op) {
	switch op.Verb {
	case wire.VerbInfo:
		if c.state != clientGreeting {
			return
		}
		info, err := wire.ParseInfo(op.Arg)
		if err != nil {
			c.conn.Abort(nil)
			return
		}
		c.epoch = c.w.epochs[info.ServerID]
		if mode := c.w.plan.TLS; !c.secure && mode != "" && mode != TLSOptional {
			c.secure, c.nonce = true, &info.Nonce
			return
		}
		c.login()
	case wire.VerbPing:
		c.out = append(c.out, "PONG\r\n"...)
	case wire.VerbPong:
		c.pinged = false
	case wire.VerbMsg, wire.VerbHmsg:
		c.message(op)
	case wire.VerbErr:
		c.w.trace.Notef(clock.LevelInfo, c.name, "-ERR %s", wire.ErrText(op.Arg))
	}
}

func (c *jsClient) startTLS(pending []byte) {
	life := c.life
	c.secure = true
	var id *netsim.Identity
	if c.w.plan.TLS == TLSMap {
		id = &netsim.Identity{CommonName: "whoever", DNSNames: []string{jsUser}}
	}
	c.conn.StartTLS(netsim.TLSOptions{Config: &tls.Config{InsecureSkipVerify: true}, Identity: id, Timeout: dialMax, Pending: pending}, func(err error) {
		if err == nil && c.life == life && c.state == clientGreeting && c.nonce != nil {
			c.login()
			c.send()
		}
	})
}

func (c *jsClient) login() {
	opts := wire.Connect{
		Echo: true, Headers: true, NoResponders: true, Protocol: 1, Name: c.name, Lang: "sim", Version: "1",
	}
	if c.w.plan.TLS != TLSMap { // whose certificate tells
		opts.Username, opts.Password = jsUser, password(jsUser)
	}
	var err error
	if c.out, err = wire.AppendConnect(c.out, &opts); err != nil {
		panic(err)
	}
	c.out = wire.AppendSub(c.out, []byte(c.inbox("*")), nil, []byte("1"))
	c.state = clientReady
	if c.ready != nil {
		c.ready()
	}
}

func (c *jsClient) inbox(token string) string {
	return fmt.Sprintf("_INBOX.%s.%d.%s", c.name, c.life, token)
}

// call sends a request. hear is called until it is content, or with nil.
func (c *jsClient) call(subject string, header, body []byte, wait time.Duration, hear func(*jsReply) bool) {
	c.asked++
	reply := c.inbox(fmt.Sprint(c.asked))
	call := &jsCall{subject: reply, until: c.w.sim.Now() + wait, hear: hear}
	c.calls = append(c.calls, call)
	c.replies[reply] = call
	c.put(subject, reply, header, body)
}

// put publishes.
func (c *jsClient) put(subject, reply string, header, body []byte) {
	if header == nil {
		c.out = wire.AppendPub(c.out, []byte(subject), []byte(reply), body)
	} else {
		c.out = wire.AppendHpub(c.out, []byte(subject), []byte(reply), header, body)
	}
}

// ask is a call with one answer.
func (c *jsClient) ask(subject string, header, body []byte, then func(*jsReply)) {
	c.call(subject, header, body, jsTimeout, func(r *jsReply) bool {
		then(r)
		return true
	})
}

// request asks the API. The answer is nil when it is unknown, else what the server said.
func (c *jsClient) request(subject string, body any, then func(*js.Answer)) {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			panic(err)
		}
	}
	c.ask("$JS.API."+subject, nil, text, func(r *jsReply) { then(c.answer(r)) })
}

// answer reads what an API request or a publish was answered.
func (c *jsClient) answer(r *jsReply) *js.Answer {
	if r == nil {
		return nil
	}
	a := &js.Answer{At: r.At}
	if r.Status == 503 {
		a.Code, a.Err = 503, js.NoResponders
		return a
	}
	if err := json.Unmarshal(r.Body, a); err != nil {
		c.w.violate(js.APITruth, "%s was answered what is not JSON: %q", c.name, r.Body)
		return nil
	}
	if a.Error != nil {
		a.Code, a.Err = a.Error.Code, a.Error.ErrCode
		c.j.ops[fmt.Sprintf("js_error_%d", a.Err)]++
	}
	return a
}

func (c *jsClient) message(op *wire.Op) {
	r := &jsReply{
		Subject: string(op.Subject), Reply: string(op.Reply), Header: bytes.Clone(op.Payload[:op.Header]), Body: bytes.Clone(op.Payload[op.Header:]),
		At: c.w.rec.now(),
	}
	if code, text, ok := wire.HeaderStatus(r.Header); ok {
		r.Status, r.Text = code, string(text)
	}
	key := r.Subject
	if string(op.SID) != "1" {
		key = string(op.SID)
	}
	if r := c.w.replicas; r != nil {
		c.epoch = r.era()
	}
	call := c.replies[key]
	if call == nil || call.over {
		return
	}
	if call.hear(r) {
		c.end(call)
	}
}

// end forgets a call.
func (c *jsClient) end(call *jsCall) {
	call.over = true
	delete(c.replies, call.subject)
	if call.sid != "" && c.state == clientReady {
		c.out = wire.AppendUnsub(c.out, []byte(call.sid), 0)
	}
}

// send gives the network what was written.
func (c *jsClient) send() {
	if len(c.out) == 0 || c.conn == nil || c.state != clientReady {
		return
	}
	c.conn.Write(c.out)
	c.conn.Flush()
	c.out = c.out[:0]
}

// idle tells whether the client is connected and waits for nothing.
func (c *jsClient) idle() bool {
	if c.state != clientReady {
		return false
	}
	for _, call := range c.calls {
		if !call.over && !call.standing {
			return false
		}
	}
	return true
}

// header writes a header block of names and values, nil when there are none.
func header(pairs ...string) []byte {
	if len(pairs) == 0 {
		return nil
	}
	var b strings.Builder
	b.WriteString(wire.HeaderLine)
	for i := 0; i < len(pairs); i += 2 {
		b.WriteString(pairs[i] + ": " + pairs[i+1] + "\r\n")
	}
	b.WriteString("\r\n")
	return []byte(b.String())
}
