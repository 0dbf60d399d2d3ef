// Package subjects maps the subjects of one stream to small dense numbers.
//
// It owns [Map], an ordered map from literal subjects to ids: a store keeps what it
// knows of a subject in side arrays indexed by id. Ids start at 0, are handed out in
// order and used again after removal, the last freed first, so the same calls give the
// same ids everywhere. And it owns [Patterns], sets of subscriptions that a walk over
// the map is narrowed to.
//
// A map belongs to one strand. Literal subjects are found by a hash table with a seed,
// so that who chooses subjects cannot make them collide; order and patterns are a radix
// tree's, whose worst is one step a byte. Both stand in memory that the garbage
// collector does not look into.
package subjects

import (
	"slices"

	"github.com/lockstepmq/lockstep/server/subject"
)

const (
	// SubjectMax is the longest subject that a map takes, in bytes.
	SubjectMax = 1<<16 - 1
	// None is no id.
	None = ^uint32(0)
)

const (
	idFree   = 1 << 31 // in an entry of the table: no leaf, but the next free id
	idNoNext = idFree - 1
)

// Map is an ordered map from subjects to ids. Its zero value is not ready: use [New].
type Map struct {
	arena
	index
	seed     uint64
	leaves   []uint32 // by id: the leaf, or idFree and the next free id
	freeID   uint32   // the first free id, or idNoNext
	len      int
	walks    int       // under way: the map must not change
	visits   int       // records that walks have looked at
	unneeded []*walker // walkers to be used again
	steps    []step    // memory of InsertAll
	warmed   uint64    // of no meaning: what was read ahead must not seem useless
}

// New is [Seeded] with a seed that everybody knows: for subjects that no stranger chooses.
func New() *Map { return Seeded(0) }

// Seeded gives an empty map, whose hashes the seed changes. The seed changes nothing that can
// be seen from outside. An empty map costs less than a kilobyte.
func Seeded(seed uint64) *Map {
	m := &Map{seed: seed, freeID: idNoNext}
	m.reset()
	m.index.clear()
	return m
}

func (m *Map) hash(text []byte) uint64 { return subject.Hash(m.seed, text) }

// Len is the number of subjects.
func (m *Map) Len() int { return m.len }

// IDs is the length side arrays need: every id is below it.
func (m *Map) IDs() int { return len(m.leaves) }

// Grow makes room for n more subjects, before many are inserted. Inserting ascending
// subjects is fastest.
func (m *Map) Grow(n int) {
	m.leaves = slices.Grow(m.leaves, n)
	if m.len == 0 {
		m.presize(n)
	}
}

// Find gives the subject's id, or (None, false).
func (m *Map) Find(subject []byte) (id uint32, ok bool) {
	if leaf := m.lookup(m.hash(subject), subject); leaf != 0 {
		return node(m.at(leaf)).id(), true
	}
	return None, false
}

// AppendText appends the subject of id, or nothing when no subject has it.
func (m *Map) AppendText(dst []byte, id uint32) []byte {
	if m.has(id) {
		return append(dst, m.leafText(m.leaves[id])...)
	}
	return dst
}

// Text is the subject of id, or "" when no subject has it. It allocates the string.
func (m *Map) Text(id uint32) string {
	if m.has(id) {
		return string(m.leafText(m.leaves[id]))
	}
	return ""
}

// Equal tells whether the subject of id is this one.
func (m *Map) Equal(id uint32, subject []byte) bool {
	return m.has(id) && string(m.leafText(m.leaves[id])) == string(subject)
}

func (m *Map) has(id uint32) bool {
	return int64(id) < int64(len(m.leaves)) && m.leaves[id]&idFree == 0
}

// leafText is the subject of a leaf, where it stands.
func (m *Map) leafText(leaf uint32) []byte { return node(m.at(leaf)).label() }

// Bytes is what the map holds of memory, and of that what removed subjects left
// unused. Unused memory is used again, but for fragments.
func (m *Map) Bytes() (total, unused int) {
	for _, c := range m.chunks {
		total += len(c)
	}
	total += 4*cap(m.leaves) + 8*cap(m.dir)
	var last *table
	for _, t := range m.dir {
		if t != last {
			total += groupBytes*len(t.groups) + tableBytes
			last = t
		}
	}
	return total, 4 * int(m.unused)
}
