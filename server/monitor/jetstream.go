package monitor

import (
	"errors"
	"slices"
	"time"

	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// JetStreamSource is JetStream as monitoring sees it. Its methods may be called from
// anywhere, strands included, and never wait.
type JetStreamSource interface {
	// JetStreamConfig is what JetStream runs with; nil when it does not run.
	JetStreamConfig() *JetStreamConfig
	// JetStreamTotals counts what the server holds and was asked.
	JetStreamTotals() JetStreamTotals
	// JetStreamAccounts are the names of the accounts that have JetStream, sorted.
	JetStreamAccounts() []string
	// JetStreamProblems are what could not be recovered or written; none when all is
	// well.
	JetStreamProblems() []HealthzError
	// JetStreamCluster calls done once, on any strand and possibly before it returns, with what this server knows of
	// the cluster; nil when it is alone.
	JetStreamCluster(done func(*JetStreamCluster))
	// JetStreamGather calls done once, on any strand and possibly before it returns,
	// with what q asks for. Accounts are in the order of q, streams and consumers by
	// name; what does not exist is left out.
	JetStreamGather(q JetStreamQuery, done func([]*AccountDetail))
}

// JetStreamQuery says what is gathered.
type JetStreamQuery struct {
	Accounts []string
	Stream   string // this one alone, unless ""
	// Streams fills in the streams of each account, Consumers the consumers of each
	// stream, Direct also those that serve mirrors and sources. Config is whether the
	// configurations of both are filled in.
	Streams, Consumers, Direct, Config bool
	// RaftGroups names the groups of streams and consumers.
	RaftGroups bool
}

// JetStreamConfig is what JetStream runs with. The maxima are bytes.
type JetStreamConfig struct {
	MaxMemory    int64         `json:"max_memory"`
	MaxStore     int64         `json:"max_storage"`
	StoreDir     string        `json:"store_dir,omitempty"`
	SyncInterval time.Duration `json:"sync_interval,omitempty"`
	SyncAlways   bool          `json:"sync_always,omitempty"`
	Domain       string        `json:"domain,omitempty"`
	CompressOK   bool          `json:"compress_ok,omitempty"`
	UniqueTag    string        `json:"unique_tag,omitempty"`
	Strict       bool          `json:"strict,omitempty"`
}

// NewJetStreamConfig is what o says, with the maxima and the directory in force.
func NewJetStreamConfig(o *config.Options, maxMemory, maxStore int64, dir string) *JetStreamConfig {
	c := &JetStreamConfig{
		MaxMemory: maxMemory, MaxStore: maxStore, StoreDir: dir, SyncInterval: o.SyncInterval,
		SyncAlways: o.FlushBeforeAck(), Domain: o.JetStreamDomain, UniqueTag: o.JetStreamUniqueTag,
		Strict: !o.NoJetStreamStrict, CompressOK: o.JetStreamMaxMemory > 0 && o.JetStreamMaxStore > 0,
	}
	if c.SyncAlways {
		c.SyncInterval = config.DefaultSyncInterval // shown, and of no effect
	}
	return c
}

// JetStreamStats are what the server, or an account, uses and has reserved, in bytes.
// What an account has reserved are its limits.
type JetStreamStats struct {
	Memory         uint64                `json:"memory"`
	Store          uint64                `json:"storage"`
	ReservedMemory uint64                `json:"reserved_memory"`
	ReservedStore  uint64                `json:"reserved_storage"`
	Accounts       int                   `json:"accounts"`
	HAAssets       int                   `json:"ha_assets"`
	API            api.JetStreamAPIStats `json:"api"`
}

// JetStreamTotals are the server's stats, and counts over all accounts. Of the
// streams and consumers here, the leader ones are led here.
type JetStreamTotals struct {
	JetStreamStats
	Streams, StreamsLeader     int
	Consumers, ConsumersLeader int
	Messages, Bytes            uint64
}

// JSzOptions says what is wanted of JetStream.
type JSzOptions struct {
	Account          string `json:"account,omitempty"` // this one alone, in detail
	Accounts         bool   `json:"accounts,omitempty"`
	Streams          bool   `json:"streams,omitempty"`
	Consumer         bool   `json:"consumer,omitempty"`
	DirectConsumer   bool   `json:"direct_consumer,omitempty"` // with Consumer
	Config           bool   `json:"config,omitempty"`          // of streams and consumers
	LeaderOnly       bool   `json:"leader_only,omitempty"`     // only the meta leader answers
	Offset           int    `json:"offset,omitempty"`
	Limit            int    `json:"limit,omitempty"` // accounts
	RaftGroups       bool   `json:"raft,omitempty"`
	StreamLeaderOnly bool   `json:"stream_leader_only,omitempty"` // streams led here
}

// JSInfo is the state of JetStream on this server.
type JSInfo struct {
	JetStreamStats
	ID              string              `json:"server_id"`
	Now             time.Time           `json:"now"`
	Disabled        bool                `json:"disabled,omitempty"`
	Config          JetStreamConfig     `json:"config"`
	Limits          *config.JSLimitOpts `json:"limits,omitempty"`
	Streams         int                 `json:"streams"`
	StreamsLeader   int                 `json:"streams_leader,omitempty"`
	Consumers       int                 `json:"consumers"`
	ConsumersLeader int                 `json:"consumers_leader,omitempty"`
	Messages        uint64              `json:"messages"`
	Bytes           uint64              `json:"bytes"`
	Meta            *MetaClusterInfo    `json:"meta_cluster,omitempty"`
	AccountDetails  []*AccountDetail    `json:"account_details,omitempty"`
	Total           int                 `json:"total"` // accounts that have JetStream
}

// AccountDetail is JetStream of an account.
type AccountDetail struct {
	Name string `json:"name"`
	Id   string `json:"id"`
	JetStreamStats
	Streams []StreamDetail `json:"stream_detail,omitempty"`
}

// StreamDetail is one stream. RaftGroup and ConsumerGroups are empty on a server alone.
type StreamDetail struct {
	Name           string                  `json:"name"`
	Created        time.Time               `json:"created"`
	Cluster        *api.ClusterInfo        `json:"cluster,omitempty"`
	Config         *api.StreamConfig       `json:"config,omitempty"`
	State          api.StreamState         `json:"state"`
	Consumer       []*api.ConsumerInfo     `json:"consumer_detail,omitempty"`
	DirectConsumer []*api.ConsumerInfo     `json:"direct_consumer_detail,omitempty"`
	Mirror         *api.StreamSourceInfo   `json:"mirror,omitempty"`
	Sources        []*api.StreamSourceInfo `json:"sources,omitempty"`
	RaftGroup      string                  `json:"stream_raft_group,omitempty"`
	ConsumerGroups []*RaftGroupDetail      `json:"consumer_raft_groups,omitempty"`
}

// errNotLeader: the meta leader alone was asked, and is not here.
var errNotLeader = errors.New("filtered response: not leader")

// accountsMax is how many accounts an answer has unless asked otherwise.
const accountsMax = 1024

// source is JetStream with what it runs with; nil when it does not run.
func (m *Monitor) source() (JetStreamSource, *JetStreamConfig) {
	if m.c.JetStream == nil {
		return nil, nil
	}
	src := m.c.JetStream()
	if src == nil {
		return nil, nil
	}
	if c := src.JetStreamConfig(); c != nil {
		return src, c
	}
	return nil, nil
}

// jetStreamEnabled tells whether an account has JetStream.
func (m *Monitor) jetStreamEnabled(account string) bool {
	src, _ := m.source()
	return src != nil && has(src, account)
}

func has(src JetStreamSource, account string) bool {
	_, found := slices.BinarySearch(src.JetStreamAccounts(), account)
	return found
}

// limits are those that are configured.
func (m *Monitor) limits() *config.JSLimitOpts {
	l := m.c.Options().JetStreamLimits
	return &l
}

// AskJsz describes JetStream. It calls done once, on any strand and possibly before it
// returns.
func (m *Monitor) AskJsz(opts *JSzOptions, done func(*JSInfo, error)) {
	o := JSzOptions{}
	if opts != nil {
		o = *opts
	}
	src, c := m.source()
	if src == nil {
		if o.LeaderOnly {
			done(nil, errNotLeader)
			return
		}
		done(&JSInfo{ID: m.id(), Now: m.now(), Disabled: true}, nil)
		return
	}
	src.JetStreamCluster(func(cl *JetStreamCluster) { m.describe(src, c, cl, &o, done) })
}

// describe goes on with what is known of the cluster, nil for a server alone.
func (m *Monitor) describe(src JetStreamSource, c *JetStreamConfig, cl *JetStreamCluster, o *JSzOptions, done func(*JSInfo, error)) {
	if o.LeaderOnly && cl != nil && !cl.Leads {
		done(nil, errNotLeader)
		return
	}
	t := src.JetStreamTotals()
	if cl != nil {
		t.HAAssets, t.StreamsLeader, t.ConsumersLeader = cl.HAAssets, cl.StreamsLeader, cl.ConsumersLeader
	}
	z := &JSInfo{
		JetStreamStats: t.JetStreamStats, ID: m.id(), Now: m.now(), Config: *c, Limits: m.limits(),
		Streams: t.Streams, Consumers: t.Consumers, Messages: t.Messages, Bytes: t.Bytes,
	}
	if o.RaftGroups {
		z.StreamsLeader, z.ConsumersLeader = t.StreamsLeader, t.ConsumersLeader
	}
	if cl != nil {
		z.Meta = cl.Meta
	}
	names := src.JetStreamAccounts()
	z.Total = len(names)
	q := o.query(names)
	if len(q.Accounts) == 0 {
		done(z, nil)
		return
	}
	src.JetStreamGather(q, func(accounts []*AccountDetail) {
		z.AccountDetails = accounts
		o.trim(accounts, m.c.Broker.Identity().ServerName)
		done(z, nil)
	})
}

// query is what to gather for o, of the accounts that there are.
func (o *JSzOptions) query(names []string) JetStreamQuery {
	q := JetStreamQuery{
		Streams: o.Streams || o.Consumer, Consumers: o.Consumer, Direct: o.Consumer && o.DirectConsumer, Config: o.Config, RaftGroups: o.RaftGroups,
	}
	switch {
	case o.Account != "":
		if _, found := slices.BinarySearch(names, o.Account); found {
			q.Accounts = []string{o.Account}
		}
	case o.Accounts || q.Streams:
		offset, limit := paging(o.Offset, o.Limit, accountsMax)
		from, to := window(len(names), offset, limit)
		q.Accounts = names[from:to]
	}
	return q
}

// trim drops the streams that another server leads, if asked to.
func (o *JSzOptions) trim(accounts []*AccountDetail, server string) {
	if !o.StreamLeaderOnly {
		return
	}
	for _, a := range accounts {
		a.Streams = slices.DeleteFunc(a.Streams, func(s StreamDetail) bool {
			return s.Cluster != nil && s.Cluster.Leader != "" && s.Cluster.Leader != server
		})
	}
}
