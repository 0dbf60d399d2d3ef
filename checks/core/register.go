package core

import (
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"
)

// The interest register: one subscription is a register that SUB sets and UNSUB
// clears, and each message that matches it is a read of it. Histories of a
// register have an order in which every read sees the last write before it.

// registerOp is what a client did to the register.
type registerOp uint8

const (
	opSub registerOp = iota
	opUnsub
	opPublish
)

type registerInput struct {
	op  registerOp
	who string
}

// registerOutput is what became of a publish.
type registerOutput struct{ delivered bool }

// RegisterModel is the specification of one subscription.
var RegisterModel = porcupine.Model{
	Init: func() any { return false },
	Step: func(state, in, out any) (bool, any) {
		switch in.(registerInput).op {
		case opSub:
			return true, true
		case opUnsub:
			return true, false
		}
		return out.(registerOutput).delivered == state.(bool), state
	},
	Hash: func(state any) uint64 {
		if state.(bool) {
			return 1
		}
		return 0
	},
	DescribeOperation: func(in, out any) string {
		switch i := in.(registerInput); i.op {
		case opSub:
			return "SUB " + i.who
		case opUnsub:
			return "UNSUB " + i.who
		default:
			return fmt.Sprintf("PUB %s delivered=%v", i.who, out.(registerOutput).delivered)
		}
	},
	DescribeState: func(state any) string { return fmt.Sprintf("subscribed=%v", state) },
}

const (
	// registerOpsMax bounds a partition; the search is exponential in what overlaps.
	registerOpsMax = 200
	registerWait   = 2 * time.Second
	registersMax   = 64
)

// register searches an order for the subscriptions that came and went.
func (j *judge) register() {
	t := j.table()
	judged := 0
	for _, s := range j.h.Subs {
		if s.Queue != "" || s.Max != 0 || s.Removed != 0 || s.Refused != 0 || s.Confirmed == Never || !j.unrestricted(s.Conn) {
			continue
		}
		ops := j.registerHistory(t, s)
		if len(ops) < 3 {
			continue
		}
		if judged++; judged > registersMax {
			return
		}
		j.registers++
		switch porcupine.CheckOperationsTimeout(RegisterModel, ops, registerWait) {
		case porcupine.Illegal:
			j.report(Interest, s.Conn.Synced, "%s: no order of SUB, UNSUB and publishes explains what was delivered", s)
		case porcupine.Unknown:
			j.inconclusive++
		}
	}
}

// unrestricted tells whether permissions never decide.
func (j *judge) unrestricted(c *Conn) bool {
	u := j.users[c.User]
	return len(u.Versions) == 1 && u.Versions[0].Perms.SubAllow == nil && u.Versions[0].Perms.SubDeny == nil
}

// registerHistory is the history of one subscription. Publishes whose outcome
// nobody can know are left out.
func (j *judge) registerHistory(t *table, s *Sub) []porcupine.Operation {
	ops := []porcupine.Operation{operation(registerInput{opSub, s.SID}, s.Sent, s.Confirmed, registerOutput{})}
	if s.UnsubSent != 0 {
		ops = append(ops, operation(registerInput{opUnsub, s.SID}, s.UnsubSent, s.UnsubConfirmed, registerOutput{}))
	}
	row := t.row(j, s)
	for i, p := range j.h.Pubs {
		if row[t.class[i]].subject == "" || p.Answers != 0 || p.Conn == s.Conn && !s.Conn.Echo || p.Conn.Epoch != s.Conn.Epoch ||
			!j.unrestrictedPublisher(p.Conn) {
			continue
		}
		d := j.got[s][p.ID]
		if d == nil && (p.Done == Never || p.Done > s.Conn.Synced) {
			continue
		}
		if !nearby(p, s) {
			continue
		}
		end := p.Done
		if d != nil {
			end = min(end, d.At) // it had happened when it was seen
		}
		ops = append(ops, operation(registerInput{opPublish, fmt.Sprint(p.ID)}, p.Sent, end, registerOutput{d != nil}))
		if len(ops) >= registerOpsMax {
			break
		}
	}
	return ops
}

func (j *judge) unrestrictedPublisher(c *Conn) bool {
	u := j.users[c.User]
	p := &u.Versions[0].Perms
	return len(u.Versions) == 1 && p.PubAllow == nil && p.PubDeny == nil && !p.Responses
}

// nearby keeps publishes that overlap SUB or UNSUB, or come close: the others
// leave no choice and are judged one by one elsewhere.
func nearby(p *Publish, s *Sub) bool {
	const around = 400 // stamps
	near := func(from, to Stamp) bool {
		return from != 0 && p.Done+around > from && (to == Never || p.Sent < to+around)
	}
	return near(s.Sent, s.Confirmed) || near(s.UnsubSent, s.UnsubConfirmed)
}

func operation(in registerInput, from, to Stamp, out registerOutput) porcupine.Operation {
	end := int64(math.MaxInt64)
	if to != Never && to != 0 {
		end = int64(to)
	}
	return porcupine.Operation{Input: in, Call: int64(from), Output: out, Return: end}
}
