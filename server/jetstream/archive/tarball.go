package archive

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// tarball reads the older format: a tar of what the official server kept of a stream in files.
//
//	meta.inf              configuration
//	msgs/<n>.blk          messages
//	msgs/index.db         which of them exist
//	obs/<name>/meta.inf   configuration of a consumer
//	obs/<name>/o.dat      its state
type tarball struct {
	phase tarPhase
	file  string
	left  int64  // bytes of the file
	pad   int64  // bytes behind it
	path  string // of the next file, if said beforehand
	size  int64  // ditto, -1 if not
	meta  bool   // meta.inf was read
	last  uint64 // sequence of the last message
	index index

	consumer string // whose configuration was read and whose state was not
	config   *api.ConsumerConfig
}

type tarPhase uint8

const (
	tarHeader tarPhase = iota
	tarFile
	tarPad
	tarZero // one block of zeros was read
	tarEnd
)

const tarBlock = 512

var errTar = errors.New("archive/tar: invalid tar header")

// whole tells whether the archive may end here.
func (t *tarball) whole() bool {
	return t.meta && t.phase == tarEnd
}

func (t *tarball) parse(o *Options, p []byte, it *Item) (int, error) {
	switch t.phase {
	case tarHeader, tarZero:
		if len(p) < tarBlock {
			return 0, nil
		}
		return tarBlock, t.header(o, p[:tarBlock], it)
	case tarFile:
		return t.content(o, p[:min(int64(len(p)), t.left)], it)
	case tarPad:
		n := min(int64(len(p)), t.pad)
		if t.pad -= n; t.pad == 0 {
			t.phase = tarHeader
		}
		return int(n), nil
	}
	return len(p), nil
}

func (t *tarball) header(o *Options, p []byte, it *Item) error {
	if bytes.Count(p, []byte{0}) == tarBlock {
		if t.phase == tarZero {
			t.phase = tarEnd
			t.flush(it)
			if it.Kind == NoItem {
				it.Kind = IsEnd
			}
			return nil
		}
		t.phase = tarZero
		return nil
	}
	if t.phase == tarZero || !tarSum(p) {
		return errTar
	}
	size, ok := octal(p[124:136])
	if !ok {
		return errTar
	}
	name := text(p[:100])
	if prefix := text(p[345:500]); prefix != "" && string(p[257:262]) == "ustar" {
		name = prefix + "/" + name
	}
	switch kind := p[156]; kind {
	case '0', 0:
		if t.path != "" {
			name = t.path
		}
		if t.size > 0 {
			size = t.size
		}
		t.path, t.size = "", 0
		t.file = strings.TrimPrefix(name, "./")
	case 'x', 'g':
		t.file = "pax" + string(kind)
	default:
		return t.unexpected(o)
	}
	t.phase, t.left, t.pad = tarFile, size, (tarBlock-size%tarBlock)%tarBlock
	if err := t.open(o); err != nil || size > 0 {
		return err
	}
	return t.close(o, nil, it)
}

func text(p []byte) string {
	if i := bytes.IndexByte(p, 0); i >= 0 {
		p = p[:i]
	}
	return string(p)
}

func octal(p []byte) (int64, bool) {
	s := strings.Trim(text(p), " ")
	if s == "" {
		return 0, true
	}
	n, err := strconv.ParseInt(s, 8, 63)
	return n, err == nil && n >= 0
}

// tarSum checks a header's checksum: the sum of its bytes, with spaces for the sum itself.
func tarSum(p []byte) bool {
	want, ok := octal(p[148:156])
	sum := int64(8 * ' ')
	for i, c := range p {
		if i < 148 || i >= 156 {
			sum += int64(c)
		}
	}
	return ok && sum == want
}

func (t *tarball) unexpected(o *Options) error {
	return fmt.Errorf("unexpected content (account=%s)", o.Account)
}

// open judges a file by its name and size.
func (t *tarball) open(o *Options) error {
	switch t.kind() {
	case fileBlock, fileIndex, fileOther:
		return nil
	case fileUnknown:
		return t.unexpected(o)
	}
	if t.left > documentMax {
		return fmt.Errorf("%s of %d bytes is longer than %d", t.file, t.left, documentMax)
	}
	return nil
}

type fileKind uint8

const (
	fileUnknown fileKind = iota
	fileConfig
	fileBlock
	fileIndex
	fileConsumer
	fileState
	filePax
	fileOther // is passed over
)

