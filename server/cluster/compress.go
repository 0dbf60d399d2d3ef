package cluster

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/s2frame"
)

// packer compresses what is written to a connection. It is what a link writes to, from any
// strand: whoever flushes compresses all that is queued, and what comes meanwhile.
type packer struct {
	netsim.Conn
	level atomic.Uint32

	mu      sync.Mutex // held across no call out
	plain   []byte     // queued, not compressed yet
	packing bool       // somebody compresses
	ending  bool       // nothing is taken any more

	// Of whoever compresses.
	spare, packed, scratch []byte
}

// packKeep bounds the buffers that are kept.
const packKeep = 256 << 10

func newPacker(conn netsim.Conn, l s2frame.Level) *packer {
	p := &packer{Conn: conn}
	p.level.Store(uint32(l))
	return p
}

// Write queues p.
func (p *packer) Write(parts ...[]byte) {
	p.mu.Lock()
	if !p.ending {
		for _, b := range parts {
			p.plain = append(p.plain, b...)
		}
	}
	p.mu.Unlock()
}

// Lend is Write: nothing is sent as it is.
func (p *packer) Lend(parts ...[]byte) bool {
	p.Write(parts...)
	return false
}

// FlushLent is Flush; nobody has a turn.
func (p *packer) FlushLent() { p.Flush() }

// Flush compresses and sends what is queued, unless somebody is at it.
func (p *packer) Flush() {
	p.mu.Lock()
	if p.packing || len(p.plain) == 0 {
		busy := p.packing
		p.mu.Unlock()
		if !busy {
			p.Conn.Flush()
		}
		return
	}
	p.packing = true
	for len(p.plain) > 0 {
		batch := p.plain
		p.plain = p.spare[:0]
		p.mu.Unlock()
		p.packed, p.scratch = s2frame.AppendStream(p.packed[:0], batch, p.scratch, s2frame.Level(p.level.Load()))
		p.Conn.Write(p.packed)
		p.Conn.Flush()
		p.spare = batch[:0]
		if cap(p.spare) > packKeep {
			p.spare = nil
		}
		if cap(p.packed)+cap(p.scratch) > 4*packKeep {
			p.packed, p.scratch = nil, nil
		}
		p.mu.Lock()
	}
	p.packing = false
	p.mu.Unlock()
}

// Buffered counts what waits to be compressed, too.
func (p *packer) Buffered() int {
	p.mu.Lock()
	n := len(p.plain)
	p.mu.Unlock()
	return n + p.Conn.Buffered()
}

// Close sends what is queued, then closes.
func (p *packer) Close(err error) {
	p.Flush()
	p.end()
	p.Conn.Close(err)
}

// Abort closes at once.
func (p *packer) Abort(err error) {
	p.end()
	p.Conn.Abort(err)
}

func (p *packer) end() {
	p.mu.Lock()
	p.ending = true
	p.mu.Unlock()
}

// Negotiation. Each side says in INFO what it is configured to do.

// compresses tells whether a mode is one of S2.
func compresses(mode string) bool {
	switch mode {
	case config.CompressionS2Auto, config.CompressionS2Uncompressed, config.CompressionS2Fast,
		config.CompressionS2Better, config.CompressionS2Best:
		return true
	}
	return false
}

// known tells whether a mode is any.
func known(mode string) bool {
	switch mode {
	case "", config.CompressionNotSupported, config.CompressionOff, config.CompressionAccept:
		return true
	}
	return compresses(mode)
}

// mayCompress tells whether a configured mode can lead to compression.
func mayCompress(mode string) bool { return mode == config.CompressionAccept || compresses(mode) }

// negotiate gives the mode in which this side sends: off where nothing is compressed.
func negotiate(local, remote string) (mode string) {
	switch {
	case !mayCompress(local), remote == "", remote == config.CompressionNotSupported, remote == config.CompressionOff:
		return config.CompressionOff
	case compresses(local):
		return local
	case remote == config.CompressionS2Auto:
		return config.CompressionS2Fast
	case compresses(remote):
		return remote
	}
	return config.CompressionOff // both only accept
}

// levelOf is the level of a mode, which for s2_auto follows the round trip.
func levelOf(o config.CompressionOpts, mode string, rtt time.Duration) s2frame.Level {
	switch mode {
	case config.CompressionS2Auto:
		return autoLevel(o.RTTThresholds, rtt)
	case config.CompressionS2Uncompressed:
		return s2frame.Uncompressed
	case config.CompressionS2Better:
		return s2frame.Better
	case config.CompressionS2Best:
		return s2frame.Best
	}
	return s2frame.Fast
}

// autoLevel finds the first level whose threshold the round trip does not pass; zero
// skips a level.
func autoLevel(thresholds []time.Duration, rtt time.Duration) s2frame.Level {
	last := s2frame.Uncompressed
	for i, limit := range thresholds {
		if limit == 0 {
			continue
		}
		if rtt <= limit {
			return min(s2frame.Level(i), s2frame.Best)
		}
		last = min(s2frame.Level(i)+1, s2frame.Best)
	}
	return last
}

// modeOf is a level as it is shown.
func modeOf(l s2frame.Level) string {
	switch l {
	case s2frame.Uncompressed:
		return config.CompressionS2Uncompressed
	case s2frame.Better:
		return config.CompressionS2Better
	case s2frame.Best:
		return config.CompressionS2Best
	}
	return config.CompressionS2Fast
}
