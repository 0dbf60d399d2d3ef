package broker

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"

	"github.com/lockstepmq/lockstep/server/config"
)

// pinned tells whether a peer's certificate is among those that the
// configuration pins, by the SHA-256 of its public key.
func pinned(o *config.Options, state *tls.ConnectionState) bool {
	if len(o.TLSPinnedCerts) == 0 {
		return true
	}
	if len(state.PeerCertificates) == 0 {
		return false
	}
	sum := sha256.Sum256(state.PeerCertificates[0].RawSubjectPublicKeyInfo)
	_, ok := o.TLSPinnedCerts[hex.EncodeToString(sum[:])]
	return ok
}
