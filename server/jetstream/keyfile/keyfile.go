// Package keyfile keeps the key of each encrypted asset beside its data.
//
// It owns the files that hold sealed keys: it makes one before anything of the asset is
// written, reads it at the next start, and writes it anew, sealed under the new key, after a
// rotation. It runs on the strand it is given and never writes a key in the clear.
package keyfile

import (
	"errors"
	"fmt"
	"io"
	"path"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/storage"
	"github.com/lockstepmq/lockstep/storage/seal"
)

// Keys are what all assets of a server are sealed with.
type Keys struct {
	Ring    *seal.Keyring
	Cipher  seal.Cipher
	Entropy io.Reader // of [clock.Clock], for the strand that opens
}

// name is the file's name in the asset's directory.
const (
	name    = "key"
	sizeMax = 4096 // bytes
)

// opening is the way to an asset's key.
type opening struct {
	fs    storage.FS
	s     clock.Strand
	dir   string
	keys  Keys
	owner string // account
	asset string
	done  func(*seal.Asset, error)
	found *seal.Asset
}

// Open gives the key of an asset, whose directory is made if it is not there; its parent is. Without a
// key file and without a configured key the asset is plain: done gets nil. A new key's file is
// durable when done is called. Errors wrap [seal.ErrKey] when the configured keys do not open it.
func Open(fs storage.FS, s clock.Strand, dir string, keys Keys, account, asset string, done func(*seal.Asset, error)) {
	o := &opening{fs: fs, s: s, dir: dir, keys: keys, owner: account, asset: asset, done: done}
	storage.ReadFile(fs, s, path.Join(dir, name), sizeMax, o.read)
}

func (o *opening) read(text []byte, err error) {
	switch {
	case errors.Is(err, storage.ErrNotExist) && !o.keys.Ring.Enabled():
		o.done(nil, nil)
	case errors.Is(err, storage.ErrNotExist):
		o.fs.Mkdir(o.s, o.dir, o.made)
	case err != nil:
		o.done(nil, err)
	default:
		o.unlock(text)
	}
}

// unlock opens the key, and seals it anew if that was done with a key that is no more in force.
func (o *opening) unlock(text []byte) {
	a, err := o.keys.Ring.OpenAsset(text, o.owner, o.asset)
	if err != nil {
		o.done(nil, fmt.Errorf("key of %q in account %q: %w", o.asset, o.owner, err))
		return
	}
	o.found = a
	if !a.Stale() {
		o.done(a, nil)
		return
	}
	text, err = o.keys.Ring.Reseal(o.keys.Entropy, a, o.owner, o.asset)
	o.write(text, err)
}

func (o *opening) made(err error) {
	if err != nil && !errors.Is(err, storage.ErrExist) {
		o.done(nil, err)
		return
	}
	o.fs.SyncDir(o.s, path.Dir(o.dir), o.draw)
}

// draw makes a new key.
func (o *opening) draw(err error) {
	var text []byte
	if err == nil {
		o.found, text, err = o.keys.Ring.NewAsset(o.keys.Entropy, o.keys.Cipher, o.owner, o.asset)
	}
	o.write(text, err)
}

func (o *opening) write(text []byte, err error) {
	if err != nil {
		o.done(nil, err)
		return
	}
	storage.ReplaceFile(o.fs, o.s, path.Join(o.dir, name), text, func(err error) {
		if err != nil {
			o.done(nil, err)
			return
		}
		o.done(o.found, nil)
	})
}
