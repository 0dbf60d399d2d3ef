package monitor

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// HealthzOptions says what is judged.
type HealthzOptions struct {
	// Deprecated: use JSEnabledOnly.
	JSEnabled     bool   `json:"js-enabled,omitempty"`
	JSEnabledOnly bool   `json:"js-enabled-only,omitempty"`
	JSServerOnly  bool   `json:"js-server-only,omitempty"`
	JSMetaOnly    bool   `json:"js-meta-only,omitempty"`
	Account       string `json:"account,omitempty"`
	Stream        string `json:"stream,omitempty"`
	Consumer      string `json:"consumer,omitempty"`
	Details       bool   `json:"details,omitempty"` // all problems, not the first
}

// HealthStatus tells whether the server is fit for work. Over HTTP the code is the
// response's.
type HealthStatus struct {
	Status     string         `json:"status"` // ok, error or unavailable
	StatusCode int            `json:"status_code,omitempty"`
	Error      string         `json:"error,omitempty"`
	Errors     []HealthzError `json:"errors,omitempty"`
}

// HealthzError is one problem.
type HealthzError struct {
	Type     HealthZErrorType `json:"type"`
	Account  string           `json:"account,omitempty"`
	Stream   string           `json:"stream,omitempty"`
	Consumer string           `json:"consumer,omitempty"`
	Error    string           `json:"error,omitempty"`
}

// HealthZErrorType says what a problem concerns.
type HealthZErrorType int

// The types.
const (
	HealthzErrorConn HealthZErrorType = iota
	HealthzErrorBadRequest
	HealthzErrorJetStream
	HealthzErrorAccount
	HealthzErrorStream
	HealthzErrorConsumer
)

var healthzErrorNames = [...]string{"CONNECTION", "BAD_REQUEST", "JETSTREAM", "ACCOUNT", "STREAM", "CONSUMER"}

// String is the name in answers.
func (t HealthZErrorType) String() string {
	if t < 0 || int(t) >= len(healthzErrorNames) {
		return "unknown"
	}
	return healthzErrorNames[t]
}

// MarshalJSON writes the name.
func (t HealthZErrorType) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// UnmarshalJSON reads a name.
func (t *HealthZErrorType) UnmarshalJSON(text []byte) error {
	var name string
	if err := json.Unmarshal(text, &name); err != nil {
		return err
	}
	for i, n := range healthzErrorNames {
		if n == name {
			*t = HealthZErrorType(i)
			return nil
		}
	}
	return fmt.Errorf("unknown healthz error type %q", name)
}

// AskHealthz judges the server: whether the question makes sense, whether all
// listeners are up, and whether JetStream has what it should. It calls done once, on any
// strand and possibly before it returns.
func (m *Monitor) AskHealthz(opts *HealthzOptions, done func(*HealthStatus)) {
	o := HealthzOptions{}
	if opts != nil {
		o = *opts
	}
	bad := func(code int, t HealthZErrorType, text string) {
		done(m.verdict(&o, code, "error", []HealthzError{{Type: t, Error: text}}))
	}
	switch {
	case o.Stream != "" && o.Account == "":
		bad(400, HealthzErrorBadRequest, `"account" must not be empty when checking stream health`)
	case o.Consumer != "" && o.Stream == "":
		bad(400, HealthzErrorBadRequest, `"stream" must not be empty when checking consumer health`)
	case m.c.Listening() != nil:
		bad(500, HealthzErrorConn, "failed to be ready for connections after 1ms: server")
	case o.JSServerOnly || !m.c.Options().JetStream:
		done(m.verdict(&o, 200, "", nil))
	default:
		m.askJetStreamHealth(&o, done)
	}
}

