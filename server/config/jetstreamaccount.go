package config

import (
	"strings"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/config/lang"
)

// accountJetStream reads what an account is granted of JetStream.
func (d *decoder) accountJetStream(acc *account.Account, v *lang.Value) {
	unlimited := func(on bool) {
		if on {
			acc.SetJetStream(&account.JetStream{Tiers: map[string]account.JetStreamLimits{"": account.JetStreamUnlimited}})
		}
	}
	switch data := v.Data.(type) {
	case bool:
		unlimited(data)
	case string:
		on, ok := enabledWord(data)
		if !ok {
			d.addBare("Expected 'enabled' or 'disabled' for string value, got '%s'", data)
		}
		unlimited(on)
	case *lang.Map:
		acc.SetJetStream(d.accountLimits(data))
	default:
		d.addBare("Expected map, bool or string to define JetStream, got %s", v.TypeName())
	}
}

func (d *decoder) accountLimits(m *lang.Map) *account.JetStream {
	l, out := account.JetStreamUnlimited, &account.JetStream{}
	size := func(pair lang.Pair) int64 {
		n, ok := pair.Value.Data.(int64)
		if !ok {
			d.add(pair.Value.Pos, "Expected a parseable size for %q, got %v", pair.Key, pair.Value.Plain())
		}
		return n
	}
	for _, pair := range m.Pairs() {
		switch v := pair.Value; strings.ToLower(pair.Key) {
		case "max_memory", "max_mem", "memory", "mem":
			l.MaxMemory = size(pair)
		case "max_store", "max_file", "max_disk", "store", "disk":
			l.MaxStore = size(pair)
		case "max_streams", "streams":
			l.MaxStreams = int(size(pair))
		case "max_consumers", "consumers":
			l.MaxConsumers = int(size(pair))
		case "max_ack_pending":
			l.MaxAckPending = int(size(pair))
		case "memory_max_stream_bytes", "mem_max_stream_bytes":
			l.MemoryMaxStreamBytes = size(pair)
		case "store_max_stream_bytes", "disk_max_stream_bytes":
			l.StoreMaxStreamBytes = size(pair)
		case "max_bytes_required", "max_stream_bytes", "max_bytes":
			on, ok := v.Data.(bool)
			if !ok {
				d.add(v.Pos, "Expected a parseable bool for %q, got %v", pair.Key, v.Plain())
			}
			l.MaxBytesRequired = on
		case "cluster_traffic":
			out.OwnerTraffic = d.clusterTraffic(pair)
		default:
			d.unknown(v.Pos, v, pair.Key)
		}
	}
	out.Tiers = map[string]account.JetStreamLimits{"": l}
	return out
}

// clusterTraffic reports whether the owner's account carries the replication.
func (d *decoder) clusterTraffic(pair lang.Pair) bool {
	switch word, ok := pair.Value.Data.(string); {
	case !ok:
		d.add(pair.Value.Pos, "Expected either 'system' or 'owner' string value for %q, got %v", pair.Key, pair.Value.Plain())
	case word == "owner":
		return true
	case word != "system" && word != "":
		d.add(pair.Value.Pos, "Expected 'system' or 'owner' string value for %q, got %s", pair.Key, word)
	}
	return false
}
