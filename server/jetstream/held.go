package jetstream

import "github.com/lockstepmq/lockstep/server/jetstream/stream"

// Held visits the streams that this server holds, by account and by name. It must be called on the manager's strand.
func (m *Manager) Held(visit func(account, name string, s *stream.Stream)) {
	for _, t := range m.order {
		for _, name := range t.sorted() {
			if s := t.streams[name].s; s != nil {
				visit(t.name, name, s)
			}
		}
	}
}
