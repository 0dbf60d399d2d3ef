package broker

import (
	"cmp"
	"errors"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/account"
)

// SinkOptions of NewSink.
type SinkOptions struct {
	Name string
	// Credit bounds the bytes that wait for the strand; 0 is no bound.
	Credit int
	// CreditMsgs bounds the messages that wait; 0 is no bound.
	CreditMsgs int
	// Ease is the bytes of batches not released from which on a connection that publishes more is not
	// read until half of them are; 0 is no bound.
	Ease int
	// WithInfo fills in Batch.Info.
	WithInfo bool
	// Wants, if not nil, is asked on the publisher's strand, with the subject, before anything
	// is copied; it must be pure and fast. A message that is not wanted is as
	// if the sink were not there: who asks is told that nobody responds.
	Wants func(subject []byte) bool
	// Full, if not nil, is called on the publisher's strand, which is from, with a batch that
	// the credit refuses; the batch is the callee's, who may answer with [Batch.Answer] before
	// it returns. Without it a batch above the credit is taken, and the connection that
	// published it is not read until there is room again.
	Full func(b *Batch, from clock.Strand)
}

// Sink is the receiving side of the server's own services: messages that match its
// subscriptions are copied once, on the publisher's strand, and handed over in
// batches, once a read, to the sink's strand. Methods may be called from any strand.
type Sink struct {
	b       *Broker
	options SinkOptions
	box     *clock.Mailbox[*Batch]
	take    func([]*Batch)

	bytes, msgs atomic.Int64 // handed over and not drained
	held        atomic.Int64 // bytes handed over and not released
	asked       atomic.Bool  // somebody waits for room
	ended       atomic.Bool  // closed, for publishers that keep a stage of it; then nobody waits for room

	shadowing sync.Mutex // one change of shadows at a time; held across calls of accounts

	mu      sync.Mutex // held across no call out
	subs    map[*account.Subscription]*account.Account
	shadows map[*account.Subscription][]*account.Subscription // in exporting accounts
	sids    int
	closed  bool
	waiting []func() // for room
}

var _ account.Owner = (*Sink)(nil)

// NewSink makes a sink whose batches drain takes on s. Batches are the callee's until it
// calls Release on each; the slice of them is not.
func (b *Broker) NewSink(s clock.Strand, o SinkOptions, drain func([]*Batch)) *Sink {
	k := &Sink{b: b, options: o, take: drain, subs: make(map[*account.Subscription]*account.Account)}
	k.shadows = make(map[*account.Subscription][]*account.Subscription)
	k.box = clock.NewMailbox(s, 0, nil, k.drain)
	b.sinks.add(k)
	return k
}

var errSinkClosed = errors.New("the sink is closed")

// ID is 0: a sink is no connection.
func (k *Sink) ID() uint64 { return 0 }

// String is the sink's name.
func (k *Sink) String() string { return k.options.Name }

// Subscribe puts a subscription of the sink into the account's interest; queue is "" for a
// plain one. The only errors are [subject.ErrInvalidSubject] and that the sink is closed.
func (k *Sink) Subscribe(acc *account.Account, subject, queue string) (*account.Subscription, error) {
	k.mu.Lock()
	if k.closed {
		k.mu.Unlock()
		return nil, errSinkClosed
	}
	k.sids++
	sub := &account.Subscription{Owner: k, Subject: subject, Queue: queue, SID: strconv.Itoa(k.sids)}
	k.subs[sub] = acc
	k.mu.Unlock()
	if err := acc.Insert(sub); err != nil {
		k.mu.Lock()
		delete(k.subs, sub)
		k.mu.Unlock()
		return nil, err
	}
	k.addShadows(acc, sub)
	return sub, nil
}

// addShadows puts what a subscription reaches through stream imports into the exporting accounts, and
// takes back what it reaches no more.
func (k *Sink) addShadows(acc *account.Account, sub *account.Subscription) {
	k.shadowing.Lock()
	defer k.shadowing.Unlock()
	k.mu.Lock()
	old := k.shadows[sub]
	k.mu.Unlock()
	kept, gone := divide(acc, old)
	removeShadows(gone)
	all, err := shadow(acc, sub, kept)
	if err != nil {
		k.b.log.Errorf("%s - subscription on %q not registered: %v", k, sub.Subject, err)
	}
	k.mu.Lock()
	_, open := k.subs[sub]
	if delete(k.shadows, sub); open && len(all) > 0 {
		k.shadows[sub] = all
	}
	k.mu.Unlock()
	if !open {
		removeShadows(all)
	}
}

