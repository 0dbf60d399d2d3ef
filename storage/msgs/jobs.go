package msgs

import (
	"errors"
	"path"
	"slices"

	"github.com/lockstepmq/lockstep/storage"
)

// job is one step of writing. Jobs are done one after another, in order.
type job struct {
	file  *file
	data  []byte
	at    int64  // where data overwrites; -1: behind the end
	raw   []byte // records without checksums, instead of data
	seed  uint32 // of their checksums
	frame *frame // whose content it is
	out   bool   // hand it to the system
	sync  bool   // make everything before it durable
	point *checkpoint
	gone  bool // remove the file
}

// checkpoint is one that waits for its turn.
type checkpoint struct {
	manifest []byte
	done     func([]byte, error)
}

// write appends p, which is given away, to a file.
func (d *disk) write(f *file, p []byte, fr *frame) {
	f.size += int64(len(p))
	d.queued += int64(len(p))
	d.add(job{file: f, data: p, at: -1, frame: fr})
}

func (d *disk) writeOut(f *file) { d.add(job{file: f, out: true}) }

func (d *disk) add(j job) {
	switch {
	case d.failed != nil:
		return
	case j.gone && d.short.paused && !slices.ContainsFunc(d.jobs, j.sameFile):
		d.unlink(j.file) // that makes room
		return
	}
	d.jobs = append(d.jobs, j)
	d.run()
}

// aheadMax is how many bytes are handed to a file before it has to pass them on to the system.
const aheadMax = 256 << 10

func (j *job) sameFile(o job) bool { return o.file == j.file }

// run does jobs until one has to wait for the disk.
func (d *disk) run() {
	if d.running || d.short.paused {
		return
	}
	d.running = true
	for len(d.jobs) > 0 || d.short.full && d.confirm() {
		j := d.jobs[0]
		switch {
		case j.file != nil && j.file.f == nil && !j.gone:
			d.names = d.names || !j.file.made
			j.file.open(d.resumeOpen)
			return
		case j.sync || j.point != nil:
			d.syncDirty()
			return
		case j.out || d.ahead >= aheadMax && j.file.f != nil:
			if j.out {
				d.pop()
			}
			d.passOn(j.file)
			return
		}
		d.pop()
		if err := d.do(j); err != nil {
			d.stop(err, j.file)
			return
		}
	}
	d.running = false
	if d.short.full {
		d.hasRoom()
	}
}

// stop ends writing, for good unless files, whose writes failed, only found no space.
func (d *disk) stop(err error, files ...*file) {
	d.running = false
	switch {
	case d.failed != nil:
	case errors.Is(err, storage.ErrFull):
		d.wait(err, files)
	default:
		d.fail(err)
	}
}

func (d *disk) pop() job {
	j := d.jobs[0]
	d.jobs[0] = job{}
	d.jobs = d.jobs[1:]
	return j
}

// passOn has a file give what it buffers to the system, and goes on then.
func (d *disk) passOn(f *file) {
	d.ahead, d.passing = 0, f
	f.busy++
	f.f.WriteOut(d.st.strand, d.passedOn)
}

func (d *disk) passedOn(err error) {
	d.passing.busy--
	if err != nil {
		d.stop(err, d.passing)
		return
	}
	d.settle(d.passing)
	d.running = false
	d.run()
}

// resumeOpen goes on when a file is open.
func (d *disk) resumeOpen(_ storage.File, err error) {
	if err != nil {
		d.stop(err)
		return
	}
	d.running = false
	d.run()
}

// do does a job that does not wait. What it hands to a file is kept until the system has it: a disk that is full takes
// it later.
func (d *disk) do(j job) error {
	f := j.file
	if j.gone {
		d.unlink(f)
		return nil
	}
	p := j.data
	if j.raw != nil {
		p = sealRecords(append(d.buffer(), j.raw...), j.seed, j.frame.off)
	}
	d.queued -= j.size()
	d.written += int64(len(p))
	d.ahead += len(p)
	if !f.dirty {
		f.dirty = true
		d.dirty = append(d.dirty, f)
	}
	if j.at >= 0 && j.at+int64(len(p)) > f.f.Size() {
		return nil // the file lost its end: there is nothing to overwrite
	}
	d.hand(f, j)
	if j.at >= 0 {
		return f.f.WriteAt(p, j.at)
	}
	if f.cut >= 0 {
		if err := f.f.Truncate(f.cut); err != nil {
			return err
		}
		f.cut = -1
	}
	_, err := f.f.Append(p)
	if j.raw != nil {
		d.reuse(p)
	}
	return err
}

// hand notes that a job is handed to its file.
func (d *disk) hand(f *file, j job) {
	if f.handed == 0 {
		if f.sound = f.f.Size(); f.cut >= 0 {
			f.sound = f.cut
		}
	}
	f.handed++
	d.handed = append(d.handed, j)
}

