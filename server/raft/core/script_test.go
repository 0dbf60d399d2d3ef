package core

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lockstepmq/lockstep/server/test/scripts"
)

// TestScripts runs the scripts of testdata: commands, one a line, and after ---- what happened, in
// full. Blank lines divide the steps.
func TestScripts(t *testing.T) { scripts.Run(t, "testdata/*.txt", runScript) }

func runScript(t *testing.T, text string) string {
	s := &script{world: newWorld(1)}
	s.coded = true
	s.trace = func(format string, args ...any) { fmt.Fprintf(&s.out, format+"\n", args...) }
	printed := scripts.Blocks(text, func(in string) string {
		s.out.Reset()
		for line := range scripts.Commands(in) {
			s.run(t, line)
		}
		return s.out.String()
	})
	s.judge.logs()
	for _, v := range s.judge.broken {
		t.Error(v)
	}
	return printed
}

// script is a world that is told what to do by words.
type script struct {
	*world
	out strings.Builder
}

// words of a command; numbers are member ids or amounts.
type words []string

func (w words) num(i int) int {
	if i >= len(w) {
		return 0
	}
	n, err := strconv.Atoi(w[i])
	if err != nil {
		panic(fmt.Sprintf("%v: word %d is no number", []string(w), i))
	}
	return n
}

func (w words) ids(from int) (ids []MemberID) {
	for i := from; i < len(w); i++ {
		ids = append(ids, MemberID(w.num(i)))
	}
	return ids
}

func (s *script) run(t *testing.T, line string) {
	w := words(strings.Fields(line))
	if command, known := worldCommands[w[0]]; known {
		command(s, w)
		return
	}
	command, known := nodeCommands[w[0]]
	if !known {
		t.Fatalf("unknown command %q", line)
	}
	n := s.node(MemberID(w.num(1)))
	command(s, n, w)
	if n.c != nil {
		n.pump()
	}
}

func (s *script) print(err error) {
	if err != nil {
		fmt.Fprintln(&s.out, "error:", err)
	}
}

var worldCommands = map[string]func(*script, words){
	// group COUNT [LEADER] creates a group and settles it.
	"group": func(s *script, w words) {
		s.bootstrap(w.num(1), MemberID(max(w.num(2), 1)))
		s.settle()
	},
	// set NAME VALUE changes an option of members to come.
	"set": func(s *script, w words) {
		before := s.tune
		s.hosted = s.hosted || w[1] == "host-heartbeats"
		s.tune = func(o *Options) {
			if before != nil {
				before(o)
			}
			setOption(o, w)
		}
	},
	"settle": func(s *script, _ words) { s.settle() },
	// lazy: hosts take their time with snapshots; host ID does the next thing that waits.
	"lazy": func(s *script, _ words) { s.lazy = true },
	// pass MS lets time pass.
	"pass": func(s *script, w words) { s.passHosted(time.Duration(w.num(1)) * time.Millisecond) },
	// unhosted: hosts vouch for nobody any more.
	"unhosted": func(s *script, _ words) { s.hosted = false },
	// silence lets all live members miss their leader, as if time had passed.
	"silence": func(s *script, _ words) {
		for _, n := range s.nodes {
			if n.c != nil {
				n.c.heardAt -= n.c.opts.ElectionMax
			}
		}
	},
	// cut ID... isolates members; cut-link FROM TO one direction; heal ends all.
	"cut": func(s *script, w words) {
		for _, id := range w.ids(1) {
			for other := range s.nodes {
				s.world.cut[id-1][other], s.world.cut[other][id-1] = true, true
			}
		}
	},
	"cut-link": func(s *script, w words) { s.world.cut[w.num(1)-1][w.num(2)-1] = true },
	"heal": func(s *script, _ words) {
		for i := range s.world.cut {
			clear(s.world.cut[i])
		}
	},
	// drop loses what is under way; deliver [N] delivers N messages, or all, and shows them.
	"drop": func(s *script, _ words) { s.net = s.net[:0] },
	"deliver": func(s *script, w words) {
		for n := cmpOr(w.num(1), 10_000); n > 0 && len(s.net) > 0; n-- {
			s.show(0)
		}
	},
	// deliver-to ID delivers what is under way to the member; repeat doubles what is under way; reverse turns it round.
	"deliver-to": func(s *script, w words) {
		for i := 0; i < len(s.net); {
			if s.net[i].To == MemberID(w.num(1)) {
				s.show(i)
			} else {
				i++
			}
		}
	},
	"repeat": func(s *script, _ words) {
		for _, p := range slices.Clone(s.net) {
			s.net = append(s.net, &packet{Message: p.Message})
		}
	},
	"reverse": func(s *script, _ words) { slices.Reverse(s.net) },
	"network": func(s *script, _ words) {
		for _, p := range s.net {
			fmt.Fprintln(&s.out, describeMessage(&p.Message))
		}
	},
	"status": func(s *script, _ words) {
		for _, n := range s.nodes {
			s.status(n)
		}
	},
	// server adds a server that is no member.
	"server": func(s *script, _ words) {
		n := s.add()
		n.disk.forgot = true
		n.start()
	},
}

