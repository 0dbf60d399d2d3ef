package machine

import (
	"encoding/binary"
	"slices"
	"sync/atomic"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/codec"
	"github.com/lockstepmq/lockstep/server/wire"
)

// BatchLimits bind the batches that publishers have open. Zero fields are the defaults.
type BatchLimits struct {
	AtomicPerStream int           // open at once; 50
	AtomicTotal     int           // ditto, of a server; 1000
	FastPerStream   int           // 1000
	FastTotal       int           // of a server; 50,000
	Msgs            int           // of an atomic batch; 1000
	Bytes           int           // of an atomic batch, all messages; 64 MiB
	BytesTotal      int64         // of all atomic batches of a server; 512 MiB
	Timeout         time.Duration // without a message; 10 s
}

// WithDefaults gives the limits with the zero fields filled in.
func (l BatchLimits) WithDefaults() BatchLimits {
	set := func(v *int, def int) {
		if *v <= 0 {
			*v = def
		}
	}
	set(&l.AtomicPerStream, 50)
	set(&l.AtomicTotal, 1000)
	set(&l.FastPerStream, 1000)
	set(&l.FastTotal, 50_000)
	set(&l.Msgs, api.BatchMsgsMax)
	set(&l.Bytes, 64<<20)
	if l.BytesTotal <= 0 {
		l.BytesTotal = 512 << 20
	}
	if l.Timeout <= 0 {
		l.Timeout = 10 * time.Second
	}
	return l
}

// OpenBatches counts the open batches of all streams of a server. It may be used from any
// strand.
type OpenBatches struct {
	atomic, fast atomic.Int64
	bytes        atomic.Int64 // of the messages of atomic ones
}

// enter counts one more, unless there are limit already.
func enter(n *atomic.Int64, limit int) bool {
	if n.Add(1) > int64(limit) {
		n.Add(-1)
		return false
	}
	return true
}

// Reasons why a batch was abandoned, as the advisory tells them.
const (
	AbandonedTimeout     = "timeout"
	AbandonedLarge       = "large"
	AbandonedIncomplete  = "incomplete"
	AbandonedUnsupported = "unsupported"
)

// Abandoned is a batch that was dropped.
type Abandoned struct {
	ID     string
	Reason string
}

// Staging holds the atomic batches of a stream that are not committed yet. It is the leader's, and no part of
// the stream's state: what is staged is lost with the leader. It lives on the stream's
// strand.
type Staging struct {
	limits    BatchLimits
	total     *OpenBatches
	open      map[string]*staged
	order     []*staged // by time of the last message, oldest first
	abandoned []Abandoned
	header    []byte
}

// staged is an open batch. Its messages are encoded already.
type staged struct {
	id    string
	seq   uint64 // of its last message
	count int    // messages
	items []byte
	last  int // where the last item begins
	held  int // bytes that count for the server
	heard int64
}

// Arrival is a message of a publisher, as it came. Nothing of it is kept.
type Arrival struct {
	Subject, Header, Data []byte
	Headers               *api.PublishHeaders // parsed from Header
	Verdict               Verdict
}

// Outcome says what became of a message of a batch.
type Outcome struct {
	// Err refuses the message, and if it was accepted before, the batch.
	Err *api.Error
	// Commit is an entry: the batch is complete. Its effects are those of message 0; the answer is for
	// the publisher of this message.
	Commit []byte
	// Otherwise the message is staged, and its publisher gets an empty answer.
}

// NewStaging makes the staging of a stream; total is shared by the streams of a server.
func NewStaging(limits BatchLimits, total *OpenBatches) *Staging {
	return &Staging{limits: limits.WithDefaults(), total: total, open: make(map[string]*staged)}
}

// Len is the number of open batches.
func (s *Staging) Len() int { return len(s.open) }

