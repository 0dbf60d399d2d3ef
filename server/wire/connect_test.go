package wire

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestConnectMerge(t *testing.T) {
	c := DefaultConnect()
	require.NoError(t, c.Merge([]byte(`{}`)))
	require.Equal(t, Connect{Verbose: true, Pedantic: true, Echo: true}, c)

	require.NoError(t, c.Merge([]byte(`{"VERBOSE":false,"pedantic":false,"tls_required":true,"name":"n","lang":"go","version":"1.2",
		"protocol":1,"headers":true,"no_responders":true,"user":"u","Pass":"p","auth_token":"t","nkey":"U","sig":"s","jwt":"j",
		"proxy_sig":"ps","account":"A","new_account":true,"import":{"allow":["a"]},"export":null,"remote_account":"R","unknown":[1]}`)))
	want := Connect{
		Echo: true, TLSRequired: true, Name: "n", Lang: "go", Version: "1.2", Protocol: 1, Headers: true, NoResponders: true,
		Username: "u", Password: "p", Token: "t", Nkey: "U", Sig: "s", JWT: "j", ProxySig: "ps",
		Account: "A", AccountNew: true, Import: json.RawMessage(`{"allow":["a"]}`), Export: json.RawMessage("null"), RemoteAccount: "R",
	}
	require.Equal(t, want, c)

	require.NoError(t, c.Merge([]byte("\n {\"echo\":false,\"name\":null} ")))
	want.Echo = false
	require.Equal(t, want, c, "a later CONNECT keeps what it does not name")
	require.NoError(t, c.Merge([]byte(`null`)))
	require.Equal(t, want, c)
}

func TestConnectMergeErrors(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"empty", "", "CONNECT: bad JSON: unexpected end of JSON input"},
		{"array", "[]", "CONNECT: wants a JSON object"},
		{"trailing bytes", "{} x", "CONNECT: bad JSON: invalid character 'x' after top-level value"},
		{"number for a string", `{"pass":12345}`, `CONNECT: key "pass" wants a value of type string`},
		{"string for a bool", `{"new_account":"secret"}`, `CONNECT: key "new_account" wants a value of type bool`},
		{"fraction", `{"protocol":1.5}`, `CONNECT: key "protocol" wants a value of type int`},
		{"import", `{"import":5}`, "CONNECT: keys import and export want an object with lists allow and deny"},
		{"export", `{"export":{"deny":"x"}}`, "CONNECT: keys import and export want an object with lists allow and deny"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := DefaultConnect()
			require.EqualError(t, c.Merge([]byte(tc.in)), tc.want)
		})
	}
}

func TestAppendConnectIsReadBack(t *testing.T) {
	want := Connect{Name: "n", Protocol: 1, Headers: true, Username: "u", Password: "p"}
	line, err := AppendConnect(nil, &want)
	require.NoError(t, err)
	var op Op
	rest, ok, err := NewParser().Next(line, &op)
	require.NoError(t, err)
	require.True(t, ok)
	require.Empty(t, rest)
	got := DefaultConnect()
	require.NoError(t, got.Merge(op.Arg))
	require.Equal(t, want, got)

	_, err = AppendConnect(nil, &Connect{Import: json.RawMessage("{")})
	require.Error(t, err)
}

