package integration

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

const jsAccounts = `accounts {
  FULL { users: [ { user: full, password: p } ], jetstream: enabled }
  SMALL { users: [ { user: small, password: p } ]
    jetstream { max_store: 100K, max_mem: 10K, max_streams: 2, max_consumers: 1 } }
  NONE { users: [ { user: none, password: p } ] }
}`

func TestAccountsOfJetStream(t *testing.T) {
	t.Parallel()
	p := startJS(t, jsAccounts)
	full, fullConn := p.js(nats.UserInfo("full", "p"))
	stream(t, full, jetstream.StreamConfig{Name: "S"})
	small, nc := p.js(nats.UserInfo("small", "p"))
	s := stream(t, small, jetstream.StreamConfig{Name: "S"}) // another world of names
	fill(t, small, "S", 3)
	require.EqualValues(t, 1, request(t, fullConn, "S", "x")["seq"])
	stream(t, small, jetstream.StreamConfig{Name: "T", Storage: jetstream.MemoryStorage})
	require.Equal(t, 10027, refused(t, nc, "STREAM.CREATE.U", map[string]any{"name": "U"}))
	var refusal int
	for i := 0; i < 1000 && refusal == 0; i++ {
		refusal = code(request(t, nc, "S", strings.Repeat("x", 1000)))
	}
	require.Equal(t, 10002, refusal, "no space left in the account")
	require.LessOrEqual(t, state(t, s).Bytes, uint64(100_000))
	require.NoError(t, s.Purge(within(t)))
	require.Zero(t, code(request(t, nc, "S", "x")), "there is room again")
	info, err := small.AccountInfo(within(t))
	require.NoError(t, err)
	require.Equal(t, 2, info.Streams)
	require.EqualValues(t, 100_000, info.Limits.MaxStore)

	none := p.client(nats.UserInfo("none", "p"))
	require.Equal(t, 10039, refused(t, none, "INFO", nil))
	require.Equal(t, 10039, refused(t, none, "STREAM.CREATE.S", map[string]any{"name": "S"}))

	p.mustReload(jsConfig + strings.Replace(jsAccounts, "NONE {", "NONE { jetstream: enabled,", 1))
	must(t, none, "STREAM.CREATE.S", map[string]any{"name": "S"})
}

