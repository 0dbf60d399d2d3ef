package jetstream

import (
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// tenant is an account and its JetStream. It belongs to the manager's strand.
type tenant struct {
	m        *Manager
	acc      *account.Account
	name     string
	sender   *broker.Sender // of the manager's strand
	sub      *account.Subscription
	grant    *account.JetStream // nil: not enabled
	usage    *stream.Usage
	streams  map[string]*member
	pending  map[string][]func() // operations that wait for one of the same stream's name
	restores map[string]*restore // streams that are being made of backups

	epoch int // of pending: it begins anew when the leadership of a cluster is lost

	reservedMemory, reservedFile int64
	apiTotal, apiErrors          atomic.Int64
}

// member is a stream of a tenant.
type member struct {
	s       *stream.Stream // nil while it is being opened
	asset   *asset
	offline string
	// Of a stream of several servers.
	leads    bool
	leader   core.MemberID // 0: not known
	proposed bool          // and not committed yet
	asked    *ask          // to be answered when this server leads
	created  bool          // asked is to create it
	// lostSince is since when this server has nothing of it, and nobody leads it, on the monotonic clock; 0: it is not so.
	lostSince time.Duration
}

// sorted gives the names of the tenant's streams, ascending.
func (t *tenant) sorted() []string {
	names := make([]string, 0, len(t.streams))
	for name := range t.streams { //lockstep:ordered sorted below
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// tenantOf finds or makes the tenant of an account.
func (m *Manager) tenantOf(acc *account.Account) *tenant {
	if t := m.accounts[acc.Name]; t != nil {
		return t
	}
	t := &tenant{
		m: m, acc: acc, name: acc.Name, usage: stream.NewUsage(m.usage),
		streams: make(map[string]*member), pending: make(map[string][]func()),
		restores: make(map[string]*restore),
		sender:   m.cfg.Broker.NewSender(m.strand, acc, "jetstream"),
	}
	m.accounts[acc.Name] = t
	i, _ := slices.BinarySearchFunc(m.order, t.name, func(o *tenant, name string) int { return strings.Compare(o.name, name) })
	m.order = slices.Insert(m.order, i, t)
	return t
}
