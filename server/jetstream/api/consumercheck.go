package api

import (
	"strconv"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/subject"
)

// Defaults and bounds of consumers.
const (
	AckWaitDefault           = 30 * time.Second
	MaxWaitingDefault        = 512
	MaxAckPendingDefault     = 1000
	InactiveThresholdDefault = 5 * time.Second
	PinnedTTLDefault         = 2 * time.Minute
	FlowControlHeartbeat     = time.Second // of consumers that are acknowledged by flow control
	heartbeatMin             = 100 * time.Millisecond
	requestExpiresMin        = time.Millisecond
	groupNameMax             = 16
)

// ConsumerServerLimits are what a consumer is held to besides its stream's limits. 0 and
// below are no limit.
type ConsumerServerLimits struct {
	MaxAckPending        int // of the server
	AccountMaxAckPending int // of the account or its tier
	MaxRequestBatch      int
	MaxConsumers         int // of each stream of the account
}

// ackPending is the lower of two limits.
func (l *ConsumerServerLimits) ackPending() int {
	a, b := l.MaxAckPending, l.AccountMaxAckPending
	if a <= 0 || b > 0 && b < a {
		return max(b, 0)
	}
	return a
}

// CheckConsumerRequest judges a request to create or update a consumer, before its stream
// is looked up, against what the request's subject says: the stream, the consumer and the filter,
// which are empty if it does not say them, and whether it is the durable form. It settles the
// configuration's name. On a server alone there are no replicas.
func CheckConsumerRequest(stream, name, filter string, durable bool, r *CreateConsumerRequest) *Error {
	if err := CheckClusteredConsumerRequest(stream, name, filter, durable, r); err != nil {
		return err
	}
	if r.Config.Replicas > 1 {
		return ErrStreamReplicasNotSupported
	}
	return nil
}

// CheckClusteredConsumerRequest is [CheckConsumerRequest] on one of several servers.
func CheckClusteredConsumerRequest(stream, name, filter string, durable bool, r *CreateConsumerRequest) *Error {
	c := &r.Config
	switch {
	case r.Stream != stream:
		return ErrStreamMismatch
	case HasSeparator(name) || name == "" && HasSeparator(c.Name):
		return ErrConsumerNameContainsPathSeparators
	case durable && c.Durable == "":
		return ErrConsumerDurableNameNotSet
	case name != "" && c.Durable != "" && c.Durable != name:
		return ErrConsumerDurableNameNotMatchSubject
	case name == "" && c.Durable != "":
		return ErrConsumerEphemeralWithDurableName
	case filter != "" && len(c.FilterSubjects) > 0:
		return ErrConsumerMultipleFiltersNotAllowed
	case filter != "" && c.FilterSubject != filter:
		return ErrConsumerCreateFilterSubjectMismatch
	}
	if name != "" {
		c.Name = name
	}
	if c.Name != "" && !ValidName(c.Name) {
		return invalid(`consumer name can not contain '.', '*', '>', '\', '/'`)
	}
	return nil
}

