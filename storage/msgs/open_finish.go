package msgs

import (
	"fmt"
	"strconv"

	"github.com/lockstepmq/lockstep/storage/subjects"
)

func baseName(number uint64, suffix string) string { return fmt.Sprintf("%08x%s", number, suffix) }

// readSubjects reads the file of subjects.
func (p *opening) readSubjects() {
	m := &p.m.subs
	if m.number == 0 {
		p.openBlocks()
		return
	}
	d := p.d
	f := d.newFile(m.number, subjectSuffix)
	f.made, f.size = true, int64(m.size)
	d.subs = subjectFile{
		file: f, codec: newCodec(&d.o, m.number, p.m.compression == S2),
		size: int64(m.size), off: uint32(m.off), entries: int(m.entries),
	}
	name := baseName(m.number, subjectSuffix)
	size, ok := p.sizes[name]
	f.absent = !ok
	if size > int64(m.size) {
		p.report.Beyond = append(p.report.Beyond, name)
		f.cut = int64(m.size)
	}
	if !ok || size < int64(m.size) {
		p.subjectsDamaged(size, errShort)
		return
	}
	buf := make([]byte, m.size)
	f.readWhole(buf, 0, func(_ int, err error) {
		if err != nil {
			p.subjectsDamaged(0, err)
			return
		}
		p.subjectsRead(buf)
	})
}

// subjectsDamaged goes on without the file: subjects are read from the records, and written to a new file.
func (p *opening) subjectsDamaged(off int64, err error) {
	p.report.damage(p.d.subs.file.name, off, err)
	p.texts, p.entries = true, nil
	p.d.garbage = append(p.d.garbage, garbage{p.d.subs.file, p.m.serial, false})
	p.d.subs = subjectFile{}
	p.openBlocks()
}

func (p *opening) subjectsRead(buf []byte) {
	f := &p.d.subs
	h, err := decodeFileHeader(buf)
	if err == nil {
		err = h.check(subjectMagic, p.d.o.Identity, f.file.number)
	}
	at := fileHeaderLen
	for err == nil && at < len(buf) {
		var plain []byte
		var n int
		if _, plain, n, err = f.codec.openFrame(buf[at:]); err == nil {
			err = decodeSubjects(plain, p.enter)
			at += n
		}
	}
	if err != nil {
		p.subjectsDamaged(int64(at), err)
		return
	}
	p.insertSubjects()
	p.openBlocks()
}

// enter notes an entry of the file of subjects.
func (p *opening) enter(id uint64, text []byte) {
	if id >= p.m.subs.ids {
		return // no message has it
	}
	for int(id) >= len(p.entries) {
		p.entries = append(p.entries, subjectEntry{})
	}
	p.order++
	p.entries[id] = subjectEntry{text, p.order}
}

// insertSubjects gives every subject the id it has in the files. Ids without a subject, and those whose subject
// moved on to another id, get one that cannot exist until they are removed.
func (p *opening) insertSubjects() {
	s := p.d.st
	s.subs.Grow(len(p.entries))
	if !p.insertAll() {
		s.subs = subjects.Seeded(s.seed)
		s.subs.Grow(len(p.entries))
		for id := range p.entries {
			e := &p.entries[id]
			if e.order == 0 || !p.insertAs(uint32(id), e) {
				e.order = 0
				p.hold(uint32(id))
			}
		}
	}
	n := 0
	for id := range p.entries {
		if e := &p.entries[id]; e.order != 0 {
			n++
			s.note(uint32(id), e.text, n)
		}
	}
	s.info.grow(s.subs.IDs())
}

