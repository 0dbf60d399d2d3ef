package config

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server/account"
)

func TestEveryJetStreamOption(t *testing.T) {
	o := read(t, `
		default_js_domain { A: far }
		jetstream {
			store_dir: d, strict: off, max_mem: 1M, max_file: "2G", sync_interval: "3s", domain: near
			key: k, prev_key: p, cipher: aes, unique_tag: " AZ: ", extension_hint: will_extend
			request_queue_limit: 4, info_queue_limit: 5, max_buffered_msgs: 6, max_buffered_size: "7K"
			max_outstanding_catchup: 8, meta_compact: 9, meta_compact_size: "10K", meta_compact_sync: on
			max_concurrent_io: 11
			tpm { keys_file: a, encryption_password: b, srk_password: c, pcr: 12 }
			limits {
				max_ack_pending: 13, max_ha_assets: 14, max_request_batch: 15, default_max_consumers: 21, duplicate_window: "16s"
				batch { max_inflight_per_stream: 17, max_inflight_total: 18, max_msgs: 19, timeout: "20s" }
			}
		}
	`)
	o.ConfigFile, o.digest, o.inFile = "", "", nil
	require.Equal(t, &Options{
		JetStream: true, NoJetStreamStrict: true, StoreDir: "d", JetStreamMaxMemory: 1_000_000, JetStreamMaxStore: 2 << 30,
		SyncInterval: 3 * time.Second, JetStreamDomain: "near", JetStreamKey: "k", JetStreamOldKey: "p",
		JetStreamCipher: AES, JetStreamUniqueTag: "az:", JetStreamExtHint: "will_extend",
		JetStreamRequestQueueLimit: 4, JetStreamInfoQueueLimit: 5, StreamMaxBufferedMsgs: 6, StreamMaxBufferedSize: 7 << 10,
		JetStreamMaxCatchup: 8, JetStreamMetaCompact: 9, JetStreamMetaCompactSize: 10 << 10, JetStreamMetaCompactSync: true,
		JetStreamConcurrentIOs: 11, JetStreamTpm: JSTpmOpts{"a", "b", "c", 12},
		JetStreamLimits: JSLimitOpts{
			MaxAckPending: 13, MaxHAAssets: 14, MaxRequestBatch: 15, DefaultMaxConsumers: 21, Duplicates: 16 * time.Second,
			MaxBatchInflightPerStream: 17, MaxBatchInflightTotal: 18, MaxBatchSize: 19, MaxBatchTimeout: 20 * time.Second,
		},
		JsAccDefaultDomain: map[string]string{"A": "far"},
	}, o)
}

func TestJetStreamIsOnOrOff(t *testing.T) {
	for text, on := range map[string]bool{
		"":                              false,
		"jetstream: true":               true,
		"jetstream: off":                false,
		"jetstream: Enabled":            true,
		"jetstream: disable":            false,
		"jetstream {}":                  true,
		"jetstream {domain: a}":         true,
		"jetstream {enable: false}":     false,
		"store_dir: a":                  false,
		"default_js_domain {\"$G\": a}": false,
	} {
		require.Equal(t, on, read(t, text).JetStream, text)
	}
}

func TestFlushBeforeAckUnlessAnIntervalIsStated(t *testing.T) {
	for text, flush := range map[string]bool{
		"jetstream: true":                               true,
		"jetstream {sync_interval: always}":             true,
		"jetstream {sync_interval: '0s'}":               true,
		"jetstream {sync: '-1s'}":                       true,
		"jetstream {sync_interval: '2m'}":               false,
		"jetstream {sync_interval: 5}":                  false,
		"jetstream {sync: '5s', sync_interval: Always}": true,
	} {
		o := read(t, text)
		o.SetBaseline()
		require.Equal(t, flush, o.FlushBeforeAck(), text)
	}
	require.True(t, (&Options{}).FlushBeforeAck())
	require.False(t, (&Options{SyncInterval: DefaultSyncInterval}).FlushBeforeAck())
}

