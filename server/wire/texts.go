package wire

import "strconv"

// The texts of -ERR. Client libraries compare them, so each is exact to the byte.
const (
	// These close the connection.
	TextUnknownProtocol       = "Unknown Protocol Operation"
	TextMaxControlLine        = "maximum control line exceeded"
	TextMaxPayload            = "Maximum Payload Violation"
	TextMaxConnections        = "maximum connections exceeded"
	TextMaxAccountConnections = "maximum account active connections exceeded"
	TextInvalidClientProtocol = "invalid client protocol"
	TextNoRespondersHeaders   = "no responders requires headers support"
	TextAuthViolation         = "Authorization Violation"
	TextAuthTimeout           = "Authentication Timeout"
	TextAuthExpired           = "User Authentication Expired"
	TextAccountAuthExpired    = "Account Authentication Expired"
	TextAuthRevoked           = "User Authentication Revoked"
	TextThrottled             = "Connection throttling is active. Please try again later."
	TextStaleConnection       = "Stale Connection"
	TextTLSRequired           = "Secure Connection - TLS Required"
	TextRoutePort             = "attempted to connect to route port"
	TextGatewayPort           = "attempted to connect to gateway port"
	TextLeafNodePort          = "attempted to connect to leaf node port"

	// These leave it open.
	TextInvalidSubject        = "Invalid Subject"
	TextInvalidPublishSubject = "Invalid Publish Subject"
	// TextMaxSubscriptions closes only when a limit is applied below what is in use.
	TextMaxSubscriptions = "maximum subscriptions exceeded"
	// TextFailedRegistration closes nothing by itself.
	TextFailedRegistration = "Failed Account Registration"
)

// TextPublishViolation is the answer to a publish that is not allowed.
func TextPublishViolation(subject []byte) string {
	return "Permissions Violation for Publish to " + strconv.Quote(string(subject))
}

// TextReplyViolation is the answer to a publish with a reserved reply subject.
func TextReplyViolation(reply []byte) string {
	return "Permissions Violation for Publish with Reply of " + strconv.Quote(string(reply))
}

// TextSubscribeViolation is the answer to a subscription that is not allowed;
// queue is empty for a plain one.
func TextSubscribeViolation(subject, queue []byte) string {
	s := "Permissions Violation for Subscription to " + strconv.Quote(string(subject))
	if len(queue) > 0 {
		s += " using queue " + strconv.Quote(string(queue))
	}
	return s
}

// TextSubscriptionRemoved tells that a live subscription lost its permission;
// queue is empty for a plain one.
func TextSubscriptionRemoved(subject, queue, sid []byte) string {
	return TextSubscribeViolation(subject, queue) + " (sid " + strconv.Quote(string(sid)) + ")"
}

// TextTooManyTokens is the answer to a subscription with more tokens than allowed.
func TextTooManyTokens(subject []byte) string {
	return TextSubscribeViolation(subject, nil) + ", too many tokens"
}
