package sim

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/checks/js"
)

// copyLoad has streams that others copy: a mirror of one, or a stream that is made from
// two. Origins lose messages in every way while they are copied, and streams of both kinds are
// deleted and made anew.
type copyLoad struct {
	j       *jsWorld
	clients []*jsClient
	origins []*jsStream
	copy    *jsStream
	how     copyPlan
	busy    map[*jsStream]bool // a delete is under way
}

// copyPlan says what is done to the streams.
type copyPlan struct {
	removes bool // deletes and purges of origins
	renews  bool // origins are deleted and made anew
	again   bool // so is what copies them
	purges  bool // what copies them is purged
	own     bool // it has subjects of its own
	direct  bool // origins answer direct gets, and so does their mirror
	limited bool // origins have limits
	changes bool // it lets go of an origin for a while
}

const (
	catchUpMax   = 100 * time.Second // virtual time, after everything is well
	catchUpTwice = 3 * time.Second   // between two reports that nothing is left
)

// drawCopies decides what happens to the streams of such a load.
func (j *jsWorld) drawCopies(purpose string) (how copyPlan, limits *js.Stream, pick func(n int) int) {
	rnd := j.w.sim.Rand("jetstream/" + purpose)
	limits = &js.Stream{}
	switch rnd.IntN(8) {
	case 0:
		limits.MaxMsgs = j.plan.Limit
	case 1:
		limits.MaxAge = j.plan.MaxAge
	case 2:
		limits.MaxPer = 1 + j.plan.Limit/4
	case 3, 4:
		how.renews = true
	default:
		how.removes = rnd.IntN(4) > 0
	}
	how.limited = limits.MaxMsgs > 0 || limits.MaxAge > 0 || limits.MaxPer > 0
	how.again, how.own, how.direct = rnd.IntN(3) == 0, rnd.IntN(2) == 0, rnd.IntN(4) == 0
	how.purges = !how.again && rnd.IntN(4) == 0
	return how, limits, rnd.IntN
}

// origin describes a stream that is to be copied.
func (l *copyLoad) origin(name string, limits js.Stream) *jsStream {
	hist := &limits
	hist.Recreated = l.how.renews
	s := l.j.newStream(name, map[string]any{"subjects": []string{strings.ToLower(name) + ".>"}, "allow_atomic": true}, hist)
	s.config["allow_direct"], s.plain = l.how.direct, true
	l.origins = append(l.origins, s)
	return s
}

// copied describes the stream that copies.
func (l *copyLoad) copied(name string, config map[string]any, c *js.Copying) {
	l.copy = l.j.newStream(name, config, &js.Stream{Recreated: l.how.again, Copies: c})
	delete(l.copy.config, "duplicate_window")
}

// the subjects of an origin end in one of these.
var copySubjects = []string{"a", "b", "c", "d"}

// part makes an entry of an origin: filter is a letter or "", to is where it goes to or "".
func part(o *jsStream, filter, to string) (map[string]any, *js.Entry) {
	prefix := strings.ToLower(o.name) + "."
	e := &js.Entry{Origin: o.hist, Filters: ">", Dests: ">", Subjects: make(map[string]string)}
	config := map[string]any{"name": o.name}
	for _, letter := range copySubjects {
		if filter == "" || filter == letter {
			e.Subjects[prefix+letter] = prefix + letter
			if to != "" {
				e.Subjects[prefix+letter] = to + letter
			}
		}
	}
	src, dest := prefix+"*", to+"{{wildcard(1)}}"
	if filter != "" {
		src, dest = prefix+filter, to+filter
	}
	switch {
	case to != "":
		e.Filters, e.Dests = src, dest
		config["subject_transforms"] = []map[string]any{{"src": src, "dest": dest}}
	case filter != "":
		e.Filters = src
		config["filter_subject"] = src
	}
	return config, e
}

func startMirrorLoad(j *jsWorld) jsLoad {
	l := &copyLoad{j: j, busy: make(map[*jsStream]bool)}
	how, limits, pick := j.drawCopies("mirror")
	how.own = false
	l.how = how
	o := l.origin("ORG", *limits)
	config, entry := part(o, []string{"", "", "", "b"}[pick(4)], []string{"", "", "", "as."}[pick(4)])
	if !how.limited && !how.renews && pick(2) == 0 {
		l.queue(o, entry)
	}
	if !how.renews && pick(6) == 0 {
		entry.From = 1 + uint64(pick(20))
		config["opt_start_seq"] = entry.From
	}
	l.copied("MIR", map[string]any{"mirror": config, "mirror_direct": how.direct}, &js.Copying{Mirror: true, Entries: []*js.Entry{entry}})
	l.begin("mirror")
	return l
}

