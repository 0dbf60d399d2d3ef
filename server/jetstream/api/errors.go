package api

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// An Error is what the API and publishers are answered. Errors are immutable; two are the
// same for [errors.Is] when their ErrCode is.
type Error struct {
	Code        int    `json:"code"`               // in the manner of HTTP
	ErrCode     int    `json:"err_code,omitempty"` // what clients tell errors apart by
	Description string `json:"description,omitempty"`
}

// Error gives the text and the number.
func (e *Error) Error() string { return fmt.Sprintf("%s (%d)", e.Description, e.ErrCode) }

// Is tells whether target is the same error, whatever its text.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.ErrCode == e.ErrCode
}

// With gives the error with its template's {err} replaced.
func (e *Error) With(text string) *Error { return e.fill("{err}", text) }

// Withf is [Error.With] of a formatted text.
func (e *Error) Withf(format string, args ...any) *Error {
	return e.With(fmt.Sprintf(format, args...))
}

// fill replaces blanks of a template: pairs of blank and value.
func (e *Error) fill(pairs ...string) *Error {
	return &Error{e.Code, e.ErrCode, strings.NewReplacer(pairs...).Replace(e.Description)}
}

// Wrap reports err as the wrapper says, unless err is, or wraps, an *Error: that one
// is more precise and returned unchanged. It is nil when err is.
func Wrap(wrapper *Error, err error) *Error {
	if err == nil {
		return nil
	}
	if inner, ok := errors.AsType[*Error](err); ok {
		if inner == nil {
			return nil
		}
		return inner
	}
	return wrapper.With(err.Error())
}

// defined are all errors, by number.
var defined []*Error

// define makes an error of the table.
func define(code, errCode int, description string) *Error {
	e := &Error{code, errCode, description}
	defined = append(defined, e)
	return e
}

// ByCode gives the error of a number, with its template for a text, or nil.
func ByCode(errCode int) *Error {
	i, found := slices.BinarySearchFunc(defined, errCode, func(e *Error, n int) int { return e.ErrCode - n })
	if !found {
		return nil
	}
	return defined[i]
}

func NewStreamExternalApiOverlap(prefix, subject string) *Error {
	return ErrStreamExternalApiOverlap.fill("{prefix}", prefix, "{subject}", subject)
}

func NewStreamExternalDelPrefixOverlaps(prefix, subject string) *Error {
	return ErrStreamExternalDelPrefixOverlaps.fill("{prefix}", prefix, "{subject}", subject)
}

func NewStreamInvalidExternalDeliverySubj(prefix string) *Error {
	return ErrStreamInvalidExternalDeliverySubj.fill("{prefix}", prefix)
}

func NewRestoreSubscribeFailed(subject string, err error) *Error {
	return ErrRestoreSubscribeFailed.fill("{subject}", subject, "{err}", err.Error())
}

func NewSequenceNotFound(seq uint64) *Error {
	return ErrSequenceNotFound.fill("{seq}", strconv.FormatUint(seq, 10))
}

func NewStreamWrongLastMsgID(id string) *Error {
	return ErrStreamWrongLastMsgID.fill("{id}", id)
}

func NewStreamWrongLastSequence(seq uint64) *Error {
	return ErrStreamWrongLastSequence.fill("{seq}", strconv.FormatUint(seq, 10))
}

func NewConsumerNameTooLong(limit int) *Error {
	return ErrConsumerNameTooLong.fill("{max}", strconv.Itoa(limit))
}

func NewConsumerDescriptionTooLong(limit int) *Error {
	return ErrConsumerDescriptionTooLong.fill("{max}", strconv.Itoa(limit))
}

func NewConsumerMaxPendingAckExcess(limit int) *Error {
	return ErrConsumerMaxPendingAckExcess.fill("{limit}", strconv.Itoa(limit))
}

func NewConsumerMaxRequestBatchExceeded(limit int) *Error {
	return ErrConsumerMaxRequestBatchExceeded.fill("{limit}", strconv.Itoa(limit))
}

func NewConsumerMetadataLength() *Error {
	return ErrConsumerMetadataLength.fill("{limit}", strconv.Itoa(MetadataMax>>10)+"KB")
}

func NewConsumerInactiveThresholdExcess(limit time.Duration) *Error {
	return ErrConsumerInactiveThresholdExcess.fill("{limit}", limit.String())
}

func NewAtomicPublishUnsupportedHeaderBatch(header string) *Error {
	return ErrAtomicPublishUnsupportedHeaderBatch.fill("{header}", header)
}

func NewAtomicPublishTooLargeBatch(limit int) *Error {
	return ErrAtomicPublishTooLargeBatch.fill("{size}", strconv.Itoa(limit))
}

func NewConsumerStreamIdentityMismatch(current string) *Error {
	return ErrConsumerStreamIdentityMismatch.fill("{msg}", current)
}
