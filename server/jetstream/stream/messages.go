package stream

import (
	"time"

	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/raft"
	"github.com/lockstepmq/lockstep/server/wire"
)

// add puts a publish into the entry that is being built.
func (s *Stream) add(m *broker.Arrival) {
	if len(m.Header) > 0 {
		s.headers.Parse(m.Header)
	} else {
		s.headers.Has = 0
	}
	s.builder.Add(m.Subject, m.Header, m.Data, s.verdict(m))
}

// verdict is what only the leader can judge of a message whose headers were parsed.
func (s *Stream) verdict(m *broker.Arrival) machine.Verdict {
	v := machine.Verdict{Limits: s.leaderLimits(s.sizeOf(len(m.Subject), len(m.Header), len(m.Data)))}
	if s.headers.Has&(api.HasSchedule|api.HasScheduleTimeZone) != 0 {
		v.Schedule = machine.JudgeSchedule(&s.headers, s.now)
	}
	return v
}

// ownHeader takes away what servers tell each other, and a status in the first line.
func (s *Stream) ownHeader(h []byte) []byte {
	if len(h) == 0 {
		return nil
	}
	if len(api.HeaderValue(h, infoHeader)) > 0 {
		h = wire.AppendHeaderDelete(nil, h, infoHeader)
	}
	return api.WithoutStatus(h)
}

// infoHeader carries who sent a request across accounts.
const infoHeader = "Nats-Request-Info"

// leaderLimits judges a message of a size against what the account and the server have
// left, and the disk.
func (s *Stream) leaderLimits(size int) machine.LeaderLimits {
	u := s.spec.Usage
	var l machine.LeaderLimits
	if u.over(s.cfg.Storage, int64(size)) {
		l |= machine.AccountExceeded
		if u.complains(s.cfg.Storage, s.mono) {
			s.env.Log.Warnf("JetStream %s resource limits exceeded for account: %q", s.cfg.Storage, s.spec.Account.Name)
		}
	}
	if u.total != nil && u.total.over(s.cfg.Storage, int64(size)) {
		l |= machine.ServerExceeded
		if u.total.complains(s.cfg.Storage, s.mono) {
			s.env.Log.Errorf("JetStream %s resource limits exceeded for server", s.cfg.Storage)
		}
	}
	if s.store.Full() {
		l |= machine.ServerExceeded
	}
	return l
}

// resultTag is what an administrative entry of the machine carries to its apply.
type resultTag struct{ done func(machine.Result) }

// administer proposes an entry of the machine whose result somebody waits for.
func (s *Stream) administer(payload []byte, done func(machine.Result)) {
	s.propose(payload, &resultTag{done}, raft.Prompt)
}

// armWake sets the timer to the next thing that is due: expiry, a schedule, a batch that was
// given up.
func (s *Stream) armWake() {
	if !s.leads || s.closed {
		return
	}
	at := s.machine.Deadline()
	if b := s.batchDeadline(); b > 0 && (at == 0 || b < at) {
		at = b
	}
	wait := time.Duration(max(at-s.now, int64(wakeGrain)))
	if at == s.wakeAt && (at == 0 || s.mono+wait > s.wakeMono-wakeGrain) {
		return // else a clock was set forward
	}
	s.wakeAt, s.wakeMono = at, s.mono+wait
	if at == 0 {
		s.wake.Stop()
		return
	}
	s.wake.Reset(wait)
}

// wakeGrain is the least time between looks at what is due.
const wakeGrain = 250 * time.Millisecond

// deadline does what is due.
func (s *Stream) deadline() {
	s.wakeAt = 0
	if s.closed || s.failed != nil {
		return
	}
	s.tick()
	s.proposeDue()
	s.expireBatches()
	s.endTask()
}

// proposeDue proposes what the machine finds due.
func (s *Stream) proposeDue() {
	for !s.closed && s.failed == nil { // a refused proposal ends it
		p := s.machine.Due(append(make([]byte, 0, 64), kindMessages), s.now, s.dueAgain)
		if p == nil {
			return
		}
		s.propose(p, nil, raft.Prompt)
	}
}

// dueAgain is called when what a schedule needs has come from the disk.
func (s *Stream) dueAgain() {
	s.tick()
	s.proposeDue()
	s.endTask()
}
