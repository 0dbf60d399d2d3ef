package monitor

import (
	"errors"
	"fmt"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/subject"
)

// DefaultConnListSize is how many connections an answer has when nothing is said.
const DefaultConnListSize = 1024

// ConnState says which connections are meant.
type ConnState int

// The states.
const (
	ConnOpen ConnState = iota
	ConnClosed
	ConnAll
)

// ConnzOptions says which connections are wanted, and how much of each.
type ConnzOptions struct {
	Sort                SortOpt   `json:"sort"`
	Username            bool      `json:"auth"` // users, accounts and certificates
	Subscriptions       bool      `json:"subscriptions"`
	SubscriptionsDetail bool      `json:"subscriptions_detail"`
	Offset              int       `json:"offset"`
	Limit               int       `json:"limit"` // 0 or less: DefaultConnListSize
	CID                 uint64    `json:"cid"`   // 0 is all
	MQTTClient          string    `json:"mqtt_client"`
	State               ConnState `json:"state"`
	User                string    `json:"user"`
	Account             string    `json:"acc"`
	// FilterSubject keeps open connections that subscribe to something that overlaps
	// it; it asks for Account.
	FilterSubject string `json:"filter_subject"`
}

// Connz lists connections.
type Connz struct {
	ID       string    `json:"server_id"`
	Now      time.Time `json:"now"`
	NumConns int       `json:"num_connections"`
	Total    int       `json:"total"` // of the state and account asked for
	Offset   int       `json:"offset"`
	Limit    int       `json:"limit"`
	Conns    ConnInfos `json:"connections"`
}

// ConnInfos is a list of connections.
type ConnInfos []*ConnInfo

var errFilterSubject = errors.New("filter by subject only valid with account filtering")

// check fills in what was left out and refuses what makes no sense.
func (o *ConnzOptions) check() error {
	if o.Sort == "" {
		o.Sort = ByCid
	}
	switch {
	case !o.Sort.IsValid():
		return fmt.Errorf("invalid sorting option: %s", o.Sort)
	case o.Sort.ended() && o.State != ConnClosed:
		return fmt.Errorf("sort by %s only valid on closed connections", o.Sort)
	case o.FilterSubject != "" && o.Account == "":
		return errFilterSubject
	}
	o.Offset, o.Limit = paging(o.Offset, o.Limit, DefaultConnListSize)
	if o.CID > 0 {
		o.Limit = 1
	}
	return nil
}

// Connz lists the connections that opts asks for; nil is all that are open. Open
// clients whose round trip is not known are pinged, so that a later answer has it.
func (m *Monitor) Connz(opts *ConnzOptions) (*Connz, error) {
	o := ConnzOptions{}
	if opts != nil {
		o = *opts
	}
	if err := o.check(); err != nil {
		return nil, err
	}
	z := &Connz{Now: m.now(), Offset: o.Offset, Limit: o.Limit}
	if o.Account != "" && m.c.Broker.LookupAccount(o.Account) == nil {
		return z, nil
	}
	z.ID = m.id()
	found := m.gather(z, &o)
	sortConns(found, o.Sort)
	from, to := window(len(found), o.Offset, o.Limit)
	z.Conns = make(ConnInfos, 0, to-from)
	for _, f := range found[from:to] {
		if f.client != nil {
			f.client.MeasureRTT()
		}
		z.Conns = append(z.Conns, m.connInfo(&f, &o))
	}
	z.NumConns = len(z.Conns)
	return z, nil
}

// found is a connection that may be listed.
type found struct {
	broker.ConnState
	client *broker.Client // nil when closed
}

// gather finds the connections that match, and counts the total.
func (m *Monitor) gather(z *Connz, o *ConnzOptions) []found {
	var out []found
	add := func(f found) {
		if o.Account != "" && (!f.bound() || f.Account != o.Account) {
			return
		}
		z.Total++
		if o.wants(&f) {
			out = append(out, f)
		}
	}
	if o.State == ConnOpen || o.State == ConnAll {
		for _, c := range m.c.Broker.Clients() {
			add(found{c.State(false), c})
		}
	}
	if o.State == ConnClosed || o.State == ConnAll {
		for _, s := range m.c.Broker.Closed() {
			add(found{ConnState: s})
		}
	}
	return out
}

// bound tells whether the connection belongs to an account. An open one that has
// not authenticated yet counts as the global account's; one that ended so does not.
func (f *found) bound() bool {
	return f.client != nil || f.Ident != nil && f.Ident.Account != ""
}

// wants judges what is not counted in the total.
func (o *ConnzOptions) wants(f *found) bool {
	switch {
	case o.CID > 0 && f.ID != o.CID, o.MQTTClient != "":
		return false
	case o.User != "" && (f.Ident == nil || f.Ident.User != o.User):
		return false
	case o.FilterSubject == "" || f.client == nil:
		return true
	}
	for _, s := range f.client.Subscriptions() {
		if subject.Valid(o.FilterSubject) && subject.Overlaps(s.Subject, o.FilterSubject) {
			return true
		}
	}
	return false
}

// subscriptions of a connection; closed ones remember theirs up to a number.
func (f *found) subscriptions() []*account.Subscription {
	if f.client != nil {
		return f.client.Subscriptions()
	}
	return f.Subs
}
