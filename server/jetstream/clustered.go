package jetstream

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/raft/core"
)

// Cluster is what a Manager needs to be one of several.
type Cluster struct {
	Self core.MemberID
	// Name is that of the cluster.
	Name func() string
	Lane raft.Lane
	// Attach has the manager told of other servers and what they send. It is called once, when it can hear that.
	Attach func(*Manager)
	// Expected is how many servers the configuration names, this one included.
	Expected int
}

// clustered is what a manager of several knows beyond one of one. It belongs to the manager's strand.
type clustered struct {
	Cluster
	foundation *foundation
	server     string          // this server's name
	present    []core.MemberID // servers that are reached
	mu         sync.Mutex      // guards names
	names      map[core.MemberID]string
	leads      bool          // this server leads the catalogue's group
	leader     core.MemberID // of it; 0: not known
	// next is the first group that no proposal of this leadership has taken.
	next uint64
	// old is the last entry of the log that an earlier process may have seen.
	old uint64
	// known are the groups of which the log had something at the start.
	known map[raft.ID]bool
	// telling is when this server's facts are told again, as long as the catalogue has others; moving is when the changes
	// of places that are under way are looked at.
	telling, moving clock.Timer
	// removing asked for the removal of removed, which is under way.
	removing *request
	losing   clock.Timer             // when streams that were forgotten are told again
	lost     map[uint64]*lostReports // by group
	removed  core.MemberID
}

// ask is a request that another server may have to answer than the one that took it.
type ask struct {
	Subject string              `json:"subject"`
	Reply   string              `json:"reply,omitempty"`
	Header  []byte              `json:"header,omitempty"`
	Body    []byte              `json:"body,omitempty"`
	ID      string              `json:"id"`
	Client  *account.ClientInfo `json:"client,omitempty"`
}

// ask makes a request portable.
func (r *request) ask() *ask {
	return &ask{Subject: r.text, Reply: r.reply, Header: r.header, Body: r.body, ID: r.id, Client: r.info}
}

// request makes a request of what another server took.
func (a *ask) request(m *Manager, t *tenant) *request {
	call, _ := api.ParseCall(a.Subject)
	return &request{Call: call, m: m, t: t, text: a.Subject, reply: a.Reply, header: a.Header, body: a.Body, id: a.ID, info: a.Client}
}

// place is a server that holds a stream, in the life that it had when it was given it.
type place struct {
	ID core.MemberID `json:"id"`
	// Life is 0 once the places have changed: whoever has nothing of the stream then is let in by who has.
	Life core.Life `json:"life"`
	// Round is that of the asset when the server got its place.
	Round uint32 `json:"round,omitempty"`
}

// placed tells whether a server is among places.
func placed(list []place, id core.MemberID) bool {
	return slices.ContainsFunc(list, func(p place) bool { return p.ID == id })
}

// holds tells whether a server holds the stream, though it may be about to leave.
func (a *asset) holds(id core.MemberID) bool { return placed(a.Places, id) || placed(a.Leaving, id) }

// logID is what this server's log calls a stream's group, if it holds it.
func (m *Manager) logID(a *asset) raft.ID {
	id := raft.ID{Group: a.Group, Incarnation: a.Incarnation}
	if m.cluster == nil {
		return id
	}
	for _, list := range [...][]place{a.Places, a.Leaving} {
		for _, p := range list {
			if p.ID == m.cluster.Self {
				id.Incarnation |= uint64(p.Round) << 32
			}
		}
	}
	return id
}

// members says how this server takes part in a stream's group: it creates it with the others if it is the one
// that was given it, and comes to it later if it has forgotten since.
func (m *Manager) members(a *asset) *raft.Members {
	o := &raft.Members{Leader: a.Leader} // nobody is preferred later: who is told to step down stays away
	for _, p := range a.Places {
		o.Voters = append(o.Voters, p.ID)
		if p.ID == m.cluster.Self && p.Life != m.group.Life() && !m.cluster.known[m.logID(a)] {
			o.Forgot = true
		}
	}
	if !placed(a.Places, m.cluster.Self) && !m.cluster.known[m.logID(a)] {
		o.Forgot = true
	}
	slices.Sort(o.Voters)
	if o.Forgot {
		o.Voters, o.Leader = nil, 0
	}
	return o
}

