package config

import (
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/config/lang"
	"github.com/lockstepmq/lockstep/server/perm"
	"github.com/lockstepmq/lockstep/server/subject"
)

// What allow_responses grants when it does not say.
const (
	defaultResponsesMax = 1
	defaultResponsesTTL = 2 * time.Minute
)

// permissions reads a permissions block; nil when it could not.
func (d *decoder) permissions(v *lang.Value) *perm.Permissions {
	m, ok := v.Data.(*lang.Map)
	if !ok {
		d.add(v.Pos, "Expected permissions to be a map/struct, got %v", v.Plain())
		return nil
	}
	before := len(d.errs)
	out := &perm.Permissions{}
	for _, pair := range m.Pairs() {
		at := pair.Value.Pos
		switch key := strings.ToLower(pair.Key); key {
		case "pub", "publish", "import":
			out.Publish = d.subjectPermission(pair.Value, false)
		case "sub", "subscribe", "export":
			out.Subscribe = d.subjectPermission(pair.Value, true)
		case "publish_allow_responses", "allow_responses":
			out.Response = d.responsePermission(pair.Value)
		default:
			if !pair.Value.Used {
				d.add(at, "Unknown field %q parsing permissions", pair.Key)
			}
		}
	}
	if len(d.errs) > before {
		return nil
	}
	return out
}

// subjectPermission reads what may be published or subscribed to: a subject, a list
// (both allow), or a map of allow and deny.
func (d *decoder) subjectPermission(v *lang.Value, queues bool) *perm.SubjectPermission {
	m, ok := v.Data.(*lang.Map)
	if !ok {
		return &perm.SubjectPermission{Allow: d.permittedSubjects(v, queues, d.addBare)}
	}
	out := &perm.SubjectPermission{}
	for _, pair := range m.Pairs() {
		at := pair.Value.Pos
		placed := func(format string, args ...any) { d.add(at, format, args...) }
		switch strings.ToLower(pair.Key) {
		case "allow":
			out.Allow = d.permittedSubjects(pair.Value, queues, placed)
		case "deny":
			out.Deny = d.permittedSubjects(pair.Value, queues, placed)
		default:
			if !pair.Value.Used {
				d.add(at, "Unknown field name %q parsing subject permissions, only 'allow' or 'deny' are permitted", pair.Key)
			}
		}
	}
	return out
}

// permittedSubjects reads one subject or a list; complain takes what is wrong.
func (d *decoder) permittedSubjects(v *lang.Value, queues bool, complain func(string, ...any)) []string {
	out := []string{}
	switch data := v.Data.(type) {
	case string:
		out = append(out, data)
	case []*lang.Value:
		for _, e := range data {
			s, ok := e.Data.(string)
			if !ok {
				d.add(e.Pos, "Subject in permissions array cannot be cast to string")
				return nil
			}
			out = append(out, s)
		}
	default:
		complain("Expected subject permissions to be a subject, or array of subjects, got %s", v.TypeName())
		return nil
	}
	for _, entry := range out {
		if err := checkPermitted(entry, queues); err != "" {
			complain("%s", err)
			return nil
		}
	}
	return out
}

// checkPermitted says what is wrong with an entry: a subject, with queues also a
// subject, blanks and a queue.
func checkPermitted(entry string, queues bool) string {
	subj, queue := entry, ""
	if words := strings.Fields(entry); queues && len(words) == 2 {
		subj, queue = words[0], words[1]
		if !subject.Valid(queue) {
			return "queue " + quote(queue) + " is not a valid queue"
		}
	}
	if !validSubject(subj) {
		return "subject " + quote(subj) + " is not a valid subject"
	}
	return ""
}

// validSubject tells whether s can be a subject with wildcards: no empty token and no
// blank.
func validSubject(s string) bool { return subject.Valid(s) && !subject.HasBlank(s) }

func (d *decoder) responsePermission(v *lang.Value) *perm.ResponsePermission {
	out := &perm.ResponsePermission{MaxMsgs: defaultResponsesMax, Expires: defaultResponsesTTL}
	switch data := v.Data.(type) {
	case bool:
		if !data {
			return nil
		}
	case *lang.Map:
		for _, pair := range data.Pairs() {
			d.responseLimit(pair, out)
		}
	default:
		d.add(v.Pos, "error parsing response permissions, expected a boolean or a map")
	}
	return out
}

// responseLimit reads one limit of allow_responses; zero leaves the default.
func (d *decoder) responseLimit(pair lang.Pair, out *perm.ResponsePermission) {
	v := pair.Value
	switch strings.ToLower(pair.Key) {
	case "max", "max_msgs", "max_messages", "max_responses":
		if n, ok := d.number(v); ok && n != 0 {
			out.MaxMsgs = int(n)
		}
	case "expires", "expiration", "ttl":
		s, ok := v.Data.(string)
		if !ok {
			d.add(v.Pos, "error parsing expires, not a duration string")
			return
		}
		if dur, ok := d.duration("expires", s, v.Pos); ok && dur != 0 {
			out.Expires = dur
		}
	default:
		if !v.Used {
			d.add(v.Pos, "Unknown field %q parsing permissions", pair.Key)
		}
	}
}
