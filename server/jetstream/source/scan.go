package source

import (
	"bytes"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// scan looks, from the newest message backwards, for where sources are that the machine does not know
// of: the stream was restored from a backup, or an entry of the configuration came back.
type scan struct {
	set  *Set
	want []*Follower
	next uint64 // sequence to look at
	over bool
}

// scanStep bounds the messages looked at in a task.
const scanStep = 512

// searching tells whether positions are looked for.
func (s *Set) searching() bool { return s.scan != nil }

// search begins to look for the positions of those followers that have none.
func (s *Set) search(fresh []*Follower) {
	if s.scan != nil {
		s.scan.over = true
		fresh = append(fresh, s.scan.want...)
		s.scan = nil
	}
	sc := &scan{set: s, next: s.host.Store().State().Last}
	for _, f := range fresh {
		_, _, known := s.host.Position(f.key)
		if !known && f.phase != ended {
			sc.want = append(sc.want, f)
		}
	}
	if s.host.Store().State().Msgs == 0 || len(sc.want) == 0 {
		s.resume()
		return
	}
	s.scan = sc
	s.host.Post(sc.step)
}

// resume lets go on who waited for the search.
func (s *Set) resume() {
	for _, f := range s.list {
		f.drained()
	}
}

func (sc *scan) step() {
	s := sc.set
	store := s.host.Store()
	for range scanStep {
		if sc.over || s.over {
			return
		}
		seq, ok := store.Prev(nil, sc.next)
		if !ok || seq == 0 {
			sc.end()
			return
		}
		sc.next = seq - 1
		m, found := store.Load(seq)
		switch found {
		case msgs.Cached:
			if sc.look(&m) {
				return
			}
		case msgs.Cold:
			store.Fetch(seq, sc.fetched)
			return
		}
	}
	s.host.Post(sc.step)
}

func (sc *scan) fetched(m msgs.Msg, err error) {
	if sc.over || sc.set.over {
		return
	}
	sc.set.host.Post(func() {
		if sc.over || sc.set.over || (err == nil && sc.look(&m)) {
			return
		}
		sc.step()
	})
}

var sourceName = []byte(api.HdrStreamSource)

// look notes what a message tells. True is the end of the search.
func (sc *scan) look(m *msgs.Msg) bool {
	if !bytes.Contains(m.Header, sourceName) {
		return false
	}
	h, ok := machine.ParseStreamSource(api.HeaderValue(m.Header, api.HdrStreamSource))
	if !ok {
		return false
	}
	for i, f := range sc.want {
		if h.Key() != f.key && (h.Key() != "" || !sc.alone(f, &h)) {
			continue
		}
		sc.set.found[f.key] = position{h.Seq, h.Identity}
		sc.want = append(sc.want[:i], sc.want[i+1:]...)
		break
	}
	if len(sc.want) > 0 {
		return false
	}
	sc.end()
	return true
}

// alone tells whether a header that does not say which entry it is of can be of f's only.
func (sc *scan) alone(f *Follower, h *machine.StreamSourceHeader) bool {
	if h.Origin != f.src.Name && h.Origin != machine.SourceName(f.src) {
		return false
	}
	same := 0
	for _, o := range sc.set.list {
		if o.src.Name == f.src.Name {
			same++
		}
	}
	return same == 1
}

func (sc *scan) end() {
	sc.over = true
	sc.set.scan = nil
	sc.set.resume()
}
