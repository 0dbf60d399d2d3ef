package msgs

import "encoding/binary"

// slot is what the index has on one message, beside its place, size and time: the number
// of its subject, and how far away the next and the previous message of that subject are, in sequences.
//
//	subject 4 | next 3 | previous 3
type slot [10]byte

const (
	noLink  = 0
	farLink = 1<<24 - 1 // the distance is in a map of the store
)

func newSlot(id uint32, next, prev uint32) (s slot) {
	binary.LittleEndian.PutUint32(s[0:4], id)
	s.setNext(next)
	s.setPrev(prev)
	return s
}

func (s *slot) id() uint32   { return binary.LittleEndian.Uint32(s[0:4]) }
func (s *slot) next() uint32 { return binary.LittleEndian.Uint32(s[4:8]) & farLink }
func (s *slot) prev() uint32 { return binary.LittleEndian.Uint32(s[6:10]) >> 8 }

func (s *slot) setNext(d uint32) { s[4], s[5], s[6] = byte(d), byte(d>>8), byte(d>>16) }
func (s *slot) setPrev(d uint32) { s[7], s[8], s[9] = byte(d), byte(d>>8), byte(d>>16) }

// links holds distances that slots have no room for, by sequence. It is never ranged over.
type links map[uint64]uint64

// next is the sequence of the next message of the same subject, or 0.
func (s *store) next(seq uint64) uint64 {
	b := s.blocks[s.blockAt(seq)]
	i := b.at(seq)
	if b.ends != nil && i < b.n-1 {
		return seq + 1
	}
	return s.nextBy(seq, b.look(i))
}

// prev is the sequence of the previous message of the same subject, or 0.
func (s *store) prev(seq uint64) uint64 {
	b := s.blocks[s.blockAt(seq)]
	i := b.at(seq)
	if b.ends != nil && i > 0 {
		return seq - 1
	}
	return s.prevBy(seq, b.look(i))
}

// nextBy is next, of a message whose slot is known.
func (s *store) nextBy(seq uint64, sl *slot) uint64 {
	switch d := sl.next(); d {
	case noLink:
		return 0
	case farLink:
		return seq + s.farNext[seq]
	default:
		return seq + uint64(d)
	}
}

// prevBy is prev, of a message whose slot is known.
func (s *store) prevBy(seq uint64, sl *slot) uint64 {
	switch d := sl.prev(); d {
	case noLink:
		return 0
	case farLink:
		return seq - s.farPrev[seq]
	default:
		return seq - uint64(d)
	}
}

// setNext makes to the next message of the same subject; 0 is none.
func (s *store) setNext(seq uint64, sl *slot, to uint64) {
	if sl.next() == farLink {
		delete(s.farNext, seq)
	}
	switch d := to - seq; {
	case to == 0:
		sl.setNext(noLink)
	case d < farLink:
		sl.setNext(uint32(d))
	default:
		if s.farNext == nil {
			s.farNext = make(links)
		}
		s.farNext[seq] = d
		sl.setNext(farLink)
	}
}

// setPrev makes to the previous message of the same subject; 0 is none.
func (s *store) setPrev(seq uint64, sl *slot, to uint64) {
	if sl.prev() == farLink {
		delete(s.farPrev, seq)
	}
	switch d := seq - to; {
	case to == 0:
		sl.setPrev(noLink)
	case d < farLink:
		sl.setPrev(uint32(d))
	default:
		if s.farPrev == nil {
			s.farPrev = make(links)
		}
		s.farPrev[seq] = d
		sl.setPrev(farLink)
	}
}

// subjectInfo is what the store has on one subject; count 0 is none. It is made of 32-bit
// parts so that it takes 20 bytes.
type subjectInfo struct {
	first, last [2]uint32
	count       uint32
}

func (i *subjectInfo) getFirst() uint64 { return uint64(i.first[0]) | uint64(i.first[1])<<32 }
func (i *subjectInfo) getLast() uint64  { return uint64(i.last[0]) | uint64(i.last[1])<<32 }

func (i *subjectInfo) setFirst(seq uint64) { i.first = [2]uint32{uint32(seq), uint32(seq >> 32)} }
func (i *subjectInfo) setLast(seq uint64)  { i.last = [2]uint32{uint32(seq), uint32(seq >> 32)} }

func (i *subjectInfo) state() SubjectState {
	return SubjectState{Count: uint64(i.count), First: i.getFirst(), Last: i.getLast()}
}

// infoTable is subjectInfo by subject id, in pages so that growing copies little.
type infoTable struct{ pages [][]subjectInfo }

const infoPage = 1 << 12

// grow makes room for ids below n.
func (t *infoTable) grow(n int) {
	for len(t.pages)*infoPage < n {
		t.pages = append(t.pages, nil)
	}
	for p := range t.pages {
		want := min(n-p*infoPage, infoPage)
		if len(t.pages[p]) < want {
			page := make([]subjectInfo, min(max(want, 2*len(t.pages[p]), 8), infoPage))
			copy(page, t.pages[p])
			t.pages[p] = page
		}
	}
}

// ensure makes room for id.
func (t *infoTable) ensure(id uint32) {
	p, i := int(id/infoPage), int(id%infoPage)
	if p < len(t.pages) && i < len(t.pages[p]) {
		return
	}
	for p >= len(t.pages) {
		t.pages = append(t.pages, nil)
	}
	size := infoPage
	if p == 0 {
		size = min(max(i+1, 2*len(t.pages[0]), 8), infoPage)
	}
	page := make([]subjectInfo, size)
	copy(page, t.pages[p])
	t.pages[p] = page
}

// of is the entry of an id below what ensure was told.
func (t *infoTable) of(id uint32) *subjectInfo { return &t.pages[id/infoPage][id%infoPage] }
