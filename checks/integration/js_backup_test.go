package integration

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// backup is what a client keeps of a stream.
type backup struct {
	config, state json.RawMessage
	chunks        [][]byte
}

// takeBackup asks for a backup in chunks of 1 KiB and acknowledges each.
func takeBackup(t testing.TB, nc *nats.Conn, name string, consumers bool) *backup {
	t.Helper()
	inbox := nats.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	require.NoError(t, err)
	defer sub.Unsubscribe() //nolint:errcheck // the connection ends with the test
	m, err := nc.Request("$JS.API.STREAM.SNAPSHOT."+name,
		fmt.Appendf(nil, `{"deliver_subject":%q,"chunk_size":1024,"window_size":4096,"no_consumers":%t}`, inbox, !consumers), patience)
	require.NoError(t, err)
	var head struct {
		Error         any
		Config, State json.RawMessage
	}
	require.NoError(t, json.Unmarshal(m.Data, &head))
	require.Nil(t, head.Error)
	b := &backup{config: head.Config, state: head.State}
	for {
		m, err := sub.NextMsg(patience)
		require.NoError(t, err)
		if len(m.Data) == 0 {
			require.Contains(t, []string{"", "204"}, m.Header.Get("Status"))
			return b
		}
		b.chunks = append(b.chunks, m.Data)
		if m.Reply != "" {
			require.NoError(t, m.Respond(nil))
		}
	}
}

// askRestore asks to restore and gives where chunks go.
func (b *backup) askRestore(t testing.TB, nc *nats.Conn, name string) string {
	t.Helper()
	answer := must(t, nc, "STREAM.RESTORE."+name, map[string]any{"config": b.config, "state": b.state})
	return answer["deliver_subject"].(string)
}

// send sends chunks one by one and gives the last answer.
func send(t testing.TB, nc *nats.Conn, subject string, chunks ...[]byte) string {
	t.Helper()
	text := ""
	for _, c := range chunks {
		m, err := nc.Request(subject, c, patience)
		require.NoError(t, err)
		text = string(m.Data)
		if text != "" {
			break
		}
	}
	return text
}

// restore restores all of it.
func (b *backup) restore(t testing.TB, nc *nats.Conn, name string) {
	t.Helper()
	text := send(t, nc, b.askRestore(t, nc, name), append(b.chunks, nil)...)
	answer := map[string]any{}
	require.NoError(t, json.Unmarshal([]byte(text), &answer))
	require.NotContains(t, answer, "error")
	require.NotContains(t, answer, "did_create")
	require.Equal(t, "io.nats.jetstream.api.v1.stream_create_response", answer["type"])
}

// filled is a stream with holes at both ends and between, headers, and consumers that are under way.
func filled(t testing.TB, js jetstream.JetStream, cfg jetstream.StreamConfig) jetstream.Stream {
	t.Helper()
	s := stream(t, js, cfg)
	ack, err := s.CreateConsumer(within(t), jetstream.ConsumerConfig{Durable: "C", AckPolicy: jetstream.AckExplicitPolicy, AckWait: time.Hour})
	require.NoError(t, err)
	other, err := s.CreateConsumer(within(t), jetstream.ConsumerConfig{Durable: "E", AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: cfg.Name + ".e"})
	require.NoError(t, err)
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 60 {
		body := make([]byte, 300)
		for j := range body {
			body[j] = byte(r.Uint32())
		}
		m := &nats.Msg{Subject: fmt.Sprintf("%s.%c", cfg.Name, 'a'+i%7), Data: body, Header: nats.Header{"N": {fmt.Sprint(i)}}}
		_, err := js.PublishMsg(within(t), m)
		require.NoError(t, err)
	}
	require.NoError(t, fetch(t, other, 1)[0].DoubleAck(within(t)))
	got := fetch(t, ack, 10)
	for _, i := range []int{2, 3, 5} {
		require.NoError(t, got[i].DoubleAck(within(t)))
	}
	require.NoError(t, got[1].Nak())
	again := fetch(t, ack, 1)
	meta, err := again[0].Metadata()
	require.NoError(t, err)
	require.EqualValues(t, 2, meta.NumDelivered)
	for _, seq := range []uint64{1, 20, 21, 30, 59, 60} {
		require.NoError(t, s.DeleteMsg(within(t), seq))
	}
	return s
}

