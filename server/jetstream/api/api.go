// Package api is the vocabulary of JetStream on the wire: requests and responses and
// their JSON, error numbers and texts, subjects, headers, status lines, advisories; and
// the rules that configurations of streams and consumers are held to.
//
// It is pure: no state, no clock, no strand, no randomness. Whoever calls hands in what
// the rules depend on, such as limits and the other streams of an account. What is
// needed once a message (acks, publish headers, pull requests) does not allocate;
// the rest uses encoding/json. It never decides what a server does with a request.
package api

// Level is the API level of this server: what Nats-Required-Api-Level may ask for.
const Level = 5

// Limits of every server.
const (
	NameMax        = 255       // bytes of a stream's or consumer's name
	DescriptionMax = 4096      // bytes
	MetadataMax    = 128 << 10 // bytes of all keys and values
	ReplicasMax    = 5
	BatchIDMax     = 64       // bytes
	HeaderMax      = 65535    // bytes of a stored header block
	RecordMax      = 32 << 20 // bytes of a stored message
	NamesPage      = 1024     // names a page
	ListPage       = 256      // infos a page
	SubjectsPage   = 100_000  // subjects a page of a stream's info
	MultiLastMax   = 1024     // subjects of a direct get of several last messages
	BatchMsgsMax   = 1000     // of an atomic batch, unless configured
	PriorityMax    = 9        // the least urgent of a prioritized pull
	PinIDLen       = 22
)
