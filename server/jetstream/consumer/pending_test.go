package consumer

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestPendingTable holds the table and its alarms against a map.
func TestPendingTable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tab pendingTable
		var heap alarms
		var queue line
		model := map[uint64]*entry{}
		next, now := uint64(1), int64(1)
		pick := func(t *rapid.T) *entry {
			if len(model) == 0 {
				t.Skip("empty")
			}
			keys := make([]uint64, 0, len(model))
			for k := range model {
				keys = append(keys, k)
			}
			slices.Sort(keys)
			return model[rapid.SampledFrom(keys).Draw(t, "seq")]
		}
		t.Repeat(map[string]func(*rapid.T){
			"add": func(t *rapid.T) {
				next += rapid.Uint64Range(1, 3).Draw(t, "gap")
				now += rapid.Int64Range(0, 2).Draw(t, "later")
				e := entry{seq: next, at: now, count: 1}
				if !tab.add(e) {
					t.Fatalf("%d is not taken", next)
				}
				model[next] = &e
			},
			"again": func(t *rapid.T) {
				e := pick(t)
				tab.setCount(tab.find(e.seq), e.count+1)
				e.count++
			},
			"remove": func(t *rapid.T) {
				e := pick(t)
				delete(model, e.seq)
				if !tab.remove(e.seq) || tab.remove(e.seq) {
					t.Fatalf("%d is not removed once", e.seq)
				}
			},
			"remove to": func(t *rapid.T) {
				e := pick(t)
				for seq := range model {
					if seq <= e.seq {
						delete(model, seq)
					}
				}
				tab.removeTo(e.seq)
			},
			"time": func(t *rapid.T) {
				e := pick(t)
				e.due = now + rapid.Int64Range(0, 5).Draw(t, "due")
				e.flags = timed
				p := tab.find(e.seq)
				p.flags &^= queued
				heap.set(&tab, p, e.due)
			},
			"queue": func(t *rapid.T) {
				e := pick(t)
				e.flags = queued
				queue.push(&tab, tab.find(e.seq))
			},
			"serve": func(t *rapid.T) {
				e := queue.front(&tab)
				if e == nil {
					for seq, m := range model {
						if m.flags == queued {
							t.Fatalf("%d is not in the queue", seq)
						}
					}
					return
				}
				if m := model[e.seq]; m == nil || m.flags != queued {
					t.Fatalf("%d is in the queue", e.seq)
				}
				model[e.seq].flags, model[e.seq].due = timed, now+9
				queue.pop(e)
				heap.set(&tab, e, now+9)
			},
			"compact": func(*rapid.T) { tab.compact() },
			"": func(t *rapid.T) {
				if tab.len() != len(model) {
					t.Fatalf("%d entries, want %d", tab.len(), len(model))
				}
				many, lowest := 0, uint64(0)
				var oldest *entry
				first := int64(0)
				for seq, m := range model {
					e := tab.find(seq)
					if e == nil || e.count != m.count {
						t.Fatalf("entry %d is %+v, want %+v", seq, e, m)
					}
					if m.count > 1 {
						many++
					}
					if lowest == 0 || seq < lowest {
						lowest = seq
					}
					if m.flags == 0 && (oldest == nil || m.seq < oldest.seq) {
						oldest = m
					}
					if m.flags == timed && (first == 0 || m.due < first) {
						first = m.due
					}
				}
				if many != tab.many {
					t.Fatalf("%d delivered again, want %d", tab.many, many)
				}
				if e := tab.lowest(); (e == nil) != (lowest == 0) || e != nil && e.seq != lowest {
					t.Fatalf("lowest is %+v, want %d", e, lowest)
				}
				if e := tab.oldest(); (e == nil) != (oldest == nil) || e != nil && e.seq != oldest.seq {
					t.Fatalf("oldest is %+v, want %+v", e, oldest)
				}
				if a, ok := heap.first(&tab); ok != (first != 0) || ok && a.Key != first {
					t.Fatalf("first alarm is %+v, want %d", a, first)
				}
				if len(heap.Heap) > 3*tab.len()+2*alarmsSlack || len(queue.seqs) > 4*tab.len()+4*alarmsSlack {
					t.Fatalf("%d alarms, %d in the queue, for %d entries", len(heap.Heap), len(queue.seqs), tab.len())
				}
			},
		})
	})
}
