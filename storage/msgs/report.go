package msgs

import "fmt"

// Report is what opening, or verifying, a store found.
type Report struct {
	Messages uint64
	Bytes    uint64 // of them, as limits count
	Blocks   int
	// Damage lists what is not as it was written, file by file.
	Damage []Damage
	// Lost are the sequences of messages that the manifest knows and no file has intact.
	Lost []uint64
	// Rebuilt counts blocks whose index was made again from their records.
	Rebuilt int
	// Beyond lists files that are longer than the manifest says, as a crash leaves them: what
	// is too much is ignored.
	Beyond []string
	// Unneeded lists files that the manifest does not need.
	Unneeded []string
}

// Damage is one place that is not as it was written.
type Damage struct {
	File   string
	Offset int64 // in bytes
	Err    error
}

func (d Damage) String() string { return fmt.Sprintf("%s at %d: %v", d.File, d.Offset, d.Err) }

func (r *Report) damage(file string, off int64, err error) {
	r.Damage = append(r.Damage, Damage{file, off, err})
}

// Sound tells whether nothing is damaged.
func (r *Report) Sound() bool { return len(r.Damage) == 0 && len(r.Lost) == 0 }