func cmpOr(a, b int) int {
	if a == 0 {
		return b
	}
	return a
}

func setOption(o *Options, w words) {
	switch w[1] {
	case "window":
		o.InflightMessagesMax = w.num(2)
	case "window-bytes":
		o.InflightBytesMax = w.num(2)
	case "append-bytes":
		o.AppendBytesMax = w.num(2)
	case "uncommitted":
		o.UncommittedMax = int64(w.num(2))
	case "unapplied":
		o.UnappliedMax = int64(w.num(2))
	case "host-heartbeats":
		o.HostHeartbeats = true
	default:
		panic("unknown option " + w[1])
	}
}

func (s *script) show(i int) {
	p := s.take(i)
	text := describeMessage(&p.Message)
	if s.lost(&p.Message) {
		text += " (lost)"
	}
	fmt.Fprintln(&s.out, text)
	s.world.deliver(p)
}

func (s *script) status(n *node) { n.status(&s.out) }

// status prints a member's state, and what a leader knows of the others.
func (n *node) status(out *strings.Builder) {
	if n.c == nil {
		fmt.Fprintf(out, "%d: down\n", n.id)
		return
	}
	c := n.c
	st := c.State()
	fmt.Fprintf(out, "%d: %v of term %d, leader %d, %v, log %d-%d, flushed %d, committed %d, applied %d, %s\n",
		n.id, st.Role, st.Term, st.Leader, st.Standing, c.First(), c.Last(), c.Flushed(), c.Commit(), c.applied, describeConfig(c.Config()))
	for i := range c.peers {
		p := &c.peers[i]
		fmt.Fprintf(out, "   %d: %v match %d next %d in flight %d\n", p.id, p.pace, p.match, p.next, p.sent.count)
	}
}

var nodeCommands = map[string]func(*script, *node, words){
	// propose ID PAYLOAD...
	"propose": func(s *script, n *node, w words) {
		for _, p := range w[2:] {
			_, err := n.c.Propose(0, []byte(p))
			s.print(err)
		}
	},
	// campaign ID is what the end of a silence does.
	"campaign": func(_ *script, n *node, _ words) { n.c.electionDue() },
	"crash":    func(_ *script, n *node, w words) { n.crash(w.num(2)) },
	"start":    func(_ *script, n *node, _ words) { n.start() },
	// forget ID lets a stopped member start without knowing what it promised; wipe empties its disk, too;
	// lose ID N takes the last N entries.
	"forget": func(s *script, n *node, _ words) { s.forget(n) },
	"wipe": func(s *script, n *node, _ words) {
		n.disk = disk{}
		s.forget(n)
	},
	"lose": func(s *script, n *node, w words) {
		n.disk.entries = n.disk.entries[:len(n.disk.entries)-w.num(2)]
		s.forget(n)
	},
	// damage ID INDEX... makes entries unreadable: at once when it runs, else at the next start.
	"damage": func(s *script, n *node, w words) {
		s.judge.tainted = true
		for _, i := range w.ids(2) {
			n.damage(Index(i))
		}
	},
	// slow ID lets writes wait for flush ID [COUNT]; fast ends it.
	"slow":  func(_ *script, n *node, _ words) { n.slow = true },
	"fast":  func(_ *script, n *node, _ words) { n.slow = false; n.flush(1 << 30) },
	"flush": func(_ *script, n *node, w words) { n.flush(cmpOr(w.num(2), 1<<30)) },
	// hold ID keeps the machine from applying; apply ID goes on.
	"hold":  func(_ *script, n *node, _ words) { n.manual = true },
	"apply": func(_ *script, n *node, _ words) { n.manual = false; n.c.Applied(n.machine.applied) },
	// learn LEADER ID, join, promote, remove: several words may be given.
	"change": func(s *script, n *node, w words) {
		ch, list := Change{}, (*[]MemberID)(nil)
		for i := 2; i < len(w); i++ {
			switch w[i] {
			case "learn":
				list = &ch.Learn
			case "join":
				list = &ch.Join
			case "promote":
				list = &ch.Promote
			case "remove":
				list = &ch.Remove
			default:
				*list = append(*list, MemberID(w.num(i)))
			}
		}
		_, err := n.c.ProposeConfig(ch)
		s.print(err)
	},
	"transfer": func(s *script, n *node, w words) { s.print(n.c.TransferLeadership(MemberID(w.num(2)))) },
	"cancel":   func(s *script, n *node, _ words) { s.print(n.c.CancelChange()) },
	"resign":   func(_ *script, n *node, _ words) { n.c.Resign() },
	"prefer":   func(_ *script, n *node, w words) { n.c.SetPreferred(MemberID(w.num(2))) },
	"suppress": func(_ *script, n *node, _ words) { n.c.SetSuppressed(true) },
	"read": func(s *script, n *node, w words) {
		for i := 2; i < len(w); i++ {
			s.judge.ask(n, uint64(w.num(i)))
			s.print(n.c.ReadIndex(uint64(w.num(i))))
		}
	},
	"compact": func(_ *script, n *node, _ words) { n.compact() },
	"sleep": func(s *script, n *node, _ words) {
		if !n.c.Sleep() {
			fmt.Fprintln(&s.out, "does not sleep")
		}
	},
	"host": func(_ *script, n *node, _ words) { n.doLater(true) },
	"wake": func(_ *script, n *node, _ words) { n.c.Wake() },
	"down": func(_ *script, n *node, w words) { n.c.PeerDown(MemberID(w.num(2))) },
	"up":   func(_ *script, n *node, w words) { n.c.PeerUp(MemberID(w.num(2))) },
	// alive ID LEADER TERM is what a host's heartbeat tells.
	"alive": func(_ *script, n *node, w words) { n.c.LeaderAlive(MemberID(w.num(2)), Term(w.num(3))) },
	"reform": func(s *script, n *node, w words) {
		s.judge.exempt = true
		s.judge.committed, s.judge.states = nil, nil
		n.c.Reform(true, w.ids(2)...)
	},
	"deadline": func(s *script, n *node, _ words) {
		at, ok := n.c.Deadline()
		fmt.Fprintf(&s.out, "deadline %v\n", map[bool]any{true: at - s.now, false: "never"}[ok])
	},
	// clock ID MS sets how far a wall clock is ahead; offset shows what a leader makes of the clocks.
	"clock": func(_ *script, n *node, w words) { n.wall = time.Duration(w.num(2)) * time.Millisecond },
	"offset": func(s *script, n *node, _ words) {
		fmt.Fprintf(&s.out, "clock offset %v\n", n.c.ClockOffset())
	},
	"status-of": func(s *script, n *node, _ words) { s.status(n) },
	"log": func(s *script, n *node, _ words) {
		for _, e := range n.c.log.held(n.c.First(), n.c.Last()+1) {
			fmt.Fprintln(&s.out, describe(&e))
		}
		for _, d := range n.c.Damaged() {
			fmt.Fprintf(&s.out, "damaged %d/%d\n", d.Index, d.Term)
		}
	},
}

