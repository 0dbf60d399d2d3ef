package msgs

import (
	"errors"
	"slices"

	"github.com/lockstepmq/lockstep/storage"
)

// erasure is a record that is to be overwritten in its file: once a manifest that does not need
// it any more is durable. Until then every manifest names it.
type erasure struct {
	file   *file
	since  uint64 // the serial of the first manifest that does not need it
	off    int64
	length uint32
	seq    uint64
	time   int64
}

// erase sees to it that the content of a message, which is about to be removed, goes from disk.
func (d *disk) erase(b *block, i int, e entry) {
	f := b.frameOf(e.off)
	if f.own == nil {
		d.cache.drop(f)
	}
	if b.disk == nil || i >= b.disk.slots {
		return // it will never be written
	}
	if b.disk.framed {
		b.disk.scrub = true
		return
	}
	d.erasing = append(d.erasing, erasure{
		b.disk.file, d.serial + 1, fileHeaderLen + int64(e.off), e.length, b.seq(i), e.time,
	})
}

// eraseDue overwrites what no durable manifest needs.
func (d *disk) eraseDue() {
	n := len(d.erasing)
	d.erasing = slices.DeleteFunc(d.erasing, func(x erasure) bool {
		if x.since > d.durable || d.needed(x.since-1) {
			return false
		}
		if !x.file.gone && !x.file.absent {
			p := make([]byte, x.length)
			putRecord(p, x.seq, x.time, flagErased, nil, nil, nil, 0)
			eraseRecord(p, seedOf(d.o.Identity, x.file.number), uint32(x.off-fileHeaderLen))
			d.add(job{file: x.file, data: p, at: x.off})
		}
		return true
	})
	if len(d.erasing) < n {
		d.add(job{sync: true})
	}
}

// shred overwrites a whole file that is about to be removed.
func (d *disk) shred(f *file) {
	if !f.made || f.absent {
		return
	}
	for off := int64(0); off < f.size; off += frameBytes {
		d.add(job{file: f, data: make([]byte, min(frameBytes, f.size-off)), at: off})
	}
	d.add(job{sync: true})
}

func isNotExist(err error) bool { return errors.Is(err, storage.ErrNotExist) }
