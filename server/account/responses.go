package account

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
)

const (
	// ResponsesMax is how many responses one requesting account may have open in
	// one exporting account. One more ends its oldest.
	ResponsesMax = 64 * 1024
	// responsesLinger is how long an empty table stays subscribed, so that a
	// requestor that sends one request after another does not change the interest
	// with each.
	responsesLinger = 10 * time.Second

	replyPrefix  = "_R_."
	replyTokenN  = 6
	replySubject = len(replyPrefix) + replyTokenN + 1 + replyTokenN
	base62       = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
)

type replyToken [replyTokenN]byte

func newReplyToken(rnd *rand.Rand) (t replyToken) {
	const all = 62 * 62 * 62 * 62 * 62 * 62
	n := rnd.Uint64N(all)
	for i := range t {
		t[i] = base62[n%62]
		n /= 62
	}
	return t
}

// Response is the way back of one service request. Requestor, Reply, Import and
// Data never change; LastUsed belongs to the table, see [Responses.Touch].
type Response struct {
	Requestor *Account       // where the request came from
	Reply     string         // the subject there that awaits the response
	Import    *ServiceImport // through which it came
	LastUsed  time.Duration  // monotonic: of the request, then of the last response
	Data      any            // the broker's

	subject   [replySubject]byte
	token     replyToken
	threshold time.Duration
	deadline  time.Duration // not after LastUsed+threshold; orders the heap
	seq       uint64        // of opening; breaks ties
	heap      int           // place in the heap, -1 once closed
	newer     *Response     // of the same requestor
	older     *Response
}

// Subject is what the service sees as the reply subject. It must not be changed.
func (r *Response) Subject() []byte { return r.subject[:] }

func (r *Response) name(prefix, token replyToken) {
	r.token = token
	b := append(append(r.subject[:0], replyPrefix...), prefix[:]...)
	copy(r.subject[len(b):], ".")
	copy(r.subject[len(b)+1:], token[:])
}

// requestor has the open responses of one requesting account, oldest first.
type requestor struct {
	oldest, newest *Response
	n              int
}

// Responses is the table of open service responses of one exporting account. It
// is asked from every strand that carries requests or responses: one lock guards
// it, which is held across no call out but for changing the account's interest.
type Responses struct {
	mu         sync.Mutex
	account    *Account
	limit      int // ResponsesMax, but for tests
	prefix     replyToken
	named      bool // prefix was drawn
	open       map[replyToken]*Response
	requestors map[*Account]*requestor // looked up only; those without responses go with sub
	heap       []*Response             // by deadline, then seq
	seq        uint64
	sub        *Subscription // nil while not subscribed
	idleSince  time.Duration // when the last response closed; meaningless while any is open
	ended      int64
}

// Responses is the table of open service responses of this exporting account.
func (a *Account) Responses() *Responses { return &a.responses }

// Open opens the way back for a request of requestor with the given reply subject
// that came through si. The time is monotonic; data is the caller's.
func (t *Responses) Open(requestor *Account, reply string, si *ServiceImport, now time.Duration, rnd *rand.Rand, data any) *Response {
	r := &Response{
		Requestor: requestor, Reply: reply, Import: si, LastUsed: now, Data: data,
		threshold: si.Export.Current().Threshold,
	}
	r.deadline = now + r.threshold
	t.mu.Lock()
	defer t.mu.Unlock()
	t.subscribe(rnd)
	token := newReplyToken(rnd)
	for t.open[token] != nil {
		token = newReplyToken(rnd)
	}
	r.name(t.prefix, token)
	t.seq++
	r.seq = t.seq
	t.open[token] = r
	t.push(r)
	t.enlist(r)
	return r
}

// Add is Open for those who need but the reply subject for the service.
func (t *Responses) Add(requestor *Account, reply string, si *ServiceImport, now time.Duration, rnd *rand.Rand, data any) string {
	return string(t.Open(requestor, reply, si, now, rnd, data).Subject())
}

// subscribe draws the prefix if need be, and puts the internal subscription for
// responses into the account's interest.
func (t *Responses) subscribe(rnd *rand.Rand) {
	if !t.named {
		t.prefix, t.named = newReplyToken(rnd), true
		t.open, t.requestors = map[replyToken]*Response{}, map[*Account]*requestor{}
	}
	if t.sub != nil {
		return
	}
	t.sub = &Subscription{Subject: replyPrefix + string(t.prefix[:]) + ".>", Response: true}
	t.account.insert(t.sub)
}

// enlist counts r to its requestor, whose oldest it ends when there are too many.
func (t *Responses) enlist(r *Response) {
	q := t.requestors[r.Requestor]
	if q == nil {
		q = &requestor{}
		t.requestors[r.Requestor] = q
	}
	if q.n >= t.limit {
		t.ended++
		t.close(q.oldest)
	}
	r.older = q.newest
	if q.newest != nil {
		q.newest.newer = r
	} else {
		q.oldest = r
	}
	q.newest = r
	q.n++
}

// Prefix is the account's token in reply subjects, empty before the first request.
func (t *Responses) Prefix() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.named {
		return ""
	}
	return string(t.prefix[:])
}

