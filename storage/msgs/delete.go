package msgs

import (
	"errors"
	"path"

	"github.com/lockstepmq/lockstep/storage"
)

// deletion removes the files of a store, then their directory. What is not the store's is left.
type deletion struct {
	d     *disk
	names []string
	done  func(error)
}

func (d *disk) removeAll(done func(error)) {
	r := &deletion{d: d, done: done}
	d.fs.List(d.st.strand, d.dir, r.listed)
}

func (r *deletion) listed(entries []storage.Entry, err error) {
	switch {
	case errors.Is(err, storage.ErrNotExist):
		r.done(nil)
		return
	case err != nil:
		r.done(err)
		return
	}
	for _, e := range entries {
		if _, _, ok := parseFileName(e.Name); ok && !e.Dir {
			r.names = append(r.names, r.d.dir+"/"+e.Name)
		}
	}
	r.step(nil)
}

func (r *deletion) step(err error) {
	switch {
	case err != nil && !errors.Is(err, storage.ErrNotExist):
		r.done(err)
	case len(r.names) > 0:
		name := r.names[0]
		r.names = r.names[1:]
		r.d.fs.Remove(r.d.st.strand, name, r.step)
	default:
		r.d.fs.Remove(r.d.st.strand, r.d.dir, r.emptied)
	}
}

func (r *deletion) emptied(err error) {
	if err != nil && !errors.Is(err, storage.ErrNotExist) && !errors.Is(err, storage.ErrNotEmpty) {
		r.done(err)
		return
	}
	r.d.fs.SyncDir(r.d.st.strand, path.Dir(r.d.dir), r.done)
}
