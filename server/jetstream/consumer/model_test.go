package consumer

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// observer watches a consumer from outside, over crashes, and knows what must never be seen.
type observer struct {
	t         *rapid.T
	w         *world
	sends     map[uint64]int    // how often each message was sent
	counts    map[uint64]uint64 // the last count of deliveries that was told
	first     uint64            // highest message sent for the first time
	dseq      uint64            // last consumer sequence told
	acked     map[uint64]bool   // by the present incarnation
	confirmed map[uint64]bool
	asked     map[string]*asking
	floor     uint64
	crashes   int
	exempt    map[uint64]bool // may have been sent in a crash, and must not be sent again; or passed over
	rebased   bool            // the log does not go back to the start
	question  string          // the latest of flow control
	updated   bool            // the configuration was updated
}

// asking is a pull request as its client sees it.
type asking struct {
	left    int
	expires int64 // wall; 0 is none
	over    bool
}

func (o *observer) sent(inbox, subj string, reply, header, data []byte) {
	if seq, ok := strings.CutPrefix(inbox, "ack:"); ok {
		if o.w.c.cumulative() {
			for s := range o.sends {
				if s <= number(seq) {
					o.confirmed[s] = true
				}
			}
		}
		o.confirmed[number(seq)] = true
		return
	}
	r := o.asked[inbox]
	if subj == "" {
		switch {
		case inbox == "D":
			if len(reply) > 0 {
				o.question = string(reply)
			}
		case strings.HasPrefix(string(header), "NATS/1.0 100"):
		case r.over:
			o.t.Fatalf("%s is told %q after its end", inbox, header)
		default:
			r.over = true
		}
		return
	}
	var a api.AckReply
	if !api.ParseAckReply(reply, &a) {
		o.t.Fatalf("reply %q", reply)
	}
	seq := a.StreamSeq
	if inbox != "D" {
		if r.over || r.left == 0 {
			o.t.Fatalf("%s gets message %d after its end", inbox, seq)
		}
		if r.left--; r.left == 0 {
			r.over = true
		}
	}
	if a.ConsumerSeq <= o.dseq {
		o.t.Fatalf("message %d has consumer sequence %d after %d", seq, a.ConsumerSeq, o.dseq)
	}
	o.dseq = a.ConsumerSeq
	if o.confirmed[seq] || o.acked[seq] && !o.refiltered() {
		o.t.Fatalf("message %d is sent again after its ack, confirmed: %v", seq, o.confirmed[seq])
	}
	if a.Delivered < o.counts[seq] {
		o.t.Fatalf("message %d is sent with count %d after %d", seq, a.Delivered, o.counts[seq])
	}
	o.counts[seq] = a.Delivered
	if o.sends[seq]++; o.sends[seq] == 1 {
		if m := o.w.c.cfg.MaxDeliver; seq < o.first && (m <= 0 || o.crashes < 2) && !o.refiltered() {
			o.t.Fatalf("message %d is sent for the first time after %d", seq, o.first)
		}
		o.first = seq
	}
	if m := o.w.c.cfg.MaxDeliver; m > 0 && o.sends[seq] > m && !o.refiltered() {
		o.t.Fatalf("message %d is sent %d times", seq, o.sends[seq])
	}
	if !o.w.c.tracks() && o.sends[seq] > 1 && !o.refiltered() {
		o.t.Fatalf("message %d is sent again without acks", seq)
	}
	if c := o.w.c; o.crashes == 0 && !o.updated && c.cfg.MaxAckPending > 0 && c.pending.len() > c.cfg.MaxAckPending {
		o.t.Fatalf("%d pending", c.pending.len())
	}
}

// refiltered tells whether a filter may have changed in the same moment as a crash. Then what was
// delivered without a record is presumed by the new filter, and may be other messages.
func (o *observer) refiltered() bool { return o.updated && o.crashes > 0 }

// someSent draws a message that was sent at least once and has not been confirmed.
func (o *observer) someSent(t *rapid.T) uint64 {
	var seqs []uint64
	for seq := range o.sends {
		if !o.confirmed[seq] {
			seqs = append(seqs, seq)
		}
	}
	if len(seqs) == 0 || !o.w.c.tracks() || o.w.c.cfg.AckPolicy == api.AckFlowControl {
		t.Skip("nothing to acknowledge")
	}
	slices.Sort(seqs)
	return rapid.SampledFrom(seqs).Draw(t, "message")
}

