// Package heap is a binary heap of small things: what is due first, what stands lowest.
//
// It owns [Heap]. It is pure, and needs no method call to compare, so it costs what one written by hand does.
package heap

import "cmp"

// Item stands by its key, and among equal keys by what it is of.
type Item[K, V cmp.Ordered] struct {
	Key K
	Of  V
}

// Before tells which of two items comes first.
func (i Item[K, V]) Before(j Item[K, V]) bool {
	return i.Key < j.Key || i.Key == j.Key && i.Of < j.Of
}

// Heap has its least item in front. Its zero value is empty.
type Heap[K, V cmp.Ordered] []Item[K, V]

// Push adds an item.
func (h *Heap[K, V]) Push(key K, of V) {
	it := Item[K, V]{key, of}
	s := append(*h, it)
	i := len(s) - 1
	for i > 0 && it.Before(s[(i-1)/2]) {
		s[i] = s[(i-1)/2]
		i = (i - 1) / 2
	}
	s[i] = it
	*h = s
}

// Pop takes the least item away; there must be one.
func (h *Heap[K, V]) Pop() Item[K, V] {
	s := *h
	top, last := s[0], len(s)-1
	s[0] = s[last]
	*h = s[:last]
	h.Sink(0)
	return top
}

// Raise gives the least item a key that is not lower.
func (h Heap[K, V]) Raise(key K) {
	h[0].Key = key
	h.Sink(0)
}

// Order makes a heap of items in any order.
func (h Heap[K, V]) Order() {
	for i := len(h)/2 - 1; i >= 0; i-- {
		h.Sink(i)
	}
}

// Sink moves an item, which may be too far in front, to its place.
func (h Heap[K, V]) Sink(i int) {
	for {
		low := 2*i + 1
		if low >= len(h) {
			return
		}
		if low+1 < len(h) && h[low+1].Before(h[low]) {
			low++
		}
		if !h[low].Before(h[i]) {
			return
		}
		h[i], h[low] = h[low], h[i]
		i = low
	}
}