func TestJetStreamBaseline(t *testing.T) {
	for _, tc := range []struct {
		text        string
		mem, store  int64
		queue, info int64
	}{
		{"", -1, -1, 10000, 10000},
		{"jetstream {max_mem: 0, max_file: ''}", 0, 0, 10000, 10000},
		{"jetstream {max_mem: -5}", -5, -1, 10000, 10000},
		{"jetstream {max_mem: 1K, max_file: '1K'}", 1000, 1024, 10000, 10000},
		{"jetstream {request_queue_limit: 5}", -1, -1, 5, 5},
		{"jetstream {request_queue_limit: 5, info_queue_limit: 6}", -1, -1, 5, 6},
		{"jetstream {request_queue_limit: -5, info_queue_limit: -6}", -1, -1, 10000, 10000},
	} {
		o := read(t, tc.text)
		o.SetBaseline()
		require.Equal(t, []int64{tc.mem, tc.store, tc.queue, tc.info}, []int64{
			o.JetStreamMaxMemory, o.JetStreamMaxStore, o.JetStreamRequestQueueLimit, o.JetStreamInfoQueueLimit,
		}, tc.text)
	}
}

func TestAccountJetStream(t *testing.T) {
	one := func(l account.JetStreamLimits) *account.JetStream {
		return &account.JetStream{Tiers: map[string]account.JetStreamLimits{"": l}}
	}
	some, owned := account.JetStreamUnlimited, one(account.JetStreamUnlimited)
	owned.OwnerTraffic = true
	some.MaxMemory, some.MaxStore, some.MaxStreams, some.MaxConsumers = 1, 2, 3, 4
	for text, want := range map[string]*account.JetStream{
		"":                                     nil,
		"jetstream: true":                      one(account.JetStreamUnlimited),
		"jetstream: enabled":                   one(account.JetStreamUnlimited),
		"jetstream: {}":                        one(account.JetStreamUnlimited),
		"jetstream: false":                     nil,
		"jetstream: disabled":                  nil,
		"jetstream: {cluster_traffic: owner}":  owned,
		"jetstream: {cluster_traffic: system}": one(account.JetStreamUnlimited),
		"jetstream: {mem: 1, disk: 2, streams: 3, consumers: 4}":                     one(some),
		"jetstream: {max_memory: 1, max_store: 2, max_streams: 3, max_consumers: 4}": one(some),
		"jetstream: {max_mem: 1, max_file: 2, max_streams: 3, max_consumers: 4}":     one(some),
		"jetstream: {memory: 1, max_disk: 2, streams: 3, consumers: 4}":              one(some),
		"jetstream: {memory: 1, store: 2, streams: 3, consumers: 4}":                 one(some),
		`jetstream: {mem: 1, store: 2, streams: 3, consumers: 4, max_ack_pending: 5,
			mem_max_stream_bytes: 6, disk_max_stream_bytes: 7, max_bytes: true}`: one(account.JetStreamLimits{
			MaxMemory: 1, MaxStore: 2, MaxStreams: 3, MaxConsumers: 4, MaxAckPending: 5,
			MemoryMaxStreamBytes: 6, StoreMaxStreamBytes: 7, MaxBytesRequired: true,
		}),
	} {
		o := read(t, "accounts {A {"+text+"}}")
		require.Equal(t, want, o.Accounts[0].JetStream(), text)
	}
}

func TestJetStreamFlags(t *testing.T) {
	inCorpusDir(t)
	require.NoError(t, os.WriteFile("c.conf", []byte("jetstream {store_dir: a}\n"), 0o600))
	for _, tc := range []struct {
		args string
		on   bool
		dir  string
	}{
		{"", false, ""},
		{"-js", true, ""},
		{"--jetstream -sd x", true, "x"},
		{"--store_dir x", false, "x"},
		{"-c c.conf", true, "a"},
		{"-c c.conf -js=false", false, "a"},
		{"-c c.conf -sd x", true, "x"},
	} {
		o, _, err := configure(strings.Fields(tc.args)...)
		require.NoError(t, err)
		require.Equal(t, tc.on, o.JetStream, tc.args)
		require.Equal(t, tc.dir, o.StoreDir, tc.args)
	}
}

