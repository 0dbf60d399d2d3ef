package machine

import (
	"encoding/binary"
	"slices"

	"github.com/lockstepmq/lockstep/server/jetstream/codec"
)

// chains are the numbers of chains of messages that were broken by a refusal, the newest last. What
// is under way of a chain when it breaks is a few messages, so few of them need to be known.
type chains []uint64

// chainsMax bounds the broken chains that are remembered.
const chainsMax = 256

func (c chains) has(number uint64) bool { return slices.Contains(c, number) }

func (c *chains) add(number uint64) {
	if number == 0 {
		return
	}
	if len(*c) >= chainsMax {
		*c = append((*c)[:0], (*c)[1:]...)
	}
	*c = append(*c, number)
}

func (c chains) snapshot(dst []byte) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(c)))
	for _, number := range c {
		dst = binary.AppendUvarint(dst, number)
	}
	return dst
}

func (c *chains) restore(r *codec.Reader) {
	for range r.Count(1) {
		c.add(r.Uint())
	}
}
