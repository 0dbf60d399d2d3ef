package stream

import (
	"slices"
	"strings"
	"sync"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/consumer"
	"github.com/lockstepmq/lockstep/server/subject"
)

// hosted is a consumer and what the stream knows of it.
type hosted struct {
	c         *consumer.Consumer
	id        uint32
	name      string
	listening bool  // told of new and removed messages
	queued    bool  // in the run queue
	listed    bool  // in the registry, since then and for good
	gone      bool  // from it
	takes     kinds // for publishers' strands: does not change
}

// kinds are what may be sent to a consumer.
type kinds uint8

const (
	takesPulls kinds = 1 << iota // of push consumers, too, which say what they are
	takesAcks
	takesFlow // answers to flow control
)

// newHosted makes the place of a consumer in the registry.
func newHosted(id uint32, name string, cfg *api.ConsumerConfig) *hosted {
	h := &hosted{id: id, name: name, takes: takesPulls}
	if cfg.AckPolicy == api.AckExplicit || cfg.AckPolicy == api.AckAll {
		h.takes |= takesAcks
	}
	if cfg.FlowControl {
		h.takes |= takesFlow
	}
	return h
}

// consumers is the registry: by name, by id, by filter, and those that listen. It belongs to
// the stream's strand, but for has: publishers ask it whether a pull request has a taker.
type consumers struct {
	mu      sync.RWMutex // guards byName against has; held across no call out
	byName  map[string]*hosted
	roll    roll
	nextID  uint32
	labels  map[string]string // metadata of the consumer made last; most have the same
	visible int               // but for those of mirrors and sources

	interest listeners // all, where retention asks
	awake    listeners // those that wait for new messages
	run      []*hosted // in turn
	running  bool      // a task is posted
}

// listeners are consumers by what they filter on.
type listeners struct {
	all     []*hosted // without filter
	index   *subject.Index[*hosted]
	indexed int
	found   subject.Result[*hosted]
}

func (l *listeners) add(h *hosted) {
	filters := h.c.Filters()
	if len(filters) == 0 {
		l.all = append(l.all, h)
		return
	}
	if l.index == nil {
		l.index = subject.NewIndex[*hosted]()
	}
	for _, f := range filters {
		l.index.Insert(f, "", 1, h)
	}
	l.indexed++
}

func (l *listeners) remove(h *hosted, filters []string) {
	if len(filters) == 0 {
		if i := slices.Index(l.all, h); i >= 0 {
			l.all = slices.Delete(l.all, i, i+1)
		}
		return
	}
	for _, f := range filters {
		l.index.Remove(f, "", h)
	}
	l.indexed--
}

// matching gives the filtered ones that match; those without filter are in all.
func (l *listeners) matching(subj []byte) []*hosted {
	if l.indexed == 0 {
		return nil
	}
	l.index.Match(subj, &l.found)
	return l.found.Plain
}

func (l *listeners) empty() bool { return len(l.all) == 0 && l.indexed == 0 }

func (r *consumers) init() {
	r.byName = make(map[string]*hosted)
}

// reset forgets all consumers, of which none is in service.
func (r *consumers) reset() {
	r.mu.Lock()
	r.byName = make(map[string]*hosted)
	r.mu.Unlock()
	r.roll, r.nextID, r.labels, r.visible = roll{}, 0, nil, 0
	r.interest, r.awake, r.run = listeners{}, listeners{}, nil
}

// has tells whether there is a consumer of this name that takes what is sent to it. Any strand.
func (r *consumers) has(name []byte, what kinds) bool {
	r.mu.RLock()
	h := r.byName[string(name)]
	r.mu.RUnlock()
	return h != nil && h.takes&what != 0
}

func (r *consumers) len() int { return len(r.byName) }

// count is how many consumers' filters match subject.
func (r *consumers) count(subj []byte) int {
	return len(r.interest.all) + len(r.interest.matching(subj))
}

func (r *consumers) add(h *hosted) {
	r.mu.Lock()
	r.byName[h.name] = h
	r.mu.Unlock()
	r.roll.add(h)
	h.listed = true
	r.nextID = max(r.nextID, h.id+1)
	if !h.c.Config().Direct {
		r.visible++
	}
	r.interest.add(h)
}

func (r *consumers) remove(h *hosted) {
	h.gone = true
	r.mu.Lock()
	delete(r.byName, h.name)
	r.mu.Unlock()
	r.roll.remove(h.id)
	if !h.c.Config().Direct {
		r.visible--
	}
	r.interest.remove(h, h.c.Filters())
	if h.listening {
		h.listening = false
		r.awake.remove(h, h.c.Filters())
	}
}

// refilter lets change give h another filter.
func (r *consumers) refilter(h *hosted, change func()) {
	filters := h.c.Filters()
	r.interest.remove(h, filters)
	if h.listening {
		r.awake.remove(h, filters)
	}
	change()
	r.interest.add(h)
	if h.listening {
		r.awake.add(h)
	}
}

// byID finds a consumer by its number.
func (r *consumers) byID(id uint32) *hosted { return r.roll.get(id) }

// all gives the consumers in the order of their creation, as they are now.
func (r *consumers) all() []*hosted { return r.roll.all() }

// names gives the consumers by name, ascending.
func (r *consumers) names() []*hosted {
	list := make([]*hosted, 0, len(r.byName))
	for _, h := range r.byName { //lockstep:ordered sorted below
		list = append(list, h)
	}
	slices.SortFunc(list, func(a, b *hosted) int { return strings.Compare(a.name, b.name) }) //lockstep:total names are unique
	return list
}

// listen moves h in or out of those that are told of messages.
func (r *consumers) listen(h *hosted, on bool) {
	if h.listening == on || h.gone {
		return
	}
	h.listening = on
	if on {
		r.awake.add(h)
	} else {
		r.awake.remove(h, h.c.Filters())
	}
}

// stepBudget is how many messages one consumer may send in one turn.
const stepBudget = 256

// turns is how many turns one task gives.
const turns = 8

// schedule puts h into the run queue.
func (s *Stream) schedule(h *hosted) {
	r := &s.consumers
	if h.queued || h.gone {
		return
	}
	h.queued = true
	r.run = append(r.run, h)
	s.postRun()
}

// postRun has consumers with work get their turns, unless they have to wait.
func (s *Stream) postRun() {
	if r := &s.consumers; len(r.run) > 0 && !r.running && !s.holds() {
		r.running = true
		s.strand.Post(s.runConsumers)
	}
}

// runConsumers gives consumers that have work their turns, and yields to what else waits
// for the strand.
func (s *Stream) runConsumers() {
	r := &s.consumers
	r.running = false
	if s.closed || s.holds() {
		return
	}
	s.tick()
	n := min(turns, len(r.run))
	for range n {
		h := r.run[0]
		r.run[0] = nil
		r.run = r.run[1:]
		h.queued = false
		if h.gone {
			continue
		}
		s.saveFirst(h)
		if h.c.Step(stepBudget) {
			s.schedule(h)
		}
	}
	if len(r.run) == 0 {
		r.run = nil
	}
	s.postRun()
	s.endTask()
}