// Lookup finds the open response that a message on subject belongs to, or nil.
func (t *Responses) Lookup(subject []byte) *Response {
	if len(subject) != replySubject || string(subject[:len(replyPrefix)]) != replyPrefix {
		return nil
	}
	rest := subject[len(replyPrefix):]
	token := replyToken(rest[replyTokenN+1:])
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.named || rest[replyTokenN] != '.' || replyToken(rest[:replyTokenN]) != t.prefix {
		return nil
	}
	return t.open[token]
}

// Touch notes a response that does not end r, whose threshold starts anew.
func (t *Responses) Touch(r *Response, now time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r.LastUsed = now // the heap learns of it when the old deadline comes
}

// Remove closes r and tells whether it was open: of two strands that end the same
// response, one is told so.
func (t *Responses) Remove(r *Response, now time.Duration) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r.heap < 0 {
		return false
	}
	t.close(r)
	t.idleSince = now
	return true
}

// RemoveRequestor closes all responses that lead to the account, oldest first: it
// is gone.
func (t *Responses) RemoveRequestor(gone *Account, now time.Duration) []*Response {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*Response
	for q := t.requestors[gone]; q != nil && q.n > 0; {
		r := q.oldest
		t.close(r)
		out = append(out, r)
	}
	delete(t.requestors, gone)
	t.idleSince = now
	return out
}

// close takes r out of everything.
func (t *Responses) close(r *Response) {
	delete(t.open, r.token)
	t.take(r.heap)
	q := t.requestors[r.Requestor]
	if r.older != nil {
		r.older.newer = r.newer
	} else {
		q.oldest = r.newer
	}
	if r.newer != nil {
		r.newer.older = r.older
	} else {
		q.newest = r.older
	}
	r.older, r.newer = nil, nil
	q.n--
}

// ExpireBefore closes and returns the responses that are overdue or idle for their
// threshold at now, by deadline. An empty table lets go of its subscription when
// nothing was open for ten seconds.
func (t *Responses) ExpireBefore(now time.Duration) []*Response {
	t.mu.Lock()
	defer t.mu.Unlock()
	var out []*Response
	for len(t.heap) > 0 && t.heap[0].deadline <= now {
		r := t.heap[0]
		if due := r.LastUsed + r.threshold; due > now {
			r.deadline = due
			t.down(0)
			continue
		}
		t.close(r)
		t.idleSince = now
		out = append(out, r)
	}
	if t.sub != nil && len(t.heap) == 0 && now-t.idleSince >= responsesLinger {
		t.account.dropSubscription(t.sub)
		t.sub = nil
		clear(t.requestors)
	}
	return out
}

// Next is when ExpireBefore may next have something to do; it is false when it has
// nothing until another request comes.
func (t *Responses) Next() (time.Duration, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case len(t.heap) > 0:
		return t.heap[0].deadline, true
	case t.sub != nil:
		return t.idleSince + responsesLinger, true
	}
	return 0, false
}

// OpenResponse is one row of the table, as monitoring shows it.
type OpenResponse struct {
	Subject   string // what the service publishes its response to
	Requestor string // account
	Reply     string // where the response goes, in that account
}

// List is the open responses in the order of their requests.
func (t *Responses) List() []OpenResponse {
	t.mu.Lock()
	defer t.mu.Unlock()
	list := slices.Clone(t.heap)
	//lockstep:total every response has its own seq
	slices.SortFunc(list, func(a, b *Response) int { return cmp.Compare(a.seq, b.seq) })
	out := make([]OpenResponse, len(list))
	for i, r := range list {
		out[i] = OpenResponse{Subject: string(r.subject[:]), Requestor: r.Requestor.Name, Reply: r.Reply}
	}
	return out
}

// Len counts open responses.
func (t *Responses) Len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.heap)
}

// Ended counts the responses that were ended because their requestor had too many.
func (t *Responses) Ended() int64 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.ended
}

// The heap: a parent is never due after its children.

func (t *Responses) less(i, j int) bool {
	a, b := t.heap[i], t.heap[j]
	return a.deadline < b.deadline || a.deadline == b.deadline && a.seq < b.seq
}

func (t *Responses) swap(i, j int) {
	t.heap[i], t.heap[j] = t.heap[j], t.heap[i]
	t.heap[i].heap, t.heap[j].heap = i, j
}

func (t *Responses) push(r *Response) {
	r.heap = len(t.heap)
	t.heap = append(t.heap, r)
	t.up(r.heap)
}

// take removes the element at place i.
func (t *Responses) take(i int) {
	last := len(t.heap) - 1
	r := t.heap[i]
	if i != last {
		t.swap(i, last)
	}
	t.heap[last] = nil
	t.heap = t.heap[:last]
	if i != last {
		t.down(i)
		t.up(i)
	}
	r.heap = -1
}

func (t *Responses) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !t.less(i, parent) {
			return
		}
		t.swap(i, parent)
		i = parent
	}
}

func (t *Responses) down(i int) {
	for {
		child := 2*i + 1
		if child+1 < len(t.heap) && t.less(child+1, child) {
			child++
		}
		if child >= len(t.heap) || !t.less(child, i) {
			return
		}
		t.swap(i, child)
		i = child
	}
}
