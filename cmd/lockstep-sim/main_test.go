package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/sim"
)

// asProgram makes the test binary behave as the program, for tests of what runs
// itself again.
const asProgram = "LOCKSTEP_SIM_AS_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// command runs one command line in this process.
func command(args ...string) (string, error) {
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&bytes.Buffer{})
	err := cmd.Execute()
	return out.String(), err
}

func TestRunPrintsOneObject(t *testing.T) {
	out, err := command("run", "--seed", "3", "--profile", "network", "--json")
	require.NoError(t, err)
	require.Equal(t, 1, strings.Count(out, "\n"), "one line")
	var r map[string]any
	require.NoError(t, json.Unmarshal([]byte(out), &r))
	for _, key := range []string{
		"seed", "profile", "virtual_seconds", "wall_seconds", "events", "faults", "operations", "trace_hash", "result", "violations",
	} {
		require.Contains(t, r, key)
	}
	require.Len(t, r, 10)
	require.EqualValues(t, 3, r["seed"])
	require.Equal(t, "network", r["profile"])
	require.Positive(t, r["wall_seconds"])
	require.Len(t, r["trace_hash"], 16)

	again, err := command("replay", "3", "--profile", "network", "--json")
	require.NoError(t, err)
	var b map[string]any
	require.NoError(t, json.Unmarshal([]byte(again), &b))
	require.Equal(t, r["trace_hash"], b["trace_hash"])
}

func TestRunForAPerson(t *testing.T) {
	out, err := command("run", "--seed", "3", "--profile", "calm")
	require.NoError(t, err)
	require.Contains(t, out, "seed 3, profile calm: ok")
	require.Contains(t, out, "trace hash")
	require.Contains(t, out, "deliveries")
}

func TestReplayUntil(t *testing.T) {
	out, err := command("replay", "3", "--profile", "calm", "--until", "2s", "--trace=info")
	require.NoError(t, err)
	require.Contains(t, out, "seed 3, profile calm: cut")
	require.Contains(t, out, "server started, life 1")
}

func TestTraceLevels(t *testing.T) {
	lines := map[string]int{}
	for _, level := range []string{"fault", "info", "message", "task"} {
		out, err := command("replay", "3", "--profile", "calm", "--until", "1s", "--trace", level)
		require.NoError(t, err)
		lines[level] = strings.Count(out, "\n")
	}
	require.Less(t, lines["fault"], lines["info"])
	require.Less(t, lines["info"], lines["message"])
	require.Less(t, lines["message"], lines["task"])
}

func TestFailureIsSavedAndReplayed(t *testing.T) {
	dir := t.TempDir()
	f := &fuzzer{out: dir}
	lines := &tail{}
	for i := range 300 {
		lines.add(clock.LevelInfo, 0, "who", strings.Repeat("x", i%7))
	}
	r := sim.Run(sim.Options{Seed: 5, Profile: sim.Calm})
	r.Violations = []core.Violation{{Invariant: core.LossTold, At: 7, Detail: r.History.Subs[0].String() + " lost something"}}
	r.Result = "failed"
	require.NoError(t, f.save(r, lines))

	path := filepath.Join(dir, "calm-5.json")
	saved, err := readFailure(path)
	require.NoError(t, err)
	require.EqualValues(t, 5, saved.Seed)
	require.Equal(t, "lockstep-sim replay 5 --profile calm", saved.Replay)
	require.Len(t, saved.Tail, 200)
	require.Equal(t, r.Violations, saved.Violations)
	page, err := os.ReadFile(filepath.Join(dir, "calm-5.html"))
	require.NoError(t, err)
	require.Contains(t, string(page), "SUB ")

	out, err := command("replay", path, "--json")
	require.NoError(t, err)
	require.Contains(t, out, `"trace_hash":"`+r.TraceHash+`"`)
}

func TestFuzzStopsAfterItsSeeds(t *testing.T) {
	out, err := command("fuzz", "--for", "5m", "--seeds", "3", "--jobs", "2", "--start", "1", "--profile", "calm", "--out", t.TempDir())
	require.NoError(t, err)
	require.Regexp(t, `runs\s+│ 3`, out)
	require.Regexp(t, `failed\s+│ 0`, out)
}

func TestTwiceComparesTwoProcesses(t *testing.T) {
	t.Setenv(asProgram, "1")
	out, err := command("twice", "--seeds", "3", "--start", "1")
	require.NoError(t, err)
	require.Contains(t, out, "3 seeds in two processes each, 0 differ")
}

func TestFirstDifferenceIsShown(t *testing.T) {
	var out bytes.Buffer
	printDifference(&out, [2][]byte{[]byte("a\nb\nc\n"), []byte("a\nb\nd\n")})
	require.Equal(t, "  a\n  b\n- c\n+ d\n", out.String())
	out.Reset()
	printDifference(&out, [2][]byte{[]byte("a\n"), []byte("a\n")})
	require.Contains(t, out.String(), "the printed traces are equal")
}

func TestListNamesEverything(t *testing.T) {
	out, err := command("list")
	require.NoError(t, err)
	for _, p := range sim.Profiles() {
		require.Contains(t, out, string(p.Name))
	}
	for _, i := range core.Invariants() {
		require.Contains(t, out, i.Name)
	}
	require.Contains(t, out, "power-loss")
	require.Contains(t, out, "ping flood")
}

func TestMistakes(t *testing.T) {
	for _, tc := range []struct {
		name string
		args []string
		want string
	}{
		{"profile", []string{"run", "--profile", "stormy"}, `profile "stormy" is unknown: there are calm, network, crash, disk, swarm, plans, streams, cluster, replicas`},
		{"trace level", []string{"run", "--trace=all"}, `trace level "all" is unknown: there are fault, info, message and task`},
		{"jobs", []string{"fuzz", "--jobs", "0"}, "--jobs 0: at least 1 is needed"},
		{"file", []string{"replay", "no-such-file"}, `"no-such-file" is neither a seed nor a file of a failure: open no-such-file: no such file or directory`},
		{"argument", []string{"replay"}, "accepts between 1 and 2 arg(s), received 0"},
		{"stray argument", []string{"run", "7"}, `argument "7" is not expected`},
		{"stray level", []string{"run", "--trace", "all"}, `trace level "all" is unknown: there are fault, info, message and task`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := command(tc.args...)
			require.EqualError(t, err, tc.want)
		})
	}
}
