package config

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"reflect"
	"slices"
)

// Effect says what a changed option does to a running server.
type Effect uint8

// The effects.
const (
	// Rejected options refuse the whole reload when they change.
	Rejected Effect = iota
	// Live options hold for existing connections, too.
	Live
	// NewConnections options hold for what starts after the reload.
	NewConnections
	// Unwatched fields are not compared: they say where options came from, or cannot
	// come from a file.
	Unwatched
)

// reloadable is what the reload knows of one field of Options.
type reloadable struct {
	field  string
	effect Effect
	// line is what is logged when the field changed; nil or "" logs nothing.
	line func(o *Options) string
	// same replaces the plain comparison.
	same func(old, next *Options) bool
	// refuse says what about a change is not supported; "" allows it.
	refuse func(old, next *Options) string
	// secret values are not shown.
	secret bool
}

// Change is one option that a reload changes.
type Change struct {
	Field    string
	Old, New any
	Effect   Effect
}

// ReloadPlan is what a reload would change. It applies nothing.
type ReloadPlan struct {
	Old, New *Options
	// Changes are in the order of the options.
	Changes []Change
	// Lines are what to log as notices, in order, once the plan was carried out. The
	// line of the digest, which ends a reload, is not among them.
	Lines []string
}

// Changed reports whether the plan changes any of these fields.
func (p *ReloadPlan) Changed(fields ...string) bool {
	return slices.ContainsFunc(p.Changes, func(c Change) bool { return slices.Contains(fields, c.Field) })
}

// Plan compares the options of a running server with those that it should get. Both
// have their baseline. The error names the first option that cannot change while the
// server runs; then nothing may be applied.
func Plan(old, next *Options) (*ReloadPlan, error) {
	p := &ReloadPlan{Old: old, New: next}
	from, to := reflect.ValueOf(old).Elem(), reflect.ValueOf(next).Elem()
	for _, r := range reloadTable {
		if r.effect == Unwatched {
			continue
		}
		c := Change{r.field, from.FieldByName(r.field).Interface(), to.FieldByName(r.field).Interface(), r.effect}
		if r.same != nil && r.same(old, next) || r.same == nil && equal(c.Old, c.New) {
			continue
		}
		if err := r.refusal(c, old, next); err != nil {
			return nil, err
		}
		p.Changes = append(p.Changes, c)
	}
	for _, field := range lineOrder {
		if text, always := everyReload[field]; always {
			p.Lines = append(p.Lines, text)
			continue
		}
		if r := findReloadable(field); r.line != nil && p.Changed(field) {
			if text := r.line(next); text != "" {
				p.Lines = append(p.Lines, text)
			}
		}
	}
	p.Lines = append(p.Lines, proxyLines(old, next)...)
	return p, nil
}

// refusal is why the change c can not happen while the server runs, if so.
func (r *reloadable) refusal(c Change, old, next *Options) error {
	if r.refuse != nil {
		if what := r.refuse(old, next); what != "" {
			return fmt.Errorf("config reload not supported for %s", what)
		}
	}
	if r.effect != Rejected {
		return nil
	}
	if r.secret {
		c.Old, c.New = hidden, hidden
	}
	return fmt.Errorf("config reload not supported for %s: old=%v, new=%v", r.field, c.Old, c.New)
}

// equal compares two values of a field; nil and empty lists and maps are the same.
func equal(a, b any) bool {
	if reflect.DeepEqual(a, b) {
		return true
	}
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	switch x.Kind() {
	case reflect.Slice, reflect.Map:
		return x.Len() == 0 && y.Len() == 0
	}
	return false
}

func findReloadable(field string) *reloadable {
	for i := range reloadTable {
		if reloadTable[i].field == field {
			return &reloadTable[i]
		}
	}
	panic("config: the reload table has no field " + field)
}

// Reread reads o's configuration file again and returns what it states now, with the
// flags that survive a reload laid over it, and what only a program can set taken from
// o. The result has its baseline and is valid.
func (o *Options) Reread() (*Options, error) {
	if o.ConfigFile == "" {
		return nil, errors.New("can only reload config when a file is provided using -c or --config")
	}
	next := &Options{flags: o.flags, Logtime: o.flags != nil}
	if err := next.ProcessConfigFile(o.ConfigFile); err != nil {
		return nil, err
	}
	if o.flags != nil {
		o.flags.apply(next, true)
		if err := o.flags.configureCluster(next); err != nil {
			return nil, err
		}
	}
	next.CustomClientAuthentication = o.CustomClientAuthentication
	next.DontListen, next.NoLog, next.NoSigs = o.DontListen, o.NoLog, o.NoSigs
	next.DisableShortFirstPing, next.AlwaysEnableNonce = o.DisableShortFirstPing, o.AlwaysEnableNonce
	next.SetBaseline()
	if next.Port == RandomPort {
		next.Port = o.Port
	}
	if next.Cluster.Port == RandomPort {
		next.Cluster.Port = o.Cluster.Port
	}
	return next, next.Validate()
}

// samePort lets a file that asks for any port keep the one that was found.
func samePort(old, next *Options) bool { return old.Port == next.Port || next.Port == RandomPort }

// sameTLS compares what two TLS configurations present and accept. Certificates are
// compared by content: that files were replaced is what a reload is often for.
func sameTLS(old, next *Options) bool {
	return sameTLSConfig(old.TLSConfig, next.TLSConfig)
}

func sameTLSConfig(a, b *tls.Config) bool {
	if a == nil || b == nil || a == b {
		return a == b
	}
	return slices.EqualFunc(a.Certificates, b.Certificates, sameCertificate) &&
		a.ClientAuth == b.ClientAuth && a.MinVersion == b.MinVersion && a.MaxVersion == b.MaxVersion &&
		a.InsecureSkipVerify == b.InsecureSkipVerify && slices.Equal(a.CipherSuites, b.CipherSuites) &&
		slices.Equal(a.CurvePreferences, b.CurvePreferences) &&
		samePool(a.ClientCAs, b.ClientCAs) && samePool(a.RootCAs, b.RootCAs) &&
		(a.GetCertificate == nil) == (b.GetCertificate == nil) &&
		(a.GetConfigForClient == nil) == (b.GetConfigForClient == nil)
}

func sameCertificate(a, b tls.Certificate) bool {
	return slices.EqualFunc(a.Certificate, b.Certificate, bytes.Equal)
}

func samePool(a, b *x509.CertPool) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Equal(b)
}
