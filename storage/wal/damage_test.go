package wal_test

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// closedLog leaves a log of some segments, closed, of groups that are idle, busy, carried and
// checkpointed.
func closedLog(t *testing.T) *world {
	w := opened(t, 5, 4)
	w.cfg.LogBytesMax = 1 << 20
	for i := range 24 {
		p := w.members[gid(1+i%3)]
		p.do(func() { p.append(wal.Prompt, body(i), body(i+3)) })
		w.settle()
		if i == 9 {
			p.do(func() { p.checkpoint(p.m.last-1, bytes.Repeat([]byte("s"), 100)) })
			w.settle()
		}
		if i == 3 {
			q := w.members[gid(4)]
			q.do(func() { q.append(wal.Prompt, []byte("early")); q.hard(wal.HardState{Term: 2, Vote: 1}) })
			w.settle()
		}
	}
	require.Greater(t, w.log.Metrics().Segments, int64(2))
	w.closeLog()
	return w
}

// closeLog closes the log and ends the process.
func (w *world) closeLog() {
	closed := false
	w.log.Close(func(err error) { require.NoError(w.t, err); closed = true })
	require.True(w.t, w.until(func() bool { return closed }))
	w.end(true)
}

// cloneModels copies the models, so that each trial starts from the same.
func (w *world) cloneModels() map[wal.ID]*model {
	out := map[wal.ID]*model{}
	for id, m := range w.models {
		c := *m
		c.ops, c.snaps = slices.Clone(m.ops), slices.Clone(m.snaps)
		out[id] = &c
	}
	return out
}

// forgetAcks allows for the end of the log to be missing.
func (w *world) forgetAcks() {
	for _, m := range w.models {
		m.acked = 0
	}
}

// trial opens a damaged log. Every group must be as its model says, or be told of damage and
// hold a part of what it had. It returns the groups that were told.
func (w *world) trial(t require.TestingT) (told []wal.ID, refused error) {
	w.start()
	opened, err := w.open()
	require.True(t, opened)
	if err != nil {
		return nil, err
	}
	named := map[wal.ID]bool{}
	for _, d := range w.report.Damage {
		for _, id := range d.Groups {
			named[id] = true
		}
	}
	known := w.log.Unattached()
	for _, id := range w.ids() {
		p := &member{w: w, id: id, m: w.models[id], strand: w.strand}
		if p.m.dropped == 2 && !slices.Contains(known, id) {
			continue
		}
		g, f, err := w.log.Attach(id, p.strand, nil, p)
		require.NoError(t, err)
		if f.Damage == nil {
			require.False(t, named[id], "%v is named in the report", id)
			require.Less(t, p.m.dropped, 2, "%v is back", id)
			p.m.check(t, id, f, false)
			continue
		}
		told = append(told, id)
		require.ErrorIs(t, f.Damage, wal.ErrDamaged)
		var damage *storage.DamageError
		require.ErrorAs(t, f.Damage, &damage)
		_, err = g.Append(1, 0, nil, wal.Prompt)
		require.ErrorIs(t, err, wal.ErrDamaged)
		for i, e := range f.Entries {
			require.Equal(t, f.StateIndex+uint64(i)+1, e.Index)
			require.True(t, slices.ContainsFunc(p.m.ops, func(o op) bool {
				return o.kind == 'a' && o.index == e.Index && bytes.Equal(o.payload, e.Payload)
			}), "what is intact is what was appended")
		}
	}
	return told, nil
}

