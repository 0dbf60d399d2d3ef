package wire

import (
	"encoding/json"
	"errors"
	"fmt"
)

// Connect is what a client says about itself.
type Connect struct {
	Verbose      bool   `json:"verbose"`
	Pedantic     bool   `json:"pedantic"`
	Echo         bool   `json:"echo"`
	TLSRequired  bool   `json:"tls_required,omitempty"`
	Name         string `json:"name,omitempty"`
	Lang         string `json:"lang,omitempty"`
	Version      string `json:"version,omitempty"`
	Protocol     int    `json:"protocol"`
	Headers      bool   `json:"headers,omitempty"`
	NoResponders bool   `json:"no_responders,omitempty"`

	Username string `json:"user,omitempty"`
	Password string `json:"pass,omitempty"`
	Token    string `json:"auth_token,omitempty"`
	Nkey     string `json:"nkey,omitempty"` // public key
	Sig      string `json:"sig,omitempty"`  // signature over the nonce, base64
	JWT      string `json:"jwt,omitempty"`
	ProxySig string `json:"proxy_sig,omitempty"`

	// A client that sets one of these two is refused.
	Account    string `json:"account,omitempty"`
	AccountNew bool   `json:"new_account,omitempty"`

	// Leafnodes and routes only.
	Import        json.RawMessage `json:"import,omitempty"` // {"allow":[...],"deny":[...]}
	Export        json.RawMessage `json:"export,omitempty"`
	RemoteAccount string          `json:"remote_account,omitempty"`
}

// DefaultConnect is what holds for a client that has not sent CONNECT, and for the
// keys it leaves out: verbose, pedantic and with echo.
func DefaultConnect() Connect { return Connect{Verbose: true, Pedantic: true, Echo: true} }

// Merge reads the JSON of a CONNECT over the values c has. Keys match without case
// and unknown ones are ignored; a value of the wrong type is an error, which never
// quotes a value. After an error c must not be used.
func (c *Connect) Merge(arg []byte) error {
	if err := json.Unmarshal(arg, c); err != nil {
		return connectError(err)
	}
	if !isLists(c.Import) || !isLists(c.Export) {
		return errors.New("CONNECT: keys import and export want an object with lists allow and deny")
	}
	return nil
}

func isLists(raw json.RawMessage) bool {
	var lists struct{ Allow, Deny []string }
	return len(raw) == 0 || json.Unmarshal(raw, &lists) == nil
}

func connectError(err error) error {
	var wrong *json.UnmarshalTypeError
	switch {
	case !errors.As(err, &wrong):
		return fmt.Errorf("CONNECT: bad JSON: %w", err)
	case wrong.Field == "":
		return errors.New("CONNECT: wants a JSON object")
	}
	return fmt.Errorf("CONNECT: key %q wants a value of type %v", wrong.Field, wrong.Type)
}
