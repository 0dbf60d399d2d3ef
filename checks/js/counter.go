package js

import (
	"math/big"

	"github.com/lockstepmq/lockstep/checks/core"
)

// counters judges the values of counters: each message of a counter's subject has the value of the one before
// it and what it adds itself. Where messages between two are not known, some of those publishes of which nobody
// knows have happened there; a purge may have begun the count anew.
func (b *book) counters() {
	var subjects []string
	lists := make(map[string][]*Write)
	for _, w := range b.stored() {
		if w.Incr == "" {
			continue
		}
		if lists[w.Subject] == nil {
			subjects = append(subjects, w.Subject)
		}
		lists[w.Subject] = append(lists[w.Subject], w)
	}
	if len(subjects) == 0 {
		return
	}
	values := b.values()
	for _, subject := range subjects {
		b.counter(lists[subject], values)
	}
}

// values collects what was told of the value at each sequence; all who told must agree.
func (b *book) values() map[uint64]string {
	values := make(map[uint64]string)
	told := func(seq uint64, val string, at core.Stamp) {
		if was, known := values[seq]; known && was != val {
			b.report(Counter, at, "the counter at %d of stream %s was %q, and is %q", seq, b.s.Name, was, val)
		}
		values[seq] = val
	}
	for _, w := range b.s.Writes {
		if w.Outcome == OK && !w.Dup && w.Val != "" {
			told(w.Seq, w.Val, w.Return)
		}
	}
	for _, r := range b.s.Reads {
		if r.ID != 0 {
			told(r.Seq, r.Val, r.Return)
		}
	}
	for _, a := range b.s.Audits {
		for i := range a.Msgs {
			told(a.Msgs[i].Seq, a.Msgs[i].Val, a.At)
		}
	}
	return values
}

// counter follows one counter from message to message.
func (b *book) counter(list []*Write, values map[uint64]string) {
	var before *Write // whose value is known; nil is the beginning
	total := new(big.Int)
	var since []*big.Int // what was added after it
	for _, w := range list {
		incr, ok := new(big.Int).SetString(w.Incr, 10)
		if !ok {
			continue
		}
		since = append(since, incr)
		text, known := values[w.Seq]
		if !known {
			continue // its value was never told: what it added is
		}
		val, ok := new(big.Int).SetString(text, 10)
		if !ok {
			b.report(Counter, w.Return, "%s at %d of stream %s has the value %q, which is no number", w, w.Seq, b.s.Name, text)
			return
		}
		if !b.explained(before, w, total, since, val) {
			b.report(Counter, w.Return, "%s added %s at %d of stream %s and made it %s: before it was %s, and %v were added since",
				w, w.Incr, w.Seq, b.s.Name, val, total, since)
			return
		}
		before, total, since = w, val, since[:0]
	}
}

// explained tells whether a counter that was total at the message before may be val after some increments.
func (b *book) explained(before, w *Write, total *big.Int, since []*big.Int, val *big.Int) bool {
	rest := new(big.Int).Sub(val, total) // less what is known: what publishes of which nobody knows have added
	for _, n := range since {
		rest.Sub(rest, n)
	}
	if rest.Sign() == 0 {
		return true
	}
	room, open := b.room(before, w), b.openIncrements(before, w)
	if sumsUp(rest, open, room) {
		return true
	}
	if !b.purgedBetween(before, w) {
		return false
	}
	rest.Set(val) // it began anew at some place
	for i := len(since) - 1; i >= 0; i-- {
		if rest.Sub(rest, since[i]); sumsUp(rest, open, room) {
			return true
		}
	}
	return false
}

// purgedBetween tells whether a purge may have come between two messages.
func (b *book) purgedBetween(before, w *Write) bool {
	for _, r := range b.s.Removals {
		if r.Outcome != Refused && covers(r.Filter, w.Subject) && r.Call < w.Return && (before == nil || r.Return > before.Call) {
			return true
		}
	}
	return false
}

// room is how many sequences between two messages hold what nobody knows.
func (b *book) room(before, w *Write) int {
	from := uint64(0)
	if before != nil {
		from = before.Seq
	}
	n := int(w.Seq-from) - 1
	for seq := from + 1; seq < w.Seq; seq++ {
		if _, known := b.places[seq]; known {
			n--
		}
	}
	return n
}

// openIncrements are those of a subject of which nobody knows, and that may have come before a message.
func (b *book) openIncrements(before, w *Write) []*big.Int {
	var list []*big.Int
	for _, p := range b.s.Writes {
		if p.Outcome != Unknown || p.Seq != 0 || p.Subject != w.Subject || p.Call > w.Return || before != nil && p.Return < before.Call {
			continue
		}
		if n, ok := new(big.Int).SetString(p.Incr, 10); ok {
			list = append(list, n)
		}
	}
	return list
}

// sumsMax bounds the sums that are tried; what would take more counts as possible.
const sumsMax = 20000

// sumsUp tells whether at most n of some numbers add up to a sum.
func sumsUp(sum *big.Int, list []*big.Int, n int) bool {
	if sum.Sign() == 0 {
		return true
	}
	least := map[string]int{"0": 0} // by sum: how few make it
	for _, x := range list {
		next := make(map[string]int, 2*len(least))
		for text, k := range least { //lockstep:ordered a map becomes a map
			was, _ := new(big.Int).SetString(text, 10)
			with := was.Add(was, x).String()
			if old, known := next[text]; !known || k < old {
				next[text] = k
			}
			if old, known := next[with]; k < n && (!known || k+1 < old) {
				next[with] = k + 1
			}
		}
		if least = next; len(least) > sumsMax {
			return true
		}
	}
	_, found := least[sum.String()]
	return found
}