// insertAll inserts all subjects the fast way, and tells whether all of them are different, so that each got its
// id.
func (p *opening) insertAll() bool {
	const batch = 4096
	var ids []uint32
	texts := make([][]byte, 0, batch)
	for from := 0; from < len(p.entries); from += batch {
		texts, ids = texts[:0], ids[:0]
		for i := from; i < min(from+batch, len(p.entries)); i++ {
			if p.entries[i].order == 0 {
				texts = append(texts, placeholder(uint32(i)))
			} else {
				texts = append(texts, p.entries[i].text)
			}
		}
		ids = p.d.st.subs.InsertAll(ids, texts)
		for i, id := range ids {
			if int(id) != from+i {
				return false
			}
		}
	}
	return true
}

// insertAs inserts a subject, whose id must come out as given. Of two ids that claim a subject the one that was
// written later is right.
func (p *opening) insertAs(id uint32, e *subjectEntry) bool {
	s := p.d.st
	got, isNew := s.subs.Insert(e.text)
	if isNew && got == id {
		return true
	}
	if isNew || int(got) >= len(p.entries) {
		s.subs.RemoveID(got)
		return false
	}
	if other := &p.entries[got]; other.order < e.order {
		other.order = 0
		s.subs.RemoveID(got)
		p.hold(got)
		now, _ := s.subs.Insert(e.text)
		return now == id
	}
	return false
}

// hold takes an id with a text that no subject can have.
func (p *opening) hold(id uint32) {
	p.d.st.subs.Insert(placeholder(id))
}

func placeholder(id uint32) []byte { return strconv.AppendUint([]byte("\x00 "), uint64(id), 10) }

// link puts a block into the index: its messages become the last ones of their subjects so far.
func (p *opening) link(b *block, ttls []slotTTL, r *blockRead) {
	s := p.d.st
	p.lose(b, r)
	if b.live == 0 { // all of it is lost: it stays, for whoever can make more of it
		if !r.disk.file.absent {
			p.d.spoiled = append(p.d.spoiled, r.m.number)
		}
		r.disk.file.close()
		return
	}
	b.disk = r.disk
	b.disk.slots, b.disk.size = b.n, b.size
	b.sealed = b.disk.index > 0
	b.disk.file.sealed = b.sealed
	if !b.disk.framed {
		b.cutFrames()
	}
	n := uint32(len(s.blocks))
	s.blocks = append(s.blocks, b)
	for i := b.nextLive(0); i < b.n; i = b.nextLive(i + 1) {
		p.linkSlot(b, n, uint32(i))
	}
	for _, t := range ttls {
		if !b.isDead(int(t.slot)) {
			s.expiry.heap.Push(t.deadline, b.seq(int(t.slot)))
		}
	}
	if !b.sealed {
		b.ttls = ttls
	}
	if b.disk.file.busy == 0 {
		b.disk.file.rest()
	}
}

func (p *opening) linkSlot(b *block, n, i uint32) {
	s := p.d.st
	sl := &b.slots[i]
	id := sl.id()
	inf := s.info.of(id)
	seq := b.seq(int(i))
	if inf.count == 0 {
		inf.setFirst(seq)
	} else {
		w := p.where[id]
		before := inf.getLast()
		s.setNext(before, &s.blocks[w.block].slots[w.slot], seq)
		s.setPrev(seq, sl, before)
	}
	inf.setLast(seq)
	inf.count++
	p.where[id] = spot{n, i}
}

// lose notes the messages that the manifest knows and the block has not.
func (p *opening) lose(b *block, r *blockRead) {
	if uint64(b.live) == r.m.live {
		return
	}
	at := r.m.first
	check := func(end uint64) { // from at up to below end all should live
		for ; at < end; at++ {
			if _, ok := b.find(at); !ok {
				p.report.Lost = append(p.report.Lost, at)
				p.d.lost.add(at, 0)
			}
		}
	}
	eachMissing(r.m.missing, r.m.last-r.m.first, func(from, to uint64) {
		check(r.m.first + from)
		at = r.m.first + to + 1
	})
	check(r.m.last + 1)
}

