package machine

import (
	"bytes"
	"slices"
	"strconv"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// FastOp is what a message of a fast batch is.
type FastOp uint8

const (
	FastStart FastOp = iota
	FastAppend
	FastCommit // the last message
	FastEnd    // the end, and no message
	FastPing   // asks what was acknowledged last
)

// FastReply is what the reply subject of a message of a fast batch says.
type FastReply struct {
	ID      []byte
	Flow    int  // messages between acks, as the publisher would have it; 1 to 65535
	GapFail bool // a gap ends the batch
	Seq     uint64
	Op      FastOp
}

// fastSuffix ends the reply subjects of fast batches.
const fastSuffix = ".$FI"

// Flow of acks, in messages.
const (
	flowDefault = 10
	flowMax     = 65535
	flowTarget  = 500 // of all open batches together
)

// IsFastReply tells whether a reply subject is that of a fast batch.
func IsFastReply(reply []byte) bool { return bytes.HasSuffix(reply, []byte(fastSuffix)) }

// ParseFastReply reads "<prefix>.<batch id>.<flow>.<gap>.<seq>.<op>.$FI".
func ParseFastReply(reply []byte, f *FastReply) bool {
	rest, ok := bytes.CutSuffix(reply, []byte(fastSuffix))
	if !ok {
		return false
	}
	var tokens [5][]byte // op, seq, gap, flow, id
	for i := range tokens {
		dot := bytes.LastIndexByte(rest, '.')
		if dot <= 0 {
			return false
		}
		tokens[i], rest = rest[dot+1:], rest[:dot]
	}
	op, seq, gap, flow, id := tokens[0], tokens[1], tokens[2], tokens[3], tokens[4]
	if len(op) != 1 || op[0] < '0' || op[0] > '4' || len(id) == 0 {
		return false
	}
	*f = FastReply{ID: id, Op: FastOp(op[0] - '0'), GapFail: string(gap) == "fail", Flow: flowDefault}
	if !f.GapFail && string(gap) != "ok" {
		return false
	}
	n, err := strconv.ParseUint(string(seq), 10, 62)
	if err != nil || n == 0 {
		return false
	}
	f.Seq = n
	if n, err := strconv.Atoi(string(flow)); err == nil && n > 0 {
		f.Flow = min(n, flowMax)
	}
	switch f.Op {
	case FastStart:
		return f.Seq == 1
	case FastAppend, FastEnd:
		return f.Seq > 1
	}
	return true
}

// FastBatches are the fast batches that publishers have open with a stream: their messages are stored as
// they come, and acknowledged many at a time. It is the leader's, and no part of the
// stream's state. It lives on the stream's strand.
type FastBatches struct {
	limits BatchLimits
	total  *OpenBatches
	open   map[string]*FastBatch
	order  []*FastBatch // by time of the last message, oldest first
	chain  uint64
}

// FastBatch is an open one.
type FastBatch struct {
	id        string
	chain     uint64 // ties its messages together when a refusal ends it
	seq       uint64 // of the last message that came
	done      uint64 // up to here everything is stored or refused
	flying    flights
	acked     uint64 // the last that the publisher was told of
	streamSeq uint64 // of its newest message that is stored
	flow      int    // messages between acks
	want      int    // what the publisher asked for
	gapFail   bool
	ended     bool // nothing more is taken; what is under way is waited for
	count     uint64
	reply     []byte // where the final answer goes
	heard     int64
}

// flights are the messages of a batch that are proposed and not applied, in their order. They land in it, but
// for those that could not even be proposed: these are refused before what came earlier is stored.
type flights struct {
	seqs []uint64
	head int // those before it have landed
}

func (f *flights) none() bool { return f.head == len(f.seqs) }

func (f *flights) start(seq uint64) {
	if f.head > 0 && len(f.seqs) == cap(f.seqs) {
		f.seqs, f.head = f.seqs[:copy(f.seqs, f.seqs[f.head:])], 0
	}
	f.seqs = append(f.seqs, seq)
}

// land takes a message out. first tells that nothing earlier is under way, known that it was.
func (f *flights) land(seq uint64) (first, known bool) {
	i := slices.Index(f.seqs[f.head:], seq)
	switch {
	case i < 0:
		return false, false
	case i == 0:
		f.head++
	default:
		f.seqs = slices.Delete(f.seqs, f.head+i, f.head+i+1)
	}
	if f.none() {
		f.seqs, f.head = f.seqs[:0], 0
	}
	return i == 0, true
}

// forget takes out what comes behind a message.
func (f *flights) forget(behind uint64) {
	for !f.none() && f.seqs[len(f.seqs)-1] > behind {
		f.seqs = f.seqs[:len(f.seqs)-1]
	}
}

// FastAnswer says what becomes of a message of a fast batch, and what its publisher is told.
type FastAnswer struct {
	// Err refuses the message: a PubAck with this error to its reply subject, and nothing else.
	Err *api.Error
	// Body is a flow message for the reply subject of the message at hand; nil for none. It goes before
	// everything else.
	Body []byte
	// Then is another one, after Body.
	Then []byte
	// Store: the message is to be proposed, with Chain in its verdict; when it is applied, Batch and
	// Seq go to [FastBatches.Stored] or [FastBatches.Refused].
	Store bool
	Batch *FastBatch
	Seq   uint64
	Chain uint64
	// Final ends the batch: Ack goes to Reply.
	Final bool
	Ack   api.PubAck // without stream and domain
	Reply []byte
}

// NewFastBatches makes the fast batches of a stream; total is shared by the streams of a server. chain must differ for each
// leader of a stream: its time of taking over, in nanoseconds, will do.
func NewFastBatches(limits BatchLimits, total *OpenBatches, chain uint64) *FastBatches {
	return &FastBatches{limits: limits.WithDefaults(), total: total, open: make(map[string]*FastBatch), chain: chain}
}

// Len is the number of open batches.
func (f *FastBatches) Len() int { return len(f.open) }

// Add takes a message whose reply subject is that of a fast batch. now is nanoseconds since 1970. The body of
// the answer is appended to dst.
func (f *FastBatches) Add(dst []byte, now int64, cfg *api.StreamConfig, a *Arrival, reply []byte) FastAnswer {
	var r FastReply
	if err := f.judge(cfg, a, reply, &r); err != nil {
		return FastAnswer{Err: err}
	}
	b := f.open[string(r.ID)]
	if b != nil && !b.ended {
		b.heard = now
		f.touch(b)
		return f.next(dst, b, &r, reply)
	}
	switch {
	case b != nil || r.Seq != 1 || r.Op == FastPing:
		return FastAnswer{Err: api.ErrBatchPublishUnknownBatchID}
	case len(f.open) >= f.limits.FastPerStream || !enter(&f.total.fast, f.limits.FastTotal):
		return FastAnswer{Err: api.ErrBatchPublishTooManyInflight}
	}
	b = f.begin(now, &r)
	if r.Op == FastStart {
		dst = b.appendAck(dst)
	}
	return f.take(dst, b, &r, reply)
}

// judge looks at a message before its batch.
func (f *FastBatches) judge(cfg *api.StreamConfig, a *Arrival, reply []byte, r *FastReply) *api.Error {
	if err := judgeArrival(cfg, a); err != nil {
		return err
	}
	switch {
	case !cfg.AllowBatchPublish:
		return api.ErrBatchPublishDisabled
	case !ParseFastReply(reply, r):
		return api.ErrBatchPublishInvalidPattern
	case len(r.ID) > api.BatchIDMax:
		return api.ErrBatchPublishInvalidBatchID
	case a.Headers.Has&api.HasRequiredApiLevel != 0:
		if err := levelError(a.Headers.RequiredApiLevel); err != nil {
			return err
		}
	}
	return nil
}

func (f *FastBatches) begin(now int64, r *FastReply) *FastBatch {
	f.chain++
	b := &FastBatch{id: string(r.ID), chain: f.chain, want: r.Flow, gapFail: r.GapFail, heard: now, flow: 1}
	f.open[b.id] = b
	f.order = append(f.order, b)
	if len(f.open) == 1 {
		b.flow = min(flowTarget, r.Flow)
	}
	return b
}

// next takes a later message of a batch.
func (f *FastBatches) next(dst []byte, b *FastBatch, r *FastReply, reply []byte) FastAnswer {
	if r.Op == FastPing {
		return f.ping(dst, b, r, reply)
	}
	expected := b.seq + 1
	if r.Seq != expected {
		dst = appendGap(dst, expected, r.Seq)
		if b.gapFail || r.Seq < expected {
			return f.end(dst, b, reply)
		}
		b.jump(r.Seq - 1)
	}
	return f.take(dst, b, r, reply)
}

// ping answers what was acknowledged last, and may find that messages are missing.
func (f *FastBatches) ping(dst []byte, b *FastBatch, r *FastReply, reply []byte) FastAnswer {
	if r.Seq > b.seq {
		dst = appendGap(dst, b.seq+1, r.Seq+1)
		if b.gapFail {
			return f.end(dst, b, reply)
		}
		b.jump(r.Seq)
		b.advance()
		return FastAnswer{Batch: b, Body: dst, Then: b.appendAck(nil)}
	}
	b.advance()
	return FastAnswer{Batch: b, Body: b.appendAck(dst)}
}

// jump passes over messages that never came.
func (b *FastBatch) jump(to uint64) {
	b.seq = to
	b.settle()
}

// settle notes that nothing is under way.
func (b *FastBatch) settle() {
	if b.flying.none() {
		b.done = b.seq
	}
}

// take takes the message that is next.
func (f *FastBatches) take(dst []byte, b *FastBatch, r *FastReply, reply []byte) FastAnswer {
	if r.Op == FastEnd {
		b.jump(r.Seq - 1)
		return f.end(dst, b, reply)
	}
	b.seq = r.Seq
	b.flying.start(r.Seq)
	if r.Op == FastCommit {
		b.ended, b.count, b.reply = true, b.seq, slices.Clone(reply)
	}
	a := FastAnswer{Store: true, Batch: b, Seq: r.Seq, Body: dst}
	if b.gapFail {
		a.Chain = b.chain
	}
	return a
}

// end ends a batch after the last message that came.
func (f *FastBatches) end(dst []byte, b *FastBatch, reply []byte) FastAnswer {
	b.ended, b.count, b.reply = true, b.seq, slices.Clone(reply)
	return f.finish(FastAnswer{Batch: b, Body: dst})
}

// finish gives the final answer when nothing of an ended batch is under way.
func (f *FastBatches) finish(a FastAnswer) FastAnswer {
	if b := a.Batch; b.ended && b.flying.none() && f.remove(b) {
		a.Final, a.Reply = true, b.reply
		a.Ack = api.PubAck{Sequence: b.streamSeq, BatchId: b.id, BatchSize: b.count}
	}
	return a
}

// Stored tells that the message seq of a batch is stored in the stream, or was before, as streamSeq. The body of
// the answer, which goes to the message's reply subject, is appended to dst.
func (f *FastBatches) Stored(dst []byte, b *FastBatch, seq, streamSeq uint64) FastAnswer {
	b.streamSeq = streamSeq
	b.landed(seq)
	if b.advance() {
		f.adapt(b)
		dst = b.appendAck(dst)
	}
	return f.finish(FastAnswer{Batch: b, Body: dst})
}

// landed notes that a message was applied, or could not be proposed. It is false for one that is behind the end.
func (b *FastBatch) landed(seq uint64) bool {
	first, known := b.flying.land(seq)
	if first {
		b.done = max(b.done, seq)
	}
	b.settle()
	return known
}

// Refused tells that the message seq of a batch was refused. Where a gap ends a batch, so does this;
// reply is the message's reply subject.
func (f *FastBatches) Refused(dst []byte, b *FastBatch, seq uint64, err *api.Error, reply []byte) FastAnswer {
	if known := b.landed(seq); !known || f.open[b.id] != b {
		return FastAnswer{Batch: b, Err: err} // behind the one that ended the batch
	}
	if b.gapFail && seq == 1 {
		f.remove(b)
		b.ended = true
		return FastAnswer{Batch: b, Err: err}
	}
	dst = append(dst, `{"type":"err","seq":`...)
	dst = strconv.AppendUint(dst, seq, 10)
	dst = append(dst, `,"error":`...)
	dst = append(api.AppendError(dst, err), '}')
	a := FastAnswer{Batch: b, Body: dst}
	switch {
	case b.gapFail:
		b.ended, b.seq, b.count, b.reply = true, seq-1, seq-1, slices.Clone(reply)
		b.flying.forget(seq) // what follows is refused as well
	case b.ended && seq == b.count:
		b.count--
	}
	return f.finish(a)
}

// advance moves what is acknowledged on in steps of the flow, and tells whether it moved.
func (b *FastBatch) advance() bool {
	steps := (b.done - min(b.done, b.acked)) / uint64(b.flow)
	b.acked += steps * uint64(b.flow)
	return steps > 0
}

// adapt moves the flow of a batch towards its share.
func (f *FastBatches) adapt(b *FastBatch) {
	share := min(max(1, flowTarget/max(1, len(f.open))), b.want)
	switch {
	case b.flow < share:
		b.flow = min(2*b.flow, share)
	case b.flow > share:
		b.flow = max(b.flow/2, share)
	}
}

func (b *FastBatch) appendAck(dst []byte) []byte {
	dst = append(dst, `{"type":"ack","seq":`...)
	dst = strconv.AppendUint(dst, b.acked, 10)
	dst = append(dst, `,"msgs":`...)
	return append(strconv.AppendInt(dst, int64(b.flow), 10), '}')
}

func appendGap(dst []byte, expected, got uint64) []byte {
	dst = append(dst, `{"type":"gap","last_seq":`...)
	dst = strconv.AppendUint(dst, expected, 10)
	dst = append(dst, `,"seq":`...)
	return append(strconv.AppendUint(dst, got, 10), '}')
}

// remove tells whether the batch was still open.
func (f *FastBatches) remove(b *FastBatch) bool {
	if f.open[b.id] != b {
		return false
	}
	delete(f.open, b.id)
	if i := slices.Index(f.order, b); i >= 0 {
		f.order = slices.Delete(f.order, i, i+1)
	}
	f.total.fast.Add(-1)
	return true
}

func (f *FastBatches) touch(b *FastBatch) {
	if n := len(f.order); n > 0 && f.order[n-1] == b {
		return
	}
	if i := slices.Index(f.order, b); i >= 0 {
		f.order = append(slices.Delete(f.order, i, i+1), b)
	}
}

// Deadline is when the next batch times out, in nanoseconds since 1970; 0 is never.
func (f *FastBatches) Deadline() int64 {
	if len(f.order) == 0 {
		return 0
	}
	return f.order[0].heard + int64(f.limits.Timeout)
}

// Expire forgets the batches that nothing came for in time; their publishers are not told.
func (f *FastBatches) Expire(now int64) {
	for len(f.order) > 0 && f.Deadline() <= now {
		f.remove(f.order[0])
	}
}

// Clear forgets everything: the stream has a new leader.
func (f *FastBatches) Clear() {
	f.total.fast.Add(-int64(len(f.open)))
	clear(f.open)
	f.order = nil
}
