package wal_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// drawConfig draws limits small enough for the rare to be common.
func drawConfig(t *rapid.T, w *world) {
	w.cfg.SegmentBytes = rapid.Int64Range(1<<10, 4<<10).Draw(t, "segment")
	w.cfg.LogBytesMax = rapid.Int64Range(1, 16<<10).Draw(t, "log")
	w.cfg.BatchBytesMax = rapid.IntRange(1, 4<<10).Draw(t, "batch")
	w.cfg.ReserveBytes = rapid.Int64Range(0, 2<<10).Draw(t, "reserve")
	if rapid.Bool().Draw(t, "interval") {
		w.cfg.Mode, w.cfg.SyncInterval = wal.Interval, 10*time.Millisecond
	}
}

// mayLose notes that what was acknowledged in mode Interval may be lost by the end of the process: to
// power loss, and to a sync that failed.
func (w *world) mayLose(power bool) {
	w.lossy = w.lossy || w.cfg.Mode == wal.Interval && (power || w.disk.Count(storage.FaultSyncError) > 0)
}

// TestLogAgainstModel drives a log, its disk and its crashes at random, and compares every recovery
// with what each group was told.
func TestLogAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.Uint64().Draw(t, "seed"))
		drawConfig(t, w)
		ok, err := w.open()
		require.NoError(t, err)
		require.True(t, ok)
		next := 0
		fresh := func() *member { next++; return w.attach(gid(next)) }
		for range 3 {
			fresh()
		}
		count := 0
		pick := func(t *rapid.T) *member {
			if w.machine.Dead() || w.log == nil {
				t.Skip("no process")
			}
			ids := w.ids()
			if len(ids) == 0 {
				t.Skip("no group")
			}
			p := w.members[ids[rapid.IntRange(0, len(ids)-1).Draw(t, "group")]]
			if p.m.dropped > 0 {
				t.Skip("dropped")
			}
			return p
		}
		restart := func(power bool) {
			w.disk.SetFaults(storage.DiskFaults{})
			w.mayLose(power)
			w.end(power)
			w.reopen()
			for len(w.models) < 3 {
				fresh()
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				p := pick(t)
				var payloads [][]byte
				for range rapid.IntRange(1, 5).Draw(t, "n") {
					count++
					payloads = append(payloads, body(count))
				}
				class := wal.Class(rapid.IntRange(0, 1).Draw(t, "class"))
				p.do(func() { p.append(class, payloads...) })
			},
			"truncate": func(t *rapid.T) {
				p := pick(t)
				back := rapid.Uint64Range(0, 4).Draw(t, "back")
				p.do(func() {
					if p.m.last > back {
						p.truncate(p.m.last - back)
					}
				})
			},
			"hard": func(t *rapid.T) {
				p := pick(t)
				h := wal.HardState{Term: rapid.Uint64Range(1, 9).Draw(t, "term"), Vote: 1, Life: rapid.Uint64().Draw(t, "life")}
				p.do(func() { p.hard(h) })
			},
			"checkpoint": func(t *rapid.T) {
				p := pick(t)
				back := rapid.Uint64Range(0, 3).Draw(t, "back")
				count++
				state := body(count)
				p.do(func() {
					if p.m.flushed > back {
						p.checkpoint(p.m.flushed-back, state)
					}
				})
			},
			"reset": func(t *rapid.T) {
				p := pick(t)
				ahead := rapid.Uint64Range(0, 8).Draw(t, "ahead")
				count++
				state := body(count)
				if rapid.IntRange(0, 3).Draw(t, "large") == 0 { // of several parts, with segments between
					state = bytes.Repeat(state, 1+(600<<10)/len(state))
				}
				p.do(func() { p.reset(p.m.last-min(p.m.last, 4)+ahead, state) })
			},
			"repair": func(t *rapid.T) {
				p := pick(t)
				back, n := rapid.Uint64Range(0, 9).Draw(t, "back"), rapid.IntRange(1, 4).Draw(t, "n")
				p.do(func() { p.repair(p.m.last-min(back, p.m.last), n) })
			},
			"read": func(t *rapid.T) {
				p := pick(t)
				back, n := rapid.Uint64Range(0, 12).Draw(t, "back"), rapid.Uint64Range(1, 8).Draw(t, "n")
				size := rapid.IntRange(0, 1000).Draw(t, "size")
				p.do(func() {
					lo := p.m.last - min(back, p.m.last)
					p.read(lo, min(lo+n, p.m.last+1), size)
				})
			},
			"keep": func(t *rapid.T) {
				p := pick(t)
				back := rapid.Uint64Range(0, 9).Draw(t, "back")
				p.do(func() { p.keepFrom(p.m.last - min(back, p.m.last)) })
			},
			"drop": func(t *rapid.T) {
				p := pick(t)
				p.do(p.drop)
				fresh()
			},
			"step": func(t *rapid.T) {
				for range rapid.IntRange(1, 30).Draw(t, "n") {
					if w.machine.Dead() || !w.sim.Step() {
						return
					}
				}
			},
			"settle": func(t *rapid.T) {
				if w.machine.Dead() || w.disk.Faults().WriteFull > 0.5 {
					t.Skip("it would not end")
				}
				w.settle()
			},
			"faults": func(t *rapid.T) {
				f := storage.DiskFaults{SyncTime: time.Millisecond}
				switch rapid.IntRange(0, 4).Draw(t, "kind") {
				case 0:
					f.WriteError = 0.05
				case 1:
					f.SyncError = 0.05
				case 2:
					f.WriteFull = 0.2
				case 3:
					f.WriteTime, f.NameTime = time.Millisecond, time.Millisecond
				}
				w.disk.SetFaults(f)
			},
			"crashAt": func(t *rapid.T) {
				if w.machine.Dead() {
					t.Skip("dead")
				}
				power := rapid.Bool().Draw(t, "power")
				stage := storage.CrashStage(rapid.IntRange(1, 3).Draw(t, "stage"))
				w.crashAt(rapid.Uint64Range(1, 20).Draw(t, "n"), stage, power)
				w.settle()
				w.mayLose(power)
				restart(rapid.Bool().Draw(t, "again"))
			},
			"restart": func(t *rapid.T) { restart(rapid.Bool().Draw(t, "power")) },
			"cutShort": func(t *rapid.T) { // of the recovery too
				w.lossy = w.lossy || w.cfg.Mode == wal.Interval
				w.disk.SetFaults(storage.DiskFaults{})
				w.end(true)
				w.start()
				w.crashAt(rapid.Uint64Range(1, 12).Draw(t, "n"), storage.CrashStage(rapid.IntRange(1, 3).Draw(t, "stage")), true)
				_, err := w.open()
				require.NoError(t, err)
				restart(rapid.Bool().Draw(t, "power"))
			},
			"close": func(t *rapid.T) {
				if w.machine.Dead() || w.log == nil {
					t.Skip("no process")
				}
				w.disk.SetFaults(storage.DiskFaults{})
				closed, failed := false, error(nil)
				w.log.Close(func(err error) { closed, failed = true, err })
				w.settle()
				require.True(t, closed)
				w.end(true)
				clean := failed == nil
				if !clean {
					w.mayLose(true)
				}
				w.reopen()
				if clean {
					require.True(t, w.report.Clean)
				}
				for len(w.models) < 3 {
					fresh()
				}
			},
		})
		restart(true)
	})
}
