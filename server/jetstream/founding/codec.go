package founding

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// What is kept is encoded as
//
//	version: one byte
//	memory
//	checksum: CRC-32C of all before, 4 bytes, little endian
//
// and a message as
//
//	version: one byte
//	flags:   one byte: asks for an answer
//	expected: uvarint
//	cluster: length, bytes
//	memory
//
// where memory is
//
//	flags:    one byte: forgot, begun, has accepted, has settled
//	seat:     id, birth
//	promised: round, by
//	accepted: round, by, seats of the basis, founding
//	settled:  founding
//
// A founding is 16 bytes, the voters' seats and the leader; seats are their count and, for each, its id less the
// one before and its birth. Numbers are uvarints, births 8 bytes, little endian.

const (
	keptVersion    = 1
	messageVersion = 1
	clusterNameMax = 1024 // bytes
)

const (
	flagForgot = 1 << iota
	flagBegun
	flagAccepted
	flagSettled
	flagsEnd
)

var (
	// ErrKept tells that what was kept cannot be read. It is not the same as nothing kept: see [Unreadable].
	ErrKept = errors.New("the record of the cluster's founding cannot be read")

	errMessage = errors.New("a message about the cluster's founding is not encoded as one")
	checksums  = crc32.MakeTable(crc32.Castagnoli)
)

// statement is what a message says: what its sender keeps durably.
type statement struct {
	Kept
	ask      bool // for an answer
	expected int
	cluster  string
}

// Encode gives what DecodeKept reads.
func (k *Kept) Encode() []byte {
	b := appendMemory([]byte{keptVersion}, k)
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, checksums))
}

// DecodeKept reads what Encode gave. Errors wrap [ErrKept].
func DecodeKept(b []byte) (*Kept, error) {
	const trailer = 4 // bytes
	if len(b) < 1+trailer {
		return nil, fmt.Errorf("%w: it has %d bytes", ErrKept, len(b))
	}
	body, sum := b[:len(b)-trailer], binary.LittleEndian.Uint32(b[len(b)-trailer:])
	if got := crc32.Checksum(body, checksums); got != sum {
		return nil, fmt.Errorf("%w: its checksum is %08x and not %08x", ErrKept, got, sum)
	}
	if body[0] != keptVersion {
		return nil, fmt.Errorf("%w: it has version %d, and this server knows %d", ErrKept, body[0], keptVersion)
	}
	r := reader{b: body[1:]}
	k := r.memory()
	if r.bad || len(r.b) > 0 {
		return nil, fmt.Errorf("%w: its fields make no sense", ErrKept)
	}
	return &k, nil
}

func appendStatement(dst []byte, s *statement) []byte {
	dst = append(dst, messageVersion, flagIf(s.ask, 1))
	dst = binary.AppendUvarint(dst, uint64(s.expected))
	dst = binary.AppendUvarint(dst, uint64(len(s.cluster)))
	dst = append(dst, s.cluster...)
	return appendMemory(dst, &s.Kept)
}

func parseStatement(b []byte) (statement, error) {
	r := reader{b: b}
	if r.byte() != messageVersion {
		return statement{}, errMessage
	}
	ask := r.byte()
	s := statement{ask: ask == 1, expected: int(r.number(ExpectedMax))}
	s.cluster = string(r.take(int(r.number(clusterNameMax))))
	s.Kept = r.memory()
	if r.bad || len(r.b) > 0 || ask > 1 || s.expected == 0 || s.Self.Birth == 0 {
		return statement{}, errMessage
	}
	return s, nil
}

