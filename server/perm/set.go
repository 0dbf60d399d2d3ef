package perm

import (
	"fmt"
	"strings"
	"time"
	"unsafe"

	"github.com/lockstepmq/lockstep/server/subject"
)

// Defaults of [ResponsePermission].
const (
	DefaultResponseMaxMsgs = 1
	DefaultResponseExpires = 2 * time.Minute
)

// Set is permissions ready to be asked. It is immutable and may be shared by any
// number of strands. A nil Set allows everything.
type Set struct {
	publish, subscribe rules

	responds    bool // the user may answer requests it received
	responseMax int
	responseTTL time.Duration
}

// rules are the two lists of one direction; nil lists are absent.
type rules struct {
	allow, deny *list
	denyAll     bool // responses are allowed and nothing else is stated
}

// Compile checks permissions and prepares them. Entries that are not subjects are
// refused, and so are queues in publish lists. Nil permissions allow everything.
func Compile(p *Permissions) (*Set, error) {
	s := &Set{}
	if p == nil {
		return s, nil
	}
	var err error
	if s.publish, err = compileRules(p.Publish, false); err != nil {
		return nil, err
	}
	if s.subscribe, err = compileRules(p.Subscribe, true); err != nil {
		return nil, err
	}
	if r := p.Response; r != nil {
		s.responds = true
		s.responseMax, s.responseTTL = r.MaxMsgs, r.Expires
		if s.responseMax == 0 {
			s.responseMax = DefaultResponseMaxMsgs
		}
		if s.responseTTL == 0 {
			s.responseTTL = DefaultResponseExpires
		}
		s.publish.denyAll = s.publish.allow == nil
	}
	return s, nil
}

func compileRules(p *SubjectPermission, queues bool) (r rules, err error) {
	if p == nil {
		return rules{}, nil
	}
	if r.allow, err = compileList(p.Allow, queues); err != nil {
		return rules{}, err
	}
	if r.deny, err = compileList(p.Deny, queues); err != nil {
		return rules{}, err
	}
	return r, nil
}

// compileList gives nil for an empty list: it says nothing.
func compileList(texts []string, queues bool) (*list, error) {
	if len(texts) == 0 {
		return nil, nil
	}
	l := &list{entries: make([]entry, 0, len(texts))}
	for _, text := range texts {
		e, err := parseEntry(text, queues)
		if err != nil {
			return nil, err
		}
		l.add(e)
	}
	return l, nil
}

func parseEntry(text string, queues bool) (entry, error) {
	e := entry{subject: text}
	f := strings.Fields(text)
	if queues && len(f) == 2 {
		e = entry{subject: f[0], queue: f[1], qualified: true}
	}
	if subject.HasBlank(e.subject) || !subject.Valid(e.subject) {
		return entry{}, fmt.Errorf("subject %q is not a valid subject", e.subject)
	}
	if e.qualified && !subject.Valid(e.queue) {
		return entry{}, fmt.Errorf("queue %q is not a valid queue", e.queue)
	}
	if queues && len(f) == 1 { // without white space that is not a blank, such as a vertical tab
		e.subject = f[0]
	}
	return e, nil
}

// CanPublish judges a publish to subject, as it is after mapping. Wildcards in it
// are plain text.
func (s *Set) CanPublish(subject []byte) bool { return s.CanPublishString(text(subject)) }

// CanPublishString is [Set.CanPublish] for a string.
func (s *Set) CanPublishString(subject string) bool {
	if s == nil {
		return true
	}
	r := &s.publish
	if r.denyAll || r.allow != nil && !r.allow.match(subject, "").plain {
		return false
	}
	return r.deny == nil || !r.deny.match(subject, "").plain
}

// RestrictsPublish tells whether any publish may be refused.
func (s *Set) RestrictsPublish() bool {
	return s != nil && (s.publish.denyAll || s.publish.allow != nil || s.publish.deny != nil)
}

// CanSubscribe judges a subscription; queue is empty for a plain one. Its wildcards
// are tested as plain text, so "foo.>" passes an allow of "foo.*" and then receives
// deeper subjects. With filter set, deliveries must be asked of
// [Set.DeniesDelivery]: the subscription reaches subjects that a deny forbids.
func (s *Set) CanSubscribe(sub, queue string) (ok, filter bool) {
	if s == nil {
		return true, false
	}
	if allow := s.subscribe.allow; allow != nil {
		m := allow.match(sub, queue)
		// An allow that names queues for this subject leaves no other queue.
		if m.qualified && !m.queue || !m.qualified && !m.plain {
			return false, false
		}
	}
	deny := s.subscribe.deny
	if deny == nil {
		return true, false
	}
	if m := deny.match(sub, queue); m.plain || m.queue {
		return false, false
	}
	return true, subject.HasWildcard(sub) && deny.overlaps(sub, queue)
}

// DeniesDelivery tells whether a message to subject must not be delivered to a
// wildcard subscription; queue is empty for a plain one.
func (s *Set) DeniesDelivery(subject []byte, queue string) bool {
	if s == nil || s.subscribe.deny == nil {
		return false
	}
	m := s.subscribe.deny.match(text(subject), queue)
	return m.plain || m.queue
}

// Responses tells whether requests may be answered on subjects that are otherwise
// forbidden: how often (negative: any number) and for how long (negative: ever).
func (s *Set) Responses() (maxMsgs int, expires time.Duration, ok bool) {
	if s == nil || !s.responds {
		return 0, 0, false
	}
	return s.responseMax, s.responseTTL, true
}

// text gives bytes as a string without a copy, for the length of a call.
func text(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
