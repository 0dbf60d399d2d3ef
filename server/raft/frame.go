package raft

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// A frame carries sections of several groups from one server to another:
//
//	version:  one byte
//	sections: group and incarnation (uvarints), kind (one byte), and by kind
//	          message: length (uvarint), an encoded core.Message
//	          leads, follows: term (uvarint)
//
// Sections follow one another to the end of the frame.

// frameVersion is the first byte of a frame.
const frameVersion = 1

type sectionKind uint8

const (
	// sectionMessage holds a message of consensus.
	sectionMessage sectionKind = iota
	// sectionLeads: the sender leads the group in the term.
	sectionLeads
	// sectionFollows: the sender follows the receiver in the term.
	sectionFollows
)

// section is a part of a frame that concerns one group.
type section struct {
	id      ID
	kind    sectionKind
	term    core.Term
	message []byte // part of the frame
}

var errFrame = errors.New("a frame of consensus is not encoded as one")

// appendMessage appends a section with a message.
func appendMessage(dst []byte, id ID, m *core.Message) []byte {
	dst = appendHead(dst, id, sectionMessage)
	at := len(dst)
	dst = append(dst, 0, 0, 0, 0, 0)
	dst = core.AppendMessage(dst, m)
	putPadded(dst[at:at+paddedLen], uint64(len(dst)-at-paddedLen))
	return dst
}

// paddedLen is how many bytes the length of a message takes: a uvarint of fixed length, since it is known
// only when the message is written.
const paddedLen = 5

func putPadded(dst []byte, n uint64) {
	for i := range dst {
		dst[i] = byte(n) | 0x80
		n >>= 7
	}
	dst[len(dst)-1] &^= 0x80
}

// appendAlive appends a section that tells who leads or follows.
func appendAlive(dst []byte, id ID, kind sectionKind, term core.Term) []byte {
	return binary.AppendUvarint(appendHead(dst, id, kind), uint64(term))
}

func appendHead(dst []byte, id ID, kind sectionKind) []byte {
	dst = binary.AppendUvarint(dst, id.Group)
	dst = binary.AppendUvarint(dst, id.Incarnation)
	return append(dst, byte(kind))
}

// nextSection reads the section at the front of p, and tells what follows it.
func nextSection(p []byte) (s section, rest []byte, err error) {
	r := frameReader{p: p}
	s.id = ID{Group: r.uint(), Incarnation: r.uint()}
	s.kind = sectionKind(r.byte())
	switch s.kind {
	case sectionMessage:
		s.message = r.bytes()
	case sectionLeads, sectionFollows:
		s.term = core.Term(r.uint())
	default:
		r.bad = true
	}
	if r.bad {
		return section{}, nil, errFrame
	}
	return s, r.p, nil
}

// sections checks the head of a frame, and tells where its sections begin.
func sections(p []byte) ([]byte, error) {
	if len(p) == 0 || p[0] != frameVersion {
		return nil, fmt.Errorf("%w: want version %d", errFrame, frameVersion)
	}
	return p[1:], nil
}

// frameReader takes fields from the front of p; bad tells that one was missing.
type frameReader struct {
	p   []byte
	bad bool
}

func (r *frameReader) uint() uint64 {
	v, n := binary.Uvarint(r.p)
	if n <= 0 {
		r.bad, r.p = true, nil
		return 0
	}
	r.p = r.p[n:]
	return v
}

func (r *frameReader) byte() byte {
	if len(r.p) == 0 {
		r.bad = true
		return 0
	}
	v := r.p[0]
	r.p = r.p[1:]
	return v
}

func (r *frameReader) bytes() []byte {
	n := r.uint()
	if n > uint64(len(r.p)) {
		r.bad, r.p = true, nil
		return nil
	}
	v := r.p[:n:n]
	r.p = r.p[n:]
	return v
}
