package netsim

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// A chunkQueue is a queue of bytes, whatever mixture of copies and loans is in it.
func TestRealChunkQueueIsAQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q chunkQueue
		var model []byte
		next := byte(0)
		fresh := func(n int) []byte {
			b := make([]byte, n)
			for i := range b {
				next += 7
				b[i] = next
			}
			return b
		}
		sizes := rapid.OneOf(rapid.IntRange(0, 40), rapid.IntRange(900, 5000), rapid.IntRange(60_000, 70_000))
		var loans [][]byte
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				b := fresh(sizes.Draw(t, "n"))
				model = append(model, b...)
				q.append(b)
				clear(b)
			},
			"lend": func(t *rapid.T) {
				b := fresh(sizes.Draw(t, "n") + 1)
				model = append(model, b...)
				q.lend(b)
				loans = append(loans, b)
			},
			"own": func(*rapid.T) {
				q.own()
				for _, b := range loans {
					clear(b)
				}
				loans = nil
			},
			"consume": func(t *rapid.T) {
				n := rapid.IntRange(0, q.size).Draw(t, "n")
				q.consume(n)
				model = model[n:]
			},
			"": func(t *rapid.T) {
				var got []byte
				for c := q.head; c != nil; c = c.next {
					if c.r >= c.w {
						t.Fatal("an empty chunk is in the queue")
					}
					got = append(got, c.b[c.r:c.w]...)
				}
				if !bytes.Equal(model, got) || q.size != len(model) {
					t.Fatalf("the queue holds %d bytes (size %d), want %d", len(got), q.size, len(model))
				}
			},
		})
		q.drop()
		if q.head != nil || q.tail != nil || q.size != 0 {
			t.Fatal("drop leaves something")
		}
	})
}

func TestRealChunkSizes(t *testing.T) {
	var q chunkQueue
	q.append([]byte("head"))
	require.Equal(t, class1K, q.tail.class)
	q.lend(pattern(5000))
	q.append([]byte("\r\n"))
	require.Equal(t, class1K, q.tail.class, "a few bytes after a loan take little")
	for range 200 {
		q.append(pattern(1000))
	}
	require.Equal(t, class64K, q.tail.class, "a flood takes large ones")
	q.drop()
}
