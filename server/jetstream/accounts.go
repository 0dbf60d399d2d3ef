package jetstream

import (
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// limitsOf are the limits of a tenant for streams of so many replicas.
func (t *tenant) limitsOf(replicas int) (account.JetStreamLimits, *api.Error) {
	if t.grant == nil {
		return account.JetStreamLimits{}, api.ErrNotEnabledForAccount
	}
	if l, ok := t.grant.Tiers[""]; ok {
		return l, nil
	}
	l, ok := t.grant.Tiers[tierName(replicas)]
	if !ok {
		return l, api.ErrNoLimits
	}
	return l, nil
}

func tierName(replicas int) string { return "R" + string(rune('0'+max(replicas, 1))) }

// setLimits tells the streams what the account may hold.
func (t *tenant) setLimits() {
	memory, file := int64(-1), int64(-1)
	if l, err := t.limitsOf(1); err == nil {
		memory, file = l.MaxMemory, l.MaxStore
	}
	t.usage.SetLimits(memory, file)
}

// reserve counts what a stream reserves, sign times.
func (t *tenant) reserve(cfg *api.StreamConfig, sign int64) {
	n := max(cfg.MaxBytes, 0) * int64(max(cfg.Replicas, 1)) * sign
	if cfg.Storage == api.MemoryStorage {
		t.reservedMemory += n
		t.m.reservedMemory.Add(n)
	} else {
		t.reservedFile += n
		t.m.reservedFile.Add(n)
	}
}

// admissible judges a configuration against what the account and the server have left; was
// is the one that it replaces.
func (m *Manager) admissible(t *tenant, cfg, was *api.StreamConfig) *api.Error {
	l, err := t.limitsOf(cfg.Replicas)
	if err != nil {
		return err
	}
	if was == nil && l.MaxStreams > 0 && len(t.streams) >= l.MaxStreams {
		return api.ErrMaximumStreamsLimit
	}
	if l.MaxConsumers > 0 && cfg.MaxConsumers > l.MaxConsumers {
		return api.ErrMaximumConsumersLimit
	}
	if l.MaxBytesRequired && cfg.MaxBytes <= 0 {
		return api.ErrStreamMaxBytesRequired
	}
	each := l.StoreMaxStreamBytes
	if cfg.Storage == api.MemoryStorage {
		each = l.MemoryMaxStreamBytes
	}
	if each > 0 && cfg.MaxBytes > each {
		return api.ErrStreamMaxStreamBytesExceeded
	}
	return m.fits(t, l, cfg, was)
}

// fits judges the reservation.
func (m *Manager) fits(t *tenant, l account.JetStreamLimits, cfg, was *api.StreamConfig) *api.Error {
	more := max(cfg.MaxBytes, 0)
	if was != nil {
		more -= max(was.MaxBytes, 0)
		if more <= 0 {
			return nil
		}
	}
	reserved, all, max, total, full := t.reservedFile, m.reservedFile.Load(), l.MaxStore, m.cfg.MaxStore, api.ErrStorageResourcesExceeded
	if cfg.Storage == api.MemoryStorage {
		reserved, all, max, total, full = t.reservedMemory, m.reservedMemory.Load(), l.MaxMemory, m.cfg.MaxMemory, api.ErrMemoryResourcesExceeded
	}
	if max >= 0 && reserved+more > max || total >= 0 && all+more > total {
		return full
	}
	return nil
}

// accountInfo answers what the account uses and may use.
func (m *Manager) accountInfo(r *request) {
	t := r.t
	if t.grant == nil {
		r.fail(api.ErrNotEnabledForAccount)
		return
	}
	if m.cluster != nil {
		m.accountInfoOfAll(r)
		return
	}
	stats := m.accountStats(t)
	r.respond(&api.AccountInfoResponse{ApiResponse: r.head(), JetStreamAccountStats: &stats})
}

func (m *Manager) accountStats(t *tenant) api.JetStreamAccountStats {
	stats := api.JetStreamAccountStats{
		Domain: m.env.Domain,
		API:    api.JetStreamAPIStats{Level: api.Level, Total: uint64(t.apiTotal.Load()), Errors: uint64(t.apiErrors.Load())},
	}
	l, err := t.limitsOf(1)
	stats.JetStreamTier = api.JetStreamTier{
		Memory: uint64(t.usage.Used(api.MemoryStorage)), Store: uint64(t.usage.Used(api.FileStorage)),
		ReservedMemory: uint64(t.reservedMemory), ReservedStore: uint64(t.reservedFile),
		Streams: len(t.streams), Consumers: int(t.usage.Consumers() + t.usage.Internal()),
	}
	if err == nil {
		stats.Limits = api.JetStreamAccountLimits{
			MaxMemory: l.MaxMemory, MaxStore: l.MaxStore, MaxStreams: l.MaxStreams, MaxConsumers: l.MaxConsumers,
			MaxAckPending: l.MaxAckPending, MemoryMaxStreamBytes: l.MemoryMaxStreamBytes,
			StoreMaxStreamBytes: l.StoreMaxStreamBytes, MaxBytesRequired: l.MaxBytesRequired,
		}
	}
	return stats
}

// accountPurge removes the streams of an account, by request of the system account.
func (m *Manager) accountPurge(r *request) {
	t := m.accounts[r.Account]
	if t == nil { // has nothing to purge
		r.respond(&api.AccountPurgeResponse{ApiResponse: r.head(), Initiated: true})
		return
	}
	for _, name := range t.sorted() {
		t.exclusive(name, func(next func()) {
			if mem := t.streams[name]; mem != nil {
				m.deleteStream(t, mem, func() { next(); m.flush() })
				return
			}
			next()
		})
	}
	r.respond(&api.AccountPurgeResponse{ApiResponse: r.head(), Initiated: true})
}
