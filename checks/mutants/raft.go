package mutants

import "github.com/lockstepmq/lockstep/checks/core"

// GoTest is a profile that a test of a package runs in place of the simulator: a test that takes the flags
// -seed, the first, and -seeds, their number, and prints "seed N: INVARIANT: detail" for
// the first that breaks one, or without seeds just what is broken.
type GoTest struct{ Package, Name string }

// Tests are the profiles that are tests.
var Tests = map[string]GoTest{
	raftTest:    {"./server/raft/core", "TestSimulation"},
	raftScripts: {"./server/raft/core", "TestScripts"},
}

// Invariants of consensus, as its simulation names them.
const (
	raftOneLeader  = "RAFT.one-leader"
	raftTermVote   = "RAFT.term-vote"
	raftLogMatch   = "RAFT.log-match"
	raftComplete   = "RAFT.leader-complete"
	raftApplySame  = "RAFT.apply-same"
	raftMonotone   = "RAFT.monotone"
	raftCommitRule = "RAFT.commit-rule"
	raftNoCut      = "RAFT.no-cut"
	raftSnapshot   = "RAFT.snapshot"
	raftMembers    = "RAFT.members"
	raftLease      = "RAFT.lease"
	raftElect      = "RAFT.elect"
	raftConverge   = "RAFT.converge"
	raftCrashFree  = "RAFT.crash-free"
)

// raftInvariants are those of one group of consensus.
func raftInvariants() []core.Invariant {
	return []core.Invariant{
		{Name: raftOneLeader, About: "one leader a term"},
		{Name: raftTermVote, About: "terms never fall, one vote a term, both durable before a message relies on them"},
		{Name: raftLogMatch, About: "equal index and term: equal logs up to there"},
		{Name: raftComplete, About: "a new leader has every committed entry"},
		{Name: raftApplySame, About: "no two members commit or apply different entries at an index"},
		{Name: raftMonotone, About: "the commit index never falls"},
		{Name: raftCommitRule, About: "what is acknowledged is durable; what is committed a majority holds durably"},
		{Name: raftNoCut, About: "nothing committed is truncated or replaced"},
		{Name: raftSnapshot, About: "the log continues a snapshot without a gap"},
		{Name: raftMembers, About: "who is damaged, forgot or is no member neither votes nor leads"},
		{Name: raftLease, About: "a linearizable read sees every write completed before it began"},
		{Name: raftElect, About: "a linked quorum that remembers has a leader soon"},
		{Name: raftConverge, About: "when faults have ended all members agree, and no change or repair is half done"},
		{Name: raftCrashFree, About: "no fault makes a member panic or unable to start"},
	}
}

const (
	raftTest      = "raft"
	raftScripts   = "raft-scripts"
	raftDir       = "server/raft/core/"
	raftElection  = raftDir + "election.go"
	raftFollow    = raftDir + "follow.go"
	raftReplicate = raftDir + "replicate.go"
	raftCommit    = raftDir + "commit.go"
	raftReady     = raftDir + "ready.go"
	raftRecover   = raftDir + "recover.go"
	raftRead      = raftDir + "read.go"
)

// unlike is what shows first when logs have gone apart.
var unlike = []string{raftComplete, raftApplySame, raftLogMatch, raftNoCut, raftOneLeader, raftCommitRule, raftSnapshot, raftLease, raftConverge, raftElect}

