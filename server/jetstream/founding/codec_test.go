package founding

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

func drawSeats(t *rapid.T, most int) []Seat {
	ids := rapid.SliceOfNDistinct(rapid.Uint64Min(1), 1, most, rapid.ID).Draw(t, "ids")
	slices.Sort(ids)
	var seats []Seat
	for _, id := range ids {
		seats = append(seats, Seat{core.MemberID(id), Birth(rapid.Uint64Min(1).Draw(t, "birth"))})
	}
	return seats
}

func drawFounding(t *rapid.T) *Founding {
	f := &Founding{Voters: drawSeats(t, core.MembersMax)}
	f.Leader = rapid.SampledFrom(f.Voters).Draw(t, "leader").ID
	for i := range f.ID {
		f.ID[i] = rapid.Byte().Draw(t, "digit")
	}
	f.ID[0] |= 1
	return f
}

func drawKept(t *rapid.T) *Kept {
	k := &Kept{Self: drawSeats(t, 1)[0], Forgot: rapid.Bool().Draw(t, "forgot"), Begun: rapid.Bool().Draw(t, "begun")}
	k.Promised = Ballot{rapid.Uint64Range(1, roundMax).Draw(t, "round"), Birth(rapid.Uint64().Draw(t, "by"))}
	if rapid.Bool().Draw(t, "accepted") {
		k.Accepted = Proposal{Ballot: k.Promised, Basis: drawSeats(t, 40), Founding: drawFounding(t)}
	}
	if rapid.Bool().Draw(t, "settled") {
		k.Settled = drawFounding(t)
	}
	return k
}

func TestKeptComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		k := drawKept(t)
		b := k.Encode()
		got, err := DecodeKept(b)
		require.NoError(t, err)
		require.Equal(t, k, got)

		b[rapid.IntRange(0, len(b)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		_, err = DecodeKept(b)
		require.ErrorIs(t, err, ErrKept)
	})
}

func TestMessageComesBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := statement{Kept: *drawKept(t), ask: rapid.Bool().Draw(t, "ask"), expected: rapid.IntRange(1, ExpectedMax).Draw(t, "expected"), cluster: rapid.StringN(0, 20, 80).Draw(t, "cluster")}
		b := appendStatement(nil, &s)
		got, err := parseStatement(b)
		require.NoError(t, err)
		require.Equal(t, s, got)
		for cut := range b {
			_, err = parseStatement(b[:cut])
			require.Error(t, err, "the first %d bytes", cut)
		}
	})
}

func TestIDIsTextOf22LettersAndDigits(t *testing.T) {
	require.Equal(t, "0000000000000000000000", ID{}.String())
	require.Equal(t, "0000000000000000000011", ID{15: 63}.String())
	all := ID{}
	for i := range all {
		all[i] = 0xff
	}
	require.Equal(t, "7n42DGM5Tflk9n8mt7Fhc7", all.String())
}

// FuzzKept: no bytes on disk make a server panic, and what is read is written the same.
func FuzzKept(f *testing.F) {
	f.Add([]byte{})
	f.Add((&Kept{Self: Seat{1, 2}}).Encode())
	f.Add(sample().Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		r := reader{b: b} // the checksum would hide everything
		k := r.memory()
		if r.bad {
			return
		}
		got, err := DecodeKept(k.Encode())
		require.NoError(t, err)
		require.Equal(t, &k, got)
		_, _ = DecodeKept(b)
	})
}

// FuzzMessage: no bytes from a peer make a server panic or say what nobody can read.
func FuzzMessage(f *testing.F) {
	s := statement{Kept: *sample(), expected: 3, cluster: "c", ask: true}
	f.Add(appendStatement(nil, &s))
	s.Settled, s.Promised = nil, Ballot{roundMax, 3}
	f.Add(appendStatement(nil, &s))
	s.Accepted = Proposal{}
	f.Add(appendStatement(nil, &s))
	f.Add([]byte{messageVersion + 1, 0, 3})
	f.Fuzz(func(t *testing.T, b []byte) {
		o := DefaultOptions(1, "n1", "c", 3, rand.New(rand.NewPCG(1, 1)))
		n, err := New(o, nil, 0)
		require.NoError(t, err)
		n.Up(2, "n2")
		n.Message(2, b)
		for range 50 {
			for n.HasReady() {
				r := n.Ready()
				for _, m := range r.Messages {
					_, err := parseStatement(m.Data)
					require.NoError(t, err)
				}
				if r.Kept != nil {
					_, err := DecodeKept(r.Kept.Encode())
					require.NoError(t, err)
					n.Persisted()
				}
			}
			d := n.Deadline()
			if d == 0 {
				break
			}
			require.Greater(t, d, n.now)
			n.Advance(d)
			n.Message(2, b)
		}
		_ = n.State().String()
		require.Less(t, n.now, time.Hour)
	})
}

func sample() *Kept {
	f := &Founding{ID: ID{1}, Voters: []Seat{{2, 3}, {5, 6}}, Leader: 2}
	return &Kept{Self: Seat{2, 3}, Promised: Ballot{2, 3}, Accepted: Proposal{Ballot{1, 6}, f.Voters, f}, Settled: f}
}
