package sim

import (
	"fmt"
	"sort"
	"strings"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
)

// cleanState is what a server without clients holds.
type cleanState struct {
	subs map[string]int // by account
}

// markClean notes what the server holds before the first client comes.
func (w *World) markClean() { w.clean.subs = w.subsByAccount() }

func (w *World) subsByAccount() map[string]int {
	subs := make(map[string]int)
	for _, a := range w.process.server.Broker().Accounts() {
		if a.Name == jsAccount {
			continue // it has as many as there are streams
		}
		subs[a.Name] = a.TotalSubs()
	}
	return subs
}

// checkClean demands that nothing is left of clients that have gone.
func (w *World) checkClean() {
	if w.process == nil {
		return
	}
	b := w.process.server.Broker()
	if n := b.NumClients(); n != 0 {
		w.violate(core.Clean, "%d connections are left when all clients have gone", n)
	}
	if held := b.Held(); held != (broker.Held{}) {
		w.violate(core.Clean, "all clients have gone, and there are %d connections with %d subscriptions, %d stages, %d receivers that have gone, %d responses awaited",
			held.Clients, held.Subscriptions, held.Stages, held.Gone, held.Responses)
	}
	for _, a := range b.Accounts() {
		if n := a.NumConnections(); n != 0 {
			w.violate(core.Clean, "account %s counts %d connections when all clients have gone", a.Name, n)
		}
		if n, want := a.TotalSubs(), w.clean.subs[a.Name]; n != want && a.Name != jsAccount {
			w.violate(core.Clean, "account %s keeps %d subscriptions when all clients have gone, %d are the server's own", a.Name, n, want)
		}
	}
}

// audit compares what the server believes with what the clients do.
func (w *World) audit() {
	if w.process == nil || !w.allQuiet() {
		return
	}
	b := w.process.server.Broker()
	var want, have []string
	for _, c := range w.clients {
		peer := b.Client(c.id)
		if peer == nil {
			w.violate(core.Interest, "%s is connected as %d, which the server does not know", c.c, c.id)
			continue
		}
		for _, s := range c.live {
			want = append(want, entry(c.id, s.Subject, s.Queue, s.SID))
		}
		for _, s := range peer.Subscriptions() {
			have = append(have, entry(c.id, s.Subject, s.Queue, s.SID))
		}
	}
	w.compare("connections' subscriptions", want, have)
	w.compare("accounts' interest", want, w.indexed(b))
	w.recount(b)
	if held := b.Held(); held.Gone > 0 && w.js == nil { // whose clients still come and go
		w.violate(core.Clean, "publishers still refer in %d places to receivers that have gone", held.Gone)
	}
	w.note(clock.LevelFault, "audit: %d subscriptions compared", len(want))
}

// indexed lists what the accounts' indexes hold for the clients, but for what
// imports put there.
func (w *World) indexed(b *broker.Broker) []string {
	var have []string
	for _, a := range b.Accounts() {
		if a.Name == jsAccount {
			continue
		}
		a.Index().Walk(func(subject, queue string, s *account.Subscription) bool {
			if owner, ok := s.Owner.(*broker.Client); ok && s.Shadow == nil {
				have = append(have, entry(owner.ID(), subject, queue, s.SID))
			}
			return true
		})
	}
	return have
}

func entry(id uint64, subject, queue, sid string) string {
	return fmt.Sprintf("connection %d sid %s on %q queue %q", id, sid, subject, queue)
}

func (w *World) compare(what string, want, have []string) {
	sort.Strings(want)
	sort.Strings(have)
	var diff []string
	i, k := 0, 0
	for i < len(want) || k < len(have) {
		switch {
		case k == len(have) || i < len(want) && want[i] < have[k]:
			diff = append(diff, "missing: "+want[i])
			i++
		case i == len(want) || have[k] < want[i]:
			diff = append(diff, "left over: "+have[k])
			k++
		default:
			i, k = i+1, k+1
		}
	}
	if len(diff) > 0 {
		w.violate(core.Interest, "%s differ: %s", what, strings.Join(diff[:min(len(diff), 8)], "; "))
	}
}

// recount compares what the server counted for each connection with what its client
// sent and received.
func (w *World) recount(b *broker.Broker) {
	in, out := make(map[*core.Conn]int64), make(map[*core.Conn]int64)
	for _, p := range w.rec.h.Pubs {
		in[p.Conn]++
	}
	for _, d := range w.rec.h.Deliveries {
		if d.Status == 0 {
			out[d.Conn]++
		}
	}
	for _, c := range w.clients {
		peer := b.Client(c.id)
		if peer == nil {
			continue
		}
		w.recognize(c, peer)
		if s := peer.State(false); s.InMsgs != in[c.c] || s.OutMsgs != out[c.c] {
			w.violate(core.Health, "the server counts %d messages from %s and %d to it; it sent %d and received %d",
				s.InMsgs, c.c, s.OutMsgs, in[c.c], out[c.c])
		}
	}
}

// recognize demands that the server takes a client for who it is.
func (w *World) recognize(c *Client, peer *broker.Client) {
	s := peer.State(false)
	if s.Ident == nil || s.Ident.User != c.shownUser() || s.Account != c.account || (s.TLS != nil) != c.secure {
		w.violate(core.Health, "the server takes %s for user %q of account %s, TLS %v; it is user %q of account %s, TLS %v",
			c.c, identUser(s.Ident), s.Account, s.TLS != nil, c.shownUser(), c.account, c.secure)
	}
	if at := fmt.Sprintf("%s:%d", s.Host, s.Port); c.stated != "" && at != c.stated {
		w.violate(core.Health, "the server sees %s at %s, and its PROXY header said %s", c.c, at, c.stated)
	}
}

func identUser(i *broker.Ident) string {
	if i == nil {
		return ""
	}
	return i.User
}

// watchBounds demands that no connection has more queued than it may.
func (w *World) watchBounds() {
	if w.process == nil {
		return
	}
	for _, c := range w.process.server.Broker().Clients() {
		if n := c.State(false).Pending; n > w.plan.MaxPending {
			w.violate(core.Bound, "connection %d has %d bytes pending, above max_pending %d", c.ID(), n, w.plan.MaxPending)
		}
		if state := c.State(false); w.subsMax(state.Account) > 0 && state.NumSubs > w.subsMax(state.Account) {
			w.violate(core.Bound, "connection %d has %d subscriptions, above the account's limit of %d", c.ID(), state.NumSubs, w.subsMax(state.Account))
		}
	}
}

// subsMax is the limit of an account's connections; 0 is none.
func (w *World) subsMax(account string) int {
	for i := range w.rec.h.World.Accounts {
		if a := &w.rec.h.World.Accounts[i]; a.Name == account {
			return a.MaxSubs
		}
	}
	return 0
}