// role follows what this server is to a stream.
type role struct {
	m *Manager
	t *tenant
	a *asset
}

// Leads is part of [stream.Role].
func (o role) Leads(s *stream.Stream) {
	o.m.strand.PostFrom(s.Strand(), func() {
		o.m.task(func() {
			if mem := o.member(s); mem != nil {
				mem.leads = true
				o.m.serves(o.t, mem)
				o.m.tendPlaces()
			}
		})
	})
}

// Follows is part of [stream.Role].
func (o role) Follows(s *stream.Stream, leader core.MemberID) {
	o.m.strand.PostFrom(s.Strand(), func() {
		if mem := o.member(s); mem != nil {
			mem.leads, mem.leader = false, leader
			if leader == 0 {
				o.m.tendLost()
			}
		}
	})
}

// Resigned is part of [stream.Role]: the stream is opened again, as one that follows.
func (o role) Resigned(s *stream.Stream) {
	o.m.strand.PostFrom(s.Strand(), func() {
		o.m.task(func() {
			mem := o.member(s)
			if mem == nil || o.m.stopped || o.m.catalogue.find(o.a.Account, o.a.name()) != mem.asset || !mem.asset.holds(o.m.cluster.Self) {
				return
			}
			mem.leads, mem.leader = false, 0
			o.m.openStream(o.t, mem.asset, false, o.m.openedHere)
		})
	})
}

// member is the tenant's of that stream, unless it has another now.
func (o role) member(s *stream.Stream) *member {
	if mem := o.t.streams[o.a.name()]; mem != nil && mem.s == s {
		return mem
	}
	return nil
}

// serves has a stream that this server leads from now on do what the catalogue says, and answers who asked for it.
func (m *Manager) serves(t *tenant, mem *member) {
	s, cfg := mem.s, mem.asset.Config
	asked, created := mem.asked, mem.created
	mem.asked, mem.created = nil, false
	s.Do(m.strand, func() {
		if !s.Leads() {
			return
		}
		answer := func() {
			if asked != nil {
				m.answerAsked(asked.request(m, t), s)
			}
		}
		if s.Config().Equal(cfg) {
			answer()
			return
		}
		s.Update(cfg, answer)
	})
	if created {
		t.advise("$JS.EVENT.ADVISORY.STREAM.CREATED."+cfg.Name, m.streamAction(cfg.Name, "create"))
	}
}

// answerAsked answers a create or update, on the stream's strand.
func (m *Manager) answerAsked(r *request, s *stream.Stream) {
	info := s.Info()
	r.respondBy(s.Sender(), &api.StreamCreateResponse{ApiResponse: r.head(), StreamInfo: &info, DidCreate: r.Endpoint == api.EndpointStreamCreate})
}

// task runs fn as one of the manager's.
func (m *Manager) task(fn func()) {
	m.now = m.cfg.Clock.Now()
	fn()
	m.flush()
}

// Led is part of [raft.Replica].
func (t meta) Led(core.Term) {
	c := t.m.cluster
	c.leads, c.leader = true, c.Self
	c.next = t.m.catalogue.Next
	t.m.tell()
}

// Followed is part of [raft.Replica].
func (t meta) Followed(leader core.MemberID) {
	c := t.m.cluster
	t.m.noteLeader(c.leader, leader)
	c.leader = leader
	if c.leads {
		c.leads = false
		t.m.forsake()
	}
	t.m.tell()
}

// Unsure is part of [raft.Replica].
func (t meta) Unsure(any) {}

// forsake gives up what was proposed and is not known to be committed: who asked hears nothing, and asks again.
func (m *Manager) forsake() {
	for _, t := range m.order {
		t.pending = make(map[string][]func())
		t.epoch++
		for _, name := range t.sorted() {
			if mem := t.streams[name]; mem.proposed {
				delete(t.streams, name)
				t.reserve(mem.asset.Config, -1)
			}
		}
	}
}

// Snapshot is part of [raft.Replica].
func (t meta) Snapshot(done func(raft.Snapshot, error)) {
	state, err := json.Marshal(t.m.catalogue)
	if err != nil {
		done(nil, err)
		return
	}
	done(wholeSnapshot(state), nil)
}

