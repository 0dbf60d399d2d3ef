package wal_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// outcome counts how damage was told to replicas.
type outcome struct{ sound, bounded, unbounded, lost, terms int }

// trialReplicas opens a damaged log, and attaches every group as a replica: it is as its model says but for the entries
// that it names, or is told that more is lost.
func (w *world) trialReplicas(t require.TestingT, o *outcome) {
	w.start()
	opened, err := w.open()
	require.True(t, opened)
	require.NoError(t, err)
	known := w.log.Unattached()
	for _, id := range w.ids() {
		if m := w.models[id]; m.dropped > 0 && !slices.Contains(known, id) {
			delete(w.models, id)
			continue
		}
		p := &member{w: w, id: id, m: w.models[id], strand: w.strand}
		p.g, p.found, err = w.log.AttachReplica(id, p.strand, nil, p)
		require.NoError(t, err)
		w.members[id] = p
		p.checkReplica(t, o)
	}
}

// checkReplica compares what was found with the model.
func (p *member) checkReplica(t require.TestingT, o *outcome) {
	f := p.found
	if f.Damage != nil {
		o.unbounded++
		require.ErrorIs(t, f.Damage, wal.ErrDamaged)
		require.Empty(t, f.Lost)
		return
	}
	if len(f.Lost) == 0 {
		o.sound++
	} else {
		o.bounded++
		o.lost += len(f.Lost)
	}
	require.Less(t, p.m.dropped, 2)
	have, _ := p.m.entriesAfter(len(p.m.ops))
	filled := *f
	filled.Entries = slices.Clone(f.Entries)
	at := 0
	for i := range filled.Entries {
		e := &filled.Entries[i]
		if at == len(f.Lost) || e.Index != f.Lost[at] {
			continue
		}
		at++
		require.Nil(t, e.Payload)
		j := slices.IndexFunc(have, func(o op) bool { return o.index == e.Index })
		require.GreaterOrEqual(t, j, 0, "entry %d never was", e.Index)
		if e.Term != 0 {
			o.terms++
			require.Equal(t, have[j].term, e.Term)
		}
		e.Term, e.Payload = have[j].term, have[j].payload
	}
	require.Equal(t, len(f.Lost), at, "lost entries have their places: %v", f.Lost)
	p.m.check(t, p.id, &filled, false)
	p.m.term = max(p.m.term, p.g.LastTerm())
}

// mend repairs what a replica has lost, or resets it.
func (p *member) mend(t require.TestingT) {
	if p.found.Damage != nil {
		hard := wal.HardState{Term: 9, Vote: 2, Life: 77}
		wiped := p.m.dropped > 0 || len(p.m.ops)%2 == 0
		if wiped {
			p.do(func() { p.g.SetHardState(hard, func(err error) { require.NoError(t, err) }) })
		} else {
			hard = wal.HardState{}
		}
		*p.m = model{}
		if wiped {
			p.m.ops = append(p.m.ops, op{kind: 'h', hard: hard})
			p.m.acked = 1
		}
		p.do(func() { p.reset(7, []byte("from another server")) })
		p.w.settle()
		require.Zero(t, p.resets)
		require.Equal(t, hard, p.g.Hard())
		return
	}
	have, _ := p.m.entriesAfter(len(p.m.ops))
	var lost []wal.Entry
	for _, o := range have {
		if slices.Contains(p.found.Lost, o.index) {
			lost = append(lost, wal.Entry{Index: o.index, Term: o.term, Payload: o.payload})
		}
	}
	require.Len(t, lost, len(p.found.Lost))
	mended := false
	p.do(func() {
		p.g.Repair(lost, func(err error) { require.NoError(t, err); mended = true })
	})
	p.w.settle()
	require.True(t, mended)
	for _, e := range lost {
		require.Equal(t, e.Term, p.g.Term(e.Index))
	}
}

// end2 ends the process, closing the log or not.
func (w *world) end2(closing bool) {
	w.settle()
	if closing {
		w.closeLog()
		return
	}
	w.end(true)
}

// TestReplicaIsToldWhatItLost flips bits all over a log: most damage is entries that can be named. They stay named
// until they are repaired, and are not missed after that.
func TestReplicaIsToldWhatItLost(t *testing.T) {
	w := closedLog(t)
	image, models := w.disk.Snapshot(), w.cloneModels()
	all := outcome{}
	for _, name := range w.disk.Files() {
		size, _ := w.disk.FileSize(name)
		if strings.HasSuffix(name, "identity") {
			continue
		}
		for at := int64(70); at < size; at += 37 {
			w.disk.Restore(image)
			require.True(t, w.disk.FlipBit(name, 8*at+at%8))
			w.models = models
			models = w.cloneModels()
			first := outcome{}
			w.trialReplicas(t, &first)
			w.end2(at%2 == 0)
			again := outcome{}
			w.trialReplicas(t, &again)
			require.Equal(t, first, again, "%s at %d", name, at)
			for _, id := range w.ids() {
				w.members[id].mend(t)
			}
			w.end2(at%3 == 0)
			mended := outcome{}
			w.trialReplicas(t, &mended)
			require.Equal(t, outcome{sound: len(w.models)}, mended, "%s at %d", name, at)
			w.end(false)
			all.sound += first.sound
			all.bounded += first.bounded
			all.unbounded += first.unbounded
			all.lost += first.lost
			all.terms += first.terms
		}
	}
	t.Logf("%+v", all)
	assert.Greater(t, all.bounded, 2*all.unbounded)
	assert.Greater(t, all.terms, all.lost/2, "a chunk's header tells the term")
}

