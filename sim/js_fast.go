package sim

import (
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/checks/js"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/wire"
)

// fastLoad publishes fast batches, and single messages between them.
type fastLoad struct{ plainLoad }

// fastMax bounds the messages of a batch.
const fastMax = 60

// Operations of fast batches, as reply subjects name them.
const (
	fastStart = iota
	fastAppend
	fastCommit // with a message
	fastEnd    // without one
	fastPing
)

func startFastLoad(j *jsWorld) jsLoad {
	l := &fastLoad{plainLoad{j: j}}
	l.s = j.newStream("FST", map[string]any{"subjects": []string{"fst.>"}, "allow_batched": true}, &js.Stream{})
	l.begin("fst", 1, func(c *jsClient) {
		l.s.publish(c, l.s.write(c, "fst.single"), nil)
	})
	for i := range 2 {
		c := j.newClient(fmt.Sprintf("js-fst-b%d", i))
		l.clients = append(l.clients, c)
		p := &fastPublisher{l: l, c: c}
		c.every(p.step)
	}
	return l
}

// fastPublisher has one batch open at a time.
type fastPublisher struct {
	l    *fastLoad
	c    *jsClient
	f    *js.FastBatch
	life int // of the connection
	sid  string
	size int    // messages that the batch is to have, about
	sent uint64 // the last sequence in the batch that was used
	flow uint64 // messages between two acks
	open bool
}

// fastAnswer is what the server says of a fast batch.
type fastAnswer struct {
	Type    string `json:"type"`
	Seq     uint64 `json:"seq"`
	LastSeq uint64 `json:"last_seq"`
	Msgs    uint64 `json:"msgs"`
	Batch   string `json:"batch"`
	Count   uint64 `json:"count"`
	Stream  string `json:"stream"`
	Error   *struct {
		ErrCode int `json:"err_code"`
	} `json:"error"`
}

func (p *fastPublisher) step() {
	c := p.c
	switch {
	case len(p.l.s.hist.Writes) > jsWritesMax || !p.l.s.ensure(c):
	case !p.open || p.life != c.life:
		p.begin()
	default:
		for range 1 + c.rnd.IntN(6) {
			if p.open && p.sent < p.f.Acked+3*p.flow {
				p.next()
			} else if p.open && c.rnd.IntN(3) == 0 {
				p.send(fastPing, p.sent, nil)
				return
			}
		}
	}
}

// begin opens a batch.
func (p *fastPublisher) begin() {
	c, s := p.c, p.l.s
	p.f = &js.FastBatch{ID: fmt.Sprintf("f%d-%s", c.w.rec.ids, c.name), GapFail: c.rnd.IntN(2) == 0, Refused: map[uint64]bool{}}
	s.hist.Fast = append(s.hist.Fast, p.f)
	p.life, p.open, p.sent, p.size, p.flow = c.life, true, 0, 1+c.rnd.IntN(fastMax), 1
	c.asked++
	p.sid = "f" + strconv.Itoa(c.asked)
	f := p.f
	call := &jsCall{subject: p.sid, until: 1 << 62, sid: p.sid, hear: func(r *jsReply) bool { return p.hear(f, r) }}
	c.calls = append(c.calls, call)
	c.replies[p.sid] = call
	c.out = wire.AppendSub(c.out, []byte(p.prefix()+".>"), nil, []byte(p.sid))
	s.j.ops["js_fast_batches"]++
	if p.size == 1 {
		p.message(fastCommit)
	} else {
		p.message(fastStart)
	}
}

func (p *fastPublisher) prefix() string {
	return "_FAST." + p.c.name + "." + strconv.Itoa(p.life) + "." + p.sid
}

