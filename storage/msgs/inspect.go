package msgs

import (
	"fmt"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// FileInfo is what a file of a store shows by itself.
type FileInfo struct {
	Name     string
	Size     int64
	Kind     string // "block", "subjects", or "unknown"
	Number   uint64
	Identity uint64
	// Packed and Sealed tell whether any frame is compressed or encrypted.
	Packed, Sealed bool
	// Records is the number of intact records in a block, erased ones left out, from First to Last;
	// or the number of entries of a file of subjects.
	Records     int
	Erased      int
	First, Last uint64
	// Complete tells that a block ends with its index.
	Complete bool
	Damage   []Damage
}

// Inspect reads every file in the directory of a store by itself, and tells what it holds. It needs no manifest, so it
// cannot know which messages live, nor what is missing. It changes nothing. Of the options it needs the key of
// encrypted files. done is called on s.
func Inspect(fs storage.FS, s clock.Strand, dir string, o Options, done func([]FileInfo, error)) {
	i := &inspection{fs: fs, strand: s, dir: dir, o: o, done: done, files: NewFiles(filesDefault)}
	fs.List(s, dir, i.listed)
}

type inspection struct {
	fs     storage.FS
	strand clock.Strand
	dir    string
	o      Options
	done   func([]FileInfo, error)
	files  *Files
	list   []FileInfo
	at     int
	file   *file
	buf    []byte
}

func (i *inspection) listed(entries []storage.Entry, err error) {
	if err != nil {
		i.done(nil, err)
		return
	}
	for _, e := range entries {
		if !e.Dir {
			i.list = append(i.list, FileInfo{Name: e.Name, Size: e.Size, Kind: "unknown"})
		}
	}
	i.next()
}

func (i *inspection) next() {
	if i.file != nil {
		i.file.close()
	}
	if i.at == len(i.list) {
		i.done(i.list, nil)
		return
	}
	info := &i.list[i.at]
	i.file = &file{fs: i.fs, strand: i.strand, files: i.files, name: i.dir + "/" + info.Name, made: true, cut: -1, offline: true}
	i.buf = make([]byte, info.Size)
	i.file.read(i.buf, 0, i.read)
}

func (i *inspection) read(n int, err error) {
	info := &i.list[i.at]
	if err != nil && n < len(i.buf) {
		info.damage(0, err)
	}
	info.inspect(i.buf[:n], &i.o)
	i.at++
	i.next()
}

func (f *FileInfo) damage(off int64, err error) {
	f.Damage = append(f.Damage, Damage{f.Name, off, err})
}

// inspect looks into the content of a file.
func (f *FileInfo) inspect(p []byte, o *Options) {
	number, suffix, ok := parseFileName(f.Name)
	if !ok {
		return
	}
	h, err := decodeFileHeader(p)
	if err != nil {
		f.damage(0, err)
		h = fileHeader{number: number, identity: o.Identity}
	}
	f.Number, f.Identity = h.number, h.identity
	if h.number != number {
		f.damage(0, fmt.Errorf("%w: it is file %d", errHeader, h.number))
	}
	if err == nil && (h.magic == subjectMagic) != (suffix == subjectSuffix) {
		f.damage(0, fmt.Errorf("%w: it is another kind of file", errHeader))
	}
	c := codec{sealer: o.Sealer, identity: h.identity, number: h.number, seed: seedOf(h.identity, h.number)}
	if suffix == subjectSuffix {
		f.Kind = "subjects"
	} else {
		f.Kind = "block"
	}
	bad := false
	for at := min(fileHeaderLen, len(p)); at < len(p); {
		n, err := f.piece(p[at:], uint32(at-fileHeaderLen), &c)
		if err == nil {
			at, bad = at+n, false
			continue
		}
		if !bad {
			f.damage(int64(at), err)
		}
		at, bad = at+max(n, 1), true
	}
}

// piece looks at the record or frame that p begins with, which stands at off. With an error it gives the length only if that
// is certain.
func (f *FileInfo) piece(p []byte, off uint32, c *codec) (int, error) {
	if f.Kind == "block" {
		if r, err := checkRecord(p, c.seed, off); err == nil {
			f.record(&r)
			return r.length, nil
		}
	}
	h, plain, n, err := c.openFrame(p)
	if err != nil {
		return n, err
	}
	f.Packed = f.Packed || h.flags&framePacked != 0
	f.Sealed = f.Sealed || h.flags&frameSealed != 0
	switch {
	case f.Kind == "subjects":
		return n, decodeSubjects(plain, func(uint64, []byte) { f.Records++ })
	case h.flags&frameColumns != 0:
		f.Complete = n == len(p)
	default:
		for at := 0; at < len(plain); {
			r, err := checkRecord(plain[at:], c.seed, h.off+uint32(at))
			if err != nil {
				return n, err
			}
			f.record(&r)
			at += r.length
		}
	}
	return n, nil
}

func (f *FileInfo) record(r *record) {
	if r.flags&flagErased != 0 {
		f.Erased++
		return
	}
	if f.Records == 0 {
		f.First = r.seq
	}
	f.Records++
	f.Last = r.seq
}
