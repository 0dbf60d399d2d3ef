package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/lockstepmq/lockstep/sim"
)

// environments are those of the two runs: garbage collection and parallelism must
// not show.
var environments = [2][]string{
	{"GOGC=100", "GOMAXPROCS=1"},
	{"GOGC=20", "GOMAXPROCS=4"},
}

func twiceCommand() *cobra.Command {
	var seeds, start uint64
	var profile string
	cmd := &cobra.Command{
		Use: "twice", Short: "Run each seed in two processes and compare their traces", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			profiles := []sim.Profile{}
			if profile == "all" {
				for _, p := range sim.Profiles() {
					profiles = append(profiles, p.Name)
				}
			} else {
				p, err := sim.ParseProfile(profile)
				if err != nil {
					return err
				}
				profiles = append(profiles, p)
			}
			return twice(cmd.OutOrStdout(), cmd.ErrOrStderr(), start, seeds, profiles)
		},
	}
	cmd.Flags().Uint64Var(&seeds, "seeds", 20, "how many seeds")
	cmd.Flags().Uint64Var(&start, "start", 1, "the first one")
	cmd.Flags().StringVar(&profile, "profile", "all", "a profile, or all in turn")
	return cmd
}

func twice(out, bar io.Writer, start, seeds uint64, profiles []sim.Profile) error {
	progress := progressbar.NewOptions64(int64(seeds), progressbar.OptionSetWriter(bar), progressbar.OptionSetDescription("seeds twice"), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(pace(bar)))
	different := 0
	for n := range seeds {
		seed, profile := start+n, profiles[n%uint64(len(profiles))]
		a, err := inProcess(0, seed, profile)
		if err != nil {
			return err
		}
		b, err := inProcess(1, seed, profile)
		if err != nil {
			return err
		}
		if err := progress.Add(1); err != nil {
			return err
		}
		if a.TraceHash != b.TraceHash || a.Events != b.Events {
			different++
			fmt.Fprintf(out, "\nseed %d, profile %s differs: %s after %d events, %s after %d\n", seed, profile, a.TraceHash, a.Events, b.TraceHash, b.Events)
			if err := firstDifference(out, seed, profile); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(out, "\n%d seeds in two processes each, %d differ\n", seeds, different)
	if different > 0 {
		return errFailed
	}
	return nil
}

// again runs this program anew with the environment of one of the two.
func again(which int, args ...string) ([]byte, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, args...)
	cmd.Env = append(os.Environ(), environments[which]...)
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil && cmd.ProcessState.ExitCode() != exitFailed {
		return nil, fmt.Errorf("%v: %w: %s", args, err, complaint.String())
	}
	return out.Bytes(), nil
}

func inProcess(which int, seed uint64, profile sim.Profile) (*sim.Result, error) {
	text, err := again(which, "run", "--json", "--seed", strconv.FormatUint(seed, 10), "--profile", string(profile))
	if err != nil {
		return nil, err
	}
	r := &sim.Result{}
	if err := json.Unmarshal(text, r); err != nil {
		return nil, fmt.Errorf("seed %d: %w", seed, err)
	}
	return r, nil
}

// firstDifference prints the first line in which the finest traces of both
// processes differ.
func firstDifference(out io.Writer, seed uint64, profile sim.Profile) error {
	var traces [2][]byte
	for i := range traces {
		var err error
		traces[i], err = again(i, "run", "--trace=task", "--seed", strconv.FormatUint(seed, 10), "--profile", string(profile))
		if err != nil {
			return err
		}
	}
	printDifference(out, traces)
	return nil
}

// printDifference prints the first lines that differ, with what came before.
func printDifference(out io.Writer, traces [2][]byte) {
	a, b := bytes.Split(traces[0], []byte("\n")), bytes.Split(traces[1], []byte("\n"))
	for i := range min(len(a), len(b)) {
		if bytes.Equal(a[i], b[i]) {
			continue
		}
		for _, line := range a[max(0, i-5):i] {
			fmt.Fprintf(out, "  %s\n", line)
		}
		fmt.Fprintf(out, "- %s\n+ %s\n", a[i], b[i])
		return
	}
	fmt.Fprintln(out, "the printed traces are equal; what differs has no line of its own")
}
