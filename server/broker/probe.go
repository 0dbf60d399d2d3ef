package broker

// Held is what a broker keeps in memory for connections.
type Held struct {
	Clients       int // connections that are not forgotten, closed ones included
	Subscriptions int // of theirs
	Stages        int // that publishers keep of receivers
	Gone          int // stages and cached receivers of connections that have ended
	Responses     int // of services that are still awaited
}

// Held counts what is kept. It looks into every connection, so nothing else may run
// meanwhile: it is for simulation and tests.
func (b *Broker) Held() Held {
	var h Held
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.clients { //lockstep:ordered sums
		h.Clients++
		h.Subscriptions += c.NumSubscriptions()
		h.Stages += len(c.stages)
		h.Gone += c.gone()
	}
	for _, a := range b.Accounts() {
		h.Responses += a.Responses().Len()
	}
	return h
}

// gone counts the places where a publisher refers to a receiver that has ended.
func (p *publisher) gone() int {
	n := 0
	for to := range p.stages { //lockstep:ordered a sum
		if to.why.Load() != 0 {
			n++
		}
	}
	for k := range p.sinks { //lockstep:ordered a sum
		if k.ended.Load() {
			n++
		}
	}
	for l := range p.linked { //lockstep:ordered a sum
		if l.closed.Load() {
			n++
		}
	}
	return n + p.routes.gone()
}

// gone counts the places where resolved subjects refer to a receiver that has ended.
func (rc *routeCache) gone() int {
	n := 0
	for _, m := range rc.entries { //lockstep:ordered a sum
		n += m.gone()
	}
	for _, m := range rc.own {
		n += m.gone()
	}
	return n
}

func (m *matched) gone() int {
	n := 0
	for i := range m.plain {
		if to := m.plain[i].to; to != nil && to.why.Load() != 0 {
			n++
		}
	}
	for i := range m.groups {
		for _, t := range m.groups[i].members {
			if t.to != nil && t.to.why.Load() != 0 {
				n++
			}
		}
	}
	for i := range m.links {
		if m.links[i].link.closed.Load() {
			n++
		}
	}
	return n
}
