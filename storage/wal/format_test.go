package wal

import (
	"bytes"
	"encoding/hex"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// pinnedLog is the log of the pinned bytes.
const pinnedLog = 0x0123456789abcdef

// TestFormatIsPinned holds the format as it is on disks: whoever changes it changes the version, and
// reads both.
func TestFormatIsPinned(t *testing.T) {
	const log = pinnedLog
	into := newRepeat(log, &segment{number: 2}, &fileHeader{log: log, segment: 2, first: 7, joined: 4096, previous: 0xfeedf00d, oldest: 1})
	c := &chunk{buf: make([]byte, chunkHeaderLen)}
	c.kind, c.id, c.nth, c.index, c.term = kindEntries, ID{5, 6}, 9, 11, 3
	c.add(0, []byte("hello"))
	c.add(1, nil)
	c.to = c.count
	c.finish(nil, nil)
	into.begin()
	into.add(&c.chunkHeader, c.buf[chunkHeaderLen:chunkHeaderLen+c.length])
	hard := chunkHeader{kind: kindHard, id: ID{5, 6}, nth: 10, others: 0x776655443322}
	hard.setHard(HardState{3, 1, 0x1122334455667788})
	into.add(&hard, nil)
	lost := c.marker()
	into.add(&lost, nil)
	into.add(&chunkHeader{kind: kindReset, id: ID{5, 6}, nth: 11, index: 8, term: 2, to: 1, count: 4, bodySum: sumOf(nil)}, nil)
	into.end()
	st := newState(ID{5, 6})
	st.nth, st.others, st.hard = 10, 4, HardState{3, 1, 9}
	st.damage = ErrDamaged
	st.done.index = 8
	into.census([]*groupState{st}, false)
	require.Equal(t, pinned, hex.EncodeToString(into.content))

	assert.Equal(t, "4c5357414c49445402000000332ec93eefcdab896745230109000000736572766572206e31", hex.EncodeToString(encodeIdentity(log, "server n1")))
}

const pinned = "" +
	"4c5357414c534547020000006d3cffdbefcdab89674523010200000000000000070000000000000000100000000000000df0edfe000000000100000000000000" +
	"514d3039574154426d3cffdb58a8e7d7020000000000000040000000000000004000000000000000070000000000000030010000040000000000000000000000" +
	"9622db5a49c15ffa0500000000000000060000000000000009000000000000000b0000000000000003000000000000000000000002000000020000000d000000" +
	"01000000000000000500000068656c6c6f0000001000000069e3885b00000000050000000000000006000000000000000a000000000000000300000000000000" +
	"0100000000000000887766554433221100000000000000000300223344556677fa6b0eb700000000050000000000000006000000000000000900000000000000" +
	"0b000000000000000300000000000000000000000200000002000000000000000900000000000000b36c5ee60000000005000000000000000600000000000000" +
	"0b00000000000000080000000000000002000000000000000000000001000000040000000000000008000000000000002ad85d8e57415442514d30390785e36c" +
	"0200000000000000b001000000000000400000000000000008000000000000009000000001000000000000000000000066f8135eb79cf6dd0000000000000000" +
	"00000000000000000000000000000000000000000000000000000000000000000000000000000000010000004800000007000000000000000500000000000000" +
	"06000000000000000a00000000000000080000000000000008000000000000000300000000000000010000000000000009000000000000000300040000000000"

const pinnedV1 = "" +
	"4c5357414c534547010000006257a032efcdab89674523010200000000000000070000000000000000100000000000000df0edfe000000000100000000000000" +
	"e6b90fcc574154426257a0329858eebe0200000000000000400000000000000040000000000000000700000000000000a0000000020000000000000000000000" +
	"9622db5a49c15ffa0500000000000000060000000000000009000000000000000b0000000000000003000000000000000000000002000000020000000d000000" +
	"01000000000000000500000068656c6c6f00000010000000fd0e614500000000050000000000000006000000000000000a000000000000000300000000000000" +
	"0100000000000000000000000000000000000000000000000300000000000000f949e81857415442e6b90fcc5174f80d02000000000000002001000000000000" +
	"400000000000000008000000000000008800000001000000000000000000000096b456e3fd180213000000000000000000000000000000000000000000000000" +
	"00000000000000000000000000000000000000000000000001000000400000000700000000000000050000000000000006000000000000000a00000000000000" +
	"08000000000000000800000000000000030000000000000001000000000000000000000000000000"

// TestFormatOfVersion1IsRead reads the bytes that the first version wrote: no member has a life there.
func TestFormatOfVersion1IsRead(t *testing.T) {
	content, err := hex.DecodeString(pinnedV1)
	require.NoError(t, err)
	h, sum, err := parseFileHeader(content)
	require.NoError(t, err)
	s := &scan{seg: &segment{number: 2}, log: pinnedLog, buf: content, limit: int64(len(content)), number: 7, header: h, headerOK: true, previous: sum}
	s.walk()
	require.Empty(t, s.regions)
	require.Nil(t, s.torn)
	require.Len(t, s.batches, 2)
	var entries []Entry
	var hard HardState
	var line member
	for i := range s.batches {
		b := &s.batches[i]
		require.Equal(t, -1, eachChunk(s.body(&b.batchHeader), &b.batchHeader, pinnedLog, func(c *chunkHeader, _ int, records []byte, sound bool) {
			require.True(t, sound)
			switch c.kind {
			case kindEntries:
				require.NoError(t, c.eachEntry(records, func(e Entry) { entries = append(entries, e) }))
			case kindHard:
				hard = c.hard()
			case kindCensus:
				require.EqualValues(t, 1, c.count)
				line = parseMember(records)
			}
		}))
	}
	require.Equal(t, []Entry{{11, 3, 0, []byte("hello")}, {12, 3, 1, []byte{}}}, entries)
	require.Equal(t, HardState{Term: 3, Vote: 1}, hard)
	require.Equal(t, member{id: ID{5, 6}, nth: 10, checkpoint: 8, last: 8, hard: hard}, line)

	identity, err := hex.DecodeString("4c5357414c494454010000009472944cefcdab896745230109000000736572766572206e31")
	require.NoError(t, err)
	log, name, err := parseIdentity(identity)
	require.NoError(t, err)
	require.EqualValues(t, pinnedLog, log)
	require.Equal(t, "server n1", name)

	content[8] = 3
	_, _, err = parseFileHeader(content)
	require.ErrorContains(t, err, "format version 3, want 1 to 2")
}

func TestIdentityRoundTrip(t *testing.T) {
	p := encodeIdentity(42, "server n1")
	log, identity, err := parseIdentity(p)
	require.NoError(t, err)
	require.EqualValues(t, 42, log)
	require.Equal(t, "server n1", identity)
	for bit := range 8 * len(p) {
		q := bytes.Clone(p)
		q[bit/8] ^= 1 << (bit % 8)
		_, _, err := parseIdentity(q)
		require.Error(t, err, "bit %d", bit)
		_, _, err = parseIdentity(p[:bit/8])
		require.Error(t, err)
	}
}

func TestHeadersRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u64, u32 := rapid.Uint64(), rapid.Uint32()
		log, number := u64.Draw(t, "log"), rapid.Uint64Range(1, 1<<40).Draw(t, "number")
		f := fileHeader{
			log: log, segment: u64.Draw(t, "segment"), first: number, joined: int64(u32.Draw(t, "joined")),
			previous: u32.Draw(t, "previous"), oldest: u64.Draw(t, "oldest"),
		}
		p, sum := f.encode()
		g, gsum, err := parseFileHeader(p)
		require.NoError(t, err)
		require.Equal(t, f, g)
		require.Equal(t, sum, gsum)

		b := batchHeader{
			previous: u32.Draw(t, "previous"), chunkSum: u32.Draw(t, "sum"), segment: u64.Draw(t, "segment"),
			offset: 1 << 20, durable: rapid.Int64Range(fileHeaderLen, 1<<20).Draw(t, "durable"), number: number,
			body: 8 * rapid.Uint32Range(9, 1000).Draw(t, "body"), chunks: 1, flags: rapid.Uint32Range(0, 1).Draw(t, "flags"),
		}
		p = make([]byte, batchHeaderLen)
		b.put(p, log)
		bb, ok := parseBatchHeader(p, log)
		require.True(t, ok)
		require.Equal(t, b, bb)
		_, ok = parseBatchHeader(p, log^1)
		require.False(t, ok, "of another log")
		flip(t, p)
		_, ok = parseBatchHeader(p, log)
		require.False(t, ok)

		c := chunkHeader{
			bodySum: u32.Draw(t, "sum"), id: ID{u64.Draw(t, "group"), u64.Draw(t, "incarnation")}, nth: u64.Draw(t, "nth"),
			index: rapid.Uint64Range(1, 1<<60).Draw(t, "index"), term: u64.Draw(t, "term"), from: 1, to: 2,
			count: 3, length: rapid.Uint32Range(12, 1<<20).Draw(t, "length"), kind: kindEntries,
		}
		p = make([]byte, chunkHeaderLen)
		c.put(p, log, number)
		cc, ok := parseChunkHeader(p, log, number)
		require.True(t, ok)
		require.Equal(t, c, cc)
		_, ok = parseChunkHeader(p, log, number+1)
		require.False(t, ok, "of another batch")
		flip(t, p)
		_, ok = parseChunkHeader(p, log, number)
		require.False(t, ok)
	})
}