// Add takes a message that has a Nats-Batch-Id. now is nanoseconds since 1970, cfg the stream's
// configuration; maxPayload is as in [Builder]. A commit's entry is appended to dst.
func (s *Staging) Add(dst []byte, now int64, cfg *api.StreamConfig, a *Arrival, maxPayload int) Outcome {
	if err := s.judge(cfg, a); err != nil {
		return Outcome{Err: err}
	}
	h := a.Headers
	b := s.open[string(h.BatchID)]
	if b == nil {
		var err *api.Error
		if b, err = s.begin(now, h); err != nil {
			return Outcome{Err: err}
		}
	}
	return s.add(dst, now, b, a, maxPayload)
}

// judge looks at a message before its batch.
func (s *Staging) judge(cfg *api.StreamConfig, a *Arrival) *api.Error {
	if err := judgeArrival(cfg, a); err != nil {
		return err
	}
	h := a.Headers
	switch {
	case !cfg.AllowAtomicPublish:
		return api.ErrAtomicPublishDisabled
	case len(h.BatchID) > api.BatchIDMax:
		return api.ErrAtomicPublishInvalidBatchID
	case h.Has&api.HasBatchSeq == 0 || h.BatchSeq > 1<<62:
		return api.ErrAtomicPublishMissingSeq
	}
	return nil
}

// judgeArrival is what comes before everything else for a message of a batch of either kind.
func judgeArrival(cfg *api.StreamConfig, a *Arrival) *api.Error {
	switch {
	case cfg.Sealed:
		return api.ErrStreamSealed
	case a.Verdict.Limits&ServerExceeded != 0:
		return api.ErrInsufficientResources
	}
	if err := accountError(a.Verdict.Limits); err != nil {
		return err
	}
	if cfg.MaxMsgSize > 0 && len(a.Header)+len(a.Data) > int(cfg.MaxMsgSize) {
		return api.ErrStreamMessageExceedsMaximum
	}
	return nil
}

// begin opens a batch.
func (s *Staging) begin(now int64, h *api.PublishHeaders) (*staged, *api.Error) {
	switch {
	case h.BatchSeq > s.seqMax(h):
		return nil, api.NewAtomicPublishTooLargeBatch(s.limits.Msgs)
	case h.BatchSeq != 1:
		return nil, api.ErrAtomicPublishIncompleteBatch
	case len(s.open) >= s.limits.AtomicPerStream || !enter(&s.total.atomic, s.limits.AtomicTotal):
		return nil, api.ErrAtomicPublishTooManyInflight
	}
	b := &staged{id: string(h.BatchID), heard: now}
	s.open[b.id] = b
	s.order = append(s.order, b)
	return b, nil
}

// seqMax is the highest sequence that a message may have in a batch: the end of a batch, when it is no message, is
// not counted.
func (s *Staging) seqMax(h *api.PublishHeaders) uint64 {
	if h.Has&api.HasBatchCommit != 0 && string(h.BatchCommit) == api.BatchCommitEob {
		return uint64(s.limits.Msgs) + 1
	}
	return uint64(s.limits.Msgs)
}

// add takes a message into its batch.
func (s *Staging) add(dst []byte, now int64, b *staged, a *Arrival, maxPayload int) Outcome {
	h := a.Headers
	commit, eob := h.Has&api.HasBatchCommit != 0, false
	if commit {
		eob = string(h.BatchCommit) == api.BatchCommitEob
		if !eob && string(h.BatchCommit) != api.BatchCommitFinal {
			s.remove(b)
			return Outcome{Err: api.ErrAtomicPublishInvalidBatchCommit}
		}
	}
	if h.Has&api.HasRequiredApiLevel != 0 {
		if err := levelError(h.RequiredApiLevel); err != nil {
			return s.drop(b, AbandonedUnsupported, err)
		}
	}
	switch {
	case h.BatchSeq != b.seq+1 || eob && h.BatchSeq == 1:
		return s.drop(b, AbandonedIncomplete, api.ErrAtomicPublishIncompleteBatch)
	case h.BatchSeq > s.seqMax(h) || len(b.items)+len(a.Header)+len(a.Data) > s.limits.Bytes,
		s.total.bytes.Load()+int64(len(a.Data)) > s.limits.BytesTotal:
		return s.drop(b, AbandonedLarge, api.NewAtomicPublishTooLargeBatch(s.limits.Msgs))
	}
	b.seq = h.BatchSeq
	if !eob {
		s.stage(b, a)
	} else {
		s.commitLast(b)
	}
	if commit {
		return s.commit(dst, now, b, maxPayload)
	}
	b.heard = now
	s.touch(b)
	return Outcome{}
}

