package integration

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"
)

// through connects as a trusted proxy does for its client: it signs the nonce.
func (p *process) through(proxy nkeys.KeyPair, user string) *raw {
	p.t.Helper()
	r := p.raw()
	var info struct {
		Nonce string `json:"nonce"`
	}
	require.NoError(p.t, json.Unmarshal([]byte(r.info), &info))
	sig, err := proxy.Sign([]byte(info.Nonce))
	require.NoError(p.t, err)
	r.send(fmt.Sprintf("CONNECT {\"verbose\":false,\"user\":%q,\"pass\":\"p\",\"proxy_sig\":%q}\r\n",
		user, base64.RawURLEncoding.EncodeToString(sig)))
	return r
}

// TestProxiesBlockComesAndGoes adds and removes the whole block while the server runs:
// nobody but the clients that came through a proxy notices.
func TestProxiesBlockComesAndGoes(t *testing.T) {
	t.Parallel()
	proxy, err := nkeys.FromRawSeed(nkeys.PrefixByteServer, bytes.Repeat([]byte{7}, 32))
	require.NoError(t, err)
	key, err := proxy.PublicKey()
	require.NoError(t, err)
	users := "authorization {users: [{user: u, password: p}, {user: px, password: p, proxy_required: true}]}\n"
	block := "proxies {trusted: [{key: " + key + "}]}\n"

	p := start(t, users)
	direct := p.connected(`"user":"u","pass":"p"`)
	require.Empty(t, direct.sync())
	for range 2 {
		require.Contains(t, fmt.Sprint(p.reload(block+users)), "proxies trusted keys [\""+key+"\"] were added")
		require.Empty(t, direct.sync())
		free, bound := p.through(proxy, "u"), p.through(proxy, "px")
		require.Empty(t, free.sync())
		require.Empty(t, bound.sync())

		require.Contains(t, fmt.Sprint(p.reload(users)), "proxies trusted keys [\""+key+"\"] were removed")
		require.Empty(t, direct.sync())
		for _, c := range []*raw{free, bound} {
			line, err := c.read()
			require.NoError(t, err)
			require.Equal(t, "-ERR 'Authorization Violation'", line)
			_, err = c.read()
			require.ErrorIs(t, err, errEnded)
		}
	}
}
