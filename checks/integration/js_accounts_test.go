package integration

import (
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// Two accounts: what the one lends of its JetStream, the other reaches behind a prefix.
const lendingAccounts = `accounts {
  HAS { users: [ { user: has, password: p } ], jetstream: enabled
    exports: [
      { service: "$JS.API.>" }, { service: "$JS.FC.>" }, { stream: "deliver.>" }, { service: "$KV.>" },
    ] }
  USES { users: [ { user: uses, password: p } ], jetstream: enabled
    imports: [
      { service: { account: HAS, subject: "$JS.API.>" }, to: "JS.has.API.>" },
      { service: { account: HAS, subject: "$JS.FC.>" } },
      { stream: { account: HAS, subject: "deliver.>" } },
      { service: { account: HAS, subject: "$KV.>" }, to: "has.$KV.>" },
    ] }
}`

// reaches waits until a stream holds messages up to a sequence.
func reaches(t testing.TB, js jetstream.JetStream, name string, last uint64) jetstream.StreamState {
	t.Helper()
	var st jetstream.StreamState
	require.Eventually(t, func() bool {
		s, err := js.Stream(within(t), name)
		require.NoError(t, err)
		st = state(t, s)
		return st.LastSeq >= last
	}, patience, 20*time.Millisecond, "stream %s", name)
	require.Equal(t, last, st.LastSeq)
	return st
}

func TestOriginsInAnotherAccount(t *testing.T) {
	t.Parallel()
	p := startJS(t, lendingAccounts)
	has, hasConn := p.js(nats.UserInfo("has", "p"))
	uses, usesConn := p.js(nats.UserInfo("uses", "p"))
	stream(t, has, jetstream.StreamConfig{Name: "O"})
	stream(t, has, jetstream.StreamConfig{Name: "Q", Retention: jetstream.WorkQueuePolicy})
	fill(t, has, "O.a", 3)
	fill(t, has, "O.b", 3)
	fill(t, has, "Q.a", 3)
	there := &jetstream.ExternalStream{APIPrefix: "JS.has.API", DeliverPrefix: "deliver.uses"}
	stream(t, uses, jetstream.StreamConfig{Name: "M", Mirror: &jetstream.StreamSource{Name: "O", External: there}})
	s := stream(t, uses, jetstream.StreamConfig{Name: "S", Sources: []*jetstream.StreamSource{
		{Name: "O", External: there, FilterSubject: "O.b"},
		{Name: "Q", External: there, SubjectTransforms: []jetstream.SubjectTransformConfig{{Source: "Q.>", Destination: "moved.>"}}},
		{Name: "NOT", External: there},
	}})
	reaches(t, uses, "M", 6)
	reaches(t, uses, "S", 6)
	info, err := s.Info(within(t), jetstream.WithSubjectFilter(">"))
	require.NoError(t, err)
	require.Equal(t, map[string]uint64{"O.b": 3, "moved.a": 3}, info.State.Subjects)
	require.Eventually(t, func() bool {
		q, err := has.Stream(within(t), "Q")
		require.NoError(t, err)
		return state(t, q).Msgs == 0
	}, patience, 20*time.Millisecond, "what moved leaves the work queue")
	require.Eventually(t, func() bool {
		info := must(t, usesConn, "STREAM.INFO.S", nil)
		return code(info["sources"].([]any)[2].(map[string]any)) == 10059
	}, patience, 20*time.Millisecond, "an origin that is not there is told")
	for range 60 { // more than a window of flow control
		big := strings.Repeat("x", 100_000)
		require.Zero(t, code(request(t, hasConn, "O.a", big)))
	}
	reaches(t, uses, "M", 66)
	stranger := &jetstream.ExternalStream{APIPrefix: "JS.nobody.API", DeliverPrefix: "deliver.x"}
	stream(t, uses, jetstream.StreamConfig{Name: "N", Mirror: &jetstream.StreamSource{Name: "O", External: stranger}})
	reaches(t, uses, "N", 0)
}

func TestMirrorBucketOfAnotherAccount(t *testing.T) {
	t.Parallel()
	p := startJS(t, lendingAccounts)
	has, _ := p.js(nats.UserInfo("has", "p"))
	uses, _ := p.js(nats.UserInfo("uses", "p"))
	origin, err := has.CreateKeyValue(within(t), jetstream.KeyValueConfig{Bucket: "CFG", History: 3})
	require.NoError(t, err)
	for _, v := range []string{"1", "2"} {
		_, err = origin.PutString(within(t), "key", v)
		require.NoError(t, err)
	}
	mirror, err := uses.CreateKeyValue(within(t), jetstream.KeyValueConfig{Bucket: "COPY", History: 3, Mirror: &jetstream.StreamSource{
		Name: "KV_CFG", External: &jetstream.ExternalStream{APIPrefix: "JS.has.API", DeliverPrefix: "deliver.kv"},
	}})
	require.NoError(t, err)
	reaches(t, uses, "KV_COPY", 2)
	entry, err := mirror.Get(within(t), "key")
	require.NoError(t, err)
	require.Equal(t, "2", string(entry.Value()))
	require.EqualValues(t, 2, entry.Revision())
	history, err := mirror.History(within(t), "key")
	require.NoError(t, err)
	require.Len(t, history, 2)
}

// An account without JetStream is served by the domain that is its default: here one that it imports.
func TestDefaultDomain(t *testing.T) {
	t.Parallel()
	p := startJS(t, `default_js_domain { USES: far }
accounts {
  HAS { users: [ { user: has, password: p } ], jetstream: enabled, exports: [ { service: "$JS.API.>" }, { service: "$KV.>" } ] }
  USES { users: [ { user: uses, password: p } ]
    imports: [
      { service: { account: HAS, subject: "$JS.API.>" }, to: "$JS.far.API.>" },
      { service: { account: HAS, subject: "$KV.>" }, to: "$JS.far.API.$KV.>" },
    ] }
}`)
	p.waitLog("The option `default_js_domain` is a temporary backwards compatibility measure and will be removed")
	has, _ := p.js(nats.UserInfo("has", "p"))
	uses, nc := p.js(nats.UserInfo("uses", "p"))
	stream(t, uses, jetstream.StreamConfig{Name: "S"})
	reaches(t, has, "S", 0)
	bucket, err := has.CreateKeyValue(within(t), jetstream.KeyValueConfig{Bucket: "B"})
	require.NoError(t, err)
	require.EqualValues(t, 1, request(t, nc, "$KV.B.key", "value")["seq"])
	entry, err := bucket.Get(within(t), "key")
	require.NoError(t, err)
	require.Equal(t, "value", string(entry.Value()))
}

// A default domain counts without JetStream on the server, too.
func TestDefaultDomainWithoutJetStream(t *testing.T) {
	t.Parallel()
	nc := start(t, "default_js_domain { $G: far }").client()
	asked := flushed(t, nc, "$JS.far.API.>")
	require.NoError(t, nc.PublishRequest("$JS.API.INFO", "answer", nil))
	require.Equal(t, "$JS.far.API.INFO", next(t, asked).Subject)
}

// What accounts may use together must be there when it is loaded anew, too: an account that would get
// more than is left keeps what it had.
func TestLimitsOfAccountsByReload(t *testing.T) {
	t.Parallel()
	accounts := func(a, b string) string {
		return `accounts {
  A { users: [ { user: a, password: p } ], jetstream: ` + a + ` }
  B { users: [ { user: b, password: p } ], jetstream: ` + b + ` }
}`
	}
	p := startJS(t, accounts("{ max_store: 600M }", "{ max_store: 300M, max_mem: 10M }"))
	a, b := p.client(nats.UserInfo("a", "p")), p.client(nats.UserInfo("b", "p"))
	limit := func(nc *nats.Conn) float64 {
		return must(t, nc, "INFO", nil)["limits"].(map[string]any)["max_storage"].(float64)
	}
	p.mustReload(jsConfig + accounts("{ max_store: 700M }", "{ max_store: 200M, max_mem: 10M }"))
	require.Eventually(t, func() bool { return limit(a) == 700e6 && limit(b) == 200e6 }, patience, 10*time.Millisecond)
	p.mustReload(jsConfig + accounts("{ max_store: 100M }", "{ max_store: 2G, max_mem: 10M }"))
	p.waitLog("Error enabling jetstream on configured accounts: insufficient storage resources available (10047)")
	require.Eventually(t, func() bool { return limit(a) == 100e6 && limit(b) == 200e6 }, patience, 10*time.Millisecond)
	p.mustReload(jsConfig + accounts("{ max_store: 100M }", "{ max_store: 200M, max_mem: 1G }"))
	p.waitLog("Error enabling jetstream on configured accounts: insufficient memory resources available (10028)")
	require.EqualValues(t, 10e6, must(t, b, "INFO", nil)["limits"].(map[string]any)["max_memory"])
}

// Whoever has more than it may is told so in the log, once in a while.
func TestFullAccountIsLogged(t *testing.T) {
	t.Parallel()
	p := startJS(t, strings.ReplaceAll(jsAccounts, "100K", "1K"))
	small, nc := p.js(nats.UserInfo("small", "p"))
	stream(t, small, jetstream.StreamConfig{Name: "S"})
	for range 2 {
		require.Equal(t, 10002, code(request(t, nc, "S", strings.Repeat("x", 2000))))
	}
	line := p.waitLog("JetStream file resource limits exceeded for account")
	require.Contains(t, line, `"SMALL"`)
}

// Streams of an account that is taken out rest, and go on when it is there again.
func TestAccountGoesAndComes(t *testing.T) {
	t.Parallel()
	p := startJS(t, jsAccounts)
	js, _ := p.js(nats.UserInfo("full", "p"))
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S", 3)
	consumer(t, s, jetstream.ConsumerConfig{Durable: "d"})
	p.mustReload(jsConfig + strings.Replace(jsAccounts, "FULL", "OTHER", 1))
	other := p.client(nats.UserInfo("full", "p"))
	require.Equal(t, 10059, refused(t, other, "STREAM.INFO.S", nil))
	_, err := other.Request("S", nil, patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
	p.mustReload(jsConfig + jsAccounts)
	js, nc := p.js(nats.UserInfo("full", "p"))
	require.Eventually(t, func() bool { return code(api(t, nc, "STREAM.INFO.S", nil)) == 0 }, patience, 10*time.Millisecond)
	require.EqualValues(t, 4, request(t, nc, "S", "4")["seq"])
	c, err := js.Consumer(within(t), "S", "d")
	require.NoError(t, err)
	require.Equal(t, numbers(1, 4), bodies(t, c, 4))
}
