package storage_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// journalWorld checks a journal against what it acknowledged.
type journalWorld struct {
	*simWorld
	journal  *storage.Journal
	base     [][]byte // what the last recovery that succeeded found
	appended [][]byte // since
	acked    int      // of appended, a prefix
	found    [][]byte // by the recovery under way
}

// open recovers the journal and compares. It is false when a crash came first.
func (w *journalWorld) open(t require.TestingT) (opened bool, err error) {
	w.found, w.journal = nil, nil
	w.Await(func(done func()) {
		storage.OpenJournal(w.FS, w.Strand, "log", func(seq uint64, payload []byte) {
			require.EqualValues(t, len(w.found)+1, seq)
			w.found = append(w.found, append([]byte{}, payload...))
		}, func(j *storage.Journal, e error) {
			w.journal, err, opened = j, e, true
			done()
		})
	})
	if !opened || err != nil {
		return opened, err
	}
	known := append(w.base[:len(w.base):len(w.base)], w.appended...)
	require.LessOrEqual(t, len(w.found), len(known), "nothing that was not appended")
	require.GreaterOrEqual(t, len(w.found), len(w.base)+w.acked, "nothing acknowledged is missing")
	for i, p := range w.found {
		require.Equal(t, known[i], p, "record %d", i+1)
	}
	require.EqualValues(t, len(w.found)+1, w.journal.Next())
	w.base, w.appended, w.acked = w.found, nil, 0
	return true, nil
}

// append adds records of one task. They may never be answered.
func (w *journalWorld) append(t require.TestingT, payloads ...[]byte) {
	j := w.journal
	w.Strand.Post(func() {
		for _, p := range payloads {
			if j.Err() != nil {
				return
			}
			want := j.Next()
			w.appended = append(w.appended, p)
			j.Append(p, func(seq uint64, err error) {
				require.Equal(t, want, seq)
				if err == nil {
					w.acked++
					require.EqualValues(t, len(w.base)+w.acked, seq, "acknowledged in order")
				} else {
					require.ErrorIs(t, err, storage.ErrFenced)
				}
			})
		}
	})
}

// settle runs until nothing is left to do or a crash has come.
func (w *journalWorld) settle() {
	for !w.machine.Dead() && w.sim.Step() {
	}
}

// crashAt arms a crash at the n-th disk operation from now.
func (w *journalWorld) crashAt(n uint64, stage storage.CrashStage, power bool) {
	at := w.disk.Ops() + n
	machine := w.machine
	w.disk.Hook = func(op storage.DiskOp) storage.CrashPoint {
		if op.Number != at {
			return storage.CrashPoint{}
		}
		machine.Kill()
		return storage.CrashPoint{Stage: stage, Power: power}
	}
}

// reopen starts a process where none is, and recovers without a crash.
func (w *journalWorld) reopen(t require.TestingT) {
	w.disk.Hook = nil
	if w.disk.Mounted() {
		w.machine.Kill()
		w.disk.Crash()
	}
	w.start()
	opened, err := w.open(t)
	require.NoError(t, err)
	require.True(t, opened)
}

func payload(i int) []byte {
	return bytes.Repeat([]byte{byte('a' + i%26)}, 1+i*37%700)
}

// scenario opens a journal, appends in three tasks and waits, as far as it gets.
func (w *journalWorld) scenario(t require.TestingT) {
	if opened, err := w.open(t); !opened || err != nil {
		require.NoError(t, err)
		return
	}
	for i := range 3 {
		w.append(t, payload(4*i), payload(4*i+1), payload(4*i+2), []byte{})
		for range i {
			w.sim.Step()
		}
	}
	w.settle()
}

func TestJournalRecoversWhatItAcknowledged(t *testing.T) {
	w := &journalWorld{simWorld: newSimWorld(1)}
	w.scenario(t)
	require.Equal(t, 12, w.acked)
	w.restart(true)
	_, err := w.open(t)
	require.NoError(t, err)
	require.Len(t, w.found, 12)
}

func TestJournalAppendsShareSyncs(t *testing.T) {
	w := &journalWorld{simWorld: newSimWorld(1)}
	w.disk.SetFaults(storage.DiskFaults{SyncTime: time.Millisecond})
	_, err := w.open(t)
	require.NoError(t, err)
	before := w.disk.Ops()
	for i := range 100 {
		w.append(t, payload(i), payload(i))
	}
	w.settle()
	require.Equal(t, 200, w.acked)
	assert.LessOrEqual(t, w.disk.Ops()-before, uint64(4))
	assert.Zero(t, w.journal.Pending())
}