// TestReplicaDamageAgainstModel damages logs of random histories, repairs or leaves it, goes on and comes back.
func TestReplicaDamageAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.Uint64().Draw(t, "seed"))
		w.cfg.SegmentBytes = rapid.Int64Range(1<<10, 4<<10).Draw(t, "segment")
		w.cfg.LogBytesMax = rapid.Int64Range(1, 16<<10).Draw(t, "log")
		ok, err := w.open()
		require.NoError(t, err)
		require.True(t, ok)
		const groups = 4
		for i := 1; i <= groups; i++ {
			w.attach(gid(i))
		}
		use := func(rounds int) {
			for i := range rounds {
				p := w.members[gid(rapid.IntRange(1, groups).Draw(t, "group"))]
				p.do(func() { p.append(wal.Prompt, body(i), body(i+3)) })
				w.settle()
				switch rapid.IntRange(0, 9).Draw(t, "also") {
				case 0, 1:
					p.do(func() { p.checkpoint(p.m.flushed-min(p.m.flushed, 1), body(2*i)) })
				case 2, 3:
					p.do(func() { p.hard(wal.HardState{Term: uint64(i + 1), Vote: 1, Life: 5}) })
				case 4:
					p.do(func() { p.truncate(p.m.last - min(p.m.last, 1)) })
				case 5:
					p.do(func() { p.reset(p.m.last+2, body(i+7)) })
				}
				w.settle()
			}
		}
		use(rapid.IntRange(1, 20).Draw(t, "rounds"))
		w.closeLog()
		for range rapid.IntRange(1, 2).Draw(t, "times") {
			files := w.disk.Files()
			for range rapid.IntRange(1, 2).Draw(t, "faults") {
				w.damageAtRandom(t, files)
			}
			for range rapid.IntRange(1, 2).Draw(t, "restarts") { // not repaired at first
				first, again := outcome{}, outcome{}
				w.trialReplicas(t, &first)
				w.end2(rapid.Bool().Draw(t, "close"))
				w.trialReplicas(t, &again)
				require.Equal(t, first.sound, again.sound)
				require.Equal(t, first.bounded, again.bounded)
				require.Equal(t, first.lost, again.lost)
				w.end2(rapid.Bool().Draw(t, "close"))
			}
			w.trialReplicas(t, &outcome{})
			for _, id := range w.ids() {
				if p := w.members[id]; p.found.Damage != nil || rapid.IntRange(0, 3).Draw(t, "mend") > 0 {
					p.mend(t)
				}
			}
			use(rapid.IntRange(0, 10).Draw(t, "more"))
			w.closeLog()
		}
		last := outcome{}
		w.trialReplicas(t, &last)
		require.Zero(t, last.unbounded)
	})
}

// damageAtRandom hurts what is known to have been durable.
func (w *world) damageAtRandom(t *rapid.T, files []string) {
	name := files[rapid.IntRange(0, len(files)-2).Draw(t, "file")]
	end, ok := w.disk.FileSize(name)
	if !ok || end < 128 || strings.HasSuffix(name, "damaged") || strings.HasSuffix(name, "identity") {
		return
	}
	if name == files[len(files)-2] {
		end -= 64 // the witness speaks for what is before it
	}
	if rapid.IntRange(0, 2).Draw(t, "bit") > 0 {
		w.disk.FlipBit(name, 8*rapid.Int64Range(0, end-1).Draw(t, "at"))
	} else if sectors := end / 512; sectors > 0 {
		w.disk.RotSector(name, rapid.Int64Range(0, sectors-1).Draw(t, "sector"), storage.Rot(rapid.IntRange(0, 2).Draw(t, "rot")))
	}
}

