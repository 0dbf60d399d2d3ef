package source

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
)

// requests gives what was asked of origins, a line each, without times.
func (w *world) requests() []string {
	var list []string
	for line := range strings.Lines(w.out.String()) {
		if _, text, ok := strings.Cut(strings.TrimSpace(line), " request "); ok {
			list = append(list, text)
		}
	}
	return list
}

func (w *world) times() []time.Duration {
	var list []time.Duration
	for line := range strings.Lines(w.out.String()) {
		if at, _, ok := strings.Cut(line, " request "); ok {
			d, err := time.ParseDuration(at)
			if err != nil {
				panic(err)
			}
			list = append(list, d)
		}
	}
	return list
}

func scripted(t *testing.T, change func(cfg *api.StreamConfig)) *world {
	cfg := streamConfig()
	change(cfg)
	w := newWorld(t, 1, cfg)
	w.verbose = true
	return w
}

func TestRequests(t *testing.T) {
	at := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name   string
		mirror *api.StreamSource
		source *api.StreamSource
		want   string
	}{
		{"mirror", &api.StreamSource{Name: "O"}, nil,
			`$JS.API.CONSUMER.CREATE.O "NATS/1.0\r\nNats-Required-Api-Level: 4\r\n\r\n" {"stream_name":"O","config":{"name":"JS_MIRROR_ufOr0Skg","deliver_policy":"all","ack_policy":"none","ack_wait":79200000000000,"max_deliver":1,"replay_policy":"instant","flow_control":true,"deliver_subject":"$JS.M.xxxxxxxx","idle_heartbeat":1000000000,"inactive_threshold":10000000000,"num_replicas":0,"direct":true,"sourcing":true,"metadata":{"_nats.mirror.acc":"A","_nats.mirror.stream":"D"}},"action":""}`},
		{"external mirror from a sequence", &api.StreamSource{Name: "O", FilterSubject: "a.>", OptStartSeq: 7, External: &api.ExternalStream{ApiPrefix: "$JS.hub.API", DeliverPrefix: "in."}}, nil,
			`$JS.hub.API.CONSUMER.CREATE.O.JS_MIRROR_ufOr0Skg.a.> "NATS/1.0\r\nNats-Required-Api-Level: 4\r\n\r\n" {"stream_name":"O","config":{"name":"JS_MIRROR_ufOr0Skg","deliver_policy":"by_start_sequence","opt_start_seq":7,"ack_policy":"none","ack_wait":79200000000000,"max_deliver":1,"filter_subject":"a.\u003e","replay_policy":"instant","flow_control":true,"deliver_subject":"in.M.xxxxxxxx","idle_heartbeat":1000000000,"inactive_threshold":10000000000,"num_replicas":0,"direct":true,"sourcing":true,"metadata":{"_nats.mirror.acc":"A","_nats.mirror.stream":"D"}},"action":""}`},
		{"source with transforms from a time", nil, &api.StreamSource{Name: "O", OptStartTime: &at, SubjectTransforms: []api.SubjectTransformConfig{{Source: "a.*", Destination: "b.$1"}, {Source: "c.*"}}},
			`$JS.API.CONSUMER.CREATE.O "NATS/1.0\r\nNats-Required-Api-Level: 5\r\nNats-Stream-Identity: \r\n\r\n" {"stream_name":"O","config":{"name":"JS_SRC_ufOr0Skg","deliver_policy":"by_start_time","opt_start_time":"2024-05-01T00:00:00Z","ack_policy":"none","ack_wait":79200000000000,"max_deliver":1,"filter_subjects":["a.*","c.*"],"replay_policy":"instant","flow_control":true,"deliver_subject":"$JS.S.xxxxxxxx","idle_heartbeat":1000000000,"inactive_threshold":10000000000,"num_replicas":0,"direct":true,"sourcing":true,"metadata":{"_nats.src.acc":"A","_nats.src.stream":"D"}},"action":""}`},
		{"source with one transform", nil, &api.StreamSource{Name: "O", SubjectTransforms: []api.SubjectTransformConfig{{Source: "a.*", Destination: "b.$1"}}, External: &api.ExternalStream{ApiPrefix: "X.API"}},
			`X.API.CONSUMER.CREATE.O.JS_SRC_ufOr0Skg.a.* "NATS/1.0\r\nNats-Required-Api-Level: 5\r\nNats-Stream-Identity: \r\n\r\n" {"stream_name":"O","config":{"name":"JS_SRC_ufOr0Skg","deliver_policy":"all","ack_policy":"none","ack_wait":79200000000000,"max_deliver":1,"filter_subject":"a.*","replay_policy":"instant","flow_control":true,"deliver_subject":"$JS.S.xxxxxxxx","idle_heartbeat":1000000000,"inactive_threshold":10000000000,"num_replicas":0,"direct":true,"sourcing":true,"metadata":{"_nats.src.acc":"A","_nats.src.stream":"D"}},"action":""}`},
		{"source with a consumer made beforehand", nil, &api.StreamSource{Name: "O", Consumer: &api.StreamConsumerSource{Name: "DUR", DeliverSubject: "in"}},
			`$JS.API.CONSUMER.RESET.O.DUR "NATS/1.0\r\nNats-Required-Api-Level: 5\r\nNats-Stream-Identity: \r\n\r\n" `},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := scripted(t, func(cfg *api.StreamConfig) {
				cfg.Mirror = tc.mirror
				if tc.source != nil {
					cfg.Sources = []*api.StreamSource{tc.source}
				}
			})
			w.run(time.Second)
			want := tc.want
			if tc.source != nil && tc.source.Consumer != nil {
				require.Equal(t, strings.TrimSpace(want), w.requests()[0])
				return
			}
			require.Len(t, w.requests(), 1)
			got := w.requests()[0]
			i := strings.Index(got, `"deliver_subject":"`)
			j := i + strings.Index(got[i:], `","idle`)
			got = got[:j-8] + "xxxxxxxx" + got[j:]
			require.Equal(t, want, got)
		})
	}
}

