package wal_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// counter is a group on a strand of the real clock: it appends until it has enough, checkpoints now
// and then, and says when all is done.
type counter struct {
	t       *testing.T
	g       *wal.Group
	strand  clock.Strand
	id      uint64
	last    uint64
	saving  bool
	flushed uint64
	ended   chan struct{}
	over    bool
}

func (c *counter) body(index uint64) []byte {
	return []byte(fmt.Sprintf("group %d entry %d %s", c.id, index, bytes.Repeat([]byte{'.'}, int(index%90))))
}

func (c *counter) Flushed(index uint64) {
	c.flushed = index
	c.push()
	if index%7 == 0 && !c.saving {
		c.save()
	}
}

func (c *counter) save() {
	c.saving = true
	at := c.flushed
	c.g.Checkpoint(at, []byte(fmt.Sprint("state of ", c.id, " at ", at)), func(err error) {
		c.saving = false
		if err != nil {
			c.t.Error(err)
		}
		c.push()
	})
}

func (c *counter) Fenced(err error) { c.t.Error(err) }

func (c *counter) Tail() {
	if !c.saving && !c.over {
		c.save()
	}
}

func (c *counter) push() {
	for c.g.Last() < c.last && c.g.Last()-c.flushed < 20 {
		if _, err := c.g.Append(1, 0, c.body(c.g.Last()+1), wal.Prompt); err != nil {
			c.t.Error(err)
			return
		}
		c.g.Submit()
	}
	if !c.over && !c.saving && c.flushed == c.last {
		c.over = true
		close(c.ended)
	}
}

// TestLogOnTheRealDisk runs groups on strands of their own in parallel, closes and opens anew.
func TestLogOnTheRealDisk(t *testing.T) {
	fs, err := storage.OpenReal(t.TempDir())
	require.NoError(t, err)
	c := clock.NewReal()
	const groups, entries = 5, 120
	for round := range uint64(3) {
		logs := make(chan *wal.Log, 1)
		cfg := wal.Config{Dir: "log", Identity: "real", SegmentBytes: 8 << 10, LogBytesMax: 32 << 10}
		wal.Open(fs, c.NewStrand("log"), cfg, func(l *wal.Log, r *wal.Report, err error) {
			if err != nil || !r.Clean || len(r.Damage) > 0 {
				t.Errorf("%v %+v", err, r)
			}
			logs <- l
		})
		log := <-logs
		require.NotNil(t, log)
		var all []*counter
		for id := uint64(1); id <= groups; id++ {
			k := &counter{t: t, strand: c.NewStrand("group"), id: id, last: (round + 1) * entries, ended: make(chan struct{})}
			attached := make(chan struct{})
			k.strand.Post(func() { // where it hears of the log, too
				defer close(attached)
				g, f, err := log.Attach(wal.ID{Group: id}, k.strand, nil, k)
				assert.NoError(t, err)
				assert.NoError(t, f.Damage)
				assert.Equal(t, round*entries, g.Last())
				if f.State != nil {
					assert.Equal(t, fmt.Sprint("state of ", id, " at ", f.StateIndex), string(f.State))
				}
				for _, e := range f.Entries {
					assert.Equal(t, k.body(e.Index), e.Payload)
				}
				k.g, k.flushed = g, g.Last()
			})
			<-attached
			require.NotNil(t, k.g)
			all = append(all, k)
			k.strand.Post(k.push)
		}
		for _, k := range all {
			<-k.ended
			detached := make(chan struct{})
			k.strand.Post(func() { k.g.Detach(func() { close(detached) }) })
			<-detached
		}
		closed := make(chan error, 1)
		log.Close(func(err error) { closed <- err })
		require.NoError(t, <-closed)
	}
	require.NoError(t, fs.Close())
}
