// Command lockstep-bench runs this server and another one side by side: the same
// `nats bench` against both in turn, and the memory of idle connections and of
// subscriptions. It prints ratios, since only those carry from one machine to the
// next.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"github.com/fatih/color"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/spf13/cobra"
)

// settings are the command line.
type settings struct {
	ours, against, nats string
	runs                int
	scale               float64
	conns, subs         int
	out                 io.Writer
}

func main() {
	s := settings{out: os.Stdout}
	if color.NoColor { // not a terminal
		text.DisableColors()
	}
	cmd := &cobra.Command{
		Use:           "lockstep-bench --against PATH",
		Short:         "Compare bin/lockstep with another NATS server binary",
		Example:       "  lockstep-bench --against /usr/local/bin/nats-server --runs 6",
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE:          func(*cobra.Command, []string) error { return s.run() },
	}
	f := cmd.Flags()
	f.StringVar(&s.against, "against", "", "the other server's binary (required)")
	f.StringVar(&s.ours, "ours", "bin/lockstep", "this server's binary")
	f.StringVar(&s.nats, "nats", "nats", "the nats CLI, for `nats bench`")
	f.IntVar(&s.runs, "runs", 3, "runs of each scenario on each server; medians are printed")
	f.Float64Var(&s.scale, "scale", 1, "multiplies the number of messages of each scenario")
	f.IntVar(&s.conns, "conns", 10000, "idle connections for the memory of one")
	f.IntVar(&s.subs, "subs", 1000000, "subscriptions for the memory of one")
	if err := cmd.MarkFlagRequired("against"); err != nil {
		panic(err)
	}
	if err := cmd.Execute(); err != nil {
		fmt.Fprintf(os.Stderr, "lockstep-bench: %v\n", err)
		os.Exit(1)
	}
}

// scenario is one load and the most CPU per message that it may cost, as a share
// of the other server's.
type scenario struct {
	name   string
	msgs   int
	size   int
	subs   int
	target float64
}

var scenarios = []scenario{
	{"publish, no interest, 128 B", 3_000_000, 128, 0, 0.6},
	{"1:1, 128 B", 1_000_000, 128, 1, 0.6},
	{"1:10, 128 B", 200_000, 128, 10, 0.6},
	{"1:1, 16 KiB", 60_000, 16 << 10, 1, 0.9},
}

func (s *settings) run() error {
	nats, err := exec.LookPath(s.nats)
	if err != nil {
		return fmt.Errorf("the nats CLI is not at %q: install it with `go install github.com/nats-io/natscli/nats@latest`, or say --nats PATH", s.nats)
	}
	var pair [2]*process
	for i, path := range []string{s.ours, s.against} {
		if pair[i], err = start(path); err != nil {
			return err
		}
		defer pair[i].stop()
	}
	t := newTable(s.out, "load", "", filepath.Base(s.ours), filepath.Base(s.against), "ratio", "target")
	for _, sc := range scenarios {
		sc.msgs = int(float64(sc.msgs) * s.scale)
		if err := s.load(t, nats, pair, sc); err != nil {
			return err
		}
	}
	if err := s.memory(t, pair); err != nil {
		return err
	}
	t.Render()
	return nil
}

func newTable(out io.Writer, header ...any) table.Writer {
	t := table.NewWriter()
	t.SetOutputMirror(out)
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row(header))
	t.SetColumnConfigs([]table.ColumnConfig{
		{Number: 3, Align: text.AlignRight}, {Number: 4, Align: text.AlignRight}, {Number: 5, Align: text.AlignRight},
	})
	return t
}

// load runs a scenario on both servers in turn and adds its medians to the table.
func (s *settings) load(t table.Writer, nats string, pair [2]*process, sc scenario) error {
	var rate, cpu [2][]float64
	for run := range s.runs {
		for i, p := range pair {
			fmt.Fprintf(os.Stderr, "\r%-30s run %d of %d on %-20s", sc.name, run+1, s.runs, p.name)
			r, c, err := p.bench(nats, sc)
			if err != nil {
				return err
			}
			rate[i], cpu[i] = append(rate[i], r), append(cpu[i], c)
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	a, b := median(rate[0]), median(rate[1])
	t.AppendRow(table.Row{sc.name, "messages/s", fmt.Sprintf("%.0f", a), fmt.Sprintf("%.0f", b), fmt.Sprintf("%.2f", a/b), ""})
	a, b = median(cpu[0]), median(cpu[1])
	t.AppendRow(table.Row{"", "server CPU ns/message", fmt.Sprintf("%.0f", a), fmt.Sprintf("%.0f", b), fmt.Sprintf("%.2f", a/b), verdict(a/b, sc.target)})
	return nil
}

func verdict(ratio, target float64) string {
	if ratio <= target {
		return text.FgGreen.Sprintf("met (%.2f)", target)
	}
	return text.FgRed.Sprintf("missed (%.2f)", target)
}

// memory measures what an idle connection and a subscription cost.
func (s *settings) memory(t table.Writer, pair [2]*process) error {
	var conn, sub [2]float64
	for i, p := range pair {
		var err error
		fmt.Fprintf(os.Stderr, "\rmemory of %s\033[K", p.name)
		if conn[i], err = p.idle(s.conns); err != nil {
			return err
		}
		if sub[i], err = p.subscribe(s.subs); err != nil {
			return err
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	row := func(name string, v [2]float64) {
		r := v[0] / v[1]
		t.AppendRow(table.Row{name, "bytes of RSS each", fmt.Sprintf("%.0f", v[0]), fmt.Sprintf("%.0f", v[1]), fmt.Sprintf("%.2f", r), verdict(r, 0.6)})
	}
	row(fmt.Sprintf("%d idle connections", s.conns), conn)
	row(fmt.Sprintf("%d subscriptions", s.subs), sub)
	return nil
}
