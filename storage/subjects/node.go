package subjects

import (
	"encoding/binary"
	"math/bits"
)

// The ordered part is a radix tree: the labels of the inner nodes from the root down, one after
// another, are the prefix that all subjects below have in common. A record is a leaf or an
// inner node; both begin alike.
//
//	byte 0      kind
//	byte 1      of an inner node, the number of children minus one
//	byte 2, 3   length of the label
//	byte 4      of a leaf, its id; of an inner node, the leaf of the subject that ends here, or 0
//	byte 8      label, filled up to whole words
//
// A leaf's label is its whole subject: finding one by its hash then compares one
// piece of memory, and telling its text reads one.
//
// In an inner node there follows what tells the children apart, by the byte after the prefix, and as
// many references as the kind has room for, ascending. Up to 16 children have their bytes in a
// list, more have a bit each in a set of 256. Labels are not empty, but for the root's. An inner
// node has two children, or one and a subject that ends, or more.
const (
	leafKind    = 0
	listKinds   = 5 // kinds 1 to 5
	kindLast    = 13
	labelAt     = 8
	bitmapBytes = 32
)

// capacity is how many children a kind has room for.
var capacity = [16]uint16{0, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256}

// keyBytes is the length of what tells children apart.
var keyBytes = [16]uint8{0, 4, 4, 8, 12, 16,
	bitmapBytes, bitmapBytes, bitmapBytes, bitmapBytes, bitmapBytes, bitmapBytes, bitmapBytes, bitmapBytes}

// node is the bytes of a record, and of what follows it in its chunk.
type node []byte

func (p node) kind() uint8      { return p[0] }
func (p node) count() int       { return int(p[1]) + 1 }
func (p node) setCount(n int)   { p[1] = byte(n - 1) }
func (p node) labelLen() int    { return int(binary.LittleEndian.Uint16(p[2:])) }
func (p node) label() []byte    { return p[labelAt : labelAt+p.labelLen()] }
func (p node) id() uint32       { return binary.LittleEndian.Uint32(p[4:]) }
func (p node) end() uint32      { return binary.LittleEndian.Uint32(p[4:]) }
func (p node) setEnd(r uint32)  { binary.LittleEndian.PutUint32(p[4:], r) }
func (p node) full() bool       { return p.count() == int(capacity[p.kind()]) }
func (p node) list() bool       { return p.kind() <= listKinds }
func (p node) words() uint32    { return wordsOf(p.kind(), p.labelLen()) }
func padded(n int) int          { return (n + 3) &^ 3 }
func keysAt(label int) int      { return labelAt + padded(label) }
func (p node) keys() []byte     { return p[keysAt(p.labelLen()):] }
func (p node) childrenAt() int  { return keysAt(p.labelLen()) + int(keyBytes[p.kind()]) }
func (p node) children() []byte { return p[p.childrenAt():] }

// child is the i-th reference.
func (p node) child(i int) uint32 { return binary.LittleEndian.Uint32(p[p.childrenAt()+4*i:]) }

// wordsOf is the length of a record.
func wordsOf(kind uint8, label int) uint32 {
	return uint32(keysAt(label)+int(keyBytes[kind])+4*int(capacity[kind])) / 4
}

// kindFor is the smallest kind with room for n children.
func kindFor(n int) uint8 {
	kind := uint8(1)
	for int(capacity[kind]) < n {
		kind++
	}
	return kind
}

const (
	lowBits  = 0x0101010101010101
	highBits = 0x8080808080808080
)

// indexIn8 is where c stands first among eight bytes, or 8.
func indexIn8(w uint64, c byte) int {
	x := w ^ lowBits*uint64(c)
	return bits.TrailingZeros64((x-lowBits)&^x&highBits) / 8
}

