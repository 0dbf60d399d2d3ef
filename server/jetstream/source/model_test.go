package source

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/subject"
)

// model holds a stream against its origin.
type model struct {
	t      *rapid.T
	w      *world
	o      *origin
	mirror bool
	keys   map[string]*api.StreamSource
	have   map[string]map[uint64]bool // by key and identity
	last   map[string]uint64
	past   map[string][]*originMsg    // of identities
	taken  map[string]map[uint64]bool // removed at the origin by somebody else
}

func newModel(t *rapid.T, w *world, o *origin) *model {
	m := &model{t: t, w: w, o: o, mirror: w.cfg.Mirror != nil, keys: map[string]*api.StreamSource{}, past: map[string][]*originMsg{}, taken: map[string]map[uint64]bool{}}
	for _, s := range w.cfg.Sources {
		m.keys[machine.SourceKey(s)] = s
	}
	if m.mirror {
		m.keys[""] = w.cfg.Mirror
	}
	m.reset()
	w.stored, w.reset, w.ackable = m.stored, m.reset, m.acked
	return m
}

func (m *model) reset() { m.have, m.last = map[string]map[uint64]bool{}, map[string]uint64{} }

// wanted gives the subject that a source stores a message on.
func wanted(s *api.StreamSource, subj string) (string, bool) {
	if len(s.SubjectTransforms) == 0 {
		return subj, s.FilterSubject == "" || subject.Matches(subj, s.FilterSubject)
	}
	for _, t := range s.SubjectTransforms {
		tr, err := subject.NewTransform(t.Source, t.Destination)
		if err != nil {
			panic(err)
		}
		if to, ok := tr.Apply(subj, nil); ok {
			return to, true
		}
	}
	return "", false
}

// stored checks that a message is the origin's, comes once and in order.
func (m *model) stored(s *machine.Stored) {
	key, identity, seq, from := "", m.o.identity, s.Seq, ""
	if !m.mirror {
		h, ok := machine.ParseStreamSource(api.HeaderValue(s.Header, api.HdrStreamSource))
		if !ok || m.keys[h.Key()] == nil {
			m.t.Fatalf("message %d has source %q", s.Seq, api.HeaderValue(s.Header, api.HdrStreamSource))
		}
		key, identity, seq, from = h.Key(), h.Identity, h.Seq, h.Subject
	}
	if identity == "" && m.o.level < 5 {
		identity = m.o.identity
	}
	place := key + " " + identity
	if seq <= m.last[place] {
		m.t.Fatalf("%s: message %d comes after %d", place, seq, m.last[place])
	}
	m.last[place] = seq
	if m.have[place] == nil {
		m.have[place] = map[uint64]bool{}
	}
	m.have[place][seq] = true
	all := m.o.all
	if identity != m.o.identity {
		all = m.past[identity]
	}
	if seq > uint64(len(all)) {
		m.t.Fatalf("%s has no message %d", place, seq)
	}
	o := all[seq-1]
	to, ok := wanted(m.keys[key], o.subject)
	if !ok || to != string(s.Subject) || o.data != string(s.Data) || (!m.mirror && from != o.subject) || (m.mirror && o.time != s.Time) {
		m.t.Fatalf("%s: message %d is %q %q, not %q %q", place, seq, s.Subject, s.Data, to, o.data)
	}
}

// acked checks that what a work queue gives up is here.
func (m *model) acked(o *origin, upTo uint64) {
	if len(m.keys) > 1 {
		return
	}
	for key, src := range m.keys { //lockstep:ordered one
		for seq, msg := range o.msgs { //lockstep:ordered each is checked alike
			if _, ok := wanted(src, msg.subject); ok && seq <= upTo && !m.have[key+" "+o.identity][seq] {
				m.t.Fatalf("message %d is acked and not here", seq)
			}
		}
	}
}

// settled checks that everything is here.
func (m *model) settled() {
	for key, src := range m.keys { //lockstep:ordered each is checked alike
		place := key + " " + m.o.identity
		for _, msg := range m.o.all {
			_, ok := wanted(src, msg.subject)
			must := m.o.msgs[msg.seq] != nil || (m.o.queue && !m.taken[m.o.identity][msg.seq])
			if ok && must && !m.have[place][msg.seq] {
				m.t.Fatalf("%s lacks message %d of %d: %+v", place, msg.seq, m.o.last, m.w.set.Sources())
			}
			if ok && m.o.queue && m.o.msgs[msg.seq] != nil {
				m.t.Fatalf("%s: message %d is still in the work queue", place, msg.seq)
			}
		}
	}
}

func draw(t *rapid.T, n int, what string) int { return rapid.IntRange(0, n-1).Draw(t, what) }

