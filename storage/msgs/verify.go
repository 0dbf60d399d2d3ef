package msgs

import (
	"slices"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// Verify reads everything that a manifest needs and changes nothing. It fails as [OpenFile] does; what is damaged is
// in the report. done is called on s.
func Verify(fs storage.FS, s clock.Strand, dir string, manifest []byte, o Options, done func(*Report, error)) {
	v := &verifier{done: done}
	p := newOpening(fs, s, dir, o, v.opened)
	p.d.offline = true
	p.start(manifest)
}

// verifier reads the content of every block of an open store.
type verifier struct {
	st     *store
	report *Report
	done   func(*Report, error)
	block  int
	frame  int
}

func (v *verifier) opened(st *store, r *Report, err error) {
	if err != nil {
		v.done(r, err)
		return
	}
	v.st, v.report = st, r
	v.readHeader()
}

// readHeader begins with the next block.
func (v *verifier) readHeader() {
	if v.block < len(v.st.blocks) && v.st.blocks[v.block].disk == nil {
		v.block++
	}
	if v.block >= len(v.st.blocks) {
		v.finish()
		return
	}
	v.frame = 0
	p := make([]byte, fileHeaderLen)
	k := v.st.blocks[v.block].disk
	k.file.read(p, 0, func(n int, err error) {
		h, bad := decodeFileHeader(p[:n])
		switch {
		case err != nil && n < len(p):
			bad = err
		case bad == nil:
			bad = h.check(blockMagic, v.st.disk.o.Identity, k.file.number)
		}
		if bad != nil {
			v.damage(k.file.name, 0, bad)
		}
		v.readFrame()
	})
}

// readFrame reads the next frame of the block.
func (v *verifier) readFrame() {
	b := v.st.blocks[v.block]
	for v.frame < len(b.frames) && b.frames[v.frame].own != nil {
		v.frame++ // it was in the manifest
	}
	if v.frame == len(b.frames) {
		b.disk.file.rest()
		v.block++
		v.readHeader()
		return
	}
	l := v.st.disk.load(b, b.frames[v.frame])
	l.then = append(l.then, v.judge)
}

func (v *verifier) judge(p []byte, bad []int) {
	b := v.st.blocks[v.block]
	f := b.frames[v.frame]
	v.frame++
	for _, i := range bad {
		e := b.entry(i)
		off := f.place.off
		if !b.disk.framed {
			off += int64(e.off - f.off)
		}
		err := errRecordSum
		if p == nil {
			err = errSum
		}
		v.damage(b.disk.file.name, off, err)
		v.report.Lost = append(v.report.Lost, b.seq(i))
	}
	v.st.disk.cache.drop(f)
	v.readFrame()
}

// damage reports a place, once.
func (v *verifier) damage(name string, off int64, err error) {
	for _, d := range v.report.Damage {
		if d.File == name && d.Offset == off {
			return
		}
	}
	v.report.damage(name, off, err)
}

func (v *verifier) finish() {
	slices.Sort(v.report.Lost)
	v.report.Lost = slices.Compact(v.report.Lost)
	v.st.Close()
	v.done(v.report, nil)
}
