package wal

import (
	"bytes"
	"encoding/binary"
	"slices"
)

// scan walks the bytes of one segment. It belongs to a recovery.
//
// What must be there: everything up to the end that the next segment's header names; in the last
// segment, everything up to the known-durable offset of any sound batch header. What is bad there
// is damage. Behind it, the first bad batch ends the log: it was never
// acknowledged as durable, nor was anything that follows. It counts as torn unless nothing but zeros
// follows, which are reserved. Where the file's header is damaged, no end
// is believed.
type scan struct {
	seg      *segment
	name     string
	log      uint64
	header   fileHeader
	headerOK bool
	buf      []byte // of the file, up to limit
	limit    int64
	last     bool
	missing  bool // the file ends before limit
	unread   []span
	vouched  int64 // of the last segment: everything before must be there; 0 is not looked for yet

	// Where the next batch must begin, and what it must continue.
	pos      int64
	number   uint64
	previous uint32
	resync   bool // behind a damaged region, so nothing is known of what to continue

	batches []scanned
	regions []region
	torn    *Torn
	durable int64 // known from the last batch
	closed  bool
}

// span is a range of bytes that cannot be read.
type span struct{ from, to int64 }

// scanned is a batch with a sound header.
type scanned struct {
	batchHeader
	intact bool
}

// region is where it is unknown what was there.
type region struct {
	from, to int64
	err      error
	before   int // batches before it
}

func (s *scan) walk() {
	s.pos = fileHeaderLen
	if !s.headerOK {
		s.resync = true
	}
	for s.pos < s.limit {
		h, err := s.next()
		switch {
		case err == nil:
			s.take(h, true)
		case !s.mustBe(s.pos) && len(bytes.TrimLeft(s.view(s.pos), "\x00")) == 0: // reserved
			return
		case !s.mustBe(s.pos):
			s.torn = &Torn{File: s.name, Offset: s.pos, Bytes: s.limit - s.pos, Err: err}
			return
		case h.number > 0:
			s.take(h, false)
		default:
			s.skip(err)
		}
	}
	if s.missing {
		s.regions = append(s.regions, region{int64(len(s.buf)), s.limit, errShort, len(s.batches)})
	}
}

// next is the batch at pos. With an error, its number is not 0 when its header is sound.
func (s *scan) next() (h batchHeader, err error) {
	h, ok := parseBatchHeader(s.view(s.pos), s.log)
	switch {
	case !ok || h.segment != s.seg.number || h.offset != s.pos:
		return batchHeader{}, errHeader
	case s.pos+h.size() > int64(len(s.buf)):
		return batchHeader{}, errShort
	case !s.resync && (h.number != s.number || h.previous != s.previous), s.resync && h.number < s.number:
		return batchHeader{}, errChain
	}
	if !h.intact(s.body(&h), s.log) {
		return h, errChecksum
	}
	return h, nil
}

func (s *scan) view(pos int64) []byte { return s.buf[min(pos, int64(len(s.buf))):] }

func (s *scan) body(h *batchHeader) []byte {
	return s.buf[h.offset+batchHeaderLen : h.offset+h.size()]
}

// take goes on behind a batch.
func (s *scan) take(h batchHeader, intact bool) {
	s.batches = append(s.batches, scanned{h, intact})
	s.pos = h.offset + h.size()
	s.number, s.previous, s.resync = h.number+1, h.sum, false
	s.durable = max(s.durable, h.durable)
	s.closed = h.flags&flagClosed != 0
}

// mustBe tells whether what stands at pos was durable once.
func (s *scan) mustBe(pos int64) bool {
	if !s.last || !s.headerOK { // a header is there before anything else, so more than it is damaged
		return true
	}
	if s.vouched == 0 {
		s.vouched = fileHeaderLen
		for at := pos; at+batchHeaderLen <= int64(len(s.buf)); at += 8 {
			if h, ok := s.headerAt(at); ok {
				s.vouched = max(s.vouched, h.durable)
			}
		}
	}
	return s.vouched > pos || slices.ContainsFunc(s.unread, func(u span) bool { return u.to > pos })
}

// headerAt looks for a sound batch header.
func (s *scan) headerAt(at int64) (batchHeader, bool) {
	if binary.LittleEndian.Uint32(s.buf[at+4:]) != batchMagic {
		return batchHeader{}, false
	}
	h, ok := parseBatchHeader(s.buf[at:], s.log)
	return h, ok && h.segment == s.seg.number && h.offset == at
}

// skip looks for the next batch behind a damaged region.
func (s *scan) skip(err error) {
	from := s.pos
	for s.pos += 8; s.pos+batchHeaderLen <= int64(len(s.buf)); s.pos += 8 {
		if h, ok := s.headerAt(s.pos); ok && h.number >= s.number && s.pos+h.size() <= int64(len(s.buf)) {
			s.resync = true
			s.region(from, s.pos, err)
			return
		}
	}
	s.pos = s.limit
	s.missing = false // the region covers that
	s.region(from, s.limit, err)
}

func (s *scan) region(from, to int64, err error) {
	s.regions = append(s.regions, region{from, to, err, len(s.batches)})
}
