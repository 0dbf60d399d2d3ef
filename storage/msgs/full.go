package msgs

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// shortage is a disk that is full. Nothing was promised of a write that found no space, and no sync failed, so
// nothing is unknown but how much of the write there is. Its file, which refuses everything from then on, is opened anew and cut to
// the length that it had before; then what was handed to it since is written again. Until the disk has
// room it stays in memory, where whoever reads finds it.
type shortage struct {
	full   bool // from the first write that found no space until everything that waited is written
	paused bool // nothing is tried before the timer is due
	pause  time.Duration
	retry  clock.Timer
	cause  error
}

// A full disk is left alone for a while before it is tried again: for longer each time, between these.
const (
	fullPauseMin = 250 * time.Millisecond
	fullPauseMax = 4 * time.Second
)

// writable tells why no checkpoint can be made now.
func (d *disk) writable() error {
	switch {
	case d.failed != nil:
		return d.failed
	case d.short.full:
		return d.short.cause
	}
	return nil
}

// outOfSpace tells whether an error is that of a write that found no space, which leaves everything else as it was, and not
// that of a sync.
func (f *file) outOfSpace(err error) bool {
	if !errors.Is(err, storage.ErrFull) || f.f == nil {
		return false
	}
	_, refused := f.f.Append(nil)
	return errors.Is(refused, storage.ErrFull)
}

// wait puts what was handed to files that found no space back to the front of what is to be done, and tries again
// later. Checkpoints fail, since nobody knows how long that takes.
func (d *disk) wait(err error, files []*file) {
	var again []job
	d.handed = slices.DeleteFunc(d.handed, func(j job) bool {
		if !slices.Contains(files, j.file) {
			return false
		}
		again = append(again, j)
		d.queued += j.size()
		return true
	})
	for _, f := range files {
		if f.handed > 0 {
			f.cut, f.handed = f.sound, 0
		}
		f.letGo()
	}
	d.jobs = append(again, d.jobs...)
	s := &d.short
	s.cause = fmt.Errorf("messages in %q: %w", d.dir, err)
	if !s.full {
		s.full, s.pause = true, fullPauseMin
		d.tellFull(s.cause)
	}
	d.compact = nil
	d.inline = 0 // the last manifest may be one that fails
	d.jobs = slices.DeleteFunc(d.jobs, func(j job) bool { return j.point != nil })
	d.failPoints(s.cause)
	if s.retry == nil {
		s.retry = d.st.strand.NewTimer(d.tryAgain)
	}
	s.paused = true
	s.retry.Reset(s.pause)
	s.pause = min(2*s.pause, fullPauseMax)
	d.makeRoom()
}

// makeRoom removes the files that nothing else waits for.
func (d *disk) makeRoom() {
	var kept []job
	for _, j := range d.jobs {
		if j.gone && !slices.ContainsFunc(kept, j.sameFile) {
			d.unlink(j.file)
			continue
		}
		kept = append(kept, j)
	}
	d.jobs = kept
}

// tryAgain takes up what waits.
func (d *disk) tryAgain() {
	d.short.paused = false
	d.run()
}

// confirm has a file give what it was handed to the system, since only that shows that there is room; it is false when no
// file has anything left.
func (d *disk) confirm() bool {
	if len(d.handed) == 0 {
		return false
	}
	d.jobs = append(d.jobs, job{file: d.handed[0].file, out: true})
	return true
}

// hasRoom ends it.
func (d *disk) hasRoom() {
	d.short.full = false
	d.tellFull(nil)
}

// tellFull tells whoever wants to know, later: a store is in the middle of something.
func (d *disk) tellFull(err error) {
	if tell := d.o.OnFull; tell != nil {
		d.st.strand.Post(func() {
			if !d.st.closed {
				tell(err)
			}
		})
	}
}

func (s *shortage) end() {
	s.full, s.paused = false, false
	if s.retry != nil {
		s.retry.Stop()
	}
}
