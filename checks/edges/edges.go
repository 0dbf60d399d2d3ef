package edges

import (
	"fmt"
	"slices"
	"strings"
)

// Module is the path that every package of the project begins with.
const Module = "github.com/lockstepmq/lockstep"

// Layer says what a package, and those below it that have no row of their own,
// may import of the project.
type Layer struct {
	// Package is the path below the module.
	Package string
	// May lists what it may import, by path below the module; a path that ends
	// in "/..." stands for all below it.
	May []string
	// Why is the reason, for whoever wants another edge.
	Why string
}

// Layers is the table, from the bottom up. A new package needs a row, or a
// parent that has one.
var Layers = []Layer{
	{"clock", nil, "time and order are the lowest layer"},
	{"netsim", []string{"clock"}, "a network needs strands and time only"},
	{"storage", []string{"clock"}, "a disk needs strands and time only"},
	{"storage/wal", []string{"storage", "clock"}, "the log is records of groups: what they mean is not its business"},
	{"storage/subjects", []string{"server/subject"}, "a map of subjects matches patterns as everybody does; matching is pure"},
	{"storage/seal", nil, "ciphers and codecs are bytes in, bytes out"},
	{"storage/msgs", []string{"storage", "storage/subjects", "storage/seal", "server/heap", "server/subject", "clock"}, "messages in blocks, selected by subject"},
	{"storage/doctor", []string{"storage", "storage/wal", "storage/subjects", "storage/seal", "storage/msgs", "server/subject", "clock"}, "it reads what a stopped server left"},
	{"storage/fstest", []string{"storage", "clock"}, "the conformance suite of the disk"},
	{"netsim/conformance", []string{"netsim", "clock"}, "the conformance suite of the network"},

	{"server/wire", nil, "codecs are bytes in, verbs out: usable by clients, servers and tests alike"},
	{"server/subject", nil, "matching is pure"},
	{"server/heap", nil, "an order of small things is pure"},
	{"server/jsonstring", nil, "text becomes bytes"},
	{"server/s2frame", nil, "framed and compressed or not, bytes are bytes"},
	{"server/logging", []string{"clock"}, "a log line has a time"},
	{"server/perm", []string{"server/subject"}, "permissions are sets of subjects"},
	{"server/account", []string{"server/jsonstring", "server/wire", "server/subject", "server/perm", "server/logging", "clock"}, "accounts map and limit subjects; who logs in is not theirs"},
	{"server/auth", []string{"server/wire", "server/subject", "server/perm", "server/account", "server/logging", "netsim", "clock"}, "credentials become an identity in an account"},
	{"server/config/lang", nil, "the language knows nothing of what is configured with it"},
	{"server/config", []string{"server/config/lang", "server/subject", "server/perm", "server/auth", "server/account", "server/logging"}, "a file becomes options; it starts nothing, so it needs neither network nor clock"},
	{"server/broker", []string{"server/wire", "server/subject", "server/logging", "server/perm", "server/account", "server/auth", "server/config", "netsim", "clock"}, "connections and routing stand on all that judges a message"},
	{"server/raft/core", nil, "consensus of one group: messages, entries and deadlines in, messages and entries out"},
	{"server/raft", []string{"server/raft/core", "storage", "storage/wal", "clock"}, "consensus over the log; entries are bytes"},
	{"server/jetstream/api", []string{"server/jsonstring", "server/subject", "server/wire"}, "the vocabulary on the wire is pure"},
	{"server/jetstream/codec", nil, "fields of entries are bytes"},
	{"server/jetstream/machine", []string{"server/jetstream/api", "server/jetstream/codec", "server/subject", "server/wire", "storage/msgs"}, "what entries do to messages: no clock, no network, no log"},
	{"server/jetstream/consumer", []string{"server/jetstream/api", "server/jetstream/codec", "server/heap", "server/subject", "server/wire", "storage/msgs", "clock"}, "one consumer, given its stream as an interface"},
	{"server/jetstream/source", []string{"server/jetstream/api", "server/jetstream/machine", "server/broker", "server/subject", "server/wire", "storage/msgs", "clock"}, "following another stream, given its own as an interface"},
	{"server/jetstream/archive", []string{"server/jetstream/api", "server/s2frame", "server/wire", "storage/msgs", "clock"}, "backups are bytes, and exchanges with timers"},
	{"server/jetstream/keyfile", []string{"storage", "storage/seal", "clock"}, "the key of an asset in a file"},
	{"server/jetstream/placement", []string{"server/jetstream/api"}, "who holds what is a pure choice"},
	{"server/jetstream/founding", []string{"server/raft/core"}, "who founds a cluster is agreed without clock, disk or network"},
	{"server/jetstream/stream", []string{"server/raft/core", "server/jetstream/api", "server/jetstream/codec", "server/jetstream/keyfile", "server/jetstream/machine", "server/jetstream/consumer", "server/jetstream/source", "server/jetstream/archive", "server/raft", "server/broker", "server/account", "server/subject", "server/wire", "server/logging", "storage", "storage/msgs", "storage/seal", "clock"}, "one stream on its strand"},
	{"server/jetstream", []string{"server/jetstream/...", "storage/doctor", "server/raft", "server/raft/core", "server/broker", "server/account", "server/config", "server/subject", "server/wire", "server/logging", "storage", "storage/wal", "storage/msgs", "storage/seal", "clock"}, "the API and the catalogue of all streams"},
	{"server/lane", []string{"server/raft/core", "netsim", "clock"}, "frames between servers; what they say is consensus's"},
	{"server/cluster", []string{"server/lane", "server/broker", "server/s2frame", "server/wire", "server/account", "server/auth", "server/config", "server/perm", "netsim", "clock"}, "routes are connections to other servers; what they carry is the broker's"},
	{"server/monitor", []string{"server/jetstream/api", "server/broker", "server/cluster", "server/wire", "server/subject", "server/logging", "server/perm", "server/account", "server/auth", "server/config", "netsim", "clock"}, "it reports what the broker and those below it hold"},
	{"server", []string{"server/...", "storage", "storage/...", "netsim", "clock"}, "assembly; never sim or checks, or the product would depend on its judge"},
	{"server/test", []string{"server", "server/...", "storage", "storage/...", "netsim", "clock"}, "helpers of the server's own tests"},

	{"sim", []string{"sim/...", "checks/...", "server", "server/...", "storage", "storage/...", "netsim", "clock"}, "the simulated world holds the real server and its judges"},
	{"checks", []string{"checks/...", "server", "server/...", "storage", "storage/...", "netsim", "clock"}, "judges see everything but the world that calls them"},
	{"cmd", []string{"sim", "sim/...", "checks/...", "server", "server/...", "storage", "storage/...", "netsim", "clock"}, "programs wire everything"},
}

