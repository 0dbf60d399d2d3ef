package msgs

// Load answers from memory.
func (s *store) Load(seq uint64) (Msg, Found) {
	b, i, ok := s.locate(seq)
	if !ok || s.closed {
		return Msg{}, None
	}
	p := b.record(b.entry(i))
	if p == nil {
		return Msg{}, Cold
	}
	r, err := parseRecord(p)
	if err != nil {
		panic("msgs: the index points at no record: " + err.Error())
	}
	return r.message(), Cached
}

// Fetch answers later, from memory or disk.
func (s *store) Fetch(seq uint64, done func(Msg, error)) {
	m, found := s.Load(seq)
	switch {
	case s.closed:
		s.strand.Post(func() { done(Msg{}, ErrClosed) })
	case found == Cached:
		s.strand.Post(func() { done(m, nil) })
	case found == None:
		s.strand.Post(func() { done(Msg{}, ErrNotFound) })
	default:
		s.disk.fetch(seq, done)
	}
}

// Checkpoint of a memory store has nothing to do.
func (s *store) Checkpoint(done func(manifest []byte, err error)) {
	if s.disk == nil {
		s.strand.Post(func() { done(nil, nil) })
		return
	}
	s.disk.checkpoint(done)
}

// Release lets go of files that only earlier manifests need.
func (s *store) Release(manifest []byte) {
	if s.disk != nil {
		s.disk.release(manifest)
	}
}

// Unwritten is the number of bytes that only memory and the log have.
func (s *store) Unwritten() int64 {
	if s.disk == nil {
		return 0
	}
	return s.disk.unwritten()
}

// Full tells whether enough waits for space on the disk.
func (s *store) Full() bool {
	d := s.disk
	return d != nil && d.short.full && d.unwritten() >= int64(s.blockBytes)
}

// SetCompression says how blocks are written from now on.
func (s *store) SetCompression(c Compression) {
	if s.disk != nil {
		s.disk.compression = c
	}
}

// Close lets go of the files.
func (s *store) Close() {
	if s.closed {
		return
	}
	s.closed = true
	if s.disk != nil {
		s.disk.close()
	}
}

// Delete lets go of the files and removes them.
func (s *store) Delete(done func(error)) {
	s.Close()
	if s.disk == nil {
		s.strand.Post(func() { done(nil) })
		return
	}
	s.disk.removeAll(done)
}
