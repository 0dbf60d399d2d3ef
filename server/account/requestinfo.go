package account

import (
	"strconv"
	"time"

	"github.com/lockstepmq/lockstep/server/jsonstring"
)

// RequestInfoHeader is the header in which a service learns who asks.
const RequestInfoHeader = "Nats-Request-Info"

// ClientInfo is what a service, or an event, learns about a client. What is empty
// is left out, but for Account.
type ClientInfo struct {
	Start      time.Time // when it connected
	Host       string
	ID         uint64
	Account    string
	Service    string // account through which the request was passed on
	User       string
	Name       string
	Lang       string
	Version    string
	RTT        time.Duration
	Server     string
	Cluster    string
	Alternates []string
	Stop       time.Time
	JWT        string
	IssuerKey  string
	NameTag    string
	Tags       []string
	Kind       string
	ClientType string // nats, websocket or mqtt
	ClientID   string // MQTT
	Nonce      string
	Reply      string
}

// AppendRequestInfo adds the JSON of info to dst, as Nats-Request-Info carries it:
// on one line, escaped as encoding/json does.
func AppendRequestInfo(dst []byte, info ClientInfo) []byte {
	dst = append(dst, '{')
	dst = appendTime(dst, "start", info.Start)
	dst = appendText(dst, "host", info.Host)
	if info.ID != 0 {
		dst = strconv.AppendUint(appendKey(dst, "id"), info.ID, 10)
	}
	dst = jsonstring.Append(appendKey(dst, "acc"), info.Account)
	dst = appendText(dst, "svc", info.Service)
	dst = appendText(dst, "user", info.User)
	dst = appendText(dst, "name", info.Name)
	dst = appendText(dst, "lang", info.Lang)
	dst = appendText(dst, "ver", info.Version)
	if info.RTT != 0 {
		dst = strconv.AppendInt(appendKey(dst, "rtt"), int64(info.RTT), 10)
	}
	dst = appendText(dst, "server", info.Server)
	dst = appendText(dst, "cluster", info.Cluster)
	dst = appendList(dst, "alts", info.Alternates)
	dst = appendTime(dst, "stop", info.Stop)
	dst = appendText(dst, "jwt", info.JWT)
	dst = appendText(dst, "issuer_key", info.IssuerKey)
	dst = appendText(dst, "name_tag", info.NameTag)
	dst = appendList(dst, "tags", info.Tags)
	dst = appendText(dst, "kind", info.Kind)
	dst = appendText(dst, "client_type", info.ClientType)
	dst = appendText(dst, "client_id", info.ClientID)
	dst = appendText(dst, "nonce", info.Nonce)
	dst = appendText(dst, "reply", info.Reply)
	return append(dst, '}')
}

func appendKey(dst []byte, key string) []byte {
	if dst[len(dst)-1] != '{' {
		dst = append(dst, ',')
	}
	return append(append(append(dst, '"'), key...), `":`...)
}

func appendText(dst []byte, key, text string) []byte {
	if text == "" {
		return dst
	}
	return jsonstring.Append(appendKey(dst, key), text)
}

func appendTime(dst []byte, key string, t time.Time) []byte {
	if t.IsZero() {
		return dst
	}
	dst = append(appendKey(dst, key), '"')
	return append(t.UTC().AppendFormat(dst, time.RFC3339Nano), '"')
}

func appendList(dst []byte, key string, list []string) []byte {
	if len(list) == 0 {
		return dst
	}
	dst = append(appendKey(dst, key), '[')
	for i, text := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = jsonstring.Append(dst, text)
	}
	return append(dst, ']')
}