// TestLogDamageIsNeverSilent flips bits of every file of a closed log.
func TestLogDamageIsNeverSilent(t *testing.T) {
	w := closedLog(t)
	image, models := w.disk.Snapshot(), w.cloneModels()
	toldAll, toldOne, none, refused := 0, 0, 0, 0
	for _, name := range w.disk.Files() {
		size, _ := w.disk.FileSize(name)
		before := w.disk.ReadFile(name)
		for at := int64(0); at < size; at += 3 {
			w.disk.Restore(image)
			require.True(t, w.disk.FlipBit(name, 8*at+at%8))
			w.models = models
			models = w.cloneModels()
			told, err := w.trial(t)
			switch {
			case err != nil:
				require.Contains(t, name, "identity", "%s at %d: %v", name, at, err)
				refused++
			case len(told) == 0:
				none++
			case len(told) == 1:
				toldOne++
			default:
				toldAll++
			}
			after := w.disk.ReadFile(name)
			after[at] ^= 1 << (at % 8)
			require.Equal(t, before, after, "the file is left as it is")
			w.end(false)
		}
	}
	t.Logf("one group %d, several %d, none %d, refused %d", toldOne, toldAll, none, refused)
	assert.Greater(t, toldOne, 2*toldAll, "most damage concerns one group")
	assert.Greater(t, toldOne, none)
}

func TestLogSectorFaults(t *testing.T) {
	w := closedLog(t)
	image, models := w.disk.Snapshot(), w.cloneModels()
	for _, tc := range []struct {
		name   string
		damage func(file string, sector, other int64) bool
	}{
		{"zeros", func(f string, s, _ int64) bool { return w.disk.RotSector(f, s, storage.RotZeros) }},
		{"noise", func(f string, s, _ int64) bool { return w.disk.RotSector(f, s, storage.RotNoise) }},
		{"older", func(f string, s, _ int64) bool { return w.disk.RotSector(f, s, storage.RotOlder) }},
		{"misdirected", func(f string, s, other int64) bool { return w.disk.Misdirect(f, s, other) }},
		{"unreadable", func(f string, s, _ int64) bool { return w.disk.BreakSector(f, s) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			names := w.disk.Files()
			for i, name := range names {
				w.disk.Restore(image)
				if strings.HasSuffix(name, "identity") {
					continue
				}
				size, _ := w.disk.FileSize(name)
				sectors := (size + 511) / 512
				for s := range sectors {
					w.disk.Restore(image)
					if !tc.damage(name, s, (s+1)%sectors) {
						continue
					}
					w.models = models
					models = w.cloneModels()
					if i == len(names)-2 && s+2 >= sectors { // with the last batch goes its witness
						w.forgetAcks()
					}
					_, err := w.trial(t)
					require.NoError(t, err)
					w.end(false)
				}
			}
		})
	}
}

// TestLogDamageIsRememberedAfterFurtherUse goes on with the groups that are sound, and starts again.
func TestLogDamageIsRememberedAfterFurtherUse(t *testing.T) {
	w := closedLog(t)
	image, models := w.disk.Snapshot(), w.cloneModels()
	kept := 0
	for _, name := range w.disk.Files() {
		size, _ := w.disk.FileSize(name)
		if strings.HasSuffix(name, "identity") {
			continue
		}
		for at := int64(70); at < size; at += 97 {
			w.disk.Restore(image)
			require.True(t, w.disk.FlipBit(name, 8*at))
			w.models = models
			models = w.cloneModels()
			told, err := w.trial(t)
			require.NoError(t, err)
			w.closeLog()
			again, err := w.trial(t)
			require.NoError(t, err)
			require.Equal(t, told, again, "%s at %d", name, at)
			w.end(true)
			again, err = w.trial(t)
			require.NoError(t, err)
			require.Equal(t, told, again)
			w.end(true)
			if len(told) > 0 {
				kept++
			}
		}
	}
	require.Greater(t, kept, 10)
}

func TestLogMissingFiles(t *testing.T) {
	w := closedLog(t)
	image, models := w.disk.Snapshot(), w.cloneModels()
	names := w.disk.Files()
	for i, name := range names {
		w.disk.Restore(image)
		require.True(t, w.disk.LoseFile(name))
		w.models = models
		models = w.cloneModels()
		if i == len(names)-2 { // the last segment: nothing tells that there was another
			w.forgetAcks()
		}
		told, err := w.trial(t)
		switch {
		case strings.HasSuffix(name, "identity"):
			require.ErrorIs(t, err, wal.ErrDamaged)
		case i == len(names)-2:
			require.NoError(t, err)
			require.False(t, w.report.Clean)
		default:
			require.NoError(t, err)
			require.NotEmpty(t, told, name)
			require.NotEmpty(t, w.report.Damage)
		}
		if w.disk.Mounted() {
			w.end(false)
		}
	}
}