func startSourcesLoad(j *jsWorld) jsLoad {
	l := &copyLoad{j: j, busy: make(map[*jsStream]bool)}
	how, limits, pick := j.drawCopies("sources")
	how.direct = false
	l.how = how
	a := l.origin("SRA", *limits)
	queue := !how.renews && pick(4) > 0
	if queue {
		limits = &js.Stream{}
	}
	b := l.origin("SRB", *limits)
	c := &js.Copying{}
	var configs []map[string]any
	add := func(o *jsStream, filter, to string) *js.Entry {
		config, e := part(o, filter, to)
		configs, c.Entries = append(configs, config), append(c.Entries, e)
		return e
	}
	switch pick(4) {
	case 0:
		add(a, "", "")
	case 1:
		add(a, "a", "")
	case 2:
		add(a, "", "from.")
	default: // twice, for different subjects
		add(a, "a", "")
		add(a, "b", "from.")
	}
	e := add(b, "", []string{"", "into."}[pick(2)])
	if queue {
		l.queue(b, e)
	}
	l.how.changes = !queue && !l.how.again && pick(3) == 0
	config := map[string]any{"sources": configs}
	if l.how.own {
		config["subjects"] = []string{"own.>"}
	}
	l.copied("SRC", config, c)
	l.begin("sources")
	return l
}

// queue makes an origin a work queue, which is emptied into the copy.
func (l *copyLoad) queue(o *jsStream, e *js.Entry) {
	o.config["retention"] = "workqueue"
	o.hist.Retention, e.Moved = "moved", true
	l.how.again = false
}

func (l *copyLoad) streams() []*jsStream {
	return append(l.origins[:len(l.origins):len(l.origins)], l.copy)
}

func (l *copyLoad) calm() {
	for _, c := range l.clients {
		c.paused = true
	}
}

func (l *copyLoad) drained() bool { return true }

func (l *copyLoad) begin(name string) {
	for i := range 2 {
		c := l.j.newClient(fmt.Sprintf("js-%s%d", name, i))
		l.clients = append(l.clients, c)
		c.every(func() {
			for _, s := range l.origins {
				if !s.ensure(c) {
					return
				}
			}
			l.copy.ensure(c)
			l.step(c)
		})
	}
}

func (l *copyLoad) step(c *jsClient) {
	rnd := c.rnd
	o := l.origins[rnd.IntN(len(l.origins))]
	switch n := rnd.IntN(200); {
	case n < 4:
		l.copy.info(c)
	case n < 24 && l.copy.created:
		l.copy.get(c, 1+uint64(rnd.Int64N(int64(o.last+1))), "", rnd.IntN(2) == 0)
	case n < 36 && l.how.removes && o.last > 0:
		l.remove(c, o)
	case n < 39 && l.how.purges && l.copy.created:
		l.copy.purge(c, "", rnd.IntN(3), 0)
	case n < 39 && l.how.renews:
		l.renew(c, o)
	case n < 42 && l.how.again && l.copy.created:
		l.renew(c, l.copy)
	case n < 44 && l.how.changes && l.copy.created:
		l.change(c)
	case n < 50 && l.copy.hist.Copies.Mirror: // it takes no publishes
		l.copy.publish(c, l.copy.write(c, l.copy.name), nil)
	case n < 75 && l.how.own && l.copy.created:
		l.copy.publish(c, l.copy.write(c, "own.a"), nil)
	case n < 85:
		l.batch(c, o)
	case len(o.hist.Writes) < jsWritesMax/2:
		l.publish(c, o)
	}
}

func (l *copyLoad) subject(c *jsClient, o *jsStream) string {
	return strings.ToLower(o.name) + "." + copySubjects[c.rnd.IntN(len(copySubjects))]
}

// publish gives an origin a message whose headers a copy can be told by.
func (l *copyLoad) publish(c *jsClient, o *jsStream) {
	w := o.write(c, l.subject(c, o))
	switch c.rnd.IntN(6) {
	case 0:
		w.MsgID = "id" + strconv.FormatUint(w.ID, 10)
	case 1: // it is for the origin, and no copy may be judged by it
		if !l.how.renews {
			w.LastSubjSeq = int64(o.bySubj[w.Subject])
		}
	case 2: // as are ids that an origin has seen
		if n := len(o.ids); n > 0 && !l.how.renews {
			w.MsgID = o.ids[c.rnd.IntN(n)]
		}
	}
	if w.MsgID != "" {
		o.ids = append(o.ids, w.MsgID)
	}
	o.publish(c, w, nil, "X-Id", strconv.FormatUint(w.ID, 10))
}

func (l *copyLoad) batch(c *jsClient, o *jsStream) {
	if l.how.renews || len(o.hist.Writes) > jsWritesMax/2 {
		return
	}
	var subjects []string
	for range 1 + c.rnd.IntN(4) {
		subjects = append(subjects, l.subject(c, o))
	}
	o.batch(c, subjects, true)
}

// remove takes messages out of an origin, mostly what was stored last, which may not be
// copied yet.
func (l *copyLoad) remove(c *jsClient, o *jsStream) {
	rnd := c.rnd
	switch rnd.IntN(6) {
	case 0:
		o.purge(c, "", rnd.IntN(2), 0)
	case 1:
		o.purge(c, l.subject(c, o), rnd.IntN(2), 0)
	case 2:
		o.purge(c, "", 0, 1+uint64(rnd.Int64N(int64(o.last+1))))
	case 3:
		o.delete(c, 1+uint64(rnd.Int64N(int64(o.last))))
	default:
		o.delete(c, o.last-uint64(rnd.Int64N(int64(min(o.last, 3)))))
	}
}

