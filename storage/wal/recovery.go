package wal

import (
	"errors"
	"fmt"
	"io"
	"path"
	"strconv"
	"strings"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

const (
	// readBytes is how much recovery reads at one time.
	readBytes = 4 << 20
	// readTries is how often a read that fails is tried.
	readTries = 3
	// sectorBytes is the unit that is given up when it cannot be read.
	sectorBytes = 4096
)

// recovery opens a log:
//
//  1. List the directory. No log: make the first segment, then the identity, each under another
//     name, synced, renamed, the directory synced. So segments without an identity are
//     an unfinished beginning, if nothing is in them.
//  2. Read the identity, and the headers of all segments.
//  3. Scan segment after segment; what must be there and is not is damage.
//  4. Write what the last segment holds behind its known-durable offset into a new one, once more:
//     the process before may have died after a sync that failed, and then the system may show what
//     it never wrote. The new segment's header says where it joins the last one. When nothing of
//     the last one stays, the new one takes its name.
//
// No file is ever changed or removed, but for that. Cut short anywhere, and done again,
// recovery ends in the same records.
type recovery struct {
	l      *Log
	done   func(*Log, *Report, error)
	report Report

	names []uint64 // of segments, ascending
	scans []*scan
	at    int // of scans, under way
	file  storage.File
	read  reading
	spare []byte // a buffer for the next segment

	number   uint64 // of the next batch
	previous uint32 // checksum of the last batch
	lost     []*loss
	oldest   uint64 // segment that is needed, as far as the log says
	states   map[ID]*groupState
	order    []*groupState // of their first chunk
	unknown  bool          // groups may be lost of which nothing is known
	failed   bool
}

// Open recovers the log in c.Dir of fs, or makes an empty one. done is called on s, with the
// report in any case. An error means that there is no log to work with: it belongs to another
// store (ErrForeign), the disk fails, or its identity is damaged. Damage of segments is
// no error: groups that are concerned are told when they are attached.
func Open(fs storage.FS, s clock.Strand, c Config, done func(*Log, *Report, error)) {
	c, err := c.withDefaults()
	if err != nil {
		s.Post(func() { done(nil, &Report{}, err) })
		return
	}
	r := &recovery{l: newLog(fs, s, c), done: done, number: 1, states: map[ID]*groupState{}}
	s.Post(r.list)
}

// fail ends recovery.
func (r *recovery) fail(err error) {
	if r.failed {
		return
	}
	r.failed = true
	if r.file != nil {
		r.file.Close()
	}
	r.done(nil, &r.report, fmt.Errorf("open log %q: %w", r.l.cfg.Dir, err))
}

func (r *recovery) list() {
	r.l.fs.List(r.l.strand, r.l.cfg.Dir, func(entries []storage.Entry, err error) {
		switch {
		case errors.Is(err, storage.ErrNotExist):
			r.mkdir()
		case err != nil:
			r.fail(err)
		default:
			r.sort(entries)
		}
	})
}

func (r *recovery) mkdir() {
	r.l.fs.Mkdir(r.l.strand, r.l.cfg.Dir, func(err error) {
		if err != nil {
			r.fail(err)
			return
		}
		r.create()
	})
}

// sort tells the log's files from others.
func (r *recovery) sort(entries []storage.Entry) {
	identity, content := false, false
	for _, e := range entries {
		number, ok := segmentNumber(e)
		switch {
		case ok:
			r.names = append(r.names, number)
			content = content || number > 1 || e.Size > fileHeaderLen
		case e.Name == identityName && !e.Dir:
			identity = true
		case strings.HasSuffix(e.Name, damagedSuffix):
			r.report.Kept = append(r.report.Kept, e.Name)
		case e.Name != newName:
			r.report.Foreign = append(r.report.Foreign, e.Name)
		}
	}
	r.report.Segments = len(r.names)
	switch {
	case identity:
		r.openIdentity()
	case content:
		r.fail(fmt.Errorf("%w: file %q is missing, but there are %d segments", ErrDamaged, identityName, len(r.names)))
	default:
		r.names = nil
		r.create()
	}
}

func segmentNumber(e storage.Entry) (uint64, bool) {
	hex, ok := strings.CutSuffix(e.Name, segmentSuffix)
	if !ok || len(hex) != 16 || e.Dir {
		return 0, false
	}
	number, err := strconv.ParseUint(hex, 16, 64)
	return number, err == nil && number > 0 && hex == strings.ToLower(hex)
}

func (r *recovery) openIdentity() {
	name := path.Join(r.l.cfg.Dir, identityName)
	r.l.fs.Open(r.l.strand, name, storage.ReadOnly, func(f storage.File, err error) {
		if err != nil {
			r.fail(err)
			return
		}
		if f.Size() > identityHeaderLen+identityMax {
			f.Close()
			r.fail(&storage.DamageError{File: name, Err: fmt.Errorf("%w: it has %d bytes", errHeader, f.Size())})
			return
		}
		r.file = f
		r.readAll(f, nil, f.Size(), func(p []byte, unread []span) {
			r.file = nil
			f.Close()
			r.identified(name, p, unread)
		})
	})
}

func (r *recovery) identified(name string, p []byte, unread []span) {
	log, identity, err := parseIdentity(p)
	if len(unread) > 0 {
		err = errRead
	}
	switch {
	case err != nil:
		r.fail(&storage.DamageError{File: name, Err: fmt.Errorf("%w: %w", ErrDamaged, err)})
	case identity != r.l.cfg.Identity:
		r.fail(fmt.Errorf("%w: it was made by %q, this is %q", ErrForeign, identity, r.l.cfg.Identity))
	default:
		r.l.id = log
		r.openNext()
	}
}

// openNext reads the header of the next segment.
func (r *recovery) openNext() {
	if r.at == len(r.names) {
		r.headersRead()
		return
	}
	number := r.names[r.at]
	s := &scan{seg: &segment{number: number}, name: r.l.segmentName(number), log: r.l.id}
	r.l.fs.Open(r.l.strand, s.name, storage.ReadOnly, func(f storage.File, err error) {
		if err != nil {
			r.fail(err)
			return
		}
		r.file = f
		s.seg.size = f.Size()
		r.readAll(f, nil, min(f.Size(), fileHeaderLen), func(p []byte, unread []span) {
			r.file = nil
			f.Close()
			r.headerRead(s, p, unread)
		})
	})
}

func (r *recovery) headerRead(s *scan, p []byte, unread []span) {
	h, sum, err := parseFileHeader(p)
	if len(unread) > 0 {
		err = errRead
	}
	switch {
	case err != nil: // no records of anybody are in there
		r.lost = append(r.lost, &loss{Damage: Damage{File: s.name, Bytes: fileHeaderLen, Err: err}})
	case h.log != r.l.id || h.segment != s.seg.number:
		r.fail(fmt.Errorf("%w: file %q is segment %d of another log or place", ErrForeign, s.name, h.segment))
		return
	default:
		s.header, s.headerOK, s.seg.sum = h, true, sum
	}
	r.scans = append(r.scans, s)
	r.at++
	r.openNext()
}

// headersRead settles where each segment ends.
func (r *recovery) headersRead() {
	if len(r.scans) == 0 {
		r.fail(fmt.Errorf("%w: there is an identity, but no segment", ErrDamaged))
		return
	}
	for i, s := range r.scans {
		s.limit, s.last = s.seg.size, i == len(r.scans)-1
		if !s.last && r.scans[i+1].headerOK && r.scans[i+1].seg.number == s.seg.number+1 {
			s.missing = s.seg.size < r.scans[i+1].header.joined
			s.limit = r.scans[i+1].header.joined
		}
		if s.headerOK {
			r.oldest = max(r.oldest, s.header.oldest)
		}
	}
	r.at = 0
	r.scanNext()
}

// scanNext reads a whole segment, and takes in what is there.
func (r *recovery) scanNext() {
	s := r.scans[r.at]
	r.l.fs.Open(r.l.strand, s.name, storage.ReadOnly, func(f storage.File, err error) {
		if err != nil {
			r.fail(err)
			return
		}
		r.file = f
		r.readAll(f, r.spare, min(f.Size(), s.limit), func(p []byte, unread []span) {
			r.file, r.spare = nil, nil
			f.Close()
			s.buf, s.unread = p, unread
			r.scanned(s)
		})
	})
}

func (r *recovery) scanned(s *scan) {
	r.join(s)
	s.walk()
	r.number, r.previous = s.number, s.previous
	if s.last {
		r.finish(s)
		return
	}
	s.seg.size = s.limit
	r.takeIn(s, 0, len(s.batches), nil)
	r.spare, s.buf = s.buf[:0], nil
	r.at++
	r.scanNext()
}

// join compares the beginning of a segment with the end of the one before.
func (r *recovery) join(s *scan) {
	s.number, s.previous = r.number, s.seg.sum
	if r.at > 0 {
		if before := r.scans[r.at-1].seg; before.number+1 < s.seg.number {
			missing := r.l.segmentName(before.number + 1)
			r.loss(missing, 0, 0, fmt.Errorf("%w, segments %d to %d", errMissing, before.number+1, s.seg.number-1))
			s.resync = true
		}
	}
	if !s.headerOK {
		return
	}
	if r.at > 0 && !s.resync && r.scans[r.at-1].joinable() && (s.header.first != r.number || s.header.previous != r.previous) {
		r.loss(s.name, 0, fileHeaderLen, errChain)
	}
	s.number = max(s.number, s.header.first)
}

// joinable tells whether the end of the segment is known.
func (s *scan) joinable() bool { return s.headerOK && len(s.regions) == 0 && !s.resync }

// reading is a read of the beginning of a file, which gives up only what cannot be read.
type reading struct {
	file   storage.File
	p      []byte
	at     int
	unit   int
	tries  int
	unread []span
	done   func(p []byte, unread []span)
}

// readAll reads n bytes, into buf if it is large enough. What cannot be read is zero.
func (r *recovery) readAll(f storage.File, buf []byte, n int64, done func(p []byte, unread []span)) {
	if int64(cap(buf)) < n {
		buf = make([]byte, n)
	}
	r.read = reading{file: f, p: buf[:n], unit: readBytes, done: done}
	r.readMore()
}

func (r *recovery) readMore() {
	rd := &r.read
	if rd.at == len(rd.p) {
		rd.done(rd.p, rd.unread)
		return
	}
	piece := rd.p[rd.at:min(rd.at+rd.unit, len(rd.p))]
	rd.file.ReadAt(r.l.strand, piece, int64(rd.at), func(n int, err error) {
		switch {
		case err == nil || errors.Is(err, io.EOF) && n == len(piece):
			rd.at += len(piece)
			rd.tries = 0
			if rd.unit < readBytes && rd.at%readBytes == 0 {
				rd.unit = readBytes
			}
		case rd.tries+1 < readTries:
			rd.tries++
		case rd.unit > sectorBytes: // find out which sector it is
			rd.unit, rd.tries = sectorBytes, 0
		default:
			clear(piece)
			rd.unread = append(rd.unread, span{int64(rd.at), int64(rd.at + len(piece))})
			rd.at += len(piece)
			rd.tries = 0
		}
		r.readMore()
	})
}