func flip(t *rapid.T, p []byte) {
	bit := rapid.IntRange(0, 8*len(p)-1).Draw(t, "bit")
	p[bit/8] ^= 1 << (bit % 8)
}

// FuzzScan walks any bytes as a segment: it ends without panic, covers every byte once, and reads
// entries without panic.
func FuzzScan(f *testing.F) {
	const log = 7
	into := newRepeat(log, &segment{number: 1}, &fileHeader{log: log, segment: 1, first: 1, oldest: 1})
	for i := range 3 {
		c := &chunk{buf: make([]byte, chunkHeaderLen)}
		c.kind, c.id, c.nth, c.index, c.term = kindEntries, ID{1, 1}, uint64(i+1), uint64(i+1), 1
		c.add(0, bytes.Repeat([]byte{'x'}, 10*i))
		c.to = c.count
		c.finish(nil, nil)
		into.begin()
		into.add(&c.chunkHeader, c.buf[chunkHeaderLen:chunkHeaderLen+c.length])
		into.end()
	}
	f.Add(into.content, false)
	f.Add(into.content, true)
	f.Add(into.content[:len(into.content)-9], true)
	broken := bytes.Clone(into.content)
	broken[200] ^= 4
	f.Add(broken, true)
	f.Add(append(bytes.Clone(into.content), into.content...), true)
	f.Fuzz(func(t *testing.T, content []byte, last bool) {
		s := &scan{seg: &segment{number: 1}, name: "x", log: log, buf: content, limit: int64(len(content)), last: last, number: 1}
		h, sum, err := parseFileHeader(content)
		s.header, s.headerOK, s.previous = h, err == nil, sum
		s.walk()
		at := int64(fileHeaderLen)
		regions := s.regions
		for i := range s.batches {
			b := &s.batches[i]
			for len(regions) > 0 && regions[0].before <= i {
				require.Equal(t, at, regions[0].from)
				at = regions[0].to
				regions = regions[1:]
			}
			require.Equal(t, at, b.offset)
			at += b.size()
			eachChunk(s.body(&b.batchHeader), &b.batchHeader, log, func(c *chunkHeader, _ int, records []byte, sound bool) {
				if sound && c.kind == kindEntries {
					count := 0
					if c.eachEntry(records, func(Entry) { count++ }) == nil {
						require.EqualValues(t, c.to-c.from, count)
					}
				}
			})
		}
		for _, g := range regions {
			require.Equal(t, at, g.from)
			at = g.to
		}
		if s.torn != nil {
			require.Equal(t, at, s.torn.Offset)
			at += s.torn.Bytes
		}
		require.Equal(t, max(int64(len(content)), fileHeaderLen), at)
	})
}