// settle lets go of what was handed to a file, which gave all of it to the system.
func (d *disk) settle(f *file) {
	if f.handed == 0 || d.failed != nil {
		return
	}
	f.handed = 0
	d.handed = slices.DeleteFunc(d.handed, func(j job) bool {
		if j.file == f {
			d.settled(j.frame)
			d.reuse(j.data)
		}
		return j.file == f
	})
}

// size is how many bytes of [disk.queued] the job is.
func (j *job) size() int64 { return int64(len(j.data) + len(j.raw)) }

// settled lets the cache have the content of a frame that its file has.
func (d *disk) settled(f *frame) {
	if f == nil {
		return
	}
	if f.own != nil {
		p := clipped(f.own)
		f.own = nil
		d.cache.putWritten(f, p)
	}
}

// reuse keeps a buffer for the next frame.
func (d *disk) reuse(p []byte) {
	if cap(p) > cap(d.spare) && cap(p) <= 4*frameBytes {
		d.spare = p[:0]
	}
}

// syncDirty makes what was written durable, then the names.
func (d *disk) syncDirty() {
	for _, f := range d.dirty {
		if f.f == nil { // it was closed when it took nothing more
			f.open(d.resumeOpen)
			return
		}
	}
	files := d.dirty
	d.dirty = nil
	waiting := len(files)
	if waiting == 0 {
		d.syncNames()
		return
	}
	var failed, full error
	for _, f := range files {
		f.busy++
		f.f.Sync(d.st.strand, func(err error) {
			f.busy--
			switch {
			case err == nil:
				f.dirty = false
				d.settle(f)
			case f.outOfSpace(err):
				d.dirty, full = append(d.dirty, f), err
			case failed == nil:
				failed = err
			}
			if f.sealed {
				f.rest() // an open file has buffers
			}
			switch waiting--; {
			case waiting > 0:
			case failed == nil && full != nil:
				d.stop(full, d.dirty...)
			default:
				d.synced(failed)
			}
		})
	}
}

func (d *disk) synced(err error) {
	switch {
	case d.failed != nil:
		d.running = false
	case err != nil:
		d.running = false
		d.fail(err)
	default:
		d.syncNames()
	}
}

func (d *disk) syncNames() {
	switch {
	case d.names:
		d.names = false
		d.fs.SyncDir(d.st.strand, d.dir, d.synced)
	case d.parent:
		d.parent = false
		d.fs.SyncDir(d.st.strand, path.Dir(d.dir), d.synced)
	default:
		d.passed()
	}
}

// passed ends the job that everything before was to be made durable for.
func (d *disk) passed() {
	j := d.pop()
	d.running = false
	if j.point != nil {
		d.points = d.points[1:]
		d.st.strand.Post(func() { j.point.done(j.point.manifest, nil) })
		d.startCompaction()
	}
	d.run()
}

// garbage is a file that manifests up to a serial need.
type garbage struct {
	file   *file
	needed uint64
	shred  bool // its content has to be overwritten
}

// abandon lets go of a block whose messages are all gone.
func (d *disk) abandon(b *block) {
	for _, f := range b.frames {
		if f.own == nil {
			d.cache.drop(f)
		}
		f.own = nil
	}
	b.live = 0
	if b.disk == nil {
		return
	}
	f := b.disk.file
	d.garbage = append(d.garbage, garbage{f, d.serial, b.disk.scrub})
	if len(d.points) == 0 && !d.running {
		d.jobs = slices.DeleteFunc(d.jobs, func(j job) bool {
			drop := j.file == f && j.at < 0 // what is to be overwritten still is
			if drop {
				d.queued -= j.size()
			}
			return drop
		})
	}
}

// release removes what only manifests before this one need.
func (d *disk) release(manifest []byte) {
	serial, ok := manifestSerial(manifest)
	if !ok || d.failed != nil {
		return
	}
	d.durable = max(d.durable, serial)
	d.collect()
}

// collect removes what neither the manifest that is known to be durable, nor any later one, nor a reader needs.
func (d *disk) collect() {
	if d.failed != nil || d.durable == 0 {
		return
	}
	d.eraseDue()
	kept := d.garbage[:0]
	for _, g := range d.garbage {
		if g.needed >= d.durable || d.needed(g.needed) {
			kept = append(kept, g)
			continue
		}
		if g.shred {
			d.shred(g.file)
		}
		d.add(job{file: g.file, gone: true})
	}
	d.garbage = kept
}

// unlink removes a file.
func (d *disk) unlink(f *file) {
	exists := f.made && !f.absent
	d.settle(f)
	f.close()
	d.dirty = slices.DeleteFunc(d.dirty, func(g *file) bool { return g == f })
	if !exists {
		return
	}
	d.fs.Remove(d.st.strand, f.name, func(err error) {
		if err != nil && d.failed == nil && !isNotExist(err) {
			// It stays until the next release.
			g := d.newFile(f.number, path.Ext(f.name))
			g.made = true
			d.garbage = append(d.garbage, garbage{g, 0, false})
		}
	})
}
