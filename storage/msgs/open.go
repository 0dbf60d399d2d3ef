package msgs

import (
	"fmt"
	"slices"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/subjects"
)

// Defaults of what stores share.
const (
	cacheDefault = 64 << 20
	filesDefault = 64
)

// OpenFile opens the store whose files are in dir, as the manifest describes it; nil is a new
// store. The directory is made when there is none, its parent must exist. Nothing is
// written but by checkpoints, and nothing is repaired: what is damaged is reported, and what is intact can be
// used. done is called on s.
//
// It fails when the manifest is damaged or another store's (ErrManifest), when what is encrypted comes without its
// key or the other way round, and when the directory cannot be read.
func OpenFile(fs storage.FS, s clock.Strand, dir string, manifest []byte, o Options, done func(Store, *Report, error)) {
	p := newOpening(fs, s, dir, o, func(st *store, r *Report, err error) {
		if err != nil {
			done(nil, r, err)
			return
		}
		done(st, r, nil)
	})
	p.start(manifest)
}

// opening is the work of reading a store's files.
type opening struct {
	d       *disk
	m       *manifest
	report  *Report
	done    func(*store, *Report, error)
	sizes   map[string]int64 // of the files in the directory; looked up only
	order   uint32
	entries []subjectEntry
	texts   bool // subjects are to be read from records, because their file is damaged
	reads   []*blockRead
	started int // reads
	linked  int // blocks that are in the index
	running bool
	where   []spot // by subject id: where its last message so far is
}

// spot is a slot of a block of the index.
type spot struct{ block, slot uint32 }

// blockRead is the reading of a block's index.
type blockRead struct {
	p     *opening
	m     *manifestBlock
	disk  *diskBlock
	size  int64 // of the file; -1: there is none
	buf   []byte
	whole bool // buf is the body, not the index
	ready bool
	err   error
}

// readsAtOnce is the number of blocks that are read while others are put into the index.
const readsAtOnce = 4

func newOpening(fs storage.FS, s clock.Strand, dir string, o Options, done func(*store, *Report, error)) *opening {
	if o.Cache == nil {
		o.Cache = NewCache(cacheDefault)
	}
	if o.Files == nil {
		o.Files = NewFiles(filesDefault)
	}
	st := newStore(s, o, true)
	st.disk = &disk{
		st: st, o: o, fs: fs, dir: dir, compression: o.Compression,
		cache: o.Cache, files: o.Files, number: 1,
	}
	return &opening{d: st.disk, report: &Report{}, done: done, sizes: map[string]int64{}}
}

func (p *opening) start(manifest []byte) {
	d := p.d
	if manifest != nil {
		m, err := decodeManifest(manifest)
		if err == nil && m.identity != d.o.Identity {
			err = fmt.Errorf("%w: it is of store %d, want %d", ErrManifest, m.identity, d.o.Identity)
		}
		if err == nil && m.sealed != (d.o.Sealer != nil) {
			err = errUnsealed
			if m.sealed {
				err = ErrNoKey
			}
		}
		if err != nil {
			p.fail(err)
			return
		}
		p.m = m
	}
	d.fs.List(d.st.strand, d.dir, p.listed)
}

func (p *opening) fail(err error) {
	err = fmt.Errorf("open messages in %q: %w", p.d.dir, err)
	p.d.st.strand.Post(func() { p.done(nil, p.report, err) })
}

// listed notes what files there are.
func (p *opening) listed(entries []storage.Entry, err error) {
	d := p.d
	switch {
	case isNotExist(err) && p.d.offline:
	case isNotExist(err):
		d.fs.Mkdir(d.st.strand, d.dir, p.made)
		return
	case err != nil:
		p.fail(err)
		return
	}
	needed := p.needed()
	for _, e := range entries {
		number, suffix, ok := parseFileName(e.Name)
		if !ok || e.Dir {
			continue
		}
		d.number = max(d.number, number+1)
		p.sizes[e.Name] = e.Size
		if !needed[e.Name] {
			p.report.Unneeded = append(p.report.Unneeded, e.Name)
			f := d.newFile(number, suffix)
			f.made, f.size = true, e.Size
			d.garbage = append(d.garbage, garbage{file: f, needed: p.serial()})
		}
	}
	p.begin()
}

func (p *opening) serial() uint64 {
	if p.m == nil {
		return 0
	}
	return p.m.serial
}

// needed are the names of the files that the manifest needs.
func (p *opening) needed() map[string]bool {
	names := map[string]bool{}
	if p.m == nil {
		return names
	}
	for i := range p.m.blocks {
		names[baseName(p.m.blocks[i].number, blockSuffix)] = true
	}
	for _, n := range p.m.spoiled {
		names[baseName(n, blockSuffix)] = true
	}
	if n := p.m.subs.number; n != 0 {
		names[baseName(n, subjectSuffix)] = true
	}
	return names
}

// made goes on after the directory was made. That it was not there although the manifest needs files is damage that
// each file shows.
func (p *opening) made(err error) {
	if err != nil {
		p.fail(err)
		return
	}
	p.begin()
}

// begin takes over the manifest, and reads the subjects.
func (p *opening) begin() {
	if p.m == nil {
		p.d.names, p.d.parent = true, true
		p.finish()
		return
	}
	d, s, m := p.d, p.d.st, p.m
	d.number = max(d.number, m.number)
	d.serial, d.durable, d.compression = m.serial, m.serial, m.compression
	d.spoiled = slices.Clone(m.spoiled)
	d.lost = lostSet{slices.Clone(m.lost), m.lostBytes}
	s.limits, s.last, s.lastTime = m.limits, m.last, m.lastTime
	p.readSubjects()
}

