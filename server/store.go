//lockstep:exempt finds the directory of the store, and what memory and disk the machine has
package server

import (
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/lockstepmq/lockstep/storage"
)

// storeDirName is the directory of JetStream below the store directory.
const storeDirName = "jetstream"

// memoryShare is the part of the machine's memory, in percent, that memory streams may
// take when nothing is configured.
const memoryShare = 75

// realStore is the store of a server on this machine.
func realStore(o *Options) Store {
	dir := o.StoreDir
	if dir == "" {
		dir = filepath.Join(os.TempDir(), "nats")
	}
	return Store{
		Dir:    filepath.Join(dir, storeDirName),
		Open:   func(o *Options) (storage.FS, error) { return openStore(dir) },
		Find:   realStore,
		Memory: machineMemory() / 100 * memoryShare,
		Disk:   diskFree(dir),
	}
}

// openStore makes the directory of JetStream if there is none.
func openStore(dir string) (storage.FS, error) {
	dir = filepath.Join(dir, storeDirName)
	if err := os.MkdirAll(dir, 0o750); err != nil {
		return nil, err
	}
	return storage.OpenReal(dir)
}

// diskFree is the free space, in bytes, where dir is or will be.
func diskFree(dir string) int64 {
	var st unix.Statfs_t
	for unix.Statfs(dir, &st) != nil {
		parent := filepath.Dir(dir)
		if parent == dir {
			return 0
		}
		dir = parent
	}
	return int64(st.Bavail) * int64(st.Bsize)
}
