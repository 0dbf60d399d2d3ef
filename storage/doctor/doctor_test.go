package doctor

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/msgs"
	"github.com/lockstepmq/lockstep/storage/seal"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// build makes a store with these streams of 300 messages each, the last 10 of them in the log
// only, as a server leaves it.
func build(t *testing.T, w *world, names ...string) { buildSealed(t, w, nil, names...) }

// buildSealed is build with everything encrypted.
func buildSealed(t *testing.T, w *world, sealer *seal.Sealer, names ...string) {
	var log *wal.Log
	w.Await(func(done func()) {
		wal.Open(w.FS, w.Strand, wal.Config{Dir: walDir, Identity: "lockstep"}, func(l *wal.Log, _ *wal.Report, err error) {
			require.NoError(t, err)
			log = l
			done()
		})
	})
	require.NoError(t, w.Mkdir(streamsDir))
	catalogue := w.create(t, log, catalogueID, sealer)
	for i, name := range names {
		id := wal.ID{Group: uint64(i + 2), Incarnation: 1}
		storage := "file"
		if strings.HasPrefix(name, "MEM") {
			storage = "memory"
		}
		_, err := catalogue.Append(1, 0, fmt.Appendf(nil, `{"op":"create","asset":{"account":"ACME","group":%d,"incarnation":1,"config":{"name":%q,"storage":%q}}}`,
			id.Group, name, storage), wal.Prompt)
		require.NoError(t, err)
		catalogue.Submit()
		if storage == "file" {
			w.fillStream(t, log, id, sealer)
		}
	}
	w.Await(func(done func()) { log.Close(func(err error) { require.NoError(t, err); done() }) })
}

func (w *world) create(t *testing.T, log *wal.Log, id wal.ID, sealer *seal.Sealer) (g *wal.Group) {
	var err error
	var key wal.Sealer
	if sealer != nil {
		key = sealer
	}
	w.Await(func(done func()) { g, err = log.Create(id, w.Strand, key, bystander{}); done() })
	require.NoError(t, err)
	return g
}

func (w *world) fillStream(t *testing.T, log *wal.Log, id wal.ID, sealer *seal.Sealer) {
	g := w.create(t, log, id, sealer)
	var store msgs.Store
	w.Await(func(done func()) {
		msgs.OpenFile(w.FS, w.Strand, dirOf(id), nil, msgs.Options{BlockBytes: 4096, Sealer: sealer}, func(st msgs.Store, _ *msgs.Report, err error) {
			require.NoError(t, err)
			store = st
			done()
		})
	})
	add := func(n int) {
		for range n {
			seq := store.State().Last + 1
			data := bytes.Repeat([]byte{byte(seq)}, 100)
			_, err := store.Append(0, int64(seq), fmt.Appendf(nil, "orders.%d", seq%50), nil, data, msgs.TTL{})
			require.NoError(t, err)
			_, err = g.Append(1, 0, data, wal.Prompt)
			require.NoError(t, err)
		}
		g.Submit()
	}
	w.Await(func(done func()) {
		add(290)
		index := g.Last()
		store.Checkpoint(func(manifest []byte, err error) {
			require.NoError(t, err)
			state := append(binary.AppendUvarint([]byte{streamStateVersion}, uint64(len(manifest))), manifest...)
			g.Checkpoint(index, append(state, "and more"...), func(err error) {
				require.NoError(t, err)
				add(10)
				done()
			})
		})
	})
}

// stop ends the process, so that the disk can be damaged, and begins another after.
func (w *world) stop(damage func()) {
	w.sim.Clock("n1").Kill()
	w.disk.Crash()
	damage()
	w.start()
}

func (w *world) examine(o Options) (report *Report, err error) {
	w.Await(func(done func()) {
		Examine(w.FS, w.Strand, o, func(r *Report, e error) { report, err = r, e; done() })
	})
	return report, err
}

func (r *Report) text(width int) string {
	var b bytes.Buffer
	r.Print(&b, width)
	return b.String()
}

// image is every file of the disk.
func (w *world) image() map[string]string {
	m := map[string]string{}
	for _, name := range w.disk.Files() {
		m[name] = string(w.disk.ReadFile(name))
	}
	return m
}

