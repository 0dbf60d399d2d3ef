package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/config/lang"
)

// The modes of compression between servers, as they are told to the peer.
const (
	CompressionNotSupported   = "not supported"
	CompressionOff            = "off"
	CompressionAccept         = "accept"
	CompressionS2Auto         = "s2_auto"
	CompressionS2Uncompressed = "s2_uncompressed"
	CompressionS2Fast         = "s2_fast"
	CompressionS2Better       = "s2_better"
	CompressionS2Best         = "s2_best"
)

// CompressionOpts says how what servers send each other is compressed.
type CompressionOpts struct {
	// Mode is one of the modes, or a word of the configuration file for one. Empty is
	// the default.
	Mode string
	// RTTThresholds choose the level of s2_auto: up to the first the connection is not
	// compressed, up to the second fast, up to the third better, and best above. There
	// are at most four, ascending; zero skips a level.
	RTTThresholds []time.Duration
}

// rttThresholdsMax is one for each level.
const rttThresholdsMax = 4

func defaultRTTThresholds() []time.Duration {
	return []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond}
}

// compressionWords are the words of the configuration file. "on" is what the caller
// says, and the empty word the default.
var compressionWords = map[string]string{
	"": CompressionAccept, "accept": CompressionAccept,
	"not_supported": CompressionNotSupported, CompressionNotSupported: CompressionNotSupported,
	"off": CompressionOff, "disabled": CompressionOff, "false": CompressionOff,
	"on": "", "enabled": "", "true": "",
	"auto": CompressionS2Auto, CompressionS2Auto: CompressionS2Auto,
	"fast": CompressionS2Fast, CompressionS2Fast: CompressionS2Fast,
	"better": CompressionS2Better, CompressionS2Better: CompressionS2Better,
	"best": CompressionS2Best, CompressionS2Best: CompressionS2Best,
}

// normal gives c with one of the modes and, for s2_auto, thresholds that hold.
func (c CompressionOpts) normal(on string) (CompressionOpts, error) {
	mode, known := compressionWords[strings.ToLower(c.Mode)]
	if !known {
		return c, fmt.Errorf("unsupported compression mode %q", c.Mode)
	}
	if mode == "" {
		mode = on
	}
	out := CompressionOpts{Mode: mode}
	if mode != CompressionS2Auto {
		return out, nil
	}
	if len(c.RTTThresholds) == 0 {
		out.RTTThresholds = defaultRTTThresholds()
		return out, nil
	}
	last, any := time.Duration(0), false
	for _, rtt := range c.RTTThresholds {
		if rtt = max(rtt, 0); rtt > 0 {
			if rtt < last {
				return c, fmt.Errorf("RTT threshold values %v should be in ascending order", c.RTTThresholds)
			}
			last, any = rtt, true
		}
		out.RTTThresholds = append(out.RTTThresholds, rtt)
	}
	if !any {
		return c, fmt.Errorf("compression mode %q requires at least one RTT threshold", mode)
	}
	if len(out.RTTThresholds) > rttThresholdsMax {
		return c, fmt.Errorf("compression mode %q should have no more than %d RTT thresholds: %v", mode, rttThresholdsMax, c.RTTThresholds)
	}
	return out, nil
}

// Same tells whether c and d are the same; both are of valid options.
func (c CompressionOpts) Same(d CompressionOpts) bool {
	return c.Mode == d.Mode && slices.Equal(c.RTTThresholds, d.RTTThresholds)
}

// compression reads a mode, a switch, or a block of mode and thresholds.
func (d *decoder) compression(key string, v *lang.Value, on string) (out CompressionOpts, ok bool) {
	switch data := v.Data.(type) {
	case string:
		return CompressionOpts{Mode: data}, true
	case bool:
		if data {
			return CompressionOpts{Mode: on}, true
		}
		return CompressionOpts{Mode: CompressionOff}, true
	case *lang.Map:
		before := len(d.errs)
		for _, pair := range data.Pairs() {
			switch strings.ToLower(pair.Key) {
			case "mode":
				out.Mode, _ = d.text(pair.Value)
			case "rtt_thresholds", "thresholds", "rtts", "rtt":
				out.RTTThresholds = d.rttThresholds(pair.Value)
			default:
				d.unknown(pair.Value.Pos, pair.Value, pair.Key)
			}
		}
		return out, len(d.errs) == before
	}
	d.add(v.Pos, "field %q should be a boolean or a structure, got %s", key, v.TypeName())
	return out, false
}

func (d *decoder) rttThresholds(v *lang.Value) []time.Duration {
	var out []time.Duration
	list, _ := d.list(v)
	for _, e := range list {
		text, ok := d.text(e)
		if !ok {
			continue
		}
		rtt, err := time.ParseDuration(text)
		if err != nil {
			d.add(v.Pos, "%v", err)
			continue
		}
		out = append(out, rtt)
	}
	return out
}