func TestValidateJetStream(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"jetstream {domain: a}", ""},
		{"jetstream {domain: a.b}", "invalid domain name: may not contain ., * or >"},
		{"jetstream {domain: '*'}", "invalid domain name: may not contain ., * or >"},
		{"jetstream {domain: 'a>'}", "invalid domain name: may not contain ., * or >"},
		{"jetstream {domain: 'a b'}", `invalid domain name: derived "$JS.a b.API.>" is not a valid subject`},
		{"jetstream {domain: 'a\tb'}", `invalid domain name: derived "$JS.a\tb.API.>" is not a valid subject`},
		{"jetstream {enabled: false, domain: a.b}", "invalid domain name: may not contain ., * or >"},
		{"default_js_domain {'$G': b}", ""},
		{"default_js_domain {A: b}, accounts {A {}}", ""},
		{"default_js_domain {A: a.b}, accounts {A {}}", ""},
		{"default_js_domain {B: b, A: b}", "in non operator mode, `default_js_domain` references non existing account \"A\""},
		{"default_js_domain {'$SYS': b}", "in non operator mode, `default_js_domain` references non existing account \"$SYS\""},
		{"default_js_domain {A: b}, accounts {A {jetstream: true}}", `default_js_domain contains account name "A" with enabled JetStream`},
		{"default_js_domain {S: b}, accounts {S {}}, system_account: S", `system account "S" can not be in default_js_domain`},
	} {
		o := read(t, tc.text)
		o.SetBaseline()
		if err := o.Validate(); tc.want == "" {
			require.NoError(t, err, tc.text)
		} else {
			require.EqualError(t, err, tc.want, tc.text)
		}
	}
}

func TestCheckJetStream(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{"jetstream: true", ""},
		{"jetstream {tpm {}}", ""},
		{"jetstream {key: a, tpm {pcr: 3}}", ""},
		{"jetstream {tpm {keys_file: a}}", "Can't start JetStream: TPM functionality is not supported on this platform"},
		{"jetstream {tpm {keys_file: a}, key: b}", "Can't start JetStream: JetStream encryption key may not be used with TPM options"},
		{"accounts {S {jetstream: true}}, system_account: S", "Not allowed to enable JetStream on the system account"},
		{"accounts {$SYS {jetstream: true}}", "Not allowed to enable JetStream on the system account"},
		{"accounts {S {jetstream: true}}", ""},
	} {
		if err := read(t, strings.ReplaceAll(tc.text, "$SYS", "'$SYS'")).CheckJetStream(); tc.want == "" {
			require.NoError(t, err, tc.text)
		} else {
			require.EqualError(t, err, tc.want, tc.text)
		}
	}
}

func TestJetStreamWarnings(t *testing.T) {
	require.Empty(t, read(t, "jetstream: true").JetStreamWarnings())
	require.Equal(t, []string{"The option `default_js_domain` is a temporary backwards compatibility measure and will be removed"},
		read(t, "default_js_domain {'$G': a}").JetStreamWarnings())
}

func TestFormatBytes(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", -1: "-1 B", 1: "1 B", 1023: "1023 B", 1024: "1.00 KB", 2_000_000: "1.91 MB", 3_000_000: "2.86 MB",
		500_000_000: "476.84 MB", 18957385728: "17.66 GB", 54187097088: "50.47 GB", 1 << 40: "1.00 TB", 1 << 50: "1.00 PB",
		1<<63 - 1: "8.00 EB",
	} {
		require.Equal(t, want, FormatBytes(n))
	}
}