func TestLogCutAnywhere(t *testing.T) {
	w := closedLog(t)
	image, models := w.disk.Snapshot(), w.cloneModels()
	names := w.disk.Files()
	count := 0
	defer func() { require.Greater(t, count, 100) }()
	for i, name := range names {
		w.disk.Restore(image)
		size, _ := w.disk.FileSize(name)
		if strings.HasSuffix(name, "identity") {
			continue
		}
		last := i == len(names)-2
		for at := int64(0); at < size; at += 7 {
			w.disk.Restore(image)
			require.True(t, w.disk.CutFile(name, at))
			w.models = models
			models = w.cloneModels()
			if last { // a file cut short in its last batch, or at the end of one, is a torn one
				w.forgetAcks()
			}
			told, err := w.trial(t)
			require.NoError(t, err)
			if !last {
				require.NotEmpty(t, w.report.Damage)
				count += len(told)
			}
			w.end(false)
		}
	}
}

func TestLogRefusesForeignLogs(t *testing.T) {
	w := closedLog(t)
	w.cfg.Identity = "server n2"
	w.start()
	opened, err := w.open()
	require.True(t, opened)
	require.ErrorIs(t, err, wal.ErrForeign)
	require.ErrorContains(t, err, "server n1")
	require.ErrorContains(t, err, "server n2")
	require.Nil(t, w.log)
	w.end(false)

	w.cfg.Identity = "server n1"
	w.start()
	content := w.disk.ReadFile("log/identity")
	w.write("log/notes.txt", []byte("not a segment"))
	opened, err = w.open()
	require.True(t, opened)
	require.NoError(t, err)
	require.Equal(t, []string{"notes.txt"}, w.report.Foreign)
	require.Equal(t, []byte("not a segment"), w.disk.ReadFile("log/notes.txt"))
	require.Equal(t, content, w.disk.ReadFile("log/identity"))
	w.end(false)

	// A segment of another log, under a name that would fit.
	other := opened2(t)
	files := other.disk.Files()
	w.start()
	w.write(fmt.Sprintf("log/%016x.wal", 99), other.disk.ReadFile(files[0]))
	opened, err = w.open()
	require.True(t, opened)
	require.ErrorIs(t, err, wal.ErrForeign)
}

// opened2 is another log, closed.
func opened2(t *testing.T) *world {
	w := opened(t, 77, 1)
	w.closeLog()
	return w
}

// write makes a durable file.
func (w *world) write(name string, content []byte) {
	written := false
	w.fs.Open(w.strand, name, storage.Create|storage.Empty, func(f storage.File, err error) {
		require.NoError(w.t, err)
		_, err = f.Append(content)
		require.NoError(w.t, err)
		f.Sync(w.strand, func(err error) {
			require.NoError(w.t, err)
			f.Close()
			w.fs.SyncDir(w.strand, "log", func(error) { written = true })
		})
	})
	require.True(w.t, w.until(func() bool { return written }))
}

