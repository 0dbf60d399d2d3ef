package storage

import (
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/clock"
)

// SimFS is one process's view of a [SimDisk]. After the process has crashed its
// calls are never answered.
type SimFS struct {
	disk  *SimDisk
	names simQueue
	files []*SimFile // open ones, in the order of opening
	dead  bool
}

var _ FS = (*SimFS)(nil)

// simOp is an operation on its way to the disk. run does it, or the half that a
// crash leaves; reply tells whoever asked.
type simOp struct {
	kind  OpKind
	name  string
	run   func(half bool)
	reply func()
}

// simQueue holds operations that take effect in the order of their calls.
type simQueue struct {
	fs  *SimFS
	ops []simOp
}

func (q *simQueue) add(op simOp) {
	if q.fs.dead {
		return
	}
	q.ops = append(q.ops, op)
	if len(q.ops) == 1 {
		q.start()
	}
}

// start lets the first operation take its time. The event is the world's: a
// disk works on while the machine's processes stand still.
func (q *simQueue) start() {
	d := q.fs.disk
	d.sim.After(d.serviceTime(q.ops[0].kind), nil, clock.KindDisk, q.finish)
}

func (q *simQueue) finish() {
	if q.fs.dead {
		return
	}
	op := q.ops[0]
	q.ops[0] = simOp{}
	q.ops = q.ops[1:]
	if !q.fs.perform(op) {
		return
	}
	if len(q.ops) > 0 {
		q.start()
	}
	op.reply()
}

// perform does one operation, and tells whether the process lived through it.
func (fs *SimFS) perform(op simOp) bool {
	p := fs.disk.begin(op.kind, op.name)
	if p.Stage != CrashBefore {
		op.run(p.Stage == CrashHalf)
	}
	if p.Stage != CrashNever {
		fs.disk.die(p)
		return false
	}
	return !fs.dead
}

// runner is a strand of the simulated clock: it can run a task within the event
// that brings it.
type runner interface{ Run(task func()) }

// deliver calls back on a strand.
func deliver(s clock.Strand, task func()) {
	if r, ok := s.(runner); ok {
		r.Run(task)
		return
	}
	s.Post(task)
}

// onNames queues an operation on names whose only result is an error.
func (fs *SimFS) onNames(s clock.Strand, kind OpKind, name string, run func(half bool) error, done func(error)) {
	var err error
	fs.names.add(simOp{
		kind: kind, name: name,
		run:   func(half bool) { err = run(half) },
		reply: func() { deliver(s, func() { done(wrapOp(kind, name, err)) }) },
	})
}

func wrapOp(kind OpKind, name string, err error) error {
	if err == nil {
		return nil
	}
	return &OpError{kind.String(), name, err}
}

// unlucky decides for an atomic change of names that a crash cuts short.
func (fs *SimFS) unlucky(half bool) bool { return half && fs.disk.crash.IntN(2) == 0 }

// find resolves a name.
func (fs *SimFS) find(name string) (*inode, error) {
	n := fs.disk.root
	if name == "." {
		return n, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if !n.dir {
			return nil, ErrKind
		}
		child := n.names[part]
		if child == nil {
			return nil, ErrNotExist
		}
		n = child
	}
	return n, nil
}

// findDir resolves the directory that a name is in.
func (fs *SimFS) findDir(name string) (*inode, error) {
	n, err := fs.find(dirOf(name))
	if err == nil && !n.dir {
		err = ErrKind
	}
	return n, err
}

// bind notes a change of names, in effect at once and durable later.
func (d *SimDisk) bind(c *nameChange) *nameChange {
	d.seq++
	c.seq = d.seq
	if c.from != "" {
		delete(c.dir.names, c.from)
	}
	if c.add {
		c.dir.names[c.name] = c.node
	} else {
		delete(c.dir.names, c.name)
	}
	c.dir.pending = append(c.dir.pending, c)
	return c
}

// Open implements FS.
func (fs *SimFS) Open(s clock.Strand, name string, flags OpenFlag, done func(File, error)) {
	if err := checkEntry("open", name); err != nil {
		s.Post(func() { done(nil, err) })
		return
	}
	var (
		f   *SimFile
		err error
	)
	fs.names.add(simOp{
		kind: OpOpen, name: name,
		run: func(half bool) {
			if !fs.unlucky(half) {
				f, err = fs.open(name, flags)
			}
		},
		reply: func() {
			deliver(s, func() {
				if err != nil {
					done(nil, wrapOp(OpOpen, name, err))
					return
				}
				done(f, nil)
			})
		},
	})
}

func (fs *SimFS) open(name string, flags OpenFlag) (*SimFile, error) {
	dir, err := fs.findDir(name)
	if err != nil {
		return nil, err
	}
	n := dir.names[path.Base(name)]
	switch {
	case n == nil && flags&Create == 0:
		return nil, ErrNotExist
	case n == nil:
		n = fs.disk.newInode(false)
		fs.disk.bind(&nameChange{dir: dir, add: true, name: path.Base(name), node: n})
	case flags&(Create|Exclusive) == Create|Exclusive:
		return nil, ErrExist
	case n.dir:
		return nil, ErrKind
	}
	if flags&Empty != 0 && flags&ReadOnly == 0 && len(n.mem) > 0 {
		fs.disk.used -= int64(len(n.mem))
		n.write(change{})
	}
	f := &SimFile{fs: fs, node: n, name: name, size: int64(len(n.mem)), readOnly: flags&ReadOnly != 0}
	f.ops.fs = fs
	fs.files = append(fs.files, f)
	return f, nil
}

