package config

import (
	"maps"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/server/config/lang"
)

// featureDefaults are the feature flags that a server knows, and what holds when the
// configuration says nothing of them. All of them concern JetStream: without it they
// are told to operators and tools, and switch nothing.
var featureDefaults = map[string]bool{
	"js_ack_fc_v2":         false,
	"js_api_reply_v2":      false,
	"js_raft_delete_range": true,
	"js_snapshot_sources":  false,
}

// FeatureFlagValues returns what each known feature flag is: as stated, or its default.
// The map is the caller's.
func (o *Options) FeatureFlagValues() map[string]bool {
	values := maps.Clone(featureDefaults)
	//lockstep:ordered one map into another
	for name, on := range o.FeatureFlags {
		if _, known := values[name]; known {
			values[name] = on
		}
	}
	return values
}

// FeatureFlagLines are what the log says at start of the feature flags that were
// stated: those known, with what that changes, and the names that mean nothing here.
func (o *Options) FeatureFlagLines() []string {
	if len(o.FeatureFlags) == 0 {
		return nil
	}
	var stated, strange []string
	//lockstep:ordered both lists are sorted below
	for name, on := range o.FeatureFlags {
		if usual, known := featureDefaults[name]; known {
			stated = append(stated, name+" ("+featureState(on, usual)+")")
		} else {
			strange = append(strange, name)
		}
	}
	slices.Sort(stated)
	slices.Sort(strange)
	if len(stated) == 0 {
		stated = []string{"none"}
	}
	lines := []string{"  Feature flags:", "    Configured:    " + strings.Join(stated, ", ")}
	if len(strange) > 0 {
		lines = append(lines, "    Unsupported:   "+strings.Join(strange, ", "))
	}
	return lines
}

// featureState is the word for a flag that is on or off, and usually is.
func featureState(on, usual bool) string {
	switch {
	case on && usual:
		return "enabled"
	case on:
		return "opt-in"
	case usual:
		return "opt-out"
	}
	return "disabled"
}

// featureFlags takes any name: a file may be shared by servers of several versions.
func (d *decoder) featureFlags(_ string, v *lang.Value) {
	m, ok := v.Data.(*lang.Map)
	if !ok {
		d.add(v.Pos, "error parsing feature flags: unsupported type %s", v.TypeName())
		return
	}
	flags := make(map[string]bool, m.Len())
	for _, pair := range m.Pairs() {
		on, ok := pair.Value.Data.(bool)
		if !ok {
			d.add(pair.Value.Pos, "error parsing feature flag %q: expected bool, got %s", pair.Key, pair.Value.TypeName())
			return
		}
		flags[pair.Key] = on
	}
	d.o.FeatureFlags = flags
}
