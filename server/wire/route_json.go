package wire

import (
	"encoding/json"
	"fmt"
)

// The values of RouteInfo.GossipMode: what a server does with what it is told of
// another one.
const (
	GossipDefault  = 0 // tells others
	GossipDisabled = 1 // tells nobody
	GossipOverride = 2 // tells others even though it was itself told
)

// RouteInfo is what a server says to another: of itself when a route begins or when
// something changed, and of a third one as gossip. The order of the fields is the order
// of the keys on the wire.
type RouteInfo struct {
	ServerID     string `json:"server_id"`
	ServerName   string `json:"server_name"`
	Version      string `json:"version"`
	Proto        int    `json:"proto"` // 1: INFO at any time, 2: accounts, 3: message tracing
	GitCommit    string `json:"git_commit,omitempty"`
	GoVersion    string `json:"go"`
	Host         string `json:"host"` // where it takes routes
	Port         int    `json:"port"`
	Headers      bool   `json:"headers"`
	AuthRequired bool   `json:"auth_required,omitempty"`
	TLSRequired  bool   `json:"tls_required,omitempty"`
	TLSVerify    bool   `json:"tls_verify,omitempty"`
	MaxPayload   int64  `json:"max_payload"` // bytes; not enforced on routes
	JetStream    bool   `json:"jetstream,omitempty"`
	IP           string `json:"ip,omitempty"` // nats-route://host:port/, where to dial it
	Nonce        string `json:"nonce,omitempty"`
	Cluster      string `json:"cluster,omitempty"`
	Dynamic      bool   `json:"cluster_dynamic,omitempty"` // the cluster's name is generated
	Domain       string `json:"domain,omitempty"`

	ConnectURLs   []string `json:"connect_urls,omitempty"`    // host:port for clients
	WSConnectURLs []string `json:"ws_connect_urls,omitempty"` // the same for WebSocket
	LameDuck      bool     `json:"ldm,omitempty"`
	Compression   string   `json:"compression,omitempty"`

	Import *SubjectLists `json:"import,omitempty"` // which of its interest it tells
	Export *SubjectLists `json:"export,omitempty"` // which interest it takes

	LeafOrigin        bool `json:"lnoc,omitempty"`  // understands LS+ and LMSG
	LeafOriginInUnsub bool `json:"lnocu,omitempty"` // and the origin in LS-

	PoolSize     int    `json:"route_pool_size,omitempty"` // 0: no pool
	PoolIndex    int    `json:"route_pool_idx,omitempty"`  // said by who dialled
	Account      string `json:"route_account,omitempty"`   // the connection serves it alone
	AccountReqID string `json:"route_acc_add_reqid,omitempty"`
	GossipMode   int    `json:"gossip_mode,omitempty"`

	Gateway           string   `json:"gateway,omitempty"`
	GatewayURLs       []string `json:"gateway_urls,omitempty"`
	GatewayURL        string   `json:"gateway_url,omitempty"`
	GatewayCmd        int      `json:"gateway_cmd,omitempty"`
	GatewayCmdPayload []byte   `json:"gateway_cmd_payload,omitempty"`
	LeafNodeURLs      []string `json:"leafnode_urls,omitempty"`

	Lockstep *RouteLockstep `json:"lockstep,omitempty"`
}

// RouteLockstep is what servers of this kind say to each other; others ignore it.
type RouteLockstep struct {
	Member uint64 `json:"member,string"` // number of the server in its cluster
	Lane   int    `json:"lane"`          // version of the lane that it takes, 0 for none
}

// SubjectLists are subjects that are allowed and denied.
type SubjectLists struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// AppendRouteInfo appends an INFO line. first puts a blank before its CRLF, as the
// INFO that opens a connection has it.
func AppendRouteInfo(dst []byte, info *RouteInfo, first bool) []byte {
	arg, err := json.Marshal(info)
	if err != nil {
		panic("wire: INFO of strings and numbers does not marshal: " + err.Error())
	}
	dst = append(append(dst, "INFO "...), arg...)
	if first {
		dst = append(dst, ' ')
	}
	return append(dst, CRLF...)
}

// ParseRouteInfo reads the JSON of an INFO. Unknown keys are ignored; a value of the
// wrong type is an error.
func ParseRouteInfo(arg []byte) (RouteInfo, error) {
	var info RouteInfo
	if err := json.Unmarshal(arg, &info); err != nil {
		return RouteInfo{}, fmt.Errorf("INFO of a route: %w", err)
	}
	return info, nil
}

// RouteConnect is what the side that dialled says first.
type RouteConnect struct {
	Echo        bool   `json:"echo"`
	Verbose     bool   `json:"verbose"`
	Pedantic    bool   `json:"pedantic"`
	User        string `json:"user,omitempty"`
	Pass        string `json:"pass,omitempty"`
	TLSRequired bool   `json:"tls_required"`
	Headers     bool   `json:"headers"`
	Name        string `json:"name"` // the id of the server
	Cluster     string `json:"cluster"`
	Dynamic     bool   `json:"cluster_dynamic,omitempty"`
	LeafOrigin  bool   `json:"lnoc,omitempty"`

	// Who sends one of these has come to the wrong port.
	Lang    string `json:"lang,omitempty"`    // a client
	Gateway string `json:"gateway,omitempty"` // the name of a gateway
}

// AppendRouteConnect appends a CONNECT line.
func AppendRouteConnect(dst []byte, c *RouteConnect) []byte {
	arg, err := json.Marshal(c)
	if err != nil {
		panic("wire: CONNECT of strings and flags does not marshal: " + err.Error())
	}
	dst = append(append(dst, "CONNECT "...), arg...)
	return append(dst, CRLF...)
}

// ParseRouteConnect reads the JSON of a CONNECT. Unknown keys are ignored; a value of
// the wrong type is an error, which never quotes a value.
func ParseRouteConnect(arg []byte) (RouteConnect, error) {
	var c RouteConnect
	if err := json.Unmarshal(arg, &c); err != nil {
		return RouteConnect{}, connectError(err)
	}
	return c, nil
}
