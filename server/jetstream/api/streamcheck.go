package api

import (
	"fmt"
	"time"

	"github.com/lockstepmq/lockstep/server/subject"
)

// Defaults and bounds of streams.
const (
	DuplicatesDefault = 2 * time.Minute
	ageMin            = 100 * time.Millisecond
	markerTTLMin      = time.Second
)

// StreamLimits are what a stream is held to besides its own configuration.
type StreamLimits struct {
	Duplicates time.Duration // longest dedupe window that the server allows; 0 is any
	// Find gives the configuration of a stream of the same account, or nil. It may be nil
	// when there is none.
	Find func(name string) *StreamConfig
	// Clustered: streams may have replicas.
	Clustered bool
}

func (l *StreamLimits) find(name string) *StreamConfig {
	if l.Find == nil {
		return nil
	}
	return l.Find(name)
}

// CheckStreamCreate judges the configuration of a new stream and fills in defaults; see
// [CheckStreamConfig].
func CheckStreamCreate(cfg *StreamConfig, l StreamLimits, pedantic bool) (*StreamConfig, *Error) {
	switch {
	case cfg.Sealed:
		return nil, ErrStreamInvalidConfig.With("stream configuration for create can not be sealed")
	case cfg.MirrorDirect && cfg.Mirror == nil:
		return nil, ErrStreamInvalidConfig.With("stream has no mirror but does have mirror direct")
	}
	c, err := CheckStreamConfig(cfg, l, pedantic)
	if err != nil {
		return nil, err
	}
	return c, checkSourceFilters(c)
}