// CheckConsumerConfig judges a consumer's configuration for a stream and gives a copy with
// defaults filled in, and the level it needs stated in its metadata. Pedantic
// refuses what would be adjusted to make sense. Beside other consumers it is judged by
// [CheckConsumerFilters].
func CheckConsumerConfig(cfg *ConsumerConfig, stream *StreamConfig, l ConsumerServerLimits, pedantic bool) (*ConsumerConfig, *Error) {
	c := cfg.Clone()
	c.SetStaticMetadata() // by what was asked for, not by defaults
	k := consumerCheck{c, stream, &l, pedantic}
	for _, step := range [...]func() *Error{
		k.negatives, k.defaults, k.replicas, k.waits, k.flowControlAck, k.backoffs, k.description, k.mode,
		k.limits, k.direct, k.filters, k.start, k.sampling, k.extras, k.groups, k.name,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	return c, nil
}

// consumerCheck is one judgement: each of its steps judges, and adjusts, some fields.
type consumerCheck struct {
	*ConsumerConfig
	stream   *StreamConfig
	server   *ConsumerServerLimits
	pedantic bool
}

// negatives replaces what makes no sense.
func (k *consumerCheck) negatives() *Error {
	if k.pedantic && k.MaxDeliver < -1 {
		return ErrPedantic.With("max_deliver must be set to -1")
	}
	if k.MaxDeliver <= 0 {
		k.MaxDeliver = -1
	}
	if err := notNegative(&k.MaxWaiting, "max_waiting", k.pedantic); err != nil {
		return err
	}
	if k.MaxAckPending < -1 {
		if k.pedantic {
			return ErrPedantic.With("max_ack_pending must be set to -1")
		}
		k.MaxAckPending = -1
	}
	for _, err := range [...]*Error{
		notNegative(&k.MaxRequestBatch, "max_batch", k.pedantic),
		notNegative(&k.MaxRequestExpires, "max_expires", k.pedantic),
		notNegative(&k.MaxRequestBytes, "max_bytes", k.pedantic),
		notNegative(&k.Heartbeat, "idle_heartbeat", k.pedantic),
		notNegative(&k.InactiveThreshold, "inactive_threshold", k.pedantic),
		notNegative(&k.PinnedTTL, "priority_timeout", k.pedantic),
	} {
		if err != nil {
			return err
		}
	}
	return nil
}

// notNegative makes zero of everything below, which pedants must not write.
func notNegative[T int | time.Duration](field *T, name string, pedantic bool) *Error {
	if *field < 0 {
		if pedantic {
			return ErrPedantic.With(name + " must not be negative")
		}
		*field = 0
	}
	return nil
}

func (k *consumerCheck) defaults() *Error {
	if !k.Push() && k.MaxWaiting == 0 {
		k.MaxWaiting = MaxWaitingDefault
	}
	if k.AckWait == 0 && (k.AckPolicy == AckExplicit || k.AckPolicy == AckAll) {
		k.AckWait = AckWaitDefault
	}
	if len(k.BackOff) > 0 {
		if k.pedantic && k.AckWait != k.BackOff[0] {
			return ErrPedantic.With("first backoff value has to equal batch AckWait")
		}
		k.AckWait = k.BackOff[0]
	}
	if err := k.streamDefaults(); err != nil {
		return err
	}
	if k.MaxAckPending == 0 && k.AckPolicy != AckNone {
		k.MaxAckPending = MaxAckPendingDefault
		if limit := k.server.ackPending(); limit > 0 && limit < MaxAckPendingDefault {
			k.MaxAckPending = limit
		}
	}
	if k.InactiveThreshold == 0 && k.Durable == "" {
		k.InactiveThreshold, k.inactiveByDefault = InactiveThresholdDefault, true
	}
	if limit := k.server.MaxRequestBatch; limit > 0 && k.MaxRequestBatch == 0 && !k.Push() {
		if k.pedantic {
			return ErrPedantic.With("max_request_batch must be set if it's JetStream limits are set")
		}
		k.MaxRequestBatch = limit
	}
	if k.PriorityPolicy == PriorityPinnedClient && k.PinnedTTL == 0 {
		k.PinnedTTL = PinnedTTLDefault
	}
	if k.AckPolicy == AckFlowControl && k.Push() && !k.pedantic {
		k.FlowControl, k.Heartbeat = true, FlowControlHeartbeat
	}
	return nil
}

// streamDefaults takes over the limits of the stream.
func (k *consumerCheck) streamDefaults() *Error {
	l := &k.stream.ConsumerLimits
	if l.MaxAckPending > 0 && k.MaxAckPending == 0 {
		if k.pedantic {
			return ErrPedantic.With("max_ack_pending must be set if it's configured in stream limits")
		}
		k.MaxAckPending = l.MaxAckPending
	}
	if l.InactiveThreshold > 0 && k.InactiveThreshold == 0 {
		if k.pedantic {
			return ErrPedantic.With("inactive_threshold must be set if it's configured in stream limits")
		}
		k.InactiveThreshold = l.InactiveThreshold
	}
	return nil
}

func (k *consumerCheck) replicas() *Error {
	switch {
	case k.Replicas < 0:
		return ErrReplicasCountCannotBeNegative
	case k.Replicas > k.stream.Replicas:
		return ErrConsumerReplicasExceedsStream
	case k.stream.Retention != LimitsPolicy && k.Replicas != 0 && k.Replicas != k.stream.Replicas:
		return ErrConsumerReplicasShouldMatchStream
	}
	return nil
}

func (k *consumerCheck) waits() *Error {
	if int(k.AckPolicy) >= len(ackTexts) {
		return ErrConsumerAckPolicyInvalid
	}
	if int(k.ReplayPolicy) >= len(replayTexts) {
		return ErrConsumerReplayPolicyInvalid
	}
	for _, d := range k.BackOff {
		if d < 0 {
			return ErrConsumerBackOffNegative
		}
	}
	if k.AckWait < 0 {
		return ErrConsumerAckWaitNegative
	}
	return nil
}

// flowControlAck judges consumers whose flow control answers are acks.
func (k *consumerCheck) flowControlAck() *Error {
	if k.AckPolicy != AckFlowControl {
		return nil
	}
	switch {
	case !k.Push():
		return ErrConsumerAckFCRequiresPush
	case !k.FlowControl:
		return ErrConsumerAckFCRequiresFC
	case k.Heartbeat != FlowControlHeartbeat:
		return invalid("flow control ack policy heartbeat needs to be 1s")
	case k.MaxAckPending <= 0:
		return ErrConsumerAckFCRequiresMaxAckPending
	case k.AckWait != 0 || len(k.BackOff) > 0:
		return ErrConsumerAckFCRequiresNoAckWait
	case k.MaxDeliver > 0:
		return ErrConsumerAckFCRequiresNoMaxDeliver
	}
	return nil
}

func (k *consumerCheck) backoffs() *Error {
	if k.MaxDeliver != -1 && len(k.BackOff) > k.MaxDeliver {
		return ErrConsumerMaxDeliverBackoff
	}
	return nil
}

func (k *consumerCheck) description() *Error {
	if len(k.Description) > DescriptionMax {
		return NewConsumerDescriptionTooLong(DescriptionMax)
	}
	return nil
}

// mode judges what only a push, or only a pull consumer may have.
func (k *consumerCheck) mode() *Error {
	if k.Push() {
		return k.push()
	}
	switch {
	case k.AckPolicy == AckNone && k.stream.Retention == WorkQueuePolicy:
		return ErrConsumerPullRequiresAck
	case k.RateLimit > 0:
		return ErrConsumerPullWithRateLimit
	case k.Heartbeat > 0:
		return ErrConsumerHBRequiresPush
	case k.FlowControl:
		return ErrConsumerFCRequiresPush
	case k.MaxRequestExpires > 0 && k.MaxRequestExpires < requestExpiresMin:
		return ErrConsumerMaxRequestExpiresTooSmall
	case k.server.MaxRequestBatch > 0 && k.MaxRequestBatch > k.server.MaxRequestBatch:
		return NewConsumerMaxRequestBatchExceeded(k.server.MaxRequestBatch)
	}
	return nil
}

func (k *consumerCheck) push() *Error {
	switch {
	case subject.HasWildcard(k.DeliverSubject):
		return ErrConsumerDeliverToWildcards
	case !validSubject(k.DeliverSubject):
		return ErrConsumerInvalidDeliverSubject
	case k.storesDelivered():
		return ErrConsumerDeliverCycle
	case k.MaxWaiting > 0:
		return ErrConsumerPushMaxWaiting
	case k.MaxAckPending > 0 && k.AckPolicy == AckNone:
		return ErrConsumerMaxPendingAckPolicyRequired
	case k.Heartbeat > 0 && k.Heartbeat < heartbeatMin:
		return ErrConsumerSmallHeartbeat
	}
	return nil
}

// storesDelivered tells whether the stream would store what the consumer sends.
func (k *consumerCheck) storesDelivered() bool {
	for _, s := range k.stream.Subjects {
		if subsetOf(k.DeliverSubject, s) {
			return true
		}
	}
	return false
}

func (k *consumerCheck) limits() *Error {
	limits := [...]int{k.server.MaxAckPending, k.server.AccountMaxAckPending, k.stream.ConsumerLimits.MaxAckPending}
	for _, limit := range limits {
		if limit > 0 && k.MaxAckPending > limit {
			return NewConsumerMaxPendingAckExcess(limit)
		}
	}
	if limit := k.stream.ConsumerLimits.InactiveThreshold; limit > 0 && k.InactiveThreshold > limit {
		return NewConsumerInactiveThresholdExcess(limit)
	}
	return nil
}

func (k *consumerCheck) direct() *Error {
	switch {
	case k.Direct && !k.Push():
		return ErrConsumerDirectRequiresPush
	case k.Direct && k.Durable != "":
		return ErrConsumerDirectRequiresEphemeral
	}
	return nil
}

func (k *consumerCheck) filters() *Error {
	if k.FilterSubject != "" && len(k.FilterSubjects) > 0 {
		return ErrConsumerDuplicateFilterSubjects
	}
	list := k.Filters()
	for _, f := range list {
		if f == "" {
			return ErrConsumerEmptyFilter
		}
	}
	set := newPatternSet(list)
	for i, f := range list {
		if !validSubject(f) {
			return invalid("invalid subject")
		}
		place, ok := set.find(f, 0, i, subsetOf)
		switch {
		case !ok:
			return invalid("too many filters with wildcards")
		case place >= 0:
			return ErrConsumerOverlappingSubjectFilters
		}
	}
	return nil
}

// start judges the options of the deliver policy.
func (k *consumerCheck) start() *Error {
	seq, at := k.OptStartSeq > 0, k.OptStartTime != nil
	policy := "consumer delivery policy is deliver " + k.DeliverPolicy.spoken() + ", but optional "
	also := func(what string) *Error {
		return ErrConsumerInvalidPolicy.With(policy + "start " + what + " is also set")
	}
	switch k.DeliverPolicy {
	case DeliverByStartSequence:
		if !seq {
			return ErrConsumerInvalidPolicy.With(policy + "start sequence is not set")
		}
		if at {
			return also("time")
		}
		return nil
	case DeliverByStartTime:
		if !at {
			return ErrConsumerInvalidPolicy.With(policy + "start time is not set")
		}
		if seq {
			return also("start sequence")
		}
		return nil
	}
	switch {
	case seq:
		return also("sequence")
	case at:
		return also("time")
	case k.DeliverPolicy == DeliverLastPerSubject && len(k.Filters()) == 0:
		return ErrConsumerInvalidPolicy.With(policy + "filter subject is not set")
	}
	return nil
}

func (k *consumerCheck) sampling() *Error {
	_, err := ParseSampling(k.SampleFrequency)
	return err
}

// ParseSampling gives the percentage of acks that are reported: 0 for an empty text.
func ParseSampling(freq string) (percent int, _ *Error) {
	if freq == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(strings.TrimSuffix(freq, "%"))
	switch {
	case err != nil:
		return 0, ErrConsumerInvalidSampling.With(err.Error())
	case n < 0:
		return 0, ErrConsumerInvalidSampling.With("<nil>")
	}
	return n, nil
}

func (k *consumerCheck) extras() *Error {
	switch {
	case k.FlowControl && k.Heartbeat == 0:
		return ErrConsumerWithFlowControlNeedsHeartbeats
	case metadataSize(k.Metadata) > MetadataMax:
		return NewConsumerMetadataLength()
	}
	return nil
}

func (k *consumerCheck) groups() *Error {
	if k.PriorityPolicy == PriorityNone {
		switch {
		case len(k.PriorityGroups) > 0:
			return ErrConsumerPriorityGroupWithPolicyNone
		case k.PinnedTTL > 0:
			return ErrConsumerPinnedTTLWithoutPriorityPolicyNone
		}
		return nil
	}
	switch {
	case k.Push():
		return ErrConsumerPushWithPriorityGroup
	case len(k.PriorityGroups) == 0:
		return ErrConsumerPriorityPolicyWithoutGroup
	}
	for _, g := range k.PriorityGroups {
		switch {
		case g == "":
			return ErrConsumerEmptyGroupName
		case !validGroup(g):
			return ErrConsumerInvalidGroupName
		}
	}
	return nil
}

func validGroup(g string) bool {
	if len(g) > groupNameMax {
		return false
	}
	for _, c := range []byte(g) {
		letter := 'a' <= c|0x20 && c|0x20 <= 'z'
		if !letter && (c < '0' || c > '9') && !strings.ContainsRune("-_/=", rune(c)) {
			return false
		}
	}
	return true
}

func (k *consumerCheck) name() *Error {
	switch {
	case len(k.Durable) > NameMax:
		return NewConsumerNameTooLong(NameMax)
	case len(k.Name) > NameMax:
		return ErrConsumerCreate.With("error creating store for consumer")
	case k.Name != "" && k.Durable != "" && k.Name != k.Durable:
		return ErrConsumerCreateDurableAndNameMismatch
	case k.Name != "" && !ValidName(k.Name):
		return ErrConsumerBadDurableName
	}
	return nil
}
