package config

import (
	"crypto/tls"
	"regexp"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/config/lang"
)

// clientTLS reads the tls block of the client listener.
func (d *decoder) clientTLS(_ string, v *lang.Value) {
	o := d.o
	cfg, opts := d.tlsConfig(v, false)
	if cfg == nil {
		return
	}
	o.TLSConfig, o.tlsOpts = cfg, opts
	o.TLSTimeout, o.TLSMap, o.TLSPinnedCerts = opts.Timeout, opts.Map, opts.PinnedCerts
	o.TLSRateLimit = opts.RateLimit
	o.TLSHandshakeFirst, o.TLSHandshakeFirstFallback = opts.HandshakeFirst, opts.FallbackDelay
}

// tlsConfig reads a tls block and makes a configuration of it; nil when there is a mistake. routes
// is that of tlsOptions.
func (d *decoder) tlsConfig(v *lang.Value, routes bool) (*tls.Config, *TLSConfigOpts) {
	m, ok := d.mapping(v)
	if !ok {
		return nil, nil
	}
	opts := d.tlsOptions(m, v.Pos, routes)
	if opts == nil {
		return nil, nil
	}
	cfg, err := GenTLSConfig(opts)
	if err != nil {
		d.add(v.Pos, "%v", err)
		return nil, nil
	}
	return cfg, opts
}

// tlsOptions reads a tls block up to its first mistake; nil when there is one. routes is
// whether peers are verified by known URLs, which only routes have.
func (d *decoder) tlsOptions(m *lang.Map, at lang.Pos, routes bool) *TLSConfigOpts {
	before := len(d.errs)
	o := &TLSConfigOpts{Timeout: DefaultTLSTimeout.Seconds()}
	for _, pair := range m.Pairs() {
		d.tlsField(o, pair, routes)
		if len(d.errs) > before {
			return nil
		}
	}
	if len(o.Certificates) > 0 && o.CertFile != "" {
		d.add(at, "error parsing tls config, cannot combine 'cert_file' option with 'certs' option")
		return nil
	}
	return o
}

func (d *decoder) tlsField(o *TLSConfigOpts, pair lang.Pair, routes bool) {
	v, key := pair.Value, strings.ToLower(pair.Key)
	switch key {
	case "cert_file":
		o.CertFile = d.tlsFile(key, v)
	case "key_file":
		o.KeyFile = d.tlsFile(key, v)
	case "ca_file":
		o.CaFile = d.tlsFile(key, v)
	case "certs", "certificates":
		o.Certificates = d.tlsCertificates(v)
	case "verify":
		o.Verify = d.tlsSwitch(key, v)
	case "verify_and_map":
		if d.tlsSwitch(key, v) {
			o.Map, o.Verify = true, true
		}
	case "verify_cert_and_check_known_urls":
		switch on := d.tlsSwitch(key, v); {
		case on && routes:
			o.TLSCheckKnownURLs, o.Verify = true, true
		case on:
			d.add(v.Pos, "verify_cert_and_check_known_urls not supported in this context")
		}
	case "insecure":
		o.Insecure = d.tlsSwitch(key, v)
	case "allow_insecure_cipher_suites":
		o.AllowInsecureCiphers = d.tlsSwitch(key, v)
	default:
		d.tlsTuning(o, pair, key)
	}
}

func (d *decoder) tlsTuning(o *TLSConfigOpts, pair lang.Pair, key string) {
	v := pair.Value
	switch key {
	case "timeout":
		seconds, complaint := timeoutSeconds(v)
		if complaint != "" {
			d.add(v.Pos, "error parsing tls config, 'timeout' %s", complaint)
		}
		o.Timeout = seconds
	case "handshake_first", "first", "immediate":
		d.handshakeFirst(o, pair.Key, v)
	case "connection_rate_limit":
		n, ok := v.Data.(int64)
		if !ok {
			d.add(v.Pos, "error parsing tls config, 'connection_rate_limit' wrong type")
		}
		o.RateLimit = n
	case "min_version":
		d.minVersion(o, v)
	case "cipher_suites":
		o.Ciphers = nameList(d, key, v, "unrecognized cipher %s", cipherNamed)
	case "curve_preferences":
		o.CurvePreferences = nameList(d, key, v, "unrecognized curve preference %s", curveNamed)
	case "pinned_certs":
		d.pinnedCerts(o, v)
	case "ocsp_peer", "cert_store", "cert_match_by", "cert_match", "ca_certs_match", "cert_match_skip_invalid":
		d.notYet(v.Pos, pair.Key)
	default:
		if !v.Used {
			d.add(v.Pos, "error parsing tls config, unknown field %q", pair.Key)
		}
	}
}

func (d *decoder) tlsFile(key string, v *lang.Value) string {
	s, ok := v.Data.(string)
	if !ok {
		d.add(v.Pos, "error parsing tls config, expected '%s' to be filename", key)
	}
	return s
}

