package jetstream

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// What managers ask each other: of streams that another leads, and of what an account uses elsewhere.

// Kinds of frames between managers, beyond those of foundation.go.
const (
	frameQuestion = 0xf8
	frameReply    = 0xf9
)

const (
	// listWait is how long the streams of a list are waited for.
	listWait = 4 * time.Second
	// usageWait is how long the numbers of other servers are waited for.
	usageWait = time.Second
)

// question asks another server for the streams of an account that it leads, or, without names, what the account uses.
type question struct {
	ID      uint64   `json:"id"`
	Account string   `json:"account"`
	Streams []string `json:"streams,omitempty"`
}

// reply is the answer to a question.
type reply struct {
	ID      uint64            `json:"id"`
	Streams []*api.StreamInfo `json:"streams,omitempty"`
	Usage   *usage            `json:"usage,omitempty"`
}

// usage is what an account uses on a server. Memory and Store are bytes.
type usage struct {
	Memory    int64 `json:"memory"`
	Store     int64 `json:"store"`
	Consumers int64 `json:"consumers"`
	APITotal  int64 `json:"api_total"`
	APIErrors int64 `json:"api_errors"`
}

// colleagues is what is under way with other servers. It belongs to the manager's strand.
type colleagues struct {
	last      uint64
	inquiries map[uint64]*inquiry
	unled     time.Duration // monotonic: when the leader of the catalogue was lost, or the start
	refusing  int           // requests that wait to be refused
}

// inquiry waits for the replies of others.
type inquiry struct {
	left  []core.MemberID // who has not replied
	take  func(*reply)
	done  func()
	timer clock.Timer
}

// inquire asks each of the servers what ask has for it, and calls done once: when all have replied, or after wait.
func (m *Manager) inquire(to []core.MemberID, ask func(core.MemberID) question, wait time.Duration, take func(*reply), done func()) {
	c := &m.colleagues
	c.last++
	id := c.last
	q := &inquiry{take: take, done: done}
	for _, to := range to {
		o := ask(to)
		o.ID = id
		body, err := json.Marshal(&o)
		if err == nil && m.cluster.Lane.Send(to, append([]byte{frameQuestion}, body...)) {
			q.left = append(q.left, to)
		}
	}
	if len(q.left) == 0 {
		done()
		return
	}
	if c.inquiries == nil {
		c.inquiries = make(map[uint64]*inquiry)
	}
	c.inquiries[id] = q
	q.timer = m.strand.NewTimer(func() { m.task(func() { m.concluded(id) }) })
	q.timer.Reset(wait)
}

func (m *Manager) concluded(id uint64) {
	if q := m.colleagues.inquiries[id]; q != nil {
		delete(m.colleagues.inquiries, id)
		q.timer.Stop()
		q.done()
	}
}

// consulted takes what another server asks or replies.
func (m *Manager) consulted(from core.MemberID, p []byte) {
	if m.stopped {
		return
	}
	if p[0] == frameQuestion {
		var q question
		if json.Unmarshal(p[1:], &q) == nil {
			m.reply(from, &q)
		}
		return
	}
	var a reply
	if json.Unmarshal(p[1:], &a) != nil {
		return
	}
	q := m.colleagues.inquiries[a.ID]
	if q == nil || !slices.Contains(q.left, from) {
		return
	}
	q.left = slices.DeleteFunc(q.left, func(id core.MemberID) bool { return id == from })
	m.task(func() {
		q.take(&a)
		if len(q.left) == 0 {
			m.concluded(a.ID)
		}
	})
}

// reply answers a question of another server.
func (m *Manager) reply(to core.MemberID, q *question) {
	a := &reply{ID: q.ID}
	send := func() {
		if body, err := json.Marshal(a); err == nil {
			m.cluster.Lane.Send(to, append([]byte{frameReply}, body...))
		}
	}
	t := m.accounts[q.Account]
	switch {
	case t == nil:
		send()
	case len(q.Streams) == 0:
		a.Usage = t.used()
		send()
	default:
		var streams []*stream.Stream
		for _, name := range q.Streams {
			if mem := t.streams[name]; mem != nil && mem.s != nil && mem.leads {
				streams = append(streams, mem.s)
			}
		}
		m.report(streams, func(list []*api.StreamInfo) {
			a.Streams = list
			send()
		})
	}
}

// report gathers what streams that this server leads say of themselves, with their configurations as they are kept.
func (m *Manager) report(streams []*stream.Stream, done func([]*api.StreamInfo)) {
	list := make([]*api.StreamInfo, len(streams))
	left := len(streams) + 1
	one := func() {
		if left--; left == 0 {
			done(slices.DeleteFunc(list, func(i *api.StreamInfo) bool { return i == nil }))
		}
	}
	for i, s := range streams {
		s.Do(m.strand, func() {
			var info *api.StreamInfo
			if s.Leads() {
				v := s.Info()
				v.Config = *s.Config()
				info = &v
			}
			m.strand.PostFrom(s.Strand(), func() {
				list[i] = info
				m.task(one)
			})
		})
	}
	one()
}

// used is what the account uses on this server.
func (t *tenant) used() *usage {
	return &usage{
		Memory: t.usage.Used(api.MemoryStorage), Store: t.usage.Used(api.FileStorage), Consumers: t.usage.Served(),
		APITotal: t.apiTotal.Load(), APIErrors: t.apiErrors.Load(),
	}
}

// listElsewhere fills in the streams that others lead, by asking whoever of them is there.
func (m *Manager) listElsewhere(g *gather, names []string, from int) {
	ask := make(map[core.MemberID][]string)
	var servers []core.MemberID
	place := make(map[string]int)
	for i, name := range names[from:] {
		mem := g.r.t.streams[name]
		if mem.s != nil && mem.leads || i >= len(g.infos) {
			continue
		}
		place[name] = i
		for _, p := range mem.asset.Places {
			if slices.Contains(m.cluster.present, p.ID) {
				if ask[p.ID] == nil {
					servers = append(servers, p.ID)
				}
				ask[p.ID] = append(ask[p.ID], name)
			}
		}
	}
	if len(place) == 0 {
		g.done()
		return
	}
	m.inquire(servers, func(id core.MemberID) question { return question{Account: g.r.t.name, Streams: ask[id]} }, listWait, func(a *reply) {
		for _, info := range a.Streams {
			if info == nil {
				continue
			}
			if i, ok := place[info.Config.Name]; ok {
				g.infos[i] = info
			}
		}
	}, func() {
		for i, name := range names[from : from+len(g.infos)] {
			if _, ok := place[name]; ok && g.infos[i] == nil {
				g.resp.Missing = append(g.resp.Missing, name)
			}
		}
		g.done()
	})
}

// accountInfoOfAll answers what the account uses on all servers.
func (m *Manager) accountInfoOfAll(r *request) {
	stats := m.accountStats(r.t)
	stats.Consumers = int(r.t.usage.Served())
	m.inquire(slices.Clone(m.cluster.present), func(core.MemberID) question { return question{Account: r.t.name} }, usageWait, func(a *reply) {
		if u := a.Usage; u != nil {
			stats.Memory += uint64(u.Memory)
			stats.Store += uint64(u.Store)
			stats.Consumers += int(u.Consumers)
			stats.API.Total += uint64(u.APITotal)
			stats.API.Errors += uint64(u.APIErrors)
		}
	}, func() {
		r.respond(&api.AccountInfoResponse{ApiResponse: r.head(), JetStreamAccountStats: &stats})
	})
}
