package founding

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// world is servers with disks and a network. A judge in it sees everything.
type world struct {
	now     time.Duration
	rand    *rand.Rand
	servers []*server
	cut     [][]bool
	net     packets
	sent    int
	faults  faults
	trace   func(format string, args ...any)
	tune    func(*Options)
	seen    *seen

	// judge
	agreed    map[Ballot][]core.MemberID // durably, ever
	values    map[Ballot]*Founding
	holds     *Founding
	holdsIn   Ballot // where it did first
	violation string
	lenient   bool // go on after a violation
}

// faults are the rates of what goes wrong, in percent, and what is broken on purpose.
type faults struct {
	lose, double int
	nasty        int // how often it goes wrong just where it may matter
	delayMax     time.Duration
	writeMax     time.Duration

	early      bool // mutant: the host says that it is durable before it is
	deaf       bool // mutant: what was agreed to earlier is not told with a promise
	unpromised bool // mutant: a restart forgets the promise
	reborn     bool // mutant: who lost its disk keeps its birth
	wipesAll   bool // mutant: disks are lost without limit
}

// seen counts what seeds came across, so that it is known that they do.
type seen struct {
	ballots, adopted, wiped, wipedVoters, found, joined, resumed, minorities, held, rounds int
}

// packets are a heap by arrival.
type packets []packet

func (p packets) Len() int      { return len(p) }
func (p packets) Swap(i, j int) { p[i], p[j] = p[j], p[i] }
func (p packets) Less(i, j int) bool {
	return p[i].at < p[j].at || p[i].at == p[j].at && p[i].number < p[j].number
}
func (p *packets) Push(x any) { *p = append(*p, x.(packet)) }
func (p *packets) Pop() any {
	last := (*p)[len(*p)-1]
	*p = (*p)[:len(*p)-1]
	return last
}

type packet struct {
	at       time.Duration
	number   int
	from, to *server
	session  int // of the receiver: what was sent to an earlier process never arrives
	data     []byte
}

type server struct {
	w        *world
	id       core.MemberID
	name     string
	expected int
	node     *Node
	session  int
	disk     []byte // Kept
	log      ID     // whose member of the meta group the log has
	created  int    // how often a member was created, ever
	writing  []byte
	writeAt  time.Duration
	begunAt  time.Duration
	begin    *Outcome
	outcomes int // in this run
	last     *Outcome
	up       []bool // what it was told
}

func newWorld(seed uint64, size int) *world {
	w := &world{rand: rand.New(rand.NewPCG(seed, 77)), agreed: map[Ballot][]core.MemberID{}, values: map[Ballot]*Founding{}, seen: &seen{}}
	w.faults = faults{delayMax: 5 * time.Millisecond, writeMax: 5 * time.Millisecond}
	for i := range size {
		w.servers = append(w.servers, &server{
			w: w, id: core.MemberID(10 * (i + 1)), name: fmt.Sprintf("n%d", i+1), expected: size, up: make([]bool, size),
		})
		w.cut = append(w.cut, make([]bool, size))
	}
	return w
}

func (w *world) log(format string, args ...any) {
	if w.trace != nil {
		w.trace("%8v "+format, append([]any{w.now.Round(time.Millisecond)}, args...)...)
	}
}

func (w *world) fail(format string, args ...any) {
	w.log(format, args...)
	if w.violation == "" {
		w.violation = fmt.Sprintf(format, args...)
	}
}

func (w *world) chance(percent int) bool { return w.rand.IntN(100) < percent }

func (w *world) upTo(d time.Duration) time.Duration {
	return time.Duration(w.rand.Int64N(int64(d) + 1))
}

func (w *world) index(s *server) int { return slices.Index(w.servers, s) }

// start runs a server on what its disk has.
func (s *server) start() {
	if s.node != nil {
		return
	}
	w := s.w
	var kept *Kept
	if s.disk != nil {
		var err error
		if kept, err = DecodeKept(s.disk); err != nil {
			w.fail("%s cannot read what it kept: %v", s.name, err)
			return
		}
		if w.faults.unpromised {
			kept.Promised = kept.Accepted.Ballot
		}
	}
	o := DefaultOptions(s.id, s.name, "c", s.expected, rand.New(rand.NewPCG(w.rand.Uint64(), uint64(s.id))))
	if w.tune != nil {
		w.tune(&o)
	}
	n, err := New(o, kept, w.now)
	if err != nil {
		w.fail("%s cannot start: %v", s.name, err)
		return
	}
	w.log("%s starts", s.name)
	s.node, s.outcomes = n, 0
	s.pump()
	w.connect()
}

// crash stops a server; what it was writing may be durable.
func (s *server) crash(written bool) {
	if s.node == nil {
		return
	}
	s.w.log("%s crashes", s.name)
	if s.writing != nil && written {
		s.write()
	}
	s.node, s.writing, s.begin = nil, nil, nil
	s.session++
	clear(s.up)
	s.w.connect()
}

