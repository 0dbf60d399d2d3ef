//lockstep:exempt reads the configuration file, what it includes, certificates and the environment
package config

import (
	"crypto/tls"
	"os"

	"github.com/lockstepmq/lockstep/server/config/lang"
)

// readFile returns the content of the file at path.
func readFile(path string) (string, error) {
	b, err := os.ReadFile(path)
	return string(b), err
}

// source is where a configuration file finds includes and variables.
func source() lang.Source { return lang.Source{Read: readFile, Env: os.LookupEnv} }

// loadKeyPair reads a certificate and its key.
func loadKeyPair(cert, key string) (tls.Certificate, error) { return tls.LoadX509KeyPair(cert, key) }
