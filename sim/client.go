package sim

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/wire"
)

const (
	// A client that hears nothing for so long gives its connection up.
	silenceMax = 9 * time.Second
	keepAlive  = 3 * time.Second
	dialMax    = 5 * time.Second
	// unsentMax bounds what a client queues on a connection that takes nothing.
	unsentMax = 256 << 10
)

// Client speaks the protocol from a machine of its own, connects again when its
// connection ends, and records what it does and is sent.
type Client struct {
	w       *World
	name    string
	user    string
	account string
	clock   *clock.SimClock
	strand  clock.Strand
	network netsim.Network
	rnd     *rand.Rand
	again   clock.Timer // connects, or keeps alive
	steps   clock.Timer // the script
	wanted  []desire    // subscriptions that outlive connections

	conn     netsim.Conn
	state    clientState
	parser   wire.ClientParser
	c        *core.Conn
	sid      int
	subs     map[string]*liveSub
	live     []*liveSub // in the order of SUB
	pings    []core.Stamp
	open     []confirmation
	seq      int
	inbox    int
	verbose  bool
	asked    int   // operations that a verbose connection has answered, one by one
	told     int   // answers to them
	due      []int // of asked, at each open PING
	out      []byte
	heard    time.Duration
	id       uint64 // on the server
	paused   bool   // the script stands still
	stopped  bool   // does not connect again
	ready    func()
	answered func()     // once, when operations are confirmed
	secure   bool       // a TLS handshake was begun on this connection
	nonce    *string    // of INFO, while a handshake runs
	stated   string     // where the PROXY header says that the client is; "" without one
	owed     []owedText // answers that are to come later
	home     string     // the server of a cluster that it connects to
}

// owedText is one more answer to a request.
type owedText struct {
	reply string
	id    uint64
	conn  *core.Conn
}

type clientState uint8

const (
	clientDown clientState = iota
	clientDialing
	clientGreeting
	clientReady
)

// desire is a subscription that a client makes on every connection.
type desire struct{ subject, queue string }

// liveSub is a subscription that the client believes in.
type liveSub struct {
	*core.Sub
	got    int
	wanted bool
}

// confirmation is a stamp that the answer to a later PING sets.
type confirmation struct {
	sent core.Stamp
	done *core.Stamp
}

func (w *World) newClient(name, user, account string) *Client {
	c := &Client{
		w: w, name: name, user: user, account: account, clock: w.sim.Clock(name), network: w.net.Host(name),
		rnd: w.sim.Rand("script/" + name),
	}
	c.strand = c.clock.NewStrand("client")
	c.again = c.strand.NewTimer(c.tick)
	c.steps = c.strand.NewTimer(c.step)
	w.clients = append(w.clients, c)
	return c
}

// Connect starts to connect.
func (c *Client) Connect() {
	c.stopped = false
	c.strand.Post(c.dial)
}

func (c *Client) dial() {
	if c.state != clientDown || c.stopped {
		return
	}
	c.state = clientDialing
	c.w.rec.conns++
	rec := &core.Conn{
		ID: c.w.rec.conns, Client: c.name, User: c.user, Account: c.account, Open: c.w.rec.now(), Closed: core.Never,
		Echo: c.rnd.IntN(5) > 0, Headers: c.rnd.IntN(5) > 0,
	}
	rec.NoResponders = rec.Headers && c.rnd.IntN(5) > 0
	c.c = rec
	c.network.Dial(c.strand, c.serverAddress(), netsim.DialOptions{Timeout: dialMax}, func(conn netsim.Conn, err error) {
		c.dialed(rec, conn, err)
	})
}

