package wal_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// noSync is a file system whose files are not synced, or not even written.
type noSync struct {
	storage.FS
	discard bool
}

type noSyncFile struct {
	storage.File
	size    atomic.Int64
	discard bool
}

func (f *noSync) Open(s clock.Strand, name string, flags storage.OpenFlag, done func(storage.File, error)) {
	f.FS.Open(s, name, flags, func(file storage.File, err error) {
		if err != nil {
			done(nil, err)
			return
		}
		n := &noSyncFile{File: file, discard: f.discard}
		n.size.Store(file.Size())
		done(n, nil)
	})
}

func (f *noSyncFile) Append(p []byte) (int64, error) {
	if !f.discard {
		return f.File.Append(p)
	}
	return f.size.Add(int64(len(p))) - int64(len(p)), nil
}

func (f *noSyncFile) WriteAt(p []byte, off int64) error {
	if !f.discard {
		return f.File.WriteAt(p, off)
	}
	f.size.Store(max(f.size.Load(), off+int64(len(p))))
	return nil
}

func (f *noSyncFile) Size() int64 {
	if !f.discard {
		return f.File.Size()
	}
	return f.size.Load()
}

func (f *noSyncFile) Sync(s clock.Strand, done func(error)) {
	if f.discard {
		s.Post(func() { done(nil) })
		return
	}
	f.WriteOut(s, done)
}

// pusher keeps a group busy: as much as it may have unacknowledged.
type pusher struct {
	g       *wal.Group
	strand  clock.Strand
	body    []byte
	batch   int
	left    int
	window  int
	flushed uint64
	ended   chan struct{}
}

func (p *pusher) Flushed(index uint64) {
	p.flushed = index
	p.push()
}
func (p *pusher) Fenced(err error) { panic(err) }
func (p *pusher) Tail() {
	p.g.Checkpoint(p.flushed, nil, func(error) {})
}

func (p *pusher) push() {
	for p.left > 0 && int(p.g.Last()-p.flushed)+p.batch <= p.window {
		for range p.batch {
			_, _ = p.g.Append(1, 0, p.body, wal.Prompt)
		}
		p.g.Submit()
		p.left -= p.batch
	}
	if p.left <= 0 && p.flushed == p.g.Last() {
		close(p.ended)
		p.left = 0
		p.window = -1
	}
}

// BenchmarkAppend appends batches of 100 records of 128 bytes to groups, each on a strand of its own.
func BenchmarkAppend(b *testing.B) {
	for _, disk := range []string{"sync", "nosync", "none"} {
		for _, groups := range []int{1, 16} {
			b.Run(fmt.Sprintf("disk=%s/groups=%d", disk, groups), func(b *testing.B) {
				benchmarkAppend(b, disk, groups, 128)
			})
		}
	}
}

func benchmarkAppend(b *testing.B, disk string, groups, size int) {
	real, err := storage.OpenReal(b.TempDir())
	require.NoError(b, err)
	var fs storage.FS = real
	if disk != "sync" {
		fs = &noSync{real, disk == "none"}
	}
	c := clock.NewReal()
	logs := make(chan *wal.Log, 1)
	wal.Open(fs, c.NewStrand("log"), wal.Config{Dir: "log", Identity: "bench"}, func(l *wal.Log, _ *wal.Report, err error) {
		if err != nil {
			b.Error(err)
		}
		logs <- l
	})
	log := <-logs
	const batch = 100
	rounds := max(1, b.N/(groups*batch))
	var pushers []*pusher
	for i := range groups {
		p := &pusher{strand: c.NewStrand("group"), body: make([]byte, size), batch: batch, left: rounds * batch,
			window: 100 * batch, ended: make(chan struct{})}
		p.g, _, err = log.Attach(wal.ID{Group: uint64(i + 1)}, p.strand, nil, p)
		require.NoError(b, err)
		pushers = append(pushers, p)
	}
	b.ReportAllocs()
	b.ResetTimer()
	for _, p := range pushers {
		p.strand.Post(p.push)
	}
	for _, p := range pushers {
		<-p.ended
	}
	b.StopTimer()
	m := log.Metrics()
	b.ReportMetric(float64(m.Entries)/b.Elapsed().Seconds(), "records/s")
	b.ReportMetric(float64(m.Entries)*float64(size)/b.Elapsed().Seconds()/1e6, "MB/s")
	b.ReportMetric(float64(m.Entries)/float64(m.Batches), "records/batch")
	closed := make(chan error, 1)
	log.Close(func(err error) { closed <- err })
	require.NoError(b, <-closed)
	require.NoError(b, real.Close())
}

// BenchmarkRecover opens a log of 64 MiB, of one group or of 1000, and takes the entries.
func BenchmarkRecover(b *testing.B) {
	for _, groups := range []int{1, 1000} {
		b.Run(fmt.Sprintf("groups=%d", groups), func(b *testing.B) {
			fs, err := storage.OpenReal(b.TempDir())
			require.NoError(b, err)
			c := clock.NewReal()
			open := func() *wal.Log {
				logs := make(chan *wal.Log, 1)
				wal.Open(fs, c.NewStrand("log"), wal.Config{Dir: "log", Identity: "bench"}, func(l *wal.Log, _ *wal.Report, err error) {
					if err != nil {
						b.Error(err)
					}
					logs <- l
				})
				return <-logs
			}
			shut := func(log *wal.Log) {
				closed := make(chan error, 1)
				log.Close(func(err error) { closed <- err })
				require.NoError(b, <-closed)
			}
			log := open()
			const entries = 400_000
			for i := range groups {
				p := &pusher{strand: c.NewStrand("group"), body: make([]byte, 128), batch: 100, left: entries / groups,
					window: 10000, ended: make(chan struct{})}
				p.g, _, err = log.Attach(wal.ID{Group: uint64(i + 1)}, p.strand, nil, p)
				require.NoError(b, err)
				p.strand.Post(p.push)
				<-p.ended
			}
			shut(log)
			b.ReportAllocs()
			for b.Loop() {
				log := open()
				found := 0
				for _, id := range log.Unattached() {
					_, f, err := log.Attach(id, c.NewStrand("group"), nil, &pusher{})
					require.NoError(b, err)
					found += len(f.Entries)
				}
				require.Equal(b, entries/groups*groups, found)
				shut(log)
			}
			require.NoError(b, fs.Close())
		})
	}
}
