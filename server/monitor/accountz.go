package monitor

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/subject"
)

// AccountzOptions names the account that is wanted in detail; none lists all.
type AccountzOptions struct {
	Account string `json:"account"`
}

// Accountz lists accounts, or describes one.
type Accountz struct {
	ID            string       `json:"server_id"`
	Now           time.Time    `json:"now"`
	SystemAccount string       `json:"system_account,omitempty"`
	Accounts      []string     `json:"accounts,omitempty"`
	Account       *AccountInfo `json:"account_detail,omitempty"`
}

// AccountInfo is one account.
type AccountInfo struct {
	AccountName string                 `json:"account_name"`
	LastUpdate  time.Time              `json:"update_time,omitzero"`
	IsSystem    bool                   `json:"is_system,omitempty"`
	Expired     bool                   `json:"expired"`
	Complete    bool                   `json:"complete"`
	JetStream   bool                   `json:"jetstream_enabled"`
	LeafCnt     int                    `json:"leafnode_connections"`
	ClientCnt   int                    `json:"client_connections"`
	SubCnt      uint32                 `json:"subscriptions"`
	Mappings    ExtMap                 `json:"mappings,omitempty"`
	Exports     []ExtExport            `json:"exports,omitempty"`
	Imports     []ExtImport            `json:"imports,omitempty"`
	Jwt         string                 `json:"jwt,omitempty"`
	IssuerKey   string                 `json:"issuer_key,omitempty"`
	NameTag     string                 `json:"name_tag,omitempty"`
	Tags        []string               `json:"tags,omitempty"`
	RevokedUser map[string]time.Time   `json:"revoked_user,omitempty"`
	Sublist     *SublistStats          `json:"sublist_stats,omitempty"`
	Responses   map[string]ExtResponse `json:"responses,omitempty"`
}

// ExtMap has the destinations of each mapped subject.
type ExtMap map[string][]*MapDest

// MapDest is one destination of a mapping. Weight counts up: a draw below it, and
// not below the one before, goes to Subject.
type MapDest struct {
	Subject string `json:"subject"`
	Weight  uint8  `json:"weight"`
	Cluster string `json:"cluster,omitempty"`
}

// ExtExport is one export.
type ExtExport struct {
	Subject          string           `json:"subject,omitempty"`
	Type             string           `json:"type,omitempty"` // stream or service
	ResponseType     string           `json:"response_type,omitempty"`
	Latency          *ServiceSampling `json:"service_latency,omitempty"`
	ApprovedAccounts []string         `json:"approved_accounts,omitempty"`
}

// ExtImport is one import: Subject in Account is LocalSubject here.
type ExtImport struct {
	Subject      string           `json:"subject,omitempty"`
	Account      string           `json:"account,omitempty"`
	To           string           `json:"to,omitempty"` // of services: LocalSubject
	LocalSubject string           `json:"local_subject,omitempty"`
	Type         string           `json:"type,omitempty"` // stream or service
	Invalid      bool             `json:"invalid"`
	Share        bool             `json:"share"`
	Tracking     bool             `json:"tracking"`
	Latency      *ServiceSampling `json:"latency,omitempty"`
}

// ExtResponse is the open way back of one service request. Its type is a number where
// that of imports is a word; tools expect it so.
type ExtResponse struct {
	Subject      string `json:"subject,omitempty"` // where the response goes
	Account      string `json:"account,omitempty"`
	To           string `json:"to,omitempty"`
	LocalSubject string `json:"local_subject,omitempty"`
	Type         int    `json:"type,omitempty"`
	Invalid      bool   `json:"invalid"`
	Share        bool   `json:"share"`
	Tracking     bool   `json:"tracking"`
}

// serviceType is the number of services among the types of exports.
const serviceType = 2

// ServiceSampling says how the latency of a service is measured.
type ServiceSampling struct {
	Sampling Sampling `json:"sampling"`
	Results  string   `json:"results"`
}

// Sampling is a percentage; 0 is what requests ask for in their headers.
type Sampling int

// MarshalJSON writes the number, or "headers".
func (s Sampling) MarshalJSON() ([]byte, error) {
	if s == 0 {
		return []byte(`"headers"`), nil
	}
	return json.Marshal(int(s))
}

func sampling(l *account.Latency) *ServiceSampling {
	if l == nil {
		return nil
	}
	return &ServiceSampling{Sampling(l.Sampling), l.Subject}
}