func (c *Client) dialed(rec *core.Conn, conn netsim.Conn, err error) {
	if err != nil || c.stopped || c.c != rec {
		if conn != nil {
			conn.Abort(nil)
		}
		c.state = clientDown
		c.again.Reset(c.pause())
		return
	}
	c.w.rec.h.Conns = append(c.w.rec.h.Conns, rec)
	c.conn, c.state, c.parser = conn, clientGreeting, wire.ClientParser{}
	c.sid, c.seq, c.pings, c.open, c.live, c.id = 0, 0, nil, nil, nil, 0
	c.asked, c.told, c.due = 0, 0, nil
	c.subs = make(map[string]*liveSub)
	c.heard = c.w.sim.Now()
	c.secure, c.nonce, c.owed = false, nil, nil
	conn.Start(c.strand, &session{c, rec})
	c.sayProxy()
	if c.w.plan.TLS == TLSFirst {
		c.startTLS(nil)
	}
	c.again.Reset(keepAlive)
}

// pause is how long a client waits before it connects again.
func (c *Client) pause() time.Duration {
	return logTime(c.rnd, 5*time.Millisecond, 500*time.Millisecond)
}

// tick keeps a connection alive, or makes one.
func (c *Client) tick() {
	switch {
	case c.state == clientDown:
		c.dial()
		return
	case c.state == clientDialing:
		return
	case c.w.sim.Now()-c.heard > silenceMax:
		c.conn.Abort(nil)
		return
	case c.state == clientReady && len(c.pings) < 8:
		c.ping()
		c.send()
	}
	c.again.Reset(keepAlive)
}

// session hears one connection.
type session struct {
	c   *Client
	rec *core.Conn
}

// Data is what the server sent.
func (s *session) Data(p []byte) {
	c := s.c
	if c.c != s.rec {
		return
	}
	c.heard = c.w.sim.Now()
	var op wire.Op
	for len(p) > 0 {
		rest, ok, err := c.parser.Next(p, &op)
		if err != nil {
			c.w.violate(core.NoMore, "%s was sent what is not the protocol: %v", s.rec, err)
			c.conn.Abort(nil)
			return
		}
		p = rest
		if !ok {
			break
		}
		tls := c.secure
		c.hear(&op)
		if c.secure && !tls {
			c.startTLS(p)
			return
		}
	}
	c.send()
}

// Closed ends the connection.
func (s *session) Closed(error) {
	c := s.c
	s.rec.Closed = c.w.rec.now()
	if c.c != s.rec {
		return
	}
	c.w.trace.Notef(clock.LevelInfo, c.name, "connection %d ended", s.rec.ID)
	c.conn, c.state, c.out = nil, clientDown, c.out[:0]
	c.again.Reset(c.pause())
}

func (c *Client) hear(op *wire.Op) {
	switch op.Verb {
	case wire.VerbInfo:
		c.info(op.Arg)
	case wire.VerbPing:
		c.out = append(c.out, "PONG\r\n"...)
	case wire.VerbPong:
		c.pong()
	case wire.VerbOK:
		c.told++
	case wire.VerbMsg, wire.VerbHmsg:
		c.message(op)
	case wire.VerbErr:
		c.complaint(wire.ErrText(op.Arg))
	}
}

func (c *Client) info(arg []byte) {
	info, err := wire.ParseInfo(arg)
	if err != nil {
		c.w.violate(core.NoMore, "%s was sent an INFO that is none: %v", c.c, err)
		return
	}
	if c.state != clientGreeting {
		if want := c.payloadMax(); info.ConnectInfo && info.MaxPayload != int64(want) {
			c.w.violate(core.Health, "%s was told that max_payload is %d, and it is %d", c.c, info.MaxPayload, want)
		}
		return
	}
	c.c.Epoch, c.id = c.w.epochs[info.ServerID], info.ClientID
	if mode := c.w.plan.TLS; !c.secure && mode != "" && (mode != TLSOptional || c.rnd.IntN(2) == 0) {
		c.secure, c.nonce = true, &info.Nonce // the session goes on when it is secure
		return
	}
	c.login(info.Nonce)
}

