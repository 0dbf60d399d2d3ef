// Package fstest holds what every implementation of storage.FS must do.
//
// It owns one suite of tests, which the real and the simulated disk both pass,
// and blocking calls over the asynchronous ones. It never looks behind the
// interface, so it says nothing about power loss. It runs on the test's
// goroutine; callbacks run on the strand of the [World].
package fstest

import (
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// TB is what the helpers need of a test, rapid's included.
type TB interface {
	require.TestingT
	Helper()
}

// World is a file system with a way to wait for it.
type World struct {
	FS     storage.FS
	Strand clock.Strand
	// Await runs task on the strand, and returns after the done that it gave the
	// task was called.
	Await func(task func(done func()))
}

// Open is FS.Open, waited for.
func (w World) Open(name string, flags storage.OpenFlag) (file storage.File, err error) {
	w.Await(func(done func()) {
		w.FS.Open(w.Strand, name, flags, func(f storage.File, e error) { file, err = f, e; done() })
	})
	return file, err
}

// wait waits for an operation whose only result is an error.
func (w World) wait(op func(done func(error))) (err error) {
	w.Await(func(done func()) { op(func(e error) { err = e; done() }) })
	return err
}

// Rename is FS.Rename, waited for.
func (w World) Rename(from, to string) error {
	return w.wait(func(done func(error)) { w.FS.Rename(w.Strand, from, to, done) })
}

// Remove is FS.Remove, waited for.
func (w World) Remove(name string) error {
	return w.wait(func(done func(error)) { w.FS.Remove(w.Strand, name, done) })
}

// Mkdir is FS.Mkdir, waited for.
func (w World) Mkdir(name string) error {
	return w.wait(func(done func(error)) { w.FS.Mkdir(w.Strand, name, done) })
}

// SyncDir is FS.SyncDir, waited for.
func (w World) SyncDir(name string) error {
	return w.wait(func(done func(error)) { w.FS.SyncDir(w.Strand, name, done) })
}

// List is FS.List, waited for.
func (w World) List(name string) (entries []storage.Entry, err error) {
	w.Await(func(done func()) {
		w.FS.List(w.Strand, name, func(list []storage.Entry, e error) { entries, err = list, e; done() })
	})
	return entries, err
}

// Sync is File.Sync, waited for.
func (w World) Sync(f storage.File) error {
	return w.wait(func(done func(error)) { f.Sync(w.Strand, done) })
}

// WriteOut is File.WriteOut, waited for.
func (w World) WriteOut(f storage.File) error {
	return w.wait(func(done func(error)) { f.WriteOut(w.Strand, done) })
}

// ReadAt is File.ReadAt, waited for.
func (w World) ReadAt(f storage.File, p []byte, off int64) (n int, err error) {
	w.Await(func(done func()) {
		f.ReadAt(w.Strand, p, off, func(got int, e error) { n, err = got, e; done() })
	})
	return n, err
}

// MustOpen fails the test when the file does not open.
func (w World) MustOpen(t TB, name string, flags storage.OpenFlag) storage.File {
	t.Helper()
	f, err := w.Open(name, flags)
	require.NoError(t, err)
	require.NotNil(t, f)
	return f
}

// MustRead fails the test when the file cannot be read as a whole.
func (w World) MustRead(t TB, f storage.File) []byte {
	t.Helper()
	p := make([]byte, f.Size())
	n, err := w.ReadAt(f, p, 0)
	require.NoError(t, err)
	require.Equal(t, len(p), n)
	return p
}

// Names lists the names in a directory, those of directories with a slash.
func (w World) Names(t TB, dir string) []string {
	t.Helper()
	entries, err := w.List(dir)
	require.NoError(t, err)
	names := []string{}
	for _, e := range entries {
		if e.Dir {
			e.Name += "/"
		}
		names = append(names, e.Name)
	}
	return names
}
