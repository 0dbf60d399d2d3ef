package jetstream

import (
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
)

// Totals count what the server holds and was asked.
type Totals struct {
	Memory, Store                 uint64 // bytes
	ReservedMemory, ReservedStore uint64 // bytes
	Accounts, Streams, Consumers  int
	Messages, Bytes               uint64
	API                           api.JetStreamAPIStats
}

// Totals may be called from anywhere, and waits for nothing.
func (m *Manager) Totals() Totals {
	return Totals{
		Memory: uint64(max(m.usage.Used(api.MemoryStorage), 0)), Store: uint64(max(m.usage.Used(api.FileStorage), 0)),
		ReservedMemory: uint64(m.reservedMemory.Load()), ReservedStore: uint64(m.reservedFile.Load()),
		Accounts: int(m.granted.Load()), Streams: int(m.streams.Load()), Consumers: int(m.usage.Consumers()),
		Messages: uint64(max(m.usage.Messages(), 0)),
		Bytes:    uint64(max(m.usage.Used(api.MemoryStorage)+m.usage.Used(api.FileStorage), 0)),
		API:      api.JetStreamAPIStats{Level: api.Level, Total: uint64(m.apiTotal.Load()), Errors: uint64(m.apiErrors.Load())},
	}
}

// Query says what Gather reports.
type Query struct {
	Accounts           []string
	Stream             string // this one alone, unless ""
	Streams, Consumers bool
}

// AccountReport is one account.
type AccountReport struct {
	Name    string
	Stats   api.JetStreamAccountStats
	Grant   *account.JetStream
	Streams []*StreamReport
}

// StreamReport is one stream. Config is as stored.
type StreamReport struct {
	Info      api.StreamInfo
	Consumers []*api.ConsumerInfo // with those of mirrors and sources
	// Group and ConsumerGroups are what the API calls the groups; empty on a server alone.
	Group          string
	ConsumerGroups []ConsumerGroup
}

// Gather reports accounts, in the order of the query, and their streams by name. done is called
// once, on the manager's strand.
func (m *Manager) Gather(q Query, done func([]*AccountReport)) {
	m.strand.Post(func() {
		m.now = m.cfg.Clock.Now()
		var list []*AccountReport
		left := 1
		one := func() {
			if left--; left == 0 {
				done(list)
			}
		}
		for _, name := range q.Accounts {
			t := m.accounts[name]
			if t == nil || t.grant == nil {
				continue
			}
			a := &AccountReport{Name: name, Stats: m.accountStats(t), Grant: t.grant}
			list = append(list, a)
			if q.Streams {
				left += m.gatherStreams(t, a, &q, one)
			}
		}
		one()
	})
}

// gatherStreams has the streams of a tenant report themselves; it tells how many will.
func (m *Manager) gatherStreams(t *tenant, a *AccountReport, q *Query, one func()) int {
	n := 0
	for _, name := range t.sorted() {
		s := t.streams[name].s
		if s == nil || q.Stream != "" && q.Stream != name {
			continue
		}
		r := &StreamReport{}
		a.Streams = append(a.Streams, r)
		n++
		s.Do(m.strand, func() {
			r.fill(s, q.Consumers)
			m.strand.PostFrom(s.Strand(), one)
		})
	}
	return n
}

// ConsumerGroup names the group of a consumer.
type ConsumerGroup struct{ Consumer, Group string }

func (r *StreamReport) fill(s *stream.Stream, consumers bool) {
	r.Info = s.Info()
	r.Info.Config = *s.Config()
	r.Group = s.RaftGroup()
	s.ConsumerGroups(func(consumer, group string) {
		r.ConsumerGroups = append(r.ConsumerGroups, ConsumerGroup{consumer, group})
	})
	if consumers {
		r.Consumers = s.AllConsumerInfos()
	}
}

// Accounts are the names of the accounts that have JetStream, ascending; it may be called from
// anywhere.
func (m *Manager) Accounts() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.names
}
