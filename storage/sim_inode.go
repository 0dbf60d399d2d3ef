package storage

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
)

// sectorSize is the unit in which a simulated disk keeps, loses and rots, in bytes.
const sectorSize = 512

// olderMax bounds the sectors of a file whose older version is remembered.
const olderMax = 256

// inode is a file or directory of a simulated disk.
type inode struct {
	id  uint64
	dir bool

	// Of a file: what the system shows, what is durable, and the changes between
	// the two in their order. After a failed sync the two may differ without a
	// change that says so.
	mem   []byte
	disk  []byte
	dirty []change
	older map[int64][]byte // by sector: what its last sync replaced, of the latest olderMax
	aging []int64          // the sectors of older, the oldest first
	bad   map[int64]bool   // sectors that cannot be read until rewritten

	// Of a directory: likewise.
	names   map[string]*inode
	durable map[string]*inode
	pending []*nameChange
}

// change is a write of data at off, or (data nil) a new length off.
type change struct {
	off  int64
	data []byte
}

// nameChange binds name to node (add), or unbinds it. A rename inside one
// directory is one change with from set.
type nameChange struct {
	seq  uint64
	dir  *inode
	add  bool
	name string
	from string // a rename's old name, or ""
	node *inode
	pair *nameChange // of the removing half of a rename between directories: the adding one
	done bool        // durable
	late bool        // a later change of name is durable already
	// fromLate: a later change of from is durable already.
	fromLate bool
}

func (d *SimDisk) newInode(dir bool) *inode {
	d.inodes++
	n := &inode{id: d.inodes, dir: dir}
	if dir {
		n.names, n.durable = map[string]*inode{}, map[string]*inode{}
	}
	return n
}

// apply makes a change to an image, which grows by zeros where it must.
func (c change) apply(img []byte) []byte {
	if c.data == nil {
		return resize(img, c.off)
	}
	if end := c.off + int64(len(c.data)); end > int64(len(img)) {
		img = resize(img, end)
	}
	copy(img[c.off:], c.data)
	return img
}

// length is the file's length after the change, n before it.
func (c change) length(n int64) int64 {
	if c.data == nil {
		return c.off
	}
	return max(n, c.off+int64(len(c.data)))
}

// resize cuts an image, or extends it with zeros.
func resize(img []byte, size int64) []byte {
	old := int64(len(img))
	if size <= old {
		clear(img[size:])
		return img[:size]
	}
	img = slices.Grow(img, int(size-old))[:size]
	clear(img[old:])
	return img
}

// write changes what the system shows.
func (n *inode) write(c change) {
	n.mem = c.apply(n.mem)
	n.dirty = append(n.dirty, c)
	for s := c.off / sectorSize; len(n.bad) > 0 && s*sectorSize < c.off+int64(len(c.data)); s++ {
		delete(n.bad, s)
	}
}

// sync makes everything durable.
func (n *inode) sync() {
	for _, c := range n.dirty {
		n.keepOlder(c)
		n.disk = c.apply(n.disk)
	}
	n.dirty = nil
}

// keepOlder remembers the durable sectors that a change replaces.
func (n *inode) keepOlder(c change) {
	end := c.off + int64(len(c.data))
	for s := c.off / sectorSize; s*sectorSize < min(end, int64(len(n.disk))); s++ {
		if n.older == nil {
			n.older = map[int64][]byte{}
		}
		if n.older[s] == nil {
			n.aging = append(n.aging, s)
		}
		n.older[s] = slices.Clone(n.sector(n.disk, s))
		if len(n.aging) > olderMax {
			delete(n.older, n.aging[0])
			n.aging = n.aging[1:]
		}
	}
}

// sector is the part of an image that sector s holds.
func (n *inode) sector(img []byte, s int64) []byte {
	from := min(s*sectorSize, int64(len(img)))
	return img[from:min(from+sectorSize, int64(len(img)))]
}

