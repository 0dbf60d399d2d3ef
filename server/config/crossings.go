package config

import (
	"fmt"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/account"
	"github.com/lockstepmq/lockstep/server/config/lang"
)

// exports reads the exports of acc.
func (d *decoder) exports(set *accountSet, acc *account.Account, v *lang.Value) {
	list, ok := v.Data.([]*lang.Value)
	if !ok {
		d.add(v.Pos, "Exports should be an array, got %s", v.TypeName())
		return
	}
	for _, e := range list {
		m, ok := e.Data.(*lang.Map)
		if !ok {
			d.add(e.Pos, "Export Items should be a map with type entry, got %s", e.TypeName())
			continue
		}
		if c := d.export(m); c != nil {
			c.acc = acc
			set.exports = append(set.exports, c)
		}
	}
}

// export reads one export; nil when it names no subject or has errors.
func (d *decoder) export(m *lang.Map) *crossing {
	before := len(d.errs)
	c := &crossing{}
	if !d.exportSubject(m, c) {
		return nil
	}
	for _, pair := range m.Pairs() {
		v := pair.Value
		switch strings.ToLower(pair.Key) {
		case "stream", "service":
		case "response", "response_type":
			d.responseType(c, v)
		case "threshold", "response_threshold", "response_max_time", "response_time":
			d.threshold(c, v)
		case "accounts":
			c.accounts = d.accountNames(v)
		case "account_token_position":
			n, _ := d.number(v)
			c.position = int(n)
		case "latency":
			if c.service || c.subject == "" {
				d.notYet(v.Pos, pair.Key)
			} else {
				d.add(v.Pos, "Detected latency directive on non-service")
			}
		case "allow_trace":
			if !c.service && c.subject != "" {
				d.add(v.Pos, "Detected allow_trace directive on non-service")
				continue
			}
			c.trace, _ = d.truth(v)
		default:
			d.unknown(v.Pos, v, pair.Key)
		}
	}
	if len(d.errs) > before || c.subject == "" {
		return nil
	}
	return c
}

// exportSubject finds what is exported: a stream or a service, not both.
func (d *decoder) exportSubject(m *lang.Map, c *crossing) bool {
	for _, pair := range m.Pairs() {
		kind := strings.ToLower(pair.Key)
		if kind != "stream" && kind != "service" {
			continue
		}
		subj, ok := pair.Value.Data.(string)
		if !ok {
			d.add(pair.Value.Pos, "Expected %s name to be string, got %s", kind, pair.Value.TypeName())
			return false
		}
		if c.subject != "" {
			d.add(pair.Value.Pos, "Detected %s %q but already saw a %s", kind, subj, c.kind())
			return false
		}
		c.subject, c.service = subj, kind == "service"
	}
	return true
}

func (d *decoder) responseType(c *crossing, v *lang.Value) {
	word, ok := v.Data.(string)
	if !ok {
		d.add(v.Pos, "Expected response type to be string, got %s", v.TypeName())
		return
	}
	switch strings.ToLower(word) {
	case "single", "singleton":
		c.response = account.Singleton
	case "stream":
		c.response = account.Streamed
	case "chunk", "chunked":
		c.response = account.Chunked
	default:
		d.add(v.Pos, "Unknown response type: %q", word)
		return
	}
	if !c.service && c.subject != "" {
		d.add(v.Pos, "Detected response directive on non-service")
	}
}

func (d *decoder) threshold(c *crossing, v *lang.Value) {
	word, ok := v.Data.(string)
	if !ok {
		d.add(v.Pos, "Expected response threshold to be a parseable time duration, got %s", v.TypeName())
		return
	}
	dur, err := time.ParseDuration(word)
	if err != nil {
		d.add(v.Pos, "Expected response threshold to be a parseable time duration, got %q", word)
		return
	}
	c.threshold = dur
	if !c.service && c.subject != "" {
		d.add(v.Pos, "Detected response directive on non-service")
	}
}

// accountNames reads a list of account names; never nil, so that an empty list admits nobody.
func (d *decoder) accountNames(v *lang.Value) []string {
	out := []string{}
	list, _ := d.list(v)
	for _, e := range list {
		if name, ok := d.text(e); ok {
			out = append(out, name)
		}
	}
	return out
}

// imports reads the imports of acc.
func (d *decoder) imports(set *accountSet, acc *account.Account, v *lang.Value) {
	list, ok := v.Data.([]*lang.Value)
	if !ok {
		d.add(v.Pos, "Imports should be an array, got %s", v.TypeName())
		return
	}
	services := make(map[string]*crossing)
	for _, e := range list {
		m, ok := e.Data.(*lang.Map)
		if !ok {
			d.add(e.Pos, "Import Items should be a map with type entry, got %s", e.TypeName())
			continue
		}
		c := d.imported(m)
		if c == nil {
			continue
		}
		c.acc = acc
		set.imports = append(set.imports, c)
		if !c.service {
			continue
		}
		local := c.to
		if local == "" {
			local = c.subject
		}
		if was := services[c.from+" "+local]; was != nil {
			d.add(e.Pos, "Duplicate service import subject %q, previously used in import for account %q, subject %q",
				local, was.from, was.subject)
		}
		services[c.from+" "+local] = c
	}
}

// imported reads one import; nil when it names no subject or has errors.
func (d *decoder) imported(m *lang.Map) *crossing {
	before := len(d.errs)
	c := &crossing{}
	if !d.importSource(m, c) {
		return nil
	}
	both := "Stream import can not have a 'prefix' and a 'to' property"
	for _, pair := range m.Pairs() {
		v := pair.Value
		switch strings.ToLower(pair.Key) {
		case "stream", "service":
		case "prefix":
			c.prefix, _ = d.text(v)
			if c.to != "" && !c.service {
				d.add(v.Pos, "%s", both)
			}
		case "to":
			c.to, _ = d.text(v)
			if c.prefix != "" && !c.service {
				d.add(v.Pos, "%s", both)
			}
		case "share":
			c.share, _ = d.truth(v)
		case "allow_trace":
			if c.service {
				d.add(v.Pos, "Detected allow_trace directive on a non-stream")
				continue
			}
			c.trace, _ = d.truth(v)
		default:
			d.unknown(v.Pos, v, pair.Key)
		}
	}
	if len(d.errs) > before || c.subject == "" {
		return nil
	}
	return c
}

// importSource finds what is imported: a stream or a service, not both.
func (d *decoder) importSource(m *lang.Map, c *crossing) bool {
	for _, pair := range m.Pairs() {
		v, kind := pair.Value, strings.ToLower(pair.Key)
		if kind != "stream" && kind != "service" {
			continue
		}
		if c.subject != "" {
			d.add(v.Pos, "Detected %s but already saw a %s", kind, c.kind())
			return false
		}
		source, ok := v.Data.(*lang.Map)
		if !ok {
			d.add(v.Pos, "%s entry should be an account map, got %s", capital(kind), v.TypeName())
			return false
		}
		for _, p := range source.Pairs() {
			switch strings.ToLower(p.Key) {
			case "account":
				c.from, _ = d.text(p.Value)
			case "subject":
				c.subject, _ = d.text(p.Value)
			default:
				d.unknown(p.Value.Pos, p.Value, p.Key)
			}
		}
		if c.from == "" || c.subject == "" {
			d.add(v.Pos, "Expect an account name and a subject")
			return false
		}
		c.service = kind == "service"
	}
	return true
}

func capital(kind string) string { return fmt.Sprintf("%c%s", kind[0]-'a'+'A', kind[1:]) }
