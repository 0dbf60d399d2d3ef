package account

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

func TestRequestInfo(t *testing.T) {
	for _, tc := range []struct {
		name string
		info ClientInfo
		want string
	}{
		{"not shared", ClientInfo{Account: "B", RTT: 571737}, `{"acc":"B","rtt":571737}`},
		{"nothing known", ClientInfo{}, `{"acc":""}`},
		{"passed on", ClientInfo{Account: "C", Service: "B", RTT: 506073}, `{"acc":"C","svc":"B","rtt":506073}`},
		{"shared", ClientInfo{
			Start: time.Date(2026, 11, 24, 6, 29, 33, 965061698, time.UTC), Host: "127.0.0.1", ID: 11, Account: "B",
			User: "b", Name: "NATS CLI Version v0.5.1", Lang: "go", Version: "1.55.0", RTT: 563134, Server: "srv1",
			Kind: "Client", ClientType: "nats",
		}, `{"start":"2026-11-24T06:29:33.965061698Z","host":"127.0.0.1","id":11,"acc":"B","user":"b",` +
			`"name":"NATS CLI Version v0.5.1","lang":"go","ver":"1.55.0","rtt":563134,"server":"srv1","kind":"Client","client_type":"nats"}`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, string(AppendRequestInfo(nil, tc.info)))
			require.Equal(t, "x: "+tc.want, string(AppendRequestInfo([]byte("x: "), tc.info)))
		})
	}
}

// asJSON is ClientInfo as encoding/json writes it.
type asJSON struct {
	Start      *time.Time `json:"start,omitempty"`
	Host       string     `json:"host,omitempty"`
	ID         uint64     `json:"id,omitempty"`
	Account    string     `json:"acc"`
	Service    string     `json:"svc,omitempty"`
	User       string     `json:"user,omitempty"`
	Name       string     `json:"name,omitempty"`
	Lang       string     `json:"lang,omitempty"`
	Version    string     `json:"ver,omitempty"`
	RTT        int64      `json:"rtt,omitempty"`
	Server     string     `json:"server,omitempty"`
	Cluster    string     `json:"cluster,omitempty"`
	Alternates []string   `json:"alts,omitempty"`
	Stop       *time.Time `json:"stop,omitempty"`
	JWT        string     `json:"jwt,omitempty"`
	IssuerKey  string     `json:"issuer_key,omitempty"`
	NameTag    string     `json:"name_tag,omitempty"`
	Tags       []string   `json:"tags,omitempty"`
	Kind       string     `json:"kind,omitempty"`
	ClientType string     `json:"client_type,omitempty"`
	ClientID   string     `json:"client_id,omitempty"`
	Nonce      string     `json:"nonce,omitempty"`
	Reply      string     `json:"reply,omitempty"`
}

func TestPropertyRequestInfoIsJSON(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := func(what string) string {
			return rapid.OneOf(rapid.String(), rapid.Just(""), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) }),
				rapid.SampledFrom([]string{"<>&", "\u2028\u2029", "\x00\x1f\x7f", `"\`, "\xff\xc0a"})).Draw(t, what)
		}
		list := func(what string) []string {
			return []string{text(what), text(what)}[:rapid.IntRange(0, 2).Draw(t, what)]
		}
		start := time.Unix(rapid.Int64Range(1, 1<<33).Draw(t, "start"), rapid.Int64Range(0, 999999999).Draw(t, "ns")).UTC()
		i := ClientInfo{
			Start: start, Host: text("host"), ID: rapid.Uint64().Draw(t, "id"), Account: text("acc"), Service: text("svc"),
			User: text("user"), Name: text("name"), Lang: text("lang"), Version: text("ver"),
			RTT: time.Duration(rapid.Int64().Draw(t, "rtt")), Server: text("server"), Cluster: text("cluster"), Alternates: list("alts"),
			Stop: start, JWT: text("jwt"), IssuerKey: text("issuer"), NameTag: text("tag"), Tags: list("tags"), Kind: text("kind"),
			ClientType: text("type"), ClientID: text("mqtt"), Nonce: text("nonce"), Reply: text("reply"),
		}
		want, err := json.Marshal(asJSON{
			&start, i.Host, i.ID, i.Account, i.Service, i.User, i.Name, i.Lang, i.Version, int64(i.RTT), i.Server, i.Cluster,
			i.Alternates, &start, i.JWT, i.IssuerKey, i.NameTag, i.Tags, i.Kind, i.ClientType, i.ClientID, i.Nonce, i.Reply,
		})
		require.NoError(t, err)
		got := AppendRequestInfo(nil, i)
		require.Equal(t, string(want), string(got))
		require.False(t, strings.ContainsAny(string(got), "\r\n"), "a header is one line")
	})
}

func TestRequestInfoAllocates(t *testing.T) {
	info := ClientInfo{Start: time.Unix(1, 2), Account: "B", User: "ü<b>", Tags: []string{"x"}, RTT: 571737}
	dst := make([]byte, 0, 256)
	require.Zero(t, testing.AllocsPerRun(100, func() { dst = AppendRequestInfo(dst[:0], info) }))
}