// contents are all messages by sequence.
func contents(t testing.TB, s jetstream.Stream) map[uint64]string {
	t.Helper()
	all := make(map[uint64]string)
	for seq := uint64(1); seq <= 60; seq++ {
		m, err := s.GetMsg(within(t), seq)
		if err != nil {
			require.ErrorIs(t, err, jetstream.ErrMsgNotFound)
			continue
		}
		all[seq] = fmt.Sprint(m.Subject, m.Header, m.Time.UnixNano(), m.Data)
	}
	return all
}

// place is how far a consumer is.
func place(t testing.TB, js jetstream.JetStream, name, consumer string) string {
	t.Helper()
	c, err := js.Consumer(within(t), name, consumer)
	require.NoError(t, err)
	i := c.CachedInfo()
	return fmt.Sprint(i.Delivered.Consumer, i.Delivered.Stream, i.AckFloor.Consumer, i.AckFloor.Stream, i.NumAckPending, i.NumRedelivered, i.NumPending)
}

func TestBackupAndRestore(t *testing.T) {
	p := startJS(t)
	js, nc := p.js()
	for _, cfg := range []jetstream.StreamConfig{
		{Name: "LIMITS"}, {Name: "MEMORY", Storage: jetstream.MemoryStorage},
		{Name: "INTEREST", Retention: jetstream.InterestPolicy}, {Name: "ZIP", Compression: jetstream.S2Compression},
	} {
		t.Run(cfg.Name, func(t *testing.T) {
			s := filled(t, js, cfg)
			want, wantC, wantE, was := contents(t, s), place(t, js, cfg.Name, "C"), place(t, js, cfg.Name, "E"), state(t, s)
			b := takeBackup(t, nc, cfg.Name, true)
			require.Greater(t, len(b.chunks), 4)
			require.Equal(t, 10130, code(api(t, nc, "STREAM.RESTORE."+cfg.Name, map[string]any{"config": b.config})))
			require.NoError(t, js.DeleteStream(within(t), cfg.Name))
			b.restore(t, nc, cfg.Name)
			s, err := js.Stream(within(t), cfg.Name)
			require.NoError(t, err)
			require.Equal(t, want, contents(t, s))
			require.Equal(t, wantC, place(t, js, cfg.Name, "C"))
			require.Equal(t, wantE, place(t, js, cfg.Name, "E"))
			is := state(t, s)
			require.Equal(t, [4]uint64{was.Msgs, was.FirstSeq, was.LastSeq, was.Bytes}, [4]uint64{is.Msgs, is.FirstSeq, is.LastSeq, is.Bytes})
			require.Equal(t, was.NumDeleted, is.NumDeleted)
			ack, err := js.PublishMsg(within(t), message(cfg.Name+".e", "next"))
			require.NoError(t, err)
			require.EqualValues(t, 61, ack.Sequence)
		})
	}
	q := p.restart(syscall.SIGKILL)
	js, _ = q.js()
	s, err := js.Stream(within(t), "INTEREST")
	require.NoError(t, err)
	require.EqualValues(t, 61, state(t, s).LastSeq)
	before := state(t, s).Msgs
	c, err := s.Consumer(within(t), "C")
	require.NoError(t, err)
	for _, m := range fetch(t, c, 5) {
		require.NoError(t, m.DoubleAck(within(t)))
	}
	require.Less(t, state(t, s).Msgs, before)
}