func TestLiveJetStreamOptions(t *testing.T) {
	for _, tc := range []struct{ before, after, lines string }{
		{"", "jetstream: true", "Reloaded: JetStream"},
		{"jetstream: true", "", "Reloaded: JetStream"},
		{"jetstream: true", "jetstream {}", ""},
		{"jetstream: true", "jetstream {cipher: chacha, strict: true}", ""},
		{"jetstream: true", "jetstream {max_mem: -1}", ""},
		{"jetstream: true", "jetstream {sync: always}", ""},
		{"jetstream {sync: always}", "jetstream {sync: '0s'}", ""},
		{"jetstream {max_mem: 1G}", "jetstream {max_mem: 2G}", "Reloaded: JetStream max_mem_store = 1.86 GB"},
		{"jetstream {max_mem: 0}", "jetstream {max_mem: 1}", "Reloaded: JetStream max_mem_store = 1 B"},
		{"jetstream {max_mem: 1M, max_file: 1M}", "jetstream {max_mem: 2M, max_file: 3M, limits {max_ack_pending: 5}}, no_fast_producer_stall: on, prof_block_rate: 5",
			"Reloaded: fast producers will not be stalled\nReloaded: JetStream max_mem_store = 1.91 MB\n" +
				"Reloaded: JetStream max_file_store = 2.86 MB\nReloaded: JetStream limits\nReloaded: prof_block_rate = 5"},
		{"jetstream {max_mem: 1G}", "jetstream {enabled: false, max_mem: 2G}", "Reloaded: JetStream\nReloaded: JetStream max_mem_store = 1.86 GB"},
		{"jetstream {max_mem: 1G}", "jetstream {enabled: false}", "Reloaded: JetStream"},
		{"jetstream {max_mem: 1G, enabled: false}", "jetstream {max_mem: 500M}", "Reloaded: JetStream"},
		{"jetstream {max_mem: 1G, enabled: false}", "jetstream {max_mem: 2G}", "Reloaded: JetStream"},
		{"jetstream {max_mem: 1G, enabled: false}", "jetstream: true", "Reloaded: JetStream"},
		{"jetstream {enabled: false, store_dir: a}", "jetstream {store_dir: b}", "Reloaded: JetStream"},
		{"jetstream {store_dir: a}", "jetstream: false", "Reloaded: JetStream"},
		{"jetstream: true", "jetstream {store_dir: a}", ""},
		{"jetstream: true", "jetstream {meta_compact: 1, meta_compact_size: 2, meta_compact_sync: true}", ""},
		{"jetstream: true", "jetstream {limits {batch {max_msgs: 5}}}", "Reloaded: JetStream limits"},
		{"accounts {A {jetstream: true}}", "accounts {A {jetstream {max_mem: 5}}}", ""},
	} {
		t.Run(tc.before+"->"+tc.after, func(t *testing.T) {
			lines, _, err := reloading(t, tc.before, tc.after)
			require.NoError(t, err)
			require.Equal(t, strings.TrimSpace(usersAndAccounts+"\n"+tc.lines), lines)
		})
	}
}