func (o *observer) reply(seq uint64) *api.AckReply {
	return &api.AckReply{StreamSeq: seq, ConsumerSeq: o.dseq, Delivered: o.counts[seq]}
}

func (o *observer) crash() {
	w, c := o.w, o.w.c
	if c.maxDeliver() == 1 || !c.tracks() {
		// What is between the recorded position and the horizon counts as sent.
		for seq := uint64(1); seq <= w.store.State().Last; seq++ {
			if c.isAhead(seq) || o.sends[seq] == 0 {
				o.exempt[seq] = true
			}
		}
	}
	o.crashes++
	w.crash()
	o.floor = 0
	clear(o.acked)
	for _, r := range o.asked {
		r.over = true
	}
}

// ack acknowledges a message that was sent; with confirm the answer is waited for.
func (o *observer) ack(seq uint64, payload string, confirm bool) {
	reply := ""
	if confirm {
		reply = fmt.Sprintf("ack:%d", seq)
	}
	o.w.c.Ack(o.reply(seq), []byte(payload), []byte(reply))
	if payload == "" || payload == "+TERM" {
		if o.w.c.cumulative() {
			for s := range o.sends {
				if s <= seq {
					o.acked[s] = true
				}
			}
		}
		o.acked[seq] = true
	}
	o.w.drain()
	if confirm && !o.w.lazy && payload == "" && !o.confirmed[seq] && !o.refiltered() {
		o.t.Fatalf("ack of message %d, which was sent, is not confirmed", seq)
	}
}

// check holds what must be true at every moment.
func (o *observer) check() {
	c, t, store := o.w.c, o.t, o.w.store
	if c.counting {
		if n := c.countAhead(); n != c.ahead {
			t.Fatalf("%d messages ahead, counted %d", n, c.ahead)
		}
	}
	if c.counting != c.listening && c.pending.len() == 0 && !c.wanted() || c.counting && !c.listening || c.listening != o.w.listen {
		t.Fatalf("counting %v listening %v", c.counting, c.listening)
	}
	if c.floor < o.floor {
		t.Fatalf("floor %d after %d", c.floor, o.floor)
	}
	o.floor = c.floor
	if c.floor > c.position() || c.floorDseq > c.dseq {
		t.Fatalf("floor %d/%d beyond %d/%d", c.floorDseq, c.floor, c.dseq, c.position())
	}
	if e := c.pending.lowest(); e != nil && e.seq <= c.floor {
		t.Fatalf("floor %d with %d pending", c.floor, e.seq)
	}
	c.pending.each(func(e *entry) bool {
		if !store.Has(e.seq) {
			t.Fatalf("removed message %d is pending", e.seq)
		}
		if c.isAhead(e.seq) {
			t.Fatalf("message %d is pending and ahead", e.seq)
		}
		return true
	})
	if !c.lazy && (c.dseq > c.allowed && c.dseq != c.horizon || c.allowed > c.horizon && c.committed == c.recorded) {
		t.Fatalf("sequence %d, horizon %d, allowed %d", c.dseq, c.horizon, c.allowed)
	}
	now := o.w.Now()
	for inbox, r := range o.asked {
		if !r.over && r.expires > 0 && r.expires < now && !c.stopped {
			t.Fatalf("%s is not told that its time is over", inbox)
		}
	}
	if c.retains() {
		for seq := range o.w.released {
			if c.Needs(seq) {
				t.Fatalf("message %d is needed and released", seq)
			}
		}
	}
}