// finish completes the index.
func (p *opening) finish() {
	s := p.d.st
	if p.m != nil {
		p.continueTail()
		p.takeTail()
		p.removeUnused()
		p.count()
		p.resumeErasing()
	}
	for _, b := range s.blocks {
		if b.sealed {
			b.fold()
		}
	}
	p.where, p.entries, p.sizes = nil, nil, nil
	s.first = s.last + 1
	if s.messages > 0 {
		s.first = s.nextLive(0)
	}
	p.report.Messages, p.report.Bytes, p.report.Blocks = s.messages, s.bytes, len(s.blocks)
	s.strand.Post(func() { p.done(s, p.report, nil) })
}

// removeUnused frees the ids that no message has.
func (p *opening) removeUnused() {
	s := p.d.st
	for id := uint32(s.subs.IDs()); id > 0; id-- {
		if s.info.of(id-1).count == 0 {
			s.subs.RemoveID(id - 1)
		}
	}
}

// count finds how much there is: as the manifest says, unless something was lost.
func (p *opening) count() {
	s := p.d.st
	s.messages, s.bytes = 0, 0
	for _, b := range s.blocks {
		s.messages += uint64(b.live)
	}
	if s.messages == p.m.messages {
		s.bytes = p.m.bytes
		return
	}
	for _, b := range s.blocks {
		for i := b.nextLive(0); i < b.n; i = b.nextLive(i + 1) {
			s.bytes += uint64(s.sizeAt(b.entry(i)))
		}
	}
}

// continueTail goes on with the last block, if it is not complete.
func (p *opening) continueTail() {
	s := p.d.st
	for n, b := range s.blocks {
		if !b.sealed && !b.disk.broken && !b.disk.void && n == len(s.blocks)-1 {
			return
		}
		b.sealed, b.ttls = true, nil
		b.disk.file.sealed = true
	}
	s.blocks = append(s.blocks, newBlock(s.last+1))
}

// takeTail takes over the messages that are in no file. They are as whole as the manifest is.
func (p *opening) takeTail() {
	if len(p.m.tail) == 0 {
		return
	}
	s := p.d.st
	c := newCodec(&p.d.o, 0, false)
	_, plain, _, err := c.openFrame(p.m.tail)
	n, off := uint64(0), uint32(0)
	for ; err == nil && len(plain) > 0; n++ {
		var r record
		if r, err = checkRecord(plain, c.seed, off); err != nil {
			break
		}
		plain, off = plain[r.length:], off+uint32(r.length)
		id, ok := p.insert(r.subject)
		if !ok || r.seq <= s.tail().last && s.tail().n > 0 || r.seq > p.m.last {
			err = errContent
			break
		}
		if b := s.tail(); !b.takes(r.seq, r.length, blockBytesMax) { // it was complete once
			b.sealed, b.ttls = true, nil
			b.disk.file.sealed = true
			s.blocks = append(s.blocks, newBlock(r.seq))
		}
		s.put(s.tail(), r.seq, r.time, id, r.subject, r.header, r.data, TTL{r.deadline, r.flags&flagNever != 0})
	}
	if err != nil || n != p.m.tailCount {
		p.report.damage("manifest", 0, fmt.Errorf("messages in it: %w", errContent))
	}
	s.last, s.lastTime = p.m.last, p.m.lastTime
	p.d.inline = s.tail().size
}

// resumeErasing takes over what was not known to be overwritten.
func (p *opening) resumeErasing() {
	d := p.d
	for _, x := range p.m.erasing {
		if f := p.fileOf(x.number); f != nil {
			d.erasing = append(d.erasing, erasure{f, p.m.serial, int64(x.off), uint32(x.length), x.seq, x.time})
		}
	}
}

// fileOf is the object of a block file that exists.
func (p *opening) fileOf(number uint64) *file {
	for _, b := range p.d.st.blocks {
		if b.disk != nil && b.disk.file.number == number {
			return b.disk.file
		}
	}
	for _, g := range p.d.garbage {
		if g.file.number == number && g.file.made {
			return g.file
		}
	}
	return nil
}
