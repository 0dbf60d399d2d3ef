package subject

const (
	chunkMax = 128 // entries of a chunk: what one change copies at most
	chunkLow = 32  // chunks together below it become one
)

// A bag is an immutable sorted list in chunks: a change copies one chunk and the
// list of chunks, so that one of 100,000 receivers of a subject comes and goes
// without copying the others. Only appending writes to memory that older versions
// share, behind their end, where they do not look; the history of a bag is a line.
type bag[E any] struct {
	chunks [][]E
	size   int
}

// search gives the place of the first entry that is not before, which may be
// behind the last entry of the last chunk.
func (b bag[E]) search(before func(E) bool) (c, i int) {
	lo, hi := 0, len(b.chunks)
	for lo < hi {
		mid := (lo + hi) / 2
		if chunk := b.chunks[mid]; before(chunk[len(chunk)-1]) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == len(b.chunks) {
		if lo == 0 {
			return 0, 0
		}
		return lo - 1, len(b.chunks[lo-1])
	}
	chunk := b.chunks[lo]
	from, to := 0, len(chunk)
	for from < to {
		mid := (from + to) / 2
		if before(chunk[mid]) {
			from = mid + 1
		} else {
			to = mid
		}
	}
	return lo, from
}

// replace gives b with the chunks [c, to) replaced by others.
func (b bag[E]) replace(c, to, size int, by ...[]E) bag[E] {
	chunks := make([][]E, 0, len(b.chunks)-(to-c)+len(by))
	chunks = append(chunks, b.chunks[:c]...)
	chunks = append(chunks, by...)
	return bag[E]{append(chunks, b.chunks[to:]...), size}
}

func (b bag[E]) insert(c, i int, e E) bag[E] {
	if b.size == 0 {
		return bag[E]{[][]E{{e}}, 1}
	}
	chunk, atEnd := b.chunks[c], i == len(b.chunks[c])
	switch {
	case atEnd && len(chunk) < chunkMax:
		return b.replace(c, c+1, b.size+1, append(chunk, e))
	case atEnd:
		return b.replace(c+1, c+1, b.size+1, []E{e})
	case len(chunk) < chunkMax:
		return b.replace(c, c+1, b.size+1, spliced(chunk, i, e))
	}
	half := len(chunk) / 2
	low, high := chunk[:half:half], chunk[half:]
	if i <= half {
		return b.replace(c, c+1, b.size+1, spliced(low, i, e), append([]E(nil), high...))
	}
	return b.replace(c, c+1, b.size+1, low, spliced(high, i-half, e))
}

func spliced[E any](chunk []E, i int, e E) []E {
	out := make([]E, 0, len(chunk)+1)
	out = append(append(out, chunk[:i]...), e)
	return append(out, chunk[i:]...)
}

func (b bag[E]) remove(c, i int) bag[E] {
	if b.size == 1 {
		return bag[E]{}
	}
	chunk := b.chunks[c]
	left := make([]E, 0, len(chunk)-1)
	left = append(append(left, chunk[:i]...), chunk[i+1:]...)
	if c+1 < len(b.chunks) && len(left)+len(b.chunks[c+1]) < chunkLow {
		return b.replace(c, c+2, b.size-1, append(left, b.chunks[c+1]...))
	}
	if c > 0 && len(left)+len(b.chunks[c-1]) < chunkLow {
		merged := make([]E, 0, chunkLow)
		merged = append(append(merged, b.chunks[c-1]...), left...)
		return b.replace(c-1, c+1, b.size-1, merged)
	}
	if len(left) == 0 {
		return b.replace(c, c+1, b.size-1)
	}
	return b.replace(c, c+1, b.size-1, left)
}

// set gives b with the entry at a place replaced.
func (b bag[E]) set(c, i int, e E) bag[E] {
	chunk := append([]E(nil), b.chunks[c]...)
	chunk[i] = e
	return b.replace(c, c+1, b.size, chunk)
}