// compareReplay replays the whole log and compares the state.
func (o *observer) compareReplay() {
	w, c := o.w, o.w.c
	w.commit(len(w.log))
	w.drain()
	quiet, released := w.quiet, w.released
	w.quiet, w.released = true, make(map[uint64]int)
	r := w.replay()
	got := w.released
	w.c = c
	w.quiet, w.released = quiet, released
	r.dropMissing()
	if r.dseq != c.dseq && c.recorded == c.committed && r.horizon < c.dseq {
		o.t.Fatalf("replayed sequence %d with horizon %d, want %d", r.dseq, r.horizon, c.dseq)
	}
	for seq := uint64(1); seq <= w.store.State().Last; seq++ {
		if w.store.Has(seq) && c.Matches([]byte(w.store.get(seq).Subject)) && r.isAhead(seq) != c.isAhead(seq) {
			o.t.Fatalf("message %d is ahead in the replay: %v", seq, r.isAhead(seq))
		}
	}
	list := func(c *Consumer) (s []string) {
		c.pending.each(func(e *entry) bool {
			s = append(s, fmt.Sprintf("%d:%d/%d", e.seq, e.count, e.first))
			return true
		})
		for _, seq := range c.exhausted {
			if w.store.Has(seq) {
				s = append(s, fmt.Sprintf("x%d", seq))
			}
		}
		return s
	}
	if a, b := list(r), list(c); !slices.Equal(a, b) {
		o.t.Fatalf("replayed pending %v, want %v", a, b)
	}
	if c.retains() && o.crashes == 0 && !o.rebased {
		for seq := range w.released {
			if got[seq] != 1 {
				o.t.Fatalf("message %d is not released in a replay", seq)
			}
		}
	}
}

var modelConfigs = []string{
	`{"ack_wait":1000000000}`,
	`{"ack_wait":1000000000,"filter_subject":"a"}`,
	`{"ack_wait":1000000000,"max_deliver":1}`,
	`{"ack_wait":1000000000,"max_deliver":2,"max_ack_pending":3}`,
	`{"max_deliver":3,"backoff":[300000000,2000000000],"filter_subjects":["a","b.*"]}`,
	`{"ack_wait":1000000000,"ack_policy":"all","max_ack_pending":5}`,
	`{"ack_policy":"none"}`,
	`{"ack_wait":1000000000,"deliver_policy":"last_per_subject","filter_subject":">"}`,
	`{"ack_wait":1000000000,"deliver_policy":"new"}`,
	`{"ack_wait":1000000000,"deliver_subject":"D","max_ack_pending":4}`,
	`{"ack_policy":"none","deliver_subject":"D","rate_limit_bps":2000}`,
	`{"ack_policy":"flow_control","deliver_subject":"D","flow_control":true,"idle_heartbeat":1000000000,"max_ack_pending":4}`,
}

// modelUpdates change one thing of a configuration.
var modelUpdates = []func(*api.ConsumerConfig){
	func(c *api.ConsumerConfig) { c.FilterSubject, c.FilterSubjects = "a", nil },
	func(c *api.ConsumerConfig) { c.FilterSubject, c.FilterSubjects = "", []string{"b.1", "c"} },
	func(c *api.ConsumerConfig) { c.FilterSubject, c.FilterSubjects = "", nil },
	func(c *api.ConsumerConfig) {
		if c.AckWait > 0 {
			c.AckWait, c.BackOff = 2*time.Second, nil
		}
	},
	func(c *api.ConsumerConfig) {
		if c.MaxAckPending > 0 {
			c.MaxAckPending = 2
		}
	},
}

var modelSubjects = []string{"a", "b.1", "b.2", "c"}

// TestModel drives a consumer with everything that may happen to it, crashes included, and
// watches from outside. In the end all that must arrive has arrived.
func TestModel(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) { runModel(t, rt) })
}

