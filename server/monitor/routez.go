package monitor

import (
	"time"

	"github.com/lockstepmq/lockstep/server/cluster"
	"github.com/lockstepmq/lockstep/server/perm"
)

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

// RouteInfo is one route connection. Import and Export are what the peer states.
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

// Routez lists the routes by server, those of its pool first.
func (m *Monitor) Routez(want *RoutezOptions) (*Routez, error) {
	id, now := m.c.Broker.Identity(), m.now()
	z := &Routez{ID: id.ServerID, Name: id.ServerName, Now: now, Routes: []*RouteInfo{}}
	if m.c.Cluster == nil {
		return z, nil
	}
	if want == nil {
		want = &RoutezOptions{}
	}
	if p := m.c.Options().Cluster.Permissions; p != nil {
		z.Import, z.Export = p.Import, p.Export
	}
	for _, r := range m.c.Cluster.Routes() {
		z.Routes = append(z.Routes, routeInfo(&r, now, want))
	}
	z.NumRoutes = len(z.Routes)
	return z, nil
}

func routeInfo(r *cluster.RouteState, now time.Time, want *RoutezOptions) *RouteInfo {
	i := &RouteInfo{
		Rid: r.ID, RemoteID: r.RemoteID, RemoteName: r.RemoteName, DidSolicit: r.Solicited, IsConfigured: r.Configured,
		IP: r.Host, Port: r.Port, Start: r.Start.UTC(), LastActivity: now.Add(-r.LastActivity),
		Uptime: uptime(now.Sub(r.Start)), Idle: uptime(r.LastActivity), Import: r.Import, Export: r.Export,
		Pending: r.Stats.Pending, InMsgs: r.Stats.InMsgs, OutMsgs: r.Stats.OutMsgs, InBytes: r.Stats.InBytes,
		OutBytes: r.Stats.OutBytes, NumSubs: uint32(r.Stats.Subscriptions), Account: r.Account, Compression: r.Compression,
	}
	if r.RTT > 0 {
		i.RTT = rttText(r.RTT)
	}
	if !want.Subscriptions && !want.SubscriptionsDetail {
		return i
	}
	for _, s := range r.Subscriptions() {
		if want.SubscriptionsDetail {
			i.SubsDetail = append(i.SubsDetail, SubDetail{Subject: s.Subject, Queue: s.Queue, Sid: "R " + r.Line(&s), Cid: r.ID})
		} else {
			i.Subs = append(i.Subs, s.Subject)
		}
	}
	return i
}
