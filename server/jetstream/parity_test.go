package jetstream_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server"
	servertest "github.com/lockstepmq/lockstep/server/test"
	"github.com/lockstepmq/lockstep/server/test/scripts"
)

// replyMax bounds the wait for a reply that the script says comes.
const replyMax = 5 * time.Second

// TestRepliesAreThoseRecorded replays requests whose replies were recorded from the official
// server, and compares every byte but for times, names and versions.
func TestRepliesAreThoseRecorded(t *testing.T) {
	scripts.Each(t, "testdata/parity/*.txt", func(t *testing.T, s *scripts.Script) { replay(t, s.Text) })
}

func replay(t *testing.T, script string) {
	opts := servertest.DefaultTestOptions
	opts.Port, opts.ServerName = server.RANDOM_PORT, "srv"
	opts.JetStream, opts.StoreDir = true, t.TempDir()
	s := servertest.RunServer(&opts)
	defer s.Shutdown()
	nc, err := nats.Connect(s.ClientURL())
	require.NoError(t, err)
	defer nc.Close()
	for _, block := range strings.Split(strings.TrimRight(script, "\n")+"\n\n", "\n\n") {
		if block = strings.Trim(block, "\n"); block == "" {
			continue
		}
		ask, want, ok := strings.Cut(block, "----")
		require.True(t, ok, block)
		require.Equal(t, strings.Trim(want, "\n"), strings.Join(answers(t, nc, ask), "\n"), ask)
	}
}

// answers sends what a block of the script says and prints the replies, one a line.
func answers(t *testing.T, nc *nats.Conn, ask string) []string {
	lines := strings.Split(strings.TrimSpace(ask), "\n")
	_, rest, _ := strings.Cut(lines[0], "req ")
	subject, body, _ := strings.Cut(rest, " ")
	inbox := nats.NewInbox()
	m := &nats.Msg{Subject: subject, Reply: inbox, Data: []byte(body)}
	replies := 1
	for _, l := range lines[1:] {
		switch word, value, _ := strings.Cut(l, " "); word {
		case "header":
			k, v, _ := strings.Cut(value, ":")
			if m.Header == nil {
				m.Header = make(nats.Header)
			}
			m.Header[k] = append(m.Header[k], strings.TrimPrefix(v, " "))
		case "replies":
			_, err := fmt.Sscan(value, &replies)
			require.NoError(t, err)
		}
	}
	sub, err := nc.SubscribeSync(inbox)
	require.NoError(t, err)
	require.NoError(t, nc.PublishMsg(m))
	var list []string
	for range replies {
		r, err := sub.NextMsg(replyMax)
		require.NoError(t, err, ask)
		list = append(list, normal(printed(r, inbox)))
	}
	return list
}

// printed is a reply on one line: subject and reply subject of a delivery, header, and data.
func printed(r *nats.Msg, inbox string) string {
	shown := ""
	if r.Subject != inbox {
		shown = r.Subject + " "
	}
	if r.Reply != "" {
		shown += r.Reply + " "
	}
	if len(r.Header) > 0 || shown != "" {
		shown += headerText(r) + " "
	}
	return shown + string(r.Data)
}

// headerText is the header as fields in the order of their names, since the client keeps no other.
func headerText(r *nats.Msg) string {
	if len(r.Header) == 0 {
		return `""`
	}
	text, _ := json.Marshal(r.Header)
	return string(text)
}

var volatile = []struct {
	expression *regexp.Regexp
	instead    string
}{
	{regexp.MustCompile(`\b[1-9]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z`), "<T>"},
	{regexp.MustCompile(`(\$JS\.ACK\.(?:[^ ."]+\.){5})\d{15,}`), "${1}<NS>"},
	{regexp.MustCompile(`"(pause_remaining|active)":\d+`), `"$1":<NS>`},
	{regexp.MustCompile(`2\.15\.\d+`), "V"},
	{regexp.MustCompile(`("Nats-Pin-Id":\["|"pinned_client_id":")[A-Za-z0-9]{22}`), "${1}<PIN>"},
}

func normal(line string) string {
	for _, v := range volatile {
		line = v.expression.ReplaceAllString(line, v.instead)
	}
	return line
}
