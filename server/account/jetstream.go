package account

import "maps"

// JetStream is what configuration grants an account of JetStream. It is immutable
// once an account has it.
type JetStream struct {
	// Tiers are the limits of each tier ("R1", "R3", ...). An account without tiers has
	// one, of the empty name, for everything.
	Tiers map[string]JetStreamLimits
	// OwnerTraffic sends the replication of the account's streams through the account
	// itself and not through the system account.
	OwnerTraffic bool
}

// JetStreamLimits of an account, or of one of its tiers; a negative number is
// unlimited. Memory and store are bytes; the last but one pair is bytes of each
// stream.
type JetStreamLimits struct {
	MaxMemory            int64
	MaxStore             int64
	MaxStreams           int
	MaxConsumers         int
	MaxAckPending        int // of each consumer
	MemoryMaxStreamBytes int64
	StoreMaxStreamBytes  int64
	MaxBytesRequired     bool // streams must state how large they may become
}

// JetStreamUnlimited are the limits of an account that states none.
var JetStreamUnlimited = JetStreamLimits{
	MaxMemory: -1, MaxStore: -1, MaxStreams: -1, MaxConsumers: -1, MaxAckPending: -1,
	MemoryMaxStreamBytes: -1, StoreMaxStreamBytes: -1,
}

// JetStream is what configuration grants the account; nil is nothing.
func (a *Account) JetStream() *JetStream { return a.js.Load() }

// SetJetStream grants the account j, or with nil nothing. Whoever runs JetStream asks
// for it when told that it changed.
func (a *Account) SetJetStream(j *JetStream) { a.js.Store(j) }

// equal tells whether two grants are the same.
func (j *JetStream) equal(k *JetStream) bool {
	if j == nil || k == nil {
		return j == k
	}
	return j.OwnerTraffic == k.OwnerTraffic && maps.Equal(j.Tiers, k.Tiers)
}