// dirtyAt tells whether an unsynced change touches a range.
func (n *inode) dirtyAt(off, end int64) bool {
	for _, c := range n.dirty {
		if c.off < end && (c.data == nil || off < c.off+int64(len(c.data))) {
			return true
		}
	}
	return false
}

// settleFile decides what power loss leaves of a file.
func (d *SimDisk) settleFile(n *inode, share float64) {
	if len(n.dirty) > 0 {
		d.keepSome(n, share, d.crash)
		n.dirty = nil
	}
	n.mem = slices.Clone(n.disk)
}

// keepSome makes a subset of the unsynced changes durable, each sector of each
// change by itself, and picks one of the lengths that the file had meanwhile.
func (d *SimDisk) keepSome(n *inode, share float64, r *rand.Rand) {
	length, longest := int64(len(n.disk)), int64(len(n.disk))
	lengths := []int64{length}
	for _, c := range n.dirty {
		length = c.length(length)
		longest = max(longest, length)
		lengths = append(lengths, length)
	}
	if r.Float64() >= share {
		pick := lengths[r.IntN(len(lengths))]
		if pick != length {
			d.count(FaultLostLength, n.id)
		}
		length = pick
	}
	img := resize(n.disk, longest)
	for _, c := range n.dirty {
		n.keepOlder(c)
		if c.data == nil {
			if r.Float64() < share {
				clear(img[min(c.off, int64(len(img))):])
			} else {
				d.count(FaultLostWrite, n.id)
			}
			continue
		}
		d.keepPieces(n, img, c, share, r)
	}
	n.disk = resize(img, length)
}

// keepPieces keeps, loses or tears each sector of a write.
func (d *SimDisk) keepPieces(n *inode, img []byte, c change, share float64, r *rand.Rand) {
	for at := int64(0); at < int64(len(c.data)); {
		off := c.off + at
		size := min(sectorSize-off%sectorSize, int64(len(c.data))-at)
		dst, src := img[off:off+size], c.data[at:at+size]
		at += size
		switch {
		case r.IntN(16) == 0: // torn at any byte
			d.count(FaultTornWrite, n.id)
			cut := r.Int64N(size + 1)
			if r.IntN(2) == 0 {
				copy(dst[:cut], src)
				d.spoil(dst[cut:], r)
			} else {
				copy(dst[cut:], src[cut:])
				d.spoil(dst[:cut], r)
			}
		case r.Float64() < share:
			copy(dst, src)
		default:
			d.count(FaultLostWrite, n.id)
			if r.IntN(8) == 0 {
				d.spoil(dst, r)
			}
		}
	}
}

// spoil leaves old bytes, zeros or noise.
func (d *SimDisk) spoil(p []byte, r *rand.Rand) {
	switch r.IntN(3) {
	case 0:
		clear(p)
	case 1:
		if !d.faults.NoNoise {
			noise(p, r)
		}
	}
}

func noise(p []byte, r *rand.Rand) {
	for i := range p {
		p[i] = byte(r.Uint32())
	}
}

// failSync is a sync that failed: pages count as clean, and are lost or kept at
// random. What was lost may still be seen until the cache lets go of it.
func (d *SimDisk) failSync(n *inode) {
	d.count(FaultSyncError, n.id)
	d.keepSome(n, d.errors.Float64(), d.errors)
	n.dirty = nil
	if d.errors.IntN(2) == 0 {
		n.mem = resize(slices.Clone(n.disk), int64(len(n.mem)))
	}
}

// halfSync is a sync that a crash cut short: some changes are durable in
// addition, and all still count as unsynced.
func (d *SimDisk) halfSync(n *inode) {
	if len(n.dirty) > 0 {
		d.keepSome(n, d.crash.Float64(), d.crash)
	}
}

