package jetstream

// Reload follows a configuration that was reloaded, once the accounts have it: accounts that came get their API,
// and each may use what it says now. What an account holds above a lowered limit stays. It may be called from
// anywhere.
func (m *Manager) Reload() {
	m.strand.Post(func() {
		if m.stopped || m.sink == nil {
			return
		}
		m.now = m.cfg.Clock.Now()
		for _, acc := range m.cfg.Broker.Accounts() {
			m.admit(acc)
		}
	})
}
