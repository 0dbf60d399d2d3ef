package monitor

import (
	"time"

	"github.com/lockstepmq/lockstep/server/account"
)

// AccountStatzOptions says which accounts are wanted: those named, or all.
type AccountStatzOptions struct {
	Accounts      []string `json:"accounts"`
	IncludeUnused bool     `json:"include_unused"` // also those without connections
}

// AccountStatz has the counters of accounts.
type AccountStatz struct {
	ID       string         `json:"server_id"`
	Now      time.Time      `json:"now"`
	Accounts []*AccountStat `json:"account_statz"`
}

// AccountStat are the counters of one account on this server.
type AccountStat struct {
	Account       string    `json:"acc"`
	Name          string    `json:"name"`
	Conns         int       `json:"conns"` // of clients, now
	LeafNodes     int       `json:"leafnodes"`
	TotalConns    int       `json:"total_conns"` // of all kinds, now
	NumSubs       uint32    `json:"num_subscriptions"`
	Sent          DataStats `json:"sent"` // to clients
	Received      DataStats `json:"received"`
	SlowConsumers int64     `json:"slow_consumers"`
}

// MsgBytes counts messages and bytes.
type MsgBytes struct {
	Msgs  int64 `json:"msgs"`
	Bytes int64 `json:"bytes"`
}

// DataStats counts messages and bytes, in all and by the kind of link.
type DataStats struct {
	MsgBytes
	Gateways *MsgBytes `json:"gateways,omitempty"`
	Routes   *MsgBytes `json:"routes,omitempty"`
	Leafs    *MsgBytes `json:"leafs,omitempty"`
}

func dataStats(all, routes *account.Traffic) DataStats {
	count := func(t *account.Traffic) MsgBytes { return MsgBytes{t.Msgs.Load(), t.Bytes.Load()} }
	routed := count(routes)
	return DataStats{count(all), &MsgBytes{}, &routed, &MsgBytes{}}
}

// AccountStatz has the counters of the accounts that have connections, or of all,
// by name. Names that no account has are left out.
func (m *Monitor) AccountStatz(opts *AccountStatzOptions) (*AccountStatz, error) {
	o := AccountStatzOptions{}
	if opts != nil {
		o = *opts
	}
	z := &AccountStatz{ID: m.id(), Now: m.now(), Accounts: []*AccountStat{}}
	for _, a := range m.wanted(o.Accounts) {
		if s := m.accountStat(a); o.IncludeUnused || s.TotalConns > 0 {
			z.Accounts = append(z.Accounts, s)
		}
	}
	return z, nil
}

func (m *Monitor) wanted(names []string) []*account.Account {
	if len(names) == 0 {
		return m.c.Broker.Accounts()
	}
	var list []*account.Account
	for _, n := range sortedCopy(names) {
		if a := m.c.Broker.LookupAccount(n); a != nil {
			list = append(list, a)
		}
	}
	return list
}

func (m *Monitor) accountStat(a *account.Account) *AccountStat {
	conns := m.connections(a)
	return &AccountStat{
		Account: a.Name, Name: a.Name, Conns: conns, LeafNodes: a.NumLeafNodes(), TotalConns: conns + a.NumLeafNodes(),
		NumSubs: uint32(a.TotalSubs()), Sent: dataStats(&a.Sent, &a.Routes.Sent),
		Received:      dataStats(&a.Received, &a.Routes.Received),
		SlowConsumers: a.SlowConsumers(),
	}
}

// connections counts an account's clients. Those that have not authenticated yet
// are the global account's.
func (m *Monitor) connections(a *account.Account) int {
	if a != m.c.Broker.Global() {
		return a.NumLocalConnections()
	}
	n := m.c.Broker.NumClients()
	for _, other := range m.c.Broker.Accounts() {
		if other != a {
			n -= other.NumLocalConnections()
		}
	}
	return max(n, a.NumLocalConnections())
}
