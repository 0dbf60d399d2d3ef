package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lockstepmq/lockstep/server/perm"
)

// Validate checks options against one another, after [Options.SetBaseline]. The first
// mistake is the error.
func (o *Options) Validate() error {
	for _, check := range []func(*Options) error{
		checkLameDuck, checkPayload, checkNames, checkConnectionTypes, checkPermissions, checkNoAuthUser,
		checkProxies, checkCluster, checkJetStream,
	} {
		if err := check(o); err != nil {
			return err
		}
	}
	return nil
}

func checkLameDuck(o *Options) error {
	if o.LameDuckGracePeriod >= o.LameDuckDuration {
		return fmt.Errorf("lame duck grace period (%v) should be strictly lower than lame duck duration (%v)",
			o.LameDuckGracePeriod, o.LameDuckDuration)
	}
	return nil
}

func checkPayload(o *Options) error {
	if int64(o.MaxPayload) > o.MaxPending {
		return fmt.Errorf("max_payload (%v) cannot be higher than max_pending (%v)", o.MaxPayload, o.MaxPending)
	}
	return nil
}

func checkNames(o *Options) error {
	if strings.Contains(o.ServerName, " ") {
		return fmt.Errorf("server name cannot contain spaces")
	}
	return nil
}

// checkConnectionTypes matters to programs: a file's are checked where they stand.
func checkConnectionTypes(o *Options) error {
	check := func(allowed map[string]struct{}) error {
		var bad []string
		//lockstep:ordered the names are sorted before anything sees them
		for name := range allowed {
			if !slices.Contains(connectionKinds, name) {
				bad = append(bad, name)
			}
		}
		if len(bad) == 0 {
			return nil
		}
		slices.Sort(bad)
		return fmt.Errorf("invalid connection types %q", bad)
	}
	for _, u := range o.Users {
		if err := check(u.AllowedConnectionTypes); err != nil {
			return err
		}
	}
	for _, u := range o.Nkeys {
		if err := check(u.AllowedConnectionTypes); err != nil {
			return err
		}
	}
	return nil
}

// checkPermissions matters to programs, too.
func checkPermissions(o *Options) error {
	for _, u := range o.Users {
		if err := checkSubjects(u.Permissions); err != nil {
			return err
		}
	}
	for _, u := range o.Nkeys {
		if err := checkSubjects(u.Permissions); err != nil {
			return err
		}
	}
	return nil
}

func checkSubjects(p *perm.Permissions) error {
	if p == nil {
		return nil
	}
	for _, list := range []struct {
		p      *perm.SubjectPermission
		queues bool
	}{{p.Publish, false}, {p.Subscribe, true}} {
		if list.p == nil {
			continue
		}
		for _, entry := range slices.Concat(list.p.Allow, list.p.Deny) {
			if text := checkPermitted(entry, list.queues); text != "" {
				return fmt.Errorf("%s", text)
			}
		}
	}
	return nil
}

func checkNoAuthUser(o *Options) error {
	if o.NoAuthUser == "" {
		return nil
	}
	if len(o.Users)+len(o.Nkeys) == 0 {
		return fmt.Errorf("no_auth_user: %q present, but users/nkeys are not defined", o.NoAuthUser)
	}
	for _, u := range o.Users {
		if u.Username == o.NoAuthUser {
			return nil
		}
	}
	for _, u := range o.Nkeys {
		if u.Nkey == o.NoAuthUser {
			return nil
		}
	}
	return fmt.Errorf("no_auth_user: %q not present as user or nkey in authorization block or account configuration", o.NoAuthUser)
}
