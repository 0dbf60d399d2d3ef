package mutants

import "github.com/lockstepmq/lockstep/checks/js"

const replicas = "replicas"

// replicated are those of streams on several servers.
var replicated = []Mutant{
	{"snapshot-named-an-entry-too-early", js.Converge, replicas, "server/raft/snapshot.go", []Edit{{
		"	meta, ok := m.core.SnapshotAt(core.Index(m.g.applied))\n", "	meta, ok := m.core.SnapshotAt(core.Index(m.g.applied - 1))\n"}},
		[]string{js.Equal}},
}