// askJetStreamHealth judges JetStream, or the one asset that o names.
func (m *Monitor) askJetStreamHealth(o *HealthzOptions, done func(*HealthStatus)) {
	src, _ := m.source()
	switch {
	case src == nil:
		done(m.verdict(o, 503, "unavailable", []HealthzError{{Type: HealthzErrorJetStream, Error: notEnabled}}))
		return
	case o.JSEnabled || o.JSEnabledOnly:
		done(m.verdict(o, 200, "", nil))
		return
	case o.Account != "" && !has(src, o.Account):
		done(m.verdict(o, 404, "unavailable", []HealthzError{{
			Type: HealthzErrorAccount, Account: o.Account, Error: fmt.Sprintf("JetStream account %q not found", o.Account),
		}}))
		return
	}
	src.JetStreamCluster(func(c *JetStreamCluster) { m.judgeJetStream(src, c, o, done) })
}

// judgeJetStream goes on with what is known of the cluster, nil for a server alone.
func (m *Monitor) judgeJetStream(src JetStreamSource, c *JetStreamCluster, o *HealthzOptions, done func(*HealthStatus)) {
	judge := func() {
		problems := o.concerned(src.JetStreamProblems())
		if c != nil {
			problems = append(problems, c.judge(o)...)
		}
		done(m.verdict(o, 503, "unavailable", problems))
	}
	if o.Stream == "" {
		judge()
		return
	}
	q := JetStreamQuery{Accounts: []string{o.Account}, Stream: o.Stream, Streams: true, Consumers: o.Consumer != "", Direct: true}
	src.JetStreamGather(q, func(accounts []*AccountDetail) {
		if missing := o.missing(accounts); missing != nil {
			done(m.verdict(o, 404, "unavailable", []HealthzError{*missing}))
			return
		}
		judge()
	})
}

// notEnabled: JetStream is configured, and does not run.
const notEnabled = "JetStream not enabled (10076)"

// missing is what is wrong when the stream or consumer that o names is not among
// what was gathered.
func (o *HealthzOptions) missing(accounts []*AccountDetail) *HealthzError {
	for _, a := range accounts {
		for _, s := range a.Streams {
			if s.Name == o.Stream && (o.Consumer == "" || hasConsumer(&s, o.Consumer)) {
				return nil
			}
			if s.Name == o.Stream {
				return &HealthzError{
					Type: HealthzErrorConsumer, Account: o.Account, Stream: o.Stream, Consumer: o.Consumer,
					Error: fmt.Sprintf("JetStream consumer %q not found for stream %q on account %q", o.Consumer, o.Stream, o.Account),
				}
			}
		}
	}
	return &HealthzError{
		Type: HealthzErrorStream, Account: o.Account, Stream: o.Stream,
		Error: fmt.Sprintf("JetStream stream %q not found on account %q", o.Stream, o.Account),
	}
}

func hasConsumer(s *StreamDetail, name string) bool {
	called := func(c *api.ConsumerInfo) bool { return c.Name == name }
	return slices.ContainsFunc(s.Consumer, called) || slices.ContainsFunc(s.DirectConsumer, called)
}

// concerned are the problems of what o asks about.
func (o *HealthzOptions) concerned(problems []HealthzError) []HealthzError {
	var list []HealthzError
	for _, p := range problems {
		if o.Account != "" && p.Account != "" && p.Account != o.Account || o.Stream != "" && p.Stream != "" && p.Stream != o.Stream {
			continue
		}
		list = append(list, p)
	}
	return list
}

// verdict says in the answer and in the log what is wrong, if anything.
func (m *Monitor) verdict(o *HealthzOptions, code int, status string, problems []HealthzError) *HealthStatus {
	if len(problems) == 0 {
		return &HealthStatus{Status: "ok", StatusCode: 200}
	}
	if o.Details {
		m.warn("Healthcheck failed: %d errors", len(problems))
		return &HealthStatus{Status: "error", StatusCode: code, Errors: problems}
	}
	m.warn("Healthcheck failed: %q", problems[0].Error)
	return &HealthStatus{Status: status, StatusCode: code, Error: problems[0].Error}
}

func (m *Monitor) warn(format string, v ...any) {
	if m.c.Warnf != nil {
		m.c.Warnf(format, v...)
	}
}
