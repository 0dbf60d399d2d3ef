package api

import (
	"bytes"
	"encoding/json"
	"strconv"
	"time"
)

// AckReply is what the reply subject of a delivered message says. Account and Domain are of the second
// version only; a domain that is not set is "_" there and nil here.
type AckReply struct {
	Domain      []byte
	Account     []byte // hash
	Stream      []byte
	Consumer    []byte
	Delivered   uint64 // how often, this time included
	StreamSeq   uint64
	ConsumerSeq uint64
	Time        int64  // when the message was stored, nanoseconds since 1970
	Pending     uint64 // what is left to deliver after it
}

// AckHead is what the reply subjects of all messages of a consumer begin with.
func AckHead(stream, consumer string) string { return AckPrefix + stream + "." + consumer + "." }

// AckHeadV2 is [AckHead] in the second version, which says whose consumer it is. An empty
// domain is written as "_".
func AckHeadV2(domain, accountHash, stream, consumer string) string {
	if domain == "" {
		domain = "_"
	}
	return AckPrefix + domain + "." + accountHash + "." + stream + "." + consumer + "."
}

// AppendAckReply appends the reply subject of a message to dst. head is [AckHead] or
// [AckHeadV2] of its consumer.
func AppendAckReply(dst []byte, head string, delivered, streamSeq, consumerSeq uint64, stored int64, pending uint64) []byte {
	dst = append(dst, head...)
	dst = append(strconv.AppendUint(dst, delivered, 10), '.')
	dst = append(strconv.AppendUint(dst, streamSeq, 10), '.')
	dst = append(strconv.AppendUint(dst, consumerSeq, 10), '.')
	dst = append(strconv.AppendInt(dst, stored, 10), '.')
	return strconv.AppendUint(dst, pending, 10)
}

// ParseAckReply reads the subject of an ack, of either version, into r. It allocates
// nothing: the names are parts of the subject.
func ParseAckReply(subject []byte, r *AckReply) bool {
	*r = AckReply{}
	rest, found := bytes.CutPrefix(subject, []byte(AckPrefix))
	if !found {
		return false
	}
	switch tokens := bytes.Count(rest, dot) + 1; {
	case tokens == 7:
	case tokens >= 9:
		r.Domain, rest, _ = bytes.Cut(rest, dot)
		r.Account, rest, _ = bytes.Cut(rest, dot)
		if string(r.Domain) == "_" {
			r.Domain = nil
		}
	default:
		return false
	}
	r.Stream, rest, _ = bytes.Cut(rest, dot)
	r.Consumer, rest, _ = bytes.Cut(rest, dot)
	if len(r.Stream) == 0 || len(r.Consumer) == 0 {
		return false
	}
	return r.parseNumbers(rest)
}

var dot = []byte{'.'}

func (r *AckReply) parseNumbers(rest []byte) bool {
	var stored uint64
	for _, field := range [...]*uint64{&r.Delivered, &r.StreamSeq, &r.ConsumerSeq, &stored, &r.Pending} {
		token, more, _ := bytes.Cut(rest, dot)
		n, ok := parseUint(token)
		if !ok {
			return false
		}
		*field, rest = n, more
	}
	r.Time = int64(stored)
	return true
}

// AckKind is what an ack says.
type AckKind uint8

const (
	AckUnknown AckKind = iota // answered, and nothing else
	AckDone
	AckNak      // deliver again, at once or after a delay
	AckProgress // gives the worker its time again
	AckNext     // done, and a pull request
	AckTerm     // never deliver again
)

// Ack is the payload of an ack.
type Ack struct {
	Kind   AckKind
	Delay  time.Duration // of AckNak, not negative; 0 is at once
	Reason []byte        // of AckTerm
	Pull   []byte        // of AckNext: body of the request
}

// ParseAck reads the payload of an ack. Reason and Pull are parts of it.
func ParseAck(p []byte) Ack {
	if len(p) == 0 {
		return Ack{Kind: AckDone}
	}
	switch {
	case string(p) == "+ACK" || string(p) == "+OK":
		return Ack{Kind: AckDone}
	case bytes.HasPrefix(p, []byte("+NXT")):
		return Ack{Kind: AckNext, Pull: bytes.TrimSpace(p[4:])}
	case bytes.HasPrefix(p, []byte("-NAK")):
		return Ack{Kind: AckNak, Delay: parseDelay(p[4:])}
	case string(p) == "+WPI":
		return Ack{Kind: AckProgress}
	case bytes.HasPrefix(p, []byte("+TERM")):
		return Ack{Kind: AckTerm, Reason: bytes.TrimSpace(p[5:])}
	}
	return Ack{}
}

// parseDelay reads what comes after -NAK: an object with a delay in nanoseconds, or a
// duration in Go's notation. What is neither is no delay.
func parseDelay(p []byte) time.Duration {
	p = bytes.TrimSpace(p)
	if len(p) == 0 {
		return 0
	}
	if p[0] == '{' {
		var nak struct {
			Delay time.Duration `json:"delay"`
		}
		if json.Unmarshal(p, &nak) != nil {
			return 0
		}
		return max(nak.Delay, 0)
	}
	d, err := time.ParseDuration(string(p))
	if err != nil {
		return 0
	}
	return max(d, 0)
}

// AppendFlowControl appends the reply subject of a flow control request. head is
// [FlowControlHead] or [FlowControlHeadV2], id four characters.
func AppendFlowControl(dst []byte, head, id string) []byte {
	return append(append(dst, head...), id...)
}

// FlowControlHead is what the flow control subjects of a consumer begin with.
func FlowControlHead(stream, consumer string) string {
	return FlowControlPrefix + stream + "." + consumer + "."
}

// FlowControlHeadV2 is [FlowControlHead] in the second version.
func FlowControlHeadV2(domain, accountHash, stream, consumer string) string {
	if domain == "" {
		domain = "_"
	}
	return FlowControlPrefix + domain + "." + accountHash + "." + stream + "." + consumer + "."
}

// FlowControlID makes the id of a flow control request of a random number.
func FlowControlID(random uint64) string { return nameOf(random, 4) }

// ParseFlowReply gives the consumer that the answer to a flow control request is for, by the
// answer's subject, in either version.
func ParseFlowReply(subject []byte) (consumer []byte, ok bool) {
	rest, found := bytes.CutPrefix(subject, []byte(FlowControlPrefix))
	if !found {
		return nil, false
	}
	switch bytes.Count(rest, dot) + 1 {
	case 3:
	case 5:
		_, rest, _ = bytes.Cut(rest, dot)
		_, rest, _ = bytes.Cut(rest, dot)
	default:
		return nil, false
	}
	stream, rest, _ := bytes.Cut(rest, dot)
	consumer, id, _ := bytes.Cut(rest, dot)
	return consumer, len(stream) > 0 && len(consumer) > 0 && len(id) > 0
}
