package broker

import (
	"bytes"
	"fmt"
	"slices"

	"github.com/lockstepmq/lockstep/server/wire"
)

// The protocol trace: what came in, what went out, as the log shows it. Nothing
// here is called unless the trace is on.

// traced tells whether this connection's protocol is shown: the system account
// only with trace_verbose.
func (c *Client) traced() bool {
	acc := c.bound.Load() // deliveries are traced on the publisher's strand
	return c.b.options().TraceVerbose || acc == nil || acc != c.b.SystemAccount()
}

func (c *Client) traceIn(verb string, arg []byte) {
	if c.traced() {
		c.b.log.Tracef("%s - <<- [%s]", c, joinArg(verb, arg))
	}
}

func (c *Client) traceOut(verb string, arg []byte) {
	if c.traced() {
		c.b.log.Tracef("%s - ->> [%s]", c, joinArg(verb, arg))
	}
}

func joinArg(verb string, arg []byte) string {
	if len(arg) == 0 {
		return verb
	}
	return verb + " " + string(arg)
}

func (c *Client) tracePublish(op *wire.Op) {
	arg := string(op.Subject)
	if len(op.Reply) > 0 {
		arg += " " + string(op.Reply)
	}
	if op.Verb == wire.VerbHpub {
		arg += " " + itoa(op.Header)
	}
	c.traceIn(op.Verb.String(), []byte(arg+" "+itoa(len(op.Payload))))
	c.tracePayload("<<-", op.Payload, op.Header)
}

// tracePayload shows a payload, or its headers alone, cut to the configured length.
func (c *Client) tracePayload(arrow string, p []byte, header int) {
	if c.traced() {
		c.b.tracePayload(c, arrow, p, header)
	}
}

func (b *Broker) tracePayload(who fmt.Stringer, arrow string, p []byte, header int) {
	o := b.options()
	if o.TraceHeaders {
		p = bytes.TrimRight(p[:header], "\r\n")
	}
	if len(p) == 0 {
		return
	}
	if limit := o.MaxTracedMsgLen; limit > 0 && len(p) > limit {
		b.log.Tracef("%s - %s MSG_PAYLOAD: [%q]", who, arrow, string(p[:limit])+"...")
		return
	}
	b.log.Tracef("%s - %s MSG_PAYLOAD: [%q]", who, arrow, p)
}

func (c *Client) traceDeliver(subj []byte, sid string, reply, header, body []byte) {
	verb, arg := "MSG", string(subj)+" "+sid
	if len(reply) > 0 {
		arg += " " + string(reply)
	}
	if len(header) > 0 {
		verb, arg = "HMSG", arg+" "+itoa(len(header))
	}
	c.traceOut(verb, []byte(arg+" "+itoa(len(header)+len(body))))
	c.tracePayload("->>", slices.Concat(header, body), len(header))
}

func (c *Client) traceSub(op *wire.Op) {
	arg := string(op.Subject)
	if len(op.Queue) > 0 {
		arg += " " + string(op.Queue)
	}
	c.traceIn("SUB", []byte(arg+" "+string(op.SID)))
}

func (c *Client) traceUnsub(op *wire.Op) {
	arg := string(op.SID)
	if op.Max > 0 {
		arg += " " + itoa(op.Max)
	}
	c.traceIn("UNSUB", []byte(arg))
}

func (c *Client) traceDelsub(sid string) {
	if c.traced() {
		c.b.log.Tracef("%s - <-> [DELSUB %s]", c, sid)
	}
}

func (c *Client) traceMapping(from, to string) {
	if c.traced() {
		c.b.log.Tracef("%s - <<- [MAPPING %s -> %s]", c, from, to)
	}
}
