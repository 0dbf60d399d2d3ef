package config

import (
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/config/lang"
)

// The conversions below note a complaint at the value's place and return false when
// the value has another type.

func (d *decoder) text(v *lang.Value) (string, bool)  { return as[string](d, v.Pos, v, "string") }
func (d *decoder) number(v *lang.Value) (int64, bool) { return as[int64](d, v.Pos, v, "int64") }
func (d *decoder) truth(v *lang.Value) (bool, bool)   { return as[bool](d, v.Pos, v, "bool") }

func (d *decoder) mapping(v *lang.Value) (*lang.Map, bool) {
	return as[*lang.Map](d, v.Pos, v, "map[string]interface {}")
}

func (d *decoder) list(v *lang.Value) ([]*lang.Value, bool) {
	return as[[]*lang.Value](d, v.Pos, v, "[]interface {}")
}

func as[T any](d *decoder, at lang.Pos, v *lang.Value, want string) (T, bool) {
	t, ok := v.Data.(T)
	if !ok {
		d.mismatch(at, v, want)
	}
	return t, ok
}

// seconds reads a period: a duration string, or an integer of seconds, which warns.
func (d *decoder) seconds(key string, v *lang.Value) (time.Duration, bool) {
	if s, ok := v.Data.(string); ok {
		return d.duration(key, s, v.Pos)
	}
	d.warn(v.Pos, key, "%s should be converted to a duration", key)
	n, ok := d.number(v)
	if ok && (n > math.MaxInt64/int64(time.Second) || n < math.MinInt64/int64(time.Second)) {
		d.add(v.Pos, "%s of %d seconds is out of the range", key, n)
		return 0, false
	}
	return time.Duration(n) * time.Second, ok
}

// durationText reads a period that only a string may state.
func (d *decoder) durationText(key string, v *lang.Value) (time.Duration, bool) {
	s, ok := d.text(v)
	if !ok {
		return 0, false
	}
	return d.duration(key, s, v.Pos)
}

func (d *decoder) duration(key, s string, at lang.Pos) (time.Duration, bool) {
	dur, err := time.ParseDuration(s)
	if err != nil {
		d.add(at, "error parsing %s: %v", key, err)
		return 0, false
	}
	return dur, true
}

// hostPort reads an address: a port, or "host:port".
func (d *decoder) hostPort(v *lang.Value) (host string, port int, ok bool) {
	switch data := v.Data.(type) {
	case int64:
		return "", int(data), true
	case string:
		host, portText, ok := splitHostPort(data)
		if !ok {
			d.add(v.Pos, "could not parse address string %q", data)
			return "", 0, false
		}
		port, err := strconv.Atoi(portText)
		if err != nil {
			d.add(v.Pos, "could not parse port %q", portText)
			return "", 0, false
		}
		return host, port, true
	}
	d.add(v.Pos, "expected port or host:port, got %s", v.TypeName())
	return "", 0, false
}

// splitHostPort cuts "host:port"; an IPv6 host stands in brackets, which are dropped.
func splitHostPort(s string) (host, port string, ok bool) {
	i := strings.LastIndexByte(s, ':')
	if i < 0 {
		return "", "", false
	}
	host, port = s[:i], s[i+1:]
	if inner, bracketed := strings.CutPrefix(host, "["); bracketed {
		host, bracketed = strings.CutSuffix(inner, "]")
		return host, port, bracketed && !strings.ContainsAny(host, "[]")
	}
	return host, port, !strings.ContainsAny(host, ":[]")
}
