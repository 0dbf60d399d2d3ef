package api

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/server/subject"
)

// origin is how the rules of mirrors and of sources differ.
type origin struct {
	source, overlap, destination, consumer *Error
	// Transforms of a mirror must not collide, which is judged with each; of those of a
	// source none may be within another, which is judged after all.
	within bool
}

var (
	ofMirror = origin{
		ErrMirrorInvalidSubjectFilter, ErrMirrorOverlappingSubjectFilters,
		ErrMirrorInvalidTransformDestination, ErrMirrorDurableConsumerCfgInvalid, false,
	}
	ofSource = origin{
		ErrSourceInvalidSubjectFilter, ErrSourceOverlappingSubjectFilters,
		ErrSourceInvalidTransformDestination, ErrSourceDurableConsumerCfgInvalid, true,
	}
)

// mirror judges a mirror and all that it excludes.
func (k *streamCheck) mirror() *Error {
	m := k.Mirror
	if m == nil {
		return nil
	}
	switch {
	case k.FirstSeq > 0:
		return ErrMirrorWithFirstSeq
	case len(k.Subjects) > 0:
		return ErrMirrorWithSubjects
	case len(k.Sources) > 0:
		return ErrMirrorWithSources
	case k.AllowMsgCounter:
		return ErrMirrorWithCounters
	case k.AllowAtomicPublish:
		return ErrMirrorWithAtomicPublish
	case k.AllowBatchPublish:
		return ErrMirrorWithBatchPublish
	case k.AllowMsgSchedules:
		return ErrMirrorWithMsgSchedules
	}
	if err := m.checkConsumer(&ofMirror); err != nil {
		return err
	}
	if m.filtersTwice() {
		return ErrMirrorMultipleFiltersNotAllowed
	}
	if k.SubjectDeleteMarkerTTL > 0 {
		return invalid("subject delete markers forbidden on mirrors")
	}
	if err := m.checkTransforms(&ofMirror); err != nil {
		return err
	}
	if m.External != nil {
		if err := m.External.check(); err != nil {
			return err
		}
	}
	if !ValidName(m.Name) {
		return ErrMirrorInvalidStreamName
	}
	if m.External != nil {
		return nil
	}
	return k.mirrorOf(k.l.find(m.Name))
}

// mirrorOf judges the mirror beside its origin, if that can be seen.
func (k *streamCheck) mirrorOf(origin *StreamConfig) *Error {
	switch {
	case origin == nil:
		return nil
	case k.MaxMsgSize > 0 && origin.MaxMsgSize > 0 && k.MaxMsgSize < origin.MaxMsgSize:
		return ErrMirrorMaxMessageSizeTooBig
	case k.pedantic && k.MirrorDirect != origin.AllowDirect:
		return ErrPedantic.With("origin stream has direct get set, mirror has it disabled")
	}
	k.MirrorDirect = origin.AllowDirect
	return nil
}

// sources judges all sources: first each for itself and beside the ones before it, then
// where they are.
func (k *streamCheck) sources() *Error {
	if len(k.Sources) == 0 {
		return nil
	}
	if k.AllowMsgSchedules {
		return ErrSourceWithMsgSchedules
	}
	keys, durables := make(map[string]bool), make(map[string]bool)
	for _, s := range k.Sources {
		if s == nil || !ValidName(s.Name) {
			return ErrSourceInvalidStreamName
		}
		key := s.Key()
		if keys[key] {
			return ErrSourceDuplicateDetected
		}
		keys[key] = true
		if s.filtersTwice() {
			return ErrSourceMultipleFiltersNotAllowed
		}
		if err := s.checkTransforms(&ofSource); err != nil {
			return err
		}
		if err := s.checkConsumer(&ofSource); err != nil {
			return err
		}
		if s.Consumer == nil {
			continue
		}
		durable := s.where()
		if durables[durable] {
			return ErrSourceDurableConsumerDuplicateDetected
		}
		durables[durable] = true
	}
	return k.sourcesSeen()
}

// sourcesSeen judges how the origins are reached, and the sizes of what they hold.
func (k *streamCheck) sourcesSeen() *Error {
	for _, s := range k.Sources {
		if s.External != nil {
			if err := s.External.check(); err != nil {
				return err
			}
			continue
		}
		o := k.l.find(s.Name)
		if o != nil && k.MaxMsgSize > 0 && o.MaxMsgSize > 0 && k.MaxMsgSize < o.MaxMsgSize {
			return ErrSourceMaxMessageSizeTooBig
		}
	}
	return nil
}

// Key tells a stream's sources apart: by the origin and by what is taken of it.
func (s *StreamSource) Key() string {
	var filters, dests []string
	if len(s.SubjectTransforms) == 0 {
		filters, dests = []string{orAll(s.FilterSubject)}, []string{">"}
	}
	for _, t := range s.SubjectTransforms {
		filters, dests = append(filters, orAll(t.Source)), append(dests, orAll(t.Destination))
	}
	return s.where() + " " + strings.Join(filters, "\f") + " " + strings.Join(dests, "\f")
}

// IndexName is the first field of Nats-Stream-Source: the stream, and hashes of the prefix
// and of the durable consumer through which it is reached.
func (s *StreamSource) IndexName() string {
	name := s.Name
	if s.External != nil {
		name += ":" + Hash8(s.External.ApiPrefix)
	}
	if s.Consumer != nil {
		name += ":C=" + Hash8(s.Consumer.Name)
	}
	return name
}

// where tells the consumer of an origin from every other.
func (s *StreamSource) where() string {
	at := s.Name + " "
	if s.External != nil {
		at += s.External.ApiPrefix
	}
	at += " "
	if s.Consumer != nil {
		at += s.Consumer.Name
	}
	return at
}

