// Package lang owns the configuration language: its lexical rules, its values with
// their positions, variables, includes and the digest of a whole file.
//
// It runs on the caller's goroutine before or beside the server, keeps no state
// between calls, and touches neither files nor the environment itself: a [Source]
// hands it both. It does not know which keys exist.
//
// The language is a relaxed JSON: pairs "key: value", "key = value" or "key {...}",
// comments, integers with size suffixes, bare words, raw blocks, variables and
// includes. The last of several equal keys wins.
package lang

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"
)

// Pos is a place in a file. Lines count from one. Columns count from one, except on
// the first line of a file, where they count from zero. The place of a quoted key is
// after its opening quote.
type Pos struct {
	File      string
	Line, Col int
}

// String renders p as file:line:col.
func (p Pos) String() string { return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Col) }

// Value is one value of a file. Data is a string, int64, float64, bool, time.Time,
// []*Value or *Map. The place of a value in a map is the place of its key; that of a
// list or map in a list is behind its closing bracket.
type Value struct {
	Pos  Pos
	Data any
	// Used tells that a variable referred to this value, so that its key need not be
	// one the server knows.
	Used bool
	size int // values in it, itself included, variables expanded
}

// sizeMax bounds how many values one value may hold: variables that refer to lists of
// variables grow without end in a few lines.
const sizeMax = 1 << 20

// weigh counts what v holds; its elements are weighed already.
func (v *Value) weigh() int {
	v.size = 1
	switch d := v.Data.(type) {
	case []*Value:
		for _, e := range d {
			v.size += e.size
		}
	case *Map:
		for _, p := range d.pairs {
			v.size += p.Value.size
		}
	}
	return v.size
}

// Map is a set of pairs in the order in which their keys first appeared.
type Map struct {
	pairs []Pair
	index map[string]int
}

// Pair is a key as written and its value.
type Pair struct {
	Key   string
	Value *Value
}

// NewMap returns an empty map.
func NewMap() *Map { return &Map{index: make(map[string]int)} }

// Pairs returns the pairs in order; the caller does not change them.
func (m *Map) Pairs() []Pair { return m.pairs }

// Len returns how many pairs m has.
func (m *Map) Len() int { return len(m.pairs) }

// Get returns the value of key, compared byte for byte, or nil.
func (m *Map) Get(key string) *Value {
	if i, ok := m.index[key]; ok {
		return m.pairs[i].Value
	}
	return nil
}

// Set adds a pair or replaces the value of its key.
func (m *Map) Set(key string, v *Value) {
	if i, ok := m.index[key]; ok {
		m.pairs[i].Value = v
		return
	}
	m.index[key] = len(m.pairs)
	m.pairs = append(m.pairs, Pair{key, v})
}

// TypeName names the type of v's data in the words of conversion errors.
func (v *Value) TypeName() string {
	switch v.Data.(type) {
	case []*Value:
		return "[]interface {}"
	case *Map:
		return "map[string]interface {}"
	}
	return fmt.Sprintf("%T", v.Data)
}

// Plain returns v's data with lists as []any and maps as map[string]any, for
// encoders that know only those.
func (v *Value) Plain() any {
	switch d := v.Data.(type) {
	case []*Value:
		out := make([]any, len(d))
		for i, e := range d {
			out[i] = e.Plain()
		}
		return out
	case *Map:
		return d.Plain()
	case time.Time:
		return d.UTC()
	}
	return v.Data
}

// Plain returns m as Go's own map, values included.
func (m *Map) Plain() map[string]any {
	out := make(map[string]any, len(m.pairs))
	for _, p := range m.pairs {
		out[p.Key] = p.Value.Plain()
	}
	return out
}

// Digest returns "sha256:" and the hex digest of m's JSON with sorted keys. Comments,
// layout and order do not change it; the values of variables and includes do.
func (m *Map) Digest() (string, error) {
	var b bytes.Buffer
	if err := json.NewEncoder(&b).Encode(m.Plain()); err != nil {
		return "", fmt.Errorf("configuration digest: %w", err)
	}
	sum := sha256.Sum256(b.Bytes())
	return "sha256:" + hex.EncodeToString(sum[:]), nil
}
