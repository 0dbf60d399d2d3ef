package msgs

// rebuild makes the index of a block from its records. Between intact records it looks for the
// next intact one byte by byte, so that one bad place costs no more than what it covers. What it
// passes over keeps its room in the index, as a dead slot, so that what follows is found where it is.
type rebuild struct {
	d       *disk
	m       *manifestBlock
	b       *block
	runs    [][2]uint64 // missing sequences, counted from first
	gap     uint32      // bytes passed over
	report  *Report
	name    string
	ttls    []slotTTL
	insert  func(text []byte) (id uint32, ok bool)
	erasing []manifestErasure // records that may be half overwritten
	damaged bool
}

// body indexes the records of a block file's body, header included.
func (r *rebuild) body(p []byte, k *diskBlock) {
	eachMissing(r.m.missing, r.m.last-r.m.first, func(from, to uint64) { r.runs = append(r.runs, [2]uint64{from, to}) })
	r.b = newBlock(r.m.first)
	h, err := decodeFileHeader(p)
	if err == nil {
		err = h.check(blockMagic, r.d.o.Identity, r.m.number)
	}
	if err != nil {
		r.spoil(0, err)
	}
	if !k.framed {
		p = p[min(fileHeaderLen, len(p)):]
		if uint64(len(p)) < r.m.size {
			r.spoil(fileHeaderLen+int64(len(p)), errShort)
		}
		r.records(p, fileHeaderLen, k.codec.seed, 0)
		r.pass(uint32(r.m.size) - r.b.size - r.gap)
	} else {
		r.frames(p, &k.codec)
	}
	if !r.fill(r.m.last + 1) { // what was passed over was nobody's
		r.b.size += r.gap
	}
}

func (r *rebuild) spoil(off int64, err error) {
	r.damaged = true
	r.report.damage(r.name, off, err)
}

// frames indexes the records of framed bodies.
func (r *rebuild) frames(p []byte, c *codec) {
	at := min(fileHeaderLen, len(p))
	bad := false
	for at < len(p) {
		h, plain, n, err := c.openFrame(p[at:])
		logical := r.b.size + r.gap
		if err == nil && h.off < logical {
			err = errContent
		}
		if err != nil {
			if !bad {
				r.spoil(int64(at), err)
			}
			bad = true
			at++
			if n > 0 { // the header is right: what follows the frame is known
				at += n - 1
			}
			continue
		}
		bad = false
		r.pass(h.off - logical)
		r.records(plain, int64(at), c.seed, h.off)
		f := &frame{off: h.off, size: uint32(len(plain)), closed: true}
		f.place = place{off: int64(at), stored: uint32(n)}
		r.b.frames = append(r.b.frames, f)
		at += n
	}
	if end := r.b.size + r.gap; uint64(end) < r.m.size {
		if !bad {
			r.spoil(int64(at), errShort)
		}
		r.pass(uint32(r.m.size) - end)
	}
}

// records indexes records that stand one behind another, at off of the block and where of the file.
func (r *rebuild) records(p []byte, where int64, seed, off uint32) {
	bad := false
	for at := 0; at < len(p); {
		rec, err := checkRecord(p[at:], seed, off+uint32(at))
		if err != nil {
			if n := r.erased(where + int64(at)); n > 0 && n <= len(p)-at {
				at += n
				continue
			}
		}
		if err == nil && (rec.seq < r.m.first || rec.seq > r.m.last || r.b.n > 0 && rec.seq <= r.b.last || !r.add(&rec)) {
			err = errContent
		}
		if err == nil {
			bad = false
			at += rec.length
			continue
		}
		if !bad {
			r.spoil(where+int64(at), err)
		}
		bad = true
		r.pass(1)
		at++
	}
}

// erased passes over a record that was being overwritten when the process ended, and gives its length.
func (r *rebuild) erased(off int64) int {
	for _, x := range r.erasing {
		if x.number == r.m.number && int64(x.off) == off && x.seq >= r.m.first && x.seq <= r.m.last &&
			r.isMissing(x.seq-r.m.first) && r.fill(x.seq) && (r.b.n == 0 || x.seq > r.b.last) {
			r.b.pushDead(x.seq, uint32(x.length))
			return int(x.length)
		}
	}
	return 0
}

func (r *rebuild) pass(n uint32) { r.gap += n }

// fill gives what was passed over to the first sequence that was lost, below seq.
func (r *rebuild) fill(seq uint64) bool {
	if r.gap == 0 {
		return true
	}
	lost := r.b.last + 1
	if lost >= seq {
		return false
	}
	r.b.pushDead(lost, r.gap)
	r.gap = 0
	return true
}

// add indexes a record, whose message may be dead.
func (r *rebuild) add(rec *record) bool {
	if !r.fill(rec.seq) {
		return false
	}
	if r.isMissing(rec.seq - r.m.first) {
		r.b.pushDead(rec.seq, uint32(rec.length))
		return true
	}
	id, ok := r.insert(rec.subject)
	if !ok || rec.flags&flagErased != 0 {
		return false
	}
	at := max(rec.time, r.b.lastTime)
	r.b.push(rec.seq, newSlot(id, noLink, noLink), uint32(rec.length), rec.flags, at)
	if rec.flags&flagDeadline != 0 {
		r.ttls = append(r.ttls, slotTTL{uint32(r.b.n - 1), rec.deadline})
	}
	return true
}

// isMissing is asked in ascending order.
func (r *rebuild) isMissing(rel uint64) bool {
	for len(r.runs) > 0 && r.runs[0][1] < rel {
		r.runs = r.runs[1:]
	}
	return len(r.runs) > 0 && r.runs[0][0] <= rel
}

// pushDead appends a slot that takes room and has no message.
func (b *block) pushDead(seq uint64, length uint32) {
	b.push(seq, slot{}, length, 0, b.lastTime)
	i := b.n - 1
	b.bury(i)
	b.live--
	b.liveSize -= length
	b.head = b.nextLive(b.head)
}
