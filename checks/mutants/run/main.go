// Command run plants each mutant in turn, builds the simulator, or the test that its profile stands for,
// with it, and demands that the simulation finds it by the invariant that it names.
//
// Exit codes: 0 when all were found; 1 when one survived, no longer applies or
// tripped another invariant; 2 when the command could not be carried out.
//
//lockstep:exempt builds programs and runs them
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/checks/mutants"
)

// outcome is what became of a mutant.
type outcome struct {
	m       *mutants.Mutant
	seeds   int // run until it was found
	tripped string
	detail  string
	err     error
	took    time.Duration
}

// verdict is empty when the mutant was found as it should be.
func (o *outcome) verdict() string {
	switch {
	case o.err != nil:
		return o.err.Error()
	case o.tripped == "":
		return fmt.Sprintf("survived %d seeds", o.seeds)
	case o.tripped != o.m.Invariant:
		return fmt.Sprintf("tripped %s: %s", o.tripped, o.detail)
	}
	return ""
}

func main() {
	most := flag.Int("seeds", 200, "how many seeds a mutant may survive")
	jobs := flag.Int("jobs", 2, "how many mutants at once")
	only := flag.String("only", "", "run the mutants whose name contains this")
	root := flag.String("root", ".", "directory of go.mod")
	flag.Parse()
	dir, err := os.MkdirTemp("", "lockstep-mutants-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(2)
	}
	failed := runAll(*root, dir, *only, *most, *jobs)
	os.RemoveAll(dir)
	if failed > 0 {
		os.Exit(1)
	}
}

func runAll(root, dir, only string, most, jobs int) (failed int) {
	var list []*outcome
	for i := range mutants.All {
		if m := &mutants.All[i]; strings.Contains(m.Name, only) {
			list = append(list, &outcome{m: m})
		}
	}
	queue := make(chan *outcome)
	var wg sync.WaitGroup
	for range max(jobs, 1) {
		wg.Go(func() {
			for o := range queue {
				start := time.Now()
				o.run(root, dir, most)
				o.took = time.Since(start)
				fmt.Fprintf(os.Stderr, "%s: %s\n", o.m.Name, describe(o))
			}
		})
	}
	for _, o := range list {
		queue <- o
	}
	close(queue)
	wg.Wait()
	return print(list)
}

func describe(o *outcome) string {
	if v := o.verdict(); v != "" {
		return v
	}
	return fmt.Sprintf("found after %d seeds in %.1f s", o.seeds, o.took.Seconds())
}

func print(list []*outcome) (failed int) {
	t := table.NewWriter()
	t.SetOutputMirror(os.Stdout)
	t.SetStyle(table.StyleLight)
	t.AppendHeader(table.Row{"mutant", "invariant", "profile", "seeds to detection", "verdict"})
	for _, o := range list {
		verdict := "found"
		if v := o.verdict(); v != "" {
			failed++
			verdict = "FAILED: " + v
		}
		t.AppendRow(table.Row{o.m.Name, o.m.Invariant, o.m.Profile, o.seeds, verdict})
	}
	t.SetColumnConfigs([]table.ColumnConfig{{Number: 5, WidthMax: 80, WidthMaxEnforcer: text.WrapSoft}})
	t.Render()
	fmt.Printf("%d mutants, %d not found as they should be\n", len(list), failed)
	return failed
}

// run builds the mutant and looks for it, seed after seed.
func (o *outcome) run(root, dir string, most int) {
	bin, err := build(o.m, root, dir)
	if err != nil {
		o.err = err
		return
	}
	defer os.Remove(bin)
	if _, test := mutants.Tests[o.m.Profile]; test {
		o.runTest(root, bin, most*testSeeds)
		return
	}
	for o.seeds < most {
		o.seeds++
		r, err := runSeed(bin, o.m.Profile, o.seeds)
		if err != nil {
			o.err = err
			return
		}
		if len(r.Violations) > 0 && o.trip(r.Violations) {
			return
		}
	}
}

// testSeeds is how many seeds of a test count as one of the simulator, which are longer.
const testSeeds = 50

// broken is how a test tells what a seed broke.
var broken = regexp.MustCompile(`(?:seed (\d+)|\.go:\d+): ([A-Z]+\.[a-z-]+): ([^\n]*)`)

// runTest looks for the mutant with a test that has a simulation of its own.
func (o *outcome) runTest(root, bin string, most int) {
	t := mutants.Tests[o.m.Profile]
	for first := 1; first <= most; first++ {
		cmd := exec.Command(bin, "-test.run", "^"+t.Name+"$", "-seed", strconv.Itoa(first), "-seeds", strconv.Itoa(most+1-first))
		cmd.Dir = filepath.Join(root, t.Package)
		text, err := cmd.CombinedOutput()
		found := broken.FindSubmatch(text)
		if found == nil {
			if o.seeds = most; err != nil {
				o.err = fmt.Errorf("%w: %s", err, bytes.TrimSpace(text))
			}
			return
		}
		n, err := strconv.Atoi(string(found[1]))
		if err == nil {
			first = n
		}
		o.seeds = first
		if o.trip([]core.Violation{{Invariant: string(found[2]), Detail: string(found[3])}}) || err != nil { // without seeds, once is all
			return
		}
	}
}

// trip takes down what tripped, and tells whether that ends the search: what the mutant may
// trip besides does not, unless what it names is there, too.
func (o *outcome) trip(list []core.Violation) bool {
	first := list[0]
	if slices.Contains(o.m.Also, first.Invariant) {
		i := slices.IndexFunc(list, func(v core.Violation) bool { return v.Invariant == o.m.Invariant })
		if i < 0 {
			return false
		}
		first = list[i]
	}
	o.tripped, o.detail = first.Invariant, first.Detail
	return true
}

// build compiles the simulator with the patch laid over the tree.
func build(m *mutants.Mutant, root, dir string) (string, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	path, text, err := m.Apply(root)
	if err != nil {
		return "", err
	}
	base := filepath.Join(dir, m.Name)
	overlay, err := json.Marshal(map[string]map[string]string{"Replace": {path: base + ".go.txt"}})
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(base+".go.txt", text, 0o600); err != nil {
		return "", err
	}
	if err := os.WriteFile(base+".json", overlay, 0o600); err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-overlay", base+".json", "-o", base, "./cmd/lockstep-sim")
	if t, test := mutants.Tests[m.Profile]; test {
		cmd = exec.Command("go", "test", "-c", "-overlay", base+".json", "-o", base, t.Package)
	}
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("mutant %s does not build: %w: %s", m.Name, err, bytes.TrimSpace(out))
	}
	return base, nil
}

// result is what a run prints, as far as it matters here.
type result struct {
	Violations []core.Violation `json:"violations"`
}

// runSeed runs one seed; a run that failed is no error.
func runSeed(bin, profile string, seed int) (*result, error) {
	cmd := exec.Command(bin, "run", "--json", "--profile", profile, "--seed", strconv.Itoa(seed))
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	runErr := cmd.Run()
	r := &result{}
	if err := json.Unmarshal(out.Bytes(), r); err != nil {
		return nil, fmt.Errorf("seed %d: %v: %s", seed, runErr, complaint.String())
	}
	return r, nil
}
