// Command lockstep is the server: it reads the command line, wires the server to
// the real world, and obeys signals.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"

	"github.com/lockstepmq/lockstep/server"
	"github.com/lockstepmq/lockstep/server/config"
	"github.com/lockstepmq/lockstep/storage/doctor"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "store" {
		os.Exit(doctor.Command(os.Args[2:], os.Stdout, os.Stderr))
	}
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "lockstep: %v\n", err)
		os.Exit(1)
	}
}

// run is the whole life of the process.
func run(args []string) error {
	fs := flag.NewFlagSet("lockstep", flag.ContinueOnError)
	fs.Usage = func() { fmt.Print(config.Usage) }
	o, err := config.ConfigureOptionsWith(fs, args, config.Hooks{
		Version: func() { fmt.Printf("lockstep: v%s (lockstep v%s)\n", server.VERSION, server.LockstepVersion) },
		Help:    func() { fmt.Print(config.Usage) },
		TLSHelp: func() { fmt.Print(config.TLSUsage) },
		Signal:  sendSignal,
	})
	if errors.Is(err, flag.ErrHelp) || misused(err) {
		return nil
	}
	if err != nil || o == nil {
		return err
	}
	if o.CheckConfig {
		return checked(o)
	}
	tuneCollector()
	s, err := server.NewServer(o)
	if err != nil {
		return err
	}
	if err := s.OpenLog(); err != nil {
		return err
	}
	if !o.NoSigs {
		go obey(s, signals())
	}
	if err := s.TryStart(); err != nil {
		s.Logger().Fatalf("%v", err)
		os.Exit(1)
	}
	s.WaitForShutdown()
	return nil
}

// checked reports what -t found: any warning is a failure.
func checked(o *server.Options) error {
	if w := o.Warnings(); len(w) > 0 {
		return errors.Join(w...)
	}
	fmt.Fprintf(os.Stderr, "lockstep: configuration file %s is valid (%s)\n", o.ConfigFile, o.ConfigDigest())
	return nil
}

// misused tells a flag that nobody knows or that has no proper value: the flag
// package said so and printed the usage, which is an answer and no failure.
func misused(err error) bool {
	if err == nil {
		return false
	}
	for _, said := range []string{"flag provided but not defined", "flag needs an argument", "invalid value", "invalid boolean value", "bad flag syntax"} {
		if strings.HasPrefix(err.Error(), said) {
			return true
		}
	}
	return false
}
