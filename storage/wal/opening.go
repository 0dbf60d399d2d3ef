package wal

import (
	"hash/crc32"
	"path"

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

// finish takes in the last segment, and makes the one to write to.
func (r *recovery) finish(s *scan) {
	r.report.Torn = s.torn
	r.report.Clean = s.closed && s.torn == nil
	joined := max(s.durable, fileHeaderLen)
	stay, spoiled := 0, len(s.regions) > 0 || !s.headerOK
	for stay < len(s.batches) && s.batches[stay].offset < joined {
		stay++
	}
	for i := range s.batches {
		spoiled = spoiled || !s.batches[i].intact
	}
	h := fileHeader{log: r.l.id, segment: s.seg.number + 1, first: s.number, joined: joined, previous: s.seg.sum}
	if stay > 0 {
		h.previous = s.batches[stay-1].sum
	}
	if stay < len(s.batches) {
		h.first = s.batches[stay].number
	}
	replaces := stay == 0 && !spoiled
	if replaces {
		h = s.header
	}
	head := &segment{number: h.segment}
	into := &repeat{log: r.l.id, seg: head, content: make([]byte, fileHeaderLen), number: h.first}
	s.seg.size = joined
	r.takeIn(s, 0, stay, nil)
	// Chunks of the new segment come next, but its header, which the first batch names, waits for
	// what they say about old segments.
	r.peekTrims(s, stay)
	h.oldest = max(r.oldest, h.oldest)
	header, sum := h.encode()
	copy(into.content, header)
	into.previous, head.sum = sum, sum
	r.takeIn(s, stay, len(s.batches), into)
	r.judge()
	head.size = int64(len(into.content))
	r.l.make(segmentFile(head.number), into.content, func(f storage.File, err error) {
		if err != nil {
			r.fail(err)
			return
		}
		r.opened(head, f, into, replaces)
	})
}

// peekTrims looks for what the log says about old segments.
func (r *recovery) peekTrims(s *scan, from int) {
	for i := range s.batches[from:] {
		b := &s.batches[from+i]
		eachChunk(s.body(&b.batchHeader), &b.batchHeader, r.l.id, func(c *chunkHeader, _ int, _ []byte, sound bool) {
			if sound && c.kind == kindTrim {
				r.oldest = max(r.oldest, c.index)
			}
		})
	}
}

// opened hands the log over.
func (r *recovery) opened(head *segment, f storage.File, into *repeat, replaces bool) {
	l := r.l
	for _, s := range r.scans {
		if !s.last || !replaces {
			l.segments = append(l.segments, s.seg)
			l.bytes += s.seg.size
		}
	}
	l.segments = append(l.segments, head)
	l.bytes += head.size
	l.file, l.durable, l.previous, l.number, l.oldest = f, head.size, into.previous, into.number, r.oldest
	for _, st := range r.order {
		if !st.dropped {
			l.groups[st.id] = st
			l.live += st.bytes
			r.report.Groups++
		}
	}
	for _, o := range r.lost {
		r.report.Damage = append(r.report.Damage, o.Damage)
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
	header, sum := h.encode()
	l.fs.SyncDir(l.strand, path.Dir(l.cfg.Dir), func(err error) {
		if err != nil {
			r.fail(err)
			return
		}
		l.make(segmentFile(1), header, func(f storage.File, err error) {
			if err != nil {
				r.fail(err)
				return
			}
			l.adopt(&segment{number: 1, size: fileHeaderLen, sum: sum}, f)
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
