package doctor

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// listStreams settles which stores are to be opened: those that the catalogue names, and
// without it those that have a directory.
func (e *exam) listStreams() {
	named := slices.ContainsFunc(e.groups, func(g *group) bool { return g.asset != nil })
	var dirs []string
	for _, g := range e.groups {
		switch {
		case g.id == catalogueID:
			continue
		case g.asset != nil || !named && slices.Contains(e.dirs, path.Base(dirOf(g.id))):
			e.streams = append(e.streams, g)
			dirs = append(dirs, path.Base(dirOf(g.id)))
		default:
			e.report.note(g.name, "the log has this group, and the catalogue has not: a deletion that a crash interrupted; the server removes it when it starts")
		}
	}
	slices.SortStableFunc(e.streams, func(a, b *group) int { return strings.Compare(a.name, b.name) })
	for _, dir := range e.dirs {
		if !slices.Contains(dirs, dir) {
			e.report.note(path.Join(streamsDir, dir), "no stream's directory: a deletion that a crash interrupted; the server removes it when it starts")
		}
	}
	e.nextStream()
}

func (e *exam) nextStream() {
	if len(e.streams) == 0 {
		e.finish()
		return
	}
	g := e.streams[0]
	e.streams = e.streams[1:]
	state, detail := e.groupState(g)
	manifest, err := manifestOf(g.found)
	switch {
	case g.asset != nil && g.asset.memory():
		e.tell(Part{g.name, state, "in memory: empty when the server starts"})
	case state == Encrypted || state == Unread:
		e.tell(Part{g.name, state, detail})
	case err != nil:
		e.tell(Part{g.name, max(state, Unread), err.Error()})
	default:
		msgs.OpenFile(e.disk, e.strand, dirOf(g.id), manifest, msgs.Options{Identity: identityOf(manifest)}, func(st msgs.Store, r *msgs.Report, err error) {
			e.opened(g, Part{g.name, state, detail}, st, r, err)
		})
	}
}

// tell reports a stream, and goes on.
func (e *exam) tell(p Part) {
	e.report.Parts = append(e.report.Parts, p)
	e.nextStream()
}

// opened takes in what opening a stream's store found.
func (e *exam) opened(g *group, p Part, st msgs.Store, r *msgs.Report, err error) {
	if r != nil {
		e.takeIn(g, r)
	}
	if err != nil {
		var op *storage.OpError
		switch {
		case errors.Is(err, msgs.ErrNoKey):
			p.State, p.Detail = max(p.State, Encrypted), sealed
		case errors.Is(err, msgs.ErrManifest) || errors.As(err, &op):
			p.State, p.Detail = Damaged, "it cannot be opened"
			e.report.Damage = append(e.report.Damage, Finding{dirOf(g.id), err.Error(), []string{g.name}})
		default:
			p.State, p.Detail = max(p.State, Unread), err.Error()
		}
		e.tell(p)
		return
	}
	if r != nil && !r.Sound() {
		p.State = Damaged
	}
	read := &reading{e: e, g: g, part: p, store: st, report: r, filter: msgs.NewFilter()}
	if e.opts.Contents {
		read.next(1)
		return
	}
	read.end()
}

// takeIn adds the findings of a store.
func (e *exam) takeIn(g *group, r *msgs.Report) {
	file := func(name string) string {
		if strings.Contains(name, "/") {
			return name
		}
		return path.Join(dirOf(g.id), name)
	}
	for _, d := range r.Damage {
		e.report.Damage = append(e.report.Damage, Finding{fmt.Sprintf("%s at %d", file(d.File), d.Offset), d.Err.Error(), []string{g.name}})
	}
	for _, name := range distinct(r.Beyond) {
		e.report.note(file(name), "it is longer than the last checkpoint says, as a crash leaves it; the server ignores the end")
	}
	if names := distinct(r.Unneeded); len(names) > 0 {
		e.report.note(dirOf(g.id), "%s that no checkpoint needs: written ahead of one, or left over: %s", count(len(names), "file"), some(names))
	}
}

// some names a few of many.
func some(names []string) string {
	const few = 5
	if len(names) <= few {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s, and %d more", strings.Join(names[:few], ", "), len(names)-few)
}

func distinct(names []string) []string {
	names = slices.Clone(names)
	slices.Sort(names)
	return slices.Compact(names)
}

// reading reads every message of a store.
type reading struct {
	e      *exam
	g      *group
	part   Part
	store  msgs.Store
	report *msgs.Report
	filter *msgs.Filter
	read   uint64
	lost   []uint64
}

// next reads the first message from seq on, and those after it.
func (r *reading) next(seq uint64) {
	for {
		at, ok := r.store.Next(r.filter, seq)
		if !ok {
			r.end()
			return
		}
		seq = at + 1
		if _, found := r.store.Load(at); found == msgs.Cached {
			r.read++
			continue
		}
		r.store.Fetch(at, func(_ msgs.Msg, err error) {
			if err != nil {
				r.lost = append(r.lost, at)
			} else {
				r.read++
			}
			r.next(seq)
		})
		return
	}
}

// end reports the stream.
func (r *reading) end() {
	st, entries := r.store.State(), count(len(r.g.found.Entries), "entry")
	detail := []string{"no checkpoint yet: everything is in the log, " + entries}
	if r.g.found.State != nil {
		detail = []string{count(st.Msgs, "message")}
		if st.Msgs > 0 {
			detail[0] += fmt.Sprintf(" (%d to %d)", st.First, st.Last)
			detail = append(detail, count(st.Subjects, "subject"), size(st.Bytes))
		}
		if r.report != nil && r.report.Blocks > 0 {
			detail = append(detail, count(r.report.Blocks, "block"))
		}
		if len(r.g.found.Entries) > 0 {
			detail = append(detail, entries+" in the log since")
		}
		if r.e.opts.Contents && len(r.lost) == 0 {
			detail = append(detail, "all read")
		}
	}
	lost := append(slices.Clone(st.LostMsgs), r.lost...)
	slices.Sort(lost)
	if lost = slices.Compact(lost); len(lost) > 0 {
		r.part.State = Damaged
		r.e.report.Damage = append(r.e.report.Damage, Finding{
			dirOf(r.g.id), "lost messages: " + ranges(lost), []string{r.g.name},
		})
		detail = append(detail, fmt.Sprintf("%d lost", len(lost)))
	}
	if r.part.Detail != "" {
		detail = append(detail, r.part.Detail)
	}
	r.part.Detail = strings.Join(detail, ", ")
	r.store.Close()
	r.e.tell(r.part)
}

// rangesMax is how many runs of sequences are told.
const rangesMax = 20

// ranges tells sequences, ascending, as runs.
func ranges(seqs []uint64) string {
	var b strings.Builder
	runs := 0
	for i := 0; i < len(seqs); {
		j := i
		for j+1 < len(seqs) && seqs[j+1] == seqs[j]+1 {
			j++
		}
		if runs++; runs > rangesMax {
			fmt.Fprintf(&b, ", and %d more", len(seqs)-i)
			break
		}
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%d", seqs[i])
		if j > i {
			fmt.Fprintf(&b, "-%d", seqs[j])
		}
		i = j + 1
	}
	return b.String()
}

// size is a number of bytes for people.
func size(n uint64) string {
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"}
	x, u := float64(n), 0
	for x >= 1024 && u < len(units)-1 {
		x, u = x/1024, u+1
	}
	if u == 0 {
		return fmt.Sprintf("%d B", n)
	}
	return fmt.Sprintf("%.1f %s", x, units[u])
}
