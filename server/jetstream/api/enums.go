package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// RetentionPolicy says what removes messages from a stream.
type RetentionPolicy uint8

const (
	LimitsPolicy    RetentionPolicy = iota // limits only
	InterestPolicy                         // when every consumer is done with it
	WorkQueuePolicy                        // when its consumer is done with it
)

// DiscardPolicy says what a full stream does.
type DiscardPolicy uint8

const (
	DiscardOld DiscardPolicy = iota // removes its oldest message
	DiscardNew                      // refuses the new one
)

// StorageType says where a stream keeps its messages.
type StorageType uint8

const (
	FileStorage StorageType = iota
	MemoryStorage
)

// StoreCompression says how a file store compresses its blocks.
type StoreCompression uint8

const (
	NoCompression StoreCompression = iota
	S2Compression
)

// PersistMode says when a publish is acknowledged.
type PersistMode uint8

const (
	DefaultPersistMode PersistMode = iota // once it is as durable as the server makes anything
	AsyncPersistMode                      // once it is written to memory
)

// DeliverPolicy says where a consumer starts.
type DeliverPolicy uint8

const (
	DeliverAll DeliverPolicy = iota
	DeliverLast
	DeliverNew
	DeliverByStartSequence
	DeliverByStartTime
	DeliverLastPerSubject
)

// AckPolicy says how messages of a consumer are acknowledged.
type AckPolicy uint8

const (
	AckNone AckPolicy = iota
	AckAll
	AckExplicit
	AckFlowControl
)

// ReplayPolicy says how fast a consumer sends what was stored.
type ReplayPolicy uint8

const (
	ReplayInstant ReplayPolicy = iota
	ReplayOriginal
)

// PriorityPolicy says which pull request of a group is served first.
type PriorityPolicy uint8

const (
	PriorityNone PriorityPolicy = iota
	PriorityOverflow
	PriorityPinnedClient
	PriorityPrioritized
)

// ConsumerAction says what a create request may do.
type ConsumerAction uint8

const (
	ActionCreateOrUpdate ConsumerAction = iota
	ActionCreate
	ActionUpdate
)

var (
	retentionTexts   = []string{"limits", "interest", "workqueue"}
	discardTexts     = []string{"old", "new"}
	storageTexts     = []string{"file", "memory"}
	compressionTexts = []string{"none", "s2"}
	persistTexts     = []string{"default", "async"}
	deliverTexts     = []string{"all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject"}
	ackTexts         = []string{"none", "all", "explicit", "flow_control"}
	replayTexts      = []string{"instant", "original"}
	priorityTexts    = []string{"none", "overflow", "pinned_client", "prioritized"}
	actionTexts      = []string{"", "create", "update"}
)

// text gives the text of an enum's value, or says that it has none.
func text[T ~uint8](texts []string, v T) string {
	if int(v) < len(texts) {
		return texts[v]
	}
	return fmt.Sprintf("unknown(%d)", v)
}

// encode gives the JSON of an enum's value.
func encode[T ~uint8](texts []string, v T) ([]byte, error) {
	if int(v) >= len(texts) {
		return nil, fmt.Errorf("can not marshal %d", v)
	}
	return json.Marshal(texts[v])
}

// decode finds an enum's value by its JSON, which must be one of the texts.
func decode[T ~uint8](texts []string, data []byte, v *T) bool {
	if len(data) < 2 || data[0] != '"' {
		return false
	}
	for i, t := range texts {
		if string(data[1:len(data)-1]) == t {
			*v = T(i)
			return true
		}
	}
	return false
}

func cannotUnmarshal(data []byte) error { return fmt.Errorf("can not unmarshal %q", data) }

func (v RetentionPolicy) String() string               { return text(retentionTexts, v) }
func (v RetentionPolicy) MarshalJSON() ([]byte, error) { return encode(retentionTexts, v) }
func (v *RetentionPolicy) UnmarshalJSON(data []byte) error {
	if !decode(retentionTexts, data, v) {
		return cannotUnmarshal(data)
	}
	return nil
}