func TestOlderOriginIsAskedForLess(t *testing.T) {
	w := scripted(t, func(cfg *api.StreamConfig) { cfg.Sources = []*api.StreamSource{{Name: "O", FilterSubject: "x"}} })
	o := w.origin("O")
	o.level = 3
	o.publish("x", "", "1")
	w.run(2 * time.Second)
	r := w.requests()
	require.Len(t, r, 3)
	require.Contains(t, r[0], `.JS_SRC_ufOr0Skg.x "NATS/1.0\r\nNats-Required-Api-Level: 5\r\nNats-Stream-Identity: \r\n\r\n"`)
	require.Contains(t, r[1], `.JS_SRC_ufOr0Skg.x "NATS/1.0\r\nNats-Required-Api-Level: 4\r\n\r\n"`)
	require.Regexp(t, `\.JS_SRC_ufOr0Skg_[0-9A-Za-z]{8}\.x "" .*"direct":true,"metadata"`, r[2])
	require.Len(t, w.content(), 1)
	w.set.Stop(Removed)
	require.Contains(t, w.requests()[3], "CONSUMER.DELETE.O.JS_SRC_ufOr0Skg ")
}

func TestFailuresAreRepeatedLater(t *testing.T) {
	w := scripted(t, func(cfg *api.StreamConfig) { cfg.Mirror = &api.StreamSource{Name: "O"} })
	w.run(14 * time.Minute)
	at := w.times()
	require.Less(t, at[0], 210*time.Millisecond)
	for i, want := range []time.Duration{10, 20, 30, 40, 50, 60, 70, 80, 90, 100, 110, 120, 0} {
		if want == 0 {
			break
		}
		require.InDelta(t, (want*time.Second + 150*time.Millisecond).Seconds(), (at[i+1] - at[i]).Seconds(), 0.08)
	}
	i := w.set.Mirror()
	require.Equal(t, 10059, i.Error.ErrCode)
	require.EqualValues(t, -1, i.Active)

	o := w.origin("O")
	o.publish("a", "", "1")
	w.run(2*time.Minute + time.Second)
	require.Len(t, w.content(), 1)
	require.Nil(t, w.set.Mirror().Error)
}

func TestSilentOriginIsNoError(t *testing.T) {
	w := scripted(t, func(cfg *api.StreamConfig) { cfg.Mirror = &api.StreamSource{Name: "O"} })
	w.origin("O").silent = true
	w.run(41 * time.Second)
	require.Len(t, w.requests(), 2)
	require.Nil(t, w.set.Mirror().Error)
	require.EqualValues(t, -1, w.set.Mirror().Active)
}

func TestSilenceIsNoticed(t *testing.T) {
	w := scripted(t, func(cfg *api.StreamConfig) { cfg.Mirror = &api.StreamSource{Name: "O"} })
	o := w.origin("O")
	w.run(30 * time.Second)
	require.Len(t, w.requests(), 1)
	for _, c := range o.cons { //lockstep:ordered each is ended alike
		c.gone = true
	}
	w.run(9 * time.Second)
	require.Len(t, w.requests(), 1)
	require.Greater(t, w.set.Mirror().Active, 8*time.Second)
	w.run(2 * time.Second)
	require.Len(t, w.requests(), 2)
	require.Less(t, w.set.Mirror().Active, 2*time.Second)
}