func runModel(t *testing.T, rt *rapid.T) {
	w := newWorld(t)
	w.quiet = true
	o := &observer{
		t: rt, w: w, sends: map[uint64]int{}, counts: map[uint64]uint64{}, acked: map[uint64]bool{},
		confirmed: map[uint64]bool{}, asked: map[string]*asking{}, exempt: map[uint64]bool{},
	}
	w.onSend = o.sent
	w.stream.Retention = rapid.SampledFrom([]api.RetentionPolicy{api.LimitsPolicy, api.InterestPolicy}).Draw(rt, "retention")
	w.budget = rapid.SampledFrom([]int{1, 3, 256}).Draw(rt, "budget")
	for range rapid.IntRange(0, 6).Draw(rt, "before") {
		w.publish(rapid.SampledFrom(modelSubjects).Draw(rt, "subject"), "", "m")
	}
	w.create(config(rapid.SampledFrom(modelConfigs).Draw(rt, "config")))
	start := w.c.position()
	updates := rapid.IntRange(0, 3).Draw(rt, "updates") == 0
	pulls := 0
	pull := func(body string, left int, expires time.Duration) {
		pulls++
		r := &asking{left: left}
		if expires > 0 {
			r.expires = w.Now() + int64(expires)
		}
		inbox := fmt.Sprintf("pull:%d", pulls)
		o.asked[inbox] = r
		w.c.Pull(inbox, nil, []byte(body))
		w.drain()
	}
	rt.Repeat(map[string]func(*rapid.T){
		"publish": func(rt *rapid.T) {
			for range rapid.IntRange(1, 4).Draw(rt, "n") {
				w.publish(rapid.SampledFrom(modelSubjects).Draw(rt, "subject"), "", "m")
			}
		},
		"pull": func(rt *rapid.T) {
			n := rapid.IntRange(1, 5).Draw(rt, "batch")
			e := rapid.SampledFrom([]time.Duration{0, time.Second, 3 * time.Second}).Draw(rt, "expires")
			nw := rapid.Bool().Draw(rt, "no_wait")
			pull(fmt.Sprintf(`{"batch":%d,"expires":%d,"no_wait":%v}`, n, e, nw), n, e)
		},
		"ack":  func(rt *rapid.T) { o.ack(o.someSent(rt), "", rapid.Bool().Draw(rt, "confirm")) },
		"term": func(rt *rapid.T) { o.ack(o.someSent(rt), "+TERM", false) },
		"nak":  func(rt *rapid.T) { o.ack(o.someSent(rt), "-NAK", false) },
		"nak later": func(rt *rapid.T) {
			o.ack(o.someSent(rt), `-NAK {"delay":700000000}`, false)
		},
		"progress": func(rt *rapid.T) { o.ack(o.someSent(rt), "+WPI", false) },
		"advance": func(rt *rapid.T) {
			w.advance(rapid.SampledFrom([]time.Duration{time.Millisecond, 300 * time.Millisecond, time.Second, 4 * time.Second}).Draw(rt, "by"))
		},
		"remove": func(rt *rapid.T) {
			st := w.store.State()
			if st.First > st.Last {
				rt.Skip("empty")
			}
			seq := rapid.Uint64Range(st.First, st.Last).Draw(rt, "seq")
			w.remove(seq, rapid.SampledFrom([]msgs.Why{msgs.ByDelete, msgs.ByLimit}).Draw(rt, "why"))
		},
		"purge": func(rt *rapid.T) {
			st := w.store.State()
			if st.First > st.Last || rapid.IntRange(0, 3).Draw(rt, "rarely") > 0 {
				rt.Skip("not now")
			}
			if rapid.Bool().Draw(rt, "all") { // told at once
				for seq := st.First; seq <= st.Last; seq++ {
					w.store.remove(seq)
				}
				if w.listen {
					w.c.Cleared()
				}
				if rapid.Bool().Draw(rt, "rollup") {
					w.drain()
					return
				}
			} else {
				to := rapid.Uint64Range(st.First, st.Last).Draw(rt, "to")
				for seq := st.First; seq <= to; seq++ {
					w.remove(seq, msgs.ByPurge)
				}
			}
			w.c.Purged()
			w.drain()
		},
		"hold":   func(*rapid.T) { w.lazy = true },
		"commit": func(rt *rapid.T) { w.commit(rapid.IntRange(1, 3).Draw(rt, "n")); w.drain() },
		"settle": func(*rapid.T) { w.lazy = false; w.drain() },
		"crash": func(rt *rapid.T) {
			if rapid.Bool().Draw(rt, "lose less") {
				w.commit(rapid.IntRange(0, len(w.log)-w.durable).Draw(rt, "survives"))
			}
			o.crash()
		},
		"restart": func(*rapid.T) {
			w.c.Stop(Shutdown)
			w.commit(len(w.log))
			o.crash()
		},
		"reload": func(*rapid.T) {
			w.lazy = false
			w.drain()
			for _, r := range o.asked {
				r.over = true
			}
			o.crashes++
			w.reload()
			o.floor = 0
			if w.c.maxDeliver() == 1 || !w.c.tracks() {
				for seq := start; seq <= w.store.State().Last; seq++ {
					o.exempt[seq] = o.exempt[seq] || o.sends[seq] == 0
				}
			}
			// The log before the snapshot is not needed any more.
			o.rebase()
		},
		"update": func(rt *rapid.T) {
			if !updates {
				rt.Skip("none in this run")
			}
			cfg := *w.c.cfg
			rapid.SampledFrom(modelUpdates).Draw(rt, "change")(&cfg)
			o.updated = true
			for seq := uint64(1); seq <= w.c.position(); seq++ {
				o.exempt[seq] = true // what the filter passed over stays so
			}
			w.update(&cfg)
		},
		"reset": func(rt *rapid.T) {
			w.lazy = false
			w.drain()
			seq := rapid.Uint64Range(0, w.store.State().Last+1).Draw(rt, "seq")
			if seq > 0 && w.c.resets(seq) != nil {
				rt.Skip("refused")
			}
			done := false
			clear(w.released)
			o.sends, o.counts, o.first, o.dseq = map[uint64]int{}, map[uint64]uint64{}, 0, 0
			o.floor, o.confirmed = 0, map[uint64]bool{}
			clear(o.acked)
			w.c.Reset(seq, func(seq uint64, _ *api.Error) {
				done = true
				for s := uint64(1); s < seq; s++ {
					o.exempt[s] = true
				}
			})
			w.drain()
			if !done {
				rt.Fatal("a reset is not answered")
			}
			o.rebase()
		},
		"deaf":  func(*rapid.T) { w.deaf["D"] = true; w.c.InterestChanged("D"); w.drain() },
		"hears": func(*rapid.T) { delete(w.deaf, "D"); w.c.InterestChanged("D"); w.drain() },
		"flow": func(rt *rapid.T) {
			if o.question == "" {
				rt.Skip("no question")
			}
			w.c.FlowReply([]byte(o.question), fmt.Appendf(nil, "NATS/1.0\r\nNats-Last-Stream: %d\r\n\r\n", o.first))
			w.drain()
		},
		"pause": func(rt *rapid.T) {
			w.c.Pause(time.Unix(0, w.Now()+int64(rapid.IntRange(0, 3).Draw(rt, "s"))*int64(time.Second)), nil)
			w.drain()
		},
		"cold": func(rt *rapid.T) {
			if st := w.store.State(); st.Last > 0 {
				w.store.cold[rapid.Uint64Range(1, st.Last).Draw(rt, "seq")] = true
			}
		},
		"": func(*rapid.T) { o.check() },
	})
	o.compareReplay()
	o.finish(pull, start)
}