// TestLogSoundGroupsGoOnBesideDamage uses the others, until the segments around the damage go.
func TestLogSoundGroupsGoOnBesideDamage(t *testing.T) {
	w := closedLog(t)
	name := w.disk.Files()[0]
	require.True(t, w.disk.FlipBit(name, 8*300))
	content := w.disk.ReadFile(name)
	told, err := w.trial(t)
	require.NoError(t, err)
	require.Len(t, told, 1)
	w.end(true)

	w.start()
	w.cfg.LogBytesMax = 4 << 10
	_, err = w.open()
	require.NoError(t, err)
	bad := w.models[told[0]]
	delete(w.models, told[0])
	for _, id := range slices.Collect(maps.Keys(w.models)) {
		w.attach(id)
	}
	var sound *member
	for _, id := range w.ids() {
		if id != gid(4) {
			sound = w.members[id]
		}
	}
	for i := range 60 {
		sound.do(func() { sound.append(wal.Prompt, body(i)) })
		w.settle()
		if i%10 == 9 {
			sound.do(func() { sound.checkpoint(sound.m.flushed, body(i)) })
			w.settle()
		}
	}
	require.NotContains(t, w.disk.Files(), name, "what is sound was carried forward")
	require.Equal(t, content, w.disk.ReadFile(name+".damaged"))
	p := &member{w: w, id: told[0], m: bad, strand: w.strand}
	p.g, _, err = w.log.Attach(told[0], p.strand, nil, p)
	require.NoError(t, err)
	p.drop()
	w.settle()
	require.Equal(t, 2, bad.dropped)
	for i := range 30 {
		sound.do(func() { sound.append(wal.Prompt, body(i)) })
		w.settle()
	}
	w.end(true)
	w.reopen()
	require.Equal(t, []string{strings.TrimPrefix(name, "log/") + ".damaged"}, w.report.Kept)
}

// TestLogDamageAgainstModel damages logs of random histories, once or twice, and opens them several
// times with some use between: a group is as its model says, or is told, and stays so.
func TestLogDamageAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.Uint64().Draw(t, "seed"))
		w.cfg.SegmentBytes = rapid.Int64Range(1<<10, 4<<10).Draw(t, "segment")
		w.cfg.LogBytesMax = rapid.Int64Range(1, 16<<10).Draw(t, "log")
		ok, err := w.open()
		require.NoError(t, err)
		require.True(t, ok)
		groups := 4
		for i := 1; i <= groups; i++ {
			w.attach(gid(i))
		}
		for i := range rapid.IntRange(1, 40).Draw(t, "rounds") {
			p := w.members[gid(rapid.IntRange(1, groups).Draw(t, "group"))]
			if p == nil || p.m.dropped > 0 {
				continue
			}
			p.do(func() { p.append(wal.Prompt, body(i), body(i+3)) })
			w.settle()
			switch rapid.IntRange(0, 9).Draw(t, "also") {
			case 0, 1:
				p.do(func() { p.checkpoint(p.m.flushed-1, body(2*i)) })
			case 2:
				p.do(func() { p.hard(wal.HardState{Term: uint64(i + 1), Vote: 1}) })
			case 3:
				if p.m.last > 1 {
					p.do(func() { p.truncate(p.m.last) })
				}
			case 4:
				if groups < 8 {
					p.do(p.drop)
					groups++
					w.attach(gid(groups))
				}
			case 5:
				w.settle()
				w.end(rapid.Bool().Draw(t, "power"))
				w.reopen()
			}
			w.settle()
		}
		w.closeLog()
		files := w.disk.Files()
		for range rapid.IntRange(1, 2).Draw(t, "faults") {
			name := files[rapid.IntRange(0, len(files)-2).Draw(t, "file")]
			size, _ := w.disk.FileSize(name)
			end := size
			if name == files[len(files)-2] {
				end -= 64 // the witness speaks for what is before it
			}
			if rapid.Bool().Draw(t, "bit") {
				w.disk.FlipBit(name, 8*rapid.Int64Range(0, end-1).Draw(t, "at"))
			} else if sectors := end / 512; sectors > 0 {
				w.disk.RotSector(name, rapid.Int64Range(0, sectors-1).Draw(t, "sector"), storage.Rot(rapid.IntRange(0, 2).Draw(t, "rot")))
			}
		}
		told, err := w.trial(t)
		require.NoError(t, err)
		for range 2 {
			if rapid.Bool().Draw(t, "close") {
				w.closeLog()
			} else {
				w.end(true)
			}
			again, err := w.trial(t)
			require.NoError(t, err)
			require.Equal(t, told, again)
		}
	})
}
