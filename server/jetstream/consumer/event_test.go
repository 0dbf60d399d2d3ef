package consumer

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/jetstream/codec"
)

// someEvents are one of each kind.
func someEvents() []event {
	return []event{
		{kind: evDeliver, at: epoch, dseq: 7, runs: []run{{3, 2}, {9, 1}}},
		{kind: evAgain, at: epoch, dseq: 9, again: []again{{9, 2}, {3, 4}}},
		{kind: evAck, seq: 9},
		{kind: evAckAll, seq: 9, runs: []run{{1, 9}}},
		{kind: evNak, seq: 3, at: epoch, delay: 61_000_000},
		{kind: evNak, seq: 3},
		{kind: evProgress, seq: 3, at: -1},
		{kind: evExhaust, runs: []run{{5, 1}}},
		{kind: evHorizon, dseq: 4, last: 20},
		{kind: evMove, seq: 9, dseq: 20, runs: []run{{4, 5}}},
		{kind: evPresume, at: epoch, dseq: 20, count: 1, runs: []run{{4, 5}}},
		{kind: evPause, at: epoch},
		{kind: evReset, seq: 1},
	}
}

func TestEventsReadBack(t *testing.T) {
	for _, e := range someEvents() {
		p := e.append(nil)
		var got event
		require.NoError(t, got.decode(p), "%+v", e)
		require.Equal(t, p, got.append(nil), "%+v", e)
		for cut := range len(p) {
			require.ErrorIs(t, got.decode(p[:cut]), errEvent, "%+v cut at %d", e, cut)
		}
		require.ErrorIs(t, got.decode(append(p, 0)), errEvent, "%+v and a byte more", e)
	}
}

// TestEventFormat pins the bytes: logs of earlier versions must be read.
func TestEventFormat(t *testing.T) {
	for _, c := range []struct {
		e    event
		want []byte
	}{
		{event{kind: evDeliver, at: 1, dseq: 7, runs: []run{{300, 2}, {305, 1}}}, []byte{1, 2, 7, 2, 0xac, 2, 2, 3, 1}},
		{event{kind: evAgain, at: 1, dseq: 7, again: []again{{9, 2}, {3, 4}}}, []byte{2, 2, 7, 2, 18, 2, 11, 4}},
		{event{kind: evAck, seq: 300}, []byte{3, 0xac, 2}},
		{event{kind: evAckAll, seq: 9, runs: []run{{1, 9}}}, []byte{4, 9, 1, 1, 9}},
		{event{kind: evNak, seq: 3}, []byte{5, 3, 0}},
		{event{kind: evNak, seq: 3, at: 2, delay: 5}, []byte{5, 3, 10, 4}},
		{event{kind: evProgress, seq: 3, at: 2}, []byte{6, 3, 4}},
		{event{kind: evExhaust, runs: []run{{5, 1}}}, []byte{7, 1, 5, 1}},
		{event{kind: evHorizon, dseq: 4, last: 20}, []byte{8, 4, 20}},
		{event{kind: evMove, seq: 9, dseq: 20}, []byte{9, 9, 20, 0}},
		{event{kind: evPresume, at: 1, dseq: 20, count: 1, runs: []run{{4, 5}}}, []byte{10, 2, 20, 1, 1, 4, 5}},
		{event{kind: evPause, at: 1}, []byte{11, 2}},
		{event{kind: evReset, seq: 1}, []byte{12, 1}},
	} {
		require.Equal(t, c.want, c.e.append(nil), "%+v", c.e)
	}
}

// FuzzEvent: what is read is sound, and is written as it was read or shorter; replaying it breaks nothing.
func FuzzEvent(f *testing.F) {
	for _, e := range someEvents() {
		f.Add(e.append(nil))
	}
	f.Add([]byte{1, 2, 7, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1})
	f.Fuzz(func(t *testing.T, p []byte) {
		var e, again event
		if e.decode(p) != nil {
			return
		}
		q := e.append(nil)
		if err := again.decode(q); err != nil || !bytes.Equal(again.append(nil), q) {
			t.Fatalf("%x is read as %+v, written as %x: %v", p, e, q, err)
		}
		w := newWorld(t)
		w.quiet = true
		for range 10 {
			w.publish("a", "", "m")
		}
		for _, cfg := range []string{`{}`, `{"ack_policy":"all","max_deliver":2}`, `{"ack_policy":"none"}`} {
			clear(w.released)
			c := New(w, Spec{Name: "C", Config: config(cfg)})
			d := event{kind: evDeliver, at: 1, dseq: 1, runs: []run{{1, 5}}}
			if err := c.Replay(d.append(nil)); err != nil {
				t.Fatal(err)
			}
			clear(w.released)
			if n := replayCost(&e); n < 1<<15 {
				if err := c.Replay(p); err != nil {
					t.Fatal(err)
				}
				w.c = c
				c.Recovered()
				w.drain()
				c.Info()
			}
		}
	})
}

// replayCost is how many messages an event speaks of.
func replayCost(e *event) (n uint64) {
	for _, r := range e.runs {
		n += r.n
	}
	return n
}

// FuzzRestore: no snapshot breaks a consumer, and what is taken is written the same way again.
func FuzzRestore(f *testing.F) {
	w := newWorld(&testing.T{})
	for _, cfg := range []string{`{}`, `{"deliver_policy":"last_per_subject","filter_subject":"a"}`} {
		c := New(w, Spec{Name: "C", Config: config(cfg)})
		c.pending.add(entry{seq: 1, first: 1, at: 5, count: 2, flags: timed, due: 9})
		c.exhausted = []uint64{4, 5}
		f.Add(c.Snapshot(nil))
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		w := newWorld(t)
		c, err := restore(w, Spec{Name: "C", Config: config(`{}`)}, p, 1<<12)
		if err != nil {
			return
		}
		q := c.Snapshot(nil)
		again, err := Restore(w, Spec{Name: "C", Config: config(`{}`)}, q)
		if err != nil || !bytes.Equal(again.Snapshot(nil), q) {
			t.Fatalf("%x is written as %x: %v", p, q, err)
		}
	})
}

func TestRunsReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		seqs := rapid.SliceOfNDistinct(rapid.Uint64Range(1, 300), 0, 100, rapid.ID).Draw(t, "seqs")
		set := make(map[uint64]bool)
		for _, s := range seqs {
			set[s] = true
		}
		var runs []run
		n := uint64(0)
		for s := uint64(1); s <= 300; s++ {
			if set[s] {
				runs = addRun(runs, s)
				n++
			}
		}
		d := reader{codec.Reader{P: appendRuns(nil, runs)}}
		got := d.runs(nil)
		if d.Bad || len(d.P) > 0 || len(got) != len(runs) {
			t.Fatalf("%v is read as %v", runs, got)
		}
		for _, r := range got {
			n -= r.n
			for i := range r.n {
				if !set[r.first+i] {
					t.Fatalf("%d is not in %v", r.first+i, seqs)
				}
			}
		}
		if n != 0 {
			t.Fatalf("%d are missing", n)
		}
	})
}
