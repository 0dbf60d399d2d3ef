package monitor

// ours adds what the exporter does not tell, with the types that rates ask for.
func (s *samples) ours(m *Monitor, v *Varz) {
	s.list = append(s.list, sample{
		name: "lockstep_info", help: "Always 1; the labels say which server it is.",
		labels: []string{"server_id", "server_name", "version", "lockstep_version", "go_version"},
		values: []string{s.id, v.Name, v.Version, v.LockstepVersion, v.GoVersion}, value: 1,
	})
	value := func(name, help string, n float64) {
		s.gauge(name, n)
		s.list[len(s.list)-1].help = help
	}
	total := func(name, help string, n float64) {
		s.count(name, n)
		s.list[len(s.list)-1].help = help
	}
	total("lockstep_received_messages_total", "Messages that clients published.", float64(v.InMsgs))
	total("lockstep_received_bytes_total", "Bytes of the messages that clients published.", float64(v.InBytes))
	total("lockstep_sent_messages_total", "Messages delivered to clients.", float64(v.OutMsgs))
	total("lockstep_sent_bytes_total", "Bytes of the messages delivered to clients.", float64(v.OutBytes))
	total("lockstep_connections_total", "Connections since the start.", float64(v.TotalConnections))
	total("lockstep_slow_consumers_total", "Clients closed because they were slow.", float64(v.SlowConsumers))
	total("lockstep_stale_connections_total", "Clients closed because they did not answer pings.", float64(v.StaleConnections))
	total("lockstep_stalls_total", "Times that a fast producer was made to wait.", float64(v.StalledClients))
	value("lockstep_accounts", "Accounts.", float64(len(m.c.Broker.Accounts())))
	value("lockstep_lame_duck", "1 while the server sends its clients away.", oneIf(m.c.Broker.LameDuckMode()))
	open, ended := 0, int64(0)
	for _, a := range m.c.Broker.Accounts() {
		open += a.Responses().Len()
		ended += a.Responses().Ended()
	}
	value("lockstep_service_responses_open", "Service requests that await a response across accounts.", float64(open))
	total("lockstep_service_responses_evicted_total", "Service responses given up because one account awaited too many.", float64(ended))
	if !v.TLSCertNotAfter.IsZero() {
		value("lockstep_tls_certificate_expiry_timestamp_seconds", "When the client listener's certificate ends.", float64(v.TLSCertNotAfter.Unix()))
	}
}
