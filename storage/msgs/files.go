package msgs

import (
	"container/list"
	"errors"
	"io"
	"sync"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// Files bounds the open files of the stores that share it. Stores on different strands
// do; it locks inside, and asks the owner of the file that waited longest to close it. The bound
// is exceeded while owners are busy.
type Files struct {
	mu  sync.Mutex
	max int
	lru list.List // of *file, the one used last in front
}

// NewFiles bounds the number of open files; below 4 it is 4.
func NewFiles(most int) *Files { return &Files{max: max(most, 4)} }

// Open is the number of open files.
func (l *Files) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lru.Len()
}

// victimsMax bounds the files that are asked to close at once: where many may not, since they
// are dirty, asking all of them each time would cost more than it brings.
const victimsMax = 4

// use notes that a file is open and used now.
func (l *Files) use(f *file) {
	l.mu.Lock()
	if f.place != nil {
		l.lru.MoveToFront(f.place)
		l.mu.Unlock()
		return
	}
	f.place = l.lru.PushFront(f)
	var victims []*file
	for range min(l.lru.Len()-l.max, victimsMax) {
		victim := l.lru.Back().Value.(*file)
		l.lru.MoveToFront(victim.place) // if it is busy, others are asked the next time
		if victim != f {
			victims = append(victims, victim)
		}
	}
	l.mu.Unlock()
	for _, victim := range victims {
		victim.strand.PostFrom(f.strand, victim.rest)
	}
}

func (l *Files) closed(f *file) {
	l.mu.Lock()
	if f.place != nil {
		l.lru.Remove(f.place)
		f.place = nil
	}
	l.mu.Unlock()
}

// file is a file of a store: opened when it is needed, closed when others are needed more. It
// belongs to its store's strand.
type file struct {
	fs     storage.FS
	strand clock.Strand
	files  *Files
	place  *list.Element // in files, under its lock
	name   string
	number uint64

	f       storage.File
	opening []func(storage.File, error) // who waits for it
	busy    int                         // operations under way
	made    bool                        // it exists, as far as is known
	absent  bool                        // it should exist, and does not
	dirty   bool                        // something was handed to it and not synced
	size    int64                       // with what waits to be written
	cut     int64                       // what is behind must go before anything is written; -1: nothing
	handed  int                         // jobs that the system may not have yet
	sound   int64                       // the length before the first of them
	gone    bool                        // closed for good
	sealed  bool                        // nothing will be written but erasures
	offline bool                        // nothing may be written
}

// open gives the open file, at once or later.
func (f *file) open(then func(storage.File, error)) {
	if f.gone {
		then(nil, ErrClosed)
		return
	}
	if f.f != nil {
		f.files.use(f)
		then(f.f, nil)
		return
	}
	f.opening = append(f.opening, then)
	if len(f.opening) > 1 {
		return
	}
	flags := storage.OpenFlag(0)
	switch {
	case f.offline:
		flags = storage.ReadOnly
	case !f.made:
		flags = storage.Create | storage.Empty
	}
	f.fs.Open(f.strand, f.name, flags, f.opened)
}

func (f *file) opened(g storage.File, err error) {
	waiting := f.opening
	f.opening = nil
	switch {
	case err != nil:
	case f.gone:
		g.Close()
		g, err = nil, ErrClosed
	default:
		f.f, f.made = g, true
		f.files.use(f)
	}
	for _, then := range waiting {
		if f.f == nil && err == nil {
			then(nil, ErrClosed)
			continue
		}
		then(f.f, err)
	}
}

// rest closes the file if nothing is under way; it is opened again when it is needed.
func (f *file) rest() {
	if f.f == nil || f.busy > 0 || f.dirty {
		return
	}
	f.letGo()
}

func (f *file) letGo() {
	f.f.Close()
	f.f = nil
	f.files.closed(f)
}

// close closes the file for good.
func (f *file) close() {
	f.gone = true
	if f.f != nil {
		f.letGo()
	}
}

// read fills p from off.
func (f *file) read(p []byte, off int64, done func(n int, err error)) {
	f.open(func(g storage.File, err error) {
		if err != nil {
			done(0, err)
			return
		}
		f.busy++
		g.ReadAt(f.strand, p, off, func(n int, err error) {
			f.busy--
			done(n, err)
		})
	})
}

// salvage reads what a plain read failed to read, piece by piece, so that one bad sector costs no more
// than itself.
type salvage struct {
	f    *file
	p    []byte
	off  int64
	at   int
	err  error // the first
	done func(n int, err error)
}

// salvagePiece is what is read at once then, in bytes.
const salvagePiece = 4 << 10

// readWhole is read, but what cannot be read is zeros in p, and err is why.
func (f *file) readWhole(p []byte, off int64, done func(n int, err error)) {
	f.read(p, off, func(n int, err error) {
		if err == nil || errors.Is(err, io.EOF) || f.f == nil {
			done(n, err)
			return
		}
		s := &salvage{f: f, p: p, off: off, done: done}
		s.step()
	})
}

func (s *salvage) step() {
	piece := s.p[s.at:min(s.at+salvagePiece, len(s.p))]
	s.f.read(piece, s.off+int64(s.at), s.read)
}

func (s *salvage) read(n int, err error) {
	piece := s.p[s.at:min(s.at+salvagePiece, len(s.p))]
	s.at += len(piece)
	switch {
	case errors.Is(err, io.EOF) || errors.Is(err, ErrClosed) || errors.Is(err, storage.ErrClosed):
		s.done(s.at-len(piece)+n, err)
		return
	case err != nil:
		clear(piece)
		if s.err == nil {
			s.err = err
		}
	}
	if s.at == len(s.p) {
		s.done(s.at, s.err)
		return
	}
	s.step()
}
