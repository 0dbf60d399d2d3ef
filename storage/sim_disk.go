package storage

import (
	"cmp"
	"hash/crc32"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/clock"
)

// SimDisk is one machine's disk in a simulated world. It outlives the processes
// that use it: each mounts it, and dies with [SimDisk.Crash] or [SimDisk.PowerLoss].
//
// Everything is drawn from generators of its own, one a purpose; every operation
// and fault is folded into the world's trace and counted. A SimDisk is used from
// the world's one goroutine.
type SimDisk struct {
	// Hook, when set, is asked before every operation whether a crash strikes at
	// it. Whoever answers yes also ends the process's tasks.
	Hook func(DiskOp) CrashPoint

	sim    *clock.Sim
	name   string
	faults DiskFaults
	root   *inode
	fs     *SimFS // the present process's, or nil
	used   int64  // bytes of all files
	ops    uint64
	inodes uint64
	seq    uint64 // of name changes
	counts [simFaults]uint64
	hung   time.Duration // until when nothing ends

	latency, errors, crash, damage, cache *rand.Rand
}

// NewSimDisk makes an empty disk that never fails. The name keys its randomness
// and appears in traces.
func NewSimDisk(sim *clock.Sim, name string) *SimDisk {
	d := &SimDisk{sim: sim, name: name}
	d.latency = sim.Rand("disk/" + name + "/latency")
	d.errors = sim.Rand("disk/" + name + "/errors")
	d.crash = sim.Rand("disk/" + name + "/crash")
	d.damage = sim.Rand("disk/" + name + "/damage")
	d.cache = sim.Rand("disk/" + name + "/cache")
	d.root = d.newInode(true)
	return d
}

// SetFaults changes the disk's behaviour from now on. It panics when f is not valid.
func (d *SimDisk) SetFaults(f DiskFaults) {
	if err := f.Validate(); err != nil {
		panic(err)
	}
	d.faults = f
}

// Faults is the disk's present behaviour.
func (d *SimDisk) Faults() DiskFaults { return d.faults }

// Counts tells how often each kind of fault happened, leaving out those that
// never did.
func (d *SimDisk) Counts() []FaultCount {
	var out []FaultCount
	for f, n := range d.counts {
		if n > 0 {
			out = append(out, FaultCount{SimFault(f), n})
		}
	}
	return out
}

// Count tells how often one kind of fault happened.
func (d *SimDisk) Count(f SimFault) uint64 { return d.counts[f] }

// Ops is the number of operations so far.
func (d *SimDisk) Ops() uint64 { return d.ops }

// Used is the number of bytes in all files.
func (d *SimDisk) Used() int64 { return d.used }

// Mount gives a new process the disk. It panics when the process before it still
// lives: crash it first.
func (d *SimDisk) Mount() *SimFS {
	if d.fs != nil {
		panic("storage: disk " + d.name + " is mounted already")
	}
	d.fs = &SimFS{disk: d}
	d.fs.names.fs = d.fs
	return d.fs
}

// Mounted tells whether a process has the disk.
func (d *SimDisk) Mounted() bool { return d.fs != nil }

// Crash ends the process: what it buffered is lost but for a prefix, what it
// handed to the system stays, and none of its calls is answered any more.
func (d *SimDisk) Crash() {
	d.count(FaultProcessCrash, 0)
	d.endProcess()
}

// Unmount is a process that ends by itself. As with a crash, what it buffered and
// neither wrote out nor synced is lost but for a prefix, and none of its calls is
// answered any more.
func (d *SimDisk) Unmount() { d.endProcess() }

// endProcess ends what was under way: the operation that each queue was at may
// have happened, in part or not at all, and a prefix of each file's buffer has
// reached the system.
func (d *SimDisk) endProcess() {
	fs := d.fs
	if fs == nil {
		return
	}
	fs.dead = true
	d.fs = nil
	d.cutShort(&fs.names)
	for _, f := range fs.files {
		d.cutShort(&f.ops)
		if n := len(f.buffer); n > 0 && f.broken == nil {
			f.buffer = f.buffer[:d.crash.IntN(n+1)]
			f.drainHalf()
		}
	}
}

func (d *SimDisk) cutShort(q *simQueue) {
	if len(q.ops) == 0 {
		return
	}
	switch d.crash.IntN(3) {
	case 0:
		q.ops[0].run(true)
	case 1:
		q.ops[0].run(false)
	}
}

