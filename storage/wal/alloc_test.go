package wal

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// voidFS is a disk that keeps nothing and answers on the strand.
type voidFS struct{ storage.FS }

type voidFile struct {
	size int64
	post []func(error)
}

func (f *voidFile) Name() string                                         { return "void" }
func (f *voidFile) Size() int64                                          { return f.size }
func (f *voidFile) Buffered() int                                        { return 0 }
func (f *voidFile) WriteAt([]byte, int64) error                          { return nil }
func (f *voidFile) Truncate(int64) error                                 { return nil }
func (f *voidFile) ReadCached([]byte, int64) bool                        { return false }
func (f *voidFile) ReadAt(clock.Strand, []byte, int64, func(int, error)) {}
func (f *voidFile) WriteOut(_ clock.Strand, done func(error))            { f.Sync(nil, done) }
func (f *voidFile) Close()                                               {}
func (f *voidFile) Append(p []byte) (int64, error) {
	f.size += int64(len(p))
	return f.size - int64(len(p)), nil
}
func (f *voidFile) Sync(_ clock.Strand, done func(error)) { f.post = append(f.post, done) }

type quiet struct{}

func (quiet) Flushed(uint64) {}
func (quiet) Fenced(error)   {}
func (quiet) Tail()          {}

// TestAppendAllocatesNothing pins the path of a record: into a chunk, a batch, and back.
func TestAppendAllocatesNothing(t *testing.T) {
	sim := clock.NewSim(1)
	machine := sim.Clock("m")
	cfg, err := Config{Identity: "x", SegmentBytes: 1 << 40}.withDefaults()
	require.NoError(t, err)
	l := newLog(voidFS{}, machine.NewStrand("log"), cfg)
	file := &voidFile{size: fileHeaderLen}
	l.adopt(newRepeat(1, &segment{number: 1}, &fileHeader{segment: 1, first: 1}), file)
	g, err := l.Create(ID{1, 1}, machine.NewStrand("group"), nil, quiet{})
	require.NoError(t, err)
	body := make([]byte, 128)
	push := func() {
		for range 100 {
			_, err = g.Append(1, 0, body, Prompt)
		}
		g.Submit()
	}
	answer := func() {
		done := file.post[0]
		file.post = append(file.post[:0], file.post[1:]...)
		done(nil)
	}
	require.Zero(t, testing.AllocsPerRun(200, func() {
		g.strand.Post(push)
		for sim.Step() || len(file.post) > 0 {
			if len(file.post) > 0 {
				l.strand.Post(answer)
			}
		}
	}))
	require.NoError(t, err)
	require.Equal(t, g.Last(), g.flushed)
}
