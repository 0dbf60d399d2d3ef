package js

import (
	"fmt"
	"testing"

	"github.com/lockstepmq/lockstep/checks/core"
)

// copied makes what a copy of some writes looks like, at sequences of its own or of the origin's.
func copied(at core.Stamp, entry *Entry, own bool, list ...*Write) *Audit {
	a := read(at, list...)
	for i := range a.Msgs {
		m, w := &a.Msgs[i], list[i]
		m.Subject = entry.Subjects[w.Subject]
		header := fmt.Sprintf("NATS/1.0\r\nX-Id: %d\r\n", w.ID)
		if own {
			m.Seq = uint64(i + 1)
			header += fmt.Sprintf("Nats-Stream-Source: %s %d %s %s %s ID\r\n", entry.Origin.Name, w.Seq, entry.Filters, entry.Dests, w.Subject)
		}
		m.Header = []byte(header + "\r\n")
	}
	if n := len(list); n > 0 && own {
		a.State.FirstSeq, a.State.LastSeq, a.State.NumDeleted = 1, uint64(n), 0
	}
	return a
}

// mirrored is a good history: an origin of three messages, and a mirror of it.
func mirrored(mirror bool) (o, m *Stream) {
	o = threeStored()
	e := &Entry{Origin: o, Filters: ">", Dests: ">", Subjects: map[string]string{"a": "a", "b": "b"}}
	m = &Stream{Name: "M", Retention: "limits", WallMax: o.WallMax, Copies: &Copying{Mirror: mirror, Entries: []*Entry{e}}}
	m.Audits = []*Audit{copied(51, e, !mirror, o.Writes...), copied(61, e, !mirror, o.Writes...)}
	return o, m
}

// again gives a mirror or a stream with sources other messages.
func again(m *Stream, list ...*Write) {
	for i := range m.Audits {
		m.Audits[i] = copied(m.Audits[i].At, m.Copies.Entries[0], !m.Copies.Mirror, list...)
	}
}

func TestMirrors(t *testing.T) {
	for _, tc := range []struct {
		name   string
		change func(o, m *Stream)
		want   string
	}{
		{"as it should be", func(_, _ *Stream) {}, ""},
		{"what nobody published", func(_, m *Stream) { m.Audits[0].Msgs[1].ID = 999 }, MirrorPrefix},
		{"at another sequence", func(_, m *Stream) { m.Audits[0].Msgs[2].Seq = 4 }, MirrorPrefix},
		{"spoiled", func(_, m *Stream) { m.Audits[0].Msgs[1].Intact = false }, MirrorPrefix},
		{"on another subject", func(_, m *Stream) { m.Audits[0].Msgs[1].Subject = "a" }, MirrorPrefix},
		{"at another time", func(_, m *Stream) { m.Audits[0].Msgs[2].Time = m.Audits[0].Msgs[2].Time.Add(1) }, MirrorPrefix},
		{"without its headers", func(_, m *Stream) { m.Audits[0].Msgs[1].Header = nil }, MirrorPrefix},
		{"with the conditions of its origin", func(_, m *Stream) {
			m.Audits[0].Msgs[1].Header = []byte("NATS/1.0\r\nX-Id: 102\r\nNats-Expected-Last-Sequence: 1\r\n\r\n")
		}, MirrorPrefix},
		{"refused by the origin", func(o, _ *Stream) {
			o.Audits = nil
			o.Writes[1].Outcome, o.Writes[1].Seq = Refused, 0
		}, MirrorPrefix},
		{"ahead of its origin", func(o, m *Stream) {
			w := written(104, "a", 7, core.Never, 0)
			w.Outcome = Unknown
			o.Writes = append(o.Writes, w)
			m.Audits[0].State.LastSeq = 4
		}, MirrorPrefix},
		{"published to itself", func(_, m *Stream) { m.Writes = []*Write{written(200, "M", 9, 10, 4)} }, MirrorPrefix},
		{"one is missing", func(o, m *Stream) { again(m, o.Writes[0], o.Writes[2]) }, PassThrough},
		{"one is missing that the origin has no more", func(o, m *Stream) {
			again(m, o.Writes[0], o.Writes[2])
			o.Removals = []*Removal{{Seq: 2, Call: 10, Return: 11, Outcome: OK}}
			o.Audits = []*Audit{read(50, o.Writes[0], o.Writes[2]), read(60, o.Writes[0], o.Writes[2])}
		}, ""},
		{"the origin has one no more", func(o, _ *Stream) {
			o.Removals = []*Removal{{Seq: 2, Call: 10, Return: 11, Outcome: OK}}
			o.Audits = []*Audit{read(50, o.Writes[0], o.Writes[2]), read(60, o.Writes[0], o.Writes[2])}
		}, ""},
		{"one is missing that it does not ask for", func(o, m *Stream) {
			m.Copies.Entries[0].Subjects = map[string]string{"a": "a"}
			again(m, o.Writes[0], o.Writes[2])
		}, ""},
		{"what it does not ask for", func(_, m *Stream) { delete(m.Copies.Entries[0].Subjects, "b") }, MirrorPrefix},
		{"from below where it begins", func(_, m *Stream) { m.Copies.Entries[0].From = 2 }, MirrorPrefix},
		{"behind", func(_, m *Stream) { m.Copies.Behind = "3 messages" }, CatchUp},
		{"of an earlier origin, and behind the new one", func(o, _ *Stream) {
			o.Recreated = true
			o.Deletions = []*Removal{{Call: 10, Return: 11, Outcome: OK}}
			fresh := written(104, "a", 12, 13, 1)
			o.Writes = append(o.Writes, fresh)
			o.Audits = []*Audit{read(50, fresh), read(60, fresh)}
		}, ""},
		{"made anew, and of the earlier origin only", func(o, m *Stream) {
			o.Recreated = true
			o.Deletions = []*Removal{{Call: 10, Return: 11, Outcome: OK}}
			fresh := written(104, "a", 12, 13, 1)
			o.Writes = append(o.Writes, fresh)
			o.Audits = []*Audit{read(50, fresh), read(60, fresh)}
			m.Deletions = []*Removal{{Call: 14, Return: 15, Outcome: OK}}
		}, PassThrough},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o, m := mirrored(true)
			tc.change(o, m)
			requireJudged(t, tc.want, o, m)
		})
	}
}

