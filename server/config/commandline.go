package config

import (
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
)

// Hooks are what the command line may ask for instead of a server. Nil ones do
// nothing, but for Signal.
type Hooks struct {
	Version, Help, TLSHelp func()
	// Signal sends one of [SignalCommands] to the processes that target names: a
	// process id, a file that holds one, an id's beginning and "*", or "" for the only
	// server that runs. Nil refuses.
	Signal func(command, target string) error
}

// SignalCommands are the words that --signal takes.
var SignalCommands = []string{"stop", "quit", "term", "reopen", "ldm", "reload"}

// ConfigureOptions defines the flags on fs, reads args, and the configuration file if
// they name one; flags win over the file. It returns nil options and no error when the
// command line asked for a text instead. Complaints that do not prevent a start are
// written to fs.Output. Secrets in args are overwritten.
func ConfigureOptions(fs *flag.FlagSet, args []string, printVersion, printHelp, printTLSHelp func()) (*Options, error) {
	return ConfigureOptionsWith(fs, args, Hooks{Version: printVersion, Help: printHelp, TLSHelp: printTLSHelp})
}

// ConfigureOptionsWith is [ConfigureOptions] for a program that can send signals.
func ConfigureOptionsWith(fs *flag.FlagSet, args []string, hooks Hooks) (*Options, error) {
	c := defineFlags(fs)
	if err := fs.Parse(args); err != nil {
		return nil, err
	}
	defer redact(args)
	for _, ask := range []struct {
		name string
		hook func()
	}{{"version", hooks.Version}, {"help", hooks.Help}, {"help_tls", hooks.TLSHelp}} {
		if c.value(ask.name).on {
			return nil, call(ask.hook)
		}
	}
	for _, word := range fs.Args() {
		switch strings.ToLower(word) {
		case "version":
			return nil, call(hooks.Version)
		case "help":
			return nil, call(hooks.Help)
		default:
			return nil, fmt.Errorf("unrecognized command: %q", word)
		}
	}
	if s := c.value("signal"); s.text != "" {
		return nil, sendSignal(hooks.Signal, s.text)
	}
	return c.options(fs)
}

func call(hook func()) error {
	if hook != nil {
		hook()
	}
	return nil
}

// sendSignal reads "command[=target]" and has it sent.
func sendSignal(send func(command, target string) error, text string) error {
	words := strings.Split(text, "=")
	if len(words) > 2 {
		return fmt.Errorf("invalid signal parameters: %v", words[2:])
	}
	if !slices.Contains(SignalCommands, words[0]) {
		return fmt.Errorf("unknown signal %q", words[0])
	}
	if send == nil {
		return errors.New("this program can not send signals")
	}
	return send(words[0], strings.Join(words[1:], ""))
}

// options reads the file that the flags name and lays the flags over it.
func (c *commandLine) options(fs *flag.FlagSet) (*Options, error) {
	o := &Options{Logtime: true, flags: c, CheckConfig: c.value("t").on}
	path := c.value("config").text
	if path == "" && o.CheckConfig {
		return nil, errors.New("must specify [-c, --config] option to check configuration file syntax")
	}
	if path != "" {
		if err := o.ProcessConfigFile(path); err != nil {
			return nil, err
		}
		if o.CheckConfig {
			return o, nil
		}
		for _, w := range o.warnings {
			fmt.Fprintln(fs.Output(), w)
		}
	}
	c.apply(o, false)
	if err := c.configureCluster(o); err != nil {
		return nil, err
	}
	if err := c.configureTLS(o); err != nil {
		return nil, err
	}
	return o, nil
}

// configureTLS lets TLS flags replace the file's tls block, or --tls=false drop it.
func (c *commandLine) configureTLS(o *Options) error {
	if off := c.value("tls"); off.set && !off.on {
		o.TLSConfig, o.tlsOpts = nil, nil
		return nil
	}
	if !slices.ContainsFunc([]string{"tls", "tlsverify", "tlscert", "tlskey", "tlscacert"}, func(name string) bool {
		return c.value(name).set
	}) {
		return nil
	}
	if o.TLSCert == "" {
		return errors.New("TLS Server certificate must be present and valid")
	}
	if o.TLSKey == "" {
		return errors.New("TLS Server private key must be present and valid")
	}
	opts := &TLSConfigOpts{
		CertFile: o.TLSCert, KeyFile: o.TLSKey, CaFile: o.TLSCaCert, Verify: o.TLSVerify,
		Timeout: DefaultTLSTimeout.Seconds(),
	}
	cfg, err := GenTLSConfig(opts)
	if err != nil {
		return err
	}
	o.TLS, o.TLSConfig, o.tlsOpts = true, cfg, opts
	return nil
}

// hidden stands for what must not be read.
const hidden = "[REDACTED]"

// secretFlags take a credential.
var secretFlags = []string{"user", "pass", "auth"}

// redact overwrites credentials in args, which a process shows to whoever may list or
// debug it.
func redact(args []string) {
	for i, arg := range args {
		name, value, joined := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(arg, "-"), "-"), "=")
		if !strings.HasPrefix(arg, "-") {
			continue
		}
		hide := func(string) string { return hidden }
		if slices.Contains(urlFlags, name) {
			hide = redactURLs
		} else if !slices.Contains(secretFlags, name) {
			continue
		}
		if joined {
			args[i] = strings.TrimSuffix(arg, value) + hide(value)
		} else if i+1 < len(args) {
			args[i+1] = hide(args[i+1])
		}
	}
}
