package storage

import "slices"

// Rot says what a sector turns into.
type Rot uint8

const (
	RotZeros Rot = iota
	RotNoise
	RotOlder // the version that its last sync replaced; zeros when there was none
)

// Files lists the files of the disk, sorted by name.
func (d *SimDisk) Files() []string {
	var out []string
	d.eachFile(func(name string, _ *inode) { out = append(out, name) })
	slices.Sort(out)
	return out
}

// FileSize is the length of a file as the system shows it, and false when there
// is no such file.
func (d *SimDisk) FileSize(name string) (int64, bool) {
	n := d.file(name)
	if n == nil {
		return 0, false
	}
	return int64(len(n.mem)), true
}

// ReadFile copies a file as the system shows it; nil when there is none.
func (d *SimDisk) ReadFile(name string) []byte {
	n := d.file(name)
	if n == nil {
		return nil
	}
	return append([]byte{}, n.mem...)
}

func (d *SimDisk) eachFile(fn func(name string, n *inode)) {
	var walk func(prefix string, dir *inode)
	walk = func(prefix string, dir *inode) {
		//lockstep:ordered callers sort, or look for one name
		for name, n := range dir.names {
			if n.dir {
				walk(prefix+name+"/", n)
			} else {
				fn(prefix+name, n)
			}
		}
	}
	walk("", d.root)
}

func (d *SimDisk) file(name string) *inode {
	fs := SimFS{disk: d}
	n, err := fs.find(name)
	if err != nil || n.dir {
		return nil
	}
	return n
}

// onImages changes both what is durable and what the system shows, where no
// unsynced change is going to replace it.
func (n *inode) onImages(off, end int64, fn func(img []byte)) {
	fn(n.disk)
	if !n.dirtyAt(off, end) {
		fn(n.mem)
	}
}

// FlipBit flips one bit of a file, counted from its start. It tells whether
// there was such a bit.
func (d *SimDisk) FlipBit(name string, bit int64) bool {
	n := d.file(name)
	if n == nil || bit < 0 || bit/8 >= int64(len(n.disk)) {
		return false
	}
	d.count(FaultBitRot, uint64(bit))
	at := bit / 8
	n.onImages(at, at+1, func(img []byte) {
		if at < int64(len(img)) {
			img[at] ^= 1 << (bit % 8)
		}
	})
	return true
}

// RotSector spoils one sector of a file. It tells whether there was such a sector.
func (d *SimDisk) RotSector(name string, sector int64, how Rot) bool {
	n := d.file(name)
	if n == nil || sector < 0 || sector*sectorSize >= int64(len(n.disk)) {
		return false
	}
	d.count(FaultSectorRot, uint64(sector))
	d.replaceSector(n, sector, d.rotten(n, sector, how))
	return true
}

// rotten is what a sector turns into.
func (d *SimDisk) rotten(n *inode, sector int64, how Rot) []byte {
	content := make([]byte, sectorSize)
	switch how {
	case RotNoise:
		noise(content, d.damage)
	case RotOlder:
		copy(content, n.older[sector])
	}
	return content
}

func (d *SimDisk) replaceSector(n *inode, sector int64, content []byte) {
	n.onImages(sector*sectorSize, (sector+1)*sectorSize, func(img []byte) {
		copy(n.sector(img, sector), content)
	})
}

// Misdirect makes the last write of one sector of a file look as if it had
// landed on another: that one is overwritten, and its own place holds what was
// there before. It tells whether there were such sectors.
func (d *SimDisk) Misdirect(name string, sector, landed int64) bool {
	n := d.file(name)
	if n == nil || sector == landed || min(sector, landed) < 0 || max(sector, landed)*sectorSize >= int64(len(n.disk)) {
		return false
	}
	d.count(FaultMisdirected, uint64(sector))
	d.replaceSector(n, landed, slices.Clone(n.sector(n.disk, sector)))
	d.replaceSector(n, sector, d.rotten(n, sector, RotOlder))
	return true
}

// BreakSector makes a sector unreadable until it is rewritten. It tells whether
// there was such a sector.
func (d *SimDisk) BreakSector(name string, sector int64) bool {
	n := d.file(name)
	if n == nil || sector < 0 || sector*sectorSize >= int64(len(n.mem)) {
		return false
	}
	d.breakSector(n, sector)
	return true
}

func (d *SimDisk) breakSector(n *inode, sector int64) {
	d.count(FaultBadSector, uint64(sector))
	if n.bad == nil {
		n.bad = map[int64]bool{}
	}
	n.bad[sector] = true
}

// CutFile takes the end of a file away, durably, as a repair of the file system
// may. No process may be running. It tells whether the file was that long.
func (d *SimDisk) CutFile(name string, size int64) bool {
	d.mustBeAtRest()
	n := d.file(name)
	if n == nil || size < 0 || size >= int64(len(n.mem)) {
		return false
	}
	d.count(FaultTruncated, uint64(size))
	n.mem = resize(n.mem, size)
	n.disk, n.dirty = slices.Clone(n.mem), nil
	d.recount()
	return true
}

// LoseFile takes a file, or a directory with all that is in it, away, durably.
// No process may be running. It tells whether there was one.
func (d *SimDisk) LoseFile(name string) bool {
	d.mustBeAtRest()
	fs := SimFS{disk: d}
	n, err := fs.find(name)
	if err != nil || n == d.root {
		return false
	}
	dir, err := fs.findDir(name)
	if err != nil {
		return false
	}
	d.count(FaultLostFile, n.id)
	for _, names := range [...]map[string]*inode{dir.names, dir.durable} {
		//lockstep:ordered each entry is judged by itself
		for entry, node := range names {
			if node == n {
				delete(names, entry)
			}
		}
	}
	dir.pending = slices.DeleteFunc(dir.pending, func(c *nameChange) bool { return c.node == n })
	d.recount()
	return true
}

func (d *SimDisk) mustBeAtRest() {
	if d.fs != nil {
		panic("storage: disk " + d.name + " is mounted: crash it first")
	}
}
