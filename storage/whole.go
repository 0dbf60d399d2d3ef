package storage

import (
	"fmt"

	"github.com/lockstepmq/lockstep/clock"
)

// freshSuffix is what a file is called until it is complete.
const freshSuffix = ".new"

// replacing is a file on its way to being replaced.
type replacing struct {
	fs      FS
	s       clock.Strand
	name    string
	content []byte
	done    func(error)
	file    File
}

// ReplaceFile gives a file this content: after a crash it has either all of it or what it had
// before. Its directory must exist. When done is called without an error, content and name are
// durable.
func ReplaceFile(fs FS, s clock.Strand, name string, content []byte, done func(error)) {
	r := &replacing{fs: fs, s: s, name: name, content: content, done: done}
	fs.Open(s, name+freshSuffix, Create|Empty, r.opened)
}

func (r *replacing) opened(f File, err error) {
	if err != nil {
		r.done(err)
		return
	}
	r.file = f
	if _, err := f.Append(r.content); err != nil {
		r.synced(err)
		return
	}
	f.Sync(r.s, r.synced)
}

func (r *replacing) synced(err error) {
	r.file.Close()
	if err != nil {
		r.done(err)
		return
	}
	r.fs.Rename(r.s, r.name+freshSuffix, r.name, r.renamed)
}

func (r *replacing) renamed(err error) {
	if err != nil {
		r.done(err)
		return
	}
	r.fs.SyncDir(r.s, dirOf(r.name), r.done)
}

// ReadFile reads a whole file of at most limit bytes.
func ReadFile(fs FS, s clock.Strand, name string, limit int, done func([]byte, error)) {
	fs.Open(s, name, ReadOnly, func(f File, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		readWhole(f, s, limit, done)
	})
}

func readWhole(f File, s clock.Strand, limit int, done func([]byte, error)) {
	if f.Size() > int64(limit) {
		f.Close()
		done(nil, &OpError{"read", f.Name(), fmt.Errorf("the file has %d bytes, more than %d", f.Size(), limit)})
		return
	}
	p := make([]byte, f.Size())
	f.ReadAt(s, p, 0, func(n int, err error) {
		f.Close()
		if n == len(p) {
			err = nil
		}
		done(p[:n], err)
	})
}
