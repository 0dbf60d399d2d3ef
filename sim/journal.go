package sim

import (
	"errors"
	"math/rand/v2"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

const (
	storeHost   = "store"
	journalFile = "journal"
)

// JournalPlan says how a journal is used and what its disk does.
type JournalPlan struct {
	Every      time.Duration // mean time between two appends
	SizeMax    int           // of a record, in bytes
	Faults     storage.DiskFaults
	CrashPer   float64 // probability of a crash at a disk operation
	Power      float64 // of these, how many lose power
	DamagePer  float64 // probability that a closed journal is damaged before it opens again
	ClosePer   float64 // probability that an append is followed by a close
	RecoverPer float64 // probability of a crash at an operation of recovery
}

func newJournalPlan(rnd *rand.Rand, profile Profile) *JournalPlan {
	p := &JournalPlan{
		Every: logTime(rnd, 5*time.Millisecond, 200*time.Millisecond), SizeMax: 16 << rnd.IntN(9),
		ClosePer: rnd.Float64() * 0.03, Power: rnd.Float64(),
	}
	p.Faults.WriteTime, p.Faults.SyncTime = logTime(rnd, time.Microsecond, 5*time.Millisecond), logTime(rnd, 10*time.Microsecond, 20*time.Millisecond)
	p.Faults.ReadTime, p.Faults.NameTime = p.Faults.WriteTime, p.Faults.SyncTime
	on := func(share float64) float64 {
		if x := rnd.Float64(); rnd.IntN(2) == 0 {
			return x * share
		}
		return 0
	}
	p.CrashPer, p.RecoverPer, p.DamagePer = on(0.02), on(0.2), on(0.8)
	p.Faults.WriteError, p.Faults.WriteFull, p.Faults.SyncError, p.Faults.ReadError = on(0.003), on(0.003), on(0.006), on(0.003)
	p.Faults.Hang, p.Faults.HangMin, p.Faults.HangMax = on(0.001), 10*time.Millisecond, 5*time.Second
	return p
}

// DiskFaultNames lists what a disk may do.
func DiskFaultNames() []string {
	var names []string
	for f := storage.FaultPowerLoss; f <= storage.FaultMisdirected; f++ {
		names = append(names, "disk: "+f.String())
	}
	names = append(names, "disk: "+storage.FaultHung.String())
	return names
}

// journalLoad appends to a journal, crashes, opens it again and compares what came
// back with the model.
type journalLoad struct {
	w       *World
	plan    JournalPlan
	model   core.Journal
	disk    *storage.SimDisk
	rnd     *rand.Rand
	clock   *clock.SimClock
	strand  clock.Strand
	fs      *storage.SimFS
	journal *storage.Journal
	timer   clock.Timer
	life    int
	ids     uint64
	opening bool
	stopped bool               // no more appends
	acked   func(*journalLoad) // once, after the next acknowledgement
	good    *storage.Image     // the disk before it was spoiled, until it opens again

	appends, acks, lives, closes, damages, reported int
}

func (w *World) startJournal() {
	if w.plan.Journal == nil {
		return
	}
	l := &journalLoad{w: w, plan: *w.plan.Journal, disk: storage.NewSimDisk(w.sim, storeHost), rnd: w.sim.Rand("journal")}
	w.journal = l
	l.disk.SetFaults(l.plan.Faults)
	l.disk.Hook = l.mayCrash
	l.begin()
}

// mayCrash decides at each disk operation whether the machine dies there.
func (l *journalLoad) mayCrash(storage.DiskOp) storage.CrashPoint {
	p := l.plan.CrashPer
	if l.opening {
		p = l.plan.RecoverPer
	}
	if p == 0 || l.stopped || l.rnd.Float64() >= p {
		return storage.CrashPoint{}
	}
	l.clock.Kill()
	l.life++
	l.w.sim.After(logTime(l.rnd, time.Millisecond, time.Second), nil, clock.KindFault, l.begin)
	return storage.CrashPoint{Stage: storage.CrashStage(1 + l.rnd.IntN(3)), Power: l.rnd.Float64() < l.plan.Power}
}

// begin is the start of a life.
func (l *journalLoad) begin() {
	l.lives++
	l.clock = l.w.sim.Clock(storeHost)
	l.strand = l.clock.NewStrand("journal")
	l.timer = l.strand.NewTimer(l.append)
	l.fs = l.disk.Mount()
	l.open()
}

// open recovers the journal.
func (l *journalLoad) open() {
	life := l.life
	l.opening, l.journal = true, nil
	l.model.Opening()
	storage.OpenJournal(l.fs, l.strand, journalFile, func(seq uint64, payload []byte) {
		id, intact := readPayload(payload)
		if !intact {
			id = 0
		}
		l.model.Replayed(seq, id)
	}, func(j *storage.Journal, err error) {
		if l.life == life {
			l.opened(j, err)
		}
	})
}

func (l *journalLoad) opened(j *storage.Journal, err error) {
	l.opening = false
	l.w.trace.Notef(clock.LevelInfo, storeHost, "life %d opened %d records of %d vouched for, spoiled %v: %v", l.lives, l.model.Replays(), l.model.Acked(), l.good != nil, err)
	var damage *storage.DamageError
	switch {
	case err == nil:
		l.journal, l.good = j, nil
		l.model.Opened(j.Next())
		l.timer.Reset(0)
	case errors.As(err, &damage) && l.good != nil:
		l.reported++
		l.mend()
	case errors.As(err, &damage) && l.unreadable():
		l.w.note(clock.LevelInfo, "the journal cannot be read any more: %v", err)
	case errors.As(err, &damage):
		l.model.FoundDamage(err)
	default: // the disk failed; it is tried again
		l.again()
	}
	l.take()
}

// unreadable tells whether the disk failed to read, which may last.
func (l *journalLoad) unreadable() bool {
	return l.disk.Count(storage.FaultReadError)+l.disk.Count(storage.FaultBadSector) > 0
}

func (l *journalLoad) again() {
	l.w.sim.After(10*time.Millisecond, l.clock, clock.KindWorkload, l.open)
}

// append adds some records, which may share a sync.
func (l *journalLoad) append() {
	j := l.journal
	if j == nil || l.stopped {
		return
	}
	if j.Err() != nil { // fenced: opening it anew decides
		life := l.life
		l.journal = nil
		j.Close(func(error) {
			if l.life == life {
				l.open()
			}
		})
		return
	}
	for range 1 + l.rnd.IntN(4) {
		l.add(j)
	}
	if l.rnd.Float64() < l.plan.ClosePer {
		l.close(j)
		return
	}
	l.timer.Reset(time.Duration(min(l.rnd.ExpFloat64(), 10) * float64(l.plan.Every)))
}

func (l *journalLoad) add(j *storage.Journal) {
	l.ids++
	life, seq := l.life, j.Next()
	l.appends++
	j.Append(appendPayload(nil, l.ids, 8+l.rnd.IntN(l.plan.SizeMax)), func(got uint64, err error) {
		if l.life != life || l.journal != j {
			return
		}
		if err != nil {
			l.model.Refused()
		} else {
			l.acks++
			l.model.Acknowledged(got)
			if then := l.acked; then != nil {
				l.acked = nil
				then(l)
			}
		}
		l.take()
	})
	if j.Next() == seq+1 {
		l.model.Appended(seq, l.ids)
	}
}

// close closes the journal in good order; it may be damaged before it opens again.
func (l *journalLoad) close(j *storage.Journal) {
	l.closes++
	life := l.life
	j.Close(func(err error) {
		if l.life != life {
			return
		}
		if err == nil && l.rnd.Float64() < l.plan.DamagePer {
			l.spoil(j.Size())
		}
		l.open()
	})
}

// witnessSize is the length of what a closed journal ends with. Where it is spoiled
// along with what is before it, nothing tells damage from a torn tail.
const witnessSize = 56

// spoil damages what is durable: a bit anywhere, or a sector before the witness.
func (l *journalLoad) spoil(size int64) {
	l.good = l.disk.Snapshot()
	sectors := (size - witnessSize) / 512
	done := false
	switch kind := l.rnd.IntN(6); {
	case kind < 3 || sectors < 2:
		done = l.disk.FlipBit(journalFile, l.rnd.Int64N(size*8))
	case kind == 3:
		done = l.disk.Misdirect(journalFile, l.rnd.Int64N(sectors), l.rnd.Int64N(sectors))
	default:
		done = l.disk.RotSector(journalFile, l.rnd.Int64N(sectors), storage.Rot(l.rnd.IntN(3)))
	}
	if !done {
		l.good = nil
		return
	}
	l.damages++
	l.model.Damaged()
}

// mend puts the disk back as it was before it was spoiled, as an operator with a
// good copy would, and begins a new life.
func (l *journalLoad) mend() {
	l.life++
	l.clock.Kill()
	l.disk.Restore(l.good)
	l.good = nil
	l.model.Mended()
	l.w.sim.After(10*time.Millisecond, nil, clock.KindFault, l.begin)
}

func (l *journalLoad) take() {
	l.w.found = append(l.w.found, l.model.Take(l.w.rec.now())...)
}

// stopJournal ends the load, heals the disk and demands that a last recovery
// gives all that was vouched for.
func (w *World) stopJournal(advance func(time.Duration)) {
	l := w.journal
	if l == nil {
		return
	}
	l.stopped = true
	advance(5 * time.Second)
	healthy := l.plan.Faults
	healthy.WriteError, healthy.WriteFull, healthy.SyncError, healthy.ReadError, healthy.Hang = 0, 0, 0, 0, 0
	l.disk.SetFaults(healthy)
	l.disk.Hook = nil
	l.life++
	l.clock.Kill()
	if l.disk.Mounted() {
		l.disk.PowerLoss()
	}
	l.begin()
	advance(5 * time.Second)
	if l.journal == nil && !l.unreadable() {
		w.violate(core.StorePrefix, "journal: it does not open on a healthy disk")
	}
}
