package jetstream

import (
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
)

// countStreams keeps the counts that monitoring reads.
func (m *Manager) countStreams() {
	n := 0
	for _, t := range m.order {
		for _, mem := range t.streams { //lockstep:ordered counted
			if m.cluster == nil || mem.asset.holds(m.cluster.Self) {
				n++
			}
		}
	}
	m.streams.Store(int64(n))
}

// countAccounts keeps the names and the count of accounts that monitoring reads.
func (m *Manager) countAccounts() {
	var names []string
	for _, t := range m.order {
		if t.grant != nil {
			names = append(names, t.name)
		}
	}
	m.granted.Store(int64(len(names)))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.names = names
}

// consumerLimits are what consumers of a tenant are held to.
func (m *Manager) consumerLimits(t *tenant) api.ConsumerServerLimits {
	o := m.cfg.Options().JetStreamLimits
	l := api.ConsumerServerLimits{MaxRequestBatch: o.MaxRequestBatch, MaxAckPending: o.MaxAckPending}
	if g, err := t.limitsOf(1); err == nil && g.MaxAckPending > 0 {
		l.AccountMaxAckPending = g.MaxAckPending
	}
	if g, err := t.limitsOf(1); err == nil {
		l.MaxConsumers = g.MaxConsumers
	}
	return l
}

// respondWithIdentity answers the create of a mirror's or source's consumer with what tells
// the stream from an earlier one of its name.
func (r *request) respondWithIdentity(s *stream.Stream, v any, identity bool) {
	body := api.Marshal(v)
	if r.reply != "" {
		var head []byte
		if identity {
			head = []byte("NATS/1.0\r\nNats-Stream-Identity: " + s.Identity() + "\r\n\r\n")
		}
		s.Sender().Publish([]byte(r.reply), nil, head, body)
	}
	if r.Endpoint != api.EndpointConsumerReset {
		r.count(false)
		r.audit(s.Sender(), body)
	}
}