// next sends what comes next in the batch.
func (p *fastPublisher) next() {
	rnd := p.c.rnd
	switch n := rnd.IntN(100); {
	case p.sent >= uint64(p.size) && n < 40:
		p.send(fastEnd, p.sent+1, nil)
		p.open = false
	case p.sent >= uint64(p.size):
		p.message(fastCommit)
	case n < 2: // what was to come does not
		p.sent += uint64(1 + rnd.IntN(2))
		p.message(fastAppend)
	case n == 2: // nothing more comes
		p.open = false
	default:
		p.message(fastAppend)
	}
}

// message sends a message of the batch, some of which ask to be refused.
func (p *fastPublisher) message(op int) {
	c, s := p.c, p.l.s
	w := s.write(c, "fst."+string(rune('a'+c.rnd.IntN(3))))
	p.sent++
	w.BatchSeq, w.Size = int(p.sent), 10+c.rnd.IntN(200)
	p.f.Writes = append(p.f.Writes, w)
	var more []string
	if c.rnd.IntN(80) == 0 {
		more = []string{"Nats-Expected-Stream", "OTHER"}
	}
	p.send(op, p.sent, w, more...)
	p.open = op != fastCommit
}

func (p *fastPublisher) send(op int, seq uint64, w *js.Write, more ...string) {
	gap := "ok"
	if p.f.GapFail {
		gap = "fail"
	}
	reply := fmt.Sprintf("%s.%s.%d.%s.%d.%d.$FI", p.prefix(), p.f.ID, 2+p.size%7, gap, seq, op)
	p.c.w.trace.Notef(clock.LevelMessage, p.c.name, "%s sends %d, operation %d", p.f, seq, op)
	if w == nil {
		p.c.put("fst.a", reply, nil, nil)
		return
	}
	p.c.put(w.Subject, reply, headersOf(w, more...), bodyOf(w))
}

// hear takes what the server says of a batch; the connection's end says nothing.
func (p *fastPublisher) hear(f *js.FastBatch, r *jsReply) bool {
	if r == nil || r.Status != 0 {
		return r == nil
	}
	p.c.w.trace.Notef(clock.LevelMessage, p.c.name, "%s is told %s", f, r.Body)
	a := &fastAnswer{}
	if err := json.Unmarshal(r.Body, a); err != nil {
		p.c.w.violate(js.APITruth, "%s was answered what is not JSON: %q", f, r.Body)
		return true
	}
	switch {
	case a.Type == "ack":
		p.acked(f, a.Seq, r.At)
		if f == p.f {
			p.flow = max(a.Msgs, 1)
		}
	case a.Type == "gap":
		f.Gaps = append(f.Gaps, js.Gap{From: a.LastSeq, To: a.Seq})
		p.l.j.ops["js_fast_gaps"]++
	case a.Type == "err":
		f.Refused[a.Seq] = true
		p.l.j.ops["js_fast_refused"]++
	case a.Error != nil:
		p.l.j.ops[fmt.Sprintf("js_fast_error_%d", a.Error.ErrCode)]++
		p.open = p.open && f != p.f
	case a.Batch == f.ID && !f.Final:
		f.Final, f.Count, f.LastSeq, f.FinalAt = true, a.Count, a.Seq, r.At
		p.acked(f, a.Count, r.At)
		p.open = p.open && f != p.f
		p.l.j.ops["js_fast_ends"]++
	default:
		p.c.w.violate(js.Fast, "%s was answered %q", f, r.Body)
	}
	return false
}

// acked notes that everything up to a message is stored.
func (p *fastPublisher) acked(f *js.FastBatch, seq uint64, at core.Stamp) {
	if seq < f.Acked {
		p.c.w.violate(js.Fast, "%s was acknowledged up to %d, and then up to %d", f, f.Acked, seq)
	}
	if seq <= f.Acked {
		return
	}
	for _, w := range f.Writes {
		if n := uint64(w.BatchSeq); n > f.Acked && n <= seq && !f.Refused[n] {
			w.Return = min(w.Return, at)
			p.l.j.ops["js_acks"]++
		}
	}
	f.Acked, f.AckedAt = seq, at
}
