package msgs

import (
	"encoding/binary"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"
)

// seeds are files and a manifest of a store with a life behind it.
func seeds(t require.TestingT, variant int) (manifest []byte, files map[string][]byte) {
	f := newFileRig(t, 0, fileVariants[variant].o)
	f.story(t, false, func() bool { return false })
	files = map[string][]byte{}
	for _, name := range f.disk.Files() {
		files[name] = f.disk.ReadFile(name)
	}
	return f.manifest, files
}

func FuzzManifest(f *testing.F) {
	for v := range fileVariants {
		m, _ := seeds(f, v)
		f.Add(m)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		if len(p) < manifestHead+4 {
			return
		}
		p = append([]byte{}, p...)
		binary.LittleEndian.PutUint32(p[len(p)-4:], crc32.Checksum(p[:len(p)-4], castagnoli))
		m, err := decodeManifest(p)
		if err != nil {
			require.ErrorIs(t, err, ErrManifest)
			return
		}
		again, err := decodeManifest(m.encode())
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}

// FuzzOpen opens files with a manifest that does not fit them.
func FuzzOpen(f *testing.F) {
	for v := range fileVariants[:2] {
		m, _ := seeds(f, v)
		f.Add(m, v == 1)
	}
	type golden struct {
		files map[string][]byte
		o     func(*fileRig) Options
	}
	var list []golden
	for v := range fileVariants[:2] {
		_, files := seeds(f, v)
		list = append(list, golden{files, fileVariants[v].o})
	}
	f.Fuzz(func(t *testing.T, p []byte, second bool) {
		if len(p) < manifestHead+4 {
			return
		}
		p = append([]byte{}, p...)
		binary.LittleEndian.PutUint32(p[len(p)-4:], crc32.Checksum(p[:len(p)-4], castagnoli))
		g := list[0]
		if second {
			g = list[1]
		}
		r := newFileRig(t, 0, g.o)
		for name, content := range g.files {
			r.put(t, name, content)
		}
		if err := r.open(p); err != nil {
			return
		}
		n := uint64(0)
		for seq, ok := r.store.Next(nil, 0); ok && n < 200; seq, ok = r.store.Next(nil, seq+1) {
			n++
			called := false
			r.store.Fetch(seq, func(m Msg, err error) {
				called = true
				if err == nil {
					require.Equal(t, seq, m.Seq)
				}
			})
			r.settle()
			require.True(t, called)
		}
		r.store.Checkpoint(func([]byte, error) {})
		r.settle()
	})
}

func FuzzColumns(f *testing.F) {
	for v := range fileVariants {
		r := newFileRig(f, 0, fileVariants[v].o)
		r.story(f, false, func() bool { return false })
		for _, b := range r.store.(*store).blocks {
			if b.disk != nil {
				f.Add(b.appendColumns(nil), b.disk.framed)
			}
		}
	}
	f.Fuzz(func(t *testing.T, p []byte, framed bool) {
		b, ttls, err := decodeColumns(p, framed, 1<<30)
		if err != nil {
			return
		}
		for i := range b.slots {
			e := b.entry(i)
			require.Equal(t, i, b.at(b.seq(i)))
			_ = b.firstTimeSlot(e.time)
		}
		if !framed {
			b.cutFrames()
		}
		b.disk = &diskBlock{framed: framed}
		b.ttls = ttls
		require.Equal(t, p, b.appendColumns(nil))
	})
}

func FuzzBlockFile(f *testing.F) {
	for v := range fileVariants {
		_, files := seeds(f, v)
		for _, p := range files {
			f.Add(p, uint64(0), uint64(1), uint64(100))
		}
	}
	f.Fuzz(func(t *testing.T, p []byte, number, first, last uint64) {
		info := FileInfo{Name: baseName(number, blockSuffix)}
		info.inspect(p, &Options{})
		info = FileInfo{Name: baseName(number, subjectSuffix)}
		info.inspect(p, &Options{})
		if last < first || last-first > 1<<20 || last == 1<<64-1 || len(p) > 1<<20 {
			return
		}
		for _, framed := range []bool{false, true} {
			o := Options{}
			s := newStore(newWorld(0).strand, o, true)
			s.disk = &disk{st: s}
			m := manifestBlock{number: number, first: first, last: last, size: uint64(max(len(p)-fileHeaderLen, 0))}
			k := &diskBlock{framed: framed, codec: newCodec(&o, number, false)}
			op := &opening{d: s.disk}
			r := &rebuild{d: s.disk, m: &m, report: &Report{}, insert: op.insert}
			r.body(p, k)
			for i := range r.b.slots {
				e := r.b.entry(i)
				require.LessOrEqual(t, uint64(e.off)+uint64(e.length), uint64(r.b.size))
			}
		}
	})
}

func FuzzRecord(f *testing.F) {
	p := make([]byte, recordLen(flagHeader|flagDeadline, 3, 4, 5))
	putRecord(p, 7, 8, flagHeader|flagDeadline, []byte("a.b"), []byte("head"), []byte("hello"), 9)
	f.Add(p)
	f.Fuzz(func(t *testing.T, p []byte) {
		r, err := parseRecord(p)
		if err != nil {
			return
		}
		require.LessOrEqual(t, r.length, len(p))
		q := make([]byte, recordLen(r.flags, len(r.subject), len(r.header), len(r.data)))
		if len(q) == r.length && p[25] == 0 {
			putRecord(q, r.seq, r.time, r.flags, r.subject, r.header, r.data, r.deadline)
			require.Equal(t, p[4:r.length], q[4:])
		}
	})
}

func FuzzSubjectFrame(f *testing.F) {
	f.Add([]byte{0, 3, 'a', '.', 'b', 200, 1, 1, 'c'})
	f.Fuzz(func(t *testing.T, p []byte) {
		n := 0
		_ = decodeSubjects(p, func(_ uint64, text []byte) { n += len(text) })
		require.LessOrEqual(t, n, len(p))
	})
}
