package config

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/config/lang"
)

// jsBlock reads a jetstream block, or a block inside it. A value of the wrong type is
// complained of at the place of the outermost block.
type jsBlock struct {
	*decoder
	at lang.Pos
}

// jsKey is one key of a block; key is its name as written.
type jsKey func(b *jsBlock, key string, v *lang.Value)

// jsKeys, jsLimitKeys, jsBatchKeys and jsTPMKeys are the keys of each block, aliases
// included. They are filled in init, since readers lead back to them.
var jsKeys, jsLimitKeys, jsBatchKeys, jsTPMKeys map[string]jsKey

func init() {
	jsKeys = map[string]jsKey{
		"enabled enable":                         jsBool("JetStream", func(o *Options) *bool { return &o.JetStream }),
		"strict":                                 (*jsBlock).strict,
		"store_dir storedir store":               (*jsBlock).storeDir,
		"max_memory_store max_mem_store max_mem": jsMax("max_mem_store", "JetStreamMaxMemory", func(o *Options) *int64 { return &o.JetStreamMaxMemory }),
		"max_file_store max_file":                jsMax("max_file_store", "JetStreamMaxStore", func(o *Options) *int64 { return &o.JetStreamMaxStore }),
		"sync_interval sync":                     (*jsBlock).syncInterval,
		"domain":                                 jsText("JetStreamDomain", func(o *Options) *string { return &o.JetStreamDomain }),
		"key ek encryption_key":                  jsText("JetStreamKey", func(o *Options) *string { return &o.JetStreamKey }),
		"prev_key prev_ek prev_encryption_key":   jsText("JetStreamOldKey", func(o *Options) *string { return &o.JetStreamOldKey }),
		"cipher":                                 (*jsBlock).cipher,
		"extension_hint":                         jsText("JetStreamExtHint", func(o *Options) *string { return &o.JetStreamExtHint }),
		"unique_tag":                             (*jsBlock).uniqueTag,
		"limits":                                 (*jsBlock).limits,
		"tpm":                                    (*jsBlock).tpm,
		"max_outstanding_catchup":                jsMax("max_outstanding_catchup", "JetStreamMaxCatchup", func(o *Options) *int64 { return &o.JetStreamMaxCatchup }),
		"max_buffered_size":                      jsMax("max_buffered_size", "StreamMaxBufferedSize", func(o *Options) *int64 { return &o.StreamMaxBufferedSize }),
		"max_buffered_msgs":                      jsCount(func(o *Options, n int64) { o.StreamMaxBufferedMsgs = int(n) }),
		"request_queue_limit":                    jsCount(func(o *Options, n int64) { o.JetStreamRequestQueueLimit = n }),
		"info_queue_limit":                       jsCount(func(o *Options, n int64) { o.JetStreamInfoQueueLimit = n }),
		"meta_compact":                           (*jsBlock).metaCompact,
		"meta_compact_size":                      (*jsBlock).metaCompactSize,
		"meta_compact_sync":                      jsBool("JetStreamMetaCompactSync", func(o *Options) *bool { return &o.JetStreamMetaCompactSync }),
		"max_concurrent_io":                      (*jsBlock).concurrentIO,
	}
	jsLimitKeys = map[string]jsKey{
		"max_ack_pending":       jsLimit(func(l *JSLimitOpts) *int { return &l.MaxAckPending }),
		"max_ha_assets":         jsLimit(func(l *JSLimitOpts) *int { return &l.MaxHAAssets }),
		"max_request_batch":     jsLimit(func(l *JSLimitOpts) *int { return &l.MaxRequestBatch }),
		"default_max_consumers": jsLimit(func(l *JSLimitOpts) *int { return &l.DefaultMaxConsumers }),
		"duplicate_window":      jsPeriod(func(l *JSLimitOpts) *time.Duration { return &l.Duplicates }),
		"batch": func(b *jsBlock, _ string, v *lang.Value) {
			b.inner(v, jsBatchKeys, "Expected a map to define batch limits, got %s")
		},
	}
	jsBatchKeys = map[string]jsKey{
		"max_inflight_per_stream": jsLimit(func(l *JSLimitOpts) *int { return &l.MaxBatchInflightPerStream }),
		"max_inflight_total":      jsLimit(func(l *JSLimitOpts) *int { return &l.MaxBatchInflightTotal }),
		"max_msgs":                jsLimit(func(l *JSLimitOpts) *int { return &l.MaxBatchSize }),
		"timeout":                 jsPeriod(func(l *JSLimitOpts) *time.Duration { return &l.MaxBatchTimeout }),
	}
	jsTPMKeys = map[string]jsKey{
		"keys_file":           jsText("JetStreamTpm", func(o *Options) *string { return &o.JetStreamTpm.KeysFile }),
		"encryption_password": jsText("JetStreamTpm", func(o *Options) *string { return &o.JetStreamTpm.KeyPassword }),
		"srk_password":        jsText("JetStreamTpm", func(o *Options) *string { return &o.JetStreamTpm.SrkPassword }),
		"pcr": func(b *jsBlock, _ string, v *lang.Value) {
			if n, ok := as[int64](b.decoder, b.at, v, "int64"); ok {
				b.o.JetStreamTpm.Pcr = int(n)
			}
		},
		"cipher": (*jsBlock).cipher,
	}
	for _, keys := range []*map[string]jsKey{&jsKeys, &jsLimitKeys, &jsBatchKeys, &jsTPMKeys} {
		spread := make(map[string]jsKey)
		//lockstep:ordered one map into another
		for names, read := range *keys {
			for name := range strings.FieldsSeq(names) {
				spread[name] = read
			}
		}
		*keys = spread
	}
}

