package monitor

import (
	"fmt"
	"strconv"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/subject"
)

// DefaultSubListSize is how many subscriptions an answer has when nothing is said.
const DefaultSubListSize = 1024

// SubszOptions says whether and which subscriptions are wanted beside the counters.
type SubszOptions struct {
	Offset        int    `json:"offset"`
	Limit         int    `json:"limit"` // 0 or less: DefaultSubListSize
	Subscriptions bool   `json:"subscriptions"`
	Account       string `json:"account,omitempty"`
	// Test keeps the subscriptions that a message on this subject would reach.
	Test string `json:"test,omitempty"`
}

// SublistStats are the counters of subscription indexes.
type SublistStats struct {
	NumSubs      uint32  `json:"num_subscriptions"`
	NumCache     uint32  `json:"num_cache"`
	NumInserts   uint64  `json:"num_inserts"`
	NumRemoves   uint64  `json:"num_removes"`
	NumMatches   uint64  `json:"num_matches"`
	CacheHitRate float64 `json:"cache_hit_rate"`
	MaxFanout    uint32  `json:"max_fanout"`
	AvgFanout    float64 `json:"avg_fanout"`
}

// Subsz is the state of the subscription indexes.
type Subsz struct {
	ID  string    `json:"server_id"`
	Now time.Time `json:"now"`
	*SublistStats
	Total  int         `json:"total"` // of subscriptions that match, when they are asked for
	Offset int         `json:"offset"`
	Limit  int         `json:"limit"`
	Subs   []SubDetail `json:"subscriptions_list,omitempty"`
}

func sublistStats(s subject.Stats) *SublistStats {
	return &SublistStats{
		NumSubs: uint32(s.Subscriptions), NumCache: uint32(s.Cached), NumInserts: s.Inserts, NumRemoves: s.Removes,
		NumMatches: s.Matches, CacheHitRate: s.HitRate(), MaxFanout: uint32(s.FanoutMax), AvgFanout: s.FanoutAvg(),
	}
}

// Subsz sums the counters of all accounts, or of the one asked for; an unknown
// account has none.
func (m *Monitor) Subsz(opts *SubszOptions) (*Subsz, error) {
	o := SubszOptions{}
	if opts != nil {
		o = *opts
	}
	if o.Test != "" && !subject.ValidLiteral(o.Test) {
		return nil, fmt.Errorf("invalid test subject, must be valid publish subject: %s", o.Test)
	}
	o.Offset, o.Limit = paging(o.Offset, o.Limit, DefaultSubListSize)
	z := &Subsz{ID: m.id(), Now: m.now(), Offset: o.Offset, Limit: o.Limit}
	var sum subject.Stats
	for _, a := range m.c.Broker.Accounts() {
		if o.Account != "" && a.Name != o.Account {
			continue
		}
		sum = sum.Add(a.Index().Stats())
		if o.Subscriptions {
			listSubs(z, a, &o)
		}
	}
	z.SublistStats = sublistStats(sum)
	return z, nil
}

// listSubs adds the account's subscriptions that match and fall into the page.
func listSubs(z *Subsz, a *account.Account, o *SubszOptions) {
	internal := 0
	a.Index().Walk(func(subj, _ string, s *account.Subscription) bool {
		if s.Owner == nil {
			internal++
		}
		if o.Test != "" && !subject.Matches(o.Test, subj) {
			return true
		}
		z.Total++
		if z.Total > o.Offset && len(z.Subs) < o.Limit {
			z.Subs = append(z.Subs, listedSub(a, s, internal))
		}
		return true
	})
}

// listedSub describes a subscription of an account's index. Internal ones have no
// sid of their own and are numbered; a shadow belongs to the importing account.
func listedSub(a *account.Account, s *account.Subscription, number int) SubDetail {
	d := SubDetail{Account: a.Name, Subject: s.Subject, Queue: s.Queue, Sid: s.SID}
	if s.Owner == nil {
		d.Sid = strconv.Itoa(number)
	} else {
		d.Cid = s.Owner.ID()
	}
	if c, ok := s.Owner.(*broker.Client); ok {
		d.Msgs, d.Max = c.Delivered(s)
		if s.Shadow != nil {
			d.Account = c.AccountName()
		}
	}
	d.AccountTag = d.Account
	return d
}