var shapes = []struct {
	name  string
	shape func(cfg *api.StreamConfig)
	queue bool
	level int
}{
	{"mirror", func(cfg *api.StreamConfig) { cfg.Mirror = &api.StreamSource{Name: "O"} }, false, 5},
	{"mirror filter", func(cfg *api.StreamConfig) {
		cfg.Mirror = &api.StreamSource{Name: "O", FilterSubject: "a.1"}
	}, false, 5},
	{"mirror durable", func(cfg *api.StreamConfig) {
		cfg.Mirror = &api.StreamSource{Name: "O", Consumer: &api.StreamConsumerSource{Name: "DUR", DeliverSubject: "in"}}
	}, true, 5},
	{"source", func(cfg *api.StreamConfig) { cfg.Sources = []*api.StreamSource{{Name: "O"}} }, false, 5},
	{"source of an old server", func(cfg *api.StreamConfig) { cfg.Sources = []*api.StreamSource{{Name: "O"}} }, false, 3},
	{"two sources", func(cfg *api.StreamConfig) {
		cfg.Sources = []*api.StreamSource{{Name: "O", FilterSubject: "a.0"}, {Name: "O", SubjectTransforms: []api.SubjectTransformConfig{
			{Source: "a.1", Destination: "b.one"}, {Source: "a.*", Destination: "c.{{wildcard(1)}}"},
		}}}
	}, false, 5},
	{"work queue", func(cfg *api.StreamConfig) { cfg.Sources = []*api.StreamSource{{Name: "O"}} }, true, 5},
	{"durable", func(cfg *api.StreamConfig) {
		cfg.Sources = []*api.StreamSource{{Name: "O", Consumer: &api.StreamConsumerSource{Name: "DUR", DeliverSubject: "in"}}}
	}, true, 5},
}

// TestExactlyOnce lets everything go wrong that may, and then nothing any more.
func TestExactlyOnce(t *testing.T) { rapid.Check(t, exactlyOnce) }

func FuzzExactlyOnce(f *testing.F) { f.Fuzz(rapid.MakeFuzz(exactlyOnce)) }

func exactlyOnce(t *rapid.T) {
	cfg := streamConfig()
	shape := shapes[draw(t, len(shapes), "shape")]
	shape.shape(cfg)
	w := newWorld(t, rapid.Uint64().Draw(t, "seed"), cfg)
	o := w.origin("O")
	o.queue, o.level = shape.queue, shape.level
	m := newModel(t, w, o)
	durable := func() {
		for _, s := range append([]*api.StreamSource{cfg.Mirror}, cfg.Sources...) {
			if s != nil && s.Consumer != nil {
				o.durable(s.Consumer.Name, s.Consumer.DeliverSubject)
			}
		}
	}
	durable()
	seconds := func() { w.run(time.Duration(1+draw(t, 15, "time")) * time.Second) }
	rates := func() {
		some := []int{0, 0, 3, 20}
		w.net.lose, w.net.double, w.net.reorder = some[draw(t, 4, "lose")], some[draw(t, 4, "double")], some[draw(t, 4, "reorder")]
	}
	rates()
	publish := func() {
		gap := time.Duration(draw(t, 300, "gap")) * time.Millisecond
		for i := range 1 + draw(t, 30, "count") {
			o.publish(fmt.Sprint("a.", draw(t, 3, "subject")), "", fmt.Sprint("data ", i))
			w.run(gap)
		}
	}
	actions := []func(){
		publish, publish, publish, rates,
		seconds, seconds,
		func() { w.run(time.Duration(draw(t, 20, "time")) * time.Millisecond) },
		func() {
			if o.last > 0 && len(o.msgs) > 0 {
				seq := 1 + uint64(draw(t, int(o.last), "seq"))
				m.take(seq)
				o.remove(seq)
			}
		},
		func() {
			for seq := range o.msgs { //lockstep:ordered each is removed alike
				m.take(seq)
			}
			o.purge()
		},
		func() { w.crash() },
		func() { w.hold = true },
		func() { w.release() },
		func() { o.silent = !o.silent },
		func() {
			w.configure(func(cfg *api.StreamConfig) {
				cfg.Discard, cfg.MaxMsgs = api.DiscardNew, int64(w.store.State().Msgs)+int64(draw(t, 5, "room"))
				if cfg.MaxMsgs == 0 {
					cfg.MaxMsgs = 1
				}
			})
		},
		func() { w.configure(func(cfg *api.StreamConfig) { cfg.MaxMsgs = -1 }) },
		func() {
			if !m.mirror && shape.level == 5 && shape.name != "durable" {
				m.past[o.identity] = o.all
				o.recreate()
			}
		},
		func() { o.error = []int{0, 10059}[draw(t, 2, "error")] },
	}
	for range 5 + draw(t, 25, "steps") {
		actions[draw(t, len(actions), "action")]()
	}
	w.net = network{latency: time.Millisecond}
	o.silent, o.error = false, 0
	w.release()
	w.configure(func(cfg *api.StreamConfig) { cfg.MaxMsgs = -1 })
	w.run(6 * time.Minute)
	m.settled()
}

func (m *model) take(seq uint64) {
	if m.taken[m.o.identity] == nil {
		m.taken[m.o.identity] = map[uint64]bool{}
	}
	m.taken[m.o.identity][seq] = true
}