// login sends CONNECT and what the client is subscribed to for good.
func (c *Client) login(nonce string) {
	if c.secure {
		c.w.used("TLS " + string(c.w.plan.TLS))
	}
	c.verbose = c.rnd.IntN(5) == 0
	c.asked++ // CONNECT
	opts := wire.Connect{
		Verbose: c.verbose, Pedantic: c.rnd.IntN(5) == 0, Echo: c.c.Echo, Headers: c.c.Headers,
		NoResponders: c.c.NoResponders, Protocol: 1, Name: c.name, Lang: "sim", Version: "1",
	}
	c.present(&opts, nonce)
	var err error
	c.out, err = wire.AppendConnect(c.out, &opts)
	if err != nil {
		panic(err)
	}
	c.state = clientReady
	c.subscribe("_INBOX."+c.name+".>", "", true)
	for _, d := range c.wanted {
		c.subscribe(d.subject, d.queue, true)
	}
	c.ping()
	if c.ready != nil {
		c.ready()
	}
}

func (c *Client) pong() {
	if len(c.pings) == 0 {
		c.w.violate(core.Exact, "%s was sent a PONG without a PING", c.c)
		return
	}
	sent, now := c.pings[0], c.w.rec.now()
	c.pings = c.pings[1:]
	if c.verbose && c.told != c.due[0] {
		c.w.violate(core.Exact, "%s is verbose and was given %d answers to %d operations", c.c, c.told, c.due[0])
	}
	c.due = c.due[1:]
	c.c.Synced = sent
	c.c.Answers = append(c.c.Answers, core.Answer{Sent: sent, Came: now})
	n := 0
	for n < len(c.open) && c.open[n].sent < sent {
		*c.open[n].done = now
		n++
	}
	c.open = c.open[n:]
	if then := c.answered; n > 0 && then != nil {
		c.answered = nil
		then()
	}
}

// ping asks for an answer that confirms all that was sent before.
func (c *Client) ping() {
	c.out = append(c.out, "PING\r\n"...)
	c.pings = append(c.pings, c.w.rec.now())
	c.due = append(c.due, c.asked)
}

// confirm makes the answer to the next PING set done. Each operation passes here.
func (c *Client) confirm(sent core.Stamp, done *core.Stamp) {
	*done = core.Never
	c.asked++
	c.open = append(c.open, confirmation{sent, done})
}

func (c *Client) subscribe(subject, queue string, wanted bool) *liveSub {
	c.sid++
	sid := strconv.Itoa(c.sid)
	s := &core.Sub{Conn: c.c, SID: sid, Subject: subject, Queue: queue, Sent: c.w.rec.now()}
	c.confirm(s.Sent, &s.Confirmed)
	c.w.rec.h.Subs = append(c.w.rec.h.Subs, s)
	c.out = wire.AppendSub(c.out, []byte(subject), []byte(queue), []byte(sid))
	live := &liveSub{Sub: s, wanted: wanted}
	c.subs[sid] = live
	c.live = append(c.live, live)
	return live
}

func (c *Client) unsubscribe(s *liveSub, most int) {
	s.UnsubSent, s.Max = c.w.rec.now(), most
	c.confirm(s.UnsubSent, &s.UnsubConfirmed)
	c.out = wire.AppendUnsub(c.out, []byte(s.SID), most)
	if most == 0 {
		c.drop(s)
	}
}

// drop forgets a subscription in the list of those that live.
func (c *Client) drop(s *liveSub) {
	for i, l := range c.live {
		if l == s {
			c.live = append(c.live[:i], c.live[i+1:]...)
			return
		}
	}
}

// publish sends a message of about size bytes.
func (c *Client) publish(subject, reply string, size int, answers uint64) *core.Publish {
	c.w.rec.ids++
	c.seq++
	if size < 0 { // an answer's end
		return c.publishEnd(subject, answers)
	}
	p := &core.Publish{ID: c.w.rec.ids, Seq: c.seq, Conn: c.c, Subject: subject, Reply: reply, Answers: answers, Sent: c.w.rec.now()}
	c.confirm(p.Sent, &p.Done)
	c.w.rec.h.Pubs = append(c.w.rec.h.Pubs, p)
	body := appendPayload(nil, p.ID, size)
	if c.c.Headers && p.ID%3 == 0 {
		header := fmt.Sprintf("%sX-Id: %d\r\n\r\n", wire.HeaderLine, p.ID)
		c.out = wire.AppendHpub(c.out, []byte(subject), []byte(reply), []byte(header), body)
	} else {
		c.out = wire.AppendPub(c.out, []byte(subject), []byte(reply), body)
	}
	return p
}

