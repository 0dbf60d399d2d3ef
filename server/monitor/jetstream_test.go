package monitor_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/monitor"
)

// fakeJetStream tells of the streams that it was given. It answers at once, or, with
// later, from a strand.
type fakeJetStream struct {
	cluster  *monitor.JetStreamCluster // nil: alone
	options  *config.Options
	accounts map[string]*monitor.AccountDetail
	stopped  bool
	problems []monitor.HealthzError
	later    clock.Strand
	queries  []monitor.JetStreamQuery
}

func (f *fakeJetStream) JetStreamConfig() *monitor.JetStreamConfig {
	if f.stopped {
		return nil
	}
	return monitor.NewJetStreamConfig(f.options, 1<<30, 10<<30, "/data/jetstream")
}

func (f *fakeJetStream) JetStreamAccounts() []string {
	var names []string
	for name := range f.accounts { //lockstep:ordered sorted below
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func (f *fakeJetStream) JetStreamTotals() monitor.JetStreamTotals {
	t := monitor.JetStreamTotals{JetStreamStats: monitor.JetStreamStats{
		ReservedStore: 100_000, Accounts: len(f.accounts),
		API: api.JetStreamAPIStats{Level: api.Level, Total: 19, Errors: 2},
	}}
	for _, name := range f.JetStreamAccounts() {
		for _, s := range f.accounts[name].Streams {
			t.Streams, t.Consumers = t.Streams+1, t.Consumers+len(s.Consumer)
			t.Messages, t.Bytes, t.Store = t.Messages+s.State.Msgs, t.Bytes+s.State.Bytes, t.Store+s.State.Bytes
		}
	}
	t.StreamsLeader, t.ConsumersLeader = t.Streams, t.Consumers
	return t
}

func (f *fakeJetStream) JetStreamCluster(done func(*monitor.JetStreamCluster)) { done(f.cluster) }

func (f *fakeJetStream) JetStreamProblems() []monitor.HealthzError { return f.problems }

func (f *fakeJetStream) JetStreamGather(q monitor.JetStreamQuery, done func([]*monitor.AccountDetail)) {
	f.queries = append(f.queries, q)
	var list []*monitor.AccountDetail
	for _, name := range q.Accounts {
		if a := f.accounts[name]; a != nil {
			list = append(list, gathered(a, &q))
		}
	}
	if f.later != nil {
		f.later.Post(func() { done(list) })
		return
	}
	done(list)
}

// gathered is what q asks for of an account.
func gathered(a *monitor.AccountDetail, q *monitor.JetStreamQuery) *monitor.AccountDetail {
	out := *a
	out.Streams = nil
	if !q.Streams {
		return &out
	}
	for _, s := range a.Streams {
		if q.Stream != "" && s.Name != q.Stream {
			continue
		}
		if !q.Config {
			s.Config = nil
		}
		if !q.Direct {
			s.DirectConsumer = nil
		}
		consumers := s.Consumer
		s.Consumer = nil
		for _, c := range consumers {
			one := *c
			if !q.Config {
				one.Config = nil
			}
			if q.Consumers {
				s.Consumer = append(s.Consumer, &one)
			}
		}
		out.Streams = append(out.Streams, s)
	}
	return &out
}

// newFakeJetStream has some streams in account A, and none in the others that o grants
// JetStream.
func newFakeJetStream(o *config.Options, now time.Time) *fakeJetStream {
	f := &fakeJetStream{options: o, accounts: make(map[string]*monitor.AccountDetail)}
	for _, a := range o.Accounts {
		if j := a.JetStream(); j != nil {
			l := j.Tiers[""]
			d := &monitor.AccountDetail{Name: a.Name, Id: a.Name}
			d.ReservedMemory, d.ReservedStore = uint64(l.MaxMemory), uint64(l.MaxStore)
			f.accounts[a.Name] = d
		}
	}
	a := f.accounts["A"]
	if a == nil {
		return f
	}
	a.Store, a.API = 531, api.JetStreamAPIStats{Total: 17, Errors: 2}
	here := &api.ClusterInfo{Leader: "golden"}
	state := api.StreamState{
		Msgs: 3, Bytes: 117, FirstSeq: 1, FirstTime: now, LastSeq: 3, LastTime: now.Add(time.Second), NumSubjects: 3, Consumers: 2,
	}
	last := now.Add(2 * time.Second)
	consumer := func(name string, seq uint64, config *api.ConsumerConfig) *api.ConsumerInfo {
		at := api.SequenceInfo{Consumer: seq, Stream: seq, Last: &last}
		return &api.ConsumerInfo{
			Stream: "S1", Name: name, Created: now, Config: config, Delivered: at, AckFloor: at, NumPending: 3 - seq,
			TimeStamp: now.Add(5 * time.Second),
		}
	}
	a.Streams = []monitor.StreamDetail{
		{
			Name: "ELSEWHERE", Created: now, Cluster: &api.ClusterInfo{Leader: "other"}, Config: &api.StreamConfig{Name: "ELSEWHERE"},
		}, {
			Name: "MIRROR", Created: now, Cluster: here, Config: &api.StreamConfig{Name: "MIRROR"}, State: state,
			Mirror: &api.StreamSourceInfo{Name: "S1", Active: 65947772, External: &api.ExternalStream{ApiPrefix: "$JS.hub.API", DeliverPrefix: "d"}},
		}, {
			Name: "S1", Created: now, Cluster: here, Config: &api.StreamConfig{Name: "S1", Subjects: []string{"s1.>"}, MaxBytes: 1000, MaxMsgs: -1}, State: state,
			Consumer: []*api.ConsumerInfo{
				consumer("c1", 1, &api.ConsumerConfig{Durable: "c1", Name: "c1", Description: "first"}),
				consumer("c2", 2, nil),
			},
			DirectConsumer: []*api.ConsumerInfo{consumer("direct", 3, nil)},
		}, {
			Name: "SOURCED", Created: now, Config: &api.StreamConfig{Name: "SOURCED"}, State: state,
			Sources: []*api.StreamSourceInfo{{Name: "S1", Lag: 2, Active: -1}},
		},
	}
	return f
}

// js carries out a command of a script that concerns JetStream.
func (w *world) js(what string) {
	word, rest, _ := strings.Cut(what, " ")
	switch word {
	case "stop":
		w.jetStream.stopped = true
	case "start":
		w.jetStream.stopped = false
	case "problem":
		at, text, _ := strings.Cut(rest, ": ")
		account, stream, _ := strings.Cut(at, "/")
		w.jetStream.problems = append(w.jetStream.problems, monitor.HealthzError{
			Type: monitor.HealthzErrorStream, Account: account, Stream: stream, Error: text,
		})
	default:
		w.t.Fatalf("no such command: js %s", what)
	}
}

// TestJszAsksForNoMoreThanItNeeds: a scrape of one page must not visit every stream.
func TestJszAsksForNoMoreThanItNeeds(t *testing.T) {
	w := newWorld(t, "server_name: golden, jetstream: true, accounts {A {jetstream: true}, B {jetstream: true}, C {jetstream: true}, D {}}")
	type query = monitor.JetStreamQuery
	for _, tc := range []struct {
		opts monitor.JSzOptions
		want []query
	}{
		{monitor.JSzOptions{}, nil},
		{monitor.JSzOptions{Config: true, RaftGroups: true, DirectConsumer: true}, nil},
		{monitor.JSzOptions{Accounts: true}, []query{{Accounts: []string{"A", "B", "C"}}}},
		{monitor.JSzOptions{Accounts: true, Offset: 1, Limit: 1}, []query{{Accounts: []string{"B"}}}},
		{monitor.JSzOptions{Accounts: true, Offset: 3}, nil},
		{monitor.JSzOptions{Accounts: true, Offset: -1, Limit: -1}, []query{{Accounts: []string{"A", "B", "C"}}}},
		{monitor.JSzOptions{Streams: true, Limit: 2}, []query{{Accounts: []string{"A", "B"}, Streams: true}}},
		{monitor.JSzOptions{Account: "B", Offset: 5, Limit: 1}, []query{{Accounts: []string{"B"}}}},
		{monitor.JSzOptions{Account: "D", Streams: true}, nil},
		{monitor.JSzOptions{Account: "nobody", Consumer: true}, nil},
		{monitor.JSzOptions{Account: "A", Consumer: true, Config: true}, []query{{Accounts: []string{"A"}, Streams: true, Consumers: true, Config: true}}},
		{monitor.JSzOptions{Account: "A", Consumer: true, DirectConsumer: true}, []query{{Accounts: []string{"A"}, Streams: true, Consumers: true, Direct: true}}},
		{monitor.JSzOptions{Account: "A", DirectConsumer: true}, []query{{Accounts: []string{"A"}}}},
	} {
		w.jetStream.queries = nil
		z, err := w.monitor.Jsz(&tc.opts)
		require.NoError(t, err)
		require.Equal(t, 3, z.Total)
		require.Equal(t, tc.want, w.jetStream.queries, "%+v", tc.opts)
	}
}

// TestAskDoesNotWait: on a strand, the answer comes when JetStream's strands have run.
func TestAskDoesNotWait(t *testing.T) {
	w := newWorld(t, "jetstream: true, accounts {A {jetstream: true}}")
	w.jetStream.later = w.sim.Clock("server").NewStrand("js")
	var z *monitor.JSInfo
	var h *monitor.HealthStatus
	w.monitor.AskJsz(&monitor.JSzOptions{Accounts: true}, func(got *monitor.JSInfo, err error) {
		require.NoError(t, err)
		z = got
	})
	w.monitor.AskHealthz(&monitor.HealthzOptions{Account: "A", Stream: "nope"}, func(got *monitor.HealthStatus) { h = got })
	require.Nil(t, z)
	require.Nil(t, h)
	w.settle()
	require.Len(t, z.AccountDetails, 1)
	require.Equal(t, 404, h.StatusCode)
}

// TestJszWaits for an answer that another goroutine gives.
func TestJszWaits(t *testing.T) {
	w := newWorld(t, "jetstream: true, accounts {A {jetstream: true}}")
	w.jetStream.later = clock.NewReal().NewStrand("js")
	z, err := w.monitor.Jsz(&monitor.JSzOptions{Account: "A", Streams: true})
	require.NoError(t, err)
	require.Len(t, z.AccountDetails[0].Streams, 4)
	require.Equal(t, "ok", w.monitor.Healthz(&monitor.HealthzOptions{Account: "A", Stream: "S1", Consumer: "c1"}).Status)
}

func TestJetStreamConfig(t *testing.T) {
	for text, want := range map[string]monitor.JetStreamConfig{
		"jetstream: true": {SyncInterval: 2 * time.Minute, SyncAlways: true, Strict: true},
		"jetstream {sync_interval: '5s', strict: false, domain: d, unique_tag: 'AZ:', max_mem: 1, max_file: 1}": {
			SyncInterval: 5 * time.Second, Domain: "d", UniqueTag: "az:", CompressOK: true,
		},
		"jetstream {sync_interval: always, max_mem: 1}": {SyncInterval: 2 * time.Minute, SyncAlways: true, Strict: true},
	} {
		o := &config.Options{}
		require.NoError(t, o.ProcessConfigString(text))
		o.SetBaseline()
		want.MaxMemory, want.MaxStore, want.StoreDir = 3, 4, "dir"
		require.Equal(t, &want, monitor.NewJetStreamConfig(o, 3, 4, "dir"), text)
	}
}