// TestReplicaLossIsCarriedForward: the damaged segment goes although the loss is not repaired, which stays known.
func TestReplicaLossIsCarriedForward(t *testing.T) {
	w := opened(t, 1, 2)
	w.cfg.LogBytesMax = 6 << 10
	p, busy := w.members[gid(1)], w.members[gid(2)]
	for i := range 3 {
		p.m.term = uint64(4 + i)
		p.do(func() { p.append(wal.Prompt, bytes.Repeat([]byte{byte('p' + i)}, 100), body(i)) })
		w.settle()
	}
	w.closeLog()
	name := w.disk.Files()[0]
	at := int64(bytes.Index(w.disk.ReadFile(name), bytes.Repeat([]byte("q"), 100)))
	require.Greater(t, at, int64(0))
	require.True(t, w.disk.FlipBit(name, 8*at))
	for round := range 3 {
		w.trialReplicas(t, &outcome{})
		p, busy = w.members[gid(1)], w.members[gid(2)]
		require.NoError(t, p.found.Damage)
		require.Equal(t, []uint64{3, 4}, p.found.Lost)
		require.EqualValues(t, 5, p.found.Entries[2].Term)
		var lost *wal.LostError
		p.do(func() {
			p.g.Read(2, 7, 1<<20, func(entries []wal.Entry, err error) {
				require.NoError(t, err)
				require.Len(t, entries, 1)
				p.g.Read(3, 7, 1<<20, func(entries []wal.Entry, err error) {
					require.Empty(t, entries)
					require.ErrorAs(t, err, &lost)
				})
			})
		})
		w.settle()
		require.NotNil(t, lost)
		require.EqualValues(t, 3, lost.Index)
		require.ErrorIs(t, lost, wal.ErrDamaged)
		for i := range 80 {
			busy.do(func() { busy.append(wal.Prompt, body(i)) })
			w.settle()
			if i%10 == 9 {
				busy.do(func() { busy.checkpoint(busy.m.flushed, body(i)) })
				w.settle()
			}
		}
		require.NotContains(t, w.disk.Files(), name, "round %d", round)
		w.end2(round%2 == 0)
	}
	w.trialReplicas(t, &outcome{})
	p = w.members[gid(1)]
	p.mend(t)
	p.do(func() { p.read(1, 7, 1<<20) })
	w.settle()
	require.Equal(t, 6, p.got)
	w.end(true)
	last := outcome{}
	w.trialReplicas(t, &last)
	require.Equal(t, outcome{sound: 2}, last)
}

// TestReplicaMeetsDamageInUse reads, carries and reattaches what rotted while the log was open.
func TestReplicaMeetsDamageInUse(t *testing.T) {
	w := newWorld(t, 1)
	w.cfg.LogBytesMax = 6 << 10
	told := 0
	w.cfg.OnDamage = func(*storage.DamageError) { told++ }
	_, err := w.open()
	require.NoError(t, err)
	busy := w.attach(gid(2))
	p := &member{w: w, id: gid(1), m: &model{}, strand: w.strand}
	w.models[gid(1)], w.members[gid(1)] = p.m, p
	p.g, err = w.log.CreateReplica(gid(1), w.strand, nil, p)
	require.NoError(t, err)
	for i := range 3 {
		p.do(func() { p.append(wal.Prompt, bytes.Repeat([]byte{byte('p' + i)}, 100)) })
		w.settle()
	}
	name := w.disk.Files()[0]
	at := int64(bytes.Index(w.disk.ReadFile(name), bytes.Repeat([]byte("q"), 100)))
	require.True(t, w.disk.FlipBit(name, 8*at))

	readLost := func() {
		t.Helper()
		got, answers := [3]error{}, 0
		p.do(func() {
			for i := range got {
				p.g.Read(uint64(1+i), 4, 1<<20, func(entries []wal.Entry, err error) {
					if i != 1 {
						require.Len(t, entries, 1)
					}
					got[i] = err
					answers++
				})
			}
		})
		w.settle()
		require.Equal(t, 3, answers)
		require.NoError(t, got[0])
		var lost *wal.LostError
		require.ErrorAs(t, got[1], &lost)
		require.EqualValues(t, 2, lost.Index)
		var damage *storage.DamageError
		require.ErrorAs(t, got[1], &damage)
		require.NoError(t, got[2])
	}
	readLost()
	require.Equal(t, 1, told)

	detached := false
	p.do(func() { p.g.Detach(func() { detached = true }) })
	require.True(t, w.until(func() bool { return detached }))
	var f *wal.Found
	w.log.ReattachReplica(gid(1), p.strand, nil, p, func(g *wal.Group, found *wal.Found, err error) {
		require.NoError(t, err)
		p.g, f = g, found
	})
	w.settle()
	require.NoError(t, f.Damage)
	require.Equal(t, []uint64{2}, f.Lost)
	require.EqualValues(t, 1, f.Entries[1].Term)
	require.Equal(t, bytes.Repeat([]byte("r"), 100), f.Entries[2].Payload)

	for i := range 60 {
		busy.do(func() { busy.append(wal.Prompt, body(i)) })
		w.settle()
		if i%10 == 9 {
			busy.do(func() { busy.checkpoint(busy.m.flushed, body(i)) })
			w.settle()
		}
	}
	require.NotContains(t, w.disk.Files(), name, "what is lost is carried forward as such")
	readLost()
	p.found = f
	p.mend(t)
	p.do(func() { p.read(1, 4, 1<<20) })
	w.settle()
	require.Equal(t, 3, p.got)
	w.end(true)
	last := outcome{}
	w.trialReplicas(t, &last)
	require.Equal(t, outcome{sound: 2}, last)
}
