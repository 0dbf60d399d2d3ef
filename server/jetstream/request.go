package jetstream

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/subject"
)

// request is one API request on its way.
type request struct {
	api.Call
	m      *Manager
	t      *tenant
	reply  string
	header []byte
	body   []byte
	text   string // subject
	id     string // of its audit
	info   *account.ClientInfo
}

// wantsAPI keeps what streams answer by themselves away from the manager's sink.
func wantsAPI(subject []byte) bool {
	rest, ok := strings.CutPrefix(string(subject), api.Prefix)
	return ok && !strings.HasPrefix(rest, "CONSUMER.MSG.NEXT.") && !strings.HasPrefix(rest, "DIRECT.GET.")
}

// drain takes API requests off the sink.
func (m *Manager) drain(batches []*broker.Batch) {
	m.now = m.cfg.Clock.Now()
	flood := m.floods(batches)
	for _, b := range batches {
		for i := range b.Messages {
			if !flood.drops(b.Messages[i].Subject) {
				m.receive(b, &b.Messages[i])
			}
		}
		b.Release()
	}
	m.flush()
}

// receive serves one request. What of it is kept is copied.
func (m *Manager) receive(b *broker.Batch, a *broker.Arrival) {
	t := m.subs[a.Sub]
	if t == nil || m.stopped {
		return
	}
	call, ok := api.ParseCall(string(a.Subject))
	system := t.acc == m.cfg.Broker.SystemAccount()
	foreign := system && (!ok || !wantsAPI(a.Subject)) // nothing that the system account could ask for
	if !ok && !foreign {
		return
	}
	serve := handlers[call.Endpoint]
	if serve == nil && !foreign {
		return
	}
	if isMeta(call.Endpoint) && (m.cluster == nil || !system) {
		return // nobody serves it
	}
	r := &request{
		Call: call, m: m, t: t, text: string(a.Subject), reply: string(a.Reply),
		header: append([]byte(nil), a.Header...), body: append([]byte(nil), a.Data...), info: b.Info, id: m.newID(),
	}
	if call.Endpoint == api.EndpointServerRemove { // the system account's, in a cluster
		if system && m.cluster != nil && m.cluster.leads {
			serve(m, r)
		}
		return
	}
	if m.cluster != nil && !m.answers(r) {
		return
	}
	switch {
	case !api.LevelServed(r.header):
		r.fail(api.ErrRequiredApiLevel)
	case isMeta(call.Endpoint):
		serve(m, r)
	case foreign, system && call.Endpoint != api.EndpointAccountInfo && call.Account == "":
		r.respondWith(t.sender, api.Marshal(&api.ApiResponse{Type: "io.nats.jetstream.api.v1.system_response", Error: api.ErrNotEnabledForAccount}), true)
	case t.grant == nil && call.Account == "" && t.imports(a.Subject):
		// whoever exports it answers
	case t.grant == nil && call.Account == "":
		r.refuseAccount()
	case call.Account != "" && !system:
		// the system account's to ask; nothing answers others
	default:
		serve(m, r)
	}
}

// imports tells whether requests on a subject go to another account, by the account's own imports.
func (t *tenant) imports(subj []byte) bool {
	for _, im := range t.acc.Graph().ServiceImports {
		if subject.Matches(subj, im.From) {
			return true
		}
	}
	return false
}

// refuseAccount answers for an account without JetStream. Some requests are read before that is
// looked at, and resets are never answered.
func (r *request) refuseAccount() {
	var err *api.Error
	switch r.Endpoint {
	case api.EndpointConsumerReset:
		return
	case api.EndpointConsumerCreate, api.EndpointConsumerDurable:
		err = r.decode(&api.CreateConsumerRequest{})
	case api.EndpointConsumerUnpin:
		_, err = r.unpin()
	}
	if err == nil {
		err = api.ErrNotEnabledForAccount
	}
	r.fail(err)
}

// head is the beginning of a response.
func (r *request) head() api.ApiResponse { return r.Endpoint.Response() }