// TestJournalCrashAtEveryOperation strikes before, in and after each disk
// operation of opening, appending and, at each operation again, of recovery.
func TestJournalCrashAtEveryOperation(t *testing.T) {
	whole := &journalWorld{simWorld: newSimWorld(1)}
	whole.scenario(t)
	total := whole.disk.Ops()
	require.Greater(t, total, uint64(6))

	for seed := range uint64(12) {
		for n := uint64(1); n <= total; n++ {
			for _, stage := range []storage.CrashStage{storage.CrashBefore, storage.CrashHalf, storage.CrashAfter} {
				for _, power := range []bool{false, true} {
					crashThenRecover(t, seed, n, stage, power)
				}
			}
		}
	}
}

func crashThenRecover(t *testing.T, seed, n uint64, stage storage.CrashStage, power bool) {
	w := &journalWorld{simWorld: newSimWorld(seed)}
	w.crashAt(n, stage, power)
	w.scenario(t)
	// Recovery is cut short at each of its operations in turn, by either crash.
	for m := uint64(1); m <= 6 && !w.disk.Mounted(); m++ {
		w.start()
		w.crashAt(m, storage.CrashStage(1+(m+seed)%3), (m+seed)%2 == 0)
		_, err := w.open(t)
		require.NoError(t, err)
	}
	w.reopen(t)
	w.append(t, []byte("after"))
	w.settle()
	require.Equal(t, 1, w.acked)
	w.machine.Kill()
	w.disk.PowerLoss()
	w.reopen(t)
	require.Equal(t, "after", string(w.found[len(w.found)-1]))
}

// TestJournalOnAFailingDisk lets writes and syncs fail at random, and crashes the
// process or the power after each.
func TestJournalOnAFailingDisk(t *testing.T) {
	fenced := 0
	for seed := range uint64(150) {
		w := &journalWorld{simWorld: newSimWorld(seed)}
		r := rand.New(rand.NewPCG(seed, 1))
		for range 12 {
			w.disk.SetFaults(storage.DiskFaults{
				WriteError: 0.05, WriteFull: 0.05, SyncError: 0.15, SyncTime: time.Millisecond,
			})
			opened, err := w.open(t)
			require.True(t, opened)
			if err != nil {
				var damage *storage.DamageError
				require.False(t, errors.As(err, &damage), "seed %d: %v", seed, err)
			} else {
				for i := range 1 + r.IntN(6) {
					w.append(t, payload(r.IntN(50)), payload(i))
					for range r.IntN(4) {
						w.sim.Step()
					}
				}
				if r.IntN(3) > 0 {
					w.settle()
				}
				if w.journal.Err() != nil {
					fenced++
				}
			}
			w.restart(r.IntN(2) == 0)
		}
		w.disk.SetFaults(storage.DiskFaults{})
		w.reopen(t)
	}
	assert.Greater(t, fenced, 50)
}

func TestJournalFencesItself(t *testing.T) {
	w := &journalWorld{simWorld: newSimWorld(3)}
	_, err := w.open(t)
	require.NoError(t, err)
	w.append(t, []byte("good"))
	w.settle()
	require.Equal(t, 1, w.acked)

	w.disk.SetFaults(storage.DiskFaults{SyncError: 1})
	w.append(t, []byte("lost or not"))
	w.settle()
	require.Equal(t, 1, w.acked)
	require.ErrorIs(t, w.journal.Err(), storage.ErrFenced)
	require.ErrorIs(t, w.journal.Err(), storage.ErrIO)

	w.disk.SetFaults(storage.DiskFaults{}) // a sync would succeed now, and mean nothing
	w.Await(func(done func()) {
		w.journal.Append([]byte("late"), func(seq uint64, err error) {
			assert.Zero(t, seq)
			assert.ErrorIs(t, err, storage.ErrFenced)
			done()
		})
	})
	w.Await(func(done func()) {
		w.journal.Close(func(err error) {
			assert.ErrorIs(t, err, storage.ErrFenced)
			done()
		})
	})
	w.reopen(t)
}

func TestJournalRefuses(t *testing.T) {
	w := &journalWorld{simWorld: newSimWorld(3)}
	_, err := w.open(t)
	require.NoError(t, err)
	var got []error
	w.Await(func(done func()) {
		for range 2 {
			w.journal.Append(make([]byte, storage.JournalRecordMax), func(_ uint64, err error) { assert.NoError(t, err) })
		}
		refused := func(seq uint64, err error) {
			assert.Zero(t, seq)
			got = append(got, err)
		}
		w.journal.Append([]byte("over the credit"), refused)
		w.journal.Append(make([]byte, storage.JournalRecordMax+1), refused)
		w.journal.Close(func(err error) { assert.NoError(t, err); done() })
		w.journal.Append(nil, refused)
		w.journal.Close(func(err error) { refused(0, err) })
	})
	require.Len(t, got, 4)
	assert.ErrorIs(t, got[0], storage.ErrBusy)
	assert.ErrorContains(t, got[1], "longer than")
	assert.ErrorIs(t, got[2], storage.ErrClosed)
	assert.ErrorIs(t, got[3], storage.ErrClosed)
}