// rebase forgets the log: what follows stands on a snapshot, which replays are not compared with.
func (o *observer) rebase() {
	w := o.w
	w.base = w.c.Snapshot(nil)
	w.log, w.durable = nil, 0
	w.c.recorded, w.c.committed = 0, 0
	w.c.cutAt, w.c.promptAt, w.c.grantAt = 0, 0, 0
	w.spec.Config = w.c.cfg
	o.rebased = true
}

// finish asks and acknowledges until nothing is left, and looks whether all arrived.
func (o *observer) finish(pull func(string, int, time.Duration), start uint64) {
	w := o.w
	w.lazy = false
	w.drain()
	w.c.Pause(time.Time{}, nil)
	delete(w.deaf, "D")
	w.c.InterestChanged("D")
	w.drain()
	for range 40 {
		pull(`{"batch":1000,"expires":3000000000}`, 1000, 3*time.Second)
		w.advance(3100 * time.Millisecond)
		for seq := uint64(1); seq <= w.store.State().Last; seq++ {
			if o.sends[seq] > 0 && w.c.cfg.AckPolicy != api.AckFlowControl && w.c.tracks() && w.c.pending.find(seq) != nil {
				o.ack(seq, "", true)
			}
		}
		if o.question != "" {
			w.c.FlowReply([]byte(o.question), fmt.Appendf(nil, "NATS/1.0\r\nNats-Last-Stream: %d\r\n\r\n", w.store.State().Last))
			w.drain()
		}
		o.check()
		if w.c.pending.len() == 0 && w.c.numPending() == 0 {
			break
		}
	}
	if w.c.pending.len() > 0 || w.c.numPending() > 0 {
		o.t.Fatalf("%d messages stay pending, %d ahead", w.c.pending.len(), w.c.numPending())
	}
	if w.c.last != nil || w.c.cfg.DeliverPolicy == api.DeliverLastPerSubject {
		return
	}
	if m := w.c.cfg.MaxDeliver; m > 1 && o.crashes >= m {
		return // each crash may have cost a message one of its deliveries
	}
	for seq := start + 1; seq <= w.store.State().Last; seq++ {
		m := w.store.get(seq)
		if m != nil && w.c.Matches([]byte(m.Subject)) && o.sends[seq] == 0 && !o.exempt[seq] {
			o.t.Fatalf("message %d was never sent", seq)
		}
	}
}
