package config

import (
	"errors"
	"flag"
	"strconv"
	"strings"
)

// flagSpec is one flag of the command line.
type flagSpec struct {
	names string // separated by blanks; the first is the one that messages use
	kind  flagKind
	// apply lays the flag's value over options; nil for flags that are not options.
	apply func(o *Options, v *flagValue)
	// reload is whether the flag is laid over a reloaded file, too. The others make
	// every reload fail, or fall back to what the file says.
	reload bool
}

type flagKind uint8

const (
	textFlag flagKind = iota
	boolFlag
	intFlag
)

// flagValue is what the command line said for one flag; it implements flag.Value.
type flagValue struct {
	spec *flagSpec
	set  bool
	text string
	n    int64
	on   bool
}

func (v *flagValue) String() string   { return v.text }
func (v *flagValue) IsBoolFlag() bool { return v.spec != nil && v.spec.kind == boolFlag }

func (v *flagValue) Set(s string) error {
	var err error
	switch v.spec.kind {
	case boolFlag:
		v.on, err = strconv.ParseBool(s)
	case intFlag:
		v.n, err = strconv.ParseInt(s, 0, 64)
	}
	if err != nil {
		return errors.New("parse error")
	}
	v.set, v.text = true, s
	return nil
}

// commandLine is every flag's value, in the order of flagSpecs.
type commandLine struct {
	values []*flagValue
}

func defineFlags(fs *flag.FlagSet) *commandLine {
	c := &commandLine{}
	for i := range flagSpecs {
		v := &flagValue{spec: &flagSpecs[i]}
		c.values = append(c.values, v)
		for name := range strings.FieldsSeq(v.spec.names) {
			fs.Var(v, name, "")
		}
	}
	return c
}

func (c *commandLine) value(name string) *flagValue {
	for _, v := range c.values {
		if first, _, _ := strings.Cut(v.spec.names, " "); first == name {
			return v
		}
	}
	panic("config: no flag is called " + name)
}

// apply lays the flags over o; on a reload only those that survive one.
func (c *commandLine) apply(o *Options, reload bool) {
	for _, v := range c.values {
		if v.set && v.spec.apply != nil && (v.spec.reload || !reload) {
			v.spec.apply(o, v)
		}
	}
}

// flagSpecs are all flags. Their order is that in which they are applied: a combined
// flag after its parts.
var flagSpecs = []flagSpec{
	{names: "addr a net", apply: func(o *Options, v *flagValue) { o.Host = v.text }, reload: true},
	{names: "port p", kind: intFlag, apply: func(o *Options, v *flagValue) { o.Port = int(v.n) }, reload: true},
	{names: "name n server_name", apply: func(o *Options, v *flagValue) { o.ServerName = v.text }},
	{names: "pid P", apply: func(o *Options, v *flagValue) { o.PidFile = v.text }, reload: true},
	{names: "http_port m", kind: intFlag, apply: func(o *Options, v *flagValue) { o.HTTPPort = int(v.n) }, reload: true},
	{names: "https_port ms", kind: intFlag, apply: func(o *Options, v *flagValue) { o.HTTPSPort = int(v.n) }},
	{names: "client_advertise", apply: func(o *Options, v *flagValue) { o.ClientAdvertise = v.text }, reload: true},
	{names: "ports_file_dir", apply: func(o *Options, v *flagValue) { o.PortsFileDir = v.text }, reload: true},
	{names: "profile", kind: intFlag, apply: func(o *Options, v *flagValue) { o.ProfPort = int(v.n) }, reload: true},

	{names: "log l", apply: func(o *Options, v *flagValue) { o.LogFile = v.text }, reload: true},
	{names: "logtime T", kind: boolFlag, apply: func(o *Options, v *flagValue) { o.Logtime = v.on }, reload: true},
	{names: "logtime_utc", kind: boolFlag, apply: func(o *Options, v *flagValue) { o.LogtimeUTC = v.on }},
	{names: "syslog s", kind: boolFlag, apply: func(o *Options, v *flagValue) { o.Syslog = v.on }},
	{names: "remote_syslog r", apply: func(o *Options, v *flagValue) { o.RemoteSyslog = v.text }},
	{names: "debug D", kind: boolFlag, apply: func(o *Options, v *flagValue) { o.Debug = v.on }, reload: true},
	{names: "trace V", kind: boolFlag, apply: func(o *Options, v *flagValue) { o.Trace = v.on }, reload: true},
	{names: "VV", kind: boolFlag, reload: true, apply: func(o *Options, v *flagValue) {
		if v.on {
			o.Trace, o.TraceVerbose = true, true
		}
	}},
	{names: "DV", kind: boolFlag, reload: true, apply: func(o *Options, v *flagValue) {
		if v.on {
			o.Debug, o.Trace = true, true
		}
	}},
	{names: "DVV", kind: boolFlag, reload: true, apply: func(o *Options, v *flagValue) {
		if v.on {
			o.Debug, o.Trace, o.TraceVerbose = true, true, true
		}
	}},
	{names: "log_size_limit", kind: intFlag, apply: func(o *Options, v *flagValue) { o.LogSizeLimit = v.n }},
	{names: "max_traced_msg_len", kind: intFlag, apply: func(o *Options, v *flagValue) { o.MaxTracedMsgLen = int(v.n) }},

	{names: "jetstream js", kind: boolFlag, apply: func(o *Options, v *flagValue) { o.JetStream = v.on }, reload: true},
	{names: "store_dir sd", apply: func(o *Options, v *flagValue) { o.StoreDir = v.text }, reload: true},

	{names: "user", apply: func(o *Options, v *flagValue) { o.Username = v.text }, reload: true},
	{names: "pass", apply: func(o *Options, v *flagValue) { o.Password = v.text }, reload: true},
	{names: "auth", apply: func(o *Options, v *flagValue) { o.Authorization = v.text }, reload: true},
	{names: "tls", kind: boolFlag, apply: func(o *Options, v *flagValue) { o.TLS = v.on }},
	{names: "tlsverify", kind: boolFlag, apply: func(o *Options, v *flagValue) { o.TLSVerify = v.on }},
	{names: "tlscert", apply: func(o *Options, v *flagValue) { o.TLSCert = v.text }},
	{names: "tlskey", apply: func(o *Options, v *flagValue) { o.TLSKey = v.text }},
	{names: "tlscacert", apply: func(o *Options, v *flagValue) { o.TLSCaCert = v.text }},

	{names: "config c"},
	{names: "t", kind: boolFlag},
	{names: "signal sl"},
	{names: "help h", kind: boolFlag},
	{names: "version v", kind: boolFlag},
	{names: "help_tls", kind: boolFlag},

	{names: "routes", reload: true},
	{names: "cluster cluster_listen", reload: true},
	{names: "cluster_name", apply: func(o *Options, v *flagValue) { o.Cluster.Name = v.text }, reload: true},
	{names: "cluster_advertise", apply: func(o *Options, v *flagValue) { o.Cluster.Advertise = v.text }, reload: true},
	{names: "no_advertise", kind: boolFlag, apply: func(o *Options, v *flagValue) { o.Cluster.NoAdvertise = v.on }, reload: true},
	{names: "connect_retries", kind: intFlag, apply: func(o *Options, v *flagValue) { o.Cluster.ConnectRetries = int(v.n) }, reload: true},
}
