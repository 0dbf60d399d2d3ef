package sim

import (
	"fmt"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
)

// summarize counts what really happened.
func (w *World) summarize(r *Result) {
	h := &w.rec.h
	r.Operations = map[string]int{
		"connections": len(h.Conns), "publishes": len(h.Pubs), "subscriptions": len(h.Subs),
		"deliveries": len(h.Deliveries), "no_responders": w.rec.served, "answers": w.rec.answer,
		"errors": len(h.Notices), "restarts": w.restarts,
	}
	r.Faults = make(map[string]int)
	for _, f := range netsim.Faults() {
		if n := w.net.Count(f); n > 0 {
			r.Faults["net: "+f.String()] = int(n)
		}
	}
	for name, n := range w.faults { //lockstep:ordered a map becomes a map
		r.Faults["world: "+name] = n
	}
	w.countFeatures()
	for name, n := range w.features { //lockstep:ordered a map becomes a map
		r.Operations["used: "+name] = n
	}
	w.summarizeJournal(r)
	w.summarizeJS(r)
	w.summarizeReplicas(r)
	r.Vacuous = w.floors(r)
}

func (w *World) summarizeJournal(r *Result) {
	l := w.journal
	if l == nil {
		return
	}
	for name, n := range map[string]int{ //lockstep:ordered a map becomes a map
		"journal_appends": l.appends, "journal_acks": l.acks, "journal_lives": l.lives, "journal_closes": l.closes,
		"journal_damages": l.damages, "journal_damages_reported": l.reported, "journal_records": l.model.Records(),
	} {
		r.Operations[name] = n
	}
	for _, c := range l.disk.Counts() {
		r.Faults["disk: "+c.Fault.String()] = int(c.Count)
	}
}

func (w *World) summarizeJS(r *Result) {
	j := w.js
	if j == nil {
		return
	}
	for name, n := range j.ops { //lockstep:ordered a map becomes a map
		r.Operations[name] = n
	}
	for _, l := range j.plan.Loads {
		r.Operations["used: JetStream "+l]++
	}
	r.Operations["js_lives"] = j.lives
	for _, c := range j.disk.Counts() {
		r.Faults["store: "+c.Fault.String()] = int(c.Count)
	}
}

// floors tells what a run did too little of to prove anything.
func (w *World) floors(r *Result) []string {
	if w.replicas != nil {
		return w.replicas.floors()
	}
	var missed []string
	floor := func(what string, n, least int) {
		if n < least {
			missed = append(missed, fmt.Sprintf("%s: %d, at least %d expected", what, n, least))
		}
	}
	if w.journal != nil {
		floor("journal appends", w.journal.appends, 20)
		floor("journal acknowledgements", w.journal.acks, 5)
	}
	if w.js != nil {
		floor("JetStream publishes", w.js.ops["js_publishes"], 20)
		floor("JetStream acks", w.js.ops["js_acks"], 5)
	}
	least := 50
	if w.plan.Profile == Disk || w.plan.Profile == Streams { // the journal is what counts there
		least = 10
	}
	floor("publishes", r.Operations["publishes"], least)
	floor("deliveries", r.Operations["deliveries"]+r.Operations["js_deliveries"], least) // the same path, to a client whose server is seldom up
	floor("subscriptions", r.Operations["subscriptions"], 10)
	w.featureFloors(r, floor)
	for _, rate := range w.plan.Rates {
		if expected := rate.PerSecond * w.plan.Chaos.Seconds(); expected >= 12 {
			floor("fault "+rate.Family, w.faults[rate.Family], 1)
		}
	}
	return missed
}

// traceLog makes the server's log part of the trace.
type traceLog struct{ t *clock.Trace }

func (l *traceLog) line(level, format string, v []any) {
	l.t.Notef(clock.LevelInfo, "server", level+" "+format, v...)
}

func (l *traceLog) Noticef(format string, v ...any) { l.line("INF", format, v) }
func (l *traceLog) Warnf(format string, v ...any)   { l.line("WRN", format, v) }
func (l *traceLog) Fatalf(format string, v ...any)  { l.line("FTL", format, v) }
func (l *traceLog) Errorf(format string, v ...any)  { l.line("ERR", format, v) }
func (l *traceLog) Debugf(format string, v ...any)  { l.line("DBG", format, v) }
func (l *traceLog) Tracef(format string, v ...any)  { l.line("TRC", format, v) }
