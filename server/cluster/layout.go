package cluster

import (
	"slices"

	"github.com/lockstepmq/lockstep/server/config"
)

// layout says which route of this server carries which account. Immutable.
type layout struct {
	pool   int      // slots; below 1: no pools
	pinned []string // accounts with routes of their own, as configured
}

func (c *Cluster) newLayout(o *config.Options) *layout {
	system := ""
	if a := c.Broker.SystemAccount(); a != nil {
		system = a.Name
	}
	return &layout{pool: o.Cluster.PoolSize, pinned: o.PinnedTo(system)}
}

func (l *layout) pools() bool { return l.pool > 0 }

func (l *layout) isPinned(account string) bool { return slices.Contains(l.pinned, account) }

// slot is where an account that is not pinned goes: FNV-1a of its name.
func (l *layout) slot(account string) int {
	if l.pool <= 1 {
		return 0
	}
	h := uint32(2166136261)
	for i := range len(account) {
		h = (h ^ uint32(account[i])) * 16777619
	}
	return int(h % uint32(l.pool))
}

// place is which accounts a route carries.
type place struct {
	account string // that one alone
	slot    int    // of a pool, -1: all accounts
}

// carries tells whether interest in an account goes over a route at p.
func (l *layout) carries(p place, account string) bool {
	switch {
	case p.account != "":
		return p.account == account
	case p.slot < 0:
		return true
	}
	return !l.isPinned(account) && l.slot(account) == p.slot
}
