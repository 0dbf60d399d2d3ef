package config

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"flag"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var rewrite = flag.Bool("rewrite", false, "accept what checking the corpus says now")

// environment is what the corpus' variables may refer to.
var environment = map[string]string{
	"FOO": "bar", "NUM": "42", "M": "{a: 1, b: $FOO}", "A": "[1,2 ]", "Q": `"q"`, "S": "a b", "B": "true",
	"SELF": "$SELF", "TWO": "a b",
}

// TestCorpus checks files as -t does: every case of testdata is a file, a line of
// dashes, and what checking it says.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	corpus := make(map[string]string)
	home, err := os.Getwd()
	require.NoError(t, err)
	for _, f := range files {
		b, err := os.ReadFile(f)
		require.NoError(t, err)
		corpus[strings.TrimSuffix(filepath.Base(f), ".txt")] = string(b)
	}
	inCorpusDir(t)
	for name, text := range corpus {
		t.Run(name, func(t *testing.T) {
			var now strings.Builder
			for _, c := range strings.Split(strings.TrimSuffix(text, "====\n"), "====\n") {
				file, want, ok := strings.Cut(c, "\n----\n")
				require.True(t, ok, c)
				got := check(t, file)
				fmt.Fprintf(&now, "%s\n----\n%s\n====\n", file, got)
				if got != strings.TrimSuffix(want, "\n") && !*rewrite {
					t.Errorf("%s\nwant: %s\ngot:  %s", file, want, got)
				}
			}
			if *rewrite {
				require.NoError(t, os.WriteFile(filepath.Join(home, "testdata", name+".txt"), []byte(now.String()), 0o644))
			}
		})
	}
}

// check returns what checking a file of this text says.
func check(t *testing.T, text string) string {
	t.Helper()
	require.NoError(t, os.WriteFile("c.conf", []byte(text), 0o600))
	o := &Options{CheckConfig: true}
	if err := o.ProcessConfigFile("c.conf"); err != nil {
		return strings.TrimSuffix(strings.ReplaceAll(err.Error(), "\x00", "<NUL>"), "\n")
	}
	return "valid (" + o.ConfigDigest() + ")"
}

// inCorpusDir changes to a directory with the files that the corpus names.
func inCorpusDir(t *testing.T) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, value := range environment {
		t.Setenv(name, value)
	}
	writePair(t, "cert.pem", "key.pem")
	for name, text := range map[string]string{
		"x.pem": "x", "good.conf": "p: 4333\n", "bad.conf": "\nx: [\n", "sub/nested.conf": "q: a\n include \"../good.conf\"\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o700))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o600))
	}
}

// writePair writes a new self-signed certificate and its key.
func writePair(t *testing.T, certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "localhost"}, DNSNames: []string{"localhost"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	require.NoError(t, err)
	keyDER, err := x509.MarshalECPrivateKey(key)
	require.NoError(t, err)
	for name, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "EC PRIVATE KEY", Bytes: keyDER},
	} {
		require.NoError(t, os.WriteFile(name, pem.EncodeToMemory(block), 0o600))
	}
}
