package broker

import (
	"bytes"

	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/server/wire"
)

// message is one publish on its way. Its slices belong to the read buffer or to
// scratch space of the publisher; nothing keeps them past the batch.
type message struct {
	subject []byte // decides who receives it
	shown   []byte // what receivers see in its place; nil is the subject itself
	reply   []byte
	header  []byte
	body    []byte
	origin  []byte // cluster of the leafnode that it came from; nil is none
	depth   int    // account boundaries crossed
}

// size is that of the payload: headers and body.
func (m *message) size() int { return len(m.header) + len(m.body) }

// seen is the subject that receivers in the message's account see.
func (m *message) seen() []byte {
	if m.shown != nil {
		return m.shown
	}
	return m.subject
}

var (
	prefixGatewayReply = []byte("_GR_.")
	prefixServiceReply = []byte("_R_.")
	prefixJSAck        = []byte("$JS.ACK.")
	prefixRaft         = []byte("$NRG.")
)

// publish is the one path of a client's message: limits were judged by the
// parser; then mapping, permission, reserved names, acknowledgement, delivery.
func (c *Client) publish(op *wire.Op) {
	c.active = true
	c.batch.inMsgs++
	c.batch.inBytes += int64(len(op.Payload))
	if c.b.log.Trace() {
		c.tracePublish(op)
	}
	if c.pedantic && !subject.ValidPublish(op.Subject) {
		c.sendError(wire.TextInvalidPublishSubject)
	}
	m := message{subject: op.Subject, reply: op.Reply, header: op.Payload[:op.Header], body: op.Payload[op.Header:]}
	acc := c.acc
	if acc == nil {
		c.acknowledge()
		return
	}
	if maps := acc.Graph().Mappings; maps != nil && !c.mapSubject(maps, &m) {
		c.acknowledge()
		if m.subject = nil; len(m.reply) > 0 && c.noResp { // lost on purpose; a requester need not wait
			c.noResponders(&m)
		}
		return
	}
	if !c.mayPublish(&m) {
		return
	}
	c.acknowledge()
	if c.route(acc, &m) || len(m.reply) == 0 || !c.noResp {
		return
	}
	c.noResponders(&m)
}

// acknowledge answers an accepted operation of a verbose client.
func (c *Client) acknowledge() {
	if c.verbose {
		c.reply(okLine)
	}
}

// mayPublish judges subject and reply of a publish; a refusal is answered.
func (c *Client) mayPublish(m *message) bool {
	s := m.subject
	if len(s) > 5 && (s[0] == '_' && bytes.HasPrefix(s, prefixGatewayReply)) {
		c.publishDenied(s)
		return false
	}
	if c.publishes != nil && !c.pub.Allows(c.publishes, s) && !c.permitted(s) {
		c.publishDenied(s)
		return false
	}
	if s[0] == '$' && bytes.HasPrefix(s, prefixRaft) && !c.isSystem() {
		c.publishDenied(s)
		return false
	}
	if r := m.reply; len(r) > 0 && (r[0] == '_' || r[0] == '$') && reservedReply(r) {
		c.sendError(wire.TextReplyViolation(r))
		c.b.log.Errorf("%s - Publish Violation - Reply %q", c, r)
		return false
	}
	return true
}

func reservedReply(r []byte) bool {
	return bytes.HasPrefix(r, prefixServiceReply) || bytes.HasPrefix(r, prefixJSAck) || bytes.HasPrefix(r, prefixGatewayReply)
}

// permitted tells whether a request that the client received lets it answer on
// subject.
func (c *Client) permitted(subject []byte) bool {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	return c.out.replies != nil && c.out.replies.Use(subject, c.now)
}

func (c *Client) publishDenied(subject []byte) {
	c.sendError(wire.TextPublishViolation(subject))
	c.b.log.Errorf("%s - Publish Violation - Subject %q", c, subject)
}

// noResponders tells a requester that nobody received its message, if it listens
// on the reply subject itself.
func (c *Client) noResponders(m *message) {
	sid, ok := c.ownInterest(m.reply)
	if !ok {
		return
	}
	c.scratch = wire.AppendNoResponders(c.scratch[:0], m.reply, sid, m.subject)
	c.reply(c.scratch)
}

// ownInterest finds the sid of a plain subscription of this connection that
// matches subject.
func (c *Client) ownInterest(subject []byte) ([]byte, bool) {
	r := c.lookup(c.acc, subject)
	for i := range r.plain {
		if t := &r.plain[i]; t.to == c && t.sub.Shadow == nil && !t.sub.Closed() {
			return []byte(t.sub.SID), true
		}
	}
	return nil, false
}