func TestInfoKeysInOrder(t *testing.T) {
	short := Info{ServerID: "N1", ServerName: "s", Version: "2.15.2", Proto: 1, GoVersion: "go", Host: "0.0.0.0", Port: 4222, Headers: true, MaxPayload: -1, ClientID: 6, APILevel: 5}
	require.Equal(t, `INFO {"server_id":"N1","server_name":"s","version":"2.15.2","proto":1,"go":"go","host":"0.0.0.0","port":4222,`+
		`"headers":true,"max_payload":-1,"client_id":6,"api_lvl":5} `+"\r\n", string(AppendInfo(nil, &short)))

	full := Info{
		ServerID: "N1", ServerName: "s", Version: "v", Proto: 1, GitCommit: "abcdefg", GoVersion: "go", Host: "h", Port: 1, Headers: true,
		AuthRequired: true, TLSRequired: true, TLSVerify: true, TLSAvailable: true, MaxPayload: 2, JetStream: true, ClientID: 3, ClientIP: "ip",
		Nonce: "no", Cluster: "c", Domain: "d", ConnectURLs: []string{"a:1", "b:2"}, LameDuck: true, ConnectInfo: true, RemoteAccount: "$G",
		IsSystemAccount: true, APILevel: 5, XKey: "X", LockstepVersion: "1.0",
	}
	want := `INFO {"server_id":"N1","server_name":"s","version":"v","proto":1,"git_commit":"abcdefg","go":"go","host":"h","port":1,"headers":true,` +
		`"auth_required":true,"tls_required":true,"tls_verify":true,"tls_available":true,"max_payload":2,"jetstream":true,"client_id":3,"client_ip":"ip",` +
		`"nonce":"no","cluster":"c","domain":"d","connect_urls":["a:1","b:2"],"ldm":true,"connect_info":true,"remote_account":"$G","acc_is_sys":true,` +
		`"api_lvl":5,"xkey":"X","lockstep_version":"1.0"} ` + "\r\n"
	line := AppendInfo(nil, &full)
	require.Equal(t, want, string(line))

	var op Op
	var p ClientParser
	_, ok, err := p.Next(line, &op)
	require.NoError(t, err)
	require.True(t, ok)
	got, err := ParseInfo(op.Arg)
	require.NoError(t, err)
	require.Equal(t, full, got)

	_, err = ParseInfo([]byte(`{"port":"x"}`))
	require.Error(t, err)
}

func TestRedactConnect(t *testing.T) {
	for _, tc := range []struct{ name, in, want string }{
		{"nothing secret", `{"user":"pass","name":"sig","verbose":true}`, `{"user":"pass","name":"sig","verbose":true}`},
		{"every key", `{"pass":"a","password":"b","auth_token":"c","auth_token2":"c","sig":"d","proxy_sig":"e","nkey":"f","jwt":"g","lang":"go"}`,
			`{"pass":"[REDACTED]","password":"[REDACTED]","auth_token":"[REDACTED]","auth_token2":"[REDACTED]","sig":"[REDACTED]","proxy_sig":"[REDACTED]","nkey":"[REDACTED]","jwt":"[REDACTED]","lang":"go"}`},
		{"any case", `{"PASS":"a","Sig":"b"}`, `{"PASS":"[REDACTED]","Sig":"[REDACTED]"}`},
		{"letters that fold", "{\"pa\u017fs\":\"a\",\"n\u212aey\":\"b\"}", "{\"pa\u017fs\":\"[REDACTED]\",\"n\u212aey\":\"[REDACTED]\"}"},
		{"escaped key", `{"p\u0061ss":"a"}`, `{"p\u0061ss":"[REDACTED]"}`},
		{"escaped value", `{"pass":"a\"b\\","name":"n"}`, `{"pass":"[REDACTED]","name":"n"}`},
		{"blanks", "{ \"pass\" :\t\"a\" , \"name\" : \"n\" }", `{ "pass":"[REDACTED]", "name" : "n" }`},
		{"no string", `{"pass":[1,{"x":"}"}],"sig":12,"nkey":null}`, `{"pass":"[REDACTED]","sig":"[REDACTED]","nkey":"[REDACTED]"}`},
		{"nested", `{"a":[{"pass":"x"}]}`, `{"a":[{"pass":"[REDACTED]"}]}`},
		{"empty value", `{"pass":""}`, `{"pass":"[REDACTED]"}`},
		{"not JSON", `{pass:"x"}`, `[REDACTED] (not valid JSON)`},
		{"cut off", `{"pass":"x`, `[REDACTED] (not valid JSON)`},
		{"no object", `"pass"`, `"pass"`},
	} {
		t.Run(tc.name, func(t *testing.T) { require.Equal(t, tc.want, RedactConnect([]byte(tc.in))) })
	}
}

func FuzzRedactConnect(f *testing.F) {
	f.Add([]byte(`{"user":"u","pass":"p"}`))
	f.Add([]byte(`{"a":["\\\"",{"sig":{}}]}`))
	f.Add([]byte(`[`))
	f.Fuzz(func(t *testing.T, in []byte) {
		out := RedactConnect(in)
		if !json.Valid(in) {
			require.NotContains(t, out, "{")
			return
		}
		require.True(t, json.Valid([]byte(out)), out)
		c := DefaultConnect()
		if c.Merge([]byte(out)) == nil {
			for _, secret := range []string{c.Password, c.Token, c.Sig, c.ProxySig, c.Nkey, c.JWT} {
				require.Contains(t, []string{"", redacted}, secret)
			}
		}
	})
}