// renewShadows follows a change of the imports.
func (k *Sink) renewShadows() {
	for _, sub := range k.listSubs() {
		k.mu.Lock()
		acc := k.subs[sub]
		k.mu.Unlock()
		if acc != nil {
			k.addShadows(acc, sub)
		}
	}
}

// listSubs is a copy of the subscriptions in the order of their making.
func (k *Sink) listSubs() []*account.Subscription {
	k.mu.Lock()
	subs := make([]*account.Subscription, 0, len(k.subs))
	for sub := range k.subs { //lockstep:ordered sorted below
		subs = append(subs, sub)
	}
	k.mu.Unlock()
	slices.SortFunc(subs, func(a, b *account.Subscription) int { //lockstep:total sids are unique
		return cmp.Or(cmp.Compare(len(a.SID), len(b.SID)), cmp.Compare(a.SID, b.SID))
	})
	return subs
}

// sinks are all of a broker that are not closed. Safe from any strand.
type sinks struct {
	mu  sync.Mutex // held across no call out
	all []*Sink
}

func (l *sinks) add(k *Sink) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = append(l.all, k)
}

func (l *sinks) remove(k *Sink) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if i := slices.Index(l.all, k); i >= 0 {
		l.all = slices.Delete(l.all, i, i+1)
	}
}

// Unsubscribe ends a subscription; what publishers have staged already still comes.
func (k *Sink) Unsubscribe(sub *account.Subscription) {
	k.mu.Lock()
	acc, shadows := k.subs[sub], k.shadows[sub]
	delete(k.subs, sub)
	delete(k.shadows, sub)
	k.mu.Unlock()
	removeShadows(shadows)
	if acc != nil && sub.Close() {
		acc.Remove(sub)
	}
}

// Close ends all subscriptions, and lets go of publishers that wait for room: batches of what has ended may never be
// released. Batches that wait are still drained.
func (k *Sink) Close() {
	k.ended.Store(true)
	k.b.receiverGone()
	k.b.sinks.remove(k)
	k.mu.Lock()
	k.closed = true
	k.mu.Unlock()
	for _, sub := range k.listSubs() {
		k.Unsubscribe(sub)
	}
	k.wake()
}

// drain hands what has come to the sink's owner, and then lets more come.
func (k *Sink) drain(batches []*Batch) {
	bytes, msgs := int64(0), int64(0)
	k.mu.Lock()
	for _, b := range batches {
		bytes += int64(b.Bytes)
		msgs += int64(len(b.Messages))
		for i := range b.Messages {
			b.Messages[i].Sub.Delivered++
		}
	}
	k.mu.Unlock()
	k.take(batches)
	k.bytes.Add(-bytes)
	k.msgs.Add(-msgs)
	k.wake()
}

// Delivered is how many messages a subscription of the sink received; they have no limit. It
// is as [Client.Delivered].
func (k *Sink) Delivered(sub *account.Subscription) (msgs, limit int64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return sub.Delivered, sub.Max
}

// Waiting is what was handed over and not drained yet.
func (k *Sink) Waiting() (msgs, bytes int) { return int(k.msgs.Load()), int(k.bytes.Load()) }

// over tells whether more waits than limit parts of the credit allow, in halves.
func (k *Sink) over(bytes, msgs int64, halves int64) bool {
	o := &k.options
	return o.Credit > 0 && bytes > int64(o.Credit)/2*halves || o.CreditMsgs > 0 && msgs > int64(o.CreditMsgs)*halves/2
}

// whenRoom calls fn once, without locks held, when at most half of the credit is used; at
// once if that is so now.
func (k *Sink) whenRoom(fn func()) {
	k.mu.Lock()
	k.asked.Store(true) // before it looks, so that who makes room sees it
	if k.roomy() {
		k.mu.Unlock()
		fn()
		return
	}
	k.waiting = append(k.waiting, fn)
	k.mu.Unlock()
}

// roomy tells whether at most half of every bound is used, or nobody has to wait any more.
func (k *Sink) roomy() bool {
	return k.ended.Load() || !k.over(k.bytes.Load(), k.msgs.Load(), 1) && (k.options.Ease == 0 || k.held.Load() <= int64(k.options.Ease)/2)
}

func (k *Sink) wake() {
	if !k.asked.Load() {
		return
	}
	k.mu.Lock()
	var waiting []func()
	if k.roomy() {
		waiting, k.waiting = k.waiting, nil
		k.asked.Store(false)
	}
	k.mu.Unlock()
	for _, fn := range waiting {
		fn()
	}
}