func (d *decoder) tlsSwitch(key string, v *lang.Value) bool {
	b, ok := v.Data.(bool)
	if !ok {
		d.add(v.Pos, "error parsing tls config, expected '%s' to be a boolean", key)
	}
	return b
}

func (d *decoder) tlsCertificates(v *lang.Value) []*TLSCertPairOpt {
	list, ok := v.Data.([]*lang.Value)
	if !ok {
		d.add(v.Pos, "error parsing certificates config: unsupported type %s", v.TypeName())
		return nil
	}
	var out []*TLSCertPairOpt
	for _, e := range list {
		m, ok := e.Data.(*lang.Map)
		if !ok {
			d.add(e.Pos, "error parsing certificates config: unsupported type %s", e.TypeName())
			return nil
		}
		pair := d.tlsCertificate(m, e.Pos)
		if pair == nil {
			return nil
		}
		out = append(out, pair)
	}
	return out
}

func (d *decoder) tlsCertificate(m *lang.Map, at lang.Pos) *TLSCertPairOpt {
	pair := &TLSCertPairOpt{}
	for _, p := range m.Pairs() {
		at = p.Value.Pos
		file, ok := p.Value.Data.(string)
		if !ok {
			d.add(at, "error parsing certificates config: unsupported type %s", p.Value.TypeName())
			return nil
		}
		switch p.Key {
		case "cert_file":
			pair.CertFile = file
		case "key_file":
			pair.KeyFile = file
		default:
			d.add(at, "error parsing tls certs config, unknown field %q", p.Key)
			return nil
		}
	}
	if pair.CertFile == "" || pair.KeyFile == "" {
		d.add(at, "error parsing certificates config: both 'cert_file' and 'cert_key' options are required")
		return nil
	}
	return pair
}

// handshakeFirst reads whether the handshake comes before INFO, and after what
// silence the server speaks all the same.
func (d *decoder) handshakeFirst(o *TLSConfigOpts, key string, v *lang.Value) {
	switch data := v.Data.(type) {
	case bool:
		o.HandshakeFirst = data
	case string:
		switch strings.ToLower(data) {
		case "true", "on":
			o.HandshakeFirst = true
		case "false", "off":
			o.HandshakeFirst = false
		case "auto", "auto_fallback":
			o.HandshakeFirst, o.FallbackDelay = true, DefaultTLSHandshakeFallback
		default:
			dur, err := time.ParseDuration(data)
			if err != nil {
				d.add(v.Pos, "field %q's value %q is invalid", key, data)
				return
			}
			o.HandshakeFirst, o.FallbackDelay = true, dur
		}
	default:
		d.add(v.Pos, "field %q should be a boolean or a string, got %s", key, v.TypeName())
	}
}

func (d *decoder) minVersion(o *TLSConfigOpts, v *lang.Value) {
	word, ok := v.Data.(string)
	if !ok {
		d.add(v.Pos, "error parsing tls config: 'min_version' wrong type: %v", v.Plain())
		return
	}
	version, err := tlsVersion(word)
	if err != nil {
		d.add(v.Pos, "error parsing tls config: %v", err)
		return
	}
	o.MinVersion = version
}

// nameList reads a list of names that find knows.
func nameList[T any](d *decoder, key string, v *lang.Value, unknown string, find func(string) (T, bool)) []T {
	list, ok := d.list(v)
	if ok && len(list) == 0 {
		d.add(v.Pos, "error parsing tls config, '%s' cannot be empty", key)
	}
	var out []T
	for _, e := range list {
		name, ok := d.text(e)
		if !ok {
			return nil
		}
		id, ok := find(name)
		if !ok {
			d.add(e.Pos, unknown, name)
			return nil
		}
		out = append(out, id)
	}
	return out
}

var pinnedCertForm = regexp.MustCompile(`^[0-9a-f]{64}$`)

func (d *decoder) pinnedCerts(o *TLSConfigOpts, v *lang.Value) {
	list, ok := v.Data.([]*lang.Value)
	if !ok {
		d.add(v.Pos, "error parsing tls config, expected 'pinned_certs' to be a list of hex-encoded sha256 of DER encoded SubjectPublicKeyInfo")
		return
	}
	if len(list) == 0 {
		return
	}
	o.PinnedCerts = make(PinnedCertSet, len(list))
	for _, e := range list {
		digest, ok := d.text(e)
		if !ok {
			return
		}
		digest = strings.ToLower(digest)
		if !pinnedCertForm.MatchString(digest) {
			d.add(e.Pos, "error parsing tls config, 'pinned_certs' key %s does not look like hex-encoded sha256 of DER encoded SubjectPublicKeyInfo", digest)
			return
		}
		o.PinnedCerts[digest] = struct{}{}
	}
}
