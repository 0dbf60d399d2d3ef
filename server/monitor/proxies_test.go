package monitor_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nkeys"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/monitor"
)

// greeted is a client that keeps the nonce of its INFO.
type greeted struct {
	conn  netsim.Conn
	nonce string
}

func (c *greeted) Data(p []byte) {
	if text, ok := strings.CutPrefix(string(p), "INFO "); ok && c.nonce == "" {
		var info struct {
			Nonce string `json:"nonce"`
		}
		if json.NewDecoder(strings.NewReader(text)).Decode(&info) == nil {
			c.nonce = info.Nonce
		}
	}
}

func (c *greeted) Closed(error) {}

// TestConnzShowsTheProxy connects through a proxy, with the right password and a wrong one.
func TestConnzShowsTheProxy(t *testing.T) {
	pair, err := nkeys.FromRawSeed(nkeys.PrefixByteServer, bytes.Repeat([]byte{1}, 32))
	require.NoError(t, err)
	key, err := pair.PublicKey()
	require.NoError(t, err)
	w := newWorld(t, "authorization: {user: u, password: p}, proxies: {trusted: [{key: "+key+"}]}")
	for i, pass := range []string{"p", "wrong"} {
		c := &greeted{}
		strand := w.sim.Clock("client").NewStrand(pass)
		w.net.Host(fmt.Sprint("client-", i)).Dial(strand, "server:4222", netsim.DialOptions{}, func(conn netsim.Conn, err error) {
			require.NoError(t, err)
			c.conn = conn
			conn.Start(strand, c)
		})
		w.settle()
		require.Len(t, c.nonce, 15)
		sig, err := pair.Sign([]byte(c.nonce))
		require.NoError(t, err)
		c.conn.Write(fmt.Appendf(nil, "CONNECT {\"user\":\"u\",\"pass\":%q,\"proxy_sig\":%q}\r\n",
			pass, base64.RawURLEncoding.EncodeToString(sig)))
		c.conn.Flush()
		w.settle()
	}
	for _, tc := range []struct{ state, reason string }{{"open", ""}, {"closed", "Authentication Failure"}} {
		var z monitor.Connz
		require.NoError(t, json.Unmarshal(w.get("GET", "/connz?state="+tc.state).Body.Bytes(), &z))
		require.Len(t, z.Conns, 1, tc.state)
		require.Equal(t, &monitor.ProxyInfo{Key: key}, z.Conns[0].Proxy, tc.state)
		require.Equal(t, tc.reason, z.Conns[0].Reason)
	}
	require.Contains(t, w.get("GET", "/varz").Body.String(), `"proxies": {
    "trusted": [
      {
        "key": "`+key+`"
      }
    ]
  }`)
	w = newWorld(t, "proxies: {}")
	require.Contains(t, w.get("GET", "/varz").Body.String(), `"proxies": {},`)
	w = newWorld(t, "host: a")
	require.NotContains(t, w.get("GET", "/varz").Body.String(), `"proxies"`)
}
