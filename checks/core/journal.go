package core

import "fmt"

// Journal is the model of a log of numbered records under crashes: a list of what
// was appended, of which a prefix is vouched for. It is told what is done and what
// comes back, and keeps what is wrong.
type Journal struct {
	records []uint64 // payload ids by sequence, from 1
	acked   int      // so many are vouched for
	failed  bool     // something was refused since the last opening
	damaged bool     // by the world's doing, since the last opening that succeeded

	replayed int // so many came back in the present opening
	found    []string
	names    []string
}

// Appended notes that the record seq was accepted with the payload id.
func (m *Journal) Appended(seq, id uint64) {
	if seq != uint64(len(m.records))+1 {
		m.report(StorePrefix, "record %d was given the sequence %d, expected %d", id, seq, len(m.records)+1)
		return
	}
	m.records = append(m.records, id)
}

// Acknowledged notes that the record seq is vouched for.
func (m *Journal) Acknowledged(seq uint64) {
	switch {
	case m.failed:
		m.report(StoreFence, "record %d was acknowledged after a write or sync had failed", seq)
	case seq != uint64(m.acked)+1:
		m.report(StorePrefix, "record %d was acknowledged after record %d", seq, m.acked)
	}
	m.acked = max(m.acked, int(seq))
}

// Refused notes that an append failed: nothing may be vouched for until the next opening.
func (m *Journal) Refused() { m.failed = true }

// Damaged notes that the world spoiled durable bytes.
func (m *Journal) Damaged() { m.damaged = true }

// Mended notes that the world took the damage back.
func (m *Journal) Mended() { m.damaged = false }

// Opening begins a recovery.
func (m *Journal) Opening() { m.replayed = 0 }

// Replayed is one record of a recovery.
func (m *Journal) Replayed(seq, id uint64) {
	if seq != uint64(m.replayed)+1 {
		m.report(StorePrefix, "recovery gave record %d after record %d", seq, m.replayed)
		return
	}
	m.replayed++
	switch {
	case m.replayed > len(m.records):
		m.report(StorePrefix, "recovery gave record %d, and %d were appended", seq, len(m.records))
	case m.records[m.replayed-1] != id:
		m.report(StorePrefix, "recovery gave payload %d for record %d, appended was %d", id, seq, m.records[m.replayed-1])
	}
}

// Opened ends a recovery that succeeded; next is the sequence that the journal
// gives next. What came back is vouched for from now on.
func (m *Journal) Opened(next uint64) {
	if m.replayed < m.acked {
		name := StorePrefix
		if m.damaged {
			name = StoreTorn
		}
		m.report(name, "recovery gave %d records, %d were acknowledged", m.replayed, m.acked)
	}
	if next != uint64(m.replayed)+1 {
		m.report(StorePrefix, "recovery gave %d records, and the next sequence is %d", m.replayed, next)
	}
	m.records = m.records[:min(m.replayed, len(m.records))]
	m.acked, m.failed, m.damaged = m.replayed, false, false
}

// FoundDamage ends a recovery that reported damage.
func (m *Journal) FoundDamage(err error) {
	if !m.damaged {
		m.report(StoreTorn, "recovery reported damage, and there was none: %v", err)
	}
}

// Records is how many records there are.
func (m *Journal) Records() int { return len(m.records) }

// Replays is how many records the last recovery gave.
func (m *Journal) Replays() int { return m.replayed }

// Acked is how many records are vouched for.
func (m *Journal) Acked() int { return m.acked }

func (m *Journal) report(name, format string, args ...any) {
	if len(m.found) < violationsMax {
		m.names = append(m.names, name)
		m.found = append(m.found, fmt.Sprintf(format, args...))
	}
}

// Take gives what is wrong since the last call, stamped at.
func (m *Journal) Take(at Stamp) []Violation {
	var out []Violation
	for i, detail := range m.found {
		out = append(out, Violation{m.names[i], at, "journal: " + detail})
	}
	m.found, m.names = nil, nil
	return out
}