func appendMemory(dst []byte, k *Kept) []byte {
	flags := flagIf(k.Forgot, flagForgot) | flagIf(k.Begun, flagBegun) |
		flagIf(k.Accepted.Founding != nil, flagAccepted) | flagIf(k.Settled != nil, flagSettled)
	dst = append(dst, flags)
	dst = appendSeat(dst, k.Self, 0)
	dst = appendBallot(dst, k.Promised)
	if k.Accepted.Founding != nil {
		dst = appendBallot(dst, k.Accepted.Ballot)
		dst = appendSeats(dst, k.Accepted.Basis)
		dst = appendFounding(dst, k.Accepted.Founding)
	}
	if k.Settled != nil {
		dst = appendFounding(dst, k.Settled)
	}
	return dst
}

func appendSeat(dst []byte, s Seat, before core.MemberID) []byte {
	dst = binary.AppendUvarint(dst, uint64(s.ID-before))
	return binary.LittleEndian.AppendUint64(dst, uint64(s.Birth))
}

func appendSeats(dst []byte, seats []Seat) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(seats)))
	before := core.MemberID(0)
	for _, s := range seats {
		dst = appendSeat(dst, s, before)
		before = s.ID
	}
	return dst
}

func appendBallot(dst []byte, b Ballot) []byte {
	dst = binary.AppendUvarint(dst, b.Round)
	return binary.LittleEndian.AppendUint64(dst, uint64(b.By))
}

func appendFounding(dst []byte, f *Founding) []byte {
	dst = append(dst, f.ID[:]...)
	dst = appendSeats(dst, f.Voters)
	return binary.AppendUvarint(dst, uint64(f.Leader))
}

func flagIf(set bool, flag byte) byte {
	if set {
		return flag
	}
	return 0
}

// reader takes fields from the front of b; bad tells that one was missing or impossible.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) fail() {
	r.bad, r.b = true, nil
}

func (r *reader) take(n int) []byte {
	if n > len(r.b) {
		r.fail()
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

// number reads a uvarint of at most limit.
func (r *reader) number(limit uint64) uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 || v > limit {
		r.fail()
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *reader) birth() Birth {
	if v := r.take(8); v != nil {
		return Birth(binary.LittleEndian.Uint64(v))
	}
	return 0
}

func (r *reader) memory() (k Kept) {
	flags := r.byte()
	if flags >= flagsEnd {
		r.fail()
	}
	k.Forgot, k.Begun = flags&flagForgot != 0, flags&flagBegun != 0
	k.Self = Seat{core.MemberID(r.number(1<<64 - 1)), r.birth()}
	k.Promised = r.ballot()
	if flags&flagAccepted != 0 {
		k.Accepted = Proposal{Ballot: r.ballot(), Basis: r.seats(ExpectedMax), Founding: r.founding()}
		if k.Accepted.Ballot.none() || k.Accepted.Ballot.above(k.Promised) {
			r.fail()
		}
	}
	if flags&flagSettled != 0 {
		k.Settled = r.founding()
	}
	return k
}

func (r *reader) ballot() Ballot { return Ballot{r.number(roundMax), r.birth()} }

// seats reads at least one, ascending by id.
func (r *reader) seats(limit uint64) []Seat {
	const least = 9 // bytes of a seat
	n := r.number(limit)
	if n == 0 || n > uint64(len(r.b)/least) {
		r.fail()
		return nil
	}
	seats := make([]Seat, 0, n)
	before := core.MemberID(0)
	for range n {
		step := core.MemberID(r.number(1<<64 - 1))
		s := Seat{before + step, r.birth()}
		if step == 0 || s.ID < before || s.Birth == 0 {
			r.fail()
			return nil
		}
		seats = append(seats, s)
		before = s.ID
	}
	return seats
}

func (r *reader) founding() *Founding {
	f := &Founding{}
	copy(f.ID[:], r.take(len(f.ID)))
	f.Voters = r.seats(core.MembersMax)
	f.Leader = core.MemberID(r.number(1<<64 - 1))
	if f.ID == (ID{}) || !f.has(f.Leader) {
		r.fail()
	}
	return f
}

func (f *Founding) has(id core.MemberID) bool {
	for _, v := range f.Voters {
		if v.ID == id {
			return true
		}
	}
	return false
}
