package raft_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/storage"
)

// TestGroupsSurviveCrashes proposes, checkpoints, crashes and opens anew at random: what a machine has
// applied of entries that were not Unflushed is there again, in order, and nothing else but
// what was proposed.
func TestGroupsSurviveCrashes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t, rapid.Uint64().Draw(t, "seed"))
		w.walCfg.SegmentBytes = rapid.Int64Range(1<<10, 4<<10).Draw(t, "segment")
		w.walCfg.LogBytesMax = rapid.Int64Range(1, 16<<10).Draw(t, "log")
		w.cfg.CheckpointBytes = rapid.Int64Range(1, 2<<10).Draw(t, "checkpoint")
		w.start()
		const groups = 3
		var machines [groups]*ledger
		var proposed [groups][]string // all that may be found
		var sure [groups]int          // of it, what must be found
		openAll := func() {
			for i := range machines {
				machines[i] = w.open(gid(uint64(i+1)), false)
			}
		}
		note := func() { // what was applied and is durable
			for i, m := range machines {
				for n := len(m.applied); n > sure[i]; n-- {
					if proposed[i][n-1][0] != 'u' {
						sure[i] = n
						break
					}
				}
			}
		}
		restart := func(power bool) {
			note()
			w.disk.Hook = nil
			w.disk.SetFaults(storage.DiskFaults{})
			if w.disk.Mounted() {
				w.end(power)
			}
			w.start()
			require.Empty(t, w.report.Damage)
			openAll()
			w.settle()
			for i, m := range machines {
				require.True(t, m.replayed)
				require.GreaterOrEqual(t, len(m.applied), sure[i], "group %d", i)
				require.LessOrEqual(t, len(m.applied), len(proposed[i]))
				require.Equal(t, append([]string{}, proposed[i][:len(m.applied)]...), append([]string{}, m.applied...))
				proposed[i] = proposed[i][:len(m.applied)]
				sure[i] = len(m.applied)
			}
		}
		openAll()
		count := 0
		t.Repeat(map[string]func(*rapid.T){
			"propose": func(t *rapid.T) {
				i := rapid.IntRange(0, groups-1).Draw(t, "group")
				class := raft.Class(rapid.IntRange(0, 2).Draw(t, "class"))
				n := rapid.IntRange(1, 5).Draw(t, "n")
				m := machines[i]
				m.strand.Post(func() {
					for range n {
						count++
						p := fmt.Sprintf("%c%d%*d", "plu"[class], count, count%90, 0)
						if m.group.Propose([]byte(p), count, class) == nil {
							proposed[i] = append(proposed[i], p)
						}
					}
				})
			},
			"checkpoint": func(t *rapid.T) {
				m := machines[rapid.IntRange(0, groups-1).Draw(t, "group")]
				m.strand.Post(func() { m.group.CheckpointNow(nil) })
			},
			"refuse": func(t *rapid.T) {
				machines[rapid.IntRange(0, groups-1).Draw(t, "group")].refuse = 2
			},
			"step": func(t *rapid.T) {
				for range rapid.IntRange(1, 40).Draw(t, "n") {
					w.sim.Step()
				}
			},
			"settle": func(*rapid.T) { w.settle() },
			"slow":   func(*rapid.T) { w.disk.SetFaults(storage.DiskFaults{SyncTime: time.Millisecond}) },
			"faults": func(*rapid.T) { w.disk.SetFaults(storage.DiskFaults{SyncError: 0.1, WriteFull: 0.1}) },
			"crashAt": func(t *rapid.T) {
				at := w.disk.Ops() + rapid.Uint64Range(1, 20).Draw(t, "n")
				point := storage.CrashPoint{
					Stage: storage.CrashStage(rapid.IntRange(1, 3).Draw(t, "stage")), Power: rapid.Bool().Draw(t, "power"),
				}
				machine := w.machine
				w.disk.Hook = func(op storage.DiskOp) storage.CrashPoint {
					if op.Number != at {
						return storage.CrashPoint{}
					}
					machine.Kill()
					return point
				}
				w.settle()
				restart(false)
			},
			"restart": func(t *rapid.T) { restart(rapid.Bool().Draw(t, "power")) },
			"reopen": func(t *rapid.T) {
				i := rapid.IntRange(0, groups-1).Draw(t, "group")
				if machines[i].failed != nil {
					t.Skip("fenced")
				}
				w.settle()
				if machines[i].failed != nil {
					t.Skip("fenced")
				}
				note()
				stopped := false
				machines[i].strand.Post(func() { machines[i].group.Stop(func() { stopped = true }) })
				w.settle()
				require.True(t, stopped)
				machines[i] = w.open(gid(uint64(i+1)), false)
				w.settle()
				require.Equal(t, append([]string{}, proposed[i]...), append([]string{}, machines[i].applied...))
			},
		})
		restart(true)
	})
}
