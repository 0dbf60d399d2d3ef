package doctor

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// shadow is a file system whose changes stay in memory: what recovery would write to a store is seen by
// recovery, and by nobody else. The disk below is only listed and read, and must not change
// meanwhile. It is used from one strand.
type shadow struct {
	disk  storage.FS
	root  *inode
	queue []nameOp // operations on names, in the order of their calls
	busy  bool
}

// nameOp looks directories up, then does its work in memory.
type nameOp struct {
	strand clock.Strand
	dirs   []string // that must be known
	run    func(then func(error))
	done   func(error)
}

// inode is a file or a directory.
type inode struct {
	origin  string // name on the disk; "" is none
	dir     bool
	entries map[string]*inode // of a directory, by name; nil: not listed yet

	// Of a file: the first kept bytes are the disk's, with patches over them, the last one on top;
	// then comes tail.
	kept    int64
	patches []patch
	tail    []byte

	file    storage.File // on the disk, while handles are open
	handles int
}

type patch struct {
	off  int64
	data []byte
}

func newShadow(disk storage.FS) *shadow {
	return &shadow{disk: disk, root: &inode{origin: ".", dir: true}}
}

var _ storage.FS = (*shadow)(nil)

func (n *inode) size() int64 { return n.kept + int64(len(n.tail)) }

// badName is why a name is refused, or nil.
func badName(name string, entry bool) error {
	if !fs.ValidPath(name) || entry && name == "." {
		return fmt.Errorf("%w: want a clean relative path with slashes", storage.ErrName)
	}
	return nil
}

// do queues an operation on names. run works on what is known, and is called when the parents of all
// names are.
func (x *shadow) do(s clock.Strand, op string, names []string, entry bool, run func() error, done func(error)) {
	x.enqueue(s, op, names, entry, func(then func(error)) { then(run()) }, done)
}

func (x *shadow) enqueue(s clock.Strand, op string, names []string, entry bool, run func(then func(error)), done func(error)) {
	said := func(err error) error {
		if err == nil {
			return nil
		}
		return &storage.OpError{Op: op, Name: names[0], Err: err}
	}
	dirs := make([]string, 0, len(names))
	for _, name := range names {
		if err := badName(name, entry); err != nil {
			s.Post(func() { done(said(err)) })
			return
		}
		dirs = append(dirs, path.Dir(name))
		if !entry {
			dirs = append(dirs, name)
		}
	}
	x.queue = append(x.queue, nameOp{s, dirs, run, func(err error) { done(said(err)) }})
	if !x.busy {
		x.busy = true
		s.Post(x.next)
	}
}

// next begins the first operation in the queue.
func (x *shadow) next() {
	if len(x.queue) == 0 {
		x.busy = false
		return
	}
	op := x.queue[0]
	x.queue = x.queue[1:]
	x.look(op, op.dirs)
}

// look lists directories that the operation needs and that are not known.
func (x *shadow) look(op nameOp, dirs []string) {
	for i, dir := range dirs {
		if n := x.unlisted(dir); n != nil {
			x.disk.List(op.strand, n.origin, func(entries []storage.Entry, err error) {
				if err != nil {
					x.finish(op, err)
					return
				}
				n.entries = make(map[string]*inode, len(entries))
				for _, e := range entries {
					n.entries[e.Name] = &inode{origin: path.Join(n.origin, e.Name), dir: e.Dir, kept: e.Size}
				}
				x.look(op, dirs[i:])
			})
			return
		}
	}
	op.run(func(err error) { x.finish(op, err) })
}

func (x *shadow) finish(op nameOp, err error) {
	op.done(err)
	x.next()
}

// unlisted is the topmost directory on the way to name, or name itself, that is not known.
func (x *shadow) unlisted(name string) *inode {
	n := x.root
	for rest := name; ; {
		if !n.dir {
			return nil
		}
		if n.entries == nil {
			return n
		}
		if rest == "." || rest == "" {
			return nil
		}
		var first string
		first, rest, _ = strings.Cut(rest, "/")
		if n = n.entries[first]; n == nil {
			return nil
		}
	}
}

// find walks to a name through what is known.
func (x *shadow) find(name string) (*inode, error) {
	n := x.root
	if name == "." {
		return n, nil
	}
	for _, part := range strings.Split(name, "/") {
		if !n.dir {
			return nil, storage.ErrKind
		}
		if n = n.entries[part]; n == nil {
			return nil, storage.ErrNotExist
		}
	}
	return n, nil
}

// findDir is find for directories.
func (x *shadow) findDir(name string) (*inode, error) {
	n, err := x.find(name)
	if err == nil && !n.dir {
		return nil, storage.ErrKind
	}
	return n, err
}

