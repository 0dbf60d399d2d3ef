package monitor

import (
	"encoding/json"
	"fmt"
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

// Healthz judges the server: whether the question makes sense, then whether all
// listeners are up. Without JetStream there is nothing more to judge.
func (m *Monitor) Healthz(opts *HealthzOptions) *HealthStatus {
	o := HealthzOptions{}
	if opts != nil {
		o = *opts
	}
	switch {
	case o.Stream != "" && o.Account == "":
		return m.problem(&o, 400, HealthzErrorBadRequest, `"account" must not be empty when checking stream health`)
	case o.Consumer != "" && o.Stream == "":
		return m.problem(&o, 400, HealthzErrorBadRequest, `"stream" must not be empty when checking consumer health`)
	case m.c.Listening() != nil:
		return m.problem(&o, 500, HealthzErrorConn, "failed to be ready for connections after 1ms: server")
	}
	return &HealthStatus{Status: "ok", StatusCode: 200}
}

// problem says in the answer and in the log what is wrong.
func (m *Monitor) problem(o *HealthzOptions, code int, t HealthZErrorType, text string) *HealthStatus {
	s := &HealthStatus{Status: "error", StatusCode: code}
	if o.Details {
		s.Errors = []HealthzError{{Type: t, Error: text}}
		m.warn("Healthcheck failed: %d errors", len(s.Errors))
		return s
	}
	s.Error = text
	m.warn("Healthcheck failed: %q", text)
	return s
}

func (m *Monitor) warn(format string, v ...any) {
	if m.c.Warnf != nil {
		m.c.Warnf(format, v...)
	}
}
