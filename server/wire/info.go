package wire

import (
	"encoding/json"
	"fmt"
)

// Info is what a server says about itself to a client. The order of the fields is
// the order of the keys on the wire.
type Info struct {
	ServerID        string   `json:"server_id"`
	ServerName      string   `json:"server_name"`
	Version         string   `json:"version"`
	Proto           int      `json:"proto"`
	GitCommit       string   `json:"git_commit,omitempty"`
	GoVersion       string   `json:"go"`
	Host            string   `json:"host"`
	Port            int      `json:"port"`
	Headers         bool     `json:"headers"`
	AuthRequired    bool     `json:"auth_required,omitempty"`
	TLSRequired     bool     `json:"tls_required,omitempty"`
	TLSVerify       bool     `json:"tls_verify,omitempty"`
	TLSAvailable    bool     `json:"tls_available,omitempty"`
	MaxPayload      int64    `json:"max_payload"` // bytes; -1: no limit
	JetStream       bool     `json:"jetstream,omitempty"`
	ClientID        uint64   `json:"client_id"`
	ClientIP        string   `json:"client_ip,omitempty"`
	Nonce           string   `json:"nonce,omitempty"`
	Cluster         string   `json:"cluster,omitempty"`
	Domain          string   `json:"domain,omitempty"`
	ConnectURLs     []string `json:"connect_urls,omitempty"` // host:port, this server's first
	LameDuck        bool     `json:"ldm,omitempty"`
	ConnectInfo     bool     `json:"connect_info,omitempty"` // this INFO answers CONNECT
	RemoteAccount   string   `json:"remote_account,omitempty"`
	IsSystemAccount bool     `json:"acc_is_sys,omitempty"`
	APILevel        int      `json:"api_lvl"`
	XKey            string   `json:"xkey,omitempty"`

	LockstepVersion string `json:"lockstep_version,omitempty"`
}

// AppendInfo appends an INFO line. One blank precedes its CRLF.
func AppendInfo(dst []byte, info *Info) []byte {
	arg, err := json.Marshal(info)
	if err != nil {
		panic("wire: INFO of strings and numbers does not marshal: " + err.Error())
	}
	dst = append(dst, "INFO "...)
	dst = append(dst, arg...)
	return append(dst, " \r\n"...)
}

// ParseInfo reads the JSON of an INFO. Unknown keys are ignored; a value of the
// wrong type is an error.
func ParseInfo(arg []byte) (Info, error) {
	var info Info
	if err := json.Unmarshal(arg, &info); err != nil {
		return Info{}, fmt.Errorf("INFO: %w", err)
	}
	return info, nil
}