// Mkdir is part of [storage.FS].
func (x *shadow) Mkdir(s clock.Strand, name string, done func(error)) {
	x.do(s, "mkdir", []string{name}, false, func() error {
		if name == "." {
			return storage.ErrExist
		}
		parent, err := x.findDir(path.Dir(name))
		if err != nil {
			return err
		}
		if parent.entries[path.Base(name)] != nil {
			return storage.ErrExist
		}
		parent.entries[path.Base(name)] = &inode{dir: true, entries: map[string]*inode{}}
		return nil
	}, done)
}

// SyncDir is part of [storage.FS].
func (x *shadow) SyncDir(s clock.Strand, dir string, done func(error)) {
	x.do(s, "syncdir", []string{dir}, false, func() error {
		_, err := x.findDir(dir)
		return err
	}, done)
}

// List is part of [storage.FS].
func (x *shadow) List(s clock.Strand, dir string, done func([]storage.Entry, error)) {
	var list []storage.Entry
	x.do(s, "list", []string{dir}, false, func() error {
		n, err := x.findDir(dir)
		if err != nil {
			return err
		}
		for name, e := range n.entries { //lockstep:ordered sorted below
			list = append(list, storage.Entry{Name: name, Dir: e.dir, Size: e.size()})
		}
		slices.SortStableFunc(list, func(a, b storage.Entry) int { return strings.Compare(a.Name, b.Name) })
		return nil
	}, func(err error) { done(list, err) })
}

// Remove is part of [storage.FS].
func (x *shadow) Remove(s clock.Strand, name string, done func(error)) {
	// Whether a directory is empty can be told when it is listed.
	x.enqueue(s, "remove", []string{name}, true, func(then func(error)) {
		n, err := x.find(name)
		switch {
		case err != nil:
			then(err)
		case n.dir && n.entries == nil:
			x.disk.List(s, n.origin, func(entries []storage.Entry, err error) {
				if err == nil && len(entries) > 0 {
					err = storage.ErrNotEmpty
				}
				if err == nil {
					x.unlink(name)
				}
				then(err)
			})
		case n.dir && len(n.entries) > 0:
			then(storage.ErrNotEmpty)
		default:
			x.unlink(name)
			then(nil)
		}
	}, done)
}

func (x *shadow) unlink(name string) {
	parent, _ := x.findDir(path.Dir(name))
	delete(parent.entries, path.Base(name))
}

// Rename is part of [storage.FS].
func (x *shadow) Rename(s clock.Strand, from, to string, done func(error)) {
	x.do(s, "rename", []string{from, to}, true, func() error {
		n, err := x.find(from)
		if err != nil {
			return err
		}
		parent, err := x.findDir(path.Dir(to))
		if err != nil {
			return err
		}
		old := parent.entries[path.Base(to)]
		switch {
		case old == n:
			return nil
		case n.dir && strings.HasPrefix(to, from+"/"):
			return fmt.Errorf("%w: it is inside of what is renamed", storage.ErrName)
		case old != nil && old.dir != n.dir:
			return storage.ErrKind
		case old != nil && old.dir:
			return storage.ErrExist
		}
		x.unlink(from)
		parent.entries[path.Base(to)] = n
		return nil
	}, done)
}

// Open is part of [storage.FS].
func (x *shadow) Open(s clock.Strand, name string, flags storage.OpenFlag, done func(storage.File, error)) {
	var f *shadowFile
	x.enqueue(s, "open", []string{name}, true, func(then func(error)) {
		n, err := x.inodeFor(name, flags)
		if err != nil {
			then(err)
			return
		}
		f = &shadowFile{n: n, name: name, readOnly: flags&storage.ReadOnly != 0}
		n.handles++
		if n.origin == "" || n.file != nil || n.kept == 0 {
			then(nil)
			return
		}
		x.disk.Open(s, n.origin, storage.ReadOnly, func(g storage.File, err error) {
			if n.file = g; err != nil {
				n.file = nil
				n.handles--
			}
			then(err)
		})
	}, func(err error) {
		if err != nil {
			done(nil, err)
			return
		}
		done(f, nil)
	})
}

// inodeFor finds or makes what is opened.
func (x *shadow) inodeFor(name string, flags storage.OpenFlag) (*inode, error) {
	parent, err := x.findDir(path.Dir(name))
	if err != nil {
		return nil, err
	}
	n := parent.entries[path.Base(name)]
	switch {
	case n == nil && flags&storage.Create == 0:
		return nil, storage.ErrNotExist
	case n == nil:
		n = &inode{}
		parent.entries[path.Base(name)] = n
	case n.dir:
		return nil, storage.ErrKind
	case flags&storage.Create != 0 && flags&storage.Exclusive != 0:
		return nil, storage.ErrExist
	}
	if flags&storage.Empty != 0 && flags&storage.ReadOnly == 0 {
		n.truncate(0)
	}
	return n, nil
}
