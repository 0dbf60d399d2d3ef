package monitor

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
)

// ConnInfo is one connection.
type ConnInfo struct {
	Cid            uint64         `json:"cid"`
	Kind           string         `json:"kind,omitempty"`
	Type           string         `json:"type,omitempty"`
	IP             string         `json:"ip"`
	Port           int            `json:"port"`
	Start          time.Time      `json:"start"`
	LastActivity   time.Time      `json:"last_activity"`
	Stop           *time.Time     `json:"stop,omitempty"`
	Reason         string         `json:"reason,omitempty"`
	RTT            string         `json:"rtt,omitempty"`
	Uptime         string         `json:"uptime"`
	Idle           string         `json:"idle"`
	Pending        int            `json:"pending_bytes"`
	InMsgs         int64          `json:"in_msgs"`
	OutMsgs        int64          `json:"out_msgs"`
	InBytes        int64          `json:"in_bytes"`
	OutBytes       int64          `json:"out_bytes"`
	Stalls         int64          `json:"stalls,omitempty"`
	NumSubs        uint32         `json:"subscriptions"`
	Name           string         `json:"name,omitempty"`
	Lang           string         `json:"lang,omitempty"`
	Version        string         `json:"version,omitempty"`
	TLSVersion     string         `json:"tls_version,omitempty"`
	TLSCipher      string         `json:"tls_cipher_suite,omitempty"`
	TLSPeerCerts   []*TLSPeerCert `json:"tls_peer_certs,omitempty"`
	TLSFirst       bool           `json:"tls_first,omitempty"`
	AuthorizedUser string         `json:"authorized_user,omitempty"`
	Account        string         `json:"account,omitempty"`
	Subs           []string       `json:"subscriptions_list,omitempty"`
	SubsDetail     []SubDetail    `json:"subscriptions_list_detail,omitempty"`
	JWT            string         `json:"jwt,omitempty"`
	IssuerKey      string         `json:"issuer_key,omitempty"`
	NameTag        string         `json:"name_tag,omitempty"`
	Tags           []string       `json:"tags,omitempty"`
	MQTTClient     string         `json:"mqtt_client,omitempty"`
	Proxy          *ProxyInfo     `json:"proxy,omitempty"`
}

// TLSPeerCert is one certificate that a client presented.
type TLSPeerCert struct {
	Subject          string `json:"subject,omitempty"`
	SubjectPKISha256 string `json:"spki_sha256,omitempty"`
	CertSha256       string `json:"cert_sha256,omitempty"`
}

// ProxyInfo is the trusted proxy that a connection came through.
type ProxyInfo struct {
	Key string `json:"key"`
}

// SubDetail is one subscription.
type SubDetail struct {
	Account    string `json:"account,omitempty"`
	AccountTag string `json:"account_tag,omitempty"`
	Subject    string `json:"subject"`
	Queue      string `json:"qgroup,omitempty"`
	Sid        string `json:"sid"`
	Msgs       int64  `json:"msgs"`
	Max        int64  `json:"max,omitempty"`
	Cid        uint64 `json:"cid"`
}

// connInfo describes a connection as far as o asks.
func (m *Monitor) connInfo(f *found, o *ConnzOptions) *ConnInfo {
	i := &ConnInfo{
		Cid: f.ID, Kind: "Client", Type: "nats", IP: f.Host, Port: f.Port,
		Start: f.Start.UTC(), LastActivity: f.LastActivity.UTC(), RTT: rttText(f.RTT),
		Uptime: uptime(f.Uptime), Idle: uptime(f.Idle), Pending: f.Pending,
		InMsgs: f.InMsgs, OutMsgs: f.OutMsgs, InBytes: f.InBytes, OutBytes: f.OutBytes, Stalls: f.Stalls,
		NumSubs: uint32(f.NumSubs), TLSFirst: f.TLSFirst,
	}
	if !f.Stop.IsZero() {
		stop := f.Stop.UTC()
		i.Stop, i.Reason = &stop, f.Reason.String()
	}
	if id := f.Ident; id != nil {
		i.Name, i.Lang, i.Version = id.Connect.Name, id.Connect.Lang, id.Connect.Version
		if id.ProxyKey != "" {
			i.Proxy = &ProxyInfo{Key: id.ProxyKey}
		}
	}
	if f.TLS != nil {
		i.TLSVersion, i.TLSCipher = tlsVersion(f.TLS.Version), tls.CipherSuiteName(f.TLS.CipherSuite)
	}
	if o.Username {
		addIdentity(i, f)
	}
	switch {
	case o.SubscriptionsDetail:
		i.SubsDetail = connSubDetails(f)
	case o.Subscriptions:
		for _, s := range f.subscriptions() {
			i.Subs = append(i.Subs, s.Subject)
		}
	}
	return i
}

// addIdentity adds who the connection is.
func addIdentity(i *ConnInfo, f *found) {
	if f.Ident != nil {
		i.AuthorizedUser = f.Ident.User
	}
	if f.bound() {
		i.NameTag = f.Account
		if f.Account != account.Global {
			i.Account = f.Account
		}
	}
	if f.TLS == nil {
		return
	}
	for _, c := range f.TLS.PeerCertificates {
		spki, cert := sha256.Sum256(c.RawSubjectPublicKeyInfo), sha256.Sum256(c.Raw)
		i.TLSPeerCerts = append(i.TLSPeerCerts, &TLSPeerCert{
			Subject: c.Subject.String(), SubjectPKISha256: hex.EncodeToString(spki[:]), CertSha256: hex.EncodeToString(cert[:]),
		})
	}
}

// connSubDetails lists a connection's subscriptions; a closed one's name its
// account.
func connSubDetails(f *found) []SubDetail {
	var list []SubDetail
	for _, s := range f.subscriptions() {
		d := subDetail(f, s)
		d.Cid = f.ID
		if f.client == nil {
			d.Account, d.AccountTag = f.Account, f.Account
		}
		list = append(list, d)
	}
	return list
}

func subDetail(f *found, s *account.Subscription) SubDetail {
	d := SubDetail{Subject: s.Subject, Queue: s.Queue, Sid: s.SID}
	if f.client != nil {
		d.Msgs, d.Max = f.client.Delivered(s)
	} else {
		d.Msgs, d.Max = s.Delivered, s.Max // nothing is delivered to it any more
	}
	return d
}

// tlsVersion is "1.2" or "1.3".
func tlsVersion(v uint16) string { return strings.TrimPrefix(tls.VersionName(v), "TLS ") }
