// Package core is the consensus of one group: messages, deadlines and what the log made
// durable go in; messages, entries and hard state come out.
//
// A [Core] is one member of one group. It is plain state on the group's strand: no lock,
// no clock, no disk, no network, no map, and no randomness but the generator it is handed.
// Equal inputs give equal outputs. It never looks into payloads, never panics over what a peer
// sends, and never acts on time that it was not told of.
//
// # What the host does
//
// The host makes a Core with [Bootstrap], once in the life of a member, or with [Restart].
// In each task on the strand it
//
//  1. tells the time with [Core.Advance], once;
//  2. gives its inputs: [Core.Step] for messages, [Core.Persisted] for what the log has made
//     durable, [Core.Applied] for what the machine has done, proposals, reads, and so on;
//  3. while [Core.HasReady]: takes [Core.Ready] and carries it out;
//  4. arms its timer for [Core.Deadline].
//
// A [Ready] is carried out in this order:
//
//  1. The log is handed the hard state (Hard, when HardChanged), the truncation (Truncate,
//     when above zero), the entries (Append), and entries to write in the place of damaged ones (Repair). All
//     of it bears the number Mark; when it is durable, the host calls Persisted(Mark). Marks become durable in
//     order, since the log is one.
//  2. Messages are sent. They may leave at once, before anything above is durable: what must
//     wait for it, the core has kept back.
//  3. Chunks of a snapshot are stored, then [Core.ChunkStored] is told. The snapshot of Install, when that is
//     set, durably replaces state and log, then [Core.SnapshotInstalled] is told.
//  4. Committed entries are applied, those of kinds up to [KindHostMax] by the machine; then or
//     later [Core.Applied] is told.
//  5. Reads are answered once their Index is applied; State is looked at when Changed.
//  6. Followers are given the parts of snapshots that they need (Wants) with [Core.SendChunk].
//
// What a Ready refers to is valid until the next call of Ready; payloads are valid for good,
// and the host gives away what it passes in: a payload of Propose or Step is never changed
// again.
//
// A server whose log takes nothing more tells its members [Core.SetSuppressed] and [Core.Resign]: what
// is not durable is never spoken, so they harm nobody.
//
// # What is relied on
//
// A vote or a term is durable before it is spoken, and an entry before it is acknowledged: the core
// holds those messages until Persisted. A commit counts durable copies only, the
// leader's own too. Entries reach the machine only when committed and durable here.
//
// # Lives
//
// A member is named by its [MemberID] and its [Life]. A member that may have forgotten what it
// vouched for (wiped, rolled back, damaged beyond what it can name, a lost suffix) is not that
// member any more: it restarts as Forgot, draws a new life, which is durable before it is
// spoken, and is nobody until a configuration names that life. A configuration names members
// with their lives; a vote counts, an acknowledgement counts, and a read is confirmed only by a
// life that the configuration names. A leader that hears a voter under another life brings it up to date
// and proposes a joint configuration in which the new life takes the place of the old one.
//
// This is safe because nothing new is assumed: to everybody the old life is a member that
// stopped for good, and the new one is a new member, admitted by joint consensus. Whatever the
// old life promised was promised truthfully, may still be in flight and may be counted; whatever it
// forgot it cannot contradict, since it never speaks again under that life. A quorum of
// those who remember is needed to admit it, and no clock, no count of servers and no promise to
// "catch up first" is part of the argument. When too few remember, nothing is decided:
// [State.Stuck] says so.
//
// # Damage
//
// A member whose hard state is intact and which knows index and term of each damaged entry
// ([Start.Damaged]) keeps its life: it remembers what it promised, but cannot keep all of it
// yet. It neither votes nor leads, acknowledges nothing from the first damaged entry on, and asks peers for
// the entries: an entry with the same index and term is the same entry, so any sound
// member may answer, without a leader too. Where the peers have them no more, it takes a snapshot. Damage whose term cannot
// be known is a loss of memory, and treated as that.
//
// # When all forgot
//
// After a loss of unsynced writes on every server no quorum remembers. When the host allows it by
// [Core.Reform], a leader is elected by *all* voters, whatever their lives: the one whose log
// goes furthest. Every earlier leader and candidate is among them and has given up by granting
// its vote, so nobody else can decide anything any more; the new leader's first entry names the present
// lives. What no log holds is lost, which is what the host's mode allows or its operator declared.
//
// # Sleep
//
// An idle group sleeps: [Core.Sleep] at a leader whose followers have everything. Then
// it has no deadline anywhere. The host vouches for servers as a whole, and tells [Core.PeerDown]
// when it cannot any more, or when a peer's process restarted. The first request wakes the group.
package core