// jetStream reads the block, or the word or truth that stands for it. A block enables
// JetStream unless it says otherwise.
func (d *decoder) jetStream(_ string, v *lang.Value) {
	switch data := v.Data.(type) {
	case bool:
		d.o.JetStream = data
	case string:
		on, ok := enabledWord(data)
		if !ok {
			d.add(v.Pos, "Expected 'enabled' or 'disabled' for string value, got '%s'", data)
			return
		}
		d.o.JetStream = on
	case *lang.Map:
		d.o.JetStream = true
		(&jsBlock{d, v.Pos}).keys(data, jsKeys)
	default:
		d.add(v.Pos, "Expected map, bool or string to define JetStream, got %s", v.TypeName())
	}
}

// enabledWord reads a word that stands for a truth.
func enabledWord(s string) (on, ok bool) {
	switch strings.ToLower(s) {
	case "enabled", "enable":
		return true, true
	case "disabled", "disable":
		return false, true
	}
	return false, false
}

func (b *jsBlock) keys(m *lang.Map, known map[string]jsKey) {
	for _, pair := range m.Pairs() {
		if read := known[strings.ToLower(pair.Key)]; read != nil {
			read(b, pair.Key, pair.Value)
		} else {
			b.unknown(pair.Value.Pos, pair.Value, pair.Key)
		}
	}
}

// inner reads a block in the block; mismatch is the complaint about another type.
func (b *jsBlock) inner(v *lang.Value, known map[string]jsKey, mismatch string) {
	if m, ok := v.Data.(*lang.Map); ok {
		b.keys(m, known)
	} else {
		b.add(v.Pos, mismatch, v.TypeName())
	}
}

func jsBool(name string, field func(*Options) *bool) jsKey {
	return func(b *jsBlock, _ string, v *lang.Value) {
		if on, ok := as[bool](b.decoder, b.at, v, "bool"); ok {
			b.o.inFile[name] = true
			*field(b.o) = on
		}
	}
}

func jsText(name string, field func(*Options) *string) jsKey {
	return func(b *jsBlock, _ string, v *lang.Value) {
		if s, ok := as[string](b.decoder, b.at, v, "string"); ok {
			b.o.inFile[name] = true
			*field(b.o) = s
		}
	}
}

// jsMax reads a size that is called label in complaints.
func jsMax(label, name string, field func(*Options) *int64) jsKey {
	return func(b *jsBlock, _ string, v *lang.Value) {
		if n, ok := b.size(label, v); ok {
			b.o.inFile[name] = true
			*field(b.o) = n
		}
	}
}

func jsCount(set func(*Options, int64)) jsKey {
	return func(b *jsBlock, key string, v *lang.Value) {
		if n, ok := v.Data.(int64); ok {
			set(b.o, n)
		} else {
			b.add(v.Pos, "Expected a parseable size for %q, got %v", key, v.Plain())
		}
	}
}

func jsLimit(field func(*JSLimitOpts) *int) jsKey {
	return func(b *jsBlock, _ string, v *lang.Value) {
		if n, ok := as[int64](b.decoder, b.at, v, "int64"); ok {
			*field(&b.o.JetStreamLimits) = int(n)
		}
	}
}

func jsPeriod(field func(*JSLimitOpts) *time.Duration) jsKey {
	return func(b *jsBlock, _ string, v *lang.Value) {
		s, ok := as[string](b.decoder, b.at, v, "string")
		if !ok {
			return
		}
		dur, err := time.ParseDuration(s)
		if err != nil {
			b.addBare("%v", err)
			return
		}
		*field(&b.o.JetStreamLimits) = dur
	}
}

