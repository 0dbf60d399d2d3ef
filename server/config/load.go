package config

import (
	"fmt"

	"github.com/lockstepmq/lockstep/server/config/lang"
)

// ProcessConfigFile reads the options that the file at path states; what it does not
// state stays zero. Complaints come as [*Errors]; mere warnings do not fail it, they
// are what [Options.Warnings] returns.
func ProcessConfigFile(path string) (*Options, error) {
	o := &Options{}
	if err := o.ProcessConfigFile(path); err != nil {
		return nil, err
	}
	return o, nil
}

// ProcessConfigFile lays what the file at path states over o. An empty path does
// nothing.
func (o *Options) ProcessConfigFile(path string) error {
	o.ConfigFile = path
	if path == "" {
		return nil
	}
	text, err := readFile(path)
	if err != nil {
		return err
	}
	return o.processConfig(text, path, source())
}

// ProcessConfigString lays what text states over o, as if it were a file of no name
// without includes and environment.
func (o *Options) ProcessConfigString(text string) error {
	return o.processConfig(text, "", lang.Source{})
}

func (o *Options) processConfig(text, path string, src lang.Source) error {
	root, err := lang.Parse(text, path, src)
	if err != nil {
		return err
	}
	digest, err := root.Digest()
	if err != nil {
		return err
	}
	o.digest = digest
	o.inFile = make(map[string]bool)
	d := &decoder{o: o, names: make(identities)}
	if root.Len() == 0 {
		d.warnings = append(d.warnings, fmt.Errorf("%s: config has no values or is empty", path))
	}
	d.decode(root)
	o.warnings = d.warnings
	if len(d.errs) > 0 || o.CheckConfig && len(d.warnings) > 0 {
		return &Errors{Warnings: d.warnings, Errors: d.errs}
	}
	return nil
}
