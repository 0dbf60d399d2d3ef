package jetstream

import (
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// Sizes of what all streams share.
const (
	cacheBytes = 64 << 20 // of message content in memory
	openFiles  = 512      // block files
	// easeBytes of publishes that are not stored keep disk and network busy at once, and are few enough that the memory is
	// used again while it is in the processor's caches.
	easeBytes = 8 << 20
)

// makeEnv is what all streams of this server share.
func (m *Manager) makeEnv() stream.Env {
	o := m.cfg.Options()
	id := m.cfg.Broker.Identity()
	env := stream.Env{
		Clock: m.cfg.Clock, Broker: m.cfg.Broker, Host: m.host, Disk: m.cfg.Disk, Log: m.log,
		Server: id.ServerName, Version: id.Version, Domain: o.JetStreamDomain, NamesAccounts: o.FeatureFlagValues()["js_ack_fc_v2"], MaxPayload: int(o.MaxPayload),
		Store: msgs.Options{
			Cache: msgs.NewCache(orDefault(m.cfg.Sizes.Cache, cacheBytes)), Files: msgs.NewFiles(orDefault(m.cfg.Sizes.OpenFiles, openFiles)),
			BlockBytes: m.cfg.Sizes.Block,
		},
		Open: new(machine.OpenBatches),
		Limits: stream.Limits{
			BufferedMsgs:  orDefault(o.StreamMaxBufferedMsgs, config.DefaultStreamMaxBufferedMsgs),
			BufferedBytes: int(orDefault(o.StreamMaxBufferedSize, config.DefaultStreamMaxBufferedSize)),
			Batch: machine.BatchLimits{
				AtomicPerStream: o.JetStreamLimits.MaxBatchInflightPerStream, AtomicTotal: o.JetStreamLimits.MaxBatchInflightTotal,
				FastPerStream: o.JetStreamLimits.MaxBatchInflightPerStream, FastTotal: o.JetStreamLimits.MaxBatchInflightTotal,
				Msgs: o.JetStreamLimits.MaxBatchSize, Timeout: o.JetStreamLimits.MaxBatchTimeout,
			},
			RequestBatch: o.JetStreamLimits.MaxRequestBatch, AckPending: o.JetStreamLimits.MaxAckPending,
			DefaultConsumers: o.JetStreamLimits.DefaultMaxConsumers, Window: m.cfg.Sizes.Window, Ease: orDefault(m.cfg.Sizes.Ease, easeBytes),
		},
		StreamFailed: m.streamFailed,
	}
	if c := m.cluster; c != nil {
		env.Cluster = &stream.Cluster{Name: c.Name, Peer: c.peerOf}
	}
	return env
}

// newID draws the id of an advisory.
func (m *Manager) newID() string { return api.NewID(m.strand.Rand("ids")) }

// streamFailed makes a stream that cannot go on visible. It runs on the stream's strand.
func (m *Manager) streamFailed(s *stream.Stream, err error) {
	m.note(Problem{Account: s.Account(), Stream: s.Config().Name, Err: err})
}

// orDefault is v, or def where nothing was stated.
func orDefault[T int | int64](v, def T) T {
	if v <= 0 {
		return def
	}
	return v
}

// removeTree removes a directory of files, as far as it can.
func removeTree(fs storage.FS, s clock.Strand, dir string) {
	fs.List(s, dir, func(entries []storage.Entry, err error) {
		if err != nil {
			return
		}
		left := len(entries) + 1
		one := func(error) {
			if left--; left == 0 {
				fs.Remove(s, dir, func(error) {})
			}
		}
		for _, e := range entries {
			if e.Dir {
				removeTree(fs, s, dir+"/"+e.Name)
			}
			fs.Remove(s, dir+"/"+e.Name, one)
		}
		one(nil)
	})
}
