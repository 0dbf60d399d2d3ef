// Package storage is the door to disks.
//
// It owns [FS] and [File]; [Real] implements them over a directory of the
// machine, and [SimFS] over a [SimDisk] that loses power, tears, rots and lies
// from a seed. On top stands [Journal], a small checksummed append log.
//
// Slow operations are asynchronous: they take a strand and call done on it,
// once, later. What the process holds in memory is synchronous. No strand ever
// waits for a disk. Nothing here runs on a strand of its own; a [Journal]
// belongs to the strand it was opened with.
package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"github.com/lockstepmq/lockstep/clock"
)

// Errors of operations. They arrive wrapped in an [OpError]; ask with errors.Is.
var (
	// ErrFull: the disk has no space left, or the quota is spent.
	ErrFull = errors.New("disk full")
	// ErrIO: the disk failed to read, write or sync.
	ErrIO = errors.New("input/output error")
	// ErrNotExist: no such file or directory.
	ErrNotExist = errors.New("does not exist")
	// ErrExist: the name is taken.
	ErrExist = errors.New("exists already")
	// ErrNotEmpty: a directory to be removed still has entries.
	ErrNotEmpty = errors.New("directory not empty")
	// ErrKind: a directory where a file is wanted, a file where a directory is,
	// or a symbolic link, which no store follows.
	ErrKind = errors.New("wrong kind of file")
	// ErrName: the name is not a clean relative path inside the root.
	ErrName = errors.New("invalid name")
	// ErrReadOnly: the file was opened with ReadOnly.
	ErrReadOnly = errors.New("opened read-only")
	// ErrClosed: the file or the file system was closed before.
	ErrClosed = errors.New("closed")
	// ErrFenced: an earlier write or sync failed, so nothing written here since is
	// trusted and nothing more is accepted.
	ErrFenced = errors.New("fenced after a failed write or sync")
)

// OpError says which operation failed, on which name, and why.
type OpError struct {
	Op   string // "open", "write", "sync", ...
	Name string
	Err  error // wraps one of the sentinels above, or what the system said
}

func (e *OpError) Error() string { return fmt.Sprintf("%s %q: %v", e.Op, e.Name, e.Err) }
func (e *OpError) Unwrap() error { return e.Err }

// DamageError says which bytes of a file cannot be trusted although they were
// durable once. Damage is not absence: whoever meets it neither truncates nor
// deletes.
type DamageError struct {
	File   string
	Offset int64 // of the first bad structure, in bytes
	Err    error
}

func (e *DamageError) Error() string {
	return fmt.Sprintf("%q is damaged at offset %d: %v", e.File, e.Offset, e.Err)
}
func (e *DamageError) Unwrap() error { return e.Err }

// OpenFlag says how to open a file. The zero value opens an existing one for
// reading and writing.
type OpenFlag uint8

const (
	// Create makes the file when it does not exist.
	Create OpenFlag = 1 << iota
	// Exclusive, with Create, fails with ErrExist when it does.
	Exclusive
	// Empty cuts an existing file to length 0, which is durable when synced.
	Empty
	// ReadOnly refuses every change through this File.
	ReadOnly
)

// Entry is one name in a directory.
type Entry struct {
	Name string // without its directory
	Dir  bool
	Size int64 // of a file, in bytes, as handed to the system so far
}

