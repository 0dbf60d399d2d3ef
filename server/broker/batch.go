package broker

import (
	"slices"
	"sync"

	"github.com/lockstepmq/lockstep/server/account"
)

// Arrival is one message for a sink. Its slices belong to its Batch: they hold until
// Release, and are not changed before.
type Arrival struct {
	Sub     *account.Subscription // the sink's subscription that matched
	Subject []byte                // in the subscription's account, after mappings
	Reply   []byte
	Header  []byte // header block; nil for none
	Data    []byte
}

// Batch is what one publisher's read brought to a sink, in order. Large reads come in
// several.
type Batch struct {
	Messages []Arrival
	Bytes    int // of all slices together
	// Info tells who published, where the sink asked for it. A request that crossed
	// accounts has the Nats-Request-Info header besides.
	Info *account.ClientInfo
	// FromAccount is the account the publisher is bound to.
	FromAccount *account.Account

	b      *Broker
	chunks [][]byte   // what the slices of the messages are in; the last has room
	from   *publisher // while Full has the batch
	sink   *Sink
	pooled bool
}

const (
	batchMsgsMax  = 1024      // messages of one batch
	batchBytesMax = 128 << 10 // bytes of one batch, but for one larger message
	// batchesKeep bounds the messages that batches on the free list have room for.
	batchesKeep = 128 << 10
)

// Release gives the batch's memory back, once. Nothing of it may be used afterwards.
func (b *Batch) Release() {
	if b.pooled {
		panic("broker: a batch was released twice")
	}
	clear(b.Messages)
	for i, c := range b.chunks {
		b.b.buffers.put(c)
		b.chunks[i] = nil
	}
	if k := b.sink; k != nil && b.from == nil {
		k.held.Add(-int64(b.Bytes))
		k.wake()
	}
	broker := b.b
	*b = Batch{b: broker, pooled: true, Messages: b.Messages[:0], chunks: b.chunks[:0]}
	broker.batches.put(b)
}

// Answer publishes to the reply subject of message i, in the account where the message
// arrived, on the publisher's strand: only Full may call it, before it returns. It tells whether
// anybody received the answer.
func (b *Batch) Answer(i int, header, data []byte) bool {
	m := &b.Messages[i]
	if b.from == nil || len(m.Reply) == 0 {
		return false
	}
	b.sink.mu.Lock()
	acc := b.sink.subs[m.Sub]
	b.sink.mu.Unlock()
	if acc == nil {
		return false
	}
	if len(data) >= lendMin {
		data = slices.Clone(data)
	}
	// The depth keeps what the publisher is about to send from being overwritten.
	return b.from.routeAcross(acc, &message{subject: m.Reply, header: header, body: data, depth: 1})
}

// add copies a message into the batch, whose first chunk is as large as is likely to be
// of use.
func (b *Batch) add(sub *account.Subscription, subj []byte, m *message, likely int) {
	size := len(subj) + len(m.reply) + m.size()
	last := len(b.chunks) - 1
	if last < 0 || cap(b.chunks[last])-len(b.chunks[last]) < size {
		b.grow(size, likely)
		last++
	}
	chunk := b.chunks[last]
	at := len(chunk)
	chunk = append(append(chunk, subj...), m.reply...)
	a := Arrival{Sub: sub, Subject: chunk[at : at+len(subj) : at+len(subj)]}
	at += len(subj)
	if len(m.reply) > 0 {
		a.Reply = chunk[at:len(chunk):len(chunk)]
	}
	if at = len(chunk); len(m.header) > 0 {
		chunk = append(chunk, m.header...)
		a.Header = chunk[at:len(chunk):len(chunk)]
	}
	if at = len(chunk); len(m.body) > 0 {
		chunk = append(chunk, m.body...)
		a.Data = chunk[at:len(chunk):len(chunk)]
	}
	b.chunks[last] = chunk
	b.Messages = append(b.Messages, a)
	b.Bytes += size
}

// grow adds a chunk with room for n bytes.
func (b *Batch) grow(n, likely int) {
	if k := len(b.chunks); k > 0 {
		likely = 4 * cap(b.chunks[k-1])
	}
	b.chunks = append(b.chunks, b.b.buffers.get(max(n, min(likely, stageMax))))
}

// batchPool keeps batches that were released. It is shared by all strands and bounded.
type batchPool struct {
	mu   sync.Mutex
	free []*Batch
	room int // messages that those in free have room for
}

func (l *batchPool) get(b *Broker) *Batch {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := len(l.free)
	if k == 0 {
		return &Batch{b: b}
	}
	one := l.free[k-1]
	l.free[k-1] = nil
	l.free = l.free[:k-1]
	l.room -= cap(one.Messages) + 1
	one.pooled = false
	return one
}

func (l *batchPool) put(one *Batch) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := cap(one.Messages) + 1; l.room+n <= batchesKeep {
		l.free = append(l.free, one)
		l.room += n
	}
}