func TestNoJetStream(t *testing.T) {
	t.Parallel()
	nc := start(t, "").client()
	_, err := nc.Request("$JS.API.INFO", nil, patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
	js, err := nc.JetStream(nats.MaxWait(patience))
	require.NoError(t, err)
	_, err = js.AccountInfo()
	require.ErrorIs(t, err, nats.ErrJetStreamNotEnabled)
}

// The disk is full when the server's limit is reached: publishers are told, and space
// that is freed is used again.
func TestServerOutOfSpace(t *testing.T) {
	t.Parallel()
	p := start(t, "jetstream { store_dir: \"DIR/data\", max_file: 200000, max_mem: 100000 }")
	js, nc := p.js()
	for _, storage := range []jetstream.StorageType{jetstream.FileStorage, jetstream.MemoryStorage} {
		name := strings.ToUpper(storage.String())
		s := stream(t, js, jetstream.StreamConfig{Name: name, Storage: storage})
		var refusal int
		for i := 0; i < 1000 && refusal == 0; i++ {
			refusal = code(request(t, nc, name, strings.Repeat("x", 1000)))
		}
		require.Equal(t, 10023, refusal)
		require.LessOrEqual(t, state(t, s).Bytes, uint64(200_000))
		require.NoError(t, s.Purge(within(t)))
		require.Zero(t, code(request(t, nc, name, "x")))
	}
	require.Equal(t, 10047, refused(t, nc, "STREAM.CREATE.BIG", map[string]any{"name": "BIG", "max_bytes": 300_000}))
}

func TestDomain(t *testing.T) {
	t.Parallel()
	p := start(t, "jetstream { store_dir: \"DIR/data\", domain: hub }")
	nc := p.client()
	js, err := jetstream.NewWithDomain(nc, "hub")
	require.NoError(t, err)
	stream(t, js, jetstream.StreamConfig{Name: "S"})
	ack, err := js.Publish(within(t), "S", nil)
	require.NoError(t, err)
	require.Equal(t, "hub", ack.Domain)
	other, err := jetstream.NewWithDomain(nc, "elsewhere", jetstream.WithDefaultTimeout(patience))
	require.NoError(t, err)
	_, err = other.Stream(within(t), "S")
	require.Error(t, err)
}

func TestAdvisoriesOfTheAPI(t *testing.T) {
	t.Parallel()
	js, nc := startJS(t).js()
	created := flushed(t, nc, "$JS.EVENT.ADVISORY.STREAM.CREATED.S")
	deleted := flushed(t, nc, "$JS.EVENT.ADVISORY.STREAM.DELETED.S")
	audit := flushed(t, nc, "$JS.EVENT.ADVISORY.API")
	stream(t, js, jetstream.StreamConfig{Name: "S"})
	require.NoError(t, js.DeleteStream(within(t), "S"))
	require.Contains(t, string(next(t, created).Data), `"type":"io.nats.jetstream.advisory.v1.stream_action"`)
	require.Contains(t, string(next(t, deleted).Data), `"action":"delete"`)
	require.Contains(t, string(next(t, audit).Data), `"type":"io.nats.jetstream.advisory.v1.api_audit"`)
}

func TestMonitoringOfJetStream(t *testing.T) {
	t.Parallel()
	p := startJS(t, `http: "127.0.0.1:-1"`)
	base := "http://" + p.after("Starting http monitor on ")
	js, _ := p.js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S"})
	fill(t, js, "S.a", 5)
	consumer(t, s, jetstream.ConsumerConfig{Durable: "d"})
	status, text, _ := get(t, base+"/jsz?accounts=1&streams=1&consumers=1&config=1")
	require.Equal(t, 200, status)
	var jsz struct {
		Streams, Consumers, Messages int
		Config                       struct {
			Dir string `json:"store_dir"`
		}
		Accounts []struct {
			Name    string
			Streams []struct {
				Name      string `json:"name"`
				State     jetstream.StreamState
				Config    jetstream.StreamConfig
				Consumers []jetstream.ConsumerInfo `json:"consumer_detail"`
			} `json:"stream_detail"`
		} `json:"account_details"`
	}
	require.NoError(t, json.Unmarshal([]byte(text), &jsz))
	require.Equal(t, []int{1, 1, 5}, []int{jsz.Streams, jsz.Consumers, jsz.Messages})
	require.Equal(t, p.dir+"/data/jetstream", jsz.Config.Dir)
	require.Len(t, jsz.Accounts, 1)
	detail := jsz.Accounts[0].Streams[0]
	require.Equal(t, "S", detail.Name)
	require.EqualValues(t, 5, detail.State.Msgs)
	require.Equal(t, []string{"S", "S.>"}, detail.Config.Subjects)
	require.Equal(t, "d", detail.Consumers[0].Name)
	require.EqualValues(t, 5, detail.Consumers[0].NumPending)
	for path, want := range map[string]int{
		"": 200, "?js-enabled-only=1": 200, "?account=$G&stream=S&consumer=d": 200, "?account=$G&stream=NOPE": 404,
	} {
		status, text, _ = get(t, base+"/healthz"+path)
		require.Equal(t, want, status, text)
	}
	_, text, _ = get(t, base+"/varz")
	require.Contains(t, text, `"store_dir"`)
	_, text, _ = get(t, base+"/metrics")
	require.Contains(t, text, "jetstream_stream_total_messages")
}

func TestJetStreamByFlags(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, "", "-js", "-sd", dir)
	js, _ := p.js()
	stream(t, js, jetstream.StreamConfig{Name: "S", Duplicates: time.Minute})
	fill(t, js, "S", 1)
	require.DirExists(t, dir+"/jetstream")
}

// An account without JetStream may use that of another one, by imports: then nothing here
// answers for it.
func TestImportedJetStream(t *testing.T) {
	t.Parallel()
	p := startJS(t, `accounts {
  HAS { users: [ { user: has, password: p } ], jetstream: enabled
    exports [ { service: "$JS.API.INFO" }, { service: "$JS.API.STREAM.INFO.S" }, { service: "S" } ] }
  USES { users: [ { user: uses, password: p } ]
    imports [ { service: { account: HAS, subject: "$JS.API.INFO" } }, { service: { account: HAS, subject: "$JS.API.STREAM.INFO.S" } },
      { service: { account: HAS, subject: "S" } } ] }
}`)
	js, _ := p.js(nats.UserInfo("has", "p"))
	stream(t, js, jetstream.StreamConfig{Name: "S"})
	nc := p.client(nats.UserInfo("uses", "p"))
	require.EqualValues(t, 1, must(t, nc, "INFO", nil)["streams"])
	require.EqualValues(t, 1, request(t, nc, "S", "x")["seq"])
	must(t, nc, "STREAM.INFO.S", nil)
	_, err := nc.Request("$JS.API.STREAM.NAMES", nil, patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}
