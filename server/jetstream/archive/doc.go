// Package archive reads and writes backups of streams, and runs the protocols by which clients
// take and restore them.
//
// It owns the format ([Writer], [Reader]), which is that of the official server: what either
// wrote the other restores; and the two exchanges: [Snapshot] sends chunks and heeds the
// receiver's acknowledgements, [Restore] takes chunks and answers each. All of it is machines without
// a clock, a disk or a network: a caller on the stream's strand feeds them. Nothing grows with the
// size of a backup: what is written waits for the receiver, what is read is decompressed as it is asked
// for, and every length in it has a bound.
//
// # Format
//
// A backup is one S2 stream of frames. Decompressed it begins with NATSARC1; entries follow:
//
//	uvarint length of the name | varint time, ns since 1970 | uvarint sequence |
//	uvarint size of the header | uvarint size of the payload | name | header | payload
//
// The first entry is state.json, then come consumers/<name>, as many as the state says, both with
// sequence 0; then the messages, ascending, named by their subjects; last an entry whose fields are
// all zero. Restore takes the older format, too: a tar of the files that the official server kept of
// a stream.
//
// # How a stream uses it
//
// Snapshot: after the request was judged, the stream makes a [Writer] and a [Snapshot], subscribes to
// [Snapshot.AckSubject], replies with configuration and state, and calls Start. [SnapshotHost.Fill] writes
// the state first, then a consumer or a few messages a call, of a sequence range that was fixed at the
// start: what is removed meanwhile is left out, so the state counts what was there then.
//
// Restore: the stream's place is reserved, the reply names [api.RestoreSubject], and what comes there is given
// to [Restore.Chunk]. [RestoreHost.Take] gets, of the present format, the state, the consumers and then the
// messages; of the older one the configuration, the messages, the state, what of them does not exist
// after all, and the consumers. Messages become copies under their own sequences; at the end the sequences
// up to the state's last one are used. [RestoreHost.Abort] undoes it.
package archive
