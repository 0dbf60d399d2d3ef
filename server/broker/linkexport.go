package broker

import "github.com/lockstepmq/lockstep/server/perm"

// SetExport changes which interest is accepted from the peer, by its subscribe part (nil: all). What it told
// and may not is forgotten; of what it may now it has to tell again.
func (l *Link) SetExport(export *perm.Set) {
	if l.closed.Load() {
		return
	}
	l.o.Export = export
	for _, pl := range l.listPlaces() {
		for s := pl.oldest; s != nil; {
			newer := s.newer // forgetting s takes it off the list
			if ok, _ := export.CanSubscribe(s.sub.Subject, s.sub.Queue); !ok {
				l.forget(pl, linkKey{subject: s.sub.Subject, queue: s.sub.Queue, origin: originOf(s.sub)})
			}
			s = newer
		}
	}
}