// stage encodes a message behind those of its batch.
func (s *Staging) stage(b *staged, a *Arrival) {
	header := a.Header
	if a.Headers.Has&api.HasRequiredApiLevel != 0 {
		s.header = wire.AppendHeaderDelete(s.header[:0], header, api.HdrRequiredApiLevel)
		header = s.header
	}
	b.last = len(b.items)
	b.items = appendItem(b.items, 0, a.Subject, header, a.Data, a.Verdict)
	b.count++
	s.total.bytes.Add(int64(len(b.items) - b.last))
	b.held += len(b.items) - b.last
}

// commitLast marks the last message as the one that commits.
func (s *Staging) commitLast(b *staged) {
	var it item
	r := codec.Reader{P: b.items[b.last:]}
	it.read(&r)
	header := wire.AppendHeaderSet(nil, it.header, api.HdrBatchCommit, api.BatchCommitFinal)
	v := Verdict{Limits: it.limits, Schedule: ScheduleVerdict{Due: it.due}}
	if it.dueErr != 0 {
		v.Schedule.Err = api.ByCode(int(it.dueErr))
	}
	b.items = appendItem(slices.Clone(b.items[:b.last]), 0, it.subject, header, it.data, v)
}

func (s *Staging) commit(dst []byte, now int64, b *staged, maxPayload int) Outcome {
	s.remove(b)
	dst = binary.AppendUvarint(appendHead(dst, kindBatch, now), uint64(max(maxPayload, 0)))
	dst = codec.AppendBytes(dst, b.id)
	dst = binary.AppendUvarint(dst, uint64(b.count))
	return Outcome{Commit: append(dst, b.items...)}
}

// drop gives a batch up.
func (s *Staging) drop(b *staged, reason string, err *api.Error) Outcome {
	s.remove(b)
	s.abandoned = append(s.abandoned, Abandoned{b.id, reason})
	return Outcome{Err: err}
}

func (s *Staging) remove(b *staged) {
	delete(s.open, b.id)
	if i := slices.Index(s.order, b); i >= 0 {
		s.order = slices.Delete(s.order, i, i+1)
	}
	s.total.atomic.Add(-1)
	s.total.bytes.Add(-int64(b.held))
}

// touch makes a batch the one heard of last.
func (s *Staging) touch(b *staged) {
	if i := slices.Index(s.order, b); i >= 0 && i < len(s.order)-1 {
		s.order = append(slices.Delete(s.order, i, i+1), b)
	}
}

// Deadline is when the next batch times out, in nanoseconds since 1970; 0 is never.
func (s *Staging) Deadline() int64 {
	if len(s.order) == 0 {
		return 0
	}
	return s.order[0].heard + int64(s.limits.Timeout)
}

// Expire drops the batches that nothing came for in time.
func (s *Staging) Expire(now int64) {
	for len(s.order) > 0 && s.Deadline() <= now {
		s.drop(s.order[0], AbandonedTimeout, nil)
	}
}

// TakeAbandoned gives the batches dropped since it was called last, for advisories.
func (s *Staging) TakeAbandoned() []Abandoned {
	list := s.abandoned
	s.abandoned = nil
	return list
}

// Clear drops everything without a word: the stream has a new leader, or no atomic batches any more.
func (s *Staging) Clear() {
	for len(s.order) > 0 {
		s.remove(s.order[0])
	}
	s.order, s.abandoned = nil, nil
}

// levelError refuses what asks for more than this server's level.
func levelError(value []byte) *api.Error {
	if !api.LevelValueServed(value) {
		return api.ErrRequiredApiLevel
	}
	return nil
}
