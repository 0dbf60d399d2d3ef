package storage_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/storage"
)

// edit is a write of data at off, or, with data nil, a new length off.
type edit struct {
	off  int
	data []byte
}

func (e edit) apply(p []byte) []byte {
	if e.data == nil {
		return bytes.Clone(p[:e.off])
	}
	out := bytes.Clone(p)
	if end := e.off + len(e.data); end > len(out) {
		out = append(out, make([]byte, end-len(out))...)
	}
	copy(out[e.off:], e.data)
	return out
}

// fileModel is what a file may hold.
type fileModel struct {
	synced  []byte // durable for certain, where no edit since touches it
	edits   []edit // since
	tainted bool   // a sync failed: edits stay in doubt for ever

	content []byte // what the process sees
	base    []byte // what the system has for certain
	buffer  []edit // since: a prefix may be with the system

	open storage.File
}

func (f *fileModel) edit(e edit) {
	f.content = e.apply(f.content)
	f.edits = append(f.edits, e)
	f.buffer = append(f.buffer, e)
}

// written notes that the system has everything.
func (f *fileModel) written() { f.base, f.buffer = f.content, nil }

// checkPower compares what power loss left: every byte is old, new or zero, and
// the old one where nothing was changed.
func (f *fileModel) checkPower(t *rapid.T, got []byte) {
	length, fits := len(f.synced), len(got) == len(f.synced)
	for _, e := range f.edits {
		next := len(e.apply(make([]byte, max(length, e.off))))
		fits = fits || len(got) == next || length <= len(got) && len(got) <= next
		length = next
	}
	require.True(t, fits, "length %d was never had", len(got))
	for i, b := range got {
		touched := i >= len(f.synced)
		allowed := b == 0 || !touched && b == f.synced[i]
		for _, e := range f.edits {
			switch {
			case e.data == nil:
				touched = touched || i >= e.off
			case i >= e.off && i < e.off+len(e.data):
				touched = true
				allowed = allowed || b == e.data[i-e.off]
			}
		}
		if !touched {
			require.Equal(t, f.synced[i], b, "synced byte %d", i)
		}
		require.True(t, allowed, "byte %d is %d, which nobody wrote", i, b)
	}
}

// checkCrash finds the prefix of the buffered edits that a crash of the process
// has left. Where several give the same bytes it keeps the longest: what was with
// the system may still be seen after power loss.
func (f *fileModel) checkCrash(t *rapid.T, got []byte) {
	var left []edit
	fits := false
	at, handed := f.base, f.edits[:len(f.edits)-len(f.buffer)]
	for i, e := range append(f.buffer[:len(f.buffer):len(f.buffer)], edit{}) {
		if bytes.Equal(at, got) {
			fits, left = true, f.buffer[:i]
		}
		for n := 1; n < len(e.data); n++ {
			part := edit{e.off, e.data[:n]}
			if bytes.Equal(part.apply(at), got) {
				fits, left = true, append(f.buffer[:i:i], part)
			}
		}
		at = e.apply(at)
	}
	require.True(t, fits, "no prefix of the edits gives these %d bytes", len(got))
	f.edits = append(handed[:len(handed):len(handed)], left...)
}

// diskModel is what a disk with the directories "." and "d" may hold.
type diskModel struct {
	*simWorld
	names map[string]*fileModel
	// maybe holds, by name, what power loss may leave there: what it was at the
	// directory's last sync, and all that it was since. nil is absence.
	maybe map[string][]*fileModel
	// sure are files that have had a durable name and lost it to nobody since.
	sure []*fileModel
}

var modelNames = []string{"a", "b", "d/a", "d/b"}

func newDiskModel(t *rapid.T) *diskModel {
	m := &diskModel{
		simWorld: newSimWorld(rapid.Uint64().Draw(t, "seed")),
		names:    map[string]*fileModel{}, maybe: map[string][]*fileModel{},
	}
	require.NoError(t, m.Mkdir("d"))
	require.NoError(t, m.SyncDir("."))
	for _, name := range modelNames {
		m.maybe[name] = []*fileModel{nil}
	}
	m.disk.SetFaults(storage.DiskFaults{NoNoise: true, CacheMiss: 0.5})
	for _, name := range modelNames[1:3] {
		f, err := m.Open(name, storage.Create)
		require.NoError(t, err)
		m.bind(name, &fileModel{open: f})
	}
	return m
}

func (m *diskModel) bind(name string, f *fileModel) {
	if old := m.names[name]; old != nil && old != f {
		m.sure = slices.DeleteFunc(m.sure, func(g *fileModel) bool { return g == old })
	}
	m.names[name] = f
	m.maybe[name] = append(m.maybe[name], f)
}