// wholeSnapshot is one that memory holds.
type wholeSnapshot []byte

func (p wholeSnapshot) Read(offset uint64, size int, done func(p []byte, last bool, err error)) {
	from := min(offset, uint64(len(p)))
	to := min(from+uint64(size), uint64(len(p)))
	done(p[from:to], to == uint64(len(p)), nil)
}

func (p wholeSnapshot) Close() {}

// Up tells that another server is reached. Any strand.
func (m *Manager) Up(id core.MemberID, name string) {
	c := m.cluster
	c.mu.Lock()
	c.names[id] = name
	c.mu.Unlock()
	m.strand.Post(func() {
		if !slices.Contains(c.present, id) {
			c.present = append(c.present, id)
		}
		if m.host != nil {
			m.host.PeerUp(id)
		}
		if f := c.foundation; f != nil && f.node != nil {
			f.node.Up(id, name)
			f.tend()
		}
		m.tell()
	})
}

// Down tells that another server is not reached any more. Any strand.
func (m *Manager) Down(id core.MemberID) {
	m.strand.Post(func() {
		c := m.cluster
		c.present = slices.DeleteFunc(c.present, func(o core.MemberID) bool { return o == id })
		if m.host != nil {
			m.host.PeerDown(id)
		}
		if f := c.foundation; f != nil && f.node != nil {
			f.node.Down(id)
			f.tend()
		}
	})
}

// Frame takes what another server sent; p is not kept. Any strand.
func (m *Manager) Frame(from core.MemberID, p []byte) {
	if len(p) == 0 {
		return
	}
	switch p[0] {
	case frameQuestion, frameReply:
		p = slices.Clone(p)
		m.strand.Post(func() { m.consulted(from, p) })
	case frameFacts, frameMoved, frameLost:
		p = slices.Clone(p)
		m.strand.Post(func() { m.told(from, p) })
	case frameFounding, frameJoin:
		p = slices.Clone(p)
		m.strand.Post(func() {
			f := m.cluster.foundation
			switch {
			case f == nil || f.node == nil || m.stopped:
			case p[0] == frameJoin:
				f.letIn(from, p[1:])
			default:
				f.node.Message(from, p[1:])
				f.tend()
			}
		})
	default:
		if h := m.served.Load(); h != nil {
			h.Frame(from, p)
		}
	}
}

// nameOf is what a server is called. Any strand.
func (c *clustered) nameOf(id core.MemberID) string {
	if id == c.Self {
		return c.server
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if name := c.names[id]; name != "" {
		return name
	}
	return "Server name unknown at this time (peerID: " + stream.PeerID(id) + ")"
}

// catalogueInstall takes the catalogue of another server.
type catalogueInstall struct {
	m *Manager
	p []byte
}

// Install is part of [raft.Replica].
func (t meta) Install() raft.Installer { return &catalogueInstall{m: t.m} }

func (x *catalogueInstall) Write(_ uint64, p []byte, done func(error)) {
	x.p = append(x.p, p...)
	done(nil)
}

func (x *catalogueInstall) Finish(done func([]byte, error)) {
	c := newCatalogue()
	if err := json.Unmarshal(x.p, c); err != nil {
		done(nil, fmt.Errorf("catalogue of another server: %w", err))
		return
	}
	x.m.task(func() { x.m.turn(c) })
	done(x.p, nil)
}

func (x *catalogueInstall) Abort() { x.p = nil }

// turn makes the catalogue another one, as if each change had come by itself.
func (m *Manager) turn(c *catalogue) {
	was := m.catalogue
	for _, a := range was.all() {
		if now := c.find(a.Account, a.name()); now == nil || now.Group != a.Group {
			m.enact(&change{Op: "delete", Asset: a}, false)
		}
	}
	for _, a := range c.all() {
		if old := was.find(a.Account, a.name()); old != nil && old.Group == a.Group {
			m.enact(&change{Op: "update", Asset: a}, false)
			old.take(a)
			c.Assets[assetKey(a.Account, a.name())] = old
			continue
		}
		m.enact(&change{Op: "create", Asset: a}, false)
	}
	m.catalogue = c
	m.learnNames()
	if f := m.cluster.foundation; f != nil {
		f.member()
	}
}
