// Command lockstep-sim runs the server in simulated worlds, each from one seed:
// one run, many until one fails, one again, or each twice.
//
// Exit codes: 0 when every run held; 1 when a run failed or was vacuous, or two
// runs of one seed differed; 2 when the command could not be carried out.
package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"
)

const (
	exitFailed = 1
	exitUsage  = 2
)

// errFailed ends the program with exitFailed; what failed was told already.
var errFailed = errors.New("failed")

func main() {
	err := root().Execute()
	switch {
	case err == nil:
	case errors.Is(err, errFailed):
		os.Exit(exitFailed)
	default:
		fmt.Fprintln(os.Stderr, "lockstep-sim:", err)
		os.Exit(exitUsage)
	}
}

func root() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "lockstep-sim",
		Short: "Run Lockstep in simulated worlds",
		Long: `lockstep-sim runs the real server in a simulated world: network, clocks, disks and
processes fail as the seed says, clients record what they see, and judges compare it with
what must hold. One seed is one run, always the same.

Exit codes: 0 all runs held; 1 a run failed or proved nothing, or two runs of one seed
differed; 2 the command could not be carried out.`,
		SilenceUsage: true, SilenceErrors: true,
	}
	cmd.AddCommand(runCommand(), replayCommand(), fuzzCommand(), twiceCommand(), listCommand())
	return cmd
}
