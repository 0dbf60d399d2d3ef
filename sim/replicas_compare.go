package sim

import (
	"fmt"
	"hash/fnv"
	"time"

	"github.com/lockstepmq/lockstep/checks/js"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/stream"
)

// replicaContent is what one server holds of a stream.
type replicaContent struct {
	server      string
	leads       bool
	first, last uint64
	msgs, bytes uint64
	hash        uint64
	read        bool // wholly
	failed      string
}

func (c *replicaContent) String() string {
	role := "follows"
	if c.leads {
		role = "leads"
	}
	if !c.read {
		return fmt.Sprintf("%s (%s) cannot be read%s", c.server, role, c.failed)
	}
	return fmt.Sprintf("%s (%s) has %d to %d, %d messages of %d bytes, hash %016x", c.server, role, c.first, c.last, c.msgs, c.bytes, c.hash)
}

// converge demands that each stream has one leader soon, and that all its servers hold the same.
func (r *replicasWorld) converge(advance func(time.Duration)) bool {
	equal := true
	for d := time.Duration(0); ; d += time.Second {
		diff, same := r.compare(advance)
		if diff == "" {
			return true
		}
		if equal = same; d >= convergeMax {
			name := js.Converge
			if !equal {
				name = js.Equal
			}
			r.w.violate(name, "%v after everything was healed: %s", convergeMax, diff)
			return false
		}
		advance(time.Second)
		r.watch()
	}
}

// compare tells what keeps the servers from being equal; level tells that it is not the content of servers
// that have the same sequences.
func (r *replicasWorld) compare(advance func(time.Duration)) (diff string, level bool) {
	for _, l := range r.js.loads {
		for _, s := range l.streams() {
			if !s.created {
				continue
			}
			if diff, level := r.compareStream(advance, s.name); diff != "" {
				return diff, level
			}
		}
	}
	return "", true
}

func (r *replicasWorld) compareStream(advance func(time.Duration), name string) (diff string, level bool) {
	var list []*replicaContent
	for _, n := range r.nodes {
		c := &replicaContent{server: n.name, failed: ": the stream is not there"}
		list = append(list, c)
		if n.process == nil || !n.serving {
			c.failed = ": it is down"
			continue
		}
		m := n.process.server.JetStream()
		m.Strand().Post(func() {
			m.Held(func(account, held string, s *stream.Stream) {
				if account == jsAccount && held == name {
					c.failed = ": it does not answer"
					s.Do(m.Strand(), func() { c.begin(s) })
				}
			})
		})
	}
	for range 40 {
		advance(boundStep)
		if list[0].read && list[1].read && list[2].read {
			break
		}
	}
	leaders, same, level := 0, true, true
	for _, c := range list {
		if c.leads {
			leaders++
		}
		if !c.read || c.first != list[0].first || c.last != list[0].last {
			same = false
		} else if c.hash != list[0].hash || c.msgs != list[0].msgs || c.bytes != list[0].bytes {
			level = false
		}
	}
	if leaders == 1 && same && level {
		r.compared += int(list[0].msgs)
		return "", true
	}
	return fmt.Sprintf("stream %s has %d leaders: %v; %v; %v", name, leaders, list[0], list[1], list[2]), level || !same
}

// begin reads the stream on its strand.
func (c *replicaContent) begin(s *stream.Stream) {
	st := s.State()
	c.leads, c.first, c.last, c.msgs, c.bytes = s.Leads(), st.FirstSeq, st.LastSeq, st.Msgs, st.Bytes
	h := fnv.New64a()
	var next func(seq uint64)
	next = func(seq uint64) {
		s.GetMsg(&api.JSApiMsgGetRequest{Seq: seq, NextFor: ">"}, func(m *api.StoredMsg, err *api.Error) {
			if err != nil {
				c.hash, c.read = h.Sum64(), true
				return
			}
			fmt.Fprintf(h, "%d %q %d %q %q\n", m.Sequence, m.Subject, m.Time.UnixNano(), m.Header, m.Data)
			next(m.Sequence + 1)
		})
	}
	next(1)
}