// change updates the copy to have all its origins, or all but one.
func (l *copyLoad) change(c *jsClient) {
	config := maps.Clone(l.copy.config)
	if sources := slices.Clone(config["sources"].([]map[string]any)); c.rnd.IntN(2) == 0 {
		i := c.rnd.IntN(len(sources))
		config["sources"] = slices.Delete(sources, i, i+1)
	}
	c.request("STREAM.UPDATE."+l.copy.name, config, func(a *js.Answer) {
		switch {
		case a == nil || a.Err == js.NoResponders:
		case a.Err == 0:
			l.j.ops["js_stream_updates"]++
		case !l.j.troubled():
			c.w.violate(js.APITruth, "updating stream %s was refused: %s", l.copy.name, errText(a))
		}
	})
}

// renewMax bounds how often a stream is deleted: each should get somewhere.
const renewMax = 5

// renew deletes a stream, which is made again by who needs it next.
func (l *copyLoad) renew(c *jsClient, s *jsStream) {
	if l.busy[s] || len(s.hist.Deletions) >= renewMax {
		return
	}
	l.busy[s] = true
	d := &js.Removal{Call: c.w.rec.now(), Return: core.Never}
	s.hist.Deletions = append(s.hist.Deletions, d)
	c.request("STREAM.DELETE."+s.name, nil, func(a *js.Answer) {
		l.busy[s], s.created = false, false
		if d.Outcome = js.OutcomeOf(a); d.Outcome != js.Unknown {
			d.Return = a.At
			l.j.ops["js_stream_deletes"]++
		}
	})
}

// await lets the copy catch up with its origins, which are there from now on.
func (l *copyLoad) await(advance func(time.Duration), c *jsClient) {
	w := &copyWait{l: l, c: c, at: -1, left: l.streams()}
	if !l.j.wait(advance, catchUpMax, w.look) {
		l.copy.hist.Copies.Behind = w.told
	}
	l.j.ops["js_caught_up"]++
}

// copyWait waits until a stream reports twice, with some time between, that it hears of its
// origins and misses nothing: what it believes of one that it does not hear of is not to be trusted.
type copyWait struct {
	l     *copyLoad
	c     *jsClient
	left  []*jsStream // to be made, if they are not there
	asked bool
	next  time.Duration
	at    time.Duration // of the first such report in a row; -1 is none
	done  bool
	told  string
}

// look asks again, now and then.
func (w *copyWait) look() bool {
	now := w.c.w.sim.Now()
	if w.done || w.asked || now < w.next || w.c.state != clientReady {
		return w.done
	}
	w.asked, w.next = true, now+time.Second
	w.c.strand.Post(func() {
		w.ask()
		w.c.send()
	})
	return false
}

func (w *copyWait) ask() {
	if len(w.left) > 0 {
		s, verb := w.left[0], "STREAM.CREATE."
		if s == w.l.copy && s.created && w.l.how.changes {
			verb = "STREAM.UPDATE." // so that it has all its origins
		}
		w.c.request(verb+s.name, s.config, func(a *js.Answer) {
			if w.asked = false; a != nil && a.Err == 0 {
				w.left, w.next, s.created = w.left[1:], 0, true
			} else if a != nil {
				w.told = fmt.Sprintf("stream %s cannot be made: %d %s", s.name, a.Err, errText(a))
			}
		})
		return
	}
	w.c.request("STREAM.INFO."+w.l.copy.name, nil, func(a *js.Answer) {
		w.asked = false
		if a == nil || a.Err != 0 {
			w.at = -1
			return
		}
		list := a.Sources
		if w.l.copy.hist.Copies.Mirror {
			list = []*js.SourceInfo{a.Mirror}
		}
		now := w.c.w.sim.Now()
		switch w.told = behind(list, len(w.l.copy.hist.Copies.Entries)); {
		case w.told != "":
			w.at = -1
		case w.at < 0:
			w.at = now
		case now-w.at >= catchUpTwice:
			w.done = true
		}
	})
}

// heardMax is how long ago a copy may have heard of an origin, which speaks every second.
const heardMax = 2500 * time.Millisecond

// behind says what a stream lacks, by what it reports; "" is nothing.
func behind(list []*js.SourceInfo, want int) string {
	if len(list) != want {
		return fmt.Sprintf("it reports %d origins and has %d", len(list), want)
	}
	for _, i := range list {
		switch {
		case i == nil:
			return "it reports no origin"
		case i.Error != nil:
			return fmt.Sprintf("origin %s: %s", i.Name, i.Error.Description)
		case i.Active < 0 || i.Active > int64(heardMax):
			return fmt.Sprintf("origin %s was heard of %v ago", i.Name, time.Duration(i.Active))
		case i.Lag > 0:
			return fmt.Sprintf("origin %s is %d messages ahead", i.Name, i.Lag)
		}
	}
	return ""
}
