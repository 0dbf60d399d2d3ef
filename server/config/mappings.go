package config

import (
	"strconv"
	"strings"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/config/lang"
)

// globalMappings reads the top-level mappings, which belong to the global account.
func (d *decoder) globalMappings(_ string, v *lang.Value) {
	acc := account.New(account.Global)
	d.o.Accounts = append(d.o.Accounts, acc)
	d.mappings(acc, v)
}

// mappings reads the subject mappings of acc, in the file's order.
func (d *decoder) mappings(acc *account.Account, v *lang.Value) {
	m, ok := d.mapping(v)
	if !ok {
		return
	}
	for _, pair := range m.Pairs() {
		src, dest := pair.Key, pair.Value
		if !validSubject(src) {
			d.add(v.Pos, "Subject %q is not a valid subject", src)
			continue
		}
		switch data := dest.Data.(type) {
		case string:
			if err := acc.AddMapping(src, data); err != nil {
				d.add(dest.Pos, "Error adding mapping for %q to %q : %v", src, data, err)
			}
		case []*lang.Value:
			d.weighted(acc, src, dest.Pos, data)
		case *lang.Map:
			d.weighted(acc, src, dest.Pos, []*lang.Value{dest})
		default:
			d.add(dest.Pos, "Expected an entry for the mapping destination")
		}
	}
}

// weighted reads the weighted destinations of one source.
func (d *decoder) weighted(acc *account.Account, src string, at lang.Pos, list []*lang.Value) {
	before := len(d.errs)
	var dests []*account.MapDest
	for _, v := range list {
		m, ok := v.Data.(*lang.Map)
		if !ok {
			d.add(v.Pos, "Expected an entry for the mapping destination")
			continue
		}
		if dest := d.destination(m, v.Pos); dest != nil {
			dests = append(dests, dest)
		}
	}
	if len(d.errs) > before {
		return
	}
	if err := acc.AddWeightedMappings(src, dests...); err != nil {
		d.add(at, "Error adding mapping for %q : %v", src, err)
	}
}

// destination reads one weighted destination, which stands at the given place.
func (d *decoder) destination(m *lang.Map, at lang.Pos) *account.MapDest {
	before := len(d.errs)
	out := &account.MapDest{}
	weighted := false
	for _, pair := range m.Pairs() {
		v := pair.Value
		switch strings.ToLower(pair.Key) {
		case "dest", "destination":
			out.Subject, _ = as[string](d, at, v, "string")
		case "cluster":
			out.Cluster, _ = as[string](d, at, v, "string")
		case "weight":
			weighted = true
			out.Weight = d.weight(v)
		default:
			if !v.Used {
				d.add(v.Pos, "Unknown field %q for mapping destination", pair.Key)
			}
		}
	}
	if len(d.errs) > before {
		return nil
	}
	if !weighted {
		d.add(at, "Missing weight for mapping destination %q", out.Subject)
		return nil
	}
	return out
}

// weight reads a percentage: an integer, or a string with or without the sign.
func (d *decoder) weight(v *lang.Value) uint8 {
	var n int64
	switch data := v.Data.(type) {
	case int64:
		n = data
	case string:
		digits := strings.TrimSuffix(data, "%")
		parsed, err := strconv.ParseInt(digits, 10, 64)
		if err != nil {
			d.add(v.Pos, "Invalid weight %q for mapping destination", digits)
			return 0
		}
		n = parsed
	default:
		d.add(v.Pos, "Unknown entry type for weight of %v", v.Plain())
		return 0
	}
	if n < 0 || n > 100 {
		d.add(v.Pos, "Invalid weight %d for mapping destination", n)
		return 0
	}
	return uint8(n)
}