// openBlocks makes the objects of all blocks, and starts reading.
func (p *opening) openBlocks() {
	d := p.d
	p.where = make([]spot, d.st.subs.IDs())
	d.st.blocks = d.st.blocks[:0]
	for i := range p.m.blocks {
		mb := &p.m.blocks[i]
		f := d.newFile(mb.number, blockSuffix)
		f.made, f.size = true, int64(mb.body+mb.index)
		k := &diskBlock{
			file: f, framed: mb.kind&kindFramed != 0, first: mb.fileFirst,
			body: int64(mb.body), index: int64(mb.index), scrub: mb.kind&kindScrub != 0, broken: mb.kind&kindBroken != 0,
		}
		k.codec = newCodec(&d.o, mb.number, mb.kind&kindPacked != 0)
		r := &blockRead{p: p, m: mb, disk: k, size: -1}
		name := baseName(mb.number, blockSuffix)
		f.absent = true
		if size, ok := p.sizes[name]; ok {
			r.size, f.absent = size, false
			if size > f.size {
				p.report.Beyond = append(p.report.Beyond, name)
				if k.index == 0 {
					f.cut = k.body
				}
			}
		}
		p.reads = append(p.reads, r)
	}
	p.advance()
}

// advance keeps some reads under way, and puts what was read into the index, in order.
func (p *opening) advance() {
	if p.running {
		return
	}
	p.running = true
	for p.linked < len(p.reads) {
		for p.started < len(p.reads) && p.started < p.linked+readsAtOnce {
			p.started++
			p.reads[p.started-1].start(p.texts)
		}
		if !p.reads[p.linked].ready || !p.take(p.reads[p.linked]) {
			p.running = false
			return
		}
		p.reads[p.linked] = nil
		p.linked++
	}
	p.running = false
	p.finish()
}

// start reads the index of a block, or its whole body.
func (r *blockRead) start(whole bool) {
	r.ready = false
	r.whole = whole || r.disk.index == 0
	off, n := r.disk.body, r.disk.index
	if r.whole {
		off, n = 0, r.disk.body
	}
	if r.size < 0 {
		r.done(0, &storage.OpError{Op: "open", Name: r.disk.file.name, Err: storage.ErrNotExist})
		return
	}
	if n = min(n, r.size-off); n <= 0 {
		r.buf = nil
		r.done(0, errShort)
		return
	}
	r.buf = make([]byte, n)
	r.disk.file.readWhole(r.buf, off, r.done)
}

func (r *blockRead) done(n int, err error) {
	r.ready, r.err = true, err
	r.buf = r.buf[:n]
	r.p.advance()
}

// take puts a block that was read into the index. It gives false when the block has to be read
// once more.
func (p *opening) take(r *blockRead) bool {
	if !r.whole {
		b, ttls, err := r.columns()
		if err == nil {
			err = p.known(b)
		}
		if err != nil {
			p.report.damage(r.disk.file.name, r.disk.body, fmt.Errorf("index of the block: %w", err))
			p.report.Rebuilt++
			r.start(true)
			return r.ready && p.take(r)
		}
		p.link(b, ttls, r)
		return true
	}
	if r.err != nil && len(r.buf) == 0 {
		p.report.damage(r.disk.file.name, 0, r.err)
	}
	w := &rebuild{d: p.d, m: r.m, report: p.report, name: r.disk.file.name, insert: p.insert, erasing: p.m.erasing}
	w.body(r.buf, r.disk)
	r.disk.broken = r.disk.broken || w.damaged
	if r.disk.index > 0 { // it is damaged, or has ids that nobody knows
		r.disk.index, r.disk.void = 0, true
	}
	p.link(w.b, w.ttls, r)
	return true
}

// columns reads the index of the block, and which of its slots live.
func (r *blockRead) columns() (*block, []slotTTL, error) {
	if r.err != nil {
		return nil, nil, r.err
	}
	h, plain, n, err := r.disk.codec.openFrame(r.buf)
	if err != nil {
		return nil, nil, err
	}
	if n != int(r.disk.index) || h.flags&frameColumns == 0 {
		return nil, nil, errContent
	}
	b, ttls, err := decodeColumns(plain, r.disk.framed, r.disk.body)
	if err != nil {
		return nil, nil, err
	}
	if b.first != r.m.first || b.last != r.m.last || uint64(b.size) != r.m.size {
		return nil, nil, errContent
	}
	eachMissing(r.m.missing, r.m.last-r.m.first, func(from, to uint64) {
		for i, end := b.at(b.first+from), b.at(b.first+to+1); i < end; i++ {
			b.bury(i)
			b.live--
		}
	})
	b.head = b.nextLive(0)
	b.liveSize = uint32(r.m.liveSize)
	if uint64(b.live) != r.m.live {
		return nil, nil, errContent
	}
	return b, ttls, nil
}

// known tells whether the file of subjects has every subject of a block's living messages.
func (p *opening) known(b *block) error {
	for i := b.nextLive(0); i < b.n; i = b.nextLive(i + 1) {
		if id := b.id(i); int(id) >= len(p.entries) || p.entries[id].order == 0 {
			return fmt.Errorf("%w: there is no subject %d", errContent, id)
		}
	}
	return nil
}

// insert gives the id of a subject that was read from a record.
func (p *opening) insert(text []byte) (uint32, bool) {
	s := p.d.st
	id, isNew := s.subs.Insert(text)
	if id == subjects.None {
		return 0, false
	}
	if isNew {
		s.info.ensure(id)
		s.note(id, text, s.subs.Len())
		p.d.subs.fresh = append(p.d.subs.fresh, id)
	}
	for int(id) >= len(p.where) {
		p.where = append(p.where, spot{})
	}
	return id, true
}
