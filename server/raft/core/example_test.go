package core_test

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// A host with three members in one process: its log is a list, its network a queue.
func Example() {
	ids := []core.MemberID{1, 2, 3}
	members := map[core.MemberID]*core.Core{}
	for _, id := range ids {
		c, err := core.Bootstrap(core.DefaultOptions(id, rand.New(rand.NewPCG(1, uint64(id)))), ids, 1, 0)
		if err != nil {
			panic(err)
		}
		members[id] = c
	}
	var network []core.Message
	carryOut := func(c *core.Core) {
		for c.HasReady() {
			r := c.Ready()
			// here the log gets r.Hard, r.Truncate, r.Append and r.Repair
			network = append(network, r.Messages...)
			for i := range r.Committed {
				if e := &r.Committed[i]; e.Kind <= core.KindHostMax {
					fmt.Printf("member %d applies %d: %s\n", c.ID(), e.Index, e.Payload)
				}
				c.Applied(r.Committed[i].Index)
			}
			if r.Mark > 0 {
				c.Persisted(r.Mark) // once the log says so
			}
		}
	}
	task := func(now time.Duration) {
		for _, id := range ids {
			members[id].Advance(now)
			carryOut(members[id])
		}
		for len(network) > 0 {
			m := network[0]
			network = network[1:]
			members[m.To].Step(&m)
			carryOut(members[m.To])
		}
	}
	task(0)
	index, err := members[1].Propose(0, []byte("hello"))
	fmt.Println("proposed", index, err)
	task(0)
	task(5 * time.Millisecond) // the followers hear that it is committed

	// Output:
	// proposed 2 <nil>
	// member 1 applies 2: hello
	// member 2 applies 2: hello
	// member 3 applies 2: hello
}