// rebind applies a name change to a directory's durable names. Earlier changes of
// the same names are then too late to have any effect on them.
func (c *nameChange) rebind() {
	c.done = true
	for _, e := range c.dir.pending {
		if e.seq < c.seq {
			e.late = e.late || e.name == c.name || e.name == c.from
			e.fromLate = e.fromLate || e.from == c.name || e.from == c.from
		}
	}
	names := c.dir.durable
	if c.from != "" && !c.fromLate && names[c.from] == c.node {
		delete(names, c.from)
	}
	switch {
	case c.late:
	case !c.add:
		if names[c.name] == c.node {
			delete(names, c.name)
		}
	default:
		if c.from != "" { // an earlier rename that is not durable may have left another name
			//lockstep:ordered each entry is judged by itself
			for name, node := range names {
				if node == c.node {
					delete(names, name)
				}
			}
		}
		names[c.name] = c.node
	}
}

// commit makes a change durable, after what it cannot go without: the new name
// of a rename between directories, and the moving away of a file whose name it
// takes. Otherwise a durable file could be left without a name.
func (c *nameChange) commit() {
	if c.pair != nil && !c.pair.done {
		c.pair.commit()
	}
	if there := c.dir.durable[c.name]; c.add && !c.late && there != nil && there != c.node {
		for _, e := range c.dir.pending {
			moves := e.from == c.name || !e.add && e.pair != nil && e.name == c.name
			if !e.done && e != c && e.seq < c.seq && e.node == there && moves {
				e.commit()
			}
		}
	}
	c.rebind()
}

// syncNames makes those of a directory's changes durable that keep chooses.
func (n *inode) syncNames(keep func() bool) {
	for _, c := range n.pending {
		if !c.done && keep() {
			c.commit()
		}
	}
	n.pending = slices.DeleteFunc(n.pending, func(c *nameChange) bool { return c.done })
}

func always() bool { return true }

// settleNames decides which unsynced name changes survive power loss.
func (d *SimDisk) settleNames(share float64) {
	var all []*nameChange
	for _, n := range d.allDirs() {
		all = append(all, n.pending...)
	}
	//lockstep:total sequence numbers are unique
	slices.SortFunc(all, func(a, b *nameChange) int { return cmp.Compare(a.seq, b.seq) })
	for _, c := range all {
		if !c.done && d.crash.Float64() < share && (c.pair == nil || c.pair.done) {
			c.commit()
		}
	}
	for _, c := range all {
		if !c.done {
			d.count(FaultLostName, c.node.id)
		}
	}
	for _, n := range d.allDirs() {
		n.names, n.pending = maps.Clone(n.durable), nil
	}
}

// allDirs lists the directories that have a name, durable or not.
func (d *SimDisk) allDirs() []*inode {
	seen := map[*inode]bool{}
	var out []*inode
	var walk func(n *inode)
	walk = func(n *inode) {
		if !n.dir || seen[n] {
			return
		}
		seen[n] = true
		out = append(out, n)
		//lockstep:ordered the list is sorted below
		for _, child := range n.names {
			walk(child)
		}
		//lockstep:ordered the list is sorted below
		for _, child := range n.durable {
			walk(child)
		}
		for _, c := range n.pending {
			walk(c.node)
		}
	}
	walk(d.root)
	//lockstep:total inode numbers are unique
	slices.SortFunc(out, func(a, b *inode) int { return cmp.Compare(a.id, b.id) })
	return out
}

// cloneTree copies what the system shows, as durable.
func cloneTree(n *inode, seen map[*inode]*inode) *inode {
	if c := seen[n]; c != nil {
		return c
	}
	c := &inode{id: n.id, dir: n.dir, mem: slices.Clone(n.mem), disk: slices.Clone(n.mem)}
	seen[n] = c
	if n.dir {
		c.names = make(map[string]*inode, len(n.names))
		//lockstep:ordered a copy is the same in any order
		for name, child := range n.names {
			c.names[name] = cloneTree(child, seen)
		}
		c.durable = maps.Clone(c.names)
	}
	return c
}
