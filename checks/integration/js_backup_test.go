package integration

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// backup takes a stream's snapshot: what a restore is asked with, and the chunks.
func backup(t *testing.T, nc *nats.Conn, name string) (request map[string]any, chunks [][]byte) {
	t.Helper()
	sub := flushed(t, nc, nats.NewInbox())
	answer := must(t, nc, "STREAM.SNAPSHOT."+name, map[string]any{"deliver_subject": sub.Subject, "chunk_size": 1024})
	for {
		m := next(t, sub)
		if len(m.Data) == 0 {
			require.Equal(t, "204", m.Header.Get("Status"), m.Header.Get("Description"))
			return map[string]any{"config": answer["config"], "state": answer["state"]}, chunks
		}
		chunks = append(chunks, bytes.Clone(m.Data))
		if m.Reply != "" {
			require.NoError(t, m.Respond(nil))
		}
	}
}

// restore gives chunks back and returns the final answer.
func restore(t *testing.T, nc *nats.Conn, name string, request map[string]any, chunks [][]byte) map[string]any {
	t.Helper()
	answer := must(t, nc, "STREAM.RESTORE."+name, request)
	to := answer["deliver_subject"].(string)
	for _, chunk := range append(chunks, nil) {
		m, err := nc.Request(to, chunk, patience)
		require.NoError(t, err)
		if len(m.Data) == 0 {
			continue
		}
		final := map[string]any{}
		require.NoError(t, json.Unmarshal(m.Data, &final), "%s", m.Data)
		return final
	}
	require.Fail(t, "the restore was not answered")
	return nil
}

func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, nc := p.js()
	s := stream(t, js, jetstream.StreamConfig{Name: "S", Description: "kept"})
	fill(t, js, "S.a", 200)
	require.NoError(t, s.DeleteMsg(within(t), 100))
	c := consumer(t, s, jetstream.ConsumerConfig{Durable: "d"})
	for _, m := range fetch(t, c, 10) {
		require.NoError(t, m.DoubleAck(within(t)))
	}
	request, chunks := backup(t, nc, "S")
	require.NotEmpty(t, chunks)
	check := func(nc *nats.Conn) {
		t.Helper()
		js, err := jetstream.New(nc)
		require.NoError(t, err)
		s, err := js.Stream(within(t), "S")
		require.NoError(t, err)
		require.Equal(t, "kept", s.CachedInfo().Config.Description)
		st := state(t, s)
		require.EqualValues(t, 199, st.Msgs)
		require.EqualValues(t, 200, st.LastSeq)
		m, err := s.GetMsg(within(t), 101)
		require.NoError(t, err)
		require.Equal(t, "101", string(m.Data))
		_, err = s.GetMsg(within(t), 100)
		require.ErrorIs(t, err, jetstream.ErrMsgNotFound)
		c, err := s.Consumer(within(t), "d")
		require.NoError(t, err)
		require.EqualValues(t, 10, c.CachedInfo().AckFloor.Stream)
		require.Equal(t, []string{"11", "12"}, bodies(t, c, 2))
	}
	require.NotZero(t, refused(t, nc, "STREAM.RESTORE.S", request), "it is still there")
	require.NoError(t, js.DeleteStream(within(t), "S"))
	require.Zero(t, code(restore(t, nc, "S", request, chunks)))
	check(nc)
	_, other := startJS(t).js()
	require.Zero(t, code(restore(t, other, "S", request, chunks)))
	check(other)
	chunks[len(chunks)/2] = bytes.Repeat([]byte{7}, len(chunks[len(chunks)/2]))
	require.NoError(t, js.DeleteStream(within(t), "S"))
	require.NotZero(t, code(restore(t, nc, "S", request, chunks)), "it is damaged")
	_, err := js.Stream(within(t), "S")
	require.ErrorIs(t, err, jetstream.ErrStreamNotFound)
}