func TestConsumerMadeBeforehandMustFit(t *testing.T) {
	for _, tc := range []struct {
		name string
		src  func(cfg *api.StreamConfig, s *api.StreamSource)
		code int
		fit  func(c *originConsumer)
	}{
		{"source, acks", func(cfg *api.StreamConfig, s *api.StreamSource) { cfg.Sources = []*api.StreamSource{s} }, 10217, func(c *originConsumer) { c.cfg.AckPolicy = api.AckNone }},
		{"mirror, deliver subject", func(cfg *api.StreamConfig, s *api.StreamSource) { cfg.Mirror = s }, 10214, func(c *originConsumer) { c.cfg.DeliverSubject = "other" }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			w := scripted(t, func(cfg *api.StreamConfig) {
				tc.src(cfg, &api.StreamSource{Name: "O", Consumer: &api.StreamConsumerSource{Name: "DUR", DeliverSubject: "in"}})
			})
			tc.fit(w.origin("O").durable("DUR", "in"))
			w.run(time.Second)
			i := append(w.set.Sources(), w.set.Mirror())[0]
			require.Equal(t, tc.code, i.Error.ErrCode)
			require.Empty(t, w.content())
			w.set.Stop(Removed)
			require.NotContains(t, w.out.String(), "DELETE")
		})
	}
}

func TestResetGoesBehindWhatIsHere(t *testing.T) {
	w := scripted(t, func(cfg *api.StreamConfig) {
		cfg.Sources = []*api.StreamSource{{Name: "O", Consumer: &api.StreamConsumerSource{Name: "DUR", DeliverSubject: "in"}}}
	})
	o := w.origin("O")
	o.queue = true
	o.durable("DUR", "in")
	for range 5 {
		o.publish("a", "", "x")
	}
	w.run(3 * time.Second)
	require.Empty(t, o.msgs)
	require.Contains(t, w.out.String(), `Nats-Last-Consumer: 5\r\nNats-Last-Stream: 5\r\n\r\n"`)
	w.crash()
	w.run(time.Second)
	require.True(t, strings.HasSuffix(w.requests()[1], `{"seq":6}`), w.requests()[1])
}

func TestRecreatedOriginIsFollowedFromItsBeginning(t *testing.T) {
	w := scripted(t, func(cfg *api.StreamConfig) { cfg.Sources = []*api.StreamSource{{Name: "O", OptStartSeq: 3}} })
	o := w.origin("O")
	for i := range 5 {
		o.publish("a", "", string(rune('a'+i)))
	}
	w.run(2 * time.Second)
	require.Equal(t, []string{"1 a c", "2 a d", "3 a e"}, w.content())
	o.recreate()
	for i := range 2 {
		o.publish("a", "", string(rune('A'+i)))
	}
	w.run(20 * time.Second)
	require.Equal(t, []string{"1 a c", "2 a d", "3 a e", "4 a A", "5 a B"}, w.content())
	r := w.requests()
	require.Len(t, r, 3)
	require.Contains(t, r[1], `Nats-Stream-Identity: id000001\r\n`)
	require.Contains(t, r[1], `"opt_start_seq":6`)
	require.Contains(t, r[2], `Nats-Stream-Identity: \r\n`)
	require.Contains(t, r[2], `"deliver_policy":"all"`)
	seq, id, ok := w.machine.SourcePosition(machine.SourceKey(w.cfg.Sources[0]))
	require.True(t, ok)
	require.EqualValues(t, 2, seq)
	require.Equal(t, "id000002", id)
}

func TestMirrorSkipsWhatTheOriginHasNoMore(t *testing.T) {
	w := scripted(t, func(cfg *api.StreamConfig) { cfg.Mirror = &api.StreamSource{Name: "O"} })
	o := w.origin("O")
	for range 5 {
		o.publish("a", "", "x")
	}
	o.purge()
	w.run(time.Second)
	s := w.store.State()
	require.EqualValues(t, 5, s.Last)
	require.EqualValues(t, 6, s.First)
	require.Equal(t, 1, w.caught)
}

func TestPromotion(t *testing.T) {
	w := scripted(t, func(cfg *api.StreamConfig) { cfg.Mirror = &api.StreamSource{Name: "O"} })
	o := w.origin("O")
	o.publish("a", "", "x")
	w.run(time.Second)
	w.configure(func(cfg *api.StreamConfig) { cfg.Mirror = nil })
	require.Nil(t, w.set.Mirror())
	require.Contains(t, w.requests()[1], "CONSUMER.DELETE.O.JS_MIRROR_ufOr0Skg ")
	w.run(time.Second)
	require.Empty(t, o.cons)
	o.publish("a", "", "y")
	w.run(time.Minute)
	require.Len(t, w.content(), 1)
}

