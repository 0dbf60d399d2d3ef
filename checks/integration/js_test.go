package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// jsConfig runs JetStream in the process's own folder.
const jsConfig = "jetstream { store_dir: \"DIR/data\", max_file: 1G, max_mem: 256M }\n"

// startJS is start with JetStream and more of a configuration.
func startJS(t testing.TB, more ...string) *process {
	t.Helper()
	return start(t, jsConfig+strings.Join(more, "\n"))
}

// restart ends the process with a signal and starts another one on the same folder
// and configuration, on a port of its own.
func (p *process) restart(sig syscall.Signal) *process {
	p.t.Helper()
	return p.restartWith(sig, jsConfig)
}

// restartWith is restart with another configuration.
func (p *process) restartWith(sig syscall.Signal, config string) *process {
	p.t.Helper()
	p.signal(sig)
	if code := p.exit(); sig != syscall.SIGKILL {
		require.Zero(p.t, code)
	}
	return startIn(p.t, binary, p.dir, config)
}

// js connects and gives both of the Go client's ways to JetStream.
func (p *process) js(options ...nats.Option) (jetstream.JetStream, *nats.Conn) {
	p.t.Helper()
	nc := p.client(options...)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(patience))
	require.NoError(p.t, err)
	return js, nc
}

// within is a context that only a test which fails spends.
func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// api asks the JetStream API and gives the answer as JSON.
func api(t testing.TB, nc *nats.Conn, subject string, request any) map[string]any {
	t.Helper()
	var body []byte
	if request != nil {
		var err error
		body, err = json.Marshal(request)
		require.NoError(t, err)
	}
	m, err := nc.Request("$JS.API."+subject, body, patience)
	require.NoError(t, err, subject)
	answer := map[string]any{}
	require.NoError(t, json.Unmarshal(m.Data, &answer), "%s: %s", subject, m.Data)
	return answer
}

// must is api that has to succeed.
func must(t testing.TB, nc *nats.Conn, subject string, request any) map[string]any {
	t.Helper()
	answer := api(t, nc, subject, request)
	require.NotContains(t, answer, "error", subject)
	return answer
}

// refused is api that has to fail; it gives the error's code.
func refused(t testing.TB, nc *nats.Conn, subject string, request any) int {
	t.Helper()
	answer := api(t, nc, subject, request)
	require.Contains(t, answer, "error", subject)
	return int(answer["error"].(map[string]any)["err_code"].(float64))
}

// request publishes a message and gives the publish ack as JSON.
func request(t testing.TB, nc *nats.Conn, subject, body string, headers ...string) map[string]any {
	t.Helper()
	answer, err := nc.RequestMsg(message(subject, body, headers...), patience)
	require.NoError(t, err)
	if len(answer.Data) == 0 {
		return nil // staged in a batch
	}
	ack := map[string]any{}
	require.NoError(t, json.Unmarshal(answer.Data, &ack), "%s", answer.Data)
	return ack
}

// message has headers as names and values in turn.
func message(subject, body string, headers ...string) *nats.Msg {
	m := nats.NewMsg(subject)
	m.Data = []byte(body)
	for i := 0; i+1 < len(headers); i += 2 {
		m.Header.Set(headers[i], headers[i+1])
	}
	return m
}

// code is the code of an answer's error, 0 without one.
func code(answer map[string]any) int {
	if e, ok := answer["error"].(map[string]any); ok {
		return int(e["err_code"].(float64))
	}
	return 0
}

// stream creates a stream of a name that takes name and name.>.
func stream(t testing.TB, js jetstream.JetStream, cfg jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	if cfg.Subjects == nil && cfg.Mirror == nil && cfg.Sources == nil {
		cfg.Subjects = []string{cfg.Name, cfg.Name + ".>"}
	}
	s, err := js.CreateStream(within(t), cfg)
	require.NoError(t, err)
	return s
}

// fill publishes so many messages to a subject, bodies "1" and up.
func fill(t testing.TB, js jetstream.JetStream, subject string, n int) {
	t.Helper()
	var futures []jetstream.PubAckFuture
	for i := 1; i <= n; i++ {
		f, err := js.PublishAsync(subject, fmt.Append(nil, i))
		require.NoError(t, err)
		futures = append(futures, f)
	}
	for _, f := range futures {
		select {
		case <-f.Ok():
		case err := <-f.Err():
			require.NoError(t, err)
		case <-within(t).Done():
			require.Fail(t, "a publish was not answered")
		}
	}
}

// bodies receives so many messages in one fetch, acknowledges none, and gives what they hold.
func bodies(t testing.TB, c jetstream.Consumer, n int) []string {
	t.Helper()
	var texts []string
	for _, m := range fetch(t, c, n) {
		texts = append(texts, string(m.Data()))
	}
	return texts
}

// fetch receives exactly so many messages.
func fetch(t testing.TB, c jetstream.Consumer, n int) []jetstream.Msg {
	t.Helper()
	batch, err := c.Fetch(n, jetstream.FetchMaxWait(patience))
	require.NoError(t, err)
	var all []jetstream.Msg
	for m := range batch.Messages() {
		all = append(all, m)
	}
	require.NoError(t, batch.Error())
	require.Len(t, all, n)
	return all
}

// nothing asks for messages and gets none.
func nothing(t testing.TB, c jetstream.Consumer) {
	t.Helper()
	batch, err := c.FetchNoWait(1)
	require.NoError(t, err)
	for m := range batch.Messages() {
		require.Fail(t, "a message that should not come", "%s %s", m.Subject(), m.Data())
	}
}

// numbers are the texts from a to b.
func numbers(a, b int) []string {
	var texts []string
	for i := a; i <= b; i++ {
		texts = append(texts, fmt.Sprint(i))
	}
	return texts
}

// state reads a stream's state.
func state(t testing.TB, s jetstream.Stream) jetstream.StreamState {
	t.Helper()
	info, err := s.Info(within(t))
	require.NoError(t, err)
	return info.State
}