// FS is one store's directory tree. Names are relative, slash-separated, clean
// paths ("streams/ORDERS/1.blk"); "." is the root. Methods may be called from
// any strand, and done is called on s.
//
// # What is durable when
//
// A created, renamed or removed name is durable once a SyncDir of its directory,
// called after the change completed, has succeeded, provided that the
// directory's own name is durable. Until then power loss may undo any subset of
// the changes, in any order; a crash of the process undoes none that completed.
// A rename inside one directory is atomic. Between two directories power loss
// may leave both names, never neither.
//
// A file's bytes and length are another matter: see [File].
//
// Operations on names take effect in the order of their calls.
type FS interface {
	// Open opens the file. ErrNotExist without Create, ErrExist with Exclusive,
	// ErrKind for a directory. One file may be open several times, but only one
	// File may change it; the others see what that one has written out, and keep
	// the Size of their opening.
	Open(s clock.Strand, name string, flags OpenFlag, done func(File, error))
	// Rename moves a file or directory to a name in an existing directory. A file
	// replaces a file of that name; a directory replaces nothing (ErrExist). Open
	// files stay open.
	Rename(s clock.Strand, from, to string, done func(error))
	// Remove removes a file, or an empty directory. A file that is open lives
	// until it is closed.
	Remove(s clock.Strand, name string, done func(error))
	// List gives the entries of a directory sorted by name.
	List(s clock.Strand, dir string, done func([]Entry, error))
	// Mkdir makes one directory; its parent must exist.
	Mkdir(s clock.Strand, dir string, done func(error))
	// SyncDir makes the names in a directory durable, not what they name. After
	// a failure it is unknown which are.
	SyncDir(s clock.Strand, dir string, done func(error))
}

// File is an open file. Methods may be called from any strand, one at a time.
//
// # What survives
//
//	Append, WriteAt, Truncate   nothing: they change the process's buffer
//	WriteOut has succeeded      a crash of the process
//	Sync has succeeded          loss of power: bytes and length, not the name
//
// Before its Sync has succeeded, power loss keeps any subset of the bytes
// written since the last good one, in pieces of any size and in any order, and
// what is not kept may hold the old bytes, zeros or noise. The length may be any
// that the file had since. A crash of the process keeps a prefix of the changes
// since the last WriteOut.
//
// After a failed Sync it is unknown what is durable of all that was changed
// since the last good one, and a later Sync that succeeds says nothing about it:
// fence, never retry. After a failed write, a prefix of it may have been
// written; the File then refuses every later change, WriteOut and Sync with the
// same error.
//
// Operations take effect in the order of their calls: a Sync covers every change
// made before it was called, and a read sees all of them.
type File interface {
	// Name is what the file was opened as.
	Name() string
	// Size is the length in bytes, with everything buffered.
	Size() int64
	// Buffered is the number of bytes not yet handed to the system. Above some
	// bound they are handed over without being asked.
	Buffered() int
	// Append copies p behind the end and tells the offset at which it stands.
	// An error of the disk is told here or by the next WriteOut or Sync,
	// whichever knows first.
	Append(p []byte) (off int64, err error)
	// WriteAt copies p to off, which is at most Size: no holes.
	WriteAt(p []byte, off int64) error
	// Truncate sets the length, which is at most Size.
	Truncate(size int64) error
	// ReadCached fills p from off if memory holds all of it, and tells whether it did.
	ReadCached(p []byte, off int64) bool
	// ReadAt fills p, which is the file's until done. n < len(p) comes with an
	// error: io.EOF at the end of the file. What is written meanwhile may be seen
	// in part.
	ReadAt(s clock.Strand, p []byte, off int64, done func(n int, err error))
	// WriteOut hands what is buffered to the system.
	WriteOut(s clock.Strand, done func(error))
	// Sync makes bytes and length durable.
	Sync(s clock.Strand, done func(error))
	// Close lets go of the file once the operations called before have ended; what
	// is buffered is written out, not synced. It is idempotent. Later calls fail
	// with ErrClosed.
	Close()
}

// checkName accepts clean relative paths. The root itself is a directory only.
func checkName(op, name string) error {
	if !fs.ValidPath(name) {
		return &OpError{op, name, fmt.Errorf("%w: want a clean relative path with slashes", ErrName)}
	}
	return nil
}

// checkEntry accepts what checkName does, but for the root.
func checkEntry(op, name string) error {
	if name == "." {
		return &OpError{op, name, fmt.Errorf("%w: it is the root", ErrName)}
	}
	return checkName(op, name)
}

// checkChange judges the arguments of a change to a file of this size.
func checkChange(op, name string, off, size int64) error {
	if off < 0 || off > size {
		return &OpError{op, name, fmt.Errorf("offset %d is outside 0 to %d", off, size)}
	}
	return nil
}

// dirOf is the directory part of a name.
func dirOf(name string) string { return path.Dir(name) }
