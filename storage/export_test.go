package storage

// FileID tells files apart, whatever their names and contents.
func (d *SimDisk) FileID(name string) uint64 {
	if n := d.file(name); n != nil {
		return n.id
	}
	return 0
}

// NodeID is the FileID of an open simulated file.
func NodeID(f File) uint64 { return f.(*SimFile).node.id }
