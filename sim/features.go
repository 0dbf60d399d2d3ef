package sim

import "time"

// feature is something that the workload makes use of where the plan has it.
type feature struct {
	name string // as it is counted
	// on tells whether the run must have made use of it.
	on func(*World) bool
}

// features are what a run that has them must use at least once.
var features = []feature{
	{"password login", func(w *World) bool { return !w.plan.Token && w.plan.TLS != TLSMap }},
	{"nkey login", func(w *World) bool { return w.has(nkeyUser) }},
	{"no_auth_user login", func(w *World) bool { return w.has(anyUser) && w.plan.TLS != TLSMap }},
	{"token login", func(w *World) bool { return w.plan.Token }},
	{"certificate login", func(w *World) bool { return w.plan.TLS == TLSMap }},
	{"TLS " + string(TLSRequired), func(w *World) bool { return w.plan.TLS == TLSRequired }},
	{"TLS " + string(TLSOptional), never},
	{"TLS " + string(TLSFirst), func(w *World) bool { return w.plan.TLS == TLSFirst }},
	{"TLS " + string(TLSMap), func(w *World) bool { return w.plan.TLS == TLSMap }},
	{"PROXY header", func(w *World) bool { return w.plan.Proxy && len(w.rec.h.Conns) > 40 }},
	{"weighted mapping", func(w *World) bool { return w.busy() && !w.plan.Token }},
	{"queue permission", never},
	{"answers above the permit", never},
	{"streamed response", never},
	{"chunked response", never},
	{"late answer", never},
	{"service chain", never},
	{"stream import toggled", never},
	{"max_subscriptions reached", never},
	{"max_payload passed", never},
	{"no_fast_producer_stall", func(w *World) bool { return w.plan.NoStall }},
}

// never: whether it comes to pass is left to chance.
func never(*World) bool { return false }

// FeatureNames lists what the workload covers beyond plain messages.
func FeatureNames() []string {
	names := make([]string, len(features))
	for i, f := range features {
		names[i] = f.name
	}
	return names
}

// used counts that a feature of the server was made use of.
func (w *World) used(feature string) { w.features[feature]++ }

// has tells whether a client logs in as a user.
func (w *World) has(user string) bool {
	for _, c := range w.clients {
		if c.user == user {
			return true
		}
	}
	return false
}

// busy tells whether so much was published that every kind of subject must have come.
func (w *World) busy() bool { return len(w.rec.h.Pubs) > 5000 && w.plan.Chaos > 10*time.Second }

// countFeatures counts what the history alone tells.
func (w *World) countFeatures() {
	for _, p := range w.rec.h.Pubs {
		switch {
		case p.Conn.Account == "D" && p.Reply != "" && (p.Subject == "far.a" || p.Subject == "far.b"):
			w.used("service chain")
		case p.Subject == "split.a" || p.Subject == "halves.a" || p.Subject == "rest.a":
			w.used("weighted mapping")
		}
	}
	for _, s := range w.rec.h.Subs {
		if s.Queue != "" && (s.Conn.User == "a-some" || s.Conn.User == "b-some") {
			w.used("queue permission")
		}
	}
	if w.plan.NoStall {
		w.used("no_fast_producer_stall")
	}
}

// featureFloors demands that what the plan has was used.
func (w *World) featureFloors(r *Result, floor func(what string, n, least int)) {
	for _, f := range features {
		if f.on(w) {
			floor(f.name, w.features[f.name], 1)
		}
	}
	if w.plan.Script != "" {
		floor("plan "+w.plan.Script, r.Faults["world: plan: "+w.plan.Script], 1)
	}
}
