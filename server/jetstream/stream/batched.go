package stream

import (
	"time"

	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
)

// fastItem is an item of an entry that belongs to a fast batch.
type fastItem struct {
	item  int
	batch *machine.FastBatch
	seq   uint64 // in the batch
}

// hasBatchID tells whether a message is one of an atomic batch.
func (s *Stream) hasBatchID(header []byte) bool {
	return len(api.HeaderValue(header, api.HdrBatchID)) > 0
}

func (s *Stream) arrival(m *broker.Arrival) *machine.Arrival {
	s.headers.Parse(m.Header)
	a := &machine.Arrival{Subject: m.Subject, Header: m.Header, Data: m.Data, Headers: &s.headers}
	a.Verdict = s.verdict(m)
	return a
}

// takeAtomic stages a message of an atomic batch. When it commits the batch, what came before it is
// proposed first, so that the publisher's order stays.
func (s *Stream) takeAtomic(t *intake, m *broker.Arrival, i int) *intake {
	if s.staging == nil {
		s.staging = machine.NewStaging(s.env.Limits.Batch, s.env.Open)
	}
	out := s.staging.Add([]byte{kindMessages}, s.now, s.cfg, s.arrival(m), s.env.MaxPayload)
	s.tellAbandoned()
	switch {
	case out.Err != nil:
		s.answerError(m.Reply, out.Err)
	case out.Commit == nil:
		if len(m.Reply) > 0 {
			s.sender.Publish(m.Reply, nil, nil, nil)
		}
	default:
		b, refs := t.batch, t.refs
		commit := s.newIntake(b, refs)
		commit.items, commit.atom = append(commit.items, int32(i)), true
		s.send(t)
		s.propose(out.Commit, commit, s.class())
		s.begin(len(b.Messages), b.Bytes)
		return s.newIntake(b, refs)
	}
	return t
}

// takeFast takes a message of a fast batch.
func (s *Stream) takeFast(t *intake, m *broker.Arrival, i int) {
	if s.fast == nil {
		s.fast = machine.NewFastBatches(s.env.Limits.Batch, s.env.Open, uint64(s.now))
	}
	a := s.arrival(m)
	ans := s.fast.Add(s.scratch[:0], s.now, s.cfg, a, m.Reply)
	s.answerFast(m.Reply, &ans)
	if !ans.Store {
		return
	}
	t.fast = append(t.fast, fastItem{len(t.items), ans.Batch, ans.Seq})
	t.items = append(t.items, int32(i))
	v := a.Verdict
	v.Chain = ans.Chain
	s.builder.Add(m.Subject, m.Header, m.Data, v)
}

// answerFast sends what the publisher of a fast batch is told; to is the reply subject of
// the message that brought it about.
func (s *Stream) answerFast(to []byte, ans *machine.FastAnswer) {
	if ans.Err != nil {
		s.answerError(to, ans.Err)
	}
	if len(ans.Body) > 0 {
		s.sender.Publish(to, nil, nil, ans.Body)
	}
	if len(ans.Then) > 0 {
		s.sender.Publish(to, nil, nil, ans.Then)
	}
	if ans.Final {
		ans.Ack.Stream, ans.Ack.Domain = s.name, s.env.Domain
		s.scratch = ans.Ack.AppendJSON(s.scratch[:0])
		s.sender.Publish(ans.Reply, nil, nil, s.scratch)
	}
}

// fastOf finds the fast batch of item i of the present entry.
func (t *intake) fastOf(i int) *fastItem {
	for k := range t.fast {
		if t.fast[k].item == i {
			return &t.fast[k]
		}
	}
	return nil
}

func (s *Stream) answerError(to []byte, err *api.Error) {
	if len(to) > 0 {
		s.scratch = api.AppendPubAckError(s.scratch[:0], s.name, err)
		s.sender.Publish(to, nil, nil, s.scratch)
	}
}

// batchDeadline is when the next open batch times out; 0 is never.
func (s *Stream) batchDeadline() int64 {
	at := int64(0)
	if s.staging != nil {
		at = s.staging.Deadline()
	}
	if s.fast != nil {
		if f := s.fast.Deadline(); f > 0 && (at == 0 || f < at) {
			at = f
		}
	}
	return at
}

// expireBatches gives up the batches that nothing came for.
func (s *Stream) expireBatches() {
	if s.staging != nil {
		s.staging.Expire(s.now)
		s.tellAbandoned()
	}
	if s.fast != nil {
		s.fast.Expire(s.now)
	}
}

// tellAbandoned publishes the advisories of atomic batches that were dropped.
func (s *Stream) tellAbandoned() {
	for _, a := range s.staging.TakeAbandoned() {
		s.Advise("$JS.EVENT.ADVISORY.STREAM.BATCH_ABANDONED."+s.name, func(id string, now time.Time) any {
			return api.NewBatchAbandoned(id, now, "", s.name, s.env.Domain, a.ID, a.Reason)
		})
	}
}
