// Command lockstep-bench runs this server and another one side by side: the same
// `nats bench` against both in turn, the memory of idle connections, subscriptions,
// stored messages and consumers, and restarts. It prints ratios, since only those
// carry from one machine to the next.
package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

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
	only                string
	subjects, consumers int
	restart, object     int
	dir                 string // of the stores
	out                 io.Writer

	pick *regexp.Regexp
}

// picks tells whether the command line asks for a measurement.
func (s *settings) picks(name string) bool { return s.pick.MatchString(name) }

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
	f.StringVar(&s.only, "only", "", "a regular expression: measure only what it matches")
	f.IntVar(&s.subjects, "subjects", 1000000, "subjects for the memory of one, and as many messages")
	f.IntVar(&s.consumers, "consumers", 100000, "durable consumers of one stream")
	f.IntVar(&s.restart, "restart", 10000000, "messages in the store that is restarted")
	f.IntVar(&s.object, "object", 100<<20, "bytes of an object")
	f.StringVar(&s.dir, "dir", "", "where the servers' stores are made and removed (default: a temporary directory)")
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
	if s.pick, err = regexp.Compile(s.only); err != nil {
		return fmt.Errorf("--only: %w", err)
	}
	if s.dir == "" {
		if s.dir, err = os.MkdirTemp("", "lockstep-bench"); err != nil {
			return err
		}
		defer os.RemoveAll(s.dir)
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
		if !s.picks(sc.name) {
			continue
		}
		sc.msgs = int(float64(sc.msgs) * s.scale)
		if err := s.load(t, nats, pair, sc); err != nil {
			return err
		}
	}
	if s.picks("idle connections and subscriptions") {
		if err := s.memory(t, pair); err != nil {
			return err
		}
	}
	err = s.jetstream(t, nats, pair)
	t.Render() // what there is
	return err
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
	t.AppendRow(table.Row{"", "server CPU ns/message", fmt.Sprintf("%.0f", a), fmt.Sprintf("%.0f", b), fmt.Sprintf("%.2f", a/b), atMost(a/b, sc.target)})
	return nil
}

// atMost and atLeast judge a ratio; a target of 0 is none.
func atMost(ratio, target float64) string { return judge(ratio <= target, target) }

func atLeast(ratio, target float64) string { return judge(ratio >= target, target) }

func judge(met bool, target float64) string {
	if target == 0 {
		return ""
	}
	return within(met, fmt.Sprintf("%.2f", target))
}

func within(met bool, target string) string {
	if met {
		return text.FgGreen.Sprintf("met (%s)", target)
	}
	return missed(target)
}

func missed(target string) string { return text.FgRed.Sprintf("missed (%s)", target) }

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
		t.AppendRow(table.Row{name, "bytes of RSS each", fmt.Sprintf("%.0f", v[0]), fmt.Sprintf("%.0f", v[1]), fmt.Sprintf("%.2f", r), atMost(r, 0.6)})
	}
	row(fmt.Sprintf("%d idle connections", s.conns), conn)
	row(fmt.Sprintf("%d subscriptions", s.subs), sub)
	return nil
}
