// Package machine is the replicated state of a stream's messages.
//
// It owns [Machine]: what a stream's log entries do to its store: the checks of a publish
// in the official order, deduplication, rollups, counters, schedules, atomic batches,
// deletes, purges, expiry with delete markers, copies of mirrors and sources. A machine
// runs on its stream's strand, changes only by applying entries, and depends on
// nothing but its state and the entry: times, and whatever else only a leader can know,
// come in the entry. It knows no clients, no consumers and no log; what applying brings
// about is told to [Effects].
package machine

import (
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// Effects is told, in order, what applying an entry brings about. A leader acts on it; in
// replay the same calls come, so that retention sees the same history.
type Effects interface {
	// Acked: message i of the entry is stored, or was before. a is valid during the call.
	Acked(i int, a *api.PubAck)
	// Refused: message i changed nothing.
	Refused(i int, err *api.Error)
	// Stored: a message exists now. It is called before Acked, and before limits that it breaks
	// remove others. s is valid during the call.
	Stored(s *Stored)
	// Removed: a message is gone.
	Removed(seq uint64, subject string, size int, why msgs.Why)
	// Cleared: all messages are gone that were there, by a purge or rollup.
	Cleared()
}

// Stored is a message that has just been stored.
type Stored struct {
	Seq     uint64
	Time    int64
	Subject []byte // as stored
	Header  []byte
	Data    []byte
	// Previous is the sequence of the message that was the subject's last; 0 for none.
	Previous uint64
}

// Interest tells which messages an interest stream keeps.
type Interest interface {
	// Wanted tells whether any consumer's filter matches subject.
	Wanted(subject []byte) bool
}
