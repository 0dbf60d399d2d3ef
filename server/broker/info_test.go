package broker_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/wire"
)

// greeting is the first INFO that a client got.
func (s *script) greeting(name string) wire.Info {
	s.open(name)
	s.settle()
	line, _, _ := strings.Cut(strings.TrimPrefix(string(s.clients[name].got), "INFO "), "\r\n")
	info, err := wire.ParseInfo([]byte(line))
	require.NoError(s.t, err)
	return info
}

func TestInfoTellsOfJetStream(t *testing.T) {
	s := newScript(t, "")
	on, domain := s.broker.JetStream()
	require.False(t, on)
	require.Empty(t, domain)
	before := s.greeting("a")
	require.False(t, before.JetStream)
	require.Equal(t, 5, before.APILevel, "with and without JetStream")
	s.send("a", `CONNECT {"verbose":false,"protocol":1}`+"\r\nPING\r\n")
	s.settle()
	s.clients["a"].got = nil

	s.broker.SetJetStream(true, "hub")
	with := s.greeting("b")
	require.True(t, with.JetStream)
	require.Equal(t, "hub", with.Domain)
	require.NotContains(t, string(s.clients["a"].got), "INFO", "who is connected is not told")
	on, domain = s.broker.JetStream()
	require.True(t, on)
	require.Equal(t, "hub", domain)

	s.broker.SetJetStream(false, "hub")
	without := s.greeting("c")
	require.False(t, without.JetStream)
	require.Empty(t, without.Domain)
}

func TestClientInfo(t *testing.T) {
	s := newScript(t, acrossConf)
	s.login("a", `,"user":"a","pass":"a","name":"me","lang":"go","version":"1.2"`)
	info := s.broker.Client(1).Info()
	require.NotZero(t, info.RTT)
	require.False(t, info.Start.IsZero())
	require.NotEmpty(t, info.Host)
	require.EqualValues(t, 1, info.ID)
	require.Equal(t, []string{"A", "a", "me", "go", "1.2", "script", "Client", "nats"}, []string{
		info.Account, info.User, info.Name, info.Lang, info.Version, info.Server, info.Kind, info.ClientType,
	})
}