// Rename implements FS.
func (fs *SimFS) Rename(s clock.Strand, from, to string, done func(error)) {
	for _, name := range [...]string{from, to} {
		if err := checkEntry("rename", name); err != nil {
			s.Post(func() { done(err) })
			return
		}
	}
	fs.onNames(s, OpRename, from, func(half bool) error {
		if fs.unlucky(half) {
			return nil
		}
		return fs.rename(from, to)
	}, func(err error) {
		if err != nil {
			err = fmt.Errorf("to %q: %w", to, err)
		}
		done(err)
	})
}

func (fs *SimFS) rename(from, to string) error {
	src, err := fs.findDir(from)
	if err != nil {
		return err
	}
	dst, err := fs.findDir(to)
	if err != nil {
		return err
	}
	oldName, newName := path.Base(from), path.Base(to)
	n, target := src.names[oldName], dst.names[newName]
	switch {
	case n == nil:
		return ErrNotExist
	case n == target:
		return nil
	case n.dir && strings.HasPrefix(to+"/", from+"/"):
		return fmt.Errorf("%w: a directory cannot move into itself", ErrName)
	case target != nil && target.dir != n.dir:
		return ErrKind
	case target != nil && target.dir:
		return ErrExist
	}
	if target != nil {
		fs.disk.used -= int64(len(target.mem))
	}
	if src == dst {
		fs.disk.bind(&nameChange{dir: src, add: true, name: newName, from: oldName, node: n})
		return nil
	}
	added := fs.disk.bind(&nameChange{dir: dst, add: true, name: newName, node: n})
	fs.disk.bind(&nameChange{dir: src, name: oldName, node: n, pair: added})
	return nil
}

// Remove implements FS.
func (fs *SimFS) Remove(s clock.Strand, name string, done func(error)) {
	if err := checkEntry("remove", name); err != nil {
		s.Post(func() { done(err) })
		return
	}
	fs.onNames(s, OpRemove, name, func(half bool) error {
		if fs.unlucky(half) {
			return nil
		}
		return fs.remove(name)
	}, done)
}

func (fs *SimFS) remove(name string) error {
	dir, err := fs.findDir(name)
	if err != nil {
		return err
	}
	n := dir.names[path.Base(name)]
	switch {
	case n == nil:
		return ErrNotExist
	case len(n.names) > 0:
		return ErrNotEmpty
	}
	fs.disk.used -= int64(len(n.mem))
	fs.disk.bind(&nameChange{dir: dir, name: path.Base(name), node: n})
	return nil
}

// Mkdir implements FS.
func (fs *SimFS) Mkdir(s clock.Strand, name string, done func(error)) {
	if err := checkName("mkdir", name); err != nil {
		s.Post(func() { done(err) })
		return
	}
	fs.onNames(s, OpMkdir, name, func(half bool) error {
		if fs.unlucky(half) {
			return nil
		}
		return fs.mkdir(name)
	}, done)
}

func (fs *SimFS) mkdir(name string) error {
	if name == "." {
		return ErrExist
	}
	dir, err := fs.findDir(name)
	if err != nil {
		return err
	}
	if dir.names[path.Base(name)] != nil {
		return ErrExist
	}
	fs.disk.bind(&nameChange{dir: dir, add: true, name: path.Base(name), node: fs.disk.newInode(true)})
	return nil
}

// List implements FS.
func (fs *SimFS) List(s clock.Strand, name string, done func([]Entry, error)) {
	if err := checkName("list", name); err != nil {
		s.Post(func() { done(nil, err) })
		return
	}
	var (
		entries []Entry
		err     error
	)
	fs.names.add(simOp{
		kind: OpList, name: name,
		run:   func(bool) { entries, err = fs.list(name) },
		reply: func() { deliver(s, func() { done(entries, wrapOp(OpList, name, err)) }) },
	})
}

func (fs *SimFS) list(name string) ([]Entry, error) {
	n, err := fs.find(name)
	if err != nil {
		return nil, err
	}
	if !n.dir {
		return nil, ErrKind
	}
	if fs.disk.chance(fs.disk.errors, fs.disk.faults.ReadError) {
		fs.disk.count(FaultReadError, n.id)
		return nil, ErrIO
	}
	entries := make([]Entry, 0, len(n.names))
	for _, child := range slices.Sorted(maps.Keys(n.names)) {
		c := n.names[child]
		entries = append(entries, Entry{Name: child, Dir: c.dir, Size: int64(len(c.mem))})
	}
	return entries, nil
}

// SyncDir implements FS.
func (fs *SimFS) SyncDir(s clock.Strand, name string, done func(error)) {
	if err := checkName("syncdir", name); err != nil {
		s.Post(func() { done(err) })
		return
	}
	fs.onNames(s, OpSyncDir, name, func(half bool) error { return fs.syncDir(name, half) }, done)
}

func (fs *SimFS) syncDir(name string, half bool) error {
	n, err := fs.find(name)
	if err != nil {
		return err
	}
	if !n.dir {
		return ErrKind
	}
	d := fs.disk
	switch {
	case half:
		n.syncNames(func() bool { return d.crash.IntN(2) == 0 })
	case d.chance(d.errors, d.faults.SyncError):
		d.count(FaultSyncError, n.id)
		n.syncNames(func() bool { return d.errors.IntN(2) == 0 })
		return ErrIO // the other names stay unsynced, as file systems with a journal have it
	default:
		n.syncNames(always)
	}
	return nil
}
