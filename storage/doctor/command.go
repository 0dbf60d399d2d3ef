//lockstep:exempt a command of a person at a terminal: the real disk, waited for

package doctor

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
)

// Usage of the command.
const Usage = `usage: lockstep store verify|inspect DIR

Examines the store of a server that is not running, and changes nothing.

  verify    read everything: the log, and every message of every stream
  inspect   read what tells what there is, which takes less time

DIR is the server's store_dir, or the directory "jetstream" in it.

exit status: 0 sound, 1 damaged, 2 not examined. What is encrypted needs the server's key
to be examined: it is counted apart, and is not damaged.
`

// Exit statuses.
const (
	exitSound     = 0
	exitDamaged   = 1
	exitNotAStore = 2
)

// widthDefault is the width of a terminal that does not tell.
const widthDefault = 80

// Command runs `lockstep store` with the arguments behind it, and gives the exit status.
func Command(args []string, out, errs io.Writer) int {
	if len(args) == 1 && (args[0] == "help" || args[0] == "-h" || args[0] == "--help") {
		fmt.Fprint(out, Usage)
		return exitSound
	}
	if len(args) != 2 || args[0] != "verify" && args[0] != "inspect" {
		fmt.Fprint(errs, Usage)
		return exitNotAStore
	}
	r, err := examineDir(args[1], Options{Contents: args[0] == "verify"})
	if err != nil {
		fmt.Fprintf(errs, "lockstep: store %q: %v\n", args[1], err)
		return exitNotAStore
	}
	r.Print(out, terminalWidth())
	if r.State() == Damaged {
		return exitDamaged
	}
	return exitSound
}

func terminalWidth() int {
	if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
		return n
	}
	return widthDefault
}

// examineDir waits for an examination of a directory of this machine.
func examineDir(dir string, o Options) (report *Report, err error) {
	if below := filepath.Join(dir, "jetstream"); isDir(below) {
		dir = below
	}
	if !isDir(dir) {
		return nil, fmt.Errorf("%w: no such directory", ErrNoStore)
	}
	disk, err := storage.OpenReal(dir)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, disk.Close()) }()
	ended := make(chan struct{})
	s := clock.NewReal().NewStrand("doctor")
	s.Post(func() {
		Examine(disk, s, o, func(r *Report, e error) {
			report, err = r, e
			close(ended)
		})
	})
	<-ended
	return report, err
}

func isDir(name string) bool {
	info, err := os.Stat(name)
	return err == nil && info.IsDir()
}
