package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/fatih/color"
	"github.com/spf13/cobra"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/sim"
)

// runFlags are what run and replay share.
type runFlags struct {
	profile string
	json    bool
	trace   string
	until   time.Duration
	log     bool
}

func (f *runFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.profile, "profile", string(sim.Swarm), "which faults there may be; see list")
	cmd.Flags().BoolVar(&f.json, "json", false, "print one JSON object and nothing else")
	cmd.Flags().StringVar(&f.trace, "trace", "", "print what happens: fault, info, message or task")
	cmd.Flags().Lookup("trace").NoOptDefVal = "info"
	cmd.Flags().BoolVar(&f.log, "log", false, "show the server's log in the trace")
}

// takeLevel lets "--trace message" mean "--trace=message": a flag that may stand alone
// takes no word that follows it.
func (f *runFlags) takeLevel(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !cmd.Flags().Changed("trace") {
		return fmt.Errorf("argument %q is not expected", args[0])
	}
	f.trace = args[0]
	return nil
}

// levels by their names.
var levels = []struct {
	name  string
	level clock.Level
}{{"fault", clock.LevelFault}, {"info", clock.LevelInfo}, {"message", clock.LevelMessage}, {"task", clock.LevelTask}}

func (f *runFlags) options(seed uint64, out io.Writer) (sim.Options, error) {
	profile, err := sim.ParseProfile(f.profile)
	if err != nil {
		return sim.Options{}, err
	}
	o := sim.Options{Seed: seed, Profile: profile, Until: f.until, Log: f.log}
	if f.trace == "" && f.log {
		f.trace = "info"
	}
	if f.trace == "" {
		return o, nil
	}
	for _, l := range levels {
		if l.name == f.trace {
			o.Level = l.level
		}
	}
	if o.Level == 0 {
		return o, fmt.Errorf("trace level %q is unknown: there are fault, info, message and task", f.trace)
	}
	o.Sink = printer(out)
	return o, nil
}

// printer writes trace lines.
func printer(out io.Writer) clock.Sink {
	fault := color.New(color.FgYellow)
	return func(level clock.Level, at time.Duration, who, what string) {
		line := traceLine(at, who, what)
		if level == clock.LevelFault {
			fault.Fprintln(out, line)
			return
		}
		fmt.Fprintln(out, line)
	}
}

func traceLine(at time.Duration, who, what string) string {
	return fmt.Sprintf("%14.9f %-8s %s", at.Seconds(), who, what)
}

func runCommand() *cobra.Command {
	var f runFlags
	var seed uint64
	cmd := &cobra.Command{
		Use: "run --seed N", Short: "Run one seed", Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.takeLevel(cmd, args); err != nil {
				return err
			}
			return f.run(cmd, seed)
		},
	}
	cmd.Flags().Uint64Var(&seed, "seed", 1, "the seed")
	f.add(cmd)
	return cmd
}

func replayCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use: "replay SEED|FILE", Short: "Run a seed again, or a failure that fuzz saved", Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.takeLevel(cmd, args[1:]); err != nil {
				return err
			}
			seed, err := strconv.ParseUint(args[0], 10, 64)
			if err != nil {
				saved, err := readFailure(args[0])
				if err != nil {
					return err
				}
				if seed = saved.Seed; !cmd.Flags().Changed("profile") {
					f.profile = string(saved.Profile)
				}
			}
			return f.run(cmd, seed)
		},
	}
	cmd.Flags().DurationVar(&f.until, "until", 0, "stop at this virtual time, without a verdict")
	f.add(cmd)
	return cmd
}

// run carries a run out and tells of it.
func (f *runFlags) run(cmd *cobra.Command, seed uint64) error {
	out := cmd.OutOrStdout()
	traces := out
	if f.json {
		traces = os.Stderr
	}
	o, err := f.options(seed, traces)
	if err != nil {
		return err
	}
	r := timed(o)
	if f.json {
		text, err := json.Marshal(r)
		if err != nil {
			return err
		}
		fmt.Fprintln(out, string(text))
	} else {
		report(out, r)
	}
	if r.Result == "failed" || r.Result == "vacuous" {
		return errFailed
	}
	return nil
}

// timed is a run with the time that it took.
func timed(o sim.Options) *sim.Result {
	start := time.Now()
	r := sim.Run(o)
	r.Wall = time.Since(start).Seconds()
	return r
}

// replayCommandOf is the one command that runs a seed again.
func replayCommandOf(seed uint64, profile sim.Profile) string {
	return fmt.Sprintf("lockstep-sim replay %d --profile %s", seed, profile)
}

// report prints a result for a person.
func report(out io.Writer, r *sim.Result) {
	summaryTable(out, r)
	for _, line := range r.Vacuous {
		color.New(color.FgYellow).Fprintf(out, "too little happened: %s\n", line)
	}
	for i, v := range r.Violations {
		if i == 10 {
			fmt.Fprintf(out, "and %d more\n", len(r.Violations)-i)
			break
		}
		color.New(color.FgRed).Fprintf(out, "%s", v.Invariant)
		fmt.Fprintf(out, ": %s\n", v.Detail)
	}
	if len(r.Violations) > 0 || len(r.Vacuous) > 0 {
		fmt.Fprintf(out, "again: %s\n", replayCommandOf(r.Seed, r.Profile))
	}
}
