package doctor

import (
	"errors"
	"fmt"
	"path"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// Errors of what is no store of this server.
var (
	// ErrOfficial: it is a store of the official NATS server.
	ErrOfficial = errors.New("this is a store of the official NATS server, which Lockstep does not read. " +
		"Start that server on it once more, save its streams with `nats account backup` or `nats stream backup`, " +
		"and bring them to Lockstep with `nats account restore` or `nats stream restore`")
	// ErrNoStore: there is no store.
	ErrNoStore = errors.New("there is no store here")
)

// recognition finds out what a directory is.
type recognition struct {
	fs     storage.FS
	strand clock.Strand
	done   func(error)
	dirs   []string // to be looked into
}

// Recognise tells whether the root of fs is a store of this server: nil, ErrOfficial, ErrNoStore (so it may
// become one), or the error of the disk. done is called on s.
func Recognise(fs storage.FS, s clock.Strand, done func(error)) {
	r := &recognition{fs, s, done, nil}
	fs.List(s, ".", func(entries []storage.Entry, err error) {
		if err != nil {
			done(err)
			return
		}
		for _, e := range entries {
			switch {
			case e.Name == walDir && e.Dir:
				done(nil)
				return
			case e.Dir:
				r.dirs = append(r.dirs, e.Name)
			}
		}
		r.next()
	})
}

// next looks into a directory: the official server has one for each account, with streams below it
// that have a file meta.inf each, or the groups of a cluster.
func (r *recognition) next() {
	if len(r.dirs) == 0 {
		r.done(fmt.Errorf("%w: want the directory that holds %q and %q, or the one above", ErrNoStore, walDir, streamsDir))
		return
	}
	dir := r.dirs[0]
	r.dirs = r.dirs[1:]
	r.fs.List(r.strand, dir, func(entries []storage.Entry, err error) {
		if err != nil {
			r.done(err)
			return
		}
		var below []string
		for _, e := range entries {
			switch {
			case e.Dir && e.Name == "_js_", !e.Dir && e.Name == "meta.inf":
				r.done(ErrOfficial)
				return
			case e.Dir && (e.Name == "streams" || path.Base(dir) == "streams"):
				below = append(below, path.Join(dir, e.Name))
			}
		}
		r.dirs = append(below, r.dirs...)
		r.next()
	})
}