// publishEnd sends the empty message that ends a streamed response.
func (c *Client) publishEnd(subject string, answers uint64) *core.Publish {
	p := &core.Publish{ID: c.w.rec.ids, Seq: c.seq, Conn: c.c, Subject: subject, Answers: answers, End: true, Sent: c.w.rec.now()}
	c.confirm(p.Sent, &p.Done)
	c.w.rec.h.Pubs = append(c.w.rec.h.Pubs, p)
	c.out = wire.AppendPub(c.out, []byte(subject), nil, nil)
	return p
}

// payloadMax is the most that the client may publish.
func (c *Client) payloadMax() int {
	if most := c.limits().MaxPayload; most > 0 {
		return min(most, c.w.plan.MaxPayload)
	}
	return c.w.plan.MaxPayload
}

// limits are those of the client's account.
func (c *Client) limits() *core.Account {
	for i := range c.w.rec.h.World.Accounts {
		if a := &c.w.rec.h.World.Accounts[i]; a.Name == c.account {
			return a
		}
	}
	panic("sim: no account " + c.account)
}

// request publishes with a reply subject of its own.
func (c *Client) request(subject string, size int) *core.Publish {
	c.inbox++
	return c.publish(subject, fmt.Sprintf("_INBOX.%s.%d.%d", c.name, c.c.ID, c.inbox), size, 0)
}

// send gives the network what was written.
func (c *Client) send() {
	if len(c.out) == 0 || c.conn == nil {
		return
	}
	c.conn.Write(c.out)
	c.conn.Flush()
	c.out = c.out[:0]
}

func (c *Client) message(op *wire.Op) {
	d := &core.Delivery{
		Conn: c.c, SID: string(op.SID), Subject: string(op.Subject), Reply: string(op.Reply), At: c.w.rec.now(),
	}
	c.w.rec.h.Deliveries = append(c.w.rec.h.Deliveries, d)
	if code, _, ok := wire.HeaderStatus(op.Payload[:op.Header]); ok {
		d.Status = code
		c.w.rec.served++
		return
	}
	d.ID, d.Intact = readPayload(op.Payload[op.Header:])
	if len(op.Payload) == 0 {
		d.Intact = true
	}
	if id, ok := wire.HeaderValue(op.Payload[:op.Header], "X-Id"); ok && string(id) != strconv.FormatUint(d.ID, 10) {
		d.Intact = false
	}
	if s := c.subs[d.SID]; s != nil {
		if s.got++; s.Max > 0 && s.got >= s.Max {
			c.drop(s)
		}
	}
	if d.Reply != "" && c.rnd.IntN(4) > 0 {
		c.answer(d)
	}
}

// answer responds to a request.
func (c *Client) answer(d *core.Delivery) {
	if len(c.out) > unsentMax || c.conn.Buffered() > unsentMax {
		return
	}
	c.w.rec.answer++
	c.publish(d.Reply, "", 20+c.rnd.IntN(100), d.ID)
	switch {
	case strings.HasPrefix(d.Subject, "flow."), strings.HasPrefix(d.Subject, "bits."):
		for range c.rnd.IntN(4) {
			c.publish(d.Reply, "", 20+c.rnd.IntN(100), d.ID)
		}
		if c.rnd.IntN(2) == 0 {
			c.w.used(map[string]string{"flow": "streamed response", "bits": "chunked response"}[d.Subject[:4]])
			c.publish(d.Reply, "", -1, d.ID)
		}
	case c.rnd.IntN(4) > 0:
		return
	case c.user == "a-answers":
		c.w.used("answers above the permit")
		for range 1 + c.rnd.IntN(3) {
			c.publish(d.Reply, "", 20, d.ID)
		}
		return
	}
	if c.rnd.IntN(2) == 0 && len(c.owed) < 8 {
		c.owed = append(c.owed, owedText{d.Reply, d.ID, c.c})
	}
}

