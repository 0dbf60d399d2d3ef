package jetstream

import (
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/subject"
)

// streamLimits are what the streams of a tenant are held to.
func (m *Manager) streamLimits(t *tenant) api.StreamLimits {
	return api.StreamLimits{Clustered: m.cluster != nil, Duplicates: m.cfg.Options().JetStreamLimits.Duplicates, Find: func(name string) *api.StreamConfig {
		if mem := t.streams[name]; mem != nil {
			return mem.asset.Config
		}
		return nil
	}}
}

// judgeCreate gives the configuration of a new stream with its defaults, or what is wrong with it.
func (m *Manager) judgeCreate(t *tenant, cfg *api.StreamConfig, pedantic bool) (*api.StreamConfig, *api.Error) {
	return api.CheckStreamCreate(cfg, m.streamLimits(t), pedantic)
}

// judgeRestore is judgeCreate for the configuration of a backup: a stream that was sealed is so again.
func (m *Manager) judgeRestore(t *tenant, cfg *api.StreamConfig) (*api.StreamConfig, *api.Error) {
	open := *cfg
	open.Sealed = false
	c, err := m.judgeCreate(t, &open, false)
	if err != nil {
		return nil, err
	}
	c.Sealed = cfg.Sealed
	return c, nil
}

// judgeUpdate gives what an update makes of a configuration, or what is wrong with it.
func (m *Manager) judgeUpdate(t *tenant, was, cfg *api.StreamConfig, pedantic bool) (*api.StreamConfig, *api.Error) {
	next, err := api.CheckStreamUpdate(was, cfg, m.streamLimits(t), pedantic)
	if err != nil {
		return nil, err
	}
	if t.overlaps(next) {
		return nil, api.ErrStreamSubjectOverlap
	}
	return next, nil
}

// overlaps tells whether a subject of cfg collides with another stream's.
func (t *tenant) overlaps(cfg *api.StreamConfig) bool {
	for name, mem := range t.streams { //lockstep:ordered any one is enough
		if name != cfg.Name && api.SubjectsOverlap(mem.asset.Config.Subjects, cfg.Subjects) {
			return true
		}
	}
	return false
}

// selected are the tenant's streams that have a subject which overlaps filter.
func (t *tenant) selected(filter string) []string {
	names := t.sorted()
	if filter == "" {
		return names
	}
	var list []string
	for _, name := range names {
		for _, s := range t.streams[name].asset.Config.Subjects {
			if subject.Overlaps(s, filter) {
				list = append(list, name)
				break
			}
		}
	}
	return list
}
