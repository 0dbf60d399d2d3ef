package wal

import (
	"hash/crc32"
	"path"
	"slices"

	"github.com/lockstepmq/lockstep/storage"
)

// repeat builds the content of the new segment. A nil repeat builds nothing.
type repeat struct {
	log      uint64
	seg      *segment
	content  []byte // of the file
	number   uint64 // of the next batch
	previous uint32
	h        batchHeader
	at       int // of the batch under way
}

// begin reserves space for a batch header.
func (p *repeat) begin() {
	if p == nil {
		return
	}
	p.at = len(p.content)
	p.h = batchHeader{
		previous: p.previous, segment: p.seg.number, number: p.number,
		offset: int64(p.at), durable: fileHeaderLen,
	}
	p.content = append(p.content, make([]byte, batchHeaderLen)...)
}

// add copies a chunk, and tells its place.
func (p *repeat) add(c *chunkHeader, records []byte) int64 {
	off := len(p.content)
	p.content = append(p.content, make([]byte, chunkHeaderLen)...)
	p.content = append(p.content, records...)
	for len(p.content)%8 != 0 {
		p.content = append(p.content, 0)
	}
	header := p.content[off : off+chunkHeaderLen]
	c.put(header, p.log, p.number)
	p.h.chunkSum = crc32.Update(p.h.chunkSum, castagnoli, header)
	p.h.chunks++
	return int64(off)
}

// end completes a batch; an empty one is left out.
func (p *repeat) end() {
	if p == nil {
		return
	}
	if p.h.chunks == 0 {
		p.content = p.content[:p.at]
		return
	}
	p.h.body = uint32(len(p.content) - p.at - batchHeaderLen)
	p.h.put(p.content[p.at:], p.log)
	p.number++
	p.previous = p.h.sum
}

// newRepeat begins the content of a segment with its header.
func newRepeat(log uint64, seg *segment, h *fileHeader) *repeat {
	p := &repeat{log: log, seg: seg, number: h.first}
	p.content, p.previous = h.encode()
	seg.sum = p.previous
	return p
}

// census adds a batch with a census.
func (p *repeat) census(groups []*groupState, unknown bool) {
	p.begin()
	h, records := census(groups, unknown)
	p.add(&h, records)
	p.end()
}

// finish takes in the last segment, and makes the one to write to.
func (r *recovery) finish(s *scan) {
	r.report.Torn = s.torn
	r.report.Clean = s.closed && s.torn == nil
	joined := max(s.durable, fileHeaderLen)
	stay := 0
	for stay < len(s.batches) && s.batches[stay].offset < joined {
		stay++
	}
	r.peekTrims(s)
	h, replaces := r.nextHeader(s, stay, joined)
	into := newRepeat(r.l.id, &segment{number: h.segment}, &h)
	s.seg.size = joined
	if replaces {
		r.takeIn(s, 0, stay, into)
	} else {
		r.takeIn(s, 0, stay, nil)
	}
	r.takeIn(s, stay, len(s.batches), into)
	r.judge(into)
	into.census(r.order, r.unknown)
	r.l.make(segmentFile(h.segment), into.content, func(f storage.File, err error) {
		if err != nil {
			r.fail(err)
			return
		}
		r.opened(f, into, replaces)
	})
}

// nextHeader is the header of the segment to write to. It takes the place of the last one when
// that one is sound and no group has anything in the batches that stay.
func (r *recovery) nextHeader(s *scan, stay int, joined int64) (h fileHeader, replaces bool) {
	sound := s.headerOK && len(s.regions) == 0
	for i := range s.batches {
		sound = sound && s.batches[i].intact && (i >= stay || !r.ofGroups(s, &s.batches[i]))
	}
	if sound {
		h = s.header
		h.oldest = max(h.oldest, r.oldest)
		return h, true
	}
	h = fileHeader{
		log: r.l.id, segment: s.seg.number + 1, first: s.number, joined: joined, previous: s.seg.sum, oldest: r.oldest,
	}
	if stay > 0 {
		h.previous = s.batches[stay-1].sum
	}
	if stay < len(s.batches) {
		h.first = s.batches[stay].number
	}
	return h, false
}

// ofGroups tells whether a batch holds anything of a group.
func (r *recovery) ofGroups(s *scan, b *scanned) (found bool) {
	eachChunk(s.body(&b.batchHeader), &b.batchHeader, r.l.id, func(c *chunkHeader, _ int, _ []byte, _ bool) {
		found = found || !c.kind.ofLog()
	})
	return found
}

// peekTrims looks for what the last segment says about old ones, which the new header repeats.
func (r *recovery) peekTrims(s *scan) {
	for i := range s.batches {
		b := &s.batches[i]
		eachChunk(s.body(&b.batchHeader), &b.batchHeader, r.l.id, func(c *chunkHeader, _ int, _ []byte, sound bool) {
			if sound && c.kind == kindTrim {
				r.oldest = max(r.oldest, c.index)
			}
		})
	}
}

// opened hands the log over.
func (r *recovery) opened(f storage.File, into *repeat, replaces bool) {
	l := r.l
	for _, s := range r.scans {
		s.seg.spoilt = slices.ContainsFunc(r.lost, func(o *loss) bool { return o.File == s.name && o.Bytes > 0 })
		if !s.last || !replaces {
			l.segments = append(l.segments, s.seg)
			l.bytes += s.seg.size
		}
	}
	l.adopt(into, f)
	l.oldest, l.unknown = max(r.oldest, 1), r.unknown
	for _, st := range r.order {
		if !st.dropped {
			l.groups[st.id] = st
			l.live += st.bytes
			r.report.Groups++
		}
	}
	for _, o := range r.lost {
		if o.Err != errRecorded || len(o.Groups) > 0 { // else those who were concerned are gone
			r.report.Damage = append(r.report.Damage, o.Damage)
		}
	}
	l.countSize()
	r.done(l, &r.report, nil)
	l.reclaim()
}

// create makes an empty log. The identity comes last.
func (r *recovery) create() {
	l := r.l
	r.report = Report{Created: true, Clean: true, Foreign: r.report.Foreign}
	l.id = l.strand.Rand("storage.wal.id").Uint64()
	h := fileHeader{log: l.id, segment: 1, first: 1, oldest: 1}
	into := newRepeat(l.id, &segment{number: 1}, &h)
	l.fs.SyncDir(l.strand, path.Dir(l.cfg.Dir), func(err error) {
		if err != nil {
			r.fail(err)
			return
		}
		l.make(segmentFile(1), into.content, func(f storage.File, err error) {
			if err != nil {
				r.fail(err)
				return
			}
			l.adopt(into, f)
			l.oldest = 1
			l.make(identityName, encodeIdentity(l.id, l.cfg.Identity), r.created)
		})
	})
}

func (r *recovery) created(f storage.File, err error) {
	if err != nil {
		r.l.file.Close()
		r.fail(err)
		return
	}
	f.Close()
	r.done(r.l, &r.report, nil)
}
