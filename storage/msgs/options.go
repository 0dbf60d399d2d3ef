package msgs

import (
	"github.com/lockstepmq/lockstep/storage/seal"
)

// Sizes that Options leaves to the store, in bytes.
const (
	blockBytesMemory = 1 << 20
	blockBytesFile   = 8 << 20
	blockBytesSealed = 2 << 20
	// blockBytesMin keeps tiny blocks of simulations above a few records.
	blockBytesMin = 256
	// blockBytesMax leaves offsets in a block room for one more record of full length.
	blockBytesMax = 1 << 30
)

// Options say how a store behaves. The zero value is fine.
type Options struct {
	// Limits of a new store; a manifest brings its own.
	Limits Limits
	// Compression of blocks of a new store; a manifest brings its own.
	Compression Compression
	// BlockBytes is the length at which a block ends, 256 to 1 GiB; 0 is 1 MiB in memory,
	// 8 MiB in files and 2 MiB in encrypted ones.
	BlockBytes int
	// Sealer encrypts what is written and opens what is read; nil leaves it plain. A store that
	// was made with one cannot be opened without.
	Sealer *seal.Sealer
	// Identity is mixed into every checksum, so that files of another store, or of an
	// earlier one of the same name, never pass for this one's.
	Identity uint64
	// Seed is drawn for the table of subjects, so that nobody can choose subjects that collide in it. No answer
	// depends on it.
	Seed uint64
	// Cache bounds the content in memory of all stores that share it; nil is a
	// cache of the store's own, of 64 MiB.
	Cache *Cache
	// Files bounds the open files of all stores that share it; nil is 64 for this store.
	Files *Files
	// OnLost is told of damage that a read found: messages, how many more than were known, of which seq is the
	// first. It is called on the strand; nil tells nobody.
	OnLost func(seq uint64, messages int)
	// OnFull is told when the disk has no space, and with nil when everything that waited for some was written: only now
	// a checkpoint can succeed again. It is called on the strand; nil tells nobody.
	OnFull func(err error)
}

// blockBytes is the length at which a block ends.
func (o *Options) blockBytes(file bool) int {
	switch {
	case o.BlockBytes > 0:
		return min(max(o.BlockBytes, blockBytesMin), blockBytesMax)
	case !file:
		return blockBytesMemory
	case o.Sealer != nil:
		return blockBytesSealed
	}
	return blockBytesFile
}