// wipe loses the disk of a server that does not run.
func (s *server) wipe() {
	s.w.log("%s is wiped", s.name)
	if s.disk != nil {
		s.w.seen.wiped++
		if s.created > 0 {
			s.w.seen.wipedVoters++
		}
	}
	if s.w.faults.reborn && s.disk != nil {
		kept, _ := DecodeKept(s.disk)
		s.disk = (&Kept{Self: kept.Self}).Encode()
	} else {
		s.disk = nil
	}
	s.log = ID{}
}

// connect tells servers whom they reach.
func (w *world) connect() {
	for i, s := range w.servers {
		for j, peer := range w.servers {
			reach := s.node != nil && peer.node != nil && i != j && !w.cut[i][j]
			if s.node != nil && s.up[j] && !reach {
				s.up[j] = false
				s.node.Down(peer.id)
			} else if reach && !s.up[j] {
				s.up[j] = true
				s.node.Up(peer.id, peer.name)
			}
		}
		s.pump()
	}
}

// split cuts the links between servers of different sides.
func (w *world) split(side func(i int) int) {
	for i := range w.cut {
		for j := range w.cut {
			w.cut[i][j] = side(i) != side(j)
		}
	}
	w.net = slices.DeleteFunc(w.net, func(p packet) bool { return w.cut[w.index(p.from)][w.index(p.to)] })
	heap.Init(&w.net)
	w.connect()
}

// pump carries out what the node wants.
func (s *server) pump() {
	for s.node != nil && s.node.HasReady() {
		r := s.node.Ready()
		for _, m := range r.Messages {
			s.send(m)
		}
		if r.Kept != nil {
			s.writing, s.writeAt = r.Kept.Encode(), s.w.now+s.w.upTo(s.w.faults.writeMax)
			if s.w.faults.early {
				s.node.Persisted()
			}
		}
		if r.Outcome != nil {
			s.conclude(r.Outcome)
		}
	}
}

// send judges and sends a message.
func (s *server) send(m Message) {
	w := s.w
	said, err := parseStatement(m.Data)
	if err != nil {
		w.fail("%s sends %x: %v", s.name, m.Data, err)
		return
	}
	if kept, err := DecodeKept(s.disk); err != nil || !reflect.DeepEqual(&said.Kept, kept) {
		if !w.faults.early && !w.faults.unpromised {
			w.fail("%s says %+v and keeps %+v (%v)", s.name, said.Kept, kept, err)
		}
	}
	if w.faults.deaf && said.Promised.above(said.Accepted.Ballot) {
		said.Accepted = Proposal{}
		m.Data = appendStatement(nil, &said)
	}
	to := w.find(m.To)
	copies := 1
	if w.chance(w.faults.lose) {
		copies = 0
	} else if w.chance(w.faults.double) {
		copies = 2
	}
	for range copies {
		w.sent++
		heap.Push(&w.net, packet{at: w.now + w.upTo(w.faults.delayMax), number: w.sent, from: s, to: to, session: to.session, data: m.Data})
	}
}

func (w *world) find(id core.MemberID) *server {
	return w.servers[slices.IndexFunc(w.servers, func(s *server) bool { return s.id == id })]
}

// write makes what is being written durable, and judges it.
func (s *server) write() {
	s.disk, s.writing = s.writing, nil
	kept, err := DecodeKept(s.disk)
	if err != nil {
		s.w.fail("%s kept %x: %v", s.name, s.disk, err)
		return
	}
	if a := kept.Accepted; a.Founding != nil {
		s.w.agrees(s.id, a)
	}
}

// persist ends a write.
func (s *server) persist() {
	if s.node != nil && s.writing != nil {
		s.write()
		n := s.node
		if s.w.chance(s.w.faults.nasty) {
			s.provoke()
		}
		if s.node == n {
			s.node.Persisted()
			s.pump()
		}
	}
}

// provoke does to a server that has just written what might hurt most: a proposer is cut off, so that it alone agrees;
// who has promised crashes; who remembers a founding that holds loses its disk.
func (s *server) provoke() {
	w, i := s.w, s.w.index(s)
	kept, err := DecodeKept(s.disk)
	switch {
	case err != nil:
	case w.holds != nil && w.mayWipe(s):
		s.crash(false)
		s.wipe()
		s.start()
	case kept.Accepted.Founding != nil && kept.Accepted.Ballot.By == kept.Self.Birth:
		for j := range w.servers {
			w.cut[i][j], w.cut[j][i] = true, true
		}
		w.connect()
	case kept.Promised.By != kept.Self.Birth && !kept.Promised.none():
		s.node.Persisted()
		s.pump()
		s.crash(false)
		s.start()
	}
}