// file is an open file that exists, or the action is skipped.
func (m *diskModel) file(t *rapid.T) *fileModel {
	var exist []string
	for _, name := range modelNames {
		if m.names[name] != nil {
			exist = append(exist, name)
		}
	}
	if len(exist) == 0 {
		t.Skip("no file")
	}
	return m.names[rapid.SampledFrom(exist).Draw(t, "file")]
}

func (m *diskModel) create(t *rapid.T) {
	name := rapid.SampledFrom(modelNames).Draw(t, "name")
	if m.names[name] != nil {
		t.Skip("exists")
	}
	f, err := m.Open(name, storage.Create|storage.Exclusive)
	require.NoError(t, err)
	m.bind(name, &fileModel{open: f})
}

func (m *diskModel) write(t *rapid.T) {
	f := m.file(t)
	data := bytes.Repeat([]byte{byte(rapid.IntRange(1, 250).Draw(t, "byte"))}, rapid.IntRange(1, 1500).Draw(t, "length"))
	e := edit{len(f.content), data}
	if rapid.Bool().Draw(t, "in place") {
		e.off = rapid.IntRange(0, len(f.content)).Draw(t, "offset")
		require.NoError(t, f.open.WriteAt(data, int64(e.off)))
	} else {
		off, err := f.open.Append(data)
		require.NoError(t, err)
		require.EqualValues(t, e.off, off)
	}
	f.edit(e)
}

func (m *diskModel) truncate(t *rapid.T) {
	f := m.file(t)
	size := rapid.IntRange(0, len(f.content)).Draw(t, "size")
	require.NoError(t, f.open.Truncate(int64(size)))
	f.edit(edit{off: size})
}

func (m *diskModel) sync(t *rapid.T) {
	f := m.file(t)
	require.NoError(t, m.Sync(f.open))
	f.written()
	if !f.tainted {
		f.synced, f.edits = f.content, nil
	}
}

func (m *diskModel) failSync(t *rapid.T) {
	f := m.file(t)
	faults := m.disk.Faults()
	faults.SyncError = 1
	m.disk.SetFaults(faults)
	require.ErrorIs(t, m.Sync(f.open), storage.ErrIO)
	faults.SyncError = 0
	m.disk.SetFaults(faults)
	f.tainted = true
	f.content = bytes.Clone(m.MustRead(t, f.open)) // pages may be gone already
	f.checkPower(t, f.content)
	f.written()
}

func (m *diskModel) writeOut(t *rapid.T) {
	f := m.file(t)
	require.NoError(t, m.WriteOut(f.open))
	f.written()
}

func (m *diskModel) read(t *rapid.T) {
	f := m.file(t)
	require.True(t, bytes.Equal(f.content, m.MustRead(t, f.open)))
	p := make([]byte, len(f.content))
	if f.open.ReadCached(p, 0) {
		require.True(t, bytes.Equal(f.content, p))
	}
}

func (m *diskModel) rename(t *rapid.T) {
	from := rapid.SampledFrom(modelNames).Draw(t, "from")
	to := rapid.SampledFrom(modelNames).Draw(t, "to")
	f := m.names[from]
	if f == nil || from == to {
		t.Skip("nothing to rename")
	}
	require.NoError(t, m.Rename(from, to))
	m.bind(to, f)
	m.names[from] = nil
	m.maybe[from] = append(m.maybe[from], nil)
}

func (m *diskModel) remove(t *rapid.T) {
	name := rapid.SampledFrom(modelNames).Draw(t, "name")
	if m.names[name] == nil {
		t.Skip("no such file")
	}
	require.NoError(t, m.Remove(name))
	m.bind(name, nil)
}

func (m *diskModel) syncDir(t *rapid.T) {
	dir := rapid.SampledFrom([]string{".", "d"}).Draw(t, "dir")
	require.NoError(t, m.SyncDir(dir))
	for _, name := range modelNames {
		if strings.HasPrefix(name, "d/") == (dir == "d") {
			m.maybe[name] = []*fileModel{m.names[name]}
			if f := m.names[name]; f != nil && !slices.Contains(m.sure, f) {
				m.sure = append(m.sure, f)
			}
		}
	}
}

