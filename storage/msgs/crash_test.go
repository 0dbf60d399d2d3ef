package msgs

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/storage"
)

// story, with late, has a caller that makes only those manifests durable that it releases, so that a process may find
// itself with an older one. It is a life of a store that comes by every kind of disk operation: blocks that fill, checkpoints with and
// without release, blocks that die, compaction, erasures, subjects that come and go.
func (f *fileRig) story(t require.TestingT, late bool, dead func() bool) {
	steps := []func(){}
	step := func(fn func()) { steps = append(steps, fn) }
	appends := func(n int, subject string) {
		step(func() {
			for i := range n {
				f.now++
				x := modelMsg{Msg: Msg{Time: f.now, Subject: fmt.Sprintf(subject, i%5), Data: []byte(strings.Repeat("x", i%37))}}
				if i%7 == 0 {
					x.ttl.Deadline = f.now + 10_000
				}
				_, err := f.store.Append(0, x.Time, []byte(x.Subject), nil, x.Data, x.ttl)
				require.NoError(t, err)
				require.NoError(t, f.model.append(x))
			}
		})
	}
	remove := func(every, rest int, erase bool) {
		step(func() {
			for _, x := range f.model.clone().list {
				if int(x.Seq)%every == rest {
					require.True(t, f.store.Remove(x.Seq, erase, ByDelete))
					f.model.remove(x.Seq, ByDelete, false)
				}
			}
		})
	}
	save := func(release bool) {
		step(func() {
			saved := f.model.clone()
			st := f.store
			st.Checkpoint(func(m []byte, err error) {
				if f.fills && errors.Is(err, storage.ErrFull) {
					require.NotErrorIs(t, err, ErrFenced)
					return
				}
				require.NoError(t, err)
				if release || !late {
					f.manifest, f.saved = m, saved
				}
				if release {
					st.Release(m)
				}
			})
		})
	}
	appends(12, "a.%d")
	save(true)
	appends(25, "b.%d")
	remove(3, 0, false)
	save(false)
	remove(5, 1, true)
	appends(9, "c.%d")
	save(true)
	remove(2, 0, false)
	save(true)
	save(true)
	step(func() { require.Equal(t, f.model.purge(NewFilter("b.>"), 0, 1), f.store.Purge(NewFilter("b.>"), 0, 1)) })
	appends(14, "a.%d")
	save(true)
	remove(3, 1, true)
	save(true)
	save(true)
	for _, s := range steps {
		if dead() {
			return
		}
		s()
		f.settle()
	}
}

// crashOnce tells the story, dies at one disk operation, and looks at what the next process finds.
func crashOnce(t *testing.T, o func(*fileRig) Options, op uint64, p storage.CrashPoint) (ops uint64) {
	f := newFileRig(t, op, o)
	begun := f.disk.Ops()
	died := false
	f.disk.Hook = func(d storage.DiskOp) storage.CrashPoint {
		if d.Number-begun != op || died {
			return storage.CrashPoint{}
		}
		died = true
		f.machine.Kill()
		return p
	}
	f.story(t, op%3 == 0, func() bool { return died })
	ops = f.disk.Ops() - begun
	f.disk.Hook = nil
	if !died && p.Stage != storage.CrashNever {
		return ops
	}
	f.crash(t, p.Power)
	require.True(t, f.report.Sound(), "%+v", f.report)
	f.recovered(t)
	for range 5 { // until compaction has nothing to do
		f.checkpoint(t)
		f.store.Release(f.manifest)
		f.settle()
	}
	f.crash(t, false)
	require.True(t, f.report.Sound(), "%+v", f.report)
	require.Empty(t, f.report.Unneeded)
	f.recovered(t)
	return ops
}

// recovered compares everything with the model, and changes something.
func (f *fileRig) recovered(t *testing.T) {
	st := f.store.State()
	require.Equal(t, f.model.state(), st)
	f.checkAll(t)
	for seq := range f.model.last + 2 {
		f.checkSeq(t, seq)
	}
	f.checkGaps(t)
	require.Equal(t, f.model.nextExpiry(), f.store.NextExpiry())
	f.now++
	x := modelMsg{Msg: Msg{Time: f.now, Subject: "after", Data: []byte("after")}}
	_, err := f.store.Append(0, x.Time, []byte(x.Subject), nil, x.Data, x.ttl)
	require.NoError(t, err)
	require.NoError(t, f.model.append(x))
}

func TestCrashAtEveryOperation(t *testing.T) {
	for _, v := range fileVariants {
		if v.name == "large blocks" {
			continue
		}
		t.Run(v.name, func(t *testing.T) {
			total := crashOnce(t, v.o, 0, storage.CrashPoint{})
			if v.name != "in the manifest" {
				require.Greater(t, total, uint64(50))
			}
			for op := uint64(1); op <= total; op++ {
				stage := []storage.CrashStage{storage.CrashBefore, storage.CrashHalf, storage.CrashAfter}
				for i, stage := range stage {
					power := (op+uint64(i))%2 == 0
					crashOnce(t, v.o, op, storage.CrashPoint{Stage: stage, Power: power})
					if t.Failed() {
						t.Fatalf("op %d stage %d power %t", op, stage, power)
					}
				}
			}
		})
	}
}
