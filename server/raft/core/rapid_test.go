package core

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// TestSafety lets rapid choose every step, so that what breaks an invariant is made small: election
// safety, leader completeness, log matching, state machine safety, what is committed stays, what is said is durable,
// reads are linearizable, and who forgot or is damaged does not count.
func TestSafety(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := &chaos{world: newWorld(rapid.Uint64Range(0, 99).Draw(t, "seed")), r: rand.New(rand.NewPCG(1, 1)), faults: map[string]int{}}
		c.slow = true
		c.hosted = rapid.Bool().Draw(t, "hosted")
		window := rapid.IntRange(1, 4).Draw(t, "window")
		c.tune = func(o *Options) { o.InflightMessagesMax, o.AppendBytesMax, o.HostHeartbeats = window, window, c.hosted }
		c.bootstrap(rapid.SampledFrom([]int{1, 2, 3, 3, 3, 4, 5}).Draw(t, "members"), 1)
		c.backups = make([]disk, len(c.nodes))
		ctx := uint64(0)
		some := func(t *rapid.T) *node { return c.nodes[rapid.IntRange(0, len(c.nodes)-1).Draw(t, "member")] }
		live := func(t *rapid.T) *node {
			n := some(t)
			if n.c == nil {
				t.Skip("down")
			}
			return n
		}
		message := func(t *rapid.T) int {
			if len(c.net) == 0 {
				t.Skip("nothing under way")
			}
			return rapid.IntRange(0, min(len(c.net), 6)-1).Draw(t, "message")
		}
		deliver := func(t *rapid.T) { c.world.deliver(c.take(message(t))) }
		flush := func(t *rapid.T) { live(t).flush(rapid.IntRange(1, 3).Draw(t, "writes")) }
		t.Repeat(map[string]func(*rapid.T){
			"deliver":   deliver,
			"deliver 2": deliver,
			"deliver 3": deliver,
			"deliver all": func(*rapid.T) {
				for range len(c.net) {
					c.world.deliver(c.take(0))
				}
			},
			"drop": func(t *rapid.T) { c.take(message(t)) },
			"double": func(t *rapid.T) {
				p := *c.net[message(t)]
				c.net = append(c.net, &p)
			},
			"flush":   flush,
			"flush 2": flush,
			"flush all": func(*rapid.T) {
				for _, n := range c.nodes {
					n.flush(1 << 30)
				}
			},
			"wait": func(t *rapid.T) {
				c.now += time.Duration(rapid.IntRange(1, 130).Draw(t, "ms")) * time.Millisecond
				live(t).advance()
			},
			"propose": func(t *rapid.T) {
				n := live(t)
				for range rapid.IntRange(1, 3).Draw(t, "count") {
					c.proposed++
					if _, err := n.c.Propose(0, fmt.Appendf(nil, "%d", c.proposed)); err != nil {
						break
					}
				}
				n.pump()
			},
			"read": func(t *rapid.T) {
				n := live(t)
				ctx++
				c.judge.ask(n, ctx)
				if n.c.ReadIndex(ctx) != nil {
					delete(c.judge.asked, question{n.id, n.restarts, ctx})
				}
				n.pump()
			},
			"crash": func(t *rapid.T) {
				n := live(t)
				n.crash(rapid.IntRange(0, 3).Draw(t, "kept"))
				c.told(n)
			},
			"start": func(t *rapid.T) {
				n := some(t)
				if n.c != nil {
					t.Skip("runs")
				}
				n.start()
			},
			"cut": func(t *rapid.T) {
				a, b := some(t), some(t)
				c.cut[a.id-1][b.id-1] = rapid.Bool().Draw(t, "cut")
			},
			"vouch":   func(*rapid.T) { c.vouch() },
			"forget":  func(t *rapid.T) { c.oblivion(some(t)) },
			"operate": func(*rapid.T) { c.operate() },
			"damage": func(t *rapid.T) {
				n := some(t)
				if !c.mayHarm(n) || len(n.disk.entries) == 0 {
					t.Skip("beyond repair")
				}
				c.judge.tainted = true
				n.damage(n.disk.snap.Index + Index(rapid.IntRange(1, len(n.disk.entries)).Draw(t, "entry")))
				if n.c != nil {
					n.pump()
				}
			},
			"compact": func(t *rapid.T) { live(t).compact() },
			"transfer": func(t *rapid.T) {
				n, to := live(t), some(t)
				_ = n.c.TransferLeadership(to.id)
				n.pump()
			},
			"resign": func(t *rapid.T) {
				n := live(t)
				n.c.Resign()
				n.pump()
			},
			"sleep": func(t *rapid.T) {
				n := live(t)
				if !n.c.Sleep() {
					n.c.Wake()
				}
				n.pump()
			},
			"": func(t *rapid.T) {
				c.judge.logs()
				require.Empty(t, c.judge.broken)
			},
		})
		c.heal(false)
		missing := c.converge()
		require.Empty(t, c.judge.broken)
		require.Empty(t, missing, "after all faults ended")
	})
}

