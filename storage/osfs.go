//lockstep:exempt the real disk: system calls on a pool of worker goroutines

package storage

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/lockstepmq/lockstep/clock"
)

// workersMax bounds the system calls under way at once, per store.
const workersMax = 8

// Real is a store's directory on the machine. Slow operations run on a small
// pool of goroutines; nothing outside the directory can be reached through it,
// and symbolic links are not followed.
type Real struct {
	root  *os.Root
	pool  pool
	names namesQueue
}

var _ FS = (*Real)(nil)

// OpenReal opens dir, making it and its parents where needed, with permissions
// for the owner alone. It blocks, and is called before a server starts.
func OpenReal(dir string) (*Real, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, &OpError{"mkdir", dir, realError(err)}
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, &OpError{"open", dir, realError(err)}
	}
	r := &Real{root: root}
	r.pool.wake.L = &r.pool.mu
	r.names.pool = &r.pool
	return r, nil
}

// Close waits for the operations called before, those of files included, and
// lets go of the directory. Later calls fail with ErrClosed. It blocks.
func (r *Real) Close() error {
	r.pool.close()
	return r.root.Close()
}

// pool runs jobs on up to workersMax goroutines, first come, first served.
type pool struct {
	mu      sync.Mutex
	wake    sync.Cond // a job came, one ended, or closing
	jobs    []func()
	workers int
	idle    int
	active  int // jobs running
	closing bool
}

// do queues a job. It is false when the pool is closed.
func (p *pool) do(job func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing && p.active == 0 && len(p.jobs) == 0 {
		return false
	}
	p.jobs = append(p.jobs, job)
	if p.idle == 0 && p.workers < workersMax {
		p.workers++
		go p.work()
	}
	if p.closing {
		p.wake.Broadcast()
	} else {
		p.wake.Signal() // only workers wait
	}
	return true
}

func (p *pool) work() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for {
		for len(p.jobs) == 0 {
			if p.closing && p.active == 0 {
				p.workers--
				p.wake.Broadcast()
				return
			}
			p.idle++
			p.wake.Wait()
			p.idle--
		}
		job := p.jobs[0]
		p.jobs[0] = nil
		p.jobs = p.jobs[1:]
		p.active++
		p.mu.Unlock()
		job()
		p.mu.Lock()
		p.active--
		if p.closing {
			p.wake.Broadcast()
		}
	}
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closing = true
	p.wake.Broadcast()
	for p.workers > 0 {
		p.wake.Wait()
	}
}

// namesQueue runs operations on names one after another.
type namesQueue struct {
	pool    *pool
	mu      sync.Mutex
	jobs    []func()
	running bool
}

func (q *namesQueue) do(job func()) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.jobs = append(q.jobs, job)
	if !q.running {
		if !q.pool.do(q.run) {
			q.jobs = nil
			return false
		}
		q.running = true
	}
	return true
}

func (q *namesQueue) run() {
	for {
		q.mu.Lock()
		if len(q.jobs) == 0 {
			q.running = false
			q.mu.Unlock()
			return
		}
		job := q.jobs[0]
		q.jobs = q.jobs[1:]
		q.mu.Unlock()
		job()
	}
}

// onNames queues an operation whose only result is an error.
func (r *Real) onNames(s clock.Strand, op, name string, run func() error, done func(error)) {
	queued := r.names.do(func() {
		var err error
		if e := run(); e != nil {
			err = &OpError{op, name, realError(e)}
		}
		s.Post(func() { done(err) })
	})
	if !queued {
		s.Post(func() { done(&OpError{op, name, ErrClosed}) })
	}
}

// Open implements FS.
func (r *Real) Open(s clock.Strand, name string, flags OpenFlag, done func(File, error)) {
	if err := checkEntry("open", name); err != nil {
		s.Post(func() { done(nil, err) })
		return
	}
	var f *realFile
	r.onNames(s, "open", name, func() (err error) {
		f, err = r.open(name, flags)
		return err
	}, func(err error) {
		if err != nil {
			done(nil, err)
			return
		}
		done(f, nil)
	})
}

