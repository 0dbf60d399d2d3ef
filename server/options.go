package server

import (
	"crypto/tls"
	"flag"

	"github.com/lockstepmq/lockstep/server/config"
)

// Options say how a server behaves.
type Options = config.Options

// ProcessConfigFile reads a configuration file into new options.
func ProcessConfigFile(path string) (*Options, error) { return config.ProcessConfigFile(path) }

// ConfigureOptions defines the server's flags on fs, reads args and the file that
// they may name. It returns nil options and no error when the command line asked
// for a text instead.
func ConfigureOptions(fs *flag.FlagSet, args []string, printVersion, printHelp, printTLSHelp func()) (*Options, error) {
	return config.ConfigureOptions(fs, args, printVersion, printHelp, printTLSHelp)
}

// GenTLSConfig builds the TLS configuration that the options describe.
func GenTLSConfig(o *TLSConfigOpts) (*tls.Config, error) { return config.GenTLSConfig(o) }