// CheckStreamConfig judges a stream's configuration and gives a copy with defaults filled
// in, and the level it needs stated in its metadata. Pedantic refuses what would be
// adjusted to make sense. It knows one server alone: more than one replica is an
// error. It does not judge what a server or account has left, nor overlap with other
// streams' subjects ([SubjectsOverlap]).
func CheckStreamConfig(cfg *StreamConfig, l StreamLimits, pedantic bool) (*StreamConfig, *Error) {
	c := cfg.Clone()
	k := streamCheck{c, &l, pedantic}
	for _, step := range [...]func() *Error{
		k.names, k.counts, k.windows, k.features, k.markers, k.persistence, k.mirror, k.sources, k.cycle,
		k.subjects, k.transforms, k.placement,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	c.SetStaticMetadata()
	return c, nil
}

// streamCheck is one judgement: each of its steps judges, and adjusts, some fields.
type streamCheck struct {
	*StreamConfig
	l        *StreamLimits
	pedantic bool
}

// invalid is most of what can be wrong.
func invalid(text string) *Error { return ErrStreamInvalidConfig.With(text) }

func (k *streamCheck) names() *Error {
	switch {
	case !ValidName(k.Name):
		return invalid(`stream name is required and can not contain '.', '*', '>', '\', '/'`)
	case len(k.Name) > NameMax:
		return invalid(fmt.Sprintf("stream name is too long, maximum allowed is %d", NameMax))
	case len(k.Description) > DescriptionMax:
		return invalid(fmt.Sprintf("stream description is too long, maximum allowed is %d", DescriptionMax))
	case metadataSize(k.Metadata) > MetadataMax:
		return invalid(fmt.Sprintf("stream metadata exceeds maximum size of %d bytes", MetadataMax))
	}
	return nil
}

// metadataSize counts the bytes of keys and values.
func metadataSize(m map[string]string) int {
	n := 0
	for key, value := range m { //lockstep:ordered a sum
		n += len(key) + len(value)
	}
	return n
}

func (k *streamCheck) counts() *Error {
	switch {
	case int(k.Retention) >= len(retentionTexts):
		return invalid("invalid retention")
	case int(k.Discard) >= len(discardTexts):
		return invalid("invalid discard policy")
	case int(k.Compression) >= len(compressionTexts):
		return invalid("invalid compression")
	case int(k.Storage) >= len(storageTexts):
		return invalid("invalid storage type")
	}
	switch {
	case k.Replicas == 0:
		k.Replicas = 1
	case k.Replicas < 0:
		return ErrReplicasCountCannotBeNegative
	case k.Replicas > ReplicasMax:
		return invalid(fmt.Sprintf("maximum replicas is %d", ReplicasMax))
	}
	for _, err := range [...]*Error{
		unlimited(&k.MaxMsgs, "max_msgs", k.pedantic),
		unlimited(&k.MaxMsgsPer, "max_msgs_per_subject", k.pedantic),
		unlimited(&k.MaxBytes, "max_bytes", k.pedantic),
		unlimited(&k.MaxMsgSize, "max_msg_size", k.pedantic),
		unlimited(&k.MaxConsumers, "max_consumers", k.pedantic),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// unlimited makes -1 of zero and everything below, which pedants have to write so.
func unlimited[T int | int32 | int64](field *T, name string, pedantic bool) *Error {
	if pedantic && *field < -1 {
		return ErrPedantic.With(name + " must be set to -1")
	}
	if *field <= 0 {
		*field = -1
	}
	return nil
}

func (k *streamCheck) windows() *Error {
	switch {
	case k.MaxAge < 0:
		return invalid("max age can not be negative")
	case k.MaxAge > 0 && k.MaxAge < ageMin:
		return invalid("max age needs to be >= 100ms")
	}
	if k.Duplicates == 0 && k.Mirror == nil && len(k.Sources) == 0 {
		if err := k.duplicatesDefault(); err != nil {
			return err
		}
	}
	switch {
	case k.Duplicates < 0:
		return invalid("duplicates window can not be negative")
	case k.MaxAge > 0 && k.Duplicates > k.MaxAge:
		return invalid("duplicates window can not be larger then max age")
	case k.l.Duplicates > 0 && k.Duplicates > k.l.Duplicates:
		return invalid("duplicates window can not be larger then server limit of " + k.l.Duplicates.String())
	case k.Duplicates > 0 && k.Duplicates < ageMin:
		return invalid("duplicates window needs to be >= 100ms")
	}
	return nil
}

// duplicatesDefault is the longest window that the server and max_age allow.
func (k *streamCheck) duplicatesDefault() *Error {
	window := DuplicatesDefault
	if k.l.Duplicates > 0 && window > k.l.Duplicates {
		if k.pedantic {
			return ErrPedantic.With("duplicate window limits are higher than current limits")
		}
		window = k.l.Duplicates
	}
	if k.MaxAge > 0 && window > k.MaxAge {
		if k.pedantic {
			return ErrPedantic.With("duplicate window cannot be bigger than max age")
		}
		window = k.MaxAge
	}
	k.Duplicates = window
	return nil
}

// features judges those that exclude each other.
func (k *streamCheck) features() *Error {
	if k.AllowRollup && k.DenyPurge {
		return invalid("roll-ups require the purge permission")
	}
	if k.AllowMsgCounter {
		switch {
		case k.Discard == DiscardNew:
			return invalid("counter stream cannot use discard new")
		case k.AllowMsgTTL:
			return invalid("counter stream cannot use message TTLs")
		case k.AllowMsgSchedules:
			return invalid("counter stream cannot use message schedules")
		case k.Retention != LimitsPolicy:
			return invalid("counter stream can only use limits retention")
		}
	}
	if k.DiscardNewPer {
		switch {
		case k.Discard != DiscardNew:
			return invalid("discard new per subject requires discard new policy to be set")
		case k.MaxMsgsPer <= 0:
			return invalid("discard new per subject requires max msgs per subject > 0")
		}
	}
	return nil
}

// markers judges delete markers and schedules, both of which need rollups.
func (k *streamCheck) markers() *Error {
	switch ttl := k.SubjectDeleteMarkerTTL; {
	case ttl < 0:
		return invalid("subject delete marker TTL must not be negative")
	case ttl > 0 && ttl < markerTTLMin:
		return invalid("subject delete marker TTL must be at least 1 second")
	case ttl > 0 && k.pedantic && !k.AllowMsgTTL:
		return invalid("subject delete marker cannot be set if message TTLs are disabled")
	case ttl > 0 && k.pedantic && !k.AllowRollup:
		return invalid("subject delete marker cannot be set if roll-ups are disabled")
	case ttl > 0:
		k.AllowMsgTTL, k.AllowRollup, k.DenyPurge = true, true, false
	}
	if !k.AllowMsgSchedules {
		return nil
	}
	if k.Discard == DiscardNew {
		return invalid("message scheduling cannot use discard new")
	}
	if k.pedantic && !k.AllowRollup {
		return invalid("message scheduling cannot be set if roll-ups are disabled")
	}
	k.AllowRollup, k.DenyPurge = true, false
	return nil
}

func (k *streamCheck) persistence() *Error {
	if k.PersistMode != AsyncPersistMode {
		return nil
	}
	switch {
	case k.Storage != FileStorage:
		return invalid("async persist mode is only supported on file storage")
	case k.Replicas > 1:
		return invalid("async persist mode is not supported on replicated streams")
	case k.AllowAtomicPublish:
		return invalid("async persist mode is not supported with atomic batch publish")
	}
	return nil
}

func (k *streamCheck) subjects() *Error {
	if k.Mirror != nil {
		return nil
	}
	if len(k.Subjects) == 0 {
		if len(k.Sources) == 0 {
			k.Subjects = []string{k.Name}
		}
		return nil
	}
	set := newPatternSet(k.Subjects)
	for i, s := range k.Subjects {
		if err := k.subject(s); err != nil {
			return err
		}
		place, ok := set.find(s, i+1, i, overlap)
		switch {
		case !ok:
			return invalid("too many subjects with wildcards")
		case place >= 0:
			return invalid(fmt.Sprintf("subject %q overlaps with %q", s, k.Subjects[place]))
		}
	}
	return nil
}

// validSubject is the rule for subjects in requests: they could be subscribed to, and have
// no blanks.
func validSubject(s string) bool { return subject.Valid(s) && !subject.HasBlank(s) }

// subject judges one of the stream's own.
func (k *streamCheck) subject(s string) *Error {
	if !validSubject(s) {
		return invalid("invalid subject")
	}
	if s == ">" {
		switch {
		case !k.NoAck:
			return invalid("capturing all subjects requires no-ack to be true")
		case k.Replicas > 1:
			return invalid("capturing all subjects requires replicas of 1")
		}
		return nil
	}
	if k.NoAck {
		return nil
	}
	for _, own := range [...]string{"$JS.>", "$JSC.>", "$NRG.>"} {
		if subject.Overlaps(s, own) && !subject.SubsetOf(s, "$JS.EVENT.>") {
			return invalid("subjects that overlap with jetstream api require no-ack to be true")
		}
	}
	if subject.Overlaps(s, "$SYS.>") && !subject.SubsetOf(s, "$SYS.ACCOUNT.>") {
		return invalid("subjects that overlap with system api require no-ack to be true")
	}
	return nil
}

// transforms judges what rewrites subjects: those of stored and of republished messages.
func (k *streamCheck) transforms() *Error {
	if t := k.SubjectTransform; t != nil {
		if t.Source != "" && !validSubject(t.Source) {
			return ErrStreamTransformInvalidSource.With("invalid subject " + t.Source)
		}
		if err := checkDestination(t); err != nil {
			return Wrap(ErrStreamTransformInvalidDestination, err)
		}
	}
	r := k.RePublish
	if r == nil {
		return nil
	}
	if r.Source == "" {
		if k.pedantic {
			return ErrPedantic.With("republish source can not be empty")
		}
		r.Source = ">"
	}
	for _, s := range k.Subjects {
		if overlap(r.Destination, s) {
			return invalid("stream configuration for republish destination forms a cycle")
		}
	}
	if _, err := subject.NewTransform(r.Source, r.Destination); err != nil {
		return invalid(fmt.Sprintf("stream configuration for republish with transform from '%s' to '%s' not valid",
			r.Source, r.Destination))
	}
	return nil
}

// checkDestination tells what is wrong with a transform whose source is valid.
func checkDestination(t *SubjectTransformConfig) error {
	if subject.HasBlank(t.Destination) {
		return &subject.DestinationError{Err: subject.ErrInvalidTransform}
	}
	_, err := subject.NewTransform(t.Source, t.Destination)
	return err
}

func (k *streamCheck) placement() *Error {
	if p := k.Placement; p != nil {
		if p.Preferred != "" {
			return invalid("preferred server not permitted in placement")
		}
		if p.Cluster == "" && p.Tags == nil {
			k.Placement = nil
		}
	}
	if k.Replicas > 1 && !k.l.Clustered {
		return ErrStreamReplicasNotSupported
	}
	return nil
}
