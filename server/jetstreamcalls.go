//lockstep:exempt the embedding facade: its callers are goroutines that may wait
package server

import (
	"errors"
	"slices"

	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/monitor"
)

// JetStream as embedding programs name it.
type (
	JetStreamConfig = monitor.JetStreamConfig
	JetStreamStats  = monitor.JetStreamStats
	JSLimitOpts     = config.JSLimitOpts
	JSzOptions      = monitor.JSzOptions
	JSInfo          = monitor.JSInfo
	AccountDetail   = monitor.AccountDetail
	StreamDetail    = monitor.StreamDetail
)

// Errors of the calls below.
var (
	errJetStreamRuns   = errors.New("jetstream already enabled")
	errJetStreamAbsent = errors.New("jetstream not enabled")
	errStopped         = errors.New("the server is shut down")
)

// EnableJetStream turns JetStream on and returns when the streams are recovered. What c leaves zero, or all
// of it when c is nil, is as the options say. The streams are in the directory jetstream below c.StoreDir.
func (s *Server) EnableJetStream(c *JetStreamConfig) error {
	if s.js.Load() != nil {
		return errJetStreamRuns
	}
	o := s.getOpts().Clone()
	o.JetStream = true
	if c != nil {
		adoptJetStream(o, c)
	}
	return s.settleJetStream(o)
}

// adoptJetStream takes a program's configuration into the options.
func adoptJetStream(o *Options, c *JetStreamConfig) {
	if c.MaxMemory > 0 {
		o.JetStreamMaxMemory = c.MaxMemory
	}
	if c.MaxStore > 0 {
		o.JetStreamMaxStore = c.MaxStore
	}
	if c.StoreDir != "" {
		o.StoreDir = c.StoreDir
	}
	if c.Domain != "" {
		o.JetStreamDomain = c.Domain
	}
	if c.UniqueTag != "" {
		o.JetStreamUniqueTag = c.UniqueTag
	}
	if c.SyncInterval > 0 || c.SyncAlways {
		o.SyncInterval, o.SyncAlways = c.SyncInterval, c.SyncAlways
	}
}

// DisableJetStream closes the streams, which stay in their directory, and returns when they are.
func (s *Server) DisableJetStream() error {
	if s.js.Load() == nil {
		return nil
	}
	o := s.getOpts().Clone()
	o.JetStream = false
	return s.settleJetStream(o)
}

// settleJetStream puts options in force and waits until JetStream is as they say.
func (s *Server) settleJetStream(o *Options) error {
	was := s.getOpts()
	s.opts.Store(o)
	settled := make(chan error, 1)
	s.SwitchJetStream(func(err error) { settled <- err })
	select {
	case err := <-settled:
		if err != nil {
			s.opts.CompareAndSwap(o, was)
		}
		return err
	case <-s.shell.done:
		return errStopped
	}
}

// JetStreamEnabled tells whether JetStream runs.
func (s *Server) JetStreamEnabled() bool { return s.js.Load() != nil }

// JetStreamEnabledForDomain tells whether some server of the domain runs JetStream: here, this one.
func (s *Server) JetStreamEnabledForDomain() bool { return s.JetStreamEnabled() }

// JetStreamConfig is the configuration in force; nil when JetStream does not run.
func (s *Server) JetStreamConfig() *JetStreamConfig {
	m := s.monitored()
	if m == nil {
		return nil
	}
	return m.JetStreamConfig()
}

// JetStreamNumAccounts counts the accounts that have JetStream.
func (s *Server) JetStreamNumAccounts() int {
	m := s.js.Load()
	if m == nil {
		return 0
	}
	return m.Totals().Accounts
}

// JetStreamReservedResources are the bytes of memory and files that are promised to accounts and streams; -1
// for both with an error when JetStream does not run.
func (s *Server) JetStreamReservedResources() (memory, file int64, err error) {
	m := s.js.Load()
	if m == nil {
		return -1, -1, errJetStreamAbsent
	}
	t := m.Totals()
	return int64(t.ReservedMemory), int64(t.ReservedStore), nil
}

// Jsz describes JetStream: what it holds, and accounts and streams as far as opts ask for them.
func (s *Server) Jsz(opts *JSzOptions) (*JSInfo, error) { return s.monitor.Jsz(opts) }

// JetStreamIsClustered is false: the server serves its streams alone.
func (s *Server) JetStreamIsClustered() bool { return false }

// JetStreamClusterPeers is nil: there are none.
func (s *Server) JetStreamClusterPeers() []string { return nil }

// JetStreamIsLeader tells whether this server decides which streams there are: alone it does, while JetStream
// runs. So it is with what follows, for the streams and consumers of accounts that have JetStream.
func (s *Server) JetStreamIsLeader() bool { return s.JetStreamEnabled() }

// JetStreamIsCurrent tells whether it knows which streams there are.
func (s *Server) JetStreamIsCurrent() bool { return s.JetStreamEnabled() }

// JetStreamIsStreamLeader tells whether this server leads a stream.
func (s *Server) JetStreamIsStreamLeader(account, stream string) bool { return s.serves(account) }

// JetStreamIsStreamCurrent tells whether it has all of a stream.
func (s *Server) JetStreamIsStreamCurrent(account, stream string) bool { return s.serves(account) }

// JetStreamIsConsumerLeader tells whether this server leads a consumer.
func (s *Server) JetStreamIsConsumerLeader(account, stream, consumer string) bool {
	return s.serves(account)
}

// JetStreamIsConsumerCurrent tells whether it has all of a consumer's state.
func (s *Server) JetStreamIsConsumerCurrent(account, stream, consumer string) bool {
	return s.serves(account)
}

// serves tells whether an account has JetStream here.
func (s *Server) serves(account string) bool {
	m := s.js.Load()
	return m != nil && slices.Contains(m.Accounts(), account)
}

// StoreDir is the directory of the streams; "" when JetStream does not run.
func (s *Server) StoreDir() string {
	if c := s.JetStreamConfig(); c != nil {
		return c.StoreDir
	}
	return ""
}
