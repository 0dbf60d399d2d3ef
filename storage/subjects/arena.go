package subjects

import (
	"encoding/binary"
	"math/bits"
)

// Everything of a map but its table of ids stands in chunks of bytes, so that the
// garbage collector sees a handful of objects, whatever the number of subjects. A
// reference is the number of a 4-byte word, counted through all chunks; 0 is none.
const (
	chunkShift = 16 // words in a chunk, as a power of two
	chunkWords = 1 << chunkShift
	chunkMask  = chunkWords - 1
	chunkBytes = 4 * chunkWords
	chunksMax  = 1 << (31 - chunkShift) // 8 GiB: the top bit of a table entry is taken
	// chunkFirst is the first chunk's length to begin with; it doubles.
	chunkFirst = 256
)

const (
	rootSlot  = 1 // the word that refers to the root record
	wordsUsed = 2 // words before the first record
)

// Free pieces are kept in lists by size: one for each number of words up to
// exactWords, then four for each power of two.
const (
	exactWords = 32
	classCount = exactWords + 4*11 + 1
)

type arena struct {
	chunks [][]byte
	next   uint32 // the first word that was never handed out
	unused uint32 // words handed out before and free now
	free   [classCount]uint32
	any    [2]uint64 // a bit for each list that is not empty
}

// classOf is the smallest class whose pieces hold this many words, and their size.
func classOf(words uint32) (class, size uint32) {
	if words <= exactWords {
		return words, words
	}
	k := uint32(bits.Len32(words - 1)) // above 2^(k-1), up to 2^k
	step := uint32(1) << (k - 3)
	n := (words + step - 1) / step // 5 to 8
	return exactWords + 4*(k-6) + n - 4, n * step
}

// classWithin is the largest class whose pieces are no longer than this.
func classWithin(words uint32) (class, size uint32) {
	class, size = classOf(words)
	if size == words {
		return class, size
	}
	k := uint32(bits.Len32(words - 1))
	step := uint32(1) << (k - 3)
	return class - 1, size - step
}

// sizeOf is the length of the pieces of a class, in words.
func sizeOf(class uint32) uint32 {
	if class <= exactWords {
		return class
	}
	k, n := (class-exactWords-1)/4, (class-exactWords-1)%4
	return (n + 5) << (k + 3)
}

// at is the chunk from this word on. It is valid until the next alloc.
func (a *arena) at(ref uint32) []byte {
	return a.chunks[ref>>chunkShift][(ref&chunkMask)<<2:]
}

func (a *arena) word(ref uint32) uint32       { return binary.LittleEndian.Uint32(a.at(ref)) }
func (a *arena) setWord(ref uint32, w uint32) { binary.LittleEndian.PutUint32(a.at(ref), w) }

// full tells that a few more records might not find room.
func (a *arena) full() bool { return len(a.chunks) > chunksMax-4 }

// reset lets go of everything but the first chunk.
func (a *arena) reset() {
	if len(a.chunks) == 0 {
		a.chunks = [][]byte{make([]byte, chunkFirst)}
	}
	clear(a.chunks[1:])
	*a = arena{chunks: a.chunks[:1], next: wordsUsed}
	a.setWord(rootSlot, 0)
}

// alloc gives a piece of at least this many words; its content is anything.
func (a *arena) alloc(words uint32) uint32 {
	class, size := classOf(words)
	if ref := a.free[class]; ref != 0 {
		a.unlink(class, ref)
		return ref
	}
	if a.unused > a.next/8 {
		if ref := a.split(class, size); ref != 0 {
			return ref
		}
	}
	if a.next&chunkMask+size > chunkWords || int(a.next>>chunkShift) == len(a.chunks) {
		a.nextChunk(size)
	}
	a.growFirst(size)
	ref := a.next
	a.next += size
	return ref
}

// nextChunk begins a chunk, unless the present one has room.
func (a *arena) nextChunk(size uint32) {
	if rest := a.next & chunkMask; rest != 0 {
		a.growFirst(chunkWords - rest)
		a.give(a.next, chunkWords-rest)
		a.next += chunkWords - rest
	}
	a.chunks = append(a.chunks, make([]byte, chunkBytes))
}

// growFirst doubles the first chunk until size more words fit in.
func (a *arena) growFirst(size uint32) {
	if a.next >= chunkWords {
		return
	}
	need, have := 4*int(a.next+size), len(a.chunks[0])
	if need <= have {
		return
	}
	for have < need {
		have *= 2
	}
	grown := make([]byte, have)
	copy(grown, a.chunks[0])
	a.chunks[0] = grown
}

// split takes a piece of this class from a longer one.
func (a *arena) split(class, size uint32) uint32 {
	longer := class + 1
	w := longer / 64
	set := a.any[w] >> (longer % 64) << (longer % 64)
	if set == 0 && w == 0 {
		w, set = 1, a.any[1]
	}
	if set == 0 {
		return 0
	}
	from := 64*w + uint32(bits.TrailingZeros64(set))
	ref := a.free[from]
	a.unlink(from, ref)
	a.give(ref+size, sizeOf(from)-size)
	return ref
}

func (a *arena) unlink(class, ref uint32) {
	a.free[class] = a.word(ref)
	if a.free[class] == 0 {
		a.any[class/64] &^= 1 << (class % 64)
	}
	a.unused -= sizeOf(class)
}

// release gives back what alloc gave for this many words.
func (a *arena) release(ref, words uint32) {
	_, size := classOf(words)
	a.give(ref, size)
}

// give makes free pieces of a run of words.
func (a *arena) give(ref, words uint32) {
	for words > 0 {
		class, size := classWithin(words)
		a.setWord(ref, a.free[class])
		a.free[class] = ref
		a.any[class/64] |= 1 << (class % 64)
		a.unused += size
		ref, words = ref+size, words-size
	}
}

// trim gives back the end of a piece that shrank.
func (a *arena) trim(ref, words, shorter uint32) {
	_, old := classOf(words)
	_, now := classOf(shorter)
	a.give(ref+now, old-now)
}
