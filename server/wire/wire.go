// Package wire owns the bytes of the client protocol and of the protocol of routes: it
// turns what a peer sent into operations and operations into what a peer must read, on
// both sides.
//
// Everything here is sans-IO. A [Parser], [ClientParser] or [RouteParser] belongs to one
// connection and is used on that connection's strand only; the encoders and
// header helpers are pure functions that any strand may call. The package never
// judges permissions, subjects or state, reads no clock and holds no lock.
//
// # Invariants
//
//   - Any split of a byte stream into reads yields the same operations and the
//     same kind of error.
//   - What a parser holds is bounded by its limits and by what has arrived: an
//     announced size alone reserves at most 64 KB.
//   - An operation that lies whole in one read is not copied, and parsing it
//     allocates nothing.
package wire

// Verb names an operation of the protocol.
type Verb uint8

// The verbs of all directions. VerbMsg is only ever read by clients, VerbHmsg by them
// and by the peers of routes, whose verbs are the last ones.
const (
	VerbNone Verb = iota
	VerbConnect
	VerbPub
	VerbHpub
	VerbSub
	VerbUnsub
	VerbPing
	VerbPong
	VerbInfo
	VerbOK
	VerbErr
	VerbMsg
	VerbHmsg
	VerbRSub   // interest of a peer: announced
	VerbRUnsub // and withdrawn
	VerbLSub   // the same of leafnodes of a cluster
	VerbLUnsub
	VerbRmsg
	VerbLmsg // a message that came from a leafnode of a cluster
)

var verbNames = [...]string{
	VerbNone: "none", VerbConnect: "CONNECT", VerbPub: "PUB", VerbHpub: "HPUB", VerbSub: "SUB", VerbUnsub: "UNSUB",
	VerbPing: "PING", VerbPong: "PONG", VerbInfo: "INFO", VerbOK: "+OK", VerbErr: "-ERR", VerbMsg: "MSG", VerbHmsg: "HMSG",
	VerbRSub: "RS+", VerbRUnsub: "RS-", VerbLSub: "LS+", VerbLUnsub: "LS-", VerbRmsg: "RMSG", VerbLmsg: "LMSG",
}

// String gives the verb as it is written on the wire.
func (v Verb) String() string {
	if int(v) < len(verbNames) {
		return verbNames[v]
	}
	return "unknown"
}

// Op is one operation. Its slices are valid until the next call of Next on the
// parser that filled it, or until the bytes given to Next change. Fields that do
// not belong to the verb are empty. Callers hand the same Op in again, unchanged,
// or a zero one.
type Op struct {
	Verb    Verb
	Subject []byte // PUB, HPUB, SUB, MSG, HMSG
	Reply   []byte // PUB, HPUB, MSG, HMSG; nil without one
	Queue   []byte // SUB; nil without one
	SID     []byte // SUB, UNSUB, MSG, HMSG
	Header  int    // bytes of the header block at the start of Payload: HPUB, HMSG
	Payload []byte // header block and body, without the final CRLF
	Max     int    // UNSUB: the number given; 0 when there is none or it is not a number
	Arg     []byte // CONNECT and INFO: JSON; -ERR: text, as sent
}

// Limits of the protocol that are not configured.
const (
	DefaultMaxControlLine = 4096    // bytes of arguments on a control line
	DefaultMaxPayload     = 1 << 20 // bytes of header block and body
	sizeDigitsMax         = 9       // digits of a size or of an UNSUB count
)

// First tells whether the first byte of a connection begins a CONNECT, which is
// the only operation a server that requires authentication accepts first.
func First(in []byte) bool { return len(in) > 0 && in[0]|0x20 == 'c' }