func TestRejectedJetStreamOptions(t *testing.T) {
	for _, tc := range []struct{ before, after, want string }{
		{"jetstream: true", "jetstream {domain: a}", "JetStreamDomain: old=, new=a"},
		{"", "jetstream {domain: a}", "JetStreamDomain: old=, new=a"},
		{"jetstream: true", "jetstream {strict: false}", "NoJetStreamStrict: old=false, new=true"},
		{"jetstream: true", "jetstream {max_mem: 1G}", "jetstream dynamic max memory and store"},
		{"jetstream: true", "jetstream {max_mem: -5}", "jetstream dynamic max memory and store"},
		{"jetstream: true", "jetstream {enabled: false, max_mem: 1G}", "jetstream dynamic max memory and store"},
		{"jetstream {max_file: 2G}", "jetstream {max_file: 1G}", "decreasing jetstream max memory and store"},
		{"jetstream {max_mem: 2G}", "jetstream {enabled: false, max_mem: 1G}", "decreasing jetstream max memory and store"},
		{"jetstream {max_mem: 5M}", "jetstream {max_mem: -5}", "decreasing jetstream max memory and store"},
		{"jetstream {max_mem: 2G}", "jetstream: true", "jetstream max memory and max store"},
		{"jetstream {max_file: 0}", "jetstream: true", "jetstream max memory and max store"},
		{"jetstream {max_mem: 5M, domain: a}", "jetstream {max_mem: 4M, domain: b}", "decreasing jetstream max memory and store"},
		{"jetstream: true", "jetstream {sync: '5s'}", "SyncInterval: old=0s, new=5s"},
		{"jetstream {sync: '6s'}", "jetstream {sync: '5s'}", "SyncInterval: old=6s, new=5s"},
		{"jetstream {sync: '5s'}", "jetstream: true", "SyncInterval: old=5s, new=0s"},
		{"jetstream {sync: '5s'}", "jetstream {sync: always}", "SyncAlways: old=false, new=true"},
		{"jetstream {sync: always}", "jetstream {sync: '5s'}", "SyncAlways: old=true, new=false"},
		{"jetstream {key: a}", "jetstream {key: b}", "JetStreamKey: old=[REDACTED], new=[REDACTED]"},
		{"jetstream: true", "jetstream {prev_key: a}", "JetStreamOldKey: old=[REDACTED], new=[REDACTED]"},
		{"jetstream: true", "jetstream {cipher: aes}", "JetStreamCipher: old=ChaCha20-Poly1305, new=AES-GCM"},
		{"jetstream: true", "jetstream {unique_tag: a}", "JetStreamUniqueTag: old=, new=a"},
		{"jetstream: true", "jetstream {extension_hint: a}", "JetStreamExtHint: old=, new=a"},
		{"jetstream: true", "jetstream {request_queue_limit: 5}", "JetStreamRequestQueueLimit: old=10000, new=5"},
		{"jetstream {request_queue_limit: 5}", "jetstream {request_queue_limit: 5, info_queue_limit: 6}", "JetStreamInfoQueueLimit: old=5, new=6"},
		{"jetstream: true", "jetstream {max_buffered_msgs: 5}", "StreamMaxBufferedMsgs: old=0, new=5"},
		{"jetstream: true", "jetstream {max_buffered_size: 5}", "StreamMaxBufferedSize: old=0, new=5"},
		{"jetstream: true", "jetstream {max_outstanding_catchup: 5}", "JetStreamMaxCatchup: old=0, new=5"},
		{"jetstream: true", "jetstream {max_concurrent_io: 5}", "JetStreamConcurrentIOs: old=4096, new=5"},
		{"jetstream: true", "jetstream {tpm {keys_file: a}}", "JetStreamTpm: old=[REDACTED], new=[REDACTED]"},
		{"jetstream {store_dir: a}", "jetstream {store_dir: b}", "jetstream storage directory"},
		{"jetstream {store_dir: a}", "jetstream {enabled: false, store_dir: b}", "jetstream storage directory"},
		{"jetstream {store_dir: a, sync: always}", "jetstream {store_dir: b, sync: '5s'}", "jetstream storage directory"},
		{"jetstream {store_dir: a}", "jetstream: true", "jetstream storage dir"},
		{"", "default_js_domain {'$G': b}", "JsAccDefaultDomain: old=map[], new=map[$G:b]"},
	} {
		t.Run(tc.before+"->"+tc.after, func(t *testing.T) {
			_, _, err := reloading(t, tc.before, tc.after)
			require.EqualError(t, err, "config reload not supported for "+tc.want)
		})
	}
}

func TestStoreCipherNames(t *testing.T) {
	for c, want := range map[StoreCipher]string{
		ChaCha: "ChaCha20-Poly1305", AES: "AES-GCM", NoCipher: "None", 9: "Unknown StoreCipher",
	} {
		require.Equal(t, want, c.String())
	}
}
