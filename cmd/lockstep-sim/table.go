package main

import (
	"fmt"
	"io"
	"slices"

	"github.com/fatih/color"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/lockstepmq/lockstep/sim"
)

// summaryTable prints what really happened in a run.
func summaryTable(out io.Writer, r *sim.Result) {
	verdict := color.GreenString(r.Result)
	if r.Result != "ok" {
		verdict = color.RedString(r.Result)
	}
	fmt.Fprintf(out, "seed %d, profile %s: %s\n", r.Seed, r.Profile, verdict)
	t := newTable(out)
	t.AppendRow(table.Row{"virtual time", fmt.Sprintf("%.1f s", r.Virtual)})
	t.AppendRow(table.Row{"wall time", fmt.Sprintf("%.3f s (%.0f virtual seconds a second)", r.Wall, r.Virtual/r.Wall)})
	t.AppendRow(table.Row{"events", fmt.Sprintf("%d (%.0f a second)", r.Events, float64(r.Events)/r.Wall)})
	t.AppendRow(table.Row{"trace hash", r.TraceHash})
	t.AppendSeparator()
	counts(t, r.Operations)
	t.AppendSeparator()
	counts(t, r.Faults)
	t.Render()
}

func newTable(out io.Writer) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(out)
	t.SetStyle(table.StyleLight)
	return t
}

// counts appends a row a counter, by name.
func counts(t table.Writer, m map[string]int) {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		t.AppendRow(table.Row{name, m[name]})
	}
}

// add adds the counters of one run to a sum.
func add(sum, m map[string]int) {
	for name, n := range m {
		sum[name] += n
	}
}