// Check reports what is wrong with one package's imports: both are full paths,
// and imports of other modules are ignored. It returns nil when nothing is.
func Check(pkg string, imports []string) []error {
	layer, known := find(pkg)
	if !known {
		return []error{fmt.Errorf("%s is in no layer: add a row with a reason to Layers in checks/edges/edges.go", pkg)}
	}
	var errs []error
	for _, imp := range imports {
		if below(imp, Module) && !layer.allows(trim(imp)) {
			errs = append(errs, fmt.Errorf("%s imports %s; it may import %s (%s)", pkg, imp, list(layer.May), layer.Why))
		}
	}
	return errs
}

// find is the row with the longest path that holds pkg. A parent's row serves
// for the packages of cmd, checks, sim and server/test; the layers of server,
// and the doors, are each named.
func find(pkg string) (Layer, bool) {
	name := trim(pkg)
	best, found := Layer{}, false
	for _, l := range Layers {
		exact := l.Package == name
		parent := strings.HasPrefix(name, l.Package+"/") && inherits(l.Package)
		if (exact || parent) && len(l.Package) >= len(best.Package) {
			best, found = l, true
		}
	}
	return best, found
}

// inherits tells whether packages below this one need no row of their own.
func inherits(name string) bool {
	return slices.Contains([]string{"cmd", "checks", "sim", "server/test"}, name)
}

func (l Layer) allows(name string) bool {
	for _, may := range l.May {
		root, tree := strings.CutSuffix(may, "/...")
		if name == root && !tree || tree && strings.HasPrefix(name, root+"/") {
			return true
		}
	}
	return false
}

func trim(path string) string { return strings.TrimPrefix(path, Module+"/") }

func below(path, root string) bool {
	return path == root || strings.HasPrefix(path, root+"/")
}

func list(may []string) string {
	if len(may) == 0 {
		return "nothing of the project"
	}
	return strings.Join(may, ", ")
}