// sizeUnits are what ends a size that is a string.
var sizeUnits = map[byte]int64{'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40}

// size reads a number of bytes, or a string like "10G"; the empty string is 0.
func (b *jsBlock) size(label string, v *lang.Value) (int64, bool) {
	switch data := v.Data.(type) {
	case int64:
		return data, true
	case string:
		if data == "" {
			return 0, true
		}
		last := len(data) - 1
		n, err := strconv.ParseInt(data[:last], 10, 64)
		if err != nil {
			b.add(v.Pos, "%s %v", label, err)
			return 0, false
		}
		unit := sizeUnits[data[last]]
		if unit == 0 {
			b.add(v.Pos, "%s sizes defined as strings must end in K, M, G, T", label)
			return 0, false
		}
		if n > math.MaxInt64/unit || n < math.MinInt64/unit {
			b.add(v.Pos, "%s %q is out of the range", label, data)
			return 0, false
		}
		return n * unit, true
	}
	b.add(v.Pos, "%s must be int64 or string", label)
	return 0, false
}

func (b *jsBlock) strict(_ string, v *lang.Value) {
	if on, ok := v.Data.(bool); ok {
		b.o.NoJetStreamStrict = !on
	} else {
		b.add(v.Pos, "Expected 'true' or 'false' for bool value, got '%v'", v.Plain())
	}
}

// storeDir may be stated at the top level, or in the block, but once.
func (b *jsBlock) storeDir(_ string, v *lang.Value) {
	b.decoder.storeDir(b.at, v)
}

func (d *decoder) topStoreDir(_ string, v *lang.Value) { d.storeDir(v.Pos, v) }

func (d *decoder) storeDir(block lang.Pos, v *lang.Value) {
	dir, ok := as[string](d, block, v, "string")
	switch {
	case !ok:
	case d.o.StoreDir != "":
		d.add(v.Pos, "Duplicate 'store_dir' configuration")
	default:
		d.o.StoreDir = dir
	}
}

func (b *jsBlock) syncInterval(key string, v *lang.Value) {
	if s, ok := v.Data.(string); ok && strings.EqualFold(s, "always") {
		b.o.SyncAlways = true
		return
	}
	if s, ok := v.Data.(string); ok {
		if dur, ok := b.duration(key, s, v.Pos); ok {
			b.o.SyncInterval = dur
		}
		return
	}
	b.warn(v.Pos, key, "%s should be converted to a duration", key)
	n, ok := as[int64](b.decoder, b.at, v, "int64")
	switch {
	case !ok:
	case n > math.MaxInt64/int64(time.Second) || n < math.MinInt64/int64(time.Second):
		b.add(v.Pos, "%s of %d seconds is out of the range", key, n)
	default:
		b.o.SyncInterval = time.Duration(n) * time.Second
	}
}

func (b *jsBlock) cipher(_ string, v *lang.Value) {
	name, ok := as[string](b.decoder, b.at, v, "string")
	if !ok {
		return
	}
	switch strings.ToLower(name) {
	case "chacha", "chachapoly":
		b.o.JetStreamCipher = ChaCha
	case "aes":
		b.o.JetStreamCipher = AES
	default:
		b.add(v.Pos, "Unknown cipher type: %q", name)
	}
}

func (b *jsBlock) uniqueTag(_ string, v *lang.Value) {
	if tag, ok := as[string](b.decoder, b.at, v, "string"); ok {
		b.o.JetStreamUniqueTag = strings.ToLower(strings.TrimSpace(tag))
	}
}

func (b *jsBlock) limits(_ string, v *lang.Value) {
	b.inner(v, jsLimitKeys, "Expected a map to define JetStreamLimits, got %s")
}

func (b *jsBlock) tpm(_ string, v *lang.Value) {
	b.inner(v, jsTPMKeys, "Expected a map to define JetStreamLimits, got %s")
}

func (b *jsBlock) metaCompact(key string, v *lang.Value) {
	n, ok := v.Data.(int64)
	if !ok || n < 0 {
		b.add(v.Pos, "Expected an absolute size for %q, got %v", key, v.Plain())
		return
	}
	b.o.JetStreamMetaCompact = uint64(n)
}

func (b *jsBlock) metaCompactSize(key string, v *lang.Value) {
	n, ok := b.size("meta_compact_size", v)
	switch {
	case !ok:
	case n < 0:
		b.add(v.Pos, "Expected an absolute size for %q, got %v", key, v.Plain())
	default:
		b.o.JetStreamMetaCompactSize = uint64(n)
	}
}

func (b *jsBlock) concurrentIO(key string, v *lang.Value) {
	n, ok := v.Data.(int64)
	if !ok || n < concurrentIOsMin || n > concurrentIOsMax {
		b.add(v.Pos, "Expected an absolute size for %q between %d and %d, got %v", key, concurrentIOsMin, concurrentIOsMax, v.Plain())
		return
	}
	b.o.JetStreamConcurrentIOs = int(n)
}

// defaultDomains reads which domain serves which account from elsewhere.
func (d *decoder) defaultDomains(_ string, v *lang.Value) {
	m, ok := v.Data.(*lang.Map)
	if !ok {
		d.add(v.Pos, "error default_js_domain config: unsupported type %s", v.TypeName())
		return
	}
	domains := make(map[string]string, m.Len())
	for _, pair := range m.Pairs() {
		if s, ok := as[string](d, v.Pos, pair.Value, "string"); ok {
			domains[pair.Key] = s
		}
	}
	d.o.JsAccDefaultDomain = domains
}
