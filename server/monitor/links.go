package monitor

import (
	"time"

	"github.com/lockstepmq/lockstep/server/perm"
)

// The server has no links to other servers: what follows answers that there are
// none, in the form that tools expect.

// RoutezOptions says how much of each route is wanted.
type RoutezOptions struct {
	Subscriptions       bool `json:"subscriptions"`
	SubscriptionsDetail bool `json:"subscriptions_detail"`
}

// Routez lists routes.
type Routez struct {
	ID        string                  `json:"server_id"`
	Name      string                  `json:"server_name"`
	Now       time.Time               `json:"now"`
	Import    *perm.SubjectPermission `json:"import,omitempty"`
	Export    *perm.SubjectPermission `json:"export,omitempty"`
	NumRoutes int                     `json:"num_routes"`
	Routes    []*RouteInfo            `json:"routes"`
}

// RouteInfo is one route connection.
type RouteInfo struct {
	Rid          uint64                  `json:"rid"`
	RemoteID     string                  `json:"remote_id"`
	RemoteName   string                  `json:"remote_name"`
	DidSolicit   bool                    `json:"did_solicit"`
	IsConfigured bool                    `json:"is_configured"`
	IP           string                  `json:"ip"`
	Port         int                     `json:"port"`
	Start        time.Time               `json:"start"`
	LastActivity time.Time               `json:"last_activity"`
	RTT          string                  `json:"rtt,omitempty"`
	Uptime       string                  `json:"uptime"`
	Idle         string                  `json:"idle"`
	Import       *perm.SubjectPermission `json:"import,omitempty"`
	Export       *perm.SubjectPermission `json:"export,omitempty"`
	Pending      int                     `json:"pending_size"`
	InMsgs       int64                   `json:"in_msgs"`
	OutMsgs      int64                   `json:"out_msgs"`
	InBytes      int64                   `json:"in_bytes"`
	OutBytes     int64                   `json:"out_bytes"`
	NumSubs      uint32                  `json:"subscriptions"`
	Subs         []string                `json:"subscriptions_list,omitempty"`
	SubsDetail   []SubDetail             `json:"subscriptions_list_detail,omitempty"`
	Account      string                  `json:"account,omitempty"`
	Compression  string                  `json:"compression,omitempty"`
}

// Routez says that there are no routes.
func (m *Monitor) Routez(*RoutezOptions) (*Routez, error) {
	id := m.c.Broker.Identity()
	return &Routez{ID: id.ServerID, Name: id.ServerName, Now: m.now(), Routes: []*RouteInfo{}}, nil
}

// GatewayzOptions says which gateways are wanted, and how much of them.
type GatewayzOptions struct {
	Name                       string `json:"name"`
	Accounts                   bool   `json:"accounts"`
	AccountName                string `json:"account_name"`
	AccountSubscriptions       bool   `json:"subscriptions"`
	AccountSubscriptionsDetail bool   `json:"subscriptions_detail"`
}

// Gatewayz lists gateways.
type Gatewayz struct {
	ID               string                       `json:"server_id"`
	Now              time.Time                    `json:"now"`
	Name             string                       `json:"name,omitempty"`
	Host             string                       `json:"host,omitempty"`
	Port             int                          `json:"port,omitempty"`
	OutboundGateways map[string]*RemoteGatewayz   `json:"outbound_gateways"`
	InboundGateways  map[string][]*RemoteGatewayz `json:"inbound_gateways"`
}

// RemoteGatewayz is one gateway connection.
type RemoteGatewayz struct {
	IsConfigured bool               `json:"configured"`
	Connection   *ConnInfo          `json:"connection,omitempty"`
	Accounts     []*AccountGatewayz `json:"accounts,omitempty"`
}

// AccountGatewayz is an account's interest over one gateway.
type AccountGatewayz struct {
	Name                  string      `json:"name"`
	InterestMode          string      `json:"interest_mode"`
	NoInterestCount       int         `json:"no_interest_count,omitempty"`
	InterestOnlyThreshold int         `json:"interest_only_threshold,omitempty"`
	TotalSubscriptions    int         `json:"num_subs,omitempty"`
	NumQueueSubscriptions int         `json:"num_queue_subs,omitempty"`
	Subs                  []string    `json:"subscriptions_list,omitempty"`
	SubsDetail            []SubDetail `json:"subscriptions_list_detail,omitempty"`
}

// Gatewayz says that there are no gateways.
func (m *Monitor) Gatewayz(*GatewayzOptions) (*Gatewayz, error) {
	return &Gatewayz{
		ID: m.id(), Now: m.now(),
		OutboundGateways: map[string]*RemoteGatewayz{}, InboundGateways: map[string][]*RemoteGatewayz{},
	}, nil
}

// LeafzOptions says which leafnodes are wanted, and how much of them.
type LeafzOptions struct {
	Subscriptions bool   `json:"subscriptions"`
	Account       string `json:"account"`
}

// Leafz lists leafnodes.
type Leafz struct {
	ID       string      `json:"server_id"`
	Now      time.Time   `json:"now"`
	NumLeafs int         `json:"leafnodes"`
	Leafs    []*LeafInfo `json:"leafs"`
}

// LeafInfo is one leafnode connection.
type LeafInfo struct {
	ID          uint64     `json:"id"`
	Name        string     `json:"name"`
	IsSpoke     bool       `json:"is_spoke"`
	IsIsolated  bool       `json:"is_isolated,omitempty"`
	Account     string     `json:"account"`
	IP          string     `json:"ip"`
	Port        int        `json:"port"`
	RTT         string     `json:"rtt,omitempty"`
	InMsgs      int64      `json:"in_msgs"`
	OutMsgs     int64      `json:"out_msgs"`
	InBytes     int64      `json:"in_bytes"`
	OutBytes    int64      `json:"out_bytes"`
	NumSubs     uint32     `json:"subscriptions"`
	Subs        []string   `json:"subscriptions_list,omitempty"`
	Compression string     `json:"compression,omitempty"`
	Proxy       *ProxyInfo `json:"proxy,omitempty"`
}

// Leafz says that there are no leafnodes.
func (m *Monitor) Leafz(*LeafzOptions) (*Leafz, error) {
	return &Leafz{ID: m.id(), Now: m.now(), Leafs: []*LeafInfo{}}, nil
}
