package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
)

// Ways to configure the stores of the two servers.
const (
	storeDefault = ""
	storeLazy    = `sync_interval: "2m"` // acknowledged before the flush: the other server's default
	storeAlways  = `sync_interval: always`
)

// jsLoad is a load of `nats bench` on a server with JetStream.
type jsLoad struct {
	name         string
	ours, theirs string // configuration of the store
	msgs         int
	kind         string   // words of `nats bench` up to its subject
	flags        []string // behind it
	clients      int
	// stored is how many messages a stream has before; 0 is no stream.
	stored int
	// durable makes a consumer of that name anew for each run.
	durable string
	// put fills the key-value bucket with as many keys before.
	put int
	// throughput at least and CPU at most, as shares of the other server's; 0 is no target.
	throughput, cpu float64
}

var jsLoads = []jsLoad{
	{name: "publish async, file, lazy flush on both", ours: storeLazy, theirs: storeDefault, msgs: 400_000, kind: "js pub async", clients: 1, throughput: 2, cpu: 0.5},
	{name: "publish async, file, flush before ack on both", ours: storeAlways, theirs: storeAlways, msgs: 20_000, kind: "js pub async", clients: 1, throughput: 10, cpu: 0.2},
	{name: "publish async, file, default of each", ours: storeDefault, theirs: storeDefault, msgs: 400_000, kind: "js pub async", clients: 1, throughput: 1, cpu: 0.6},
	{name: "publish sync, 16 clients, flush before ack on both", ours: storeAlways, theirs: storeAlways, msgs: 16_000, kind: "js pub sync", clients: 16, throughput: 4, cpu: 0.5},
	{name: "publish async, memory", msgs: 400_000, kind: "js pub async", flags: []string{"--storage", "memory"}, clients: 1, throughput: 2, cpu: 0.5},
	{name: "ordered consume", msgs: 400_000, kind: "js ordered", clients: 1, stored: 400_000, throughput: 1.25, cpu: 0.5},
	{name: "durable consume, explicit ack", msgs: 200_000, kind: "js consume", clients: 1, stored: 200_000, durable: "c1", throughput: 1.25, cpu: 0.5},
	{name: "KV put, 8 clients, lazy flush on both", ours: storeLazy, msgs: 80_000, kind: "kv put", clients: 8, throughput: 1.15, cpu: 0.65},
	{name: "KV put, 8 clients, default of each", msgs: 40_000, kind: "kv put", clients: 8},
	{name: "KV get, 8 clients", msgs: 160_000, kind: "kv get", clients: 8, put: 160_000, throughput: 1.15, cpu: 0.65},
}

// benchStream is what `nats bench js` calls its stream.
const benchStream = "benchstream"

// command is the arguments of the measured `nats bench`.
func (l *jsLoad) command(msgs int) []string {
	args := append([]string{"bench"}, strings.Fields(l.kind)...)
	args = append(args, "--msgs", strconv.Itoa(msgs), "--clients", strconv.Itoa(l.clients), "--size", "128B", "--no-progress")
	if strings.HasPrefix(l.kind, "js pub") {
		args = append(args, "bench.x", "--create", "--purge", "--maxbytes", "4GB")
	}
	if l.durable != "" {
		args = append(args, "--consumer", l.durable)
	}
	if strings.HasPrefix(l.kind, "kv put") {
		args = append(args, "--maxbytes", "4GB")
	}
	return append(args, l.flags...)
}

// jetstream measures the loads of JetStream that the command line picks.
func (s *settings) jetstream(t table.Writer, nats string, pair [2]*process) error {
	for _, l := range jsLoads {
		if !s.picks(l.name) {
			continue
		}
		if err := s.jsLoad(t, nats, pair, l); err != nil {
			return fmt.Errorf("%s: %w", l.name, err)
		}
	}
	for _, m := range []struct {
		name string
		run  func(*settings, table.Writer, string, [2]*process) error
	}{
		{"memory of stored messages and subjects", (*settings).storedMemory},
		{"object store", (*settings).objects},
		{"durable consumers", (*settings).manyConsumers},
		{"restart after kill -9", (*settings).restarts},
	} {
		if !s.picks(m.name) {
			continue
		}
		if err := m.run(s, t, nats, pair); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// withStore starts both servers anew with empty stores.
func (s *settings) withStore(pair [2]*process, ours, theirs string) error {
	for i, options := range []string{ours, theirs} {
		if err := pair[i].withStore(filepath.Join(s.dir, strconv.Itoa(i)), options); err != nil {
			return err
		}
	}
	return nil
}

// jsLoad runs a load on both servers in turn and adds its medians to the table.
func (s *settings) jsLoad(t table.Writer, nats string, pair [2]*process, l jsLoad) error {
	if err := s.withStore(pair, l.ours, l.theirs); err != nil {
		return err
	}
	msgs := max(l.clients, int(float64(l.msgs)*s.scale))
	for _, p := range pair {
		if err := s.prepare(nats, p, l); err != nil {
			return err
		}
	}
	var rate, cpu [2][]float64
	for run := range s.runs {
		for i, p := range pair {
			fmt.Fprintf(os.Stderr, "\r%-50s run %d of %d on %-20s", l.name, run+1, s.runs, p.name)
			r, c, err := s.jsRun(nats, p, l, msgs)
			if err != nil {
				return err
			}
			rate[i], cpu[i] = append(rate[i], r), append(cpu[i], c)
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	a, b := median(rate[0]), median(rate[1])
	t.AppendRow(table.Row{l.name, "messages/s", fmt.Sprintf("%.0f", a), fmt.Sprintf("%.0f", b), fmt.Sprintf("%.2f", a/b), atLeast(a/b, l.throughput)})
	a, b = median(cpu[0]), median(cpu[1])
	t.AppendRow(table.Row{"", "server CPU ns/message", fmt.Sprintf("%.0f", a), fmt.Sprintf("%.0f", b), fmt.Sprintf("%.2f", a/b), atMost(a/b, l.cpu)})
	return nil
}

// prepare stores what a load reads.
func (s *settings) prepare(nats string, p *process, l jsLoad) error {
	size := func(n int) string { return strconv.Itoa(max(l.clients, int(float64(n)*s.scale))) }
	if l.stored > 0 {
		if _, err := p.cli(nats, "bench", "js", "pub", "async", "bench.x", "--create", "--maxbytes", "4GB", "--msgs", size(l.stored), "--size", "128B", "--no-progress"); err != nil {
			return err
		}
	}
	if l.put > 0 {
		if _, err := p.cli(nats, "bench", "kv", "put", "--maxbytes", "4GB", "--msgs", size(l.put), "--clients", strconv.Itoa(l.clients), "--size", "128B", "--no-progress"); err != nil {
			return err
		}
	}
	return nil
}

// jsRun is one run: messages a second, and nanoseconds of server CPU a message.
func (s *settings) jsRun(nats string, p *process, l jsLoad, msgs int) (rate, cpu float64, err error) {
	if l.durable != "" {
		_, _ = p.cli(nats, "consumer", "rm", "-f", benchStream, l.durable) // of the run before, if there was one
		if _, err := p.cli(nats, "consumer", "add", benchStream, l.durable, "--pull", "--defaults", "--ack", "explicit", "--max-pending", "5000"); err != nil {
			return 0, 0, err
		}
	}
	before, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	out, err := p.cli(nats, l.command(msgs)...)
	if err != nil {
		return 0, 0, err
	}
	after, err := p.cpu()
	if err != nil {
		return 0, 0, err
	}
	rate, err = rateOf(out)
	return rate, (after - before) * 1e9 / float64(msgs), err
}