// find gives the place of the child that goes on with c.
func (p node) find(c byte) (i int, ok bool) {
	keys := p.keys()
	switch kind := p.kind(); {
	case kind <= 2:
		i = indexIn8(uint64(binary.LittleEndian.Uint32(keys)), c)
	case kind == 3:
		i = indexIn8(binary.LittleEndian.Uint64(keys), c)
	case kind <= listKinds:
		if i = indexIn8(binary.LittleEndian.Uint64(keys), c); i == 8 {
			if kind == 4 {
				i += indexIn8(uint64(binary.LittleEndian.Uint32(keys[8:])), c)
			} else {
				i += indexIn8(binary.LittleEndian.Uint64(keys[8:]), c)
			}
		}
	default:
		return rank(keys, c)
	}
	return i, i < p.count() // what stands behind the list's end may look like anything
}

// rank counts the members of a set below c, and tells whether c is one.
func rank(set []byte, c byte) (n int, member bool) {
	set = set[:bitmapBytes]
	w := int(c >> 6)
	for i := range w {
		n += bits.OnesCount64(binary.LittleEndian.Uint64(set[8*i:]))
	}
	word := binary.LittleEndian.Uint64(set[8*w:])
	bit := uint64(1) << (c & 63)
	return n + bits.OnesCount64(word&(bit-1)), word&bit != 0
}

// place is where a child with first byte c stands or would stand.
func (p node) place(c byte) int {
	keys := p.keys()
	if !p.list() {
		n, _ := rank(keys, c)
		return n
	}
	i, n := 0, p.count()
	for i < n && keys[i] < c {
		i++
	}
	return i
}

// insert adds a child in a node that has room. n is how many there are.
func (p node) insert(n int, c byte, ref uint32) {
	i, keys, refs := 0, p.keys(), p.children()
	if p.list() {
		for i < n && keys[i] < c {
			i++
		}
		copy(keys[i+1:n+1], keys[i:n])
		keys[i] = c
	} else {
		i, _ = rank(keys, c)
		keys[c>>3] |= 1 << (c & 7)
	}
	copy(refs[4*i+4:4*n+4], refs[4*i:4*n])
	binary.LittleEndian.PutUint32(refs[4*i:], ref)
	p.setCount(n + 1)
}

// remove takes the child with first byte c out; one must be left.
func (p node) remove(c byte) {
	i, n, keys, refs := p.place(c), p.count(), p.keys(), p.children()
	if p.list() {
		copy(keys[i:n-1], keys[i+1:n])
	} else {
		keys[c>>3] &^= 1 << (c & 7)
	}
	copy(refs[4*i:4*n-4], refs[4*i+4:4*n])
	p.setCount(n - 1)
}

// begin writes what all records begin with. The label's bytes are up to the caller.
func (p node) begin(kind uint8, label int, idOrEnd uint32) {
	p[0], p[1] = kind, 0
	binary.LittleEndian.PutUint16(p[2:], uint16(label))
	p.setEnd(idOrEnd)
	if kind > listKinds {
		clear(p.keys()[:bitmapBytes])
	}
}

// each calls fn for each child in order, with the byte it goes on with, until fn returns
// false.
func (p node) each(fn func(c byte, ref uint32) bool) bool {
	keys := p.keys()
	if p.list() {
		for i := range p.count() {
			if !fn(keys[i], p.child(i)) {
				return false
			}
		}
		return true
	}
	i := 0
	for w := range 4 {
		for word := binary.LittleEndian.Uint64(keys[8*w:]); word != 0; word &= word - 1 {
			if !fn(byte(64*w+bits.TrailingZeros64(word)), p.child(i)) {
				return false
			}
			i++
		}
	}
	return true
}

// takeChildren gives an inner node without children those of another.
func (p node) takeChildren(from node) {
	n := from.count()
	copy(p.children()[:4*n], from.children()[:4*n])
	p.setCount(n)
	keys, had := p.keys()[:keyBytes[p.kind()]], from.keys()[:keyBytes[from.kind()]]
	switch {
	case p.list() == from.list():
		copy(keys, had)
	case from.list():
		for _, c := range had[:n] {
			keys[c>>3] |= 1 << (c & 7)
		}
	default:
		i := 0
		from.each(func(c byte, _ uint32) bool { keys[i] = c; i++; return true })
	}
}