// PowerLoss ends the process and empties every cache: of what was not synced any
// subset survives, bytes, lengths and names each by themselves. The share that
// does is drawn anew each time, none and all included.
func (d *SimDisk) PowerLoss() {
	d.count(FaultPowerLoss, 0)
	d.endProcess()
	share := d.crash.Float64()*1.5 - 0.25
	d.settleNames(share)
	for _, n := range d.reachable() {
		if !n.dir {
			d.settleFile(n, share)
		}
	}
	d.recount()
}

// count notes a fault in counters and trace.
func (d *SimDisk) count(f SimFault, arg uint64) {
	d.counts[f]++
	d.sim.Trace().Fold(uint64(clock.KindFault), uint64(f), arg)
	d.sim.Trace().Notef(clock.LevelFault, d.name, "%v %d", f, arg)
}

// begin counts and traces an operation and asks where a crash strikes.
func (d *SimDisk) begin(kind OpKind, name string) CrashPoint {
	d.ops++
	d.sim.Trace().Fold(uint64(clock.KindDisk), uint64(kind), d.ops)
	d.sim.Trace().FoldString(name)
	d.sim.Trace().Notef(clock.LevelMessage, d.name, "%v %s", kind, name)
	if d.Hook == nil {
		return CrashPoint{}
	}
	return d.Hook(DiskOp{d.ops, kind, name})
}

// die is a crash at an operation.
func (d *SimDisk) die(p CrashPoint) {
	if p.Power {
		d.PowerLoss()
	} else {
		d.Crash()
	}
}

// serviceTime draws how long an operation takes.
func (d *SimDisk) serviceTime(kind OpKind) time.Duration {
	mean := d.faults.NameTime
	switch kind {
	case OpRead:
		mean = d.faults.ReadTime
	case OpWrite:
		mean = d.faults.WriteTime
	case OpSync, OpSyncDir:
		mean = d.faults.SyncTime
	}
	var t time.Duration
	if mean > 0 {
		t = time.Duration(d.latency.ExpFloat64() * float64(mean))
	}
	if d.chance(d.latency, d.faults.Hang) {
		span := int64(d.faults.HangMax - d.faults.HangMin)
		hang := d.faults.HangMin + time.Duration(d.latency.Int64N(span+1))
		d.hung = max(d.hung, d.sim.Now()+hang)
		d.count(FaultHung, uint64(hang))
	}
	return max(t, d.hung-d.sim.Now())
}

// chance draws only when p is above zero.
func (d *SimDisk) chance(r *rand.Rand, p float64) bool { return p > 0 && r.Float64() < p }

// reachable lists the inodes that have a name, in the order of their making.
func (d *SimDisk) reachable() []*inode {
	seen := map[*inode]bool{}
	var out []*inode
	var walk func(n *inode)
	walk = func(n *inode) {
		if seen[n] {
			return
		}
		seen[n] = true
		out = append(out, n)
		//lockstep:ordered the list is sorted below
		for _, child := range n.names {
			walk(child)
		}
	}
	walk(d.root)
	//lockstep:total inode numbers are unique
	slices.SortFunc(out, func(a, b *inode) int { return cmp.Compare(a.id, b.id) })
	return out
}

// recount finds the used bytes after names or images changed wholesale.
func (d *SimDisk) recount() {
	d.used = 0
	for _, n := range d.reachable() {
		d.used += int64(len(n.mem))
	}
}

// Image is a copy of a whole disk as power loss with nothing lost would leave it.
type Image struct{ root *inode }

// Snapshot copies the disk, for [SimDisk.Restore].
func (d *SimDisk) Snapshot() *Image { return &Image{cloneTree(d.root, map[*inode]*inode{})} }

// Restore rolls the disk back to an image, all of it durable. The process, if
// any, ends.
func (d *SimDisk) Restore(i *Image) {
	d.count(FaultRolledBack, 0)
	d.endProcess()
	d.root = cloneTree(i.root, map[*inode]*inode{})
	d.recount()
}

// Wipe empties the disk. The process, if any, ends.
func (d *SimDisk) Wipe() {
	d.count(FaultWiped, 0)
	d.endProcess()
	d.root = d.newInode(true)
	d.used = 0
}

// castagnoli is the polynomial of every checksum in this package.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)
