package jetstream

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// asset is a stream as the catalogue knows it.
type asset struct {
	Account     string            `json:"account"`
	Group       uint64            `json:"group"`
	Incarnation uint64            `json:"incarnation"`
	Created     time.Time         `json:"created"`
	Config      *api.StreamConfig `json:"config"`
	// Of a stream of several servers: who holds it, and who leads first.
	Places []place       `json:"places,omitempty"`
	Leader core.MemberID `json:"leader,omitempty"`
	// Round counts the changes of Places. While Moving is set one is under way, and Leaving are those that hold the
	// stream until it is done.
	Round   uint32  `json:"round,omitempty"`
	Moving  bool    `json:"moving,omitempty"`
	Leaving []place `json:"leaving,omitempty"`
}

func (a *asset) name() string { return a.Config.Name }

// take makes the asset what an update says.
func (a *asset) take(o *asset) {
	a.Config = o.Config
	if o.Round > a.Round { // an update of anything else may be older than the end of a move
		a.Places, a.Leader, a.Round, a.Moving, a.Leaving = o.Places, o.Leader, o.Round, o.Moving, o.Leaving
	}
}

// facts are what the catalogue knows of a server.
type facts struct {
	Name    string   `json:"name"`
	Cluster string   `json:"cluster"`
	Tags    []string `json:"tags,omitempty"`
	// Memory and Store are the bytes that streams may have there; below zero: without limit.
	Memory int64 `json:"memory"`
	Store  int64 `json:"store"`
	// MaxAssets bounds the replicated streams that it holds; 0 is no bound.
	MaxAssets int `json:"max_assets,omitempty"`
	// Removed is when it was taken out of the cluster; nil: it is part of it.
	Removed *time.Time `json:"removed,omitempty"`
}

// equal tells whether nothing has changed.
func (f *facts) equal(o *facts) bool {
	return f.Name == o.Name && f.Cluster == o.Cluster && slices.Equal(f.Tags, o.Tags) && f.Memory == o.Memory && f.Store == o.Store &&
		f.MaxAssets == o.MaxAssets && (f.Removed == nil) == (o.Removed == nil)
}

// change is an entry of the catalogue's log.
type change struct {
	// create, update, delete; claim: its group is used, without the stream being there; moved: Places hold the stream, and no
	// others any more; renew: it begins anew, empty; server: Facts are Server's
	Op     string        `json:"op"`
	Asset  *asset        `json:"asset,omitempty"`
	Ask    *ask          `json:"ask,omitempty"` // for the server that leads the stream to answer
	Server core.MemberID `json:"server,omitempty"`
	Facts  *facts        `json:"facts,omitempty"`
}

// whole tells whether nothing is missing.
func (ch *change) whole() bool {
	if ch.Op == "server" {
		return ch.Facts != nil && ch.Server != 0
	}
	return ch.Asset != nil && ch.Asset.Config != nil
}

// catalogue is the state of the meta group: which streams exist. It changes only by
// committed entries, and nothing else creates or deletes a stream.
type catalogue struct {
	Next   uint64            `json:"next"` // the next group
	Assets map[string]*asset `json:"assets"`
	Latest time.Time         `json:"latest"` // creation of the stream that was made last, there or not
	// Servers are those that are or were part of the cluster.
	Servers map[core.MemberID]*facts `json:"servers,omitempty"`
}

// firstGroup is the group of the first stream; 1 is the meta group's.
const (
	metaGroup  = 1
	firstGroup = 2
)

func newCatalogue() *catalogue {
	return &catalogue{Next: firstGroup, Assets: make(map[string]*asset), Servers: make(map[core.MemberID]*facts)}
}

// assetKey cannot be ambiguous: neither name holds a blank.
func assetKey(account, stream string) string { return account + " " + stream }

func (c *catalogue) find(account, stream string) *asset { return c.Assets[assetKey(account, stream)] }

// all gives the assets by account and name.
func (c *catalogue) all() []*asset {
	list := make([]*asset, 0, len(c.Assets))
	for _, a := range c.Assets { //lockstep:ordered sorted below
		list = append(list, a)
	}
	slices.SortFunc(list, func(a, b *asset) int { //lockstep:total account and name are unique together
		return strings.Compare(assetKey(a.Account, a.name()), assetKey(b.Account, b.name()))
	})
	return list
}

