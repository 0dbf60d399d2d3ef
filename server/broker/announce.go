package broker

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/wire"
)

// Announcer tells other servers of this server's interest: what is new, at the latest, before
// any message that whoever is interested publishes afterwards, and everything to a server that
// has just come. Changes are collected, so that what comes and goes at once costs nobody
// anything. Methods may be called from any strand.
type Announcer struct {
	b      *Broker
	strand clock.Strand
	task   func()

	// waiting counts the ledgers that are noted or being told. It is 0 only when all that
	// was changed before is queued with the links.
	waiting atomic.Int64
	noting  sync.Mutex // held across no call out
	noted   []*ledger

	mu      sync.Mutex // held across no call out but writes to links, which only queue
	ledgers []*ledger  // by account name
	links   []*listener
	changes []account.Change
	buf     []byte
}

// ledger is what others are told of one account.
type ledger struct {
	acc   *account.Account
	tally *account.Tally
	noted bool // guarded by noting
	shut  bool // guarded by mu: the account is gone
}

// listener is a link that is told of changes.
type listener struct {
	link    *Link
	wants   func(account string) bool
	imports *perm.Set
	knows   map[*ledger]bool
}

// NewAnnouncer makes the server's announcer, and has interest counted from now on. There is
// one for a broker.
func (b *Broker) NewAnnouncer() *Announcer {
	a := &Announcer{b: b, strand: b.clock.NewStrand("announcer")}
	a.task = a.settle
	b.accounts.mu.Lock()
	b.announcer.Store(a)
	b.accounts.mu.Unlock()
	for _, acc := range b.Accounts() {
		a.open(acc)
	}
	return a
}

// announce has everything told to other servers that is not yet.
func (b *Broker) announce() {
	if a := b.announcer.Load(); a != nil && a.waiting.Load() > 0 {
		a.settle()
	}
}

// ours tells whether a subscription is interest of this server itself.
func ours(s *account.Subscription) bool {
	if s.Service != nil {
		return false
	}
	_, away := linkOf(s)
	return !away
}

// open begins to count the interest of an account, once.
func (a *Announcer) open(acc *account.Account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, _ := slices.BinarySearchFunc(a.ledgers, acc.Name, func(l *ledger, name string) int { return strings.Compare(l.acc.Name, name) })
	if at < len(a.ledgers) && a.ledgers[at].acc == acc {
		return
	}
	l := &ledger{acc: acc}
	a.ledgers = slices.Insert(a.ledgers, at, l)
	for _, to := range a.links {
		if to.wants(acc.Name) {
			to.knows[l] = true
		}
	}
	l.tally = acc.StartTally(ours, func() { a.note(l) })
}

// shut ends the interest of an account that is gone.
func (a *Announcer) shut(acc *account.Account) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drain()
	i := slices.IndexFunc(a.ledgers, func(l *ledger) bool { return l.acc == acc })
	if i < 0 {
		return
	}
	l := a.ledgers[i]
	l.tally.Stop()
	l.shut = true
	a.ledgers = slices.Delete(a.ledgers, i, i+1)
	told := l.tally.Told()
	for i := range told {
		told[i].Weight = 0
	}
	for _, to := range a.links {
		a.tell(to, l, told)
		delete(to.knows, l)
	}
}

// note lists an account that has changed. It runs on the strand of whoever changed it, with
// locks of the account held.
func (a *Announcer) note(l *ledger) {
	a.noting.Lock()
	first := len(a.noted) == 0
	if !l.noted {
		l.noted = true
		a.noted = append(a.noted, l)
		a.waiting.Add(1)
	}
	a.noting.Unlock()
	if first {
		a.strand.Post(a.task)
	}
}

// settle tells what has changed.
func (a *Announcer) settle() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drain()
}

