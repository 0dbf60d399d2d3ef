package config

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
)

// TLSCertPairOpt names a certificate and its key.
type TLSCertPairOpt struct {
	CertFile string
	KeyFile  string
}

// TLSConfigOpts says how a TLS configuration is made.
type TLSConfigOpts struct {
	CertFile string
	KeyFile  string
	CaFile   string
	// Certificates are offered by what the peer asks for; not together with CertFile.
	Certificates []*TLSCertPairOpt
	Verify       bool // ask peers for a certificate and verify it
	Insecure     bool // as a client, do not verify the server
	// Map takes the user from the peer's certificate; it implies Verify.
	Map               bool
	TLSCheckKnownURLs bool
	HandshakeFirst    bool          // no INFO before the handshake
	FallbackDelay     time.Duration // with HandshakeFirst: INFO after this silence, 0 for never
	Timeout           float64       // of the handshake, in seconds
	RateLimit         int64         // handshakes a second, 0 for any number
	// Ciphers and CurvePreferences are in order of preference; empty is the default.
	Ciphers              []uint16
	AllowInsecureCiphers bool
	CurvePreferences     []tls.CurveID
	MinVersion           uint16 // 0 is TLS 1.2
	PinnedCerts          PinnedCertSet
}

// defaultCurves is the order in which key exchanges are preferred.
func defaultCurves() []tls.CurveID {
	return []tls.CurveID{
		tls.X25519MLKEM768, tls.SecP384r1MLKEM1024, tls.SecP256r1MLKEM768,
		tls.X25519, tls.CurveP256, tls.CurveP384, tls.CurveP521,
	}
}

func curveNamed(name string) (tls.CurveID, bool) {
	for _, c := range defaultCurves() {
		if c.String() == name {
			return c, true
		}
	}
	return 0, false
}

// defaultCiphers are all suites that the TLS library holds secure.
func defaultCiphers() []uint16 {
	var out []uint16
	for _, s := range tls.CipherSuites() {
		out = append(out, s.ID)
	}
	return out
}

func cipherNamed(name string) (uint16, bool) {
	for _, list := range [][]*tls.CipherSuite{tls.CipherSuites(), tls.InsecureCipherSuites()} {
		for _, s := range list {
			if s.Name == name {
				return s.ID, true
			}
		}
	}
	return 0, false
}

// insecureCiphers names those of ids that the TLS library holds insecure.
func insecureCiphers(ids []uint16) []string {
	var out []string
	for _, id := range ids {
		for _, s := range tls.InsecureCipherSuites() {
			if s.ID == id {
				out = append(out, s.Name)
			}
		}
	}
	return out
}

// tlsVersion reads a minimum version in the words of the configuration file.
func tlsVersion(word string) (uint16, error) {
	var version uint16
	switch word {
	case "1.0":
		version = tls.VersionTLS10
	case "1.1":
		version = tls.VersionTLS11
	case "1.2":
		version = tls.VersionTLS12
	case "1.3":
		version = tls.VersionTLS13
	default:
		return 0, fmt.Errorf("unknown version: %s", word)
	}
	if version < tls.VersionTLS12 {
		return 0, fmt.Errorf("unsupported TLS version: %s", tls.VersionName(version))
	}
	return version, nil
}

// GenTLSConfig makes a TLS configuration, reading the files that o names.
func GenTLSConfig(o *TLSConfigOpts) (*tls.Config, error) {
	cfg := &tls.Config{
		MinVersion:         tls.VersionTLS12,
		CipherSuites:       o.Ciphers,
		CurvePreferences:   o.CurvePreferences,
		InsecureSkipVerify: o.Insecure,
	}
	if o.MinVersion != 0 {
		if o.MinVersion < tls.VersionTLS12 {
			return nil, fmt.Errorf("unsupported TLS version: %s", tls.VersionName(o.MinVersion))
		}
		cfg.MinVersion = o.MinVersion
	}
	if len(cfg.CipherSuites) == 0 {
		cfg.CipherSuites = defaultCiphers()
	}
	if len(cfg.CurvePreferences) == 0 {
		cfg.CurvePreferences = defaultCurves()
	}
	if names := insecureCiphers(o.Ciphers); len(names) > 0 && !o.AllowInsecureCiphers {
		return nil, fmt.Errorf("insecure cipher suites configured without 'allow_insecure_cipher_suites' option set: %s",
			strings.Join(names, ", "))
	}
	if err := loadCertificates(cfg, o); err != nil {
		return nil, err
	}
	if o.Verify || o.Map {
		cfg.ClientAuth = tls.RequireAndVerifyClientCert
	}
	if o.CaFile == "" {
		return cfg, nil
	}
	pem, err := readFile(o.CaFile)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(pem)) {
		return nil, errors.New("failed to parse root ca certificate")
	}
	cfg.ClientCAs, cfg.RootCAs = pool, pool
	return cfg, nil
}

func loadCertificates(cfg *tls.Config, o *TLSConfigOpts) error {
	switch {
	case o.CertFile != "" && o.KeyFile == "":
		return errors.New("missing 'key_file' in TLS configuration")
	case o.CertFile == "" && o.KeyFile != "":
		return errors.New("missing 'cert_file' in TLS configuration")
	case o.CertFile != "":
		cert, err := loadKeyPair(o.CertFile, o.KeyFile)
		if err != nil {
			return fmt.Errorf("error parsing X509 certificate/key pair: %w", err)
		}
		cfg.Certificates = []tls.Certificate{cert}
		return nil
	}
	for i, pair := range o.Certificates {
		cert, err := loadKeyPair(pair.CertFile, pair.KeyFile)
		if err != nil {
			return fmt.Errorf("error parsing X509 certificate/key pair %d/%d: %w", i+1, len(o.Certificates), err)
		}
		cfg.Certificates = append(cfg.Certificates, cert)
	}
	return nil
}

// MatchesPinned tells whether the certificate that the peer presented is one of those
// pinned: by the lower-case hex SHA-256 of its public key. An empty set admits all.
func MatchesPinned(pinned PinnedCertSet, state *tls.ConnectionState) bool {
	if len(pinned) == 0 {
		return true
	}
	if state == nil || len(state.PeerCertificates) == 0 {
		return false
	}
	sum := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
	_, ok := pinned[hex.EncodeToString(sum[:])]
	return ok
}