func orAll(s string) string {
	if s == "" {
		return ">"
	}
	return s
}

// checkConsumer judges a consumer that was made beforehand: it says by itself where it
// starts and what it takes.
func (s *StreamSource) checkConsumer(o *origin) *Error {
	c := s.Consumer
	if c == nil {
		return nil
	}
	if !ValidName(c.Name) || !validSubject(c.DeliverSubject) || subject.HasWildcard(c.DeliverSubject) ||
		s.OptStartSeq > 0 || s.OptStartTime != nil || s.FilterSubject != "" {
		return o.consumer
	}
	return nil
}

// filtersTwice tells whether there are both a filter and transforms, which filter too.
func (s *StreamSource) filtersTwice() bool {
	return s.FilterSubject != "" && len(s.SubjectTransforms) > 0
}

func (s *StreamSource) checkTransforms(o *origin) *Error {
	sources := make([]string, len(s.SubjectTransforms))
	for i := range s.SubjectTransforms {
		sources[i] = s.SubjectTransforms[i].Source
	}
	set := newPatternSet(sources)
	for i := range s.SubjectTransforms {
		t := &s.SubjectTransforms[i]
		if t.Source != "" && !validSubject(t.Source) {
			return o.source.With("invalid subject " + t.Source)
		}
		if !o.within {
			if place, ok := set.find(t.Source, 0, i, overlap); !ok || place >= 0 && place < i || allTwice(sources[:i], t.Source) {
				return o.overlap
			}
		}
		if err := checkDestination(t); err != nil {
			return Wrap(o.destination, err)
		}
	}
	if !o.within {
		return nil
	}
	for i, source := range sources {
		if place, ok := set.find(source, 0, i, subsetOf); !ok || place >= 0 || source == "" && slices.Contains(sources, ">") {
			return o.overlap
		}
	}
	return nil
}

// allTwice tells whether source stands for all subjects, as one of earlier does.
func allTwice(earlier []string, source string) bool {
	all := func(s string) bool { return s == "" || s == ">" }
	return all(source) && slices.ContainsFunc(earlier, all)
}

// check judges the prefixes.
func (e *ExternalStream) check() *Error {
	if e.ApiPrefix != "" {
		if !validSubject(e.ApiPrefix) || subject.HasWildcard(e.ApiPrefix) {
			return invalid(fmt.Sprintf("stream external api prefix %q must be a valid subject without wildcards", e.ApiPrefix))
		}
		const own = "$JS.API"
		if e.ApiPrefix == own {
			return NewStreamExternalApiOverlap(e.ApiPrefix, own)
		}
	}
	if e.DeliverPrefix != "" && (!validSubject(e.DeliverPrefix) || subject.HasWildcard(e.DeliverPrefix)) {
		return NewStreamInvalidExternalDeliverySubj(e.DeliverPrefix)
	}
	return nil
}

// checkSourceFilters judges what a new stream filters its origins by.
func checkSourceFilters(c *StreamConfig) *Error {
	if m := c.Mirror; m != nil && m.FilterSubject != "" && !validSubject(m.FilterSubject) {
		return ErrStreamCreate.Withf("subject filter '%s' for the mirror invalid subject", m.FilterSubject)
	}
	for _, s := range c.Sources {
		if s.FilterSubject != "" && !validSubject(s.FilterSubject) {
			return ErrStreamCreate.Withf("subject filter '%s' for the source: invalid subject", s.FilterSubject)
		}
	}
	return nil
}

// cycle follows mirrors and sources of this server.
func (k *streamCheck) cycle() *Error {
	w := walk{l: k.l, met: map[string]int{k.Name: 0}, steps: walkMax}
	if w.returns(k.StreamConfig, 1) {
		return invalid("detected cycle")
	}
	return nil
}

// walkMax bounds the ways that one judgement follows; beyond, there are so many that it counts as a cycle.
const walkMax = 1 << 16

// walk goes from a stream to all that it gets messages from, on every way.
type walk struct {
	l     *StreamLimits
	met   map[string]int // streams that were met on the way or beside it, by how many steps from the first
	steps int            // left
}

// returns tells whether the way behind c comes to a stream again: by a mirror, or by a source that takes
// what the stream that has it stores itself. Streams count as met from the one that names them on, for
// all that are named behind them: two ways to an origin may be refused, too, in one order of the
// sources and not in the other, which clients know.
func (w *walk) returns(c *StreamConfig, depth int) bool {
	origins := c.origins()
	for _, s := range origins {
		if s.External != nil {
			continue
		}
		if at, met := w.met[s.Name]; met && at < depth {
			if s == c.Mirror || s.feeds(c.Subjects) {
				return true
			}
			continue
		}
		w.met[s.Name] = depth
		if w.steps--; w.steps < 0 {
			return true
		}
		if o := w.l.find(s.Name); o != nil && w.returns(o, depth+1) {
			return true
		}
	}
	for _, s := range origins {
		if w.met[s.Name] == depth {
			delete(w.met, s.Name)
		}
	}
	return false
}

// origins are the mirror and the sources.
func (c *StreamConfig) origins() []*StreamSource {
	if c.Mirror != nil {
		return []*StreamSource{c.Mirror}
	}
	return c.Sources
}

// feeds tells whether what s takes may be one of subjects.
func (s *StreamSource) feeds(subjects []string) bool {
	if s.FilterSubject == "" {
		return true
	}
	for _, t := range subjects {
		if overlap(s.FilterSubject, t) {
			return true
		}
	}
	return false
}
