package sim

import (
	"fmt"
	"strconv"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/checks/js"
)

// jsLoad is one workload: some streams and the clients that use them.
type jsLoad interface {
	streams() []*jsStream
	// calm ends what the load does on its own, but for what drains.
	calm()
	// drained tells whether nothing is left to do, once calm.
	drained() bool
}

// jsLoadsFirst is how many workloads are drawn one after another; those behind them are drawn last, each by
// itself.
const jsLoadsFirst = 8

// jsLoads are the workloads by name.
var jsLoads = []struct {
	name, about string
	start       func(*jsWorld) jsLoad
}{
	{"log", "publishes with every precondition, batches, reads, deletes and purges", startLogLoad},
	{"kv", "a bucket: put, create, update, delete, purge, get", startKVLoad},
	{"work", "a work queue with slow, dying and doubly acknowledging workers", func(j *jsWorld) jsLoad { return startQueueLoad(j, "workqueue") }},
	{"interest", "an interest stream with several consumers, one of which comes and goes", func(j *jsWorld) jsLoad { return startQueueLoad(j, "interest") }},
	{"limits", "limits of count, bytes and per subject, discarding old or new", startLimitsLoad},
	{"ttl", "ages and lifetimes over restarts and jumping clocks", startTTLLoad},
	{"assets", "a stream that is deleted and made anew under its name", startAssetsLoad},
	{"consume", "consumers on a limits stream: naks, terms, pauses, deliveries at most", func(j *jsWorld) jsLoad { return startQueueLoad(j, "limits") }},
	{"counter", "counters: increments one by one, repeated by id, and in batches", startCounterLoad},
	{"schedule", "schedules: once, every so often, by the calendar; replaced, ended, over restarts and jumping clocks", startScheduleLoad},
	{"fast", "fast batches, with and without gaps, that are also given up", startFastLoad},
	{"mirror", "a mirror whose origin is purged, limited or made anew, as is the mirror itself", startMirrorLoad},
	{"sources", "a stream made from two others, with filters and transforms, one of them perhaps a work queue", startSourcesLoad},
	{"push", "consumers that send without being asked: to one, to a group, and in order, with heartbeats and flow control", startPushLoad},
}

// JSLoadInfo describes a workload of JetStream.
type JSLoadInfo struct{ Name, About string }

// JSLoads lists the workloads of JetStream.
func JSLoads() []JSLoadInfo {
	list := make([]JSLoadInfo, len(jsLoads))
	for i, l := range jsLoads {
		list[i] = JSLoadInfo{l.name, l.about}
	}
	return list
}

// plainLoad is what most loads are.
type plainLoad struct {
	j       *jsWorld
	s       *jsStream
	clients []*jsClient
}

func (l *plainLoad) streams() []*jsStream { return []*jsStream{l.s} }

func (l *plainLoad) calm() {
	for _, c := range l.clients {
		c.paused = true
	}
}

func (l *plainLoad) drained() bool { return true }

// jsWritesMax bounds the publishes of a load: a longer history tells little more.
const jsWritesMax = 1200

// begin makes clients that act once the stream is there.
func (l *plainLoad) begin(name string, n int, step func(*jsClient)) {
	for i := range n {
		c := l.j.newClient(fmt.Sprintf("js-%s%d", name, i))
		l.clients = append(l.clients, c)
		c.every(func() {
			if l.s.ensure(c) && len(l.s.hist.Writes) < jsWritesMax {
				step(c)
			}
		})
	}
}

// logLoad publishes with every precondition there is.
type logLoad struct {
	plainLoad
	removes bool
}

func startLogLoad(j *jsWorld) jsLoad {
	l := &logLoad{plainLoad: plainLoad{j: j}, removes: j.plan.Variants[0]%2 == 0}
	l.s = j.newStream("LOG", map[string]any{
		"subjects": []string{"log.>"}, "allow_atomic": true, "compression": [...]string{"none", "s2"}[j.plan.Variants[1]%2],
	}, &js.Stream{Window: j.plan.Window})
	l.begin("log", 3, l.step)
	return l
}

