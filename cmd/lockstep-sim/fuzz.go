package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/sim"
)

// failure is what fuzz saves of a run that failed.
type failure struct {
	*sim.Result
	Replay string   `json:"replay"`
	Tail   []string `json:"trace_tail"` // the last lines of the trace
}

func readFailure(path string) (*failure, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("%q is neither a seed nor a file of a failure: %w", path, err)
	}
	f := &failure{Result: &sim.Result{}}
	if err := json.Unmarshal(text, f); err != nil {
		return nil, fmt.Errorf("%s is not a failure that fuzz saved: %w", path, err)
	}
	return f, nil
}

// fuzzer runs seeds on several goroutines, each a world of its own.
type fuzzer struct {
	profile sim.Profile
	out     string
	next    atomic.Uint64
	seeds   uint64 // at most so many; 0 is no limit
	start   uint64

	mu       sync.Mutex
	runs     int
	failed   []uint64
	events   uint64
	virtual  float64
	faults   map[string]int
	ops      map[string]int
	progress *progressbar.ProgressBar
}

func fuzzCommand() *cobra.Command {
	f := &fuzzer{faults: map[string]int{}, ops: map[string]int{}}
	var length time.Duration
	var jobs int
	var profile string
	cmd := &cobra.Command{
		Use: "fuzz", Short: "Run seeds until the time is up; keep what fails", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if f.profile, err = sim.ParseProfile(profile); err != nil {
				return err
			}
			if jobs < 1 {
				return fmt.Errorf("--jobs %d: at least 1 is needed", jobs)
			}
			if !cmd.Flags().Changed("start") {
				f.start = uint64(time.Now().UnixNano())
			}
			return f.fuzz(cmd.OutOrStdout(), cmd.ErrOrStderr(), length, jobs)
		},
	}
	cmd.Flags().DurationVar(&length, "for", time.Minute, "how long")
	cmd.Flags().IntVar(&jobs, "jobs", 1, "how many runs at once")
	cmd.Flags().StringVar(&f.out, "out", "out", "directory for failures")
	cmd.Flags().StringVar(&profile, "profile", string(sim.Swarm), "which faults there may be; see list")
	cmd.Flags().Uint64Var(&f.start, "start", 0, "first seed (default: from the clock)")
	cmd.Flags().Uint64Var(&f.seeds, "seeds", 0, "stop after so many seeds (default: no limit)")
	return cmd
}

// pace is how often progress is shown: a terminal follows, a log has a line now and
// then.
func pace(bar io.Writer) time.Duration {
	if f, ok := bar.(*os.File); ok && isatty.IsTerminal(f.Fd()) {
		return 200 * time.Millisecond
	}
	return 30 * time.Second
}

func (f *fuzzer) fuzz(out, bar io.Writer, length time.Duration, jobs int) error {
	begin := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), length)
	defer cancel()
	f.progress = progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(bar), progressbar.OptionSetDescription("seeds"),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString("seeds"),
		progressbar.OptionThrottle(pace(bar)))
	g, ctx := errgroup.WithContext(ctx) // a failure that cannot be kept ends the search
	for range jobs {
		g.Go(func() error { return f.work(ctx) })
	}
	err := errors.Join(g.Wait(), f.progress.Exit())
	fmt.Fprintln(bar)
	f.summary(out, time.Since(begin))
	if err != nil {
		return err
	}
	if len(f.failed) > 0 {
		return errFailed
	}
	return nil
}

func (f *fuzzer) work(ctx context.Context) error {
	for ctx.Err() == nil {
		n := f.next.Add(1) - 1
		if f.seeds > 0 && n >= f.seeds {
			return nil
		}
		tail := &tail{}
		r := timed(sim.Options{Seed: f.start + n, Profile: f.profile, Level: clock.LevelInfo, Sink: tail.add})
		if err := f.note(r, tail); err != nil {
			return err
		}
	}
	return nil
}

// note adds a run to the sums and keeps it when it failed.
func (f *fuzzer) note(r *sim.Result, t *tail) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.runs++
	f.events += r.Events
	f.virtual += r.Virtual
	add(f.faults, r.Faults)
	add(f.ops, r.Operations)
	if r.Result != "ok" {
		f.failed = append(f.failed, r.Seed)
		if err := f.save(r, t); err != nil {
			return err
		}
		f.progress.Describe(fmt.Sprintf("seeds, %d failed", len(f.failed)))
	}
	return f.progress.Add(1)
}

func (f *fuzzer) save(r *sim.Result, t *tail) error {
	if err := os.MkdirAll(f.out, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(&failure{r, replayCommandOf(r.Seed, r.Profile), t.lines()}, "", "  ")
	if err != nil {
		return err
	}
	base := filepath.Join(f.out, string(r.Profile)+"-"+strconv.FormatUint(r.Seed, 10))
	if err := os.WriteFile(base+".json", append(text, '\n'), 0o644); err != nil {
		return err
	}
	return visualize(base+".html", r)
}

func (f *fuzzer) summary(out io.Writer, took time.Duration) {
	t := newTable(out)
	t.AppendRow([]any{"runs", f.runs})
	t.AppendRow([]any{"failed", len(f.failed)})
	t.AppendRow([]any{"virtual time", fmt.Sprintf("%.0f s (%.0f a second)", f.virtual, f.virtual/took.Seconds())})
	t.AppendRow([]any{"events", fmt.Sprintf("%d (%.0f a second)", f.events, float64(f.events)/took.Seconds())})
	t.AppendSeparator()
	counts(t, f.ops)
	t.AppendSeparator()
	counts(t, f.faults)
	t.Render()
	for i, seed := range f.failed {
		if i == 10 {
			fmt.Fprintf(out, "and %d more in %s\n", len(f.failed)-i, f.out)
			break
		}
		fmt.Fprintf(out, "again: %s\n", replayCommandOf(seed, f.profile))
	}
}

// tail keeps the last lines of a trace.
type tail struct {
	ring [200]string
	n    int
}

func (t *tail) add(_ clock.Level, at time.Duration, who, what string) {
	t.ring[t.n%len(t.ring)] = traceLine(at, who, what)
	t.n++
}

func (t *tail) lines() []string {
	from := max(0, t.n-len(t.ring))
	out := make([]string, 0, t.n-from)
	for i := from; i < t.n; i++ {
		out = append(out, t.ring[i%len(t.ring)])
	}
	return out
}
