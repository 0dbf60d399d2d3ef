package account

import "github.com/lockstepmq/lockstep/server/subject"

// CycleSearchDepth is how many imports a chain may have before the search for a
// cycle gives up.
const CycleSearchDepth = 1024

// visit is an account and the pattern in it that a chain of imports leads to.
type visit struct {
	account *Account
	pattern string
	depth   int
}

// walk follows imports from start until stop says so, each place once.
type walk struct {
	queue []visit
	seen  map[visit]bool // keyed without depth
}

func newWalk(start visit) *walk {
	w := &walk{seen: map[visit]bool{}}
	w.add(start)
	return w
}

func (w *walk) add(v visit) {
	key := visit{account: v.account, pattern: v.pattern}
	if !w.seen[key] {
		w.seen[key] = true
		w.queue = append(w.queue, v)
	}
}

// next is the next place; the error says that the chain, or the search, is too long.
func (w *walk) next() (visit, bool, error) {
	if len(w.queue) == 0 {
		return visit{}, false, nil
	}
	v := w.queue[0]
	w.queue = w.queue[1:]
	if v.depth >= CycleSearchDepth || len(w.seen) > 64*CycleSearchDepth {
		return visit{}, false, ErrCycleSearchDepth
	}
	return v, true, nil
}

// streamCycle refuses an import of a whose messages could come from itself: one
// from where a chain of imports leads back to its local subject.
func streamCycle(a *Account, i *StreamImport) error {
	w := newWalk(visit{account: i.Account, pattern: i.From})
	for {
		v, ok, err := w.next()
		if !ok {
			return err
		}
		for _, o := range v.account.graph.Load().StreamImports {
			from, ok := o.ShadowSubject(v.pattern)
			if !ok {
				continue
			}
			if o.Account == a {
				if _, back := i.ShadowSubject(from); back {
					return ErrImportCycle
				}
			}
			w.add(visit{o.Account, from, v.depth + 1})
		}
	}
}

// serviceCycle refuses an import whose requests could come back to the account a,
// on whatever subject. An account may use its own services.
func serviceCycle(a, destination *Account, to string) error {
	w := newWalk(visit{account: destination, pattern: to})
	for {
		v, ok, err := w.next()
		if !ok {
			return err
		}
		for _, o := range v.account.graph.Load().ServiceImports {
			target, ok := o.target(v.pattern)
			if !ok {
				continue
			}
			if o.Account == a {
				return ErrImportCycle
			}
			w.add(visit{o.Account, target, v.depth + 1})
		}
	}
}

// target is the pattern in the exporting account of the requests that are
// published here on subjects of pattern.
func (i *ServiceImport) target(pattern string) (string, bool) {
	if i.pair.toRemote.mode != rewriteLiteral {
		return i.pair.shadow(pattern)
	}
	return i.To, subject.Overlaps(i.From, pattern)
}
