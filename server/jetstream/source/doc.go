// Package source follows the origins of one stream: of a mirror the one it copies, of a
// stream with sources each of them.
//
// It owns the leader's side: a [Set] has a [Follower] for every entry of the
// configuration. A follower makes a consumer at its origin, takes what that sends, and
// proposes it as entries of the stream. All of it runs on the stream's strand. It reaches
// the world through a [Host] only: it knows no broker, no log and no API server.
//
// # Exactly once, in order
//
// The position of a follower is what committed entries say: the last sequence of a mirror,
// and what the stream's machine has of each source. Copying an origin's message and moving the
// position is one entry. A source's entry names the position it follows on, so that behind a message
// that was refused nothing is stored. A follower begins, and begins again, only when
// nothing of it is under way, at the position then.
//
// # Acknowledged at the origin
//
// The origin's flow control questions are answered only once every message before them is
// committed here, or is known to be here from before. With the flow control ack policy, of work
// queues and interest streams, that answer is what removes the messages at the origin.
//
// # How a stream uses it
//
// When it begins to lead, the stream makes a Set with [New] and calls [Set.Configure]; it calls
// Configure again whenever a configuration is applied, and [Set.Stop] when it stops leading,
// closes ([Left]) or was deleted ([Removed]). [Host.Propose] hands over an entry with its [Batch], which
// travels as the entry's tag. While the entry is applied, each [machine.Effects.Refused] is told to
// [Batch.Refused]; after it [Batch.Applied] is called. When the log does not take
// the entry, nothing is called any more but Stop. [Set.Mirror] and [Set.Sources] are for STREAM.INFO; a
// stream that does not lead has [Idle] for it.
//
// [Host.CaughtUp] tells that a mirror may answer direct gets of its origin.
package source
