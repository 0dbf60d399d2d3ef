package api

import (
	"bytes"
	"maps"
	"strconv"
)

// Metadata of assets that speak of versions. The required level is stored; version and level
// are the server's and only shown.
const (
	MetaRequiredLevel = "_nats.req.level"
	MetaServerVersion = "_nats.ver"
	MetaServerLevel   = "_nats.level"
)

// StreamLevel is the API level that a stream's configuration needs.
func StreamLevel(c *StreamConfig) int {
	switch {
	case c.AllowBatchPublish:
		return 4
	case c.AllowMsgCounter || c.AllowAtomicPublish || c.AllowMsgSchedules || c.PersistMode == AsyncPersistMode:
		return 2
	case c.AllowMsgTTL || c.SubjectDeleteMarkerTTL > 0:
		return 1
	}
	return 0
}

// ConsumerLevel is the API level that a consumer's configuration needs.
func ConsumerLevel(c *ConsumerConfig) int {
	switch {
	case c.AckPolicy == AckFlowControl:
		return 4
	case c.PauseUntil != nil && !c.PauseUntil.IsZero(),
		c.PriorityPolicy != PriorityNone || c.PinnedTTL != 0 || len(c.PriorityGroups) > 0:
		return 1
	}
	return 0
}

// SetStaticMetadata states, in the metadata of c, the level that it needs, and drops what
// only a server may say. The map of c is replaced, not changed.
func (c *StreamConfig) SetStaticMetadata() {
	c.Metadata = staticMetadata(c.Metadata, StreamLevel(c))
}

// SetStaticMetadata is that of [StreamConfig.SetStaticMetadata], of a consumer.
func (c *ConsumerConfig) SetStaticMetadata() {
	c.Metadata = staticMetadata(c.Metadata, ConsumerLevel(c))
}

func staticMetadata(m map[string]string, level int) map[string]string {
	m = withoutVersions(m)
	m[MetaRequiredLevel] = strconv.Itoa(level)
	return m
}

// withoutVersions gives a copy of m without what speaks of versions.
func withoutVersions(m map[string]string) map[string]string {
	c := make(map[string]string, len(m)+3)
	maps.Copy(c, m)
	delete(c, MetaRequiredLevel)
	delete(c, MetaServerVersion)
	delete(c, MetaServerLevel)
	return c
}

// DynamicMetadata gives a copy of m, an asset's metadata, with the server's version and
// level, for a reply.
func DynamicMetadata(m map[string]string, version string) map[string]string {
	c := make(map[string]string, len(m)+2)
	maps.Copy(c, m)
	c[MetaServerVersion] = version
	c[MetaServerLevel] = strconv.Itoa(Level)
	return c
}

// WithDynamicMetadata gives a shallow copy of c whose metadata name the server's version and
// level.
func (c *StreamConfig) WithDynamicMetadata(version string) *StreamConfig {
	d := *c
	d.Metadata = DynamicMetadata(c.Metadata, version)
	return &d
}

// WithDynamicMetadata gives a shallow copy of c whose metadata name the server's
// version and level.
func (c *ConsumerConfig) WithDynamicMetadata(version string) *ConsumerConfig {
	d := *c
	d.Metadata = DynamicMetadata(c.Metadata, version)
	return &d
}

// RequiredLevel is the level that stored metadata ask for; an asset that asks for more than
// [Level] is offline. What is no number is one too many.
func RequiredLevel(m map[string]string) int {
	s, ok := m[MetaRequiredLevel]
	if !ok || s == "" {
		return 0
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		return Level + 1
	}
	return n
}

// LevelServed tells whether a request's header block, which may be empty, asks for no more
// than [Level]. If it does ask for more the answer is [ErrRequiredApiLevel], or
// [StatusRequiredLevel].
func LevelServed(header []byte) bool {
	return len(header) == 0 || LevelValueServed(HeaderValue(header, HdrRequiredApiLevel))
}

// LevelValueServed tells whether a value of Nats-Required-Api-Level is a number and no more
// than [Level]; an empty one is none.
func LevelValueServed(value []byte) bool {
	if len(value) == 0 {
		return true
	}
	n, err := strconv.Atoi(string(value))
	return err == nil && n <= Level
}

// Equal tells whether two streams' configurations are the same, but for what their metadata
// say of versions. The same moment in another time zone is not the same.
func (c *StreamConfig) Equal(d *StreamConfig) bool {
	return bytes.Equal(Marshal(c.comparable()), Marshal(d.comparable()))
}

func (c *StreamConfig) comparable() *StreamConfig {
	d := *c
	d.Metadata = withoutVersions(c.Metadata)
	return &d
}

// Equal tells whether two consumers' configurations are the same, but for what their
// metadata say of versions. A threshold of inactivity that nobody asked for is not the same as
// one of that length.
func (c *ConsumerConfig) Equal(d *ConsumerConfig) bool {
	return bytes.Equal(Marshal(c.comparable()), Marshal(d.comparable()))
}

func (c *ConsumerConfig) comparable() *ConsumerConfig {
	d := *c
	d.Metadata = withoutVersions(c.Metadata)
	if c.inactiveByDefault {
		d.InactiveThreshold = 0
	}
	return &d
}