// payOwed gives an answer that was left for later.
func (c *Client) payOwed() {
	o := c.owed[0]
	c.owed = c.owed[1:]
	if o.conn == c.c {
		c.w.used("late answer")
		c.publish(o.reply, "", 20, o.id)
	}
}

// complaint is an -ERR.
func (c *Client) complaint(text string) {
	now := c.w.rec.now()
	c.w.trace.Notef(clock.LevelInfo, c.name, "-ERR %s", text)
	n := &core.Notice{Conn: c.c, At: now}
	switch {
	case strings.HasPrefix(text, "Permissions Violation for Publish to "):
		c.told++
		n.Kind = core.NoticePublish
		n.Subject, _ = strconv.Unquote(strings.TrimPrefix(text, "Permissions Violation for Publish to "))
	case text == wire.TextMaxSubscriptions:
		c.told++
		n.Kind = core.NoticeLimit
		c.overLimit(now)
	case text == wire.TextAuthViolation:
		n.Kind = core.NoticeAuth
	case strings.HasPrefix(text, "Permissions Violation for Subscription to "):
		c.subscriptionLost(text, now)
		return
	}
	c.w.rec.h.Notices = append(c.w.rec.h.Notices, n)
}

// overLimit gives up every subscription that is not confirmed: one of them was refused.
func (c *Client) overLimit(now core.Stamp) {
	c.w.used("max_subscriptions reached")
	var some []*liveSub
	for _, s := range c.live {
		if s.Confirmed == core.Never {
			some = append(some, s)
		}
	}
	c.doubt(some, now)
}

// doubt gives subscriptions up of which nobody can tell whether they were refused.
func (c *Client) doubt(some []*liveSub, now core.Stamp) {
	for _, s := range some {
		if s.Limited != 0 {
			continue
		}
		s.Limited = now
		if s.UnsubSent == 0 {
			c.unsubscribe(s, 0)
			continue
		}
		c.out = wire.AppendUnsub(c.out, []byte(s.SID), 0)
		c.asked++
		c.drop(s)
	}
	c.ping()
}

// subscriptionLost finds the subscription that a violation names: by its sid when a
// reload removed it, else the one of that subject that was not answered.
func (c *Client) subscriptionLost(text string, now core.Stamp) {
	rest := strings.TrimPrefix(text, "Permissions Violation for Subscription to ")
	if i := strings.Index(rest, " (sid "); i >= 0 {
		sid, _ := strconv.Unquote(strings.TrimSuffix(rest[i+len(" (sid "):], ")"))
		if s := c.subs[sid]; s != nil && s.Removed == 0 {
			s.Removed = now
			c.drop(s)
		}
		return
	}
	c.told++
	var some []*liveSub
	for i := 1; i <= c.sid; i++ {
		s := c.subs[strconv.Itoa(i)]
		if s.Refused == 0 && s.Removed == 0 && s.Confirmed == core.Never && wire.TextSubscribeViolation([]byte(s.Subject), []byte(s.Queue)) == text {
			some = append(some, s)
		}
	}
	switch {
	case len(some) == 0:
		c.w.violate(core.Perms, "%s was refused a subscription that it did not ask for: %s", c.c, text)
	case len(some) > 1: // a reload between them may have refused any
		c.doubt(some, now)
	case some[0].Limited == 0:
		some[0].Refused = now
		c.drop(some[0])
	}
}

// reborn begins a new life of the client's machine: what it was doing is forgotten.
func (c *Client) reborn() {
	c.clock.Kill()
	if c.c != nil && c.c.Closed == core.Never {
		c.c.Closed = c.w.rec.now()
	}
	c.clock, c.network = c.w.sim.Clock(c.name), c.w.net.Host(c.name)
	c.strand = c.clock.NewStrand("client")
	c.again, c.steps = c.strand.NewTimer(c.tick), c.strand.NewTimer(c.step)
	c.c, c.conn, c.state, c.out = nil, nil, clientDown, nil
	c.again.Reset(c.pause())
	if !c.paused {
		c.steps.Reset(c.pause())
	}
}