func TestJournalNeedsItsDirectory(t *testing.T) {
	w := newSimWorld(1)
	var err error
	w.Await(func(done func()) {
		storage.OpenJournal(w.FS, w.Strand, "no/log", nil, func(j *storage.Journal, e error) {
			assert.Nil(t, j)
			err = e
			done()
		})
	})
	require.ErrorIs(t, err, storage.ErrNotExist)
}

// closedJournal leaves a journal of some batches, closed, and a repeat in the middle.
func closedJournal(t *testing.T) *journalWorld {
	w := &journalWorld{simWorld: newSimWorld(5)}
	for range 2 {
		_, err := w.open(t)
		require.NoError(t, err)
		for i := range 3 {
			w.append(t, payload(i), []byte(fmt.Sprint("record ", i)))
			w.settle()
		}
		w.restart(false)
	}
	_, err := w.open(t)
	require.NoError(t, err)
	w.Await(func(done func()) {
		w.journal.Close(func(err error) { assert.NoError(t, err); done() })
	})
	w.restart(true)
	return w
}

// mark is the length of the witness that Close leaves, in bytes.
const mark = 56

// TestJournalDamageIsNeverSilent flips each bit of a closed journal: either
// everything is recovered all the same, or the damage is named.
func TestJournalDamageIsNeverSilent(t *testing.T) {
	w := closedJournal(t)
	image := w.disk.Snapshot()
	size, _ := w.disk.FileSize("log")
	records := len(w.base)
	require.Equal(t, 12, records)
	named := 0
	for at := range size {
		w.machine.Kill()
		w.disk.Restore(image)
		require.True(t, w.disk.FlipBit("log", 8*at+at%8))
		w.start()
		opened, err := w.open(t)
		require.True(t, opened)
		if err == nil {
			require.Len(t, w.found, records)
			continue
		}
		named++
		var damage *storage.DamageError
		require.ErrorAs(t, err, &damage)
		require.Equal(t, "log", damage.File)
		require.LessOrEqual(t, damage.Offset, at)
		require.Less(t, at-damage.Offset, int64(1024), "precise to the record")
		require.Less(t, at, size-mark)
		now, _ := w.disk.FileSize("log")
		require.Equal(t, size, now, "damage is left as it is")
	}
	assert.Greater(t, named, int(size/2))
}

func TestJournalSectorFaults(t *testing.T) {
	w := closedJournal(t)
	image := w.disk.Snapshot()
	size, _ := w.disk.FileSize("log")
	for _, tc := range []struct {
		name   string
		damage func(sector, other int64) bool
	}{
		{"zeros", func(s, _ int64) bool { return w.disk.RotSector("log", s, storage.RotZeros) }},
		{"noise", func(s, _ int64) bool { return w.disk.RotSector("log", s, storage.RotNoise) }},
		{"older", func(s, _ int64) bool { return w.disk.RotSector("log", s, storage.RotOlder) }},
		{"misdirected", func(s, other int64) bool { return w.disk.Misdirect("log", s, other) }},
		{"unreadable", func(s, _ int64) bool { return w.disk.BreakSector("log", s) }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sectors := size / 512
			for s := range sectors {
				w.machine.Kill()
				w.disk.Restore(image)
				require.True(t, tc.damage(s, (s+1)%sectors))
				w.start()
				_, err := w.open(t)
				if err == nil {
					require.Len(t, w.found, 12)
					continue
				}
				var damage *storage.DamageError
				require.ErrorAs(t, err, &damage)
			}
		})
	}
}

// TestJournalCutAnywhere cuts the file: what is left is a prefix, or damage is named.
func TestJournalCutAnywhere(t *testing.T) {
	w := closedJournal(t)
	image := w.disk.Snapshot()
	size, _ := w.disk.FileSize("log")
	all := w.base
	for at := range size {
		w.machine.Kill()
		w.disk.Restore(image)
		require.True(t, w.disk.CutFile("log", at))
		w.start()
		w.base, w.appended, w.acked = nil, all, 0
		_, err := w.open(t)
		if at < 32 {
			var damage *storage.DamageError
			require.ErrorAs(t, err, &damage)
			require.Zero(t, damage.Offset)
			continue
		}
		require.NoError(t, err, "cut at %d", at)
	}
}