// half crashes in the middle of a sync.
func (m *diskModel) half(t *rapid.T) {
	f := m.file(t)
	power := rapid.Bool().Draw(t, "power")
	stage := rapid.SampledFrom([]storage.CrashStage{storage.CrashBefore, storage.CrashHalf, storage.CrashAfter}).Draw(t, "stage")
	machine := m.machine
	m.disk.Hook = func(storage.DiskOp) storage.CrashPoint {
		machine.Kill()
		return storage.CrashPoint{Stage: stage, Power: power}
	}
	dir := rapid.Bool().Draw(t, "directory")
	m.Await(func(done func()) {
		if dir {
			m.FS.SyncDir(m.Strand, ".", func(error) { done() })
		} else {
			f.open.Sync(m.Strand, func(error) { done() })
		}
	})
	m.disk.Hook = nil
	require.False(t, m.disk.Mounted())
	m.start()
	m.compare(t, power)
}

func (m *diskModel) crash(t *rapid.T) { m.restart(false); m.compare(t, false) }
func (m *diskModel) power(t *rapid.T) { m.restart(true); m.compare(t, true) }

// compare looks at what the crash left, and takes it as the new state.
func (m *diskModel) compare(t *rapid.T, power bool) {
	found := map[*fileModel]bool{}
	for _, name := range modelNames {
		file, err := m.Open(name, 0)
		if err != nil {
			require.ErrorIs(t, err, storage.ErrNotExist)
			file = nil
		}
		if !power {
			require.Equal(t, m.names[name] != nil, file != nil, "a crash of the process changes no name: %s", name)
			if file != nil {
				m.names[name].reopen(t, m, file, false)
			}
			continue
		}
		f := m.identify(t, name, file)
		m.names[name], m.maybe[name] = f, []*fileModel{f}
		if f != nil {
			if !found[f] {
				f.reopen(t, m, file, true)
			}
			found[f] = true
		}
	}
	if power {
		for _, f := range m.sure {
			require.True(t, found[f], "a file with a durable name is gone")
		}
		m.sure = m.sure[:0]
		for _, name := range modelNames {
			if f := m.names[name]; f != nil && !slices.Contains(m.sure, f) {
				m.sure = append(m.sure, f)
			}
		}
		m.dropSecondNames(t)
	}
}

// identify finds the file that a name stands for after power loss, by what it
// may be; the length of the content tells files apart well enough to check them.
func (m *diskModel) identify(t *rapid.T, name string, file storage.File) *fileModel {
	if file == nil {
		require.Contains(t, m.maybe[name], (*fileModel)(nil), "%s is gone", name)
		return nil
	}
	id := m.disk.FileID(name)
	for _, f := range m.maybe[name] {
		if f != nil && f.id(m) == id {
			return f
		}
	}
	require.Fail(t, "a name came from nowhere", "%s", name)
	return nil
}

// dropSecondNames removes what a rename between directories has left of its old name.
func (m *diskModel) dropSecondNames(t *rapid.T) {
	seen := map[*fileModel]bool{}
	for _, name := range modelNames {
		f := m.names[name]
		if f != nil && seen[f] {
			require.NoError(t, m.Remove(name))
			m.names[name] = nil
			m.maybe[name] = []*fileModel{f, nil}
		}
		seen[f] = true
	}
}

func (f *fileModel) id(m *diskModel) uint64 { return storage.NodeID(f.open) }

// reopen compares the content and goes on with the new process's file.
func (f *fileModel) reopen(t *rapid.T, m *diskModel, file storage.File, power bool) {
	got := bytes.Clone(m.MustRead(t, file))
	if power {
		f.checkPower(t, got)
		f.synced, f.edits, f.tainted = got, nil, false
	} else {
		f.checkCrash(t, got)
	}
	f.content, f.open = got, file
	f.written()
}

func TestSimulatedDiskAgainstModel(t *testing.T) {
	counts := map[storage.SimFault]uint64{}
	rapid.Check(t, func(t *rapid.T) {
		m := newDiskModel(t)
		t.Repeat(map[string]func(*rapid.T){
			"create": m.create, "write": m.write, "write more": m.write, "truncate": m.truncate,
			"sync": m.sync, "fail sync": m.failSync, "write out": m.writeOut, "read": m.read,
			"rename": m.rename, "remove": m.remove, "sync directory": m.syncDir,
			"crash": m.crash, "power loss": m.power, "half": m.half,
		})
		for _, c := range m.disk.Counts() {
			counts[c.Fault] += c.Count
		}
	})
	for _, f := range []storage.SimFault{
		storage.FaultPowerLoss, storage.FaultProcessCrash, storage.FaultLostWrite, storage.FaultTornWrite,
		storage.FaultLostLength, storage.FaultLostName, storage.FaultSyncError,
	} {
		require.NotZero(t, counts[f], fmt.Sprint(f, " never happened"))
	}
}
