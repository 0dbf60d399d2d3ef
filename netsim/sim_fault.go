package netsim

import (
	"io"
	"time"

	"github.com/lockstepmq/lockstep/clock"
)

// Fault is a kind of network fault.
type Fault uint8

// Faults, as they are counted. Values are part of the trace hash: append only.
const (
	FaultJitterBurst Fault = iota
	FaultClog
	FaultReset
	FaultHalfOpen
	FaultPartition
	FaultPartitionOneWay
	FaultHeal
	FaultRefused
	FaultSlowConnect
	FaultSlowReader
	FaultHostFrozen
	FaultHostKilled
	FaultHostPowerLoss
	FaultDeadPeer // bytes met the remains of a killed machine's connection
	faultsEnd
)

var faultNames = [faultsEnd]string{
	"jitter burst", "clog", "reset", "half-open", "partition", "one-way partition", "heal", "refused connect",
	"slow connect", "slow reader", "host frozen", "host killed", "host power loss", "dead peer",
}

func (f Fault) String() string {
	if f < faultsEnd {
		return faultNames[f]
	}
	return "unknown"
}

// Faults is every kind, in order.
func Faults() []Fault {
	all := make([]Fault, faultsEnd)
	for i := range all {
		all[i] = Fault(i)
	}
	return all
}

// Count is how often f happened.
func (n *Sim) Count(f Fault) uint64 { return n.counts[f] }

func (n *Sim) count(f Fault, id uint64) {
	n.counts[f]++
	n.trace.Fold(uint64(clock.KindFault), uint64(f), id)
	if n.trace.Enabled(clock.LevelFault) {
		n.trace.Notef(clock.LevelFault, "net", "%s #%d", f, id)
	}
}

// Clog stalls the direction from one machine to another for d. Nothing is lost.
func (n *Sim) Clog(from, to string, d time.Duration) {
	l := n.link(from, to)
	l.clogged = max(l.clogged, n.clock.Now()+d)
	n.count(FaultClog, l.id)
}

// Burst delays all that is sent from one machine to another within d by up to extra.
func (n *Sim) Burst(from, to string, extra, d time.Duration) {
	l := n.link(from, to)
	l.burst, l.burstUntil = extra, n.clock.Now()+d
	n.count(FaultJitterBurst, l.id)
}

// SetConnectFaults makes an attempt to connect be refused with probability refuse, and
// take up to slowMax longer with probability slow. Zeros end it.
func (n *Sim) SetConnectFaults(refuse, slow float64, slowMax time.Duration) {
	n.refuse, n.slow, n.slowMax = refuse, slow, max(slowMax, 0)
}

// Partition blocks links until it is healed. Connections over them live on, and what was
// sent arrives when no partition blocks it.
type Partition struct {
	net   *Sim
	links []*simLink
}

// Partition blocks what goes from the machines in from to those in to, and back unless
// oneWay. A machine's link to itself is never blocked.
func (n *Sim) Partition(from, to []string, oneWay bool) *Partition {
	p := &Partition{net: n}
	for _, a := range from {
		for _, b := range to {
			if a == b {
				continue
			}
			p.block(a, b)
			if !oneWay {
				p.block(b, a)
			}
		}
	}
	f := FaultPartition
	if oneWay {
		f = FaultPartitionOneWay
	}
	n.count(f, uint64(len(p.links)))
	return p
}

func (p *Partition) block(from, to string) {
	l := p.net.link(from, to)
	l.cuts++
	p.links = append(p.links, l)
}

// Heal ends the partition. It is idempotent.
func (p *Partition) Heal() {
	if p.links == nil {
		return
	}
	for _, l := range p.links {
		l.cuts--
	}
	p.net.count(FaultHeal, uint64(len(p.links)))
	p.links = nil
	p.net.unblock()
}

// Freeze takes the machine's network card away: nothing arrives at it or leaves it until
// Thaw. Its tasks are the business of clock.SimClock.Pause.
func (n *Sim) Freeze(host string) {
	h := n.host(host)
	if !h.frozen {
		h.frozen = true
		n.frozen++
		n.count(FaultHostFrozen, h.id)
	}
}

// Thaw ends Freeze.
func (n *Sim) Thaw(host string) {
	h := n.hosts[host]
	if h != nil && h.frozen {
		h.frozen = false
		n.frozen--
		n.unblock()
	}
}