func (v DiscardPolicy) String() string               { return text(discardTexts, v) }
func (v DiscardPolicy) MarshalJSON() ([]byte, error) { return encode(discardTexts, v) }

// UnmarshalJSON does not mind upper case.
func (v *DiscardPolicy) UnmarshalJSON(data []byte) error {
	if !decode(discardTexts, bytes.ToLower(data), v) {
		return cannotUnmarshal(data)
	}
	return nil
}

func (v StorageType) String() string               { return text(storageTexts, v) }
func (v StorageType) MarshalJSON() ([]byte, error) { return encode(storageTexts, v) }
func (v *StorageType) UnmarshalJSON(data []byte) error {
	if !decode(storageTexts, data, v) {
		return cannotUnmarshal(data)
	}
	return nil
}

func (v StoreCompression) String() string               { return text(compressionTexts, v) }
func (v StoreCompression) MarshalJSON() ([]byte, error) { return encode(compressionTexts, v) }
func (v *StoreCompression) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	for i, t := range compressionTexts {
		if s == t {
			*v = StoreCompression(i)
			return nil
		}
	}
	return errors.New("unknown compression algorithm")
}

func (v PersistMode) String() string               { return text(persistTexts, v) }
func (v PersistMode) MarshalJSON() ([]byte, error) { return encode(persistTexts, v) }
func (v *PersistMode) UnmarshalJSON(data []byte) error {
	if string(data) == `""` {
		*v = DefaultPersistMode
		return nil
	}
	if !decode(persistTexts, data, v) {
		return cannotUnmarshal(data)
	}
	return nil
}

func (v DeliverPolicy) String() string               { return text(deliverTexts, v) }
func (v DeliverPolicy) MarshalJSON() ([]byte, error) { return encode(deliverTexts, v) }

// UnmarshalJSON takes "undefined" for all.
func (v *DeliverPolicy) UnmarshalJSON(data []byte) error {
	if string(data) == `"undefined"` {
		*v = DeliverAll
		return nil
	}
	if !decode(deliverTexts, data, v) {
		return cannotUnmarshal(data)
	}
	return nil
}

// spoken is how error texts name the policy.
func (v DeliverPolicy) spoken() string { return strings.ReplaceAll(v.String(), "_", " ") }

func (v AckPolicy) String() string               { return text(ackTexts, v) }
func (v AckPolicy) MarshalJSON() ([]byte, error) { return encode(ackTexts, v) }
func (v *AckPolicy) UnmarshalJSON(data []byte) error {
	if !decode(ackTexts, data, v) {
		return cannotUnmarshal(data)
	}
	return nil
}

func (v ReplayPolicy) String() string               { return text(replayTexts, v) }
func (v ReplayPolicy) MarshalJSON() ([]byte, error) { return encode(replayTexts, v) }
func (v *ReplayPolicy) UnmarshalJSON(data []byte) error {
	if !decode(replayTexts, data, v) {
		return cannotUnmarshal(data)
	}
	return nil
}

func (v PriorityPolicy) String() string               { return text(priorityTexts, v) }
func (v PriorityPolicy) MarshalJSON() ([]byte, error) { return encode(priorityTexts, v) }
func (v *PriorityPolicy) UnmarshalJSON(data []byte) error {
	if !decode(priorityTexts, data, v) {
		return fmt.Errorf("unknown priority policy: %s", data)
	}
	return nil
}

func (v ConsumerAction) String() string               { return text(actionTexts, v) }
func (v ConsumerAction) MarshalJSON() ([]byte, error) { return encode(actionTexts, v) }
func (v *ConsumerAction) UnmarshalJSON(data []byte) error {
	if !decode(actionTexts, data, v) {
		return fmt.Errorf("unknown consumer action: %s", data)
	}
	return nil
}