func (l *logLoad) step(c *jsClient) {
	rnd, s := c.rnd, l.s
	subject := "log." + string(rune('a'+rnd.IntN(4)))
	switch n := rnd.IntN(100); {
	case n < 10:
		seq := uint64(1)
		if s.last > 0 {
			seq += uint64(rnd.Int64N(int64(s.last)))
		}
		s.get(c, seq, "", rnd.IntN(2) == 0)
	case n < 20:
		s.get(c, 0, subject, rnd.IntN(2) == 0)
	case n < 23:
		s.info(c)
	case n < 31:
		var subjects []string
		for range 1 + rnd.IntN(5) {
			subjects = append(subjects, "log."+string(rune('a'+rnd.IntN(4))))
		}
		s.batch(c, subjects, rnd.IntN(6) > 0)
	case n < 35 && l.removes && s.last > 0:
		if rnd.IntN(3) > 0 {
			s.delete(c, 1+uint64(rnd.Int64N(int64(s.last))))
			return
		}
		filter, keep, upTo := "", 0, uint64(0)
		if rnd.IntN(3) > 0 {
			filter = subject
		}
		if rnd.IntN(2) == 0 {
			keep = 1 + rnd.IntN(3)
		} else if rnd.IntN(2) == 0 {
			upTo = 1 + uint64(rnd.Int64N(int64(s.last)))
		}
		s.purge(c, filter, keep, upTo)
	default:
		w := s.write(c, subject)
		l.condition(c, w)
		s.publish(c, w, nil, l.named(c, w)...)
	}
}

// condition gives a publish what it expects, mostly rightly.
func (l *logLoad) condition(c *jsClient, w *js.Write) {
	rnd, s := c.rnd, l.s
	stale := func(n uint64) int64 {
		if rnd.IntN(4) == 0 && n > 0 {
			return rnd.Int64N(int64(n))
		}
		return int64(n)
	}
	switch rnd.IntN(8) {
	case 0, 1:
		if n := len(s.ids); n > 0 && rnd.IntN(2) == 0 {
			w.MsgID = s.ids[max(0, n-1-rnd.IntN(8))]
			return
		}
		w.MsgID = "id" + strconv.FormatUint(w.ID, 10)
		s.ids = append(s.ids, w.MsgID)
	case 2:
		w.LastSeq = stale(s.last)
	case 3, 4:
		w.LastSubjSeq = stale(s.bySubj[w.Subject])
	case 5:
		if s.lastID != "" {
			w.LastMsgID = s.lastID
		}
		if rnd.IntN(2) == 0 {
			w.MsgID = "id" + strconv.FormatUint(w.ID, 10)
			s.ids = append(s.ids, w.MsgID)
		}
	}
}

// named says which stream a publish is for, in some.
func (l *logLoad) named(c *jsClient, w *js.Write) []string {
	switch c.rnd.IntN(12) {
	case 0:
		return []string{"Nats-Expected-Stream", "LOG"}
	case 1:
		if w.MsgID == "" || c.rnd.IntN(4) == 0 { // it must leave no id
			return []string{"Nats-Expected-Stream", "OTHER"}
		}
	}
	return nil
}

// kvLoad is a bucket.
type kvLoad struct{ plainLoad }

func startKVLoad(j *jsWorld) jsLoad {
	l := &kvLoad{plainLoad{j: j}}
	l.s = j.newStream("KV_B", map[string]any{
		"subjects": []string{"$KV.B.>"}, "allow_rollup_hdrs": true, "deny_delete": true,
	}, &js.Stream{KV: true, MaxPer: j.plan.History, DiscardNew: true})
	l.begin("kv", 4, l.step)
	return l
}

func (l *kvLoad) step(c *jsClient) {
	rnd, s := c.rnd, l.s
	key := "$KV.B.k" + string(rune('0'+rnd.IntN(5)))
	n := rnd.IntN(100)
	if n < 30 {
		s.get(c, 0, key, rnd.IntN(2) == 0)
		return
	}
	w := s.write(c, key)
	switch {
	case n < 45:
	case n < 55:
		w.LastSubjSeq = 0
	case n < 85:
		w.LastSubjSeq = int64(s.bySubj[key])
	case n < 93:
		w.KV = "DEL"
		if rnd.IntN(2) == 0 {
			w.LastSubjSeq = int64(s.bySubj[key])
		}
	default:
		w.KV, w.Rollup = "PURGE", true
	}
	s.publish(c, w, nil)
}