func TestSourcesComeAndGo(t *testing.T) {
	w := scripted(t, func(cfg *api.StreamConfig) { cfg.Sources = []*api.StreamSource{{Name: "O"}, {Name: "P"}} })
	o, p := w.origin("O"), w.origin("P")
	o.publish("o", "", "1")
	p.publish("p", "", "1")
	w.run(2 * time.Second)
	require.Len(t, w.content(), 2)
	w.configure(func(cfg *api.StreamConfig) { cfg.Sources = cfg.Sources[1:] })
	o.publish("o", "", "2")
	p.publish("p", "", "2")
	w.run(2 * time.Second)
	require.Len(t, w.content(), 3)
	require.Len(t, w.set.Sources(), 1)
	w.configure(func(cfg *api.StreamConfig) { cfg.Sources = append(cfg.Sources, &api.StreamSource{Name: "O"}) })
	w.run(2 * time.Second)
	require.Len(t, w.content(), 4)
}

// A stream that was restored from a backup has no positions but what its messages tell.
func TestPositionIsFoundInMessages(t *testing.T) {
	w := scripted(t, func(cfg *api.StreamConfig) { cfg.Sources = []*api.StreamSource{{Name: "O"}} })
	o := w.origin("O")
	for range 7 {
		o.publish("a", "", "x")
	}
	var b machine.Builder
	b.Begin(nil, w.Now())
	b.Add([]byte("own"), nil, []byte("before"), machine.Verdict{})
	w.append(b.Bytes(), nil)
	var c machine.Copies
	c.Begin(nil, w.Now())
	c.Add(&machine.Copy{Seq: 2, Time: w.Now(), Subject: []byte("a"), Header: []byte("NATS/1.0\r\nNats-Stream-Source: O 5 > > a id000001\r\n\r\n"), Restored: true})
	for seq := range 2000 {
		c.Add(&machine.Copy{Seq: uint64(3 + seq), Time: w.Now(), Subject: []byte("own"), Restored: true})
	}
	w.append(c.Bytes(), nil)
	w.run(50 * time.Millisecond)
	w.crash()
	w.run(3 * time.Second)
	require.EqualValues(t, 2004, w.store.State().Last)
	m, _ := w.store.Load(2003)
	require.Contains(t, string(m.Header), "Nats-Stream-Source: O 6 > > a id000001\r\n")
	require.Contains(t, w.requests()[0], `"opt_start_seq":6`)
}

func TestRefusedMessageIsTriedAgain(t *testing.T) {
	w := scripted(t, func(cfg *api.StreamConfig) {
		cfg.Sources = []*api.StreamSource{{Name: "O"}}
		cfg.Discard, cfg.MaxMsgs = api.DiscardNew, 3
	})
	o := w.origin("O")
	for range 20 {
		o.publish("a", "", "x")
	}
	w.run(time.Minute)
	require.Len(t, w.content(), 3)
	require.Equal(t, "maximum messages exceeded", w.set.Sources()[0].Error.Description)
	before := w.refusals
	w.run(time.Minute)
	require.LessOrEqual(t, w.refusals-before, 8)
	w.configure(func(cfg *api.StreamConfig) { cfg.MaxMsgs = -1 })
	w.run(11 * time.Second)
	require.Len(t, w.content(), 20)
	require.Nil(t, w.set.Sources()[0].Error)
}

func TestHeadersOfTheOriginAreCleared(t *testing.T) {
	w := scripted(t, func(cfg *api.StreamConfig) { cfg.Sources = []*api.StreamSource{{Name: "O"}} })
	o := w.origin("O")
	o.publish("a", "NATS/1.0\r\nA: b\r\nNats-Expected-Stream: O\r\nNats-Stream-Source: X 1 > > y\r\n\r\n", "x")
	w.run(time.Second)
	m, _ := w.store.Load(1)
	require.Equal(t, "NATS/1.0\r\nA: b\r\nNats-Stream-Source: O 1 > > a id000001\r\n\r\n", string(m.Header))
}

func TestUnreadableReplies(t *testing.T) {
	w := scripted(t, func(cfg *api.StreamConfig) { cfg.Sources = []*api.StreamSource{{Name: "O"}} })
	w.run(150 * time.Millisecond)
	f := w.set.list[0]
	f.begin()
	f.replied([]byte("NATS/1.0 503\r\n\r\n"), nil, true)
	require.Nil(t, f.err)
	f.begin()
	f.replied(nil, []byte("{"), true)
	require.Equal(t, 10045, f.err.ErrCode)
	require.True(t, strings.HasPrefix(f.err.Description, "reply of the origin: "))
}
