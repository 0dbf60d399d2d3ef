// Package founding is how the servers of a cluster agree, once, that the meta group exists
// and who its first members are.
//
// A [Node] is one server's part. It is plain state on one strand: no lock, no clock, no disk, no
// network, no map, and no randomness but the generator it is handed. Bytes from peers never make it panic,
// and never make it grow beyond [ExpectedMax] peers of bounded size.
//
// # What the host does
//
// It reads what the server kept ([DecodeKept]; nothing kept is nil, what cannot be read is [Unreadable]), makes a
// Node, tells it who is reachable, what arrives and what time it is, and, while [Node.HasReady], carries out
// [Node.Ready]. It arms its timer for [Node.Deadline]. The [Outcome] tells what to do about the meta group; once the
// member of the group is durable in the log, the host calls [Node.Begun]. Until that was kept, a
// restart repeats the outcome, and the host looks into its log before it creates anything: [core.Bootstrap] is called only where
// the log knows nothing of the group. After that the outcome of a restart is [Resume], under which nothing
// is ever created. The messages of a meta group bear the founding's ID, so that members of two groups never meet.
//
// # How it agrees
//
// It is Paxos for a single value, the [Founding], among the servers that the configuration counts, spoken in one kind of
// message: each says what it keeps durably, and nothing else. A server whose promised ballot is its own thereby asks
// others to promise it; one that has agreed to a proposal thereby asks others to agree, in any
// server's name; one that has settled thereby tells how it ended. So messages may be lost, doubled and reordered: the next
// one says all again.
//
//  1. When a majority of the expected servers is here and has not settled, and all are here or Patience is over, the
//     one with the lowest id makes a ballot. If it does not get through, others do, after a random while.
//  2. Who promises a ballot takes part in none below.
//  3. Those who promised, of those who were here when the attempt began, a majority, are the ballot's basis. Its proposal
//     is what one of them agreed to in the latest ballot, or else a new founding with the basis as voters. Only the basis can
//     agree.
//  4. What a majority of the expected servers has agreed to in one ballot holds. Everybody counts by
//     itself: whoever made the ballot is not needed any more.
//  5. Who sees that, or meets a server that has settled, settles, for good. It tells so whoever has not.
//  6. If it is a voter, with the memory that it had when it was named, it is [Found], else [Join].
//
// # Why it is safe
//
// Let T be the number of servers of the cluster, and let each expect at least T. Any two majorities have a server in
// common; where configurations expect different numbers, who counts takes the largest that it knows. What a server says
// and counts, of itself too, is durable. Suppose F held in ballot b, and take the first ballot above b that
// proposed something else. Its basis has a server that agreed in b. That server did so before it promised the later ballot, as it would
// have refused after; so it named F, or something later that was F by assumption. So whatever a later ballot proposes is F. Hence
// at most one founding ever holds, and all outcomes are of it.
//
// A member of the meta group is created only for a founding that holds, which is durable
// on a majority of the servers, and, as long as there are at most [core.MembersMax] voters, on a majority of those it names
// unless it was adopted from an earlier ballot. The voters are named with their [Birth], which is new whenever a server
// finds nothing kept: a server that lost its disk is no voter, does not create the member a second time, and joins.
//
// # Lost disks
//
// A server that lost its disk cannot be told from one that starts for the first time. So no protocol that founds with a majority can
// be safe whatever disks are lost: when two of three found while the third is off, and one of the two
// loses its disk, it and the third are just like two servers that start for the first time. Exactly this holds:
//
//	At most one founding ever holds, if no server loses its disk
//	  - between its first promise and the moment when a founding holds, nor
//	  - when, after that, fewer than T-T/2 other servers would be left that keep it.
//
// With T/2 rounded down: of three servers two must be left, of four two, of five three. The first condition concerns the
// fraction of a second of an attempt, or a majority that vanished in the middle of it. The second one allows the loss of any minority
// of disks at any time once all servers know the founding, and those that lost theirs count again when they have joined. Patience
// makes that the usual case, and State.Knowing shows it.
//
// Keeping it means: settled, or agreed to it in the ballot in which it first held, or a later one.
//
// Why: let F have held first in ballot b. An attempt that began before that moment has a basis of servers with the memory that they
// had then, since nobody born later counts in it; of those none has lost a promise, and the argument above stands. For an attempt that
// began after it, let K be those who kept F when it began: its basis has a server of K, with that memory, which promised
// afterwards. If the ballot is above b, it named F. If the ballot is below b, it refused. What lower ballots proposed
// can be agreed to only by their bases, never by a server that was born again and has forgotten that it promised a higher one.
//
// A record that is damaged is not nothing: the server neither promises nor agrees, and waits to be told. If disks were lost
// beyond all that, two foundings are possible; servers of both that meet say so ([State.Conflicts]) and never merge.
//
// A cluster that grows is in the same danger if so many new servers start at once, cut off from all the old ones, that they are
// a majority of the number they expect: new servers must be fewer than the old ones, or meet one of them.
//
// # Liveness
//
// While a majority of the expected servers is connected, with messages that take less than Round in all, and time passes, each server
// has an outcome: attempts go on at random distances until one is alone. A settled server has no timer, except for peers
// that have never said anything, to whom it speaks a few times.
package founding