// consensus are those of the consensus of one group.
var consensus = []Mutant{
	{"raft-votes-twice", raftTermVote, raftTest, raftElection, []Edit{{
		"	free := again || c.hard.Vote == 0 && c.leader == 0 && c.role == Follower\n", "	free := again || c.role == Follower\n"}}, nil},
	{"raft-spoken-before-durable", raftTermVote, raftTest, raftReady, []Edit{{
		"	} else if c.hardMark > c.persisted {\n", "	} else if c.hardMark > c.persisted+1 {\n"}}, []string{raftMembers}},
	{"raft-votes-for-shorter-log", raftComplete, raftTest, raftElection, []Edit{{
		"	return term > c.log.lastTerm() || term == c.log.lastTerm() && index >= c.log.last\n", "	return true\n"}}, unlike},
	{"raft-commits-earlier-terms", raftComplete, raftTest, raftCommit, []Edit{{
		"	if to <= c.commit || c.log.term(to) != c.hard.Term {\n", "	if to <= c.commit {\n"}}, unlike},
	{"raft-commits-without-majority", raftCommitRule, raftTest, raftCommit, []Edit{{
		"	return sorted[n/2]\n", "	return sorted[max(n/2-1, 0)]\n"}}, unlike},
	{"raft-leader-counts-unflushed", raftCommitRule, raftTest, raftCommit, []Edit{{
		"			return c.flushed\n", "			return c.log.last\n"}}, unlike},
	{"raft-removed-leader-counts-itself", raftCommitRule, raftTest, raftCommit, []Edit{{
		"	n := 0\n	for _, m := range members {\n", "	n := 1\n	sorted[0] = c.flushed\n	for _, m := range members {\n		if m.ID == c.id {\n			continue\n		}\n"}}, unlike},
	{"raft-acknowledges-unflushed", raftCommitRule, raftTest, raftFollow, []Edit{{
		"	to := min(c.matched, c.flushed)\n", "	to := c.matched\n"}}, nil},
	{"raft-applies-unflushed", raftCommitRule, raftTest, raftReady, []Edit{{
		"	to := min(c.commit, c.flushed)\n", "	to := c.commit\n"}}, nil},
	{"raft-flush-outlives-truncation", raftCommitRule, raftTest, raftReady, []Edit{{
		"	c.flushed = min(c.flushed, i-1)\n", ""}}, unlike},
	{"raft-flush-of-what-was-cut", raftCommitRule, raftTest, raftReady, []Edit{{
		"		c.writes[w].last = min(c.writes[w].last, i-1)\n", "		_ = w\n"}}, unlike},
	{"raft-conflict-kept", raftApplySame, raftTest, raftFollow, []Edit{{
		"		if c.log.term(e.Index) == e.Term {\n			c.mend", "		if c.log.term(e.Index) != 0 {\n			c.mend"}}, unlike},
	{"raft-append-fits-anywhere", raftLogMatch, raftTest, raftFollow, []Edit{{
		"	if !c.log.has(prev, term) {\n", "	if prev > c.log.last {\n"}}, unlike},
	{"raft-commits-past-the-message", raftApplySame, raftTest, raftFollow, []Edit{{
		"	c.commitTo(min(m.Commit, last))\n", "	c.commitTo(min(m.Commit, c.log.last))\n"}}, unlike},
	{"raft-half-of-a-joint-decides", raftComplete, raftTest, raftDir + "config.go", []Edit{{
		"	return majority(c.Voters, yes) && (len(c.Outgoing) == 0 || majority(c.Outgoing, yes))\n", "	return majority(c.Voters, yes)\n"},
	}, append([]string{raftTermVote}, unlike...)},
	{"raft-forgetful-keeps-its-life", raftComplete, raftTest, raftRecover, []Edit{{
		"	c.setHard(HardState{Term: c.hard.Term, Life: l})\n", "	c.setHard(HardState{Term: c.hard.Term, Life: FirstLife})\n"}}, append([]string{raftTermVote}, unlike...)},
	{"raft-damage-taken-for-absence", raftComplete, raftTest, raftDir + "core.go", []Edit{{
		"	if s.Forgot || c.hard.Life == 0 || c.junk > 0 {\n", "	if s.Forgot || c.hard.Life == 0 {\n"}}, unlike},
	{"raft-damaged-votes", raftMembers, raftTest, raftElection, []Edit{{
		"	if len(c.damaged) > 0 || c.mendPending() {\n		return false\n	}\n	if m.Is(All)", "	if m.Is(All)"}}, unlike},
	{"raft-damaged-acknowledges", raftCommitRule, raftTest, raftFollow, []Edit{{
		"		to = min(to, c.damaged[0].Index-1)\n", "		to = min(to, c.damaged[0].Index)\n"}}, nil},
	{"raft-repair-not-durable", raftCommitRule, raftTest, raftRecover, []Edit{{
		"func (c *Core) mendPending() bool { return c.mendMark > c.persisted }", "func (c *Core) mendPending() bool { return false }"}}, []string{raftMembers}},
	{"raft-damage-never-repaired", raftConverge, raftTest, raftRecover, []Edit{{
		"	c.mend(&m.Entries[0])\n", ""}}, []string{raftElect}},
	{"raft-read-without-a-round", raftLease, raftTest, raftRead, []Edit{{
		"p.seq >= c.round.seq\n", "p.seq >= 0\n"}}, nil},
	{"raft-read-by-a-new-leader", raftLease, raftTest, raftRead, []Edit{{
		" || c.commit < c.begun ||", " ||"}}, nil},
	{"raft-lost-ack-never-told-again", raftConverge, raftTest, raftReplicate, []Edit{{
		"	if p.pace == replicating && m.Hint > p.match {", "	if p.pace == replicating && m.Hint > p.match+1<<20 {"}}, []string{raftElect}},
	{"raft-lost-entry-never-sent-again", raftConverge, raftTest, raftReplicate, []Edit{{
		"		if p.received+1 < p.next { // it never came\n", "		if p.received+1 < p.match { // it never came\n"}}, []string{raftElect}},
	{"raft-sleeper-ignores-lost-leader", raftElect, raftTest, raftDir + "sleep.go", []Edit{{
		"	case c.role != Leader && c.leader == id:\n", "	case c.role != Leader && c.leader == id && !c.asleep:\n"}}, []string{raftConverge}},
	{"raft-snapshot-keeps-any-log", raftLogMatch, raftTest, raftDir + "snapshot.go", []Edit{{
		"	if c.log.has(meta.Index, meta.Term) {\n		c.continueBehind", "	if c.log.last >= meta.Index {\n		c.continueBehind"}}, unlike},
	{"raft-voted-for-another-life", raftOneLeader, raftScripts, raftElection, []Edit{{
		"	again := c.hard.Vote == m.From && c.votedLife == m.Life\n", "	again := c.hard.Vote == m.From\n"}}, nil},
	{"raft-wanted-and-silent", raftElect, raftTest, raftElection, []Edit{{
		"		return c.wanted\n", "		return false\n"}}, []string{raftConverge}},
}
