package raft

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/lockstepmq/lockstep/server/raft/core"
)

// What the log keeps as the state of a checkpoint of a group of several servers is
//
//	magic:         eight bytes, which begin no machine's state
//	checksum:      CRC-32C of the configuration
//	length:        of the configuration, uvarint
//	configuration: in force at the checkpoint, encoded
//	state:         the machine's
//
// The log itself keeps index and term.

const wrapMagic = "\x00members\x01"

var (
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
	errWrap    = errors.New("the configuration in a checkpoint is damaged")
)

// wrap puts the configuration before a machine's state.
func wrap(cfg *core.Config, state []byte) []byte {
	config := core.AppendConfig(nil, cfg)
	dst := make([]byte, 0, len(wrapMagic)+4+binary.MaxVarintLen32+len(config)+len(state))
	dst = append(dst, wrapMagic...)
	dst = binary.LittleEndian.AppendUint32(dst, crc32.Checksum(config, castagnoli))
	dst = binary.AppendUvarint(dst, uint64(len(config)))
	dst = append(dst, config...)
	return append(dst, state...)
}

// wrapped tells whether a state is that of a group of several servers.
func wrapped(state []byte) bool {
	return len(state) >= len(wrapMagic) && string(state[:len(wrapMagic)]) == wrapMagic
}

// unwrap takes apart what wrap put together.
func unwrap(state []byte) (core.Config, []byte, error) {
	if !wrapped(state) || len(state) < len(wrapMagic)+4 {
		return core.Config{}, nil, errWrap
	}
	rest := state[len(wrapMagic):]
	sum, rest := binary.LittleEndian.Uint32(rest), rest[4:]
	n, size := binary.Uvarint(rest)
	if size <= 0 || n > uint64(len(rest)-size) {
		return core.Config{}, nil, errWrap
	}
	config, machine := rest[size:size+int(n)], rest[size+int(n):]
	if crc32.Checksum(config, castagnoli) != sum {
		return core.Config{}, nil, errWrap
	}
	cfg, err := core.ParseConfig(config)
	if err != nil {
		return core.Config{}, nil, fmt.Errorf("%w: %w", errWrap, err)
	}
	return cfg, machine, nil
}
