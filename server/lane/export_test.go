package lane

// Reader, for tests of its own.
type Reader = reader

// Next is one frame, copied.
func (r *Reader) Next(p []byte) (kind byte, payload, rest []byte, ok bool, err error) {
	f, rest, ok, err := r.next(p)
	return f.kind, f.payload, rest, ok, err
}

// Held is how much memory the reader keeps.
func (r *Reader) Held() int { return cap(r.part) }
