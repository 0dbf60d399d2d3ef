package jetstream

import (
	"strings"

	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// flood says which requests of a turn are dropped without an answer, because too many of their
// kind had come meanwhile.
type flood struct{ infos, others bool }

// floods judges what waits for this turn. Too many requests of a kind are all dropped, and
// the system account is told.
func (m *Manager) floods(batches []*broker.Batch) flood {
	o := m.cfg.Options()
	limit, infoLimit := o.JetStreamRequestQueueLimit, o.JetStreamInfoQueueLimit
	total := int64(0)
	for _, b := range batches {
		total += int64(len(b.Messages))
	}
	if limit <= 0 || infoLimit <= 0 || total < min(limit, infoLimit) {
		return flood{}
	}
	infos := int64(0)
	for _, b := range batches {
		for i := range b.Messages {
			if asksInfo(b.Messages[i].Subject) {
				infos++
			}
		}
	}
	f := flood{infos >= infoLimit, total-infos >= limit}
	if f.infos {
		m.dropped(infos)
	}
	if f.others {
		m.dropped(total - infos)
	}
	return f
}

// drops tells whether a request is among those.
func (f flood) drops(subject []byte) bool {
	return (f.infos || f.others) && (f.infos && asksInfo(subject) || f.others && !asksInfo(subject))
}

// asksInfo tells whether a request only asks what there is.
func asksInfo(subject []byte) bool {
	rest := strings.TrimPrefix(string(subject), api.Prefix)
	for _, words := range [...]string{"INFO", "STREAM.NAMES", "STREAM.LIST", "STREAM.INFO.", "CONSUMER.NAMES.", "CONSUMER.LIST.", "CONSUMER.INFO."} {
		if strings.HasPrefix(rest, words) {
			return true
		}
	}
	return false
}

// dropped tells the system account of requests that were dropped.
func (m *Manager) dropped(n int64) {
	m.log.Warnf("JetStream API queue limit reached, dropped %d requests", n)
	acc := m.cfg.Broker.SystemAccount()
	if acc == nil {
		return
	}
	t := m.tenantOf(acc)
	if m.cfg.Broker.Interested(acc, api.SubjectAPILimitReached, "") {
		t.sender.Publish([]byte(api.SubjectAPILimitReached), nil, nil,
			api.Marshal(api.NewAPILimitReached(m.newID(), m.now.UTC(), m.env.Server, m.env.Domain, n)))
	}
}