// apply carries a change out.
func (c *catalogue) apply(ch *change) {
	if ch.Op == "server" {
		c.Servers[ch.Server] = ch.Facts
		return
	}
	key := assetKey(ch.Asset.Account, ch.Asset.name())
	switch ch.Op {
	case "create":
		c.Next = max(c.Next, ch.Asset.Group+1)
		if a := c.Assets[key]; a == nil || a.Group == ch.Asset.Group {
			c.Assets[key], c.Latest = ch.Asset, ch.Asset.Created
		}
	case "claim":
		c.Next = max(c.Next, ch.Asset.Group+1)
	case "update":
		if a := c.Assets[key]; a != nil && a.Group == ch.Asset.Group {
			a.take(ch.Asset)
		}
	case "renew":
		if a := c.Assets[key]; a != nil {
			a.renew(ch.Asset) // nothing, when it was enacted here
		}
	case "moved":
		if a := c.Assets[key]; a != nil && a.Group == ch.Asset.Group && a.Round == ch.Asset.Round {
			a.Moving, a.Leaving = false, nil
		}
	case "delete":
		if a := c.Assets[key]; a != nil && a.Group == ch.Asset.Group {
			delete(c.Assets, key)
		}
	}
}

// creation is when a stream that is made now counts as made. Who copies a stream tells it by that from an
// earlier one of its name, so no two share it, though the clock stands still.
func (c *catalogue) creation(now time.Time) time.Time {
	if ahead := c.Latest.Sub(now); ahead >= 0 && ahead < time.Second {
		now = c.Latest.Add(1)
	}
	c.Latest = now
	return now
}

// metaTag is what waits for a change.
type metaTag struct {
	change *change
	done   func()
}

// meta is the [raft.Machine] of the catalogue.
type meta struct{ m *Manager }

func (t meta) Restore(state []byte, done func(error)) {
	if state != nil {
		c := newCatalogue()
		if err := json.Unmarshal(state, c); err != nil {
			done(fmt.Errorf("catalogue of streams: %w", err))
			return
		}
		t.m.catalogue = c
		if t.m.cluster != nil {
			t.m.learnNames()
		}
	}
	done(nil)
}

func (t meta) Apply(e *raft.Entry) bool {
	tag, _ := e.Tag.(*metaTag)
	ch := &change{}
	if tag != nil {
		ch = tag.change
	} else if err := json.Unmarshal(e.Payload, ch); err != nil || !ch.whole() {
		t.m.broken(fmt.Errorf("catalogue of streams: entry %d cannot be read: %v", e.Index, err))
		return true
	}
	if c := t.m.cluster; c != nil {
		if ch.Asset != nil {
			t.m.task(func() { t.m.enact(ch, e.Index > c.old) })
		}
		c.foundation.member()
	}
	t.m.catalogue.apply(ch)
	if ch.Op == "server" {
		t.m.enactServer(ch)
	}
	if tag != nil && tag.done != nil {
		tag.done()
	}
	return true
}

func (t meta) Applied(replayed bool) {
	if replayed {
		t.m.catalogued()
	}
}

func (t meta) Checkpoint(done func([]byte, error)) {
	state, err := json.Marshal(t.m.catalogue)
	done(state, err)
}

func (t meta) Checkpointed([]byte) {}

func (t meta) Failed(err error) { t.m.broken(err) }

// commitRetry is when a change is proposed again that found no room in the log.
const commitRetry = time.Second

// commit proposes a change; done is called when it is in force. Where the disk is full the
// change waits for space.
func (m *Manager) commit(ch *change, done func()) {
	payload, err := json.Marshal(ch)
	if err == nil {
		err = m.group.Propose(payload, &metaTag{ch, done}, raft.Prompt)
	}
	switch {
	case err == nil:
	case errors.Is(err, raft.ErrNotLeader): // who asked asks again
	case errors.Is(err, raft.ErrBusy), errors.Is(err, raft.ErrFull):
		m.strand.NewTimer(func() { m.commit(ch, done) }).Reset(commitRetry)
	default:
		m.broken(err)
	}
}
