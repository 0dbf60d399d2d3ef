package msgs

import (
	"encoding/binary"
	"slices"
)

// subjectFile is where the texts of subject ids are kept, so that starting needs to read no
// message. It is appended to; a later entry for an id replaces the one before. It is written anew
// when most of it is replaced.
//
//	frame  entries: uvarint id, uvarint length, text
type subjectFile struct {
	file    *file // nil: there was nothing to write yet
	codec   codec
	size    int64 // of the file, in bytes
	off     uint32
	entries int
	fresh   []uint32 // ids that were given to a subject since the last checkpoint
}

// subjectFrame is the length at which a frame of entries ends.
const subjectFrame = 256 << 10

// flushSubjects writes what is new, or everything.
func (d *disk) flushSubjects() {
	f := &d.subs
	if len(f.fresh) == 0 {
		return
	}
	ids := f.fresh
	f.fresh = nil
	slices.Sort(ids)
	ids = slices.Compact(ids)
	if f.file == nil || f.entries+len(ids) > 2*d.st.subs.IDs()+1024 {
		d.beginSubjects()
		ids = ids[:0]
		for id := range uint32(d.st.subs.IDs()) {
			ids = append(ids, id)
		}
	}
	d.writeSubjects(ids)
}

// beginSubjects leaves the old file for a new one.
func (d *disk) beginSubjects() {
	f := &d.subs
	if f.file != nil {
		d.garbage = append(d.garbage, garbage{f.file, d.serial, false})
	}
	g := d.nextFile(subjectSuffix)
	*f = subjectFile{file: g, codec: newCodec(&d.o, g.number, d.compression == S2)}
	h := fileHeader{magic: subjectMagic, kind: bodyFramed, identity: d.o.Identity, number: g.number}
	d.write(g, h.encode(), nil)
	f.size = fileHeaderLen
}

func (d *disk) writeSubjects(ids []uint32) {
	var p, text []byte
	for i, id := range ids {
		if text = d.st.subs.AppendText(text[:0], id); len(text) > 0 {
			p = binary.AppendUvarint(p, uint64(id))
			p = binary.AppendUvarint(p, uint64(len(text)))
			p = append(p, text...)
			d.subs.entries++
		}
		if len(p) >= subjectFrame || len(p) > 0 && i == len(ids)-1 {
			q := d.subs.codec.appendFrame(nil, p, d.subs.off, 0)
			d.subs.off += uint32(len(p))
			d.subs.size += int64(len(q))
			d.write(d.subs.file, q, nil)
			p = p[:0]
		}
	}
}

// subjectEntry is the text of an id, and which entry of the file it was.
type subjectEntry struct {
	text  []byte
	order uint32 // 0: there was none
}

// decodeSubjects calls fn for each entry of a frame.
func decodeSubjects(p []byte, fn func(id uint64, text []byte)) error {
	for len(p) > 0 {
		id, n := binary.Uvarint(p)
		if n <= 0 {
			return errContent
		}
		length, m := binary.Uvarint(p[n:])
		if m <= 0 || length == 0 || length > subjectLenMax || int(length) > len(p)-n-m {
			return errContent
		}
		fn(id, p[n+m:][:length:length])
		p = p[n+m+int(length):]
	}
	return nil
}

// subjectIDMax bounds the number of ids that a manifest may speak of.
const subjectIDMax = 1 << 31
