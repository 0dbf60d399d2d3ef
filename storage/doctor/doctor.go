// Package doctor examines the store that a stopped server left, and repairs nothing.
//
// It owns [Examine], which runs the server's own recovery on a view of the disk whose changes stay in
// memory, and [Command], which is `lockstep store verify|inspect` around it. What it says is
// damaged is what the server would say; what it says is lost is what the server would
// not serve.
//
// Everything runs on the strand that is given, and the store must not be in use: a server that
// writes meanwhile looks like damage. Nothing is ever written to the disk.
package doctor

import (
	"fmt"
	"path"
	"slices"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/wal"
)

// Names in the store's directory.
const (
	walDir     = "wal"
	streamsDir = "streams"
)

// Options of an examination.
type Options struct {
	// Contents reads every message, and not only what tells where messages are.
	Contents bool
}

// State of a part, from good to bad.
type State uint8

const (
	// Sound: nothing is wrong.
	Sound State = iota
	// Encrypted: it cannot be looked at without the key, and nothing is known to be wrong.
	Encrypted
	// Unread: it could not be looked at, and nothing is known to be wrong: another version wrote it.
	Unread
	// Damaged: something that was durable cannot be read.
	Damaged
)

func (s State) String() string {
	switch s {
	case Sound:
		return "sound"
	case Encrypted:
		return "encrypted"
	case Unread:
		return "not read"
	}
	return "damaged"
}

// Part is a thing that stands or falls by itself: the log, or a stream.
type Part struct {
	Name   string
	State  State
	Detail string
}

// Finding is one place, and what is to be said of it.
type Finding struct {
	Where     string // a file, an offset
	Text      string
	Concerned []string // names of parts
}

// Report is what an examination found.
type Report struct {
	Parts  []Part
	Damage []Finding
	// Notes are not damage: what a crash leaves, and what nobody needs.
	Notes []Finding
}

// State is the worst of all parts.
func (r *Report) State() State {
	worst := Sound
	for i := range r.Parts {
		worst = max(worst, r.Parts[i].State)
	}
	if len(r.Damage) > 0 {
		worst = Damaged
	}
	return worst
}

func (r *Report) note(where, format string, args ...any) {
	r.Notes = append(r.Notes, Finding{Where: where, Text: fmt.Sprintf(format, args...)})
}

// exam is an examination under way.
type exam struct {
	disk   storage.FS // shadowed
	strand clock.Strand
	opts   Options
	report *Report
	done   func(*Report, error)

	log     *wal.Log
	met     *wal.Report
	groups  []*group // in order of ID
	dirs    []string // below streams
	streams []*group // that are to be opened

}

// group is one of the log's.
type group struct {
	id    wal.ID
	found *wal.Found
	name  string // of the part
	asset *asset // nil: not in the catalogue
}

// Examine looks at the store in the root of fs: its log first, then every stream. done is called on
// s, with an error when there is nothing to examine: [ErrNoStore], [ErrOfficial], or the disk's.
func Examine(fs storage.FS, s clock.Strand, o Options, done func(*Report, error)) {
	e := &exam{disk: newShadow(fs), strand: s, opts: o, report: &Report{}, done: done}
	Recognise(e.disk, s, func(err error) {
		if err != nil {
			done(nil, err)
			return
		}
		e.readIdentity()
	})
}

// readIdentity asks the log's identity file whose log this is: any is welcome here.
func (e *exam) readIdentity() {
	e.disk.Open(e.strand, path.Join(walDir, "identity"), storage.ReadOnly, func(f storage.File, err error) {
		if err != nil { // the log will say what that means
			e.openLog("-")
			return
		}
		p := make([]byte, min(f.Size(), identityAt+identityMax))
		f.ReadAt(e.strand, p, 0, func(n int, err error) {
			f.Close()
			identity := "-"
			if n > identityAt {
				identity = string(p[identityAt:n])
			}
			e.openLog(identity)
		})
	})
}

// The identity stands at the end of the identity file.
const (
	identityAt  = 28
	identityMax = 512
)

