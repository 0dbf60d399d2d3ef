package api

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestErrorTable holds every number, class and text.
func TestErrorTable(t *testing.T) {
	n := 0
	eachLine(t, "errors.txt", func(line []byte) {
		e := defined[n]
		require.Equal(t, string(line), fmt.Sprintf("%d %d %s", e.ErrCode, e.Code, e.Description))
		require.Same(t, e, ByCode(e.ErrCode))
		n++
	})
	require.Len(t, defined, n)
	require.Nil(t, ByCode(10000))
	require.Nil(t, ByCode(10001))
	require.Nil(t, ByCode(defined[n-1].ErrCode+1))
}

func TestErrorTexts(t *testing.T) {
	for _, tc := range []struct {
		err  *Error
		want string
	}{
		{NewStreamExternalApiOverlap("$JS.API", "$JS.API"), "stream external api prefix $JS.API must not overlap with $JS.API"},
		{NewStreamExternalDelPrefixOverlaps("a", "b"), "stream external delivery prefix a overlaps with stream subject b"},
		{NewStreamInvalidExternalDeliverySubj("a.*"), "stream external delivery prefix a.* must not contain wildcards"},
		{NewRestoreSubscribeFailed("a", io.EOF), "JetStream unable to subscribe to restore snapshot a: EOF"},
		{NewSequenceNotFound(7), "sequence 7 not found"},
		{NewStreamWrongLastMsgID(""), "wrong last msg ID: "},
		{NewStreamWrongLastSequence(1 << 63), "wrong last sequence: 9223372036854775808"},
		{NewConsumerNameTooLong(255), "consumer name is too long, maximum allowed is 255"},
		{NewConsumerDescriptionTooLong(4096), "consumer description is too long, maximum allowed is 4096"},
		{NewConsumerMaxPendingAckExcess(50), "consumer max ack pending exceeds system limit of 50"},
		{NewConsumerMaxRequestBatchExceeded(50), "consumer max request batch exceeds server limit of 50"},
		{NewConsumerMetadataLength(), "consumer metadata exceeds maximum size of 128KB"},
		{NewConsumerInactiveThresholdExcess(5 * time.Second), "consumer inactive threshold exceeds system limit of 5s"},
		{NewAtomicPublishUnsupportedHeaderBatch("X"), "atomic publish unsupported header used: X"},
		{NewAtomicPublishTooLargeBatch(1000), "atomic publish batch is too large: 1000"},
		{NewConsumerStreamIdentityMismatch("abc"), "consumer's stream identity does not match: abc"},
		{NewLimitViolation([]string{"a", "b"}), "change to limits violates consumers: a, b"},
		{ErrInvalidJSON.With("{err}"), "invalid JSON: {err}"},
		{ErrStreamCreate.Withf("%d", 5), "5"},
	} {
		require.Equal(t, tc.want, tc.err.Description)
		require.NotContains(t, strings.ReplaceAll(tc.err.Description, "JSON: {err}", ""), "{")
	}
}

func TestWrapKeepsWhatIsPrecise(t *testing.T) {
	require.Nil(t, Wrap(ErrStreamCreate, nil))
	plain := Wrap(ErrStreamRestore, io.EOF)
	require.Equal(t, "restore failed: EOF", plain.Description)
	require.ErrorIs(t, plain, ErrStreamRestore)
	require.Same(t, ErrStreamSubjectOverlap, Wrap(ErrStreamCreate, ErrStreamSubjectOverlap))
	require.Same(t, ErrStreamSubjectOverlap, Wrap(ErrStreamCreate, fmt.Errorf("more: %w", ErrStreamSubjectOverlap)))
	var typed *Error
	require.Nil(t, Wrap(ErrStreamCreate, typed), "a nil *Error inside an error is no error")
	require.False(t, errors.Is(ErrStreamCreate, ErrStreamDelete))
	require.Equal(t, "stream not found (10059)", ErrStreamNotFound.Error())
}

func TestErrorJSON(t *testing.T) {
	for _, tc := range []struct {
		err  Error
		want string
	}{
		{Error{500, 10052, "a <b> & \"c\"\n"}, `{"code":500,"err_code":10052,"description":"a \u003cb\u003e \u0026 \"c\"\n"}`},
		{Error{}, `{"code":0}`},
		{Error{400, 0, ""}, `{"code":400}`},
	} {
		require.Equal(t, tc.want, string(Marshal(tc.err)))
		require.Equal(t, tc.want, string(AppendError(nil, &tc.err)))
	}
}

func TestPubAckAllocatesNothing(t *testing.T) {
	head := AppendPubAckHead(nil, "ORDERS", "hub")
	dst := make([]byte, 0, 256)
	a := &PubAck{Stream: "ORDERS", Domain: "hub", Sequence: 7, Value: "5", BatchId: "b", BatchSize: 3}
	refused := &PubAck{Stream: "ORDERS", Error: ErrStreamSealed}
	for name, f := range map[string]func(){
		"ack":     func() { dst = AppendPubAck(dst[:0], head, 1<<40, true) },
		"full":    func() { dst = a.AppendJSON(dst[:0]) },
		"refusal": func() { dst = refused.AppendJSON(dst[:0]) },
	} {
		require.Zero(t, testing.AllocsPerRun(100, f), name)
	}
	require.Equal(t, `{"stream":"ORDERS","domain":"hub","seq":7,"duplicate": true}`, string(AppendPubAck(nil, head, 7, true)))
	require.Equal(t, `{"stream":"ORDERS","domain":"hub","seq":7}`, string(AppendPubAck(nil, head, 7, false)))
}

func BenchmarkPubAck(b *testing.B) {
	head := AppendPubAckHead(nil, "ORDERS", "")
	dst := make([]byte, 0, 128)
	b.ReportAllocs()
	for b.Loop() {
		dst = AppendPubAck(dst[:0], head, 123456789, false)
	}
}
