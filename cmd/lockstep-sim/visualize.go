package main

import (
	"os"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/sim"
)

// visualize draws the subscription that the first violation is about, as a page to
// look at; nothing when there is none to draw.
func visualize(path string, r *sim.Result) error {
	if r.History == nil || len(r.Violations) == 0 {
		return nil
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := core.Visualize(r.History, r.Violations[0], f); err != nil {
		f.Close()
		return err
	}
	return f.Close()
}
