// Package perm owns permissions: the lists that configuration and tokens state,
// and their compiled form that connections ask on the message path.
//
// A compiled [Set] is immutable and may be shared by any number of strands. What
// changes per connection (response permits, caches) lives with the connection.
package perm

import "time"

// Permissions are what a user may publish and subscribe to. Nil lists allow everything.
type Permissions struct {
	Publish   *SubjectPermission  `json:"publish"`
	Subscribe *SubjectPermission  `json:"subscribe"`
	Response  *ResponsePermission `json:"responses,omitempty"`
}

// SubjectPermission has subjects allowed and denied; deny wins. Subscribe entries
// may be "subject queue".
type SubjectPermission struct {
	Allow []string `json:"allow,omitempty"`
	Deny  []string `json:"deny,omitempty"`
}

// ResponsePermission lets a client answer requests it received: up to MaxMsgs
// publishes (0: 1; negative: any number) within Expires (0: 2 minutes; negative: ever).
type ResponsePermission struct {
	MaxMsgs int           `json:"max"`
	Expires time.Duration `json:"ttl"`
}
