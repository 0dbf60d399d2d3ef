package integration

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

const twoAccounts = `
accounts {
  A { users: [ {user: a, password: a} ]
      exports: [ {stream: "news.>"}, {service: "help.*"}, {service: "many", response: stream}, {service: "private", accounts: [A]} ] }
  B { users: [ {user: b, password: b} ]
      imports: [ {stream: {account: A, subject: "news.>"}, prefix: "a"}, {stream: {account: A, subject: "news.*.x"}, to: "x.$1"}
                 {service: {account: A, subject: "help.*"}, to: "ask.*"}, {service: {account: A, subject: "many"}} ] }
}`

func TestAccountsAreIsolated(t *testing.T) {
	t.Parallel()
	p := start(t, twoAccounts)
	a, b := p.client(nats.UserInfo("a", "a")), p.client(nats.UserInfo("b", "b"))
	mine, theirs := flushed(t, a, ">"), flushed(t, b, ">")
	require.NoError(t, a.Publish("only.a", nil))
	require.NoError(t, b.Publish("only.b", nil))
	require.NoError(t, a.Flush())
	require.NoError(t, b.Flush())
	require.Equal(t, "only.a", next(t, mine).Subject)
	require.Equal(t, "only.b", next(t, theirs).Subject)
	for _, sub := range []*nats.Subscription{mine, theirs} {
		n, _, err := sub.Pending()
		require.NoError(t, err)
		require.Zero(t, n)
	}
}

func TestImportedStreamsAndServices(t *testing.T) {
	t.Parallel()
	p := start(t, twoAccounts)
	a, b := p.client(nats.UserInfo("a", "a")), p.client(nats.UserInfo("b", "b"))
	all, mapped := flushed(t, b, "a.news.>"), flushed(t, b, "x.*")
	require.NoError(t, a.Publish("news.today.x", []byte("1")))
	require.Equal(t, "a.news.today.x", next(t, all).Subject)
	require.Equal(t, "x.today", next(t, mapped).Subject)

	_, err := a.Subscribe("help.*", func(m *nats.Msg) { _ = m.Respond([]byte(m.Subject)) })
	require.NoError(t, err)
	_, err = a.Subscribe("many", func(m *nats.Msg) {
		for i := range 3 {
			_ = m.Respond(fmt.Append(nil, i))
		}
		_ = m.Respond(nil)
	})
	require.NoError(t, err)
	require.NoError(t, a.Flush())
	for range 20 {
		m, err := b.Request("ask.me", nil, patience)
		require.NoError(t, err)
		require.Equal(t, "help.me", string(m.Data))
	}
	inbox := b.NewRespInbox()
	answers := flushed(t, b, inbox)
	require.NoError(t, b.PublishRequest("many", inbox, nil))
	for i := range 3 {
		require.Equal(t, fmt.Sprint(i), string(next(t, answers).Data))
	}
	require.Empty(t, next(t, answers).Data)
	_, err = b.Request("private", nil, patience)
	require.ErrorIs(t, err, nats.ErrNoResponders)
}

func TestImportsByReload(t *testing.T) {
	t.Parallel()
	const without = `accounts { A { users: [ {user: a, password: a} ] }, B { users: [ {user: b, password: b} ] } }`
	p := start(t, without)
	a, b := p.client(nats.UserInfo("a", "a")), p.client(nats.UserInfo("b", "b"))
	sub := flushed(t, b, "a.news.>")
	p.mustReload(twoAccounts)
	require.NoError(t, b.Flush())
	require.NoError(t, a.Publish("news.today", nil))
	require.Equal(t, "a.news.today", next(t, sub).Subject)
	p.mustReload(without)
	require.NoError(t, b.Flush())
	require.NoError(t, a.Publish("news.gone", nil))
	require.NoError(t, a.Flush())
	require.NoError(t, b.Publish("a.news.local", nil))
	require.Equal(t, "a.news.local", next(t, sub).Subject, "what was not imported did not come")
}

func TestAccountConnectionLimit(t *testing.T) {
	t.Parallel()
	p := start(t, `accounts { A { users: [ {user: a, password: a} ], limits { max_connections: 2 } } }`)
	first := p.client(nats.UserInfo("a", "a"))
	p.client(nats.UserInfo("a", "a"))
	_, err := p.dial(nats.UserInfo("a", "a"))
	require.ErrorIs(t, err, nats.ErrMaxAccountConnectionsExceeded)
	first.Close()
	require.Eventually(t, func() bool {
		nc, err := p.dial(nats.UserInfo("a", "a"))
		return err == nil && nc.IsConnected()
	}, patience, tick)
}

func TestWeightedMapping(t *testing.T) {
	t.Parallel()
	const messages = 2000
	p := start(t, `mappings { "in": [ {destination: "one", weight: 30%}, {destination: "two", weight: "50%"} ] }`)
	a := p.client()
	subs := map[string]*nats.Subscription{}
	for _, s := range []string{"one", "two", "in"} {
		sub := flushed(t, a, s)
		require.NoError(t, sub.SetPendingLimits(-1, -1))
		subs[s] = sub
	}
	for range messages {
		require.NoError(t, a.Publish("in", nil))
	}
	require.NoError(t, a.Flush())
	total := 0
	for s, share := range map[string]float64{"one": 0.3, "two": 0.5, "in": 0.2} {
		n, _, err := subs[s].Pending()
		require.NoError(t, err)
		require.InDelta(t, share*messages, float64(n), messages/10, s)
		total += n
	}
	require.Equal(t, messages, total)
}
