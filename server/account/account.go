// Package account owns isolation: an [Account] is a subject space with its own
// interest, and only exports and imports cross from one to another.
//
// An Account is shared by the strands of all its connections. Its interest is
// the concurrent [subject.Index]; its exports, imports and mappings are an
// immutable [Graph] that is published whole, so the message path reads it
// without a lock; counters are atomics. Methods that change a graph take turns
// under one lock of the package, hold it across no call out, and may be called
// from anywhere. The open responses of services hide a lock of their own.
package account

import (
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/server/subject"
)

// Names of the accounts that always exist.
const (
	Global = "$G"
	System = "$SYS"
)

// Account is one tenant.
type Account struct {
	// Name identifies the account. It never changes.
	Name string
	// Nkey is the account's public key when configuration gives one.
	Nkey string
	// Issuer is the key that signed the account's token, if any.
	Issuer string

	index   *subject.Index[*Subscription]
	graph   atomic.Pointer[Graph]
	limits  atomic.Pointer[Limits]
	js      atomic.Pointer[JetStream]
	updated atomic.Int64 // wall nanoseconds of the last change

	conns      atomic.Int64
	totalConns atomic.Int64
	leafs      atomic.Int64
	slow       atomic.Int64
	Sent       Traffic // to clients and other servers
	Received   Traffic // from clients and other servers
	// Routes is what of Sent and Received went over routes.
	Routes struct{ Sent, Received Traffic }

	responses Responses
	watches   watches
	tally     atomic.Pointer[Tally] // nil unless other servers are told of the interest
}

// Traffic counts messages and bytes.
type Traffic struct {
	Msgs  atomic.Int64
	Bytes atomic.Int64
}

// Add counts one batch.
func (t *Traffic) Add(msgs, bytes int64) {
	t.Msgs.Add(msgs)
	t.Bytes.Add(bytes)
}

// Limits of an account; a negative number is unlimited. Subs and Payload are
// per connection.
type Limits struct {
	Connections int64
	Subs        int64
	Payload     int64
	LeafNodes   int64
}

// Unlimited are the limits of an account that states none.
var Unlimited = Limits{Connections: -1, Subs: -1, Payload: -1, LeafNodes: -1}

// hashSeed keys the index of accounts made from now on. It stays 0 in simulation.
var hashSeed atomic.Uint64

// SetHashSeed keys the hash tables of accounts made from now on, so that nobody
// can choose subjects that collide. The real world calls it once, with a secret,
// before it makes accounts.
func SetHashSeed(seed uint64) { hashSeed.Store(seed) }

// New makes an account without exports, imports or mappings.
func New(name string) *Account {
	a := &Account{Name: name, index: subject.NewIndexSeeded[*Subscription](hashSeed.Load())}
	a.graph.Store(&Graph{})
	l := Unlimited
	a.limits.Store(&l)
	a.responses.account, a.responses.limit = a, ResponsesMax
	return a
}

// GetName is the account's name.
func (a *Account) GetName() string { return a.Name }

// String is the account's name.
func (a *Account) String() string {
	if a == nil {
		return ""
	}
	return a.Name
}

// Index is the account's interest.
func (a *Account) Index() *subject.Index[*Subscription] { return a.index }

// Graph is what the account exports, imports and maps at this moment.
func (a *Account) Graph() *Graph { return a.graph.Load() }

// Limits in force.
func (a *Account) Limits() Limits { return *a.limits.Load() }

// SetLimits replaces the limits; connections apply them when they bind.
func (a *Account) SetLimits(l Limits) { a.limits.Store(&l) }

// Updated is when configuration last changed the account.
func (a *Account) Updated() time.Time { return time.Unix(0, a.updated.Load()).UTC() }

// SetUpdated notes when configuration last changed the account.
func (a *Account) SetUpdated(t time.Time) { a.updated.Store(t.UnixNano()) }

// AddConnection counts a connection in and tells whether the limit allows it;
// when it does not, nothing is counted.
func (a *Account) AddConnection() bool {
	n := a.conns.Add(1)
	if limit := a.limits.Load().Connections; limit >= 0 && n+a.leafs.Load() > limit {
		a.conns.Add(-1)
		return false
	}
	a.totalConns.Add(1)
	return true
}

// RemoveConnection counts a connection out.
func (a *Account) RemoveConnection() { a.conns.Add(-1) }

// NumConnections counts the account's client connections.
func (a *Account) NumConnections() int { return int(a.conns.Load()) }

// NumLocalConnections is NumConnections of this server alone.
func (a *Account) NumLocalConnections() int { return int(a.conns.Load()) }

// TotalConnections counts all connections that ever bound to the account.
func (a *Account) TotalConnections() int64 { return a.totalConns.Load() }

// NumLeafNodes counts leafnode connections.
func (a *Account) NumLeafNodes() int { return int(a.leafs.Load()) }

// AddSlowConsumer counts one slow consumer of the account.
func (a *Account) AddSlowConsumer() { a.slow.Add(1) }

// SlowConsumers of the account since start.
func (a *Account) SlowConsumers() int64 { return a.slow.Load() }

// TotalSubs counts the account's subscriptions, internal ones included.
func (a *Account) TotalSubs() int { return a.index.Len() }

// SubscriptionInterest tells whether anybody would receive a message on subject.
func (a *Account) SubscriptionInterest(subj string) bool { return a.index.HasInterest([]byte(subj)) }

// Interest counts the subscriptions that match subject.
func (a *Account) Interest(subj string) int {
	var r subject.Result[*Subscription]
	a.index.Match([]byte(subj), &r)
	n := len(r.Plain)
	for _, g := range r.Groups {
		n += len(g.Members)
	}
	return n
}