// Accountz lists the accounts by name, or describes the one that opts names.
func (m *Monitor) Accountz(opts *AccountzOptions) (*Accountz, error) {
	z := &Accountz{ID: m.id(), Now: m.now()}
	sys := m.c.Broker.SystemAccount()
	if sys != nil {
		z.SystemAccount = sys.Name
	}
	if opts == nil || opts.Account == "" {
		for _, a := range m.c.Broker.Accounts() {
			z.Accounts = append(z.Accounts, a.Name)
		}
		return z, nil
	}
	a := m.c.Broker.LookupAccount(opts.Account)
	if a == nil {
		//lint:ignore ST1005 the text is part of the interface
		return nil, fmt.Errorf("Account %s does not exist", opts.Account)
	}
	z.Account = m.accountInfo(a, a == sys)
	return z, nil
}

func (m *Monitor) accountInfo(a *account.Account, system bool) *AccountInfo {
	g := a.Graph()
	return &AccountInfo{
		AccountName: a.Name, LastUpdate: a.Updated(), IsSystem: system, Complete: true, JetStream: m.jetStreamEnabled(a.Name),
		LeafCnt: a.NumLeafNodes(), ClientCnt: m.connections(a), SubCnt: uint32(a.TotalSubs()),
		Mappings: mappings(g.Mappings), Exports: exports(g), Imports: imports(g),
		NameTag: a.Name, IssuerKey: a.Issuer,
		Sublist: sublistStats(a.Index().Stats()), Responses: responses(a),
	}
}

func exports(g *account.Graph) []ExtExport {
	var list []ExtExport
	for _, e := range g.ServiceExports {
		list = append(list, ExtExport{
			Subject: e.Subject, Type: "service", ResponseType: e.Response.String(), Latency: sampling(e.Latency),
			ApprovedAccounts: e.Accounts,
		})
	}
	for _, e := range g.StreamExports {
		list = append(list, ExtExport{Subject: e.Subject, Type: "stream", ApprovedAccounts: e.Accounts})
	}
	return list
}

func imports(g *account.Graph) []ExtImport {
	var list []ExtImport
	for _, i := range g.StreamImports {
		list = append(list, ExtImport{Subject: i.From, Account: i.Account.Name, LocalSubject: i.To, Type: "stream"})
	}
	for _, i := range g.ServiceImports {
		list = append(list, ExtImport{
			Subject: i.To, Account: i.Account.Name, To: i.From, LocalSubject: i.From, Type: "service",
			Share: i.Share, Latency: sampling(i.Export.Current().Latency),
		})
	}
	return list
}

func responses(a *account.Account) map[string]ExtResponse {
	open := a.Responses().List()
	if len(open) == 0 {
		return nil
	}
	all := make(map[string]ExtResponse, len(open))
	for _, r := range open {
		share := false
		if o := a.Responses().Lookup([]byte(r.Subject)); o != nil {
			share = o.Import.Share
		}
		all[r.Subject] = ExtResponse{
			Subject: r.Reply, Account: r.Requestor, To: r.Subject, LocalSubject: r.Subject, Type: serviceType, Share: share,
		}
	}
	return all
}

func mappings(maps *subject.Mappings) ExtMap {
	if maps == nil {
		return nil
	}
	all := make(ExtMap)
	for _, m := range maps.All() {
		all[m.Source()] = destinations(m)
	}
	return all
}

// destinations lists those of no cluster, then those of each: by weight, adding
// up, with what the weights leave to the source itself.
func destinations(m *subject.Mapping) []*MapDest {
	clusters := []string{""}
	drops := false
	for _, d := range m.Dests() {
		if !slices.Contains(clusters, d.Cluster) {
			clusters = append(clusters, d.Cluster)
		}
		drops = drops || d.Subject == m.Source()
	}
	slices.Sort(clusters)
	var list []*MapDest
	for _, c := range clusters {
		list = append(list, scope(m, c, drops)...)
	}
	return list
}

func scope(m *subject.Mapping, cluster string, drops bool) []*MapDest {
	var list []*MapDest
	left := 100
	for _, d := range m.Dests() {
		if d.Cluster == cluster {
			list = append(list, &MapDest{d.Subject, d.Weight, cluster})
			left -= int(d.Weight)
		}
	}
	if left > 0 && !drops {
		list = append(list, &MapDest{m.Source(), uint8(left), cluster})
	}
	slices.SortStableFunc(list, func(a, b *MapDest) int { return int(a.Weight) - int(b.Weight) })
	below := uint8(0)
	for _, d := range list {
		below += d.Weight
		d.Weight = below
	}
	return list
}

// sortedCopy is names in order, without empty ones.
func sortedCopy(names []string) []string {
	out := slices.DeleteFunc(slices.Clone(names), func(s string) bool { return strings.TrimSpace(s) == "" })
	slices.Sort(out)
	return slices.Compact(out)
}
