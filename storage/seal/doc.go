// Package seal encrypts and compresses what a store writes.
//
// It owns keys ([Keyring], [Asset]), the format of key files, the sealed form of records,
// blocks and small files ([Sealer]), and the compressed form of blocks ([Compress]). It reads
// and writes no file. A Keyring and an Asset are immutable; a Sealer belongs to one
// strand. Entropy is given.
//
// # Keys
//
//	server key   from the configured text
//	account key  from the server key and the account's name
//	lock         from the account key, the asset's name and a random seed; used once
//	secret       random; what an asset keeps for its life. Its key file holds the seed, and
//	             the secret sealed under the lock
//	purpose key  from the secret and a purpose ("log", "blocks")
//	session key  from the purpose key and a random salt; only one Sealer has it
//
// Each is the HMAC-SHA-256 of what is named, under the one above. To change the server key,
// only the key file is written again: the secret stays, and with it all that was sealed.
//
// # No nonce is used twice
//
// A nonce used twice under one key tells an attacker the difference of two texts, and with AES-GCM
// how to forge. Numbers kept on disk do not prevent that: after a crash, or with a disk that was rolled
// back or copied, the number last used is not known, and replay seals other content than before.
// So nothing is remembered. A Sealer draws a salt of 96 bits when it is made, which gives it a
// key of its own, and under this key it counts from zero. Within its life the
// counter does not repeat: before it would wrap, the next salt is derived and the count begins anew under
// another key. Between lives, two of n salts are equal with a chance of n²/2^97: after sixteen million
// starts of one asset, one in 2^49. Opening seals nothing. The seed of a key file is
// drawn for each writing of it, so that its lock seals one text only. What this rests on is that the entropy does not repeat:
// a virtual machine whose memory is copied while it runs breaks it, as it breaks TLS.
package seal
