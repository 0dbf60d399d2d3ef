package machine

import (
	"encoding/binary"
	"encoding/json"
	"fmt"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
)

// snapshotVersion is the first byte of a snapshot.
const snapshotVersion = 1

// Snapshot gives everything that entries made and the store does not hold. Machines that applied the same
// entries give the same bytes.
func (m *Machine) Snapshot() []byte {
	b := []byte{snapshotVersion}
	b = binary.AppendVarint(b, m.now)
	b = binary.LittleEndian.AppendUint64(b, m.hash)
	b = codec.AppendBytes(b, m.lastID)
	b = codec.AppendBytes(b, api.Marshal(m.cfg))
	b = m.dedupe.snapshot(b)
	b = m.schedules.snapshot(b)
	b = m.sources.snapshot(b)
	b = m.markers.snapshot(b)
	return m.broken.snapshot(b)
}

// Restore gives a new machine the state of a snapshot; its store is in the state that it had then.
func (m *Machine) Restore(snapshot []byte) error {
	r := codec.Reader{P: snapshot}
	if v := r.Byte(); v != snapshotVersion {
		return fmt.Errorf("state of the messages of stream %q has version %d; this server knows %d", m.cfg.Name, v, snapshotVersion)
	}
	m.now = r.Int()
	for i := range 8 {
		m.hash = m.hash&^(0xff<<(8*i)) | uint64(r.Byte())<<(8*i)
	}
	m.lastID = append(m.lastID[:0], r.Bytes()...)
	cfg := &api.StreamConfig{}
	if err := json.Unmarshal(r.Bytes(), cfg); err != nil || r.Bad {
		return fmt.Errorf("state of the messages of stream %q: configuration cannot be read: %v", m.cfg.Name, err)
	}
	m.lastTime = m.store.State().LastTime
	m.configure(cfg)
	m.limit()
	m.dedupe = dedupe{window: windowOf(cfg)}
	m.dedupe.restore(&r)
	m.schedules = schedules{}
	m.schedules.init()
	m.schedules.restore(&r)
	m.sources = sources{}
	m.sources.restore(&r)
	m.markers = markers{}
	m.markers.restore(&r)
	m.broken = chains{}
	m.broken.restore(&r)
	if r.Bad || r.More() {
		return fmt.Errorf("state of the messages of stream %q cannot be read", m.cfg.Name)
	}
	return nil
}