func (t *tarball) kind() fileKind {
	name := t.file
	switch {
	case name == "meta.inf":
		return fileConfig
	case name == "meta.sum", name == "errors.txt", name == "paxg":
		return fileOther
	case name == "paxx":
		return filePax
	case name == "msgs/index.db":
		return fileIndex
	case strings.HasPrefix(name, "msgs/"):
		if strings.HasSuffix(name, ".blk") {
			return fileBlock
		}
		return fileOther
	case strings.HasPrefix(name, "obs/") && strings.Count(name, "/") == 2:
		switch name[strings.LastIndexByte(name, '/')+1:] {
		case "meta.inf":
			return fileConsumer
		case "o.dat":
			return fileState
		}
		return fileOther
	}
	return fileUnknown
}

// content reads a part of a file: p is what there is of it.
func (t *tarball) content(o *Options, p []byte, it *Item) (n int, err error) {
	if t.index.tell(it) {
		if t.left == 0 && !t.index.tells() {
			return 0, t.close(o, nil, it)
		}
		return 0, nil
	}
	switch t.kind() {
	case fileBlock:
		n, err = t.record(o, p, it)
	case fileIndex:
		n, err = t.index.parse(p, it)
	case fileOther:
		n = len(p)
	default:
		if int64(len(p)) < t.left {
			return 0, nil
		}
		n = len(p)
	}
	if err != nil {
		return 0, fmt.Errorf("%s: %w", t.file, err)
	}
	if n == 0 {
		if int64(len(p)) == t.left && it.Kind == NoItem {
			return 0, fmt.Errorf("%s: %w", t.file, errTruncated)
		}
		return 0, nil
	}
	if t.left -= int64(n); t.left == 0 && !t.index.tells() {
		return n, t.close(o, p[:n], it)
	}
	return n, nil
}

// close ends a file; p is its content if it is a small one.
func (t *tarball) close(o *Options, p []byte, it *Item) error {
	kind := t.kind()
	t.phase = tarPad
	if t.pad == 0 {
		t.phase = tarHeader
	}
	switch kind {
	case fileConfig:
		return t.readConfig(o, p, it)
	case fileConsumer:
		t.flush(it)
		return t.readConsumer(p)
	case fileState:
		return t.readState(p, it)
	case filePax:
		return t.readPax(p)
	}
	return nil
}

// readPax reads what is said of the next file: lines of their own length, a key and a value.
func (t *tarball) readPax(p []byte) error {
	for len(p) > 0 {
		length, _, ok := bytes.Cut(p, []byte{' '})
		n, err := strconv.Atoi(string(length))
		if !ok || err != nil || n <= len(length)+1 || n > len(p) || p[n-1] != '\n' {
			return errTar
		}
		key, value, _ := strings.Cut(string(p[len(length)+1:n-1]), "=")
		p = p[n:]
		switch key {
		case "path":
			t.path = value
		case "size":
			if t.size, err = strconv.ParseInt(value, 10, 63); err != nil || t.size < 0 {
				return errTar
			}
		}
	}
	return nil
}

func (t *tarball) readConfig(o *Options, p []byte, it *Item) error {
	cfg := &api.StreamConfig{}
	if err := json.Unmarshal(p, cfg); err != nil {
		return fmt.Errorf("meta.inf: %w", err)
	}
	if cfg.Name != o.Stream {
		return errNames
	}
	t.meta = true
	it.Kind, it.Config = IsConfig, cfg
	return nil
}

// readConsumer reads a consumer's configuration, whose state follows.
func (t *tarball) readConsumer(p []byte) error {
	cfg := &api.ConsumerConfig{}
	if err := json.Unmarshal(p, cfg); err != nil {
		return fmt.Errorf("%s: %w", t.file, err)
	}
	t.consumer, t.config = strings.Split(t.file, "/")[1], cfg
	return nil
}

// flush gives a consumer that has no state.
func (t *tarball) flush(it *Item) {
	if t.config != nil {
		it.Kind, it.Name, it.Consumer = IsConsumer, t.consumer, &Consumer{t.config, &ConsumerState{}}
		t.config = nil
	}
}

func (t *tarball) readState(p []byte, it *Item) error {
	if t.config == nil || t.consumer != strings.Split(t.file, "/")[1] {
		return nil
	}
	state, err := decodeConsumerState(p)
	if err != nil {
		return fmt.Errorf("%s: %w", t.file, err)
	}
	it.Kind, it.Name, it.Consumer = IsConsumer, t.consumer, &Consumer{t.config, state}
	t.config = nil
	return nil
}
