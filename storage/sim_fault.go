package storage

import (
	"fmt"
	"time"
)

// SimFault is a kind of fault that a simulated disk can have.
type SimFault uint8

// Kinds of faults. Values are part of the trace hash: append only.
const (
	FaultPowerLoss    SimFault = iota
	FaultProcessCrash          // unsynced writes survive
	FaultLostWrite             // an unsynced piece was not kept over power loss
	FaultTornWrite             // an unsynced piece was kept in part
	FaultLostLength            // the length after power loss is not the last one
	FaultLostName              // an unsynced name change was not kept over power loss
	FaultWriteError            // EIO after nothing or a prefix
	FaultFull                  // ENOSPC after nothing or a prefix
	FaultSyncError             // pages count as clean, lost or kept at random
	FaultReadError             // once
	FaultBadSector             // reads fail until it is rewritten
	FaultBitRot                // one bit
	FaultSectorRot             // zeros, noise or an older version
	FaultMisdirected           // a write landed elsewhere
	FaultTruncated             // a file lost its end
	FaultLostFile              // a file is gone
	FaultWiped                 // everything is gone
	FaultRolledBack            // everything is as it was some time ago
	FaultHung                  // the disk stands still for a while
	simFaults
)

var simFaultNames = [simFaults]string{
	"power-loss", "process-crash", "lost-write", "torn-write", "lost-length", "lost-name",
	"write-error", "full", "sync-error", "read-error", "bad-sector", "bit-rot", "sector-rot",
	"misdirected", "truncated", "lost-file", "wiped", "rolled-back", "hung",
}

func (f SimFault) String() string {
	if f < simFaults {
		return simFaultNames[f]
	}
	return fmt.Sprintf("fault %d", uint8(f))
}

// FaultCount tells how often a fault happened.
type FaultCount struct {
	Fault SimFault
	Count uint64
}

// DiskFaults says how a simulated disk behaves from now on. The zero value is a
// disk of unlimited size that answers at once and never fails; what is zero
// draws no randomness.
type DiskFaults struct {
	// Capacity is the sum of all file lengths that fits, in bytes; 0 is unlimited.
	Capacity int64

	// Mean service times; each operation's is drawn exponentially.
	ReadTime  time.Duration
	WriteTime time.Duration // handing buffered bytes to the system
	SyncTime  time.Duration // of files and directories
	NameTime  time.Duration // open, rename, remove, list, mkdir

	// Hang is the probability that an operation finds the whole disk standing
	// still, for a time drawn evenly from HangMin to HangMax.
	Hang             float64
	HangMin, HangMax time.Duration

	// Probabilities per operation, 0 to 1.
	WriteError float64 // EIO after a prefix
	WriteFull  float64 // ENOSPC after a prefix, though there is room
	SyncError  float64 // of a file or directory
	ReadError  float64 // half of them leave a bad sector

	// NoNoise makes torn regions hold zeros or old bytes only.
	NoNoise bool

	// CacheMiss is the probability that ReadCached has not got what is neither
	// buffered nor unsynced.
	CacheMiss float64
}

// Validate tells what is out of range.
func (f DiskFaults) Validate() error {
	for _, p := range [...]struct {
		name string
		p    float64
	}{
		{"Hang", f.Hang}, {"WriteError", f.WriteError}, {"WriteFull", f.WriteFull},
		{"SyncError", f.SyncError}, {"ReadError", f.ReadError}, {"CacheMiss", f.CacheMiss},
	} {
		if p.p < 0 || p.p > 1 {
			return fmt.Errorf("disk fault %s is %v: want a probability from 0 to 1", p.name, p.p)
		}
	}
	if f.Capacity < 0 {
		return fmt.Errorf("disk capacity is %d: want 0 (unlimited) or more", f.Capacity)
	}
	if f.HangMin < 0 || f.HangMax < f.HangMin {
		return fmt.Errorf("disk hangs from %v to %v: want 0 <= min <= max", f.HangMin, f.HangMax)
	}
	return nil
}

// OpKind is a kind of disk operation.
type OpKind uint8

// Kinds of disk operations. Values are part of the trace hash: append only.
const (
	OpOpen OpKind = iota
	OpRename
	OpRemove
	OpList
	OpMkdir
	OpSyncDir
	OpWrite
	OpSync
	OpRead
	opKinds
)

var opNames = [opKinds]string{"open", "rename", "remove", "list", "mkdir", "syncdir", "write", "sync", "read"}

func (k OpKind) String() string {
	if k < opKinds {
		return opNames[k]
	}
	return fmt.Sprintf("operation %d", uint8(k))
}

// DiskOp is one disk operation, about to happen.
type DiskOp struct {
	Number uint64 // counts from 1 over the life of the disk
	Kind   OpKind
	Name   string
}

// CrashStage says where in an operation a crash strikes.
type CrashStage uint8

const (
	CrashNever  CrashStage = iota
	CrashBefore            // nothing of it happened
	CrashHalf              // a part of it happened
	CrashAfter             // all of it happened, and nobody was told
)

// CrashPoint is the answer of a crash hook. The zero value lets the operation be.
type CrashPoint struct {
	Stage CrashStage
	Power bool // power is lost; otherwise the process alone dies
}