func TestSoundStore(t *testing.T) {
	w := newWorld(1)
	build(t, w, "ORDERS", "KV_x", "MEM")
	before := w.image()
	for _, contents := range []bool{false, true} {
		r, err := w.examine(Options{Contents: contents})
		require.NoError(t, err)
		require.Equal(t, Sound, r.State(), r.text(80))
		require.Empty(t, r.Damage)
		var names []string
		for _, p := range r.Parts {
			names = append(names, p.Name)
		}
		require.Equal(t, []string{"catalogue", "log", "ACME > KV_x", "ACME > MEM", "ACME > ORDERS"}, names)
		require.Contains(t, r.Parts[4].Detail, "290 messages (1 to 290), 50 subjects")
		require.Contains(t, r.Parts[4].Detail, "10 entries in the log since")
		require.Equal(t, contents, strings.Contains(r.Parts[4].Detail, "all read"))
		require.Contains(t, r.Parts[3].Detail, "in memory")
		require.Contains(t, r.text(80), "SOUND.")
	}
	require.Equal(t, before, w.image(), "an examination writes nothing")
}

func TestDamagedBlockIsToldWithItsMessages(t *testing.T) {
	w := newWorld(2)
	build(t, w, "ORDERS", "OTHER")
	var victim string
	w.stop(func() {
		for _, name := range w.disk.Files() {
			if strings.HasPrefix(name, "streams/2-1/") && strings.HasSuffix(name, ".blk") {
				victim = name
				break
			}
		}
		require.True(t, w.disk.FlipBit(victim, 8*1000))
	})
	before := w.image()
	r, err := w.examine(Options{Contents: true})
	require.NoError(t, err)
	require.Equal(t, before, w.image())
	require.Equal(t, Damaged, r.State(), r.text(80))
	require.Equal(t, Damaged, part(t, r, "ACME > ORDERS").State)
	require.Contains(t, part(t, r, "ACME > ORDERS").Detail, "lost")
	require.Equal(t, Sound, part(t, r, "ACME > OTHER").State)
	require.Contains(t, r.text(80), "streams/2-1")
	require.Contains(t, r.text(80), "DAMAGED: 1 of 4 parts")
}

func part(t *testing.T, r *Report, name string) Part {
	i := slices.IndexFunc(r.Parts, func(p Part) bool { return p.Name == name })
	require.GreaterOrEqual(t, i, 0, "%s in %v", name, r.Parts)
	return r.Parts[i]
}

func TestDamagedLogIsToldWithWhoIsConcerned(t *testing.T) {
	w := newWorld(3)
	build(t, w, "ORDERS", "OTHER")
	segment := ""
	w.stop(func() {
		for _, name := range w.disk.Files() {
			if strings.HasSuffix(name, ".wal") {
				segment = name
			}
		}
		at := bytes.Index(w.disk.ReadFile(segment), bytes.Repeat([]byte{0x29}, 100)) // in OTHER or ORDERS
		require.Positive(t, at)
		require.True(t, w.disk.FlipBit(segment, 8*int64(at)))
	})
	before := w.image()
	r, err := w.examine(Options{})
	require.NoError(t, err)
	require.Equal(t, before, w.image())
	require.Equal(t, Damaged, r.State())
	require.Equal(t, Damaged, part(t, r, "log").State)
	require.NotEmpty(t, r.Damage)
	require.Contains(t, r.Damage[0].Where, segment)
	require.Contains(t, r.Damage[0].Concerned, "ACME > ORDERS", "%v", r.Damage)
}

