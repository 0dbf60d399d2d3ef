package monitor

import (
	"fmt"
	"strconv"
	"strings"
)

// query reads the parameters of a request. The first that cannot be read is kept
// as the error; the others then read as left out.
type query struct {
	get func(name string) string
	err error
}

func (q *query) fail(kind, name string, err error) {
	if q.err == nil {
		//lint:ignore ST1005 the text is part of the interface
		q.err = fmt.Errorf("Error decoding %s for '%s': %v", kind, name, err)
	}
}

// boolean is false when the parameter is left out.
func (q *query) boolean(name string) bool {
	text := q.get(name)
	if text == "" {
		return false
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		q.fail("boolean", name, err)
	}
	return b
}

// detail reads a parameter that is a boolean or the word "detail".
func (q *query) detail(name string) (list, detail bool) {
	if strings.EqualFold(q.get(name), "detail") {
		return true, true
	}
	return q.boolean(name), false
}

// integer is 0 when the parameter is left out.
func (q *query) integer(name string) int {
	text := q.get(name)
	if text == "" {
		return 0
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		q.fail("int", name, err)
	}
	return n
}

// id is 0 when the parameter is left out.
func (q *query) id(name string) uint64 {
	text := q.get(name)
	if text == "" {
		return 0
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		q.fail("uint64", name, err)
	}
	return n
}

// state reads the parameter "state".
func (q *query) state() ConnState {
	switch text := q.get("state"); strings.ToLower(text) {
	case "", "open":
		return ConnOpen
	case "closed":
		return ConnClosed
	case "any", "all":
		return ConnAll
	default:
		if q.err == nil {
			//lint:ignore ST1005 the text is part of the interface
			q.err = fmt.Errorf("Error decoding state for %s", text)
		}
		return ConnOpen
	}
}

// endpoint answers the parameters of a request with what becomes JSON.
type endpoint struct {
	path   string
	label  string // on the index page; "" is not listed
	answer func(m *Monitor, q *query) (any, error)
}

// endpoints are the paths that answer in JSON, in the order of the index page.
var endpoints = []endpoint{
	{"/varz", "General", func(m *Monitor, _ *query) (any, error) { return m.Varz(nil) }},
	{"/jsz", "JetStream", jszEndpoint},
	{"/connz", "Connections", connzEndpoint},
	{"/accountz", "Accounts", func(m *Monitor, q *query) (any, error) {
		return m.Accountz(&AccountzOptions{Account: q.get("acc")})
	}},
	{"/accstatz", "Account Stats", accstatzEndpoint},
	{"/subsz", "Subscriptions", subszEndpoint},
	{"/subscriptionsz", "", subszEndpoint},
	{"/routez", "Routes", routezEndpoint},
	{"/leafz", "LeafNodes", leafzEndpoint},
	{"/gatewayz", "Gateways", gatewayzEndpoint},
	{"/healthz", "Health Probe", healthzEndpoint},
}

func connzEndpoint(m *Monitor, q *query) (any, error) {
	o := &ConnzOptions{Sort: SortOpt(q.get("sort")), Username: q.boolean("auth")}
	o.Subscriptions, o.SubscriptionsDetail = q.detail("subs")
	o.Offset, o.Limit, o.CID, o.State = q.integer("offset"), q.integer("limit"), q.id("cid"), q.state()
	o.User, o.Account, o.MQTTClient = q.get("user"), q.get("acc"), q.get("mqtt_client")
	if q.err != nil {
		return nil, q.err
	}
	return m.Connz(o)
}

func jszEndpoint(m *Monitor, q *query) (any, error) {
	o := &JSzOptions{
		Account: q.get("acc"), Accounts: q.boolean("accounts"), Streams: q.boolean("streams"),
		Consumer: q.boolean("consumers"), DirectConsumer: q.boolean("direct-consumers"), Config: q.boolean("config"),
		Offset: q.integer("offset"), Limit: q.integer("limit"), LeaderOnly: q.boolean("leader-only"),
		RaftGroups: q.boolean("raft"), StreamLeaderOnly: q.boolean("stream-leader-only"),
	}
	if q.err != nil {
		return nil, q.err
	}
	return m.Jsz(o)
}

func accstatzEndpoint(m *Monitor, q *query) (any, error) {
	o := &AccountStatzOptions{IncludeUnused: q.boolean("unused")}
	if q.err != nil {
		return nil, q.err
	}
	return m.AccountStatz(o)
}

func subszEndpoint(m *Monitor, q *query) (any, error) {
	o := &SubszOptions{
		Subscriptions: q.boolean("subs"), Offset: q.integer("offset"), Limit: q.integer("limit"),
		Test: q.get("test"), Account: q.get("acc"),
	}
	if q.err != nil {
		return nil, q.err
	}
	return m.Subsz(o)
}

func routezEndpoint(m *Monitor, q *query) (any, error) {
	o := &RoutezOptions{}
	o.Subscriptions, o.SubscriptionsDetail = q.detail("subs")
	if q.err != nil {
		return nil, q.err
	}
	return m.Routez(o)
}

func leafzEndpoint(m *Monitor, q *query) (any, error) {
	o := &LeafzOptions{Subscriptions: q.boolean("subs"), Account: q.get("acc")}
	if q.err != nil {
		return nil, q.err
	}
	return m.Leafz(o)
}

func gatewayzEndpoint(m *Monitor, q *query) (any, error) {
	o := &GatewayzOptions{Name: q.get("gw_name"), AccountName: q.get("acc_name"), Accounts: q.boolean("accs")}
	o.AccountSubscriptions, o.AccountSubscriptionsDetail = q.detail("subs")
	if q.err != nil {
		return nil, q.err
	}
	return m.Gatewayz(o)
}

func healthzEndpoint(m *Monitor, q *query) (any, error) {
	o := &HealthzOptions{
		JSEnabled: q.boolean("js-enabled"), JSEnabledOnly: q.boolean("js-enabled-only"),
		JSServerOnly: q.boolean("js-server-only"), JSMetaOnly: q.boolean("js-meta-only"),
		Account: q.get("account"), Stream: q.get("stream"), Consumer: q.get("consumer"), Details: q.boolean("details"),
	}
	if q.err != nil {
		return nil, q.err
	}
	return m.Healthz(o), nil
}