// FuzzParsers reads any bytes as each structure: what is read, written again, is the same bytes.
func FuzzParsers(f *testing.F) {
	h := fileHeader{log: 1, segment: 2, first: 3, joined: 64, previous: 5, oldest: 1}
	p, _ := h.encode()
	f.Add(p, uint32(0))
	f.Add(encodeIdentity(7, "server"), uint32(0))
	c := &chunk{buf: make([]byte, chunkHeaderLen)}
	c.add(3, []byte("hello"))
	c.add(0, nil)
	f.Add(c.buf[chunkHeaderLen:], uint32(2))
	f.Add((&member{id: ID{1, 2}, nth: 3, damaged: true}).append(nil), uint32(1))
	f.Add((&member{id: ID{1, 2}, nth: 3, hard: HardState{1, 2, 3}, damaged: true, bounded: true}).append(nil), uint32(1))
	for _, c := range []chunkHeader{
		{kind: kindHard, id: ID{1, 1}, index: 1, term: 2, from: 3, to: 4},
		{kind: kindLost, id: ID{1, 1}, index: 1, term: 2, from: 1, to: 3, count: 3},
		{kind: kindReset, id: ID{1, 1}, index: 1, term: 2, from: 1, to: 3, count: 7, length: 9},
	} {
		p := make([]byte, chunkHeaderLen)
		c.put(p, 1, 1)
		f.Add(p, uint32(1))
	}
	f.Fuzz(func(t *testing.T, p []byte, count uint32) {
		if h, _, err := parseFileHeader(p); err == nil {
			q, _ := h.encode()
			if p[8] == formatVersion {
				require.Equal(t, p[:fileHeaderLen], q)
			}
			again, _, err := parseFileHeader(q)
			require.NoError(t, err)
			require.Equal(t, h, again)
		}
		if log, identity, err := parseIdentity(p); err == nil && p[8] == formatVersion {
			require.Equal(t, p, encodeIdentity(log, identity))
		}
		for number := range uint64(2) {
			if c, ok := parseChunkHeader(p, 1, number); ok {
				q := make([]byte, chunkHeaderLen)
				c.put(q, 1, number)
				require.Equal(t, p[:chunkHeaderLen], q)
				if c.kind == kindHard {
					again := c
					again.setHard(c.hard())
					require.Equal(t, c, again)
				}
			}
		}
		if len(p) == censusLen {
			m := parseMember(p)
			again := parseMember(m.append(nil))
			require.Equal(t, m, again)
		}
		if len(p) == censusLenV1 {
			require.Zero(t, parseMember(p).hard.Life)
		}
		h := chunkHeader{kind: kindEntries, index: 1, count: count, to: count}
		again := &chunk{buf: make([]byte, chunkHeaderLen)}
		if h.eachEntry(p, func(e Entry) { again.add(e.Kind, e.Payload) }) == nil {
			require.Equal(t, p, append([]byte{}, again.buf[chunkHeaderLen:]...)[:len(p)])
			require.Equal(t, count, again.count)
		}
	})
}