// TestEncryptedStoreIsNotCalledDamaged examines what it has no key for, sound and damaged.
func TestEncryptedStoreIsNotCalledDamaged(t *testing.T) {
	a, _, err := seal.NewKeyring("a key", "").NewAsset(bytes.NewReader(make([]byte, 1<<10)), seal.AESGCM, "A", "S")
	require.NoError(t, err)
	w := newWorld(5)
	sealer, err := a.Sealer(w.sim.Clock("n1").Entropy("salt"), "all")
	require.NoError(t, err)
	buildSealed(t, w, sealer, "ORDERS", "OTHER")
	segment := ""
	w.stop(func() {
		for _, name := range w.disk.Files() {
			if strings.HasSuffix(name, ".wal") {
				segment = name
			}
		}
	})
	for _, contents := range []bool{false, true} {
		r, err := w.examine(Options{Contents: contents})
		require.NoError(t, err)
		require.Equal(t, Encrypted, r.State())
		require.Empty(t, r.Damage)
		for _, name := range []string{"catalogue", "group 2 incarnation 1", "group 3 incarnation 1"} {
			require.Equal(t, Part{name, Encrypted, "encrypted (cannot be examined without the key)"}, part(t, r, name))
		}
		require.Equal(t, Sound, part(t, r, "log").State)
		require.NotContains(t, strings.ToLower(r.text(120)), "damage")
		require.Contains(t, r.text(120), "Encrypted, and not examined without the key: 3 of 4 parts.")
	}
	w.stop(func() { // checksums are outside of the encryption
		require.True(t, w.disk.FlipBit(segment, 8*int64(len(w.disk.ReadFile(segment))/4)))
	})
	r, err := w.examine(Options{})
	require.NoError(t, err)
	require.Equal(t, Damaged, r.State())
	require.NotEmpty(t, r.Damage)
}

// Every single byte that is spoilt must be told, or be harmless.
func TestEveryDamageIsFoundOrHarmless(t *testing.T) {
	w := newWorld(4)
	build(t, w, "ORDERS")
	image := w.disk.Snapshot()
	found, harmless := 0, 0
	for _, name := range w.disk.Files() {
		size, _ := w.disk.FileSize(name)
		for at := int64(0); at < size; at += size/25 + 1 {
			w.stop(func() {
				w.disk.Restore(image)
				require.True(t, w.disk.FlipBit(name, 8*at+3))
			})
			r, err := w.examine(Options{Contents: true})
			require.NoError(t, err, "%s at %d", name, at)
			if r.State() != Sound {
				found++
				continue
			}
			harmless++
			require.Contains(t, part(t, r, "ACME > ORDERS").Detail, "290 messages", "%s at %d", name, at)
		}
	}
	t.Logf("%d found, %d harmless", found, harmless)
	require.Greater(t, found, harmless)
}

func TestMissingFilesAreTold(t *testing.T) {
	w := newWorld(5)
	build(t, w, "ORDERS")
	image := w.disk.Snapshot()
	for _, name := range w.disk.Files() {
		w.stop(func() {
			w.disk.Restore(image)
			require.True(t, w.disk.LoseFile(name))
		})
		r, err := w.examine(Options{Contents: true})
		require.NoError(t, err, name)
		require.Equal(t, Damaged, r.State(), "%s\n%s", name, r.text(80))
	}
}

func TestStoresOfOthersAreRefused(t *testing.T) {
	for _, tc := range []struct {
		name  string
		files []string
		want  error
	}{
		{"nothing", nil, ErrNoStore},
		{"something else", []string{"a/b", "c"}, ErrNoStore},
		{"official stream", []string{"$G/streams/ORDERS/meta.inf", "$G/streams/ORDERS/meta.sum"}, ErrOfficial},
		{"official account's directory", []string{"streams/ORDERS/meta.inf"}, ErrOfficial},
		{"official stream's directory", []string{"ORDERS/meta.inf"}, ErrOfficial},
		{"official cluster", []string{"$SYS/_js_/_meta_/meta.inf"}, ErrOfficial},
		{"second account", []string{"A/streams/x", "B/streams/S/meta.inf"}, ErrOfficial},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := newWorld(1)
			for _, name := range tc.files {
				for i, c := range name {
					if c == '/' {
						if err := w.Mkdir(name[:i]); err != nil {
							require.ErrorIs(t, err, storage.ErrExist)
						}
					}
				}
				w.MustOpen(t, name, storage.Create).Close()
			}
			r, err := w.examine(Options{})
			require.ErrorIs(t, err, tc.want)
			require.Nil(t, r)
		})
	}
}

func TestLeftoversAreNoDamage(t *testing.T) {
	w := newWorld(6)
	build(t, w, "ORDERS")
	require.NoError(t, w.Mkdir("streams/9-1"))
	w.MustOpen(t, "wal/stray", storage.Create).Close()
	r, err := w.examine(Options{})
	require.NoError(t, err)
	require.Equal(t, Sound, r.State())
	text := r.text(80)
	require.Contains(t, text, "streams/9-1: no stream's directory")
	require.Contains(t, text, "wal/stray: no file of the log")
}