func (e *exam) openLog(identity string) {
	wal.Open(e.disk, e.strand, wal.Config{Dir: walDir, Identity: identity}, func(l *wal.Log, r *wal.Report, err error) {
		e.log, e.met = l, r
		if err != nil {
			e.report.Parts = append(e.report.Parts, Part{"log", Damaged, "it cannot be opened: the server would not start"})
			e.report.Damage = append(e.report.Damage, Finding{walDir, err.Error(), []string{"everything"}})
			e.done(e.report, nil)
			return
		}
		e.attach()
	})
}

// attach takes what the log has of every group.
func (e *exam) attach() {
	for _, id := range e.log.Unattached() {
		e.attachOne(id)
	}
	e.readCatalogue()
	e.tellLog()
	e.disk.List(e.strand, streamsDir, func(entries []storage.Entry, err error) {
		for _, entry := range entries {
			e.dirs = append(e.dirs, entry.Name)
		}
		e.listStreams()
	})
}

func (e *exam) attachOne(id wal.ID) *group {
	_, found, err := e.log.Attach(id, e.strand, nil, bystander{})
	if err != nil {
		found = &wal.Found{Damage: err}
	}
	g := &group{id: id, found: found, name: id.String()}
	e.groups = append(e.groups, g)
	return g
}

// bystander hears of a group and does nothing.
type bystander struct{}

func (bystander) Flushed(uint64) {}
func (bystander) Fenced(error)   {}
func (bystander) Tail()          {}

// tellLog reports what recovery met.
func (e *exam) tellLog() {
	r, m := e.report, e.met
	p := Part{Name: "log", Detail: fmt.Sprintf("%s, %s, %s", count(m.Segments, "segment"), count(m.Batches, "batch"), count(m.Groups, "group"))}
	if m.Clean {
		p.Detail += "; closed properly"
	}
	if m.Created {
		p.Detail = "empty"
	}
	for i := range m.Damage {
		d := &m.Damage[i]
		p.State = Damaged
		where := fmt.Sprintf("%s at %d", d.File, d.Offset)
		if d.Bytes > 0 {
			where += fmt.Sprintf(", %d bytes", d.Bytes)
		}
		r.Damage = append(r.Damage, Finding{where, d.Err.Error(), e.names(d.Groups, d.Unknown)})
	}
	r.Parts = append(r.Parts, p)
	if t := m.Torn; t != nil {
		r.note(fmt.Sprintf("%s at %d, %d bytes", t.File, t.Offset, t.Bytes),
			"the end that a crash left incomplete (%v): it was never acknowledged, and the server ignores it", t.Err)
	}
	for _, name := range m.Kept {
		r.note(path.Join(walDir, name), "a damaged segment that an earlier start put aside")
	}
	for _, name := range m.Foreign {
		r.note(path.Join(walDir, name), "no file of the log")
	}
}

// names tells who is concerned.
func (e *exam) names(ids []wal.ID, unknown bool) []string {
	var list []string
	for _, id := range ids {
		name := id.String()
		if g := e.group(id); g != nil {
			name = g.name
		}
		list = append(list, name)
	}
	if unknown {
		list = append(list, "perhaps others, of which nothing is left")
	}
	if len(list) == 0 {
		list = append(list, "nobody")
	}
	return list
}

func (e *exam) group(id wal.ID) *group {
	i := slices.IndexFunc(e.groups, func(g *group) bool { return g.id == id })
	if i < 0 {
		return nil
	}
	return e.groups[i]
}

// finish lets go of the log, in memory.
func (e *exam) finish() {
	e.log.Close(func(error) { e.done(e.report, nil) })
}

// count is a number with its noun.
func count[N ~int | ~int64 | ~uint64](n N, noun string) string {
	switch {
	case n == 1:
	case noun[len(noun)-1] == 'h':
		noun += "es"
	case noun[len(noun)-1] == 'y':
		noun = noun[:len(noun)-1] + "ies"
	default:
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
