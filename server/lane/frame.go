package lane

import (
	"encoding/binary"
	"fmt"
)

// FrameMax is the longest payload of a frame, in bytes: room for one entry of the greatest length, and what is
// said of it.
const FrameMax = 129 << 20

// What a frame is.
const (
	kindFrame byte = 1
	kindPing  byte = 2
	kindPong  byte = 3
)

const (
	headSize  = 5
	stampSize = 8 // payload of pings and pongs
	// keptMax bounds the buffer that a long frame leaves behind.
	keptMax = 256 << 10
)

func putHead(h *[headSize]byte, kind byte, n int) {
	binary.LittleEndian.PutUint32(h[:], uint32(n))
	h[4] = kind
}

// frame is one frame; its payload is valid until the next one is read.
type frame struct {
	kind    byte
	payload []byte
}

// reader finds frames in what arrives. It keeps what has arrived of the frame that is not whole yet, and
// nothing else.
type reader struct {
	part []byte
	done bool // part was given away as a frame
}

// next reads one frame of p and gives what follows it. ok is false when p ends before the frame does: it was kept,
// and the next call goes on.
func (r *reader) next(p []byte) (f frame, rest []byte, ok bool, err error) {
	if r.done {
		r.done, r.part = false, r.part[:0]
		if cap(r.part) > keptMax {
			r.part = nil
		}
	}
	if len(r.part) == 0 && len(p) >= headSize { // as a rule it is whole
		n, err := checkHead(p)
		if err != nil {
			return frame{}, nil, false, err
		}
		if end := headSize + n; len(p) >= end {
			return frame{p[4], p[headSize:end:end]}, p[end:], true, nil
		}
	}
	return r.gather(p)
}

// gather adds p to what has arrived of a frame.
func (r *reader) gather(p []byte) (f frame, rest []byte, ok bool, err error) {
	if want := headSize - len(r.part); want > 0 {
		n := min(want, len(p))
		r.part, p = append(r.part, p[:n]...), p[n:]
		if len(r.part) < headSize {
			return frame{}, nil, false, nil
		}
	}
	n, err := checkHead(r.part)
	if err != nil {
		return frame{}, nil, false, err
	}
	want := min(headSize+n-len(r.part), len(p))
	r.part, p = append(r.part, p[:want]...), p[want:]
	if len(r.part) < headSize+n {
		return frame{}, nil, false, nil
	}
	r.done = true
	return frame{r.part[4], r.part[headSize:]}, p, true, nil
}

// checkHead gives the length of the payload that a head announces.
func checkHead(h []byte) (int, error) {
	n := binary.LittleEndian.Uint32(h)
	switch kind := h[4]; kind {
	case kindFrame:
		if n > FrameMax {
			return 0, fmt.Errorf("frame of %d bytes, at most %d are taken", n, FrameMax)
		}
	case kindPing, kindPong:
		if n != stampSize {
			return 0, fmt.Errorf("frame of kind %d has %d bytes instead of %d", kind, n, stampSize)
		}
	default:
		return 0, fmt.Errorf("frame of kind %d, which is none", kind)
	}
	return int(n), nil
}