func (r *Real) open(name string, flags OpenFlag) (*realFile, error) {
	info, err := r.root.Lstat(name)
	switch {
	case err == nil && flags&(Create|Exclusive) == Create|Exclusive:
		return nil, ErrExist
	case err == nil && !info.Mode().IsRegular():
		return nil, fmt.Errorf("%w: it is a %v, not a regular file", ErrKind, info.Mode().Type())
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	mode := os.O_RDWR
	if flags&ReadOnly != 0 && flags&Create == 0 {
		mode = os.O_RDONLY
	}
	if flags&Create != 0 {
		mode |= os.O_CREATE
	}
	if flags&Exclusive != 0 && flags&Create != 0 {
		mode |= os.O_EXCL
	}
	if flags&Empty != 0 && flags&ReadOnly == 0 {
		mode |= os.O_TRUNC
	}
	sys, err := r.root.OpenFile(name, mode, 0o600)
	if err != nil {
		return nil, err
	}
	if info, err = sys.Stat(); err != nil {
		return nil, errors.Join(err, sys.Close())
	}
	return &realFile{
		pool: &r.pool, sys: sys, name: name,
		size: info.Size(), handed: info.Size(), readOnly: flags&ReadOnly != 0,
	}, nil
}

// Rename implements FS.
func (r *Real) Rename(s clock.Strand, from, to string, done func(error)) {
	for _, name := range [...]string{from, to} {
		if err := checkEntry("rename", name); err != nil {
			s.Post(func() { done(err) })
			return
		}
	}
	r.onNames(s, "rename", from, func() error { return r.rename(from, to) }, func(err error) {
		if err != nil {
			err = fmt.Errorf("to %q: %w", to, err)
		}
		done(err)
	})
}

func (r *Real) rename(from, to string) error {
	src, err := r.root.Lstat(from)
	if err != nil {
		return err
	}
	if src.IsDir() && from != to && strings.HasPrefix(to+"/", from+"/") {
		return fmt.Errorf("%w: a directory cannot move into itself", ErrName)
	}
	dst, err := r.root.Lstat(to)
	switch {
	case err == nil && os.SameFile(src, dst):
		return nil
	case err == nil && src.IsDir() != dst.IsDir():
		return ErrKind
	case err == nil && dst.IsDir():
		return ErrExist
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	}
	return r.root.Rename(from, to)
}

// Remove implements FS.
func (r *Real) Remove(s clock.Strand, name string, done func(error)) {
	if err := checkEntry("remove", name); err != nil {
		s.Post(func() { done(err) })
		return
	}
	r.onNames(s, "remove", name, func() error { return r.root.Remove(name) }, done)
}

// Mkdir implements FS.
func (r *Real) Mkdir(s clock.Strand, name string, done func(error)) {
	if err := checkName("mkdir", name); err != nil {
		s.Post(func() { done(err) })
		return
	}
	r.onNames(s, "mkdir", name, func() error { return r.root.Mkdir(name, 0o700) }, done)
}

// SyncDir implements FS.
func (r *Real) SyncDir(s clock.Strand, name string, done func(error)) {
	if err := checkName("syncdir", name); err != nil {
		s.Post(func() { done(err) })
		return
	}
	r.onNames(s, "syncdir", name, func() error {
		dir, err := r.openDir(name)
		if err != nil {
			return err
		}
		return errors.Join(dir.Sync(), dir.Close())
	}, done)
}

func (r *Real) openDir(name string) (*os.File, error) {
	info, err := r.root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return nil, ErrKind
	}
	return r.root.Open(name)
}

// List implements FS.
func (r *Real) List(s clock.Strand, name string, done func([]Entry, error)) {
	if err := checkName("list", name); err != nil {
		s.Post(func() { done(nil, err) })
		return
	}
	var entries []Entry
	r.onNames(s, "list", name, func() (err error) {
		entries, err = r.list(name)
		return err
	}, func(err error) { done(entries, err) })
}

func (r *Real) list(name string) ([]Entry, error) {
	dir, err := r.openDir(name)
	if err != nil {
		return nil, err
	}
	found, err := dir.ReadDir(-1)
	if err = errors.Join(err, dir.Close()); err != nil {
		return nil, err
	}
	entries := make([]Entry, 0, len(found))
	for _, f := range found {
		e := Entry{Name: f.Name(), Dir: f.IsDir()}
		if !e.Dir {
			info, err := r.root.Lstat(path.Join(name, e.Name))
			if err != nil {
				return nil, err
			}
			e.Size = info.Size()
		}
		entries = append(entries, e)
	}
	slices.SortFunc(entries, func(a, b Entry) int { return cmp.Compare(a.Name, b.Name) })
	return entries, nil
}

// systemErrors are the system's errors by which a caller must choose.
var systemErrors = [...]struct {
	system error
	ours   error
}{
	{syscall.ENOSPC, ErrFull}, {syscall.EDQUOT, ErrFull}, {syscall.EFBIG, ErrFull},
	{syscall.ENOTEMPTY, ErrNotEmpty},
	{syscall.ENOTDIR, ErrKind}, {syscall.EISDIR, ErrKind}, {syscall.ELOOP, ErrKind},
	{syscall.EINVAL, ErrName}, {syscall.ENAMETOOLONG, ErrName},
	{fs.ErrNotExist, ErrNotExist}, {fs.ErrExist, ErrExist}, {fs.ErrClosed, ErrClosed},
}

// realError adds our sentinel to what the system said. What is unknown is an
// input/output error.
func realError(err error) error {
	for _, ours := range [...]error{ErrFull, ErrIO, ErrNotExist, ErrExist, ErrNotEmpty, ErrKind, ErrName, ErrReadOnly, ErrClosed, io.EOF} {
		if errors.Is(err, ours) {
			return err
		}
	}
	for _, e := range systemErrors {
		if errors.Is(err, e.system) {
			return fmt.Errorf("%w: %w", e.ours, err)
		}
	}
	return fmt.Errorf("%w: %w", ErrIO, err)
}