// Kill ends the machine's process: its listeners close, the peers of its connections get
// what it had sent and then the end or a reset. Its own handlers hear nothing. The machine's
// clock is killed by the caller. Host makes the machine's next network.
func (n *Sim) Kill(host string) { n.kill(host, FaultHostKilled) }

// PowerLoss takes the machine away: of what it had sent a random prefix arrives, and
// its peers hear nothing more. A peer that sends is reset once the machine is up again.
func (n *Sim) PowerLoss(host string) { n.kill(host, FaultHostPowerLoss) }

func (n *Sim) kill(host string, f Fault) {
	h := n.hosts[host]
	if h == nil || h.dead {
		return
	}
	n.count(f, h.id)
	h.dead = true
	if h.frozen {
		h.frozen = false
		n.frozen--
	}
	clear(h.listeners)
	for _, p := range n.livePairs() {
		for _, c := range [...]*simConn{p.client, p.server} {
			if c.host != h || c.gone {
				continue
			}
			if f == FaultHostPowerLoss {
				c.lose()
				c.out.truncate(n.faultRand)
				continue
			}
			end := error(io.EOF)
			if c.in.unread() > 0 {
				end = errSimReset
			}
			c.vanish(end)
		}
	}
}

// Reset breaks the connection: in each direction a random prefix of what was in flight
// arrives, and both sides hear of a reset.
func (n *Sim) Reset(p *SimPair) {
	if p.Broken() {
		return
	}
	n.count(FaultReset, p.id)
	for _, pipe := range [...]*simPipe{&p.up, &p.down} {
		pipe.truncate(n.faultRand)
		pipe.finish(errSimReset)
	}
}

// HalfOpen breaks the connection for one side only: client tells which one hears of a
// reset. The other never learns, and what it sends is swallowed.
func (n *Sim) HalfOpen(p *SimPair, client bool) {
	if p.Broken() {
		return
	}
	n.count(FaultHalfOpen, p.id)
	told := p.server
	if client {
		told = p.client
	}
	told.in.truncate(n.faultRand)
	told.in.finish(errSimReset)
	told.out.truncate(n.faultRand)
	told.out.silent = true
}

// SlowReader makes one side of the connection not read for d.
func (n *Sim) SlowReader(p *SimPair, client bool, d time.Duration) {
	c := p.server
	if client {
		c = p.client
	}
	if c.gone {
		return
	}
	n.count(FaultSlowReader, p.id)
	c.stalledUntil = max(c.stalledUntil, n.clock.Now()+d)
	n.clock.At(c.stalledUntil, nil, clock.KindFault, c.kick)
}

// SimPair is one connection, as the world sees it.
type SimPair struct {
	id             uint64
	net            *Sim
	client, server *simConn
	up, down       simPipe // from the client, from the server
}

// ID is unique in the run and rises.
func (p *SimPair) ID() uint64 { return p.id }

// ClientHost and ServerHost are the names of the machines.
func (p *SimPair) ClientHost() string { return p.client.host.name }

// ServerHost is the machine that accepted.
func (p *SimPair) ServerHost() string { return p.server.host.name }

// ServerPort is the port that was dialed; it tells what kind of connection this is.
func (p *SimPair) ServerPort() int { return p.server.port }

// Broken tells whether a side is gone, or the end of the connection is on its way.
func (p *SimPair) Broken() bool {
	return p.client.gone || p.server.gone || p.up.ended || p.down.ended || p.up.silent || p.down.silent
}

// Pairs appends the connections that are whole to list, oldest first.
func (n *Sim) Pairs(list []*SimPair) []*SimPair {
	for _, p := range n.pairs {
		if !p.Broken() {
			list = append(list, p)
		}
	}
	return list
}

// livePairs is every connection that still has a side, in a list that calls out of
// the loop cannot disturb.
func (n *Sim) livePairs() []*SimPair {
	live := n.pairs[:0]
	for _, p := range n.pairs {
		if !p.client.gone || !p.server.gone {
			live = append(live, p)
		}
	}
	clear(n.pairs[len(live):])
	n.pairs = live
	return append([]*SimPair(nil), live...)
}

// unblock wakes what waits for a link or a machine.
func (n *Sim) unblock() {
	for _, p := range n.livePairs() {
		p.up.rearm()
		p.down.rearm()
	}
}
