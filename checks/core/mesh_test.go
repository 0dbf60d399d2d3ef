package core

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// mesh is two servers: a publisher at the first, and a subscription at the second.
func mesh(queue string) (s *scene, from *Conn, sub *Sub) {
	s = newScene()
	s.h.World.Mesh = true
	from = s.conn("a")
	sub = s.member(2, "1", queue)
	return s, from, sub
}

// member is a subscription to t at a server, which has been confirmed.
func (s *scene) member(epoch int, sid, queue string) *Sub {
	c := s.conn("a")
	c.Epoch = epoch
	sub := s.sub(c, sid, "t", queue)
	s.sync(c)
	return sub
}

func (s *scene) broken() (names []string) {
	for _, v := range Check(&s.h).Violations {
		names = append(names, v.Invariant)
	}
	return names
}

// TestServersThatShare: what is certain between servers, and what is not.
func TestServersThatShare(t *testing.T) {
	for _, tc := range []struct {
		name string
		run  func() *scene
		want []string
	}{
		{"what is lost on the way may be lost", func() *scene {
			s, from, _ := mesh("")
			s.pub(from, "t")
			return s
		}, nil},
		{"once all is settled nothing may", func() *scene {
			s, from, _ := mesh("")
			s.pub(from, "t").Probe = true
			return s
		}, []string{Reach}},
		{"nor what is for a queue group", func() *scene {
			s, from, _ := mesh("q")
			s.member(1, "1", "q")
			s.pub(from, "t").Probe = true
			return s
		}, []string{Reach}},
		{"before, a server may choose one that has just gone", func() *scene {
			s, from, _ := mesh("q")
			s.member(1, "1", "q")
			s.pub(from, "t")
			return s
		}, nil},
		{"one member of a group, wherever", func() *scene {
			s, from, sub := mesh("q")
			other := s.member(3, "1", "q")
			p := s.pub(from, "t")
			s.deliver(sub, p)
			s.deliver(other, p)
			return s
		}, []string{QueueOne}},
		{"a message that was long on its way", func() *scene {
			s := newScene()
			s.h.World.Mesh = true
			from := s.conn("a")
			p := s.pub(from, "t")
			s.sync(from)
			s.deliver(s.member(2, "1", ""), p)
			return s
		}, nil},
		{"nothing twice", func() *scene {
			s, from, sub := mesh("")
			p := s.pub(from, "t")
			s.deliver(sub, p)
			s.deliver(sub, p)
			return s
		}, []string{NoMore}},
		{"but what was sent on for a queue group", func() *scene {
			s, from, sub := mesh("")
			s.member(3, "1", "q")
			p := s.pub(from, "t")
			s.deliver(sub, p)
			s.deliver(sub, p)
			return s
		}, nil},
		{"in order", func() *scene {
			s, from, sub := mesh("")
			first, second := s.pub(from, "t"), s.pub(from, "t")
			s.deliver(sub, second)
			s.deliver(sub, first)
			return s
		}, []string{PairOrder}},
		{"while no connection breaks", func() *scene {
			s, from, sub := mesh("")
			first, second := s.pub(from, "t"), s.pub(from, "t")
			s.h.World.Breaks = []Break{{Between: [2]int{1, 2}, Since: s.now(), Until: s.now()}}
			s.deliver(sub, second)
			s.deliver(sub, first)
			return s
		}, nil},
		{"another connection is another matter", func() *scene {
			s, from, sub := mesh("")
			s.h.World.Breaks = []Break{{Between: [2]int{1, 2}, Since: 0, Until: s.now()}, {Between: [2]int{2, 3}, Since: 0, Until: Never}}
			first, second := s.pub(from, "t"), s.pub(from, "t")
			s.deliver(sub, second)
			s.deliver(sub, first)
			return s
		}, []string{PairOrder}},
		{"never another account's", func() *scene {
			s, from, _ := mesh("")
			c := s.conn("c")
			c.Epoch = 2
			sub := s.sub(c, "1", "t", "")
			s.sync(c)
			s.deliver(sub, s.pub(from, "t"))
			return s
		}, []string{Isolation}},
		{"who was interested elsewhere may be so still", func() *scene {
			s, from, sub := mesh("")
			s.unsub(sub, 0)
			s.sync(sub.Conn)
			s.sub(from, "9", "in", "")
			s.sync(from)
			s.pub(from, "t").Reply = "in"
			return s
		}, nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := tc.run()
			s.syncAll()
			require.Equal(t, tc.want, s.broken())
		})
	}
}
