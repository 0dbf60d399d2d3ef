package storage

import (
	"testing"

	"github.com/lockstepmq/lockstep/clock"
)

// heldStrand keeps what is posted until it is run.
type heldStrand struct {
	clock.Strand
	tasks []func()
}

func (s *heldStrand) Post(task func()) { s.tasks = append(s.tasks, task) }

func (s *heldStrand) run() {
	tasks := s.tasks
	s.tasks = s.tasks[:0]
	for _, task := range tasks {
		task()
	}
}

// quickFile swallows everything and is always durable.
type quickFile struct {
	File
	synced func(error)
}

func (f *quickFile) Append([]byte) (int64, error)          { return 0, nil }
func (f *quickFile) Sync(_ clock.Strand, done func(error)) { f.synced = done }

// TestJournalAllocations pins what a batch of records costs once its buffers have
// grown: nothing.
func TestJournalAllocations(t *testing.T) {
	s, f := &heldStrand{}, &quickFile{}
	j := &Journal{strand: s, file: f, name: "log", next: 1, batch: make([]byte, batchHeaderLen)}
	j.flushTask, j.syncedTask = j.flush, j.synced
	payload, acked := make([]byte, 100), uint64(0)
	done := func(seq uint64, err error) {
		if err != nil || seq != acked+1 {
			t.Errorf("record %d after %d: %v", seq, acked, err)
		}
		acked = seq
	}
	batch := func() {
		for range 10 {
			j.Append(payload, done)
		}
		s.run()
		f.synced(nil)
	}
	batch()
	if n := testing.AllocsPerRun(100, batch); n != 0 {
		t.Errorf("a batch of 10 records allocates %v times, want 0", n)
	}
	if acked != 1020 {
		t.Errorf("%d records were acknowledged, want 1020", acked)
	}
}
