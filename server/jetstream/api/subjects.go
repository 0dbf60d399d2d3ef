package api

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/lockstepmq/lockstep/server/jsonstring"
)

// Prefixes of subjects.
const (
	Prefix            = "$JS.API." // of requests
	AckPrefix         = "$JS.ACK."
	FlowControlPrefix = "$JS.FC."
	SnapshotAckPrefix = "$JS.SNAPSHOT.ACK."
	RestorePrefix     = "$JS.SNAPSHOT.RESTORE."
)

// DomainPrefix is what the requests to a domain begin with.
func DomainPrefix(domain string) string { return "$JS." + domain + ".API." }

// Endpoint is a kind of request.
type Endpoint uint8

// The endpoints. What they are asked for is what stands in [Call].
const (
	EndpointNone Endpoint = iota
	EndpointAccountInfo
	EndpointStreamCreate
	EndpointStreamUpdate
	EndpointStreamNames
	EndpointStreamList
	EndpointStreamInfo
	EndpointStreamDelete
	EndpointStreamPurge
	EndpointMsgGet
	EndpointMsgDelete
	EndpointStreamSnapshot
	EndpointStreamRestore
	EndpointStreamPeerRemove
	EndpointStreamPeerEvacuate
	EndpointStreamCancelMove
	EndpointStreamStepdown
	EndpointConsumerCreate  // with or without a consumer and a filter in the subject
	EndpointConsumerDurable // the old form
	EndpointConsumerNames
	EndpointConsumerList
	EndpointConsumerInfo
	EndpointConsumerDelete
	EndpointConsumerPause
	EndpointConsumerUnpin
	EndpointConsumerReset
	EndpointConsumerStepdown
	EndpointMsgNext
	EndpointDirectGet
	EndpointMetaStepdown
	EndpointMetaRescue
	EndpointServerRemove
	EndpointServerEvacuate
	EndpointAccountPurge
	EndpointAccountStreamMove
	EndpointAccountStreamCancelMove
	endpoints
)

// form is what comes after an endpoint's words.
type form uint8

const (
	bare     form = iota // nothing
	stream               // S
	streamC              // S.C
	streamC3             // S, S.C or S.C.filter
	streamT              // S or S.tail
	acc                  // A
	accS                 // A.S
)

// endpoint is a row of the table.
type endpoint struct {
	words string // after the prefix; with a dot at the end if something follows
	form  form
	typ   string // of the response
	zero  string // JSON of a refusal, after the error
}

const paged = `,"total":0,"offset":0,"limit":0`

var table = [endpoints]endpoint{
	EndpointAccountInfo:             {"INFO", bare, "account_info", ""},
	EndpointStreamCreate:            {"STREAM.CREATE.", stream, "stream_create", ""},
	EndpointStreamUpdate:            {"STREAM.UPDATE.", stream, "stream_update", ""},
	EndpointStreamNames:             {"STREAM.NAMES", bare, "stream_names", paged + `,"streams":null`},
	EndpointStreamList:              {"STREAM.LIST", bare, "stream_list", paged + `,"streams":[]`},
	EndpointStreamInfo:              {"STREAM.INFO.", stream, "stream_info", paged},
	EndpointStreamDelete:            {"STREAM.DELETE.", stream, "stream_delete", ""},
	EndpointStreamPurge:             {"STREAM.PURGE.", stream, "stream_purge", `,"purged":0`},
	EndpointMsgGet:                  {"STREAM.MSG.GET.", stream, "stream_msg_get", ""},
	EndpointMsgDelete:               {"STREAM.MSG.DELETE.", stream, "stream_msg_delete", ""},
	EndpointStreamSnapshot:          {"STREAM.SNAPSHOT.", stream, "stream_snapshot", ""},
	EndpointStreamRestore:           {"STREAM.RESTORE.", stream, "stream_restore", `,"deliver_subject":""`},
	EndpointStreamPeerRemove:        {"STREAM.PEER.REMOVE.", stream, "stream_remove_peer", ""},
	EndpointStreamPeerEvacuate:      {"STREAM.PEER.EVACUATE.", stream, "stream_evacuate_peer", ""},
	EndpointStreamCancelMove:        {"STREAM.CANCEL_MOVE.", stream, "stream_cancel_move", ""},
	EndpointStreamStepdown:          {"STREAM.LEADER.STEPDOWN.", stream, "stream_leader_stepdown", ""},
	EndpointConsumerCreate:          {"CONSUMER.CREATE.", streamC3, "consumer_create", ""},
	EndpointConsumerDurable:         {"CONSUMER.DURABLE.CREATE.", streamC, "consumer_create", ""},
	EndpointConsumerNames:           {"CONSUMER.NAMES.", stream, "consumer_names", paged + `,"consumers":[]`},
	EndpointConsumerList:            {"CONSUMER.LIST.", stream, "consumer_list", paged + `,"consumers":[]`},
	EndpointConsumerInfo:            {"CONSUMER.INFO.", streamC, "consumer_info", ""},
	EndpointConsumerDelete:          {"CONSUMER.DELETE.", streamC, "consumer_delete", ""},
	EndpointConsumerPause:           {"CONSUMER.PAUSE.", streamC, "consumer_pause", `,"paused":false,"pause_until":"0001-01-01T00:00:00Z"`},
	EndpointConsumerUnpin:           {"CONSUMER.UNPIN.", streamC, "consumer_unpin", ""},
	EndpointConsumerReset:           {"CONSUMER.RESET.", streamC, "consumer_reset", `,"reset_seq":0`},
	EndpointConsumerStepdown:        {"CONSUMER.LEADER.STEPDOWN.", streamC, "consumer_leader_stepdown", ""},
	EndpointMsgNext:                 {"CONSUMER.MSG.NEXT.", streamC, "", ""},
	EndpointDirectGet:               {"DIRECT.GET.", streamT, "", ""},
	EndpointMetaStepdown:            {"META.LEADER.STEPDOWN", bare, "meta_leader_stepdown", ""},
	EndpointMetaRescue:              {"META.RESCUE", bare, "meta_rescue", ""},
	EndpointServerRemove:            {"SERVER.REMOVE", bare, "meta_server_remove", ""},
	EndpointServerEvacuate:          {"SERVER.EVACUATE", bare, "meta_server_remove", ""},
	EndpointAccountPurge:            {"ACCOUNT.PURGE.", acc, "account_purge", ""},
	EndpointAccountStreamMove:       {"ACCOUNT.STREAM.MOVE.", accS, "stream_update", ""},
	EndpointAccountStreamCancelMove: {"ACCOUNT.STREAM.CANCEL_MOVE.", accS, "stream_update", ""},
}