func TestSources(t *testing.T) {
	header := func(m *Stream, i int, value string) {
		m.Audits[0].Msgs[i].Header = fmt.Appendf(nil, "NATS/1.0\r\nX-Id: %d\r\nNats-Stream-Source: %s\r\n\r\n", m.Audits[0].Msgs[i].ID, value)
	}
	for _, tc := range []struct {
		name   string
		change func(o, m *Stream)
		want   string
	}{
		{"as it should be", func(_, _ *Stream) {}, ""},
		{"twice", func(o, m *Stream) { again(m, o.Writes[0], o.Writes[1], o.Writes[1], o.Writes[2]) }, SourceOnce},
		{"twice, though one was removed", func(_, m *Stream) {
			m.Removals = []*Removal{{Call: 30, Return: 31, Outcome: OK}}
			m.Reads = []*Read{{ID: 101, Seq: 7, Call: 20, Return: 21}}
		}, SourceOnce},
		{"more sequences than messages", func(_, m *Stream) { m.Audits[0].State.LastSeq = 4 }, SourceOnce},
		{"out of order", func(o, m *Stream) {
			again(m, o.Writes[1], o.Writes[0], o.Writes[2])
			for i := range m.Audits[0].Msgs {
				m.Audits[0].Msgs[i].Time, m.Audits[1].Msgs[i].Time = epoch, epoch
			}
		}, SourceOnce},
		{"what nobody published", func(_, m *Stream) { m.Audits[0].Msgs[1].ID = 999 }, SourceOnce},
		{"from another sequence", func(_, m *Stream) { header(m, 1, "S 3 > > b ID") }, SourceOnce},
		{"from another stream", func(_, m *Stream) { header(m, 1, "T 2 > > b ID") }, SourceOnce},
		{"by another entry", func(_, m *Stream) { header(m, 1, "S 2 b > b ID") }, SourceOnce},
		{"without where it is from", func(_, m *Stream) { header(m, 1, "") }, SourceOnce},
		{"one is missing", func(o, m *Stream) { again(m, o.Writes[0], o.Writes[2]) }, PassThrough},
		{"one was purged", func(o, m *Stream) {
			again(m, o.Writes[2])
			m.Removals = []*Removal{{Call: 30, Return: 31, Outcome: OK}}
		}, ""},
		{"one came after the purge, and is missing", func(o, m *Stream) {
			again(m, o.Writes[0], o.Writes[1])
			m.Removals = []*Removal{{Call: 3, Return: 4, Outcome: OK}}
		}, PassThrough},
		{"its own is gone", func(_, m *Stream) { m.Writes = []*Write{written(200, "own", 9, 10, 4)} }, Acked},
		{"moved, and gone from the queue", func(o, m *Stream) {
			o.Retention, m.Copies.Entries[0].Moved = "moved", true
			o.Audits = []*Audit{{At: 50, State: StreamState{FirstSeq: 4, LastSeq: 3}}}
			m.Audits = m.Audits[:1]
		}, ""},
		{"moved, and still in the queue", func(o, m *Stream) { o.Retention, m.Copies.Entries[0].Moved = "moved", true }, OriginAck},
		{"gone from the queue, and nowhere", func(o, m *Stream) {
			o.Retention, m.Copies.Entries[0].Moved = "moved", true
			o.Audits = []*Audit{{At: 50, State: StreamState{FirstSeq: 4, LastSeq: 3}}}
			again(m, o.Writes[0], o.Writes[2])
		}, OriginAck},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o, m := mirrored(false)
			tc.change(o, m)
			requireJudged(t, tc.want, o, m)
		})
	}
}
