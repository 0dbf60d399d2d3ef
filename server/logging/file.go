//lockstep:exempt writes, rotates and purges log files
package logging

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

const (
	logMode      = 0o640
	backupSuffix = ".2006.01.02.15.04.05.000000000"
)

// FileOptions says how a log file is kept.
type FileOptions struct {
	Path string
	Form Form
	// SizeMax is how many bytes a file may get before it is renamed; 0 is no limit.
	SizeMax int64
	// FilesMax is how many files to keep, the current one included; 0 is all.
	FilesMax int64
}

// FileLogger writes lines to a file that rotates.
type FileLogger struct {
	levels
	o *fileSink
}

type fileSink struct {
	mu   sync.Mutex
	opts FileOptions
	now  func() time.Time
	file *os.File // nil once closed, or while it could not be opened again
	size int64
	line []byte
}

// NewFile returns a logger that appends to the file o.Path, which it makes if need be,
// readable by owner and group.
func NewFile(o FileOptions) (*FileLogger, error) {
	f := &fileSink{opts: o, now: time.Now}
	if err := f.open(); err != nil {
		return nil, fmt.Errorf("error opening file: %w", err)
	}
	return &FileLogger{levels{f}, f}, nil
}

// open opens the path for appending; mu is held, or f is not shared yet.
func (f *fileSink) open() error {
	file, err := os.OpenFile(f.opts.Path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, logMode)
	if err != nil {
		return err
	}
	info, err := file.Stat()
	if err != nil {
		file.Close()
		return err
	}
	f.file, f.size = file, info.Size()
	return nil
}

func (f *fileSink) log(level Level, format string, v []any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return
	}
	f.write(level, format, v)
	if f.opts.SizeMax > 0 && f.size > f.opts.SizeMax {
		f.rotate()
	}
}

// write appends one line; mu is held. A failed write is dropped.
func (f *fileSink) write(level Level, format string, v []any) {
	f.line = f.opts.Form.appendLine(f.line[:0], f.now(), level, format, v)
	n, _ := f.file.Write(f.line)
	f.size += int64(n)
	if cap(f.line) > lineMax {
		f.line = nil
	}
}

// rotate renames the file and starts another; mu is held. What fails is told in the
// file that remains.
func (f *fileSink) rotate() {
	backup := f.opts.Path + f.now().Format(backupSuffix)
	if err := os.Rename(f.opts.Path, backup); err != nil {
		f.write(Error, "Unable to rotate log file %q: %v\r\n", []any{f.opts.Path, err})
		f.size = 0 // try again after another limit's worth, not at every line
		return
	}
	old := f.file
	if err := f.open(); err != nil {
		f.write(Error, "Unable to re-open the log file %q after rotation: %v\r\n", []any{f.opts.Path, err})
		f.size = 0
		return
	}
	old.Close()
	f.write(Info, "Rotated log, backup saved as %q\r\n", []any{backup})
	f.purge()
}

// purge removes the oldest backups beyond FilesMax; mu is held.
func (f *fileSink) purge() {
	if f.opts.FilesMax <= 0 {
		return
	}
	dir, base := filepath.Split(f.opts.Path)
	entries, err := os.ReadDir(filepath.Clean(dir))
	if err != nil {
		f.write(Error, "Unable to list log backups in %q: %v\r\n", []any{dir, err})
		return
	}
	var backups []string // by name, which is by age
	for _, e := range entries {
		stamp, ok := strings.CutPrefix(e.Name(), base)
		if _, err := time.Parse(backupSuffix, stamp); ok && err == nil && e.Type().IsRegular() {
			backups = append(backups, e.Name())
		}
	}
	for int64(len(backups)) > f.opts.FilesMax-1 {
		name := backups[0]
		backups = backups[1:]
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			f.write(Error, "Unable to remove log file %q: %v\r\n", []any{name, err})
			continue
		}
		f.write(Info, "Purged log file %q\r\n", []any{name})
	}
}

// Reopen closes the file and opens its path again, for a program that has moved it
// away. When that fails the logger goes on with the file it had.
func (l *FileLogger) Reopen() error {
	f := l.o
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.file
	if err := f.open(); err != nil {
		return fmt.Errorf("error opening file: %w", err)
	}
	if old != nil {
		old.Close()
	}
	return nil
}

// Close closes the file; later statements are dropped.
func (l *FileLogger) Close() error {
	f := l.o
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return nil
	}
	err := f.file.Close()
	f.file = nil
	return err
}
