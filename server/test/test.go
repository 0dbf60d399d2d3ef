// Package test runs servers for the tests of programs that use NATS. It panics
// where a server cannot start: a test has nothing better to do.
package test

import (
	"fmt"
	"time"

	"github.com/lockstepmq/lockstep/server"
)

// startMax bounds the wait for a server's listeners.
const startMax = 10 * time.Second

// DefaultTestOptions are the options of RunDefaultServer: the usual port on the
// loopback interface, silent.
var DefaultTestOptions = server.Options{
	Host:                  "127.0.0.1",
	Port:                  4222,
	NoLog:                 true,
	NoSigs:                true,
	MaxControlLine:        4096,
	DisableShortFirstPing: true,
}

// RunDefaultServer runs a server with the default options.
func RunDefaultServer() *server.Server { return RunServer(&DefaultTestOptions) }

// RunRandClientPortServer runs a server with the default options on a port that
// the kernel picks; ClientURL tells it.
func RunRandClientPortServer() *server.Server {
	opts := DefaultTestOptions
	opts.Port = server.RANDOM_PORT
	return RunServer(&opts)
}

// RunServer runs a server and returns when it takes connections. Nil stands for
// the default options.
func RunServer(opts *server.Options) *server.Server { return RunServerCallback(opts, nil) }

// RunServerCallback is RunServer with a callback that sees the server before it
// starts.
func RunServerCallback(opts *server.Options, callback func(*server.Server)) *server.Server {
	if opts == nil {
		opts = &DefaultTestOptions
	}
	s, err := server.NewServer(opts)
	if err != nil || s == nil {
		panic(fmt.Sprintf("No NATS Server object returned: %v", err))
	}
	if !opts.NoLog {
		s.ConfigureLogger()
	}
	if callback != nil {
		callback(s)
	}
	s.Start()
	if !s.ReadyForConnections(startMax) {
		panic("Unable to start NATS Server")
	}
	return s
}

// LoadConfig reads a configuration file; the server will be silent and leave
// signals to the test.
func LoadConfig(configFile string) *server.Options {
	opts, err := server.ProcessConfigFile(configFile)
	if err != nil {
		panic(fmt.Sprintf("Error processing configuration file: %v", err))
	}
	opts.NoSigs, opts.NoLog = true, opts.LogFile == ""
	return opts
}

// RunServerWithConfig runs a server with a configuration file.
func RunServerWithConfig(configFile string) (srv *server.Server, opts *server.Options) {
	opts = LoadConfig(configFile)
	return RunServer(opts), opts
}

// RunServerWithConfigOverrides is RunServerWithConfig with callbacks that may
// change the options, and that see the server before it starts; each may be nil.
func RunServerWithConfigOverrides(configFile string, optsCallback func(*server.Options), svrCallback func(*server.Server)) (srv *server.Server, opts *server.Options) {
	opts = LoadConfig(configFile)
	if optsCallback != nil {
		optsCallback(opts)
	}
	return RunServerCallback(opts, svrCallback), opts
}
