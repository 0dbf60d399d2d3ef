package wal

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// The identity file says whose log this is, so that a disk of another server, or a directory of
// another store, is refused.
//
//	magic 8 | version 4 | checksum of the rest and of what is before 4 | log id 8 | length 4 | identity
const (
	identityMagic     = "LSWALIDT"
	identityHeaderLen = 28
)

func encodeIdentity(log uint64, identity string) []byte {
	p := make([]byte, identityHeaderLen, identityHeaderLen+len(identity))
	le := binary.LittleEndian
	copy(p, identityMagic)
	le.PutUint32(p[8:], formatVersion)
	le.PutUint64(p[16:], log)
	le.PutUint32(p[24:], uint32(len(identity)))
	p = append(p, identity...)
	le.PutUint32(p[12:], identitySum(p))
	return p
}

func identitySum(p []byte) uint32 {
	return crc32.Update(crc32.Checksum(p[:12], castagnoli), castagnoli, p[16:])
}

func parseIdentity(p []byte) (log uint64, identity string, err error) {
	le := binary.LittleEndian
	switch {
	case len(p) < identityHeaderLen:
		return 0, "", errShort
	case string(p[:8]) != identityMagic:
		return 0, "", fmt.Errorf("%w: it does not begin as an identity", errHeader)
	case !knownVersion(le.Uint32(p[8:])):
		return 0, "", versionError(le.Uint32(p[8:]))
	case identitySum(p) != le.Uint32(p[12:]):
		return 0, "", errChecksum
	case int(le.Uint32(p[24:])) != len(p)-identityHeaderLen:
		return 0, "", fmt.Errorf("%w: %d bytes follow, want %d", errHeader, len(p)-identityHeaderLen, le.Uint32(p[24:]))
	}
	return le.Uint64(p[16:]), string(p[identityHeaderLen:]), nil
}