// respond answers on the manager's strand.
func (r *request) respond(v any) { r.respondBy(r.t.sender, v) }

// respondBy answers through the sender of the strand that it runs on.
func (r *request) respondBy(s *broker.Sender, v any) { r.respondWith(s, api.Marshal(v), false) }

// fail answers with an error.
func (r *request) fail(err *api.Error) { r.failBy(r.t.sender, err) }

func (r *request) failBy(s *broker.Sender, err *api.Error) {
	r.respondWith(s, r.Endpoint.Refusal(err), true)
}

// respondWith answers, counts and audits. Resets and successful gets leave no trace.
func (r *request) respondWith(s *broker.Sender, body []byte, failed bool) {
	if r.reply != "" {
		s.Publish([]byte(r.reply), nil, nil, body)
	}
	if r.Endpoint == api.EndpointConsumerReset || r.Endpoint == api.EndpointMsgGet && !failed {
		return
	}
	r.count(failed)
	r.audit(s, body)
}

// count is told of a request that was answered; the answer itself does not count it yet.
func (r *request) count(failed bool) {
	r.m.apiTotal.Add(1)
	r.t.apiTotal.Add(1)
	if failed {
		r.m.apiErrors.Add(1)
		r.t.apiErrors.Add(1)
	}
}

// decode reads a body that must be there.
func (r *request) decode(v any) *api.Error { return api.Decode(r.body, v, r.m.strict()) }

// decodeOptional reads a body that may be missing.
func (r *request) decodeOptional(v any) *api.Error {
	if !api.HasBody(r.body) {
		return nil
	}
	return r.decode(v)
}

// strict tells whether unknown fields are errors.
func (m *Manager) strict() bool { return !m.cfg.Options().NoJetStreamStrict }

// audit publishes the advisory of a request, if anybody listens.
func (r *request) audit(s *broker.Sender, response []byte) {
	const subject = "$JS.EVENT.ADVISORY.API"
	if !r.m.cfg.Broker.Interested(r.t.acc, subject, "") {
		return
	}
	s.Publish([]byte(subject), nil, nil, api.Marshal(r.auditOf(response)))
}

// advise publishes an advisory in the tenant's account, on the manager's strand.
func (t *tenant) advise(subject string, build func(id string, now time.Time) any) {
	if t.m.cfg.Broker.Interested(t.acc, subject, "") {
		t.sender.Publish([]byte(subject), nil, nil, api.Marshal(build(t.m.newID(), t.m.now.UTC())))
	}
}

// auditOf is the advisory of a request.
func (r *request) auditOf(response []byte) any {
	return api.NewAPIAudit(r.id, r.m.cfg.Clock.Now(), r.m.env.Server, r.client(), r.text, r.body, response, r.m.env.Domain)
}

// client is who sent the request, as advisories show it. Who asked through an import is as much as
// the import tells, and the account that exports.
func (r *request) client() any {
	told := api.HeaderValue(r.header, account.RequestInfoHeader)
	if len(told) == 0 || r.info != nil && r.info.Account == r.t.name { // of no boundary, whatever a client says
		return clientOf(r.info)
	}
	var c struct {
		account.ClientInfo
		Acc    string        `json:"acc"`
		Ver    string        `json:"ver"`
		Client string        `json:"client_type"`
		RTT    time.Duration `json:"rtt"`
	}
	if json.Unmarshal(told, &c) != nil {
		return nil
	}
	info := c.ClientInfo
	info.Account, info.Version, info.ClientType, info.RTT = c.Acc, c.Ver, c.Client, c.RTT
	info.Service, info.Server, info.JWT = r.t.name, r.m.env.Server, ""
	return clientOf(&info)
}

// clientOf is who sent a request, as advisories show it.
func clientOf(info *account.ClientInfo) any {
	if info == nil {
		return nil
	}
	return json.RawMessage(account.AppendRequestInfo(nil, *info))
}

// flush hands over what was sent in this task.
func (m *Manager) flush() {
	for _, t := range m.order {
		t.sender.Flush()
	}
}