func (w *world) forget(n *node) {
	w.judge.tainted = true
	n.disk.forgot = true
	n.disk.hard.Vote = 0
}

// damage makes an entry unreadable.
func (n *node) damage(i Index) {
	d := &n.disk
	if i <= d.snap.Index || i > d.last() || n.c != nil && i > n.c.Flushed() {
		return
	}
	if !slices.Contains(d.damaged, i) {
		d.damaged = append(d.damaged, i)
		slices.Sort(d.damaged)
	}
	e := &d.entries[i-d.snap.Index-1]
	e.Payload = nil
	if n.c != nil {
		n.c.SetDamaged(i)
	} else {
		e.Term = 0
	}
}

func describeMessage(m *Message) string {
	s := fmt.Sprintf("%d->%d t%d %v", m.From, m.To, m.Term, m.Type)
	if m.Is(Reject) {
		s += " reject"
	}
	if m.Is(Transfer) {
		s += " transfer"
	}
	if m.Is(All) {
		s += " all"
	}
	if m.Is(Last) {
		s += " last"
	}
	if m.Is(SaysForgot) {
		s += " forgot"
	}
	if m.Is(SaysDamaged) {
		s += " damaged"
	}
	switch m.Type {
	case MsgAppend:
		s += fmt.Sprintf(" after %d/%d", m.Index, m.LogTerm)
	case MsgVote, MsgPreVote, MsgFetch, MsgFetched, MsgSleep, MsgSnapshot:
		s += fmt.Sprintf(" %d/%d", m.Index, m.LogTerm)
	case MsgAppended, MsgReadReply, MsgHeartbeatReply:
		s += fmt.Sprintf(" %d", m.Index)
	}
	if m.Is(Reject) && m.Type == MsgAppended {
		s += fmt.Sprintf(" hint %d/%d", m.Hint, m.HintTerm)
	}
	if m.Type == MsgAppend || m.Type == MsgHeartbeat {
		s += fmt.Sprintf(" commit %d", m.Commit)
	}
	if m.Type == MsgSnapshot || m.Type == MsgSnapshotReply {
		s += fmt.Sprintf(" offset %d", m.Offset)
	}
	for i := range m.Entries {
		s += " [" + describe(&m.Entries[i]) + "]"
	}
	return s
}
