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
	registerOpsMax = 40
	registerWait   = 2 * time.Second
	registersMax   = 64
)

// register searches an order for the subscriptions that came and went.
func (j *judge) register() {
	if j.h.World.Drops {
		return
	}
	t := j.table()
	judged := 0
	for _, s := range j.h.Subs {
		if s.Queue != "" || s.Max != 0 || s.Removed != 0 || s.Refused != 0 || s.Limited != 0 || s.Confirmed == Never || !j.unrestricted(s.Conn) {
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

// registerHistory is the history of one subscription, as far as it decides. Of
// the messages that arrived, the one that was over first bounds SUB and the one that
// was sent last bounds UNSUB: all others follow. Of those that did not arrive, the
// last that overlaps SUB alone and the first that overlaps UNSUB alone do the same;
// those that overlap both leave a choice. Publishes whose outcome nobody can know
// are left out.
func (j *judge) registerHistory(t *table, s *Sub) []porcupine.Operation {
	ops := []porcupine.Operation{operation(registerInput{opSub, s.SID}, s.Sent, s.Confirmed, registerOutput{})}
	if s.UnsubSent != 0 {
		ops = append(ops, operation(registerInput{opUnsub, s.SID}, s.UnsubSent, s.UnsubConfirmed, registerOutput{}))
	}
	read := func(p *Publish, end Stamp, delivered bool) {
		ops = append(ops, operation(registerInput{opPublish, fmt.Sprint(p.ID)}, p.Sent, end, registerOutput{delivered}))
	}
	row := t.row(j, s)
	var first, last, early, late *Publish
	unsub := s.UnsubSent
	if unsub == 0 {
		unsub = Never
	}
	firstEnd, lastEnd := Never, Never
	for i, p := range j.h.Pubs {
		if r := &row[t.class[i]]; !r.reaches() || !r.sure || r.over != nil || p.Answers != 0 || p.Conn == s.Conn && !s.Conn.Echo || p.Conn.Epoch != s.Conn.Epoch ||
			j.restrictedPublisher(p.Conn) {
			continue
		}
		d := j.got[s][p.ID]
		switch {
		case d != nil:
			end := min(p.Done, d.At) // it had happened when it was seen
			if end < firstEnd {
				first, firstEnd = p, end
			}
			last, lastEnd = p, end // they come in the order of their sending
		case p.Done == Never || p.Done > s.Conn.Synced || len(ops) >= registerOpsMax:
		case p.Sent < s.Sent || unsub != Never && p.Done > s.UnsubConfirmed: // before or after, as it likes
		case p.Done < unsub:
			early = p
		case p.Sent > s.Confirmed:
			if late == nil || p.Done < late.Done {
				late = p
			}
		default:
			read(p, p.Done, false)
		}
	}
	for _, p := range [...]*Publish{early, late} {
		if p != nil {
			read(p, p.Done, false)
		}
	}
	if first != nil {
		read(first, firstEnd, true)
	}
	if last != first {
		read(last, lastEnd, true)
	}
	return ops
}

// restrictedPublisher tells whether permissions may decide over a publish.
func (j *judge) restrictedPublisher(c *Conn) bool {
	u := j.users[c.User]
	p := &u.Versions[0].Perms
	return len(u.Versions) > 1 || p.PubAllow != nil || p.PubDeny != nil || p.Responses
}

func operation(in registerInput, from, to Stamp, out registerOutput) porcupine.Operation {
	end := int64(math.MaxInt64)
	if to != Never && to != 0 {
		end = int64(to)
	}
	return porcupine.Operation{Input: in, Call: int64(from), Output: out, Return: end}
}
