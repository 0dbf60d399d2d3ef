package config

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
)

// StoreCipher says how JetStream encrypts what it stores.
type StoreCipher uint8

// The ciphers.
const (
	ChaCha StoreCipher = iota
	AES
	NoCipher
)

// String returns the cipher's name.
func (c StoreCipher) String() string {
	switch c {
	case ChaCha:
		return "ChaCha20-Poly1305"
	case AES:
		return "AES-GCM"
	case NoCipher:
		return "None"
	}
	return "Unknown StoreCipher"
}

// JSLimitOpts limit what each stream and consumer of the server may ask for; 0 is no
// limit, and for batches the server's own. JSON names are those of monitoring.
type JSLimitOpts struct {
	MaxRequestBatch           int           `json:"max_request_batch,omitempty"`             // messages of one pull
	MaxAckPending             int           `json:"max_ack_pending,omitempty"`               // of a consumer
	MaxHAAssets               int           `json:"max_ha_assets,omitempty"`                 // replicated streams and consumers on this server
	Duplicates                time.Duration `json:"max_duplicate_window,omitempty"`          // the longest that a stream may have
	MaxBatchInflightPerStream int           `json:"max_batch_inflight_per_stream,omitempty"` // open batches of a stream
	MaxBatchInflightTotal     int           `json:"max_batch_inflight_total,omitempty"`      // open batches of the server
	MaxBatchSize              int           `json:"max_batch_size,omitempty"`                // messages of a batch
	MaxBatchTimeout           time.Duration `json:"max_batch_timeout,omitempty"`             // silence after which an open batch is given up
	// DefaultMaxConsumers bounds the consumers of a stream that states no maximum; -1 is
	// no limit, 0 the default.
	DefaultMaxConsumers int `json:"default_max_consumers,omitempty"`
}

// JSTpmOpts say which key of a TPM encrypts what is stored. No TPM can be used:
// [Options.CheckJetStream].
type JSTpmOpts struct {
	KeysFile    string
	KeyPassword string
	SrkPassword string
	Pcr         int
}

// What JetStream holds to when nothing else is said; sizes are bytes.
const (
	DefaultJetStreamQueueLimit    = 10_000
	DefaultJetStreamMaxCatchup    = 64 * 1024 * 1024
	DefaultJetStreamConcurrentIOs = 4096
	DefaultStreamMaxBufferedMsgs  = 100_000
	DefaultStreamMaxBufferedSize  = 128 * 1024 * 1024
	DefaultMaxConsumers           = 1000 // of a stream
	DefaultSyncInterval           = 2 * time.Minute

	// DynamicMax asks the server to take a share of what the machine has. Every
	// negative maximum does; this one is what a reload compares.
	DynamicMax = -1

	concurrentIOsMin, concurrentIOsMax = 4, 8192
)

// FlushBeforeAck reports whether what JetStream acknowledges must be on disk: unless
// a sync interval was stated, which asks for less.
func (o *Options) FlushBeforeAck() bool { return o.SyncAlways || o.SyncInterval <= 0 }

// jetStreamBaseline fills in what was left zero.
func (o *Options) jetStreamBaseline() {
	if !o.inFile["JetStreamMaxMemory"] {
		fill(&o.JetStreamMaxMemory, DynamicMax)
	}
	if !o.inFile["JetStreamMaxStore"] {
		fill(&o.JetStreamMaxStore, DynamicMax)
	}
	if o.JetStreamRequestQueueLimit <= 0 {
		o.JetStreamRequestQueueLimit = DefaultJetStreamQueueLimit
	}
	if o.JetStreamInfoQueueLimit <= 0 {
		o.JetStreamInfoQueueLimit = o.JetStreamRequestQueueLimit
	}
	fill(&o.JetStreamLimits.DefaultMaxConsumers, DefaultMaxConsumers)
	fill(&o.JetStreamConcurrentIOs, DefaultJetStreamConcurrentIOs)
}

// CheckJetStream is why JetStream, which o asks for, can not be started with them;
// [Options.Validate] refuses what a server could not even run with.
func (o *Options) CheckJetStream() error {
	if sys := cmp.Or(o.SystemAccount, account.System); slices.ContainsFunc(o.Accounts, func(a *account.Account) bool {
		return a.Name == sys && a.JetStream() != nil
	}) {
		//lint:ignore ST1005 the text is part of the interface
		return errors.New("Not allowed to enable JetStream on the system account")
	}
	if o.JetStreamTpm.KeysFile == "" {
		return nil
	}
	if o.JetStreamKey != "" {
		//lint:ignore ST1005 the text is part of the interface
		return errors.New("Can't start JetStream: JetStream encryption key may not be used with TPM options")
	}
	//lint:ignore ST1005 the text is part of the interface
	return errors.New("Can't start JetStream: TPM functionality is not supported on this platform")
}

// JetStreamWarnings are what the log says at start of settings that work and should
// not be relied on.
func (o *Options) JetStreamWarnings() []string {
	if len(o.JsAccDefaultDomain) == 0 {
		return nil
	}
	return []string{"The option `default_js_domain` is a temporary backwards compatibility measure and will be removed"}
}

func checkJetStream(o *Options) error {
	if err := checkDefaultDomains(o); err != nil {
		return err
	}
	if o.JetStreamDomain == "" {
		return nil
	}
	if strings.ContainsAny(o.JetStreamDomain, ".*>") {
		return errors.New("invalid domain name: may not contain ., * or >")
	}
	if api := "$JS." + o.JetStreamDomain + ".API.>"; !validSubject(api) {
		return fmt.Errorf("invalid domain name: derived %q is not a valid subject", api)
	}
	return nil
}

// checkDefaultDomains wants accounts that exist, and are served from elsewhere only.
func checkDefaultDomains(o *Options) error {
	var names []string
	//lockstep:ordered the names are sorted before anything sees them
	for name := range o.JsAccDefaultDomain {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		i := slices.IndexFunc(o.Accounts, func(a *account.Account) bool { return a.Name == name })
		switch {
		case i >= 0 && name == o.SystemAccount:
			return fmt.Errorf("system account %q can not be in default_js_domain", name)
		case i >= 0 && o.Accounts[i].JetStream() != nil:
			return fmt.Errorf("default_js_domain contains account name %q with enabled JetStream", name)
		case i < 0 && name != account.Global:
			return fmt.Errorf("in non operator mode, `default_js_domain` references non existing account %q", name)
		}
	}
	return nil
}

// FormatBytes writes a number of bytes for people, in units of 1024: "1.86 GB".
func FormatBytes(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	size, unit := float64(n)/1024, 0
	for ; size >= 1024; unit++ {
		size /= 1024
	}
	return fmt.Sprintf("%.2f %cB", size, "KMGTPE"[unit])
}
