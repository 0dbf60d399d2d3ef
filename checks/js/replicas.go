package js

import "github.com/lockstepmq/lockstep/checks/core"

// What is demanded of streams of several servers, beside all that is of others.
const (
	Converge = "REPL.converges"
	Equal    = "REPL.equal"
	Majority = "REPL.majority"
)

func replicaInvariants() []core.Invariant {
	return []core.Invariant{
		{Name: Converge, About: "when all is healed each stream has one leader within a minute, and all its servers are level"},
		{Name: Equal, About: "all servers of a stream hold the same messages at the same sequences, with the same content and times"},
		{Name: Majority, About: "three servers that reach each other create streams and serve them"},
	}
}
