package api

import (
	"encoding/json"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDecodeErrorsAsRecorded(t *testing.T) {
	types := map[string]func() any{
		"StreamConfigRequest":        func() any { return &StreamConfigRequest{} },
		"CreateConsumerRequest":      func() any { return &CreateConsumerRequest{} },
		"JSApiStreamNamesRequest":    func() any { return &JSApiStreamNamesRequest{} },
		"JSApiStreamListRequest":     func() any { return &JSApiStreamListRequest{} },
		"JSApiStreamInfoRequest":     func() any { return &JSApiStreamInfoRequest{} },
		"JSApiStreamPurgeRequest":    func() any { return &JSApiStreamPurgeRequest{} },
		"JSApiMsgGetRequest":         func() any { return &JSApiMsgGetRequest{} },
		"JSApiMsgDeleteRequest":      func() any { return &JSApiMsgDeleteRequest{} },
		"JSApiStreamSnapshotRequest": func() any { return &JSApiStreamSnapshotRequest{} },
		"JSApiStreamRestoreRequest":  func() any { return &JSApiStreamRestoreRequest{} },
		"JSApiConsumersRequest":      func() any { return &JSApiConsumersRequest{} },
		"JSApiConsumerPauseRequest":  func() any { return &JSApiConsumerPauseRequest{} },
		"JSApiConsumerUnpinRequest":  func() any { return &JSApiConsumerUnpinRequest{} },
		"JSApiConsumerResetRequest":  func() any { return &JSApiConsumerResetRequest{} },
	}
	// Where a body is optional, what does not look like one is none; others take no body at
	// all, and a few are never read strictly.
	optional := map[string]bool{
		"JSApiStreamNamesRequest": true, "JSApiStreamListRequest": true, "JSApiStreamInfoRequest": true,
		"JSApiStreamPurgeRequest": true, "JSApiConsumersRequest": true, "JSApiConsumerPauseRequest": true,
	}
	lenient := map[string]bool{"JSApiConsumerUnpinRequest": true, "JSApiConsumerResetRequest": true}
	eachLine(t, "decode.jsonl", func(line []byte) {
		var x struct {
			Type, Body, Error string
			Strict            bool
		}
		require.NoError(t, json.Unmarshal(line, &x))
		if optional[x.Type] && !HasBody([]byte(x.Body)) {
			require.Empty(t, x.Error, "%s", line)
			return
		}
		got := ""
		err := Decode([]byte(x.Body), types[x.Type](), x.Strict)
		if lenient[x.Type] {
			err = DecodeLenient([]byte(x.Body), types[x.Type]())
		}
		if err != nil {
			require.ErrorIs(t, err, ErrInvalidJSON)
			got = err.Description
		}
		require.Equal(t, x.Error, got, "%s", line)
	})
}

func TestEmptyBodies(t *testing.T) {
	for _, tc := range []struct {
		body          string
		optional, non bool
	}{
		{"", false, true},
		{"{}", true, true},
		{"{ }", true, true},
		{" {} ", true, true},
		{"\t\r\n{\n}", true, true},
		{" ", false, false},
		{"[]", true, false},
		{"null", false, false},
		{"x", false, false},
		{`{"a":1}`, true, false},
		{"}", false, false},
		{"{", true, false},
	} {
		require.Equal(t, tc.optional, HasBody([]byte(tc.body)), "%q as an optional body", tc.body)
		require.Equal(t, tc.non, IsEmpty([]byte(tc.body)), "%q as no body", tc.body)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"name":"Q"}{"max_msgs":"x"}`))
	f.Add([]byte(`{"stream_name":"S","config":{"backoff":[1],"opt_start_time":"2024-01-01T00:00:00Z"},"action":"create"}`))
	f.Add([]byte(`{"mirror":{"name":"a","subject_transforms":[{"src":"a.*","dest":"b.$1"}]}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, strict := range []bool{true, false} {
			var s StreamConfigRequest
			if Decode(body, &s, strict) == nil {
				c, err := CheckStreamCreate(&s.StreamConfig, StreamLimits{}, s.Pedantic)
				if err == nil {
					again, err := CheckStreamConfig(c, StreamLimits{}, s.Pedantic)
					if err == nil && !again.Equal(c) {
						t.Fatalf("defaults of defaults differ: %s and %s", Marshal(c), Marshal(again))
					}
				}
			}
			var r CreateConsumerRequest
			if Decode(body, &r, strict) != nil || CheckConsumerRequest(r.Stream, "c", "", false, &r) != nil {
				continue
			}
			stream := &StreamConfig{Name: "S", Subjects: []string{"s.>"}, Replicas: 1, Retention: WorkQueuePolicy}
			c, err := CheckConsumerConfig(&r.Config, stream, ConsumerServerLimits{}, r.Pedantic)
			if err == nil {
				CheckConsumerFilters(c, stream, [][]string{{"s.a"}})
			}
		}
	})
}
