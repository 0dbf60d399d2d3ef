package sim

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/lockstepmq/lockstep/netsim"
)

// Profile says which families of faults a run may have.
type Profile string

// The profiles.
const (
	Calm    Profile = "calm"
	Network Profile = "network"
	Crash   Profile = "crash"
	Disk    Profile = "disk"
	Swarm   Profile = "swarm"
	Plans   Profile = "plans"
	Streams Profile = "streams"
	Cluster Profile = "cluster"
	// Replicas is JetStream on several servers.
	Replicas Profile = "replicas"
)

// ProfileInfo describes a profile.
type ProfileInfo struct {
	Name     Profile
	About    string
	families []string
}

// Profiles lists all profiles.
func Profiles() []ProfileInfo {
	return []ProfileInfo{
		{Calm, "no faults: nothing may be lost at all", nil},
		{Network, "delays, resets, half-open connections, partitions, clogs, slow readers", networkFamilies},
		{Crash, "crashes, power loss, pauses, stops, lame duck, clock faults, reloads", processFamilies},
		{Disk, "a journal over a disk that loses power, tears, fails and rots", nil},
		{Swarm, "each seed switches a random subset of everything on", append(slices.Clone(networkFamilies), processFamilies...)},
		{Plans, "each seed follows a scripted plan, as one in ten of swarm does", nil},
		{Streams, "JetStream above all, over a disk that fails and machines that die", streamFamilies},
		{Cluster, "several servers: routes that break, partitions, crashes, pauses, and clients on each", nil},
		{Replicas, "streams on three servers: crashes, power losses of one or all, partitions, slow links, disks that stand still", nil},
	}
}

// ParseProfile finds a profile by name.
func ParseProfile(name string) (Profile, error) {
	var known []string
	for _, p := range Profiles() {
		if string(p.Name) == name {
			return p.Name, nil
		}
		known = append(known, string(p.Name))
	}
	return "", fmt.Errorf("profile %q is unknown: there are %s", name, strings.Join(known, ", "))
}

// family is one kind of fault that strikes at a rate drawn log-uniformly.
type family struct {
	name     string
	min, max float64 // per second
	strike   func(*World)
}

// Plan is what the seed decides before a run begins.
type Plan struct {
	Seed    uint64
	Profile Profile

	Clients int
	Chaos   time.Duration // of the second phase
	Think   time.Duration // mean pause of a client between two bursts
	Burst   int           // operations at once, at most

	MaxPending    int // bytes
	MaxPayload    int
	PingInterval  time.Duration
	WriteDeadline time.Duration

	Link         netsim.Link
	SocketBuffer int
	Refuse       float64 // of attempts to connect
	Slow         float64
	Lateness     time.Duration // of the server's timers
	TaskCost     time.Duration
	Garbage      int // clients that send what they like

	Token   bool    // one account, and a token is all it asks for
	TLS     TLSMode // of the listener
	Proxy   bool    // PROXY headers are understood
	NoStall bool    // no_fast_producer_stall
	Script  string  // of a scripted plan; "" is none

	nkey    nkeys.KeyPair
	Rates   []Rate // of the families that are on
	Journal *JournalPlan
	JS      *JSPlan      // nil: the run has no JetStream
	Cluster *ClusterPlan // nil: there is one server
	// Replicas is not nil when JetStream runs on several servers.
	Replicas *ReplicasPlan
}

// Rate is how often a family of faults strikes.
type Rate struct {
	Family    string
	PerSecond float64
}

// NewPlan draws a plan. Draws are appended, never inserted: what a later version
// adds moves nothing that was there.
func NewPlan(seed uint64, profile Profile, rnd *rand.Rand) Plan {
	p := Plan{Seed: seed, Profile: profile}
	p.Clients = 3 + rnd.IntN(6)
	p.Chaos = time.Duration(15+rnd.IntN(30)) * time.Second
	p.Think = logTime(rnd, 15*time.Millisecond, 250*time.Millisecond)
	p.Burst = 1 + rnd.IntN(12)
	p.MaxPending = 64 << 10 << rnd.IntN(5)
	p.MaxPayload = 8 << 10 << rnd.IntN(4)
	p.PingInterval = time.Duration(2+rnd.IntN(20)) * time.Second
	p.WriteDeadline = time.Duration(2+rnd.IntN(9)) * time.Second
	p.Link = netsim.Link{
		Latency: logTime(rnd, 10*time.Microsecond, 5*time.Millisecond),
		Jitter:  logTime(rnd, 50*time.Microsecond, 20*time.Millisecond), Fragment: rnd.IntN(4) > 0,
	}
	p.SocketBuffer = 4 << 10 << rnd.IntN(7)
	p.Garbage = rnd.IntN(3)
	if rnd.IntN(4) == 0 {
		p.TaskCost = logTime(rnd, time.Microsecond, 200*time.Microsecond)
	}
	if profile == Disk || profile == Streams { // the clients are there for company
		p.Clients, p.Think, p.Burst = 3, p.Think*4, min(p.Burst, 3)
	}
	p.drawFaults(rnd)
	if profile == Disk || profile == Swarm && rnd.IntN(2) == 0 {
		p.Journal = newJournalPlan(rnd, profile)
	}
	p.drawEntry(rnd)
	p.drawScript(rnd)
	p.drawJS(rnd)
	p.drawCluster(rnd)
	p.drawReplicas(rnd)
	return p
}

// drawEntry decides how clients come in.
func (p *Plan) drawEntry(rnd *rand.Rand) {
	p.nkey = drawNkey(rnd)
	token, secure, mode, proxy, noStall := rnd.IntN(12) == 0, rnd.IntN(3) == 0, tlsModes[rnd.IntN(len(tlsModes))], rnd.IntN(5) == 0, rnd.IntN(8) == 0
	p.Token, p.NoStall = token, noStall
	if secure && !(token && mode == TLSMap) {
		p.TLS = mode
	}
	p.Proxy = proxy && p.TLS != TLSFirst
}

// drawFaults is the swarm draw.
func (p *Plan) drawFaults(rnd *rand.Rand) {
	quiet := rnd.IntN(10) == 0 // one run in ten has no faults
	var mine []string
	for _, info := range Profiles() {
		if info.Name == p.Profile {
			mine = info.families
		}
	}
	for _, f := range families {
		on, rate := rnd.IntN(2) == 0, math.Exp(math.Log(f.min)+rnd.Float64()*math.Log(f.max/f.min))
		if on && slices.Contains(mine, f.name) && !(quiet && (p.Profile == Swarm || p.Profile == Streams)) {
			p.Rates = append(p.Rates, Rate{f.name, rate})
		}
	}
	caps, late, refuse := rnd.IntN(4) == 0, rnd.IntN(2) == 0, rnd.IntN(2) == 0
	bandwidth, lateness, share := int(math.Exp(math.Log(30e3)+rnd.Float64()*math.Log(100))), logTime(rnd, time.Millisecond, 100*time.Millisecond), rnd.Float64()*0.3
	if len(p.Rates) == 0 {
		return
	}
	if caps && slices.Contains(mine, "clog") {
		p.Link.Bandwidth = bandwidth
	}
	if refuse && slices.Contains(mine, "clog") {
		p.Refuse, p.Slow = share/2, share
	}
	if late && slices.Contains(mine, "crash") {
		p.Lateness = lateness
	}
}

func logTime(rnd *rand.Rand, from, to time.Duration) time.Duration {
	return time.Duration(math.Exp(math.Log(float64(from)) + rnd.Float64()*math.Log(float64(to)/float64(from))))
}