// TestJournalStaleTail puts a batch of a tail that was cut off, intact, behind one
// that took the place of its predecessor.
func TestJournalStaleTail(t *testing.T) {
	w := &journalWorld{simWorld: newSimWorld(5)}
	_, err := w.open(t)
	require.NoError(t, err)
	w.append(t, []byte("x"))
	w.settle()
	write := func(payloads ...string) []byte {
		for _, p := range payloads {
			w.append(t, []byte(p))
			w.settle()
		}
		return w.disk.ReadFile("log")
	}
	image := w.disk.Snapshot()
	reopen := func() {
		w.machine.Kill()
		w.disk.Restore(image)
		w.start()
		w.base, w.appended, w.acked = nil, [][]byte{[]byte("x")}, 1
		_, err := w.open(t)
		require.NoError(t, err)
	}
	reopen()
	cut := write("p", "q")
	reopen()
	kept := write("P")

	f := w.MustOpen(t, "log", 0)
	_, err = f.Append(cut[len(kept):])
	require.NoError(t, err)
	require.NoError(t, w.Sync(f))
	w.restart(true)
	_, err = w.open(t)
	require.NoError(t, err)
	require.Equal(t, [][]byte{[]byte("x"), []byte("P")}, w.found)
}

func TestJournalOnTheRealDisk(t *testing.T) {
	fs, err := storage.OpenReal(t.TempDir())
	require.NoError(t, err)
	s := clock.NewReal().NewStrand("main")
	for round := range 3 {
		ended := make(chan error, 1)
		replayed := 0
		s.Post(func() {
			storage.OpenJournal(fs, s, "log", func(seq uint64, p []byte) {
				replayed++
				if string(p) != fmt.Sprint("record ", seq) {
					ended <- fmt.Errorf("record %d is %q", seq, p)
				}
			}, func(j *storage.Journal, err error) {
				if err != nil {
					ended <- err
					return
				}
				for range 100 {
					j.Append([]byte(fmt.Sprint("record ", j.Next())), func(_ uint64, err error) {
						if err != nil {
							ended <- err
						}
					})
				}
				j.Close(func(err error) { ended <- err })
			})
		})
		require.NoError(t, <-ended)
		require.Equal(t, 100*round, replayed)
	}
	require.NoError(t, fs.Close())
}

// FuzzJournal opens any bytes: it ends, without panic, and a second time alike.
func FuzzJournal(f *testing.F) {
	w := &journalWorld{simWorld: newSimWorld(5)}
	if _, err := w.open(f); err != nil {
		f.Fatal(err)
	}
	w.append(f, []byte("one"), []byte("two"))
	w.settle()
	whole := w.disk.ReadFile("log")
	f.Add(whole)
	f.Add(whole[:len(whole)-5])
	f.Add(append(bytes.Clone(whole), whole...))
	f.Add([]byte{})
	f.Add([]byte("LSJOURN\x01"))
	f.Fuzz(func(t *testing.T, content []byte) {
		w := newSimWorld(1)
		file := w.MustOpen(t, "log", storage.Create)
		_, err := file.Append(content)
		require.NoError(t, err)
		require.NoError(t, w.Sync(file))
		file.Close()
		var first [][]byte
		for round := range 2 {
			var records [][]byte
			ended := false
			w.Await(func(done func()) {
				storage.OpenJournal(w.FS, w.Strand, "log", func(_ uint64, p []byte) {
					records = append(records, bytes.Clone(p))
				}, func(*storage.Journal, error) { ended = true; done() })
			})
			require.True(t, ended)
			if round == 0 {
				first = records
			}
			require.Equal(t, first, records)
		}
	})
}

func BenchmarkJournalAppend(b *testing.B) {
	for _, size := range []int{16, 256, 4096} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			fs, err := storage.OpenReal(b.TempDir())
			if err != nil {
				b.Fatal(err)
			}
			s := clock.NewReal().NewStrand("main")
			opened := make(chan *storage.Journal, 1)
			storage.OpenJournal(fs, s, "log", nil, func(j *storage.Journal, err error) {
				if err != nil {
					b.Error(err)
				}
				opened <- j
			})
			j := <-opened
			body := make([]byte, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			acked := make(chan struct{}, 1024)
			done := func(uint64, error) { acked <- struct{}{} }
			flying := 0
			add := func() { j.Append(body, done) }
			for b.Loop() {
				s.Post(add)
				if flying++; flying == 1000 {
					<-acked
					flying--
				}
			}
			for range flying {
				<-acked
			}
		})
	}
}