// agrees counts who has ever agreed to what.
func (w *world) agrees(id core.MemberID, a Proposal) {
	if before := w.values[a.Ballot]; before != nil && !reflect.DeepEqual(before, a.Founding) {
		w.fail("ballot %v proposes %v and %v", a.Ballot, before.ID, a.Founding.ID)
	}
	if w.values[a.Ballot] == nil {
		w.seen.ballots++
		//lockstep:ordered counts only
		for _, f := range w.values {
			if f.ID == a.Founding.ID {
				w.seen.adopted++
				break
			}
		}
	}
	w.values[a.Ballot] = a.Founding
	if !slices.Contains(w.agreed[a.Ballot], id) {
		w.agreed[a.Ballot] = append(w.agreed[a.Ballot], id)
	}
	if len(w.agreed[a.Ballot]) <= len(w.servers)/2 {
		return
	}
	if w.holds == nil {
		w.log("%v holds: %v", a.Founding.ID, a.Founding.Voters)
		w.holds, w.holdsIn = a.Founding, a.Ballot
	} else if !reflect.DeepEqual(w.holds, a.Founding) {
		w.fail("%v holds, and %v does", w.holds.ID, a.Founding.ID)
	}
}

// conclude is the host that acts on an outcome: first it creates its member, some time later that is durable.
func (s *server) conclude(o *Outcome) {
	w := s.w
	w.log("%s: %v %v of %v, led by %d", s.name, o.Kind, o.ID, o.Voters, o.Leader)
	s.outcomes++
	switch o.Kind {
	case Found:
		w.seen.found++
	case Join:
		w.seen.joined++
	case Resume:
		w.seen.resumed++
	}
	s.last = o
	if s.outcomes > 1 {
		w.fail("%s has outcome %d in one run", s.name, s.outcomes)
	}
	if w.holds == nil || o.ID != w.holds.ID || o.Leader != w.holds.Leader || !slices.EqualFunc(o.Voters, w.holds.Voters, func(id core.MemberID, v Seat) bool { return id == v.ID }) {
		w.fail("%s: %v of %+v, and what holds is %+v", s.name, o.Kind, o, w.holds)
	}
	if s.log != (ID{}) && s.log != o.ID {
		w.fail("%s has a member of %v and is to be of %v", s.name, s.log, o.ID)
	}
	if o.Kind == Resume {
		if s.log == (ID{}) {
			w.fail("%s resumes and has no member", s.name)
		}
		return
	}
	if o.Kind == Found && s.log == (ID{}) && s.created > 0 {
		w.fail("%s creates its member again", s.name)
	}
	s.begin, s.begunAt = o, w.now+w.upTo(w.faults.writeMax)
}

// begun: the member is durable.
func (s *server) begun() {
	o := s.begin
	s.begin = nil
	if s.log == (ID{}) {
		s.log = o.ID
		if o.Kind == Found {
			s.created++
		}
	}
	s.node.Begun()
	s.pump()
}

// next is the earliest thing to happen, and when; nil when there is none.
func (w *world) next() (at time.Duration, do func()) {
	consider := func(t time.Duration, f func()) {
		if do == nil || t < at {
			at, do = t, f
		}
	}
	if len(w.net) > 0 {
		consider(w.net[0].at, func() { w.deliver(heap.Pop(&w.net).(packet)) })
	}
	for _, s := range w.servers {
		if s.node == nil {
			continue
		}
		if s.writing != nil {
			consider(s.writeAt, s.persist)
		}
		if s.begin != nil {
			consider(s.begunAt, s.begun)
		}
		if d := s.node.Deadline(); d != 0 {
			if d <= w.now {
				w.fail("%s has deadline %v at %v", s.name, d, w.now)
			}
			consider(d, func() {})
		}
	}
	return at, do
}

func (w *world) deliver(p packet) {
	if p.to.node == nil || p.session != p.to.session {
		return
	}
	p.to.node.Message(p.from.id, p.data)
	p.to.pump()
}

// run lets d pass, or tells that nothing happens any more.
func (w *world) run(d time.Duration) (quiet bool) {
	end := w.now + d
	for steps := 0; w.violation == "" || w.lenient; steps++ {
		at, do := w.next()
		if do == nil || at > end {
			w.advance(end)
			return do == nil
		}
		if steps > 200_000 {
			w.fail("it does not come to rest")
		}
		w.advance(max(at, w.now))
		do()
	}
	return false
}

func (w *world) advance(now time.Duration) {
	w.now = now
	for _, s := range w.servers {
		if s.node != nil {
			s.node.Advance(now)
			s.pump()
		}
	}
}

// mayWipe tells whether the package promises to survive the loss of this disk now.
func (w *world) mayWipe(s *server) bool {
	if w.faults.wipesAll {
		return true
	}
	if s.disk == nil {
		return true
	}
	kept, _ := DecodeKept(s.disk)
	if kept.Settled == nil && kept.Promised.none() {
		return true
	}
	if w.holds == nil {
		return false
	}
	left := 0
	for _, o := range w.servers {
		if o == s || o.disk == nil {
			continue
		}
		k, _ := DecodeKept(o.disk)
		if k.Settled != nil || k.Accepted.Founding != nil && k.Accepted.Founding.ID == w.holds.ID && !w.holdsIn.above(k.Accepted.Ballot) {
			left++
		}
	}
	return left >= len(w.servers)-len(w.servers)/2
}