// TestMedianOffset compares with a definition: at least half of the clocks are not above it, and at
// least half are not below it.
func TestMedianOffset(t *testing.T) {
	require.Zero(t, MedianOffset(nil))
	rapid.Check(t, func(t *rapid.T) {
		list := rapid.SliceOfN(rapid.Int64Range(-5, 5), 1, 9).Draw(t, "offsets")
		var offsets []time.Duration
		for _, o := range list {
			offsets = append(offsets, time.Duration(o))
		}
		m := MedianOffset(offsets)
		below, above := 0, 0
		for _, o := range offsets {
			if o <= m {
				below++
			}
			if o >= m {
				above++
			}
		}
		require.GreaterOrEqual(t, 2*below, len(offsets))
		require.GreaterOrEqual(t, 2*above, len(offsets))
	})
}

// TestTail compares the log's tail with a slice.
func TestTail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var tl tail
		tl.reset(0, 0)
		model := []Entry{{}} // by index; 0 is before the first
		snap, first := Index(0), Index(1)
		last := func() Index { return Index(len(model) - 1) }
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				term := model[last()].Term + Term(rapid.IntRange(0, 1).Draw(t, "rise"))
				e := Entry{Index: last() + 1, Term: max(term, 1), Payload: make([]byte, rapid.IntRange(0, 3).Draw(t, "size"))}
				model = append(model, e)
				tl.append(e)
			},
			"truncate": func(t *rapid.T) {
				i := Index(rapid.Uint64Range(uint64(snap)+1, uint64(last())+1).Draw(t, "from"))
				model = model[:i]
				first = min(first, i)
				tl.truncate(i)
			},
			"compact": func(t *rapid.T) {
				snap = Index(rapid.Uint64Range(uint64(snap), uint64(last())).Draw(t, "to"))
				first = max(first, snap+1)
				tl.compact(snap)
			},
			"evict": func(t *rapid.T) {
				i := Index(rapid.Uint64Range(uint64(snap), uint64(last())).Draw(t, "to"))
				first = max(first, i+1)
				tl.evict(i)
			},
			"": func(t *rapid.T) {
				require.Equal(t, last(), tl.last)
				require.Equal(t, model[last()].Term, tl.lastTerm())
				require.Equal(t, first, tl.first)
				bytes := 0
				for i, e := range model {
					switch at := Index(i); {
					case at < snap:
						require.Zero(t, tl.term(at))
					default:
						require.Equal(t, e.Term, tl.term(at), "term at %d", i)
					}
					if Index(i) >= first {
						require.Equal(t, e, *tl.at(Index(i)))
						bytes += len(e.Payload)
					}
				}
				require.EqualValues(t, bytes, tl.bytes)
				require.Zero(t, tl.term(last()+1))
				require.Len(t, tl.held(first, last()+1), int(last()+1-first))
				for term := Term(0); term <= model[last()].Term; term++ {
					i, got := tl.before(last(), term)
					want := last()
					for want > snap && model[want].Term > term {
						want--
					}
					require.Equal(t, want, i)
					require.Equal(t, model[i].Term, got)
				}
			},
		})
	})
}