// limitsLoad runs into limits.
type limitsLoad struct{ plainLoad }

func startLimitsLoad(j *jsWorld) jsLoad {
	l := &limitsLoad{plainLoad{j: j}}
	h := &js.Stream{}
	v := j.plan.Variants[2]
	switch v % 4 {
	case 0, 1:
		h.MaxMsgs = j.plan.Limit
	case 2:
		h.MaxBytes = 500 + 300*j.plan.Limit
	default:
		h.MaxMsgs, h.MaxPer = 3*j.plan.Limit, max(1, j.plan.Limit/3)
	}
	if v/4%2 == 0 && v%4 == 3 {
		h.MaxMsgs = 0
	}
	h.DiscardNew = v/8%3 == 0
	h.NewPer = h.DiscardNew && h.MaxPer > 0 && v/24%2 == 0
	l.s = j.newStream("LIM", map[string]any{"subjects": []string{"lim.>"}}, h)
	l.begin("limits", 2, func(c *jsClient) {
		if c.rnd.IntN(15) == 0 {
			l.s.info(c)
			return
		}
		w := l.s.write(c, "lim."+string(rune('a'+c.rnd.IntN(4))))
		l.s.publish(c, w, nil)
		if h.DiscardNew && c.rnd.IntN(4) == 0 && l.s.last > 0 {
			l.s.delete(c, max(1, l.s.last-uint64(c.rnd.IntN(8))))
		}
	})
	return l
}

// ttlLoad publishes what does not live for long.
type ttlLoad struct{ plainLoad }

func startTTLLoad(j *jsWorld) jsLoad {
	l := &ttlLoad{plainLoad{j: j}}
	h := &js.Stream{TTLs: j.plan.Variants[3]%3 > 0}
	if !h.TTLs || j.plan.Variants[3]/3%2 == 0 {
		h.MaxAge = j.plan.MaxAge
	}
	config := map[string]any{"subjects": []string{"ttl.>"}}
	if h.TTLs {
		config["allow_msg_ttl"] = true
		if j.plan.Variants[3]/6%2 == 0 {
			config["subject_delete_marker_ttl"], config["allow_rollup_hdrs"] = int64(5*time.Second), true
		}
	}
	l.s = j.newStream("TTL", config, h)
	l.begin("ttl", 2, func(c *jsClient) {
		w := l.s.write(c, "ttl."+string(rune('a'+c.rnd.IntN(6))))
		if h.TTLs && c.rnd.IntN(2) == 0 {
			w.TTL = time.Duration(1+c.rnd.IntN(40)) * time.Second
		}
		l.s.publish(c, w, nil)
		if c.rnd.IntN(12) == 0 {
			l.s.info(c)
		}
	})
	return l
}

// assetsLoad deletes its stream and makes it anew.
type assetsLoad struct {
	plainLoad
	busy bool
}

func startAssetsLoad(j *jsWorld) jsLoad {
	l := &assetsLoad{plainLoad: plainLoad{j: j}}
	l.s = j.newStream("AST", map[string]any{"subjects": []string{"ast.>"}}, &js.Stream{Window: time.Minute, Recreated: true})
	l.begin("assets", 2, l.step)
	return l
}

func (l *assetsLoad) step(c *jsClient) {
	if c.rnd.IntN(25) > 0 || l.busy {
		w := l.s.write(c, "ast.a")
		if c.rnd.IntN(3) == 0 { // the ids of an earlier one are forgotten
			w.MsgID = "id" + strconv.Itoa(c.rnd.IntN(5))
		}
		l.s.publish(c, w, nil)
		return
	}
	l.busy = true
	d := &js.Removal{Call: c.w.rec.now(), Return: core.Never}
	l.s.hist.Deletions = append(l.s.hist.Deletions, d)
	c.request("STREAM.DELETE.AST", nil, func(a *js.Answer) {
		l.busy, l.s.created = false, false
		if d.Outcome = js.OutcomeOf(a); d.Outcome != js.Unknown {
			d.Return = a.At
			l.j.ops["js_stream_deletes"]++
		}
	})
}