func TestRestoreGivenUp(t *testing.T) {
	p := startJS(t)
	js, nc := p.js()
	filled(t, js, jetstream.StreamConfig{Name: "S"})
	b := takeBackup(t, nc, "S", true)
	require.NoError(t, js.DeleteStream(within(t), "S"))

	to := b.askRestore(t, nc, "S")
	require.Empty(t, send(t, nc, to, b.chunks[:5]...))
	names := must(t, nc, "STREAM.NAMES", nil)
	require.Empty(t, names["streams"])
	require.Equal(t, 10059, code(api(t, nc, "STREAM.INFO.S", nil)))
	_, err := nc.Request("S.a", nil, patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
	require.Equal(t, 10130, code(api(t, nc, "STREAM.RESTORE.S", map[string]any{"config": b.config})))

	q := p.restart(syscall.SIGTERM)
	_, nc = q.js()
	require.Empty(t, must(t, nc, "STREAM.NAMES", nil)["streams"])
	to = b.askRestore(t, nc, "S")
	require.Empty(t, send(t, nc, to, b.chunks[:7]...))
	q = q.restart(syscall.SIGKILL)
	js, nc = q.js()
	require.Empty(t, must(t, nc, "STREAM.NAMES", nil)["streams"])
	stream(t, js, jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}})
	fill(t, js, "other", 10)
	left, err := os.ReadDir(filepath.Join(q.dir, "data", "streams"))
	if err == nil {
		require.Len(t, left, 1)
	}

	bad := append([]byte(nil), b.chunks[2]...)
	bad[500] ^= 1
	to = b.askRestore(t, nc, "S")
	text := send(t, nc, to, append([][]byte{b.chunks[0], b.chunks[1], bad}, append(b.chunks[3:], nil)...)...)
	require.Contains(t, text, "10062")
	to = b.askRestoreWhenFree(t, nc, "S")
	require.Contains(t, send(t, nc, to, b.chunks[0], nil), "10062")
	b.askRestoreWhenFree(t, nc, "S") // the sender says no more
	to = b.askRestoreWhenFree(t, nc, "S")
	require.Contains(t, send(t, nc, to, append(b.chunks, nil)...), `"last_seq":60`)
}

// askRestoreWhenFree waits until what is left of an earlier restore is gone.
func (b *backup) askRestoreWhenFree(t testing.TB, nc *nats.Conn, name string) string {
	t.Helper()
	var subject string
	require.Eventually(t, func() bool {
		answer := api(t, nc, "STREAM.RESTORE."+name, map[string]any{"config": b.config, "state": b.state})
		subject, _ = answer["deliver_subject"].(string)
		return code(answer) == 0
	}, patience, 20*time.Millisecond)
	return subject
}

func TestSnapshotRefusals(t *testing.T) {
	p := startJS(t)
	js, nc := p.js()
	stream(t, js, jetstream.StreamConfig{Name: "S"})
	for _, tc := range []struct {
		subject, body string
		code          int
	}{
		{"SNAPSHOT.S", ``, 10003},
		{"SNAPSHOT.NONE", `{bad`, 10059},
		{"SNAPSHOT.S", `{bad`, 10025},
		{"SNAPSHOT.S", `{"deliver_subject":"a.*"}`, 10015},
		{"RESTORE.S", `{}`, 10003},
		{"RESTORE.S", `{bad`, 10025},
		{"RESTORE.S", `{"config":{"name":"X"}}`, 10056},
		{"RESTORE.S", `{"config":{"name":"S"}}`, 10130},
		{"RESTORE.T", `{"config":{"name":"T","subjects":["t"],"max_age":-1}}`, 10052},
		{"RESTORE.T", `{"config":{"name":"T","subjects":["t"]},"state":{"bytes":100000000000000}}`, 10047},
	} {
		require.Equal(t, tc.code, code(request(t, nc, "$JS.API.STREAM."+tc.subject, tc.body)), "%s %s", tc.subject, tc.body)
	}
}

// A sealed stream is sealed again when it is restored.
func TestBackupOfASealedStream(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, nc := p.js()
	s := filled(t, js, jetstream.StreamConfig{Name: "SEALED"})
	config := s.CachedInfo().Config
	config.Sealed = true
	s, err := js.UpdateStream(within(t), config)
	require.NoError(t, err)
	want := contents(t, s)
	b := takeBackup(t, nc, "SEALED", true)
	require.NoError(t, js.DeleteStream(within(t), "SEALED"))
	b.restore(t, nc, "SEALED")
	js, nc = p.restart(syscall.SIGTERM).js()
	s, err = js.Stream(within(t), "SEALED")
	require.NoError(t, err)
	require.True(t, s.CachedInfo().Config.Sealed)
	require.Equal(t, want, contents(t, s))
	require.Equal(t, 10109, code(request(t, nc, "SEALED.a", "x")))
	require.Equal(t, 10109, refused(t, nc, "STREAM.PURGE.SEALED", nil))
}
