package jetstream

import (
	"errors"
	"fmt"

	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/jetstream/keyfile"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/doctor"
	"github.com/lockstepmq/lockstep/storage/seal"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// The way from a directory to a running catalogue: recognise, identify, open the log, get
// the catalogue's key, open the group.

// identityFile names the store for good, whatever the server is called; its content is part of
// the log's files, so that no file of another store passes for one of this.
const (
	identityFile = "identity"
	identityMax  = 256 // bytes
)

// recognise refuses the directory of another kind of server.
func (m *Manager) recognise() {
	doctor.Recognise(m.cfg.Disk, m.strand, func(err error) {
		if err != nil && !errors.Is(err, doctor.ErrNoStore) {
			m.broken(err)
			return
		}
		m.identify()
	})
}

// identify reads the store's identity, or draws one for a new store.
func (m *Manager) identify() {
	storage.ReadFile(m.cfg.Disk, m.strand, identityFile, identityMax, func(text []byte, err error) {
		switch {
		case errors.Is(err, storage.ErrNotExist):
			m.newIdentity()
		case err == nil && len(text) == 0:
			m.broken(fmt.Errorf("%q is empty: restore the file", identityFile))
		case err != nil:
			m.broken(err)
		default:
			m.makeDirs(string(text))
		}
	})
}

func (m *Manager) newIdentity() {
	id := m.newID()
	storage.ReplaceFile(m.cfg.Disk, m.strand, identityFile, []byte(id), func(err error) {
		if err != nil {
			m.broken(err)
			return
		}
		m.makeDirs(id)
	})
}

// makeDirs makes the directory of streams if it is not there.
func (m *Manager) makeDirs(identity string) {
	m.cfg.Disk.Mkdir(m.strand, streamsDir, func(err error) {
		if err != nil && !errors.Is(err, storage.ErrExist) {
			m.broken(err)
			return
		}
		m.cfg.Disk.SyncDir(m.strand, ".", func(err error) {
			if err != nil {
				m.broken(err)
				return
			}
			m.recoverLog(identity)
		})
	})
}

// reserveBytes is how much the log grows at one time.
const reserveBytes = 512 << 10

func (m *Manager) recoverLog(identity string) {
	o := m.cfg.Options()
	c := wal.Config{Dir: walDir, Identity: identity, SegmentBytes: m.cfg.Sizes.Segment, LogBytesMax: m.cfg.Sizes.Log, ReserveBytes: reserveBytes}
	if m.cfg.Sizes.Segment > 0 {
		c.ReserveBytes = m.cfg.Sizes.Segment / 8
	}
	if !o.FlushBeforeAck() {
		c.Mode, c.SyncInterval = wal.Interval, o.SyncInterval
	}
	s := m.cfg.Clock.NewStrand("log")
	wal.Open(m.cfg.Disk, s, c, func(l *wal.Log, report *wal.Report, err error) {
		m.strand.PostFrom(s, func() { m.logOpened(l, report, err) })
	})
}

func (m *Manager) logOpened(l *wal.Log, report *wal.Report, err error) {
	m.reportLog(report)
	if err != nil {
		m.broken(err)
		return
	}
	m.wal, m.newLog = l, report != nil && report.Created
	c := raft.Config{CheckpointBytes: m.cfg.Sizes.Checkpoint}
	if m.cluster != nil {
		c.Self, c.Lane, c.Clock, c.Strand = m.cluster.Self, m.cluster.Lane, m.cfg.Clock, m.cfg.Clock.NewStrand("consensus")
	}
	m.host = raft.NewHost(l, c)
	m.served.Store(m.host)
	if m.cluster != nil {
		for _, id := range m.cluster.present {
			m.host.PeerUp(id)
		}
	}
	m.env = m.makeEnv()
	m.env.Keys = m.keys()
	keyfile.Open(m.cfg.Disk, m.strand, metaDir, m.env.Keys, "", "catalogue", m.openCatalogue)
}

// reportLog says what is not as it was written.
func (m *Manager) reportLog(r *wal.Report) {
	if r == nil {
		return
	}
	for _, d := range r.Damage {
		m.log.Errorf("JetStream's log is damaged: %s at %d: %v (groups %v)", d.File, d.Offset, d.Err, d.Groups)
		m.note(Problem{Err: fmt.Errorf("log damaged: %s at %d: %w", d.File, d.Offset, d.Err)})
	}
	if t := r.Torn; t != nil {
		m.log.Debugf("JetStream's log: %s ended incomplete at %d: %v", t.File, t.Offset, t.Err)
	}
}

// keys are what the options say of encryption.
func (m *Manager) keys() keyfile.Keys {
	o := m.cfg.Options()
	c := seal.ChaCha20Poly1305
	if o.JetStreamCipher == config.AES {
		c = seal.AESGCM
	}
	return keyfile.Keys{
		Ring: seal.NewKeyring(o.JetStreamKey, o.JetStreamOldKey), Cipher: c, Entropy: m.cfg.Clock.Entropy("encryption at rest"),
	}
}

// openCatalogue starts the group that knows which streams there are.
func (m *Manager) openCatalogue(a *seal.Asset, err error) {
	o := raft.Options{ID: raft.ID{Group: metaGroup, Incarnation: 1}, Name: "catalogue", Strand: m.strand, Machine: meta{m}, Fresh: m.newLog}
	if err == nil && a != nil {
		o.Seal, err = a.Sealer(m.env.Keys.Entropy, "log")
	}
	if m.cluster != nil && err == nil {
		m.found(o)
		return
	}
	if err == nil {
		m.group, err = m.host.Open(o)
	}
	if err != nil {
		m.broken(err)
	}
}