// ResponseType is the type that responses of an endpoint state; "" where they are no JSON.
func (e Endpoint) ResponseType() string {
	if table[e].typ == "" {
		return ""
	}
	return "io.nats.jetstream.api.v1." + table[e].typ + "_response"
}

// Response begins a successful response.
func (e Endpoint) Response() ApiResponse { return ApiResponse{Type: e.ResponseType()} }

// Refusal is the JSON of a response that is an error.
func (e Endpoint) Refusal(err *Error) []byte {
	dst := make([]byte, 0, 256)
	dst = append(dst, `{"type":`...)
	dst = jsonstring.Append(dst, e.ResponseType())
	dst = append(dst, `,"error":`...)
	dst = AppendError(dst, err)
	dst = append(dst, table[e].zero...)
	return append(dst, '}')
}

// Informs tells whether the endpoint only tells something, and so waits in the lower of
// the two queues.
func (e Endpoint) Informs() bool {
	switch e {
	case EndpointAccountInfo, EndpointStreamNames, EndpointStreamList, EndpointStreamInfo, EndpointConsumerNames, EndpointConsumerList, EndpointConsumerInfo:
		return true
	}
	return false
}

// Pattern is the wildcard subject of an endpoint's requests, prefix included. Those with a
// tail match what ends before it too, and so do not have one.
func (e Endpoint) Pattern() string {
	words := Prefix + table[e].words
	switch table[e].form {
	case stream, acc:
		return words + "*"
	case streamC, accS:
		return words + "*.*"
	case streamC3, streamT:
		return words + ">"
	}
	return words
}

// Call is what a request's subject says. Fields that its endpoint does not have are empty.
type Call struct {
	Endpoint Endpoint
	Account  string
	Stream   string
	Consumer string
	Tail     string // filter of CONSUMER.CREATE, subject of DIRECT.GET
}

// ParseCall takes a request's subject apart. It allocates nothing: the parts are the
// subject's. False is a subject that no endpoint has.
func ParseCall(subject string) (Call, bool) {
	rest, ok := strings.CutPrefix(subject, Prefix)
	if !ok {
		return Call{}, false
	}
	for e := EndpointAccountInfo; e < endpoints; e++ {
		row := &table[e]
		if row.form == bare {
			if rest == row.words {
				return Call{Endpoint: e}, true
			}
			continue
		}
		if args, ok := strings.CutPrefix(rest, row.words); ok {
			return row.form.parse(e, args)
		}
	}
	return Call{}, false
}

// parse reads what comes after an endpoint's words.
func (f form) parse(e Endpoint, args string) (Call, bool) {
	first, rest, more := strings.Cut(args, ".")
	second, tail, deeper := strings.Cut(rest, ".")
	switch f {
	case stream:
		return Call{Endpoint: e, Stream: first}, !more && first != ""
	case streamC:
		return Call{Endpoint: e, Stream: first, Consumer: second}, more && !deeper && first != "" && second != ""
	case streamC3:
		ok := first != "" && (!more || second != "") && (!deeper || tail != "")
		return Call{Endpoint: e, Stream: first, Consumer: second, Tail: tail}, ok
	case streamT:
		return Call{Endpoint: e, Stream: first, Tail: rest}, first != "" && (!more || rest != "")
	case acc:
		return Call{Endpoint: e, Account: first}, !more && first != ""
	case accS:
		return Call{Endpoint: e, Account: first, Stream: second}, more && !deeper && first != "" && second != ""
	}
	return Call{}, false
}

// LastToken gives what comes after the last dot: of a pull request's subject, the consumer.
func LastToken(subject []byte) []byte { return subject[bytes.LastIndexByte(subject, '.')+1:] }

// PullSubject is where pull requests to a consumer go; with "*" for it, those to all of a stream.
func PullSubject(stream, consumer string) string {
	return Prefix + table[EndpointMsgNext].words + stream + "." + consumer
}

// DirectSubject is where direct gets of a stream go; they go deeper, too, to end with a subject.
func DirectSubject(stream string) string { return Prefix + table[EndpointDirectGet].words + stream }

// SnapshotAckSubject is where the receiver of a snapshot acknowledges a chunk.
func SnapshotAckSubject(stream, id string, size, index int) string {
	return SnapshotAckPrefix + stream + "." + id + "." + strconv.Itoa(size) + "." + strconv.Itoa(index)
}

// RestoreSubject is where the chunks of a restore are sent.
func RestoreSubject(stream, id string) string { return RestorePrefix + stream + "." + id }