// drain is settle with the lock held.
func (a *Announcer) drain() {
	a.noting.Lock()
	noted := a.noted
	a.noted = nil
	for _, l := range noted {
		l.noted = false
	}
	a.noting.Unlock()
	for _, l := range noted {
		a.changes = l.tally.Take(a.changes[:0])
		if l.shut || len(a.changes) == 0 {
			continue
		}
		for _, to := range a.links {
			a.tell(to, l, a.changes)
		}
	}
	clear(a.changes)
	if cap(a.changes) > announceKeep {
		a.changes = nil
	}
	a.waiting.Add(-int64(len(noted)))
}

const (
	announceKeep = 4096    // changes whose space is kept
	announceMax  = 1 << 20 // bytes that are written to a link at once
)

// tell writes changes of an account to a link, if it is to know of them.
func (a *Announcer) tell(to *listener, l *ledger, changes []account.Change) {
	if len(changes) == 0 || !to.knows[l] {
		return
	}
	a.write(to, l.acc.Name, changes, nil)
}

// write tells a link of changes that its imports allow and that except, if there is any, did not.
func (a *Announcer) write(to *listener, name string, changes []account.Change, except *perm.Set) {
	link := to.link
	if link.o.Account != nil {
		name = ""
	}
	a.buf = a.buf[:0]
	for i := range changes {
		c := &changes[i]
		if !to.imports.CanPublishString(c.Subject) || except != nil && except.CanPublishString(c.Subject) {
			continue
		}
		at := len(a.buf)
		if c.Weight > 0 {
			a.buf = wire.AppendRSub(a.buf, name, c.Subject, c.Queue, c.Weight)
		} else {
			a.buf = wire.AppendRUnsub(a.buf, name, c.Subject, c.Queue)
		}
		if a.b.log.Trace() {
			link.traceOut(a.buf[at : len(a.buf)-2])
		}
		if len(a.buf) > announceMax {
			link.write(a.buf)
			a.buf = a.buf[:0]
		}
	}
	if len(a.buf) > 0 {
		link.write(a.buf)
	}
	link.conn.Flush()
	if cap(a.buf) > 2*announceMax {
		a.buf = nil
	}
}

// Add tells a link of the present interest in the accounts that it wants, as far as imports
// allow (nil: all), and from then on of every change, until Remove or the link's Close. wants
// must be pure.
func (a *Announcer) Add(l *Link, wants func(account string) bool, imports *perm.Set) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drain() // the others know what this one is about to hear
	to := &listener{link: l, wants: wants, imports: imports, knows: make(map[*ledger]bool)}
	a.links = append(a.links, to)
	a.introduce(to)
}

// introduce tells a link of the accounts that it wants and does not know, and forgets
// those that it wants no more.
func (a *Announcer) introduce(to *listener) {
	for _, l := range a.ledgers {
		switch wants := to.wants(l.acc.Name); {
		case !wants:
			delete(to.knows, l)
		case !to.knows[l]:
			to.knows[l] = true
			a.tell(to, l, l.tally.Told())
		}
	}
}

// Remove tells a link nothing more.
func (a *Announcer) Remove(l *Link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.links = slices.DeleteFunc(a.links, func(to *listener) bool { return to.link == l })
}

// Rewant follows a change of what a link wants: it is told of accounts that are new to it.
// Those that it wants no more are not taken back: the other server drops them by itself.
func (a *Announcer) Rewant(l *Link) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drain()
	if i := slices.IndexFunc(a.links, func(to *listener) bool { return to.link == l }); i >= 0 {
		a.introduce(a.links[i])
	}
}

// SetImports changes which interest a link is told of, and tells it of what is newly allowed.
// What is no longer allowed is not taken back.
func (a *Announcer) SetImports(l *Link, imports *perm.Set) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.drain()
	i := slices.IndexFunc(a.links, func(to *listener) bool { return to.link == l })
	if i < 0 {
		return
	}
	to := a.links[i]
	was := to.imports
	to.imports = imports
	if !was.RestrictsPublish() {
		return
	}
	for _, led := range a.ledgers {
		if to.knows[led] {
			a.write(to, led.acc.Name, led.tally.Told(), was)
		}
	}
}
