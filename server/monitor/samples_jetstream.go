package monitor

import (
	"github.com/lockstepmq/lockstep/server/jetstream/api"
)

// depth says how much of JetStream a scrape sees.
type depth uint8

const (
	depthStreams   depth = iota // and accounts
	depthAccounts               // no streams
	depthConsumers              // and streams, accounts
	depths
)

// depthOf reads the parameter of a scrape.
func depthOf(word string) depth {
	switch word {
	case "accounts", "account":
		return depthAccounts
	case "consumers", "consumer", "all":
		return depthConsumers
	}
	return depthStreams
}

var (
	labelsJS         = []string{"server_id", "server_name", "cluster", "domain", "meta_leader", "is_meta_leader"}
	labelsJSAccount  = append(labelsJS[:len(labelsJS):len(labelsJS)], "account", "account_name", "account_id")
	labelsJSStream   = append(labelsJSAccount[:len(labelsJSAccount):len(labelsJSAccount)], "stream_name", "stream_leader", "is_stream_leader", "stream_raft_group")
	labelsJSConsumer = append(labelsJSStream[:len(labelsJSStream):len(labelsJSStream)], "consumer_name", "consumer_leader", "is_consumer_leader", "consumer_desc")
	labelsJSSource   = append(labelsJSStream[:len(labelsJSStream):len(labelsJSStream)], "source_name", "source_api", "source_deliver")
	labelsJSMirror   = append(labelsJSStream[:len(labelsJSStream):len(labelsJSStream)], "mirror_name", "mirror_api", "mirror_deliver")
)

// jetStream adds the state of JetStream: of the server, of its accounts and, as deep
// as asked, of streams and consumers.
func (s *samples) jetStream(m *Monitor, d depth) {
	src, _ := m.source()
	limit := 0
	if src != nil {
		limit = len(src.JetStreamAccounts())
	}
	z, err := m.Jsz(&JSzOptions{
		Accounts: true, Streams: d != depthAccounts, Consumer: d == depthConsumers, Config: true, Limit: limit,
	})
	if err != nil {
		return
	}
	js := &jsSamples{samples: s, server: m.c.Broker.Identity().ServerName}
	values := []string{s.id, js.server, "", z.Config.Domain, "", "true"}
	add := js.adder("jetstream_server_", labelsJS, values)
	add("jetstream_disabled", "1 when JetStream does not run.", oneIf(z.Disabled))
	add("max_memory", "Bytes that memory streams may hold.", float64(z.Config.MaxMemory))
	add("max_storage", "Bytes that file streams may hold.", float64(z.Config.MaxStore))
	add("total_streams", "Streams.", float64(z.Streams))
	add("total_consumers", "Consumers.", float64(z.Consumers))
	add("total_messages", "Stored messages.", float64(z.Messages))
	add("total_message_bytes", "Bytes of the stored messages.", float64(z.Bytes))
	for _, a := range z.AccountDetails {
		js.account(a, values)
	}
}

// jsSamples adds what JetStream tells.
type jsSamples struct {
	*samples
	server string
}

// adder adds gauges whose names begin alike and that share their labels.
func (s *jsSamples) adder(prefix string, labels, values []string) func(name, help string, v float64) {
	return func(name, help string, v float64) {
		s.list = append(s.list, sample{prefix + name, help, gauge, labels, values, v})
	}
}

// with is values and more, in a new slice.
func with(values []string, more ...string) []string {
	return append(values[:len(values):len(values)], more...)
}

func (s *jsSamples) account(a *AccountDetail, server []string) {
	values := with(server, a.Name, a.Name, a.Id)
	add := s.adder("jetstream_account_", labelsJSAccount, values)
	add("max_memory", "Bytes that the account's memory streams may hold.", float64(a.ReservedMemory))
	add("max_storage", "Bytes that the account's file streams may hold.", float64(a.ReservedStore))
	add("memory_used", "Bytes that the account's memory streams hold.", float64(a.Memory))
	add("storage_used", "Bytes that the account's file streams hold.", float64(a.Store))
	for i := range a.Streams {
		s.stream(&a.Streams[i], values)
	}
}

// leader is who leads an asset, and whether that is this server.
func (s *jsSamples) leader(c *api.ClusterInfo) (name, here string) {
	switch {
	case c == nil:
		return "", "true"
	case c.Leader == s.server:
		return c.Leader, "true"
	}
	return c.Leader, "false"
}

func (s *jsSamples) stream(z *StreamDetail, account []string) {
	leader, here := s.leader(z.Cluster)
	values := with(account, z.Name, leader, here, z.RaftGroup)
	add := s.adder("jetstream_stream_", labelsJSStream, values)
	add("total_messages", "Messages in the stream.", float64(z.State.Msgs))
	add("total_bytes", "Bytes of the messages in the stream.", float64(z.State.Bytes))
	add("first_seq", "First sequence of the stream.", float64(z.State.FirstSeq))
	add("last_seq", "Last sequence of the stream.", float64(z.State.LastSeq))
	add("consumer_count", "Consumers of the stream.", float64(z.State.Consumers))
	add("subject_count", "Subjects that messages of the stream have.", float64(z.State.NumSubjects))
	if z.Config != nil {
		add("limit_bytes", "Most bytes that the stream may hold.", float64(z.Config.MaxBytes))
		add("limit_messages", "Most messages that the stream may hold.", float64(z.Config.MaxMsgs))
	}
	for _, o := range z.Sources {
		s.origin("source", labelsJSSource, o, values)
	}
	if z.Mirror != nil {
		s.origin("mirror", labelsJSMirror, z.Mirror, values)
	}
	for _, c := range z.Consumer {
		s.consumer(c, values)
	}
}

func (s *jsSamples) origin(kind string, labels []string, o *api.StreamSourceInfo, stream []string) {
	var through, deliver string
	if o.External != nil {
		through, deliver = o.External.ApiPrefix, o.External.DeliverPrefix
	}
	add := s.adder("jetstream_stream_"+kind+"_", labels, with(stream, o.Name, through, deliver))
	add("lag", "Messages of the origin that have not arrived yet.", float64(o.Lag))
	add("active_duration_ns", "Nanoseconds since the origin was heard of, -1 for never.", float64(o.Active))
}

func (s *jsSamples) consumer(c *api.ConsumerInfo, stream []string) {
	leader, here := s.leader(c.Cluster)
	description := ""
	if c.Config != nil {
		description = c.Config.Description
	}
	add := s.adder("jetstream_consumer_", labelsJSConsumer, with(stream, c.Name, leader, here, description))
	add("delivered_consumer_seq", "Last delivery, counted by the consumer.", float64(c.Delivered.Consumer))
	add("delivered_stream_seq", "Last delivered message's sequence in the stream.", float64(c.Delivered.Stream))
	add("num_ack_pending", "Messages delivered and not acknowledged.", float64(c.NumAckPending))
	add("num_redelivered", "Messages delivered again and not acknowledged.", float64(c.NumRedelivered))
	add("num_waiting", "Pull requests that wait.", float64(c.NumWaiting))
	add("num_pending", "Messages not delivered yet.", float64(c.NumPending))
	add("ack_floor_stream_seq", "Sequence in the stream up to which all is acknowledged.", float64(c.AckFloor.Stream))
	add("ack_floor_consumer_seq", "Delivery up to which all is acknowledged.", float64(c.AckFloor.Consumer))
	if t := c.Delivered.Last; t != nil {
		add("last_delivery_seconds", "Seconds since the last delivery.", c.TimeStamp.Sub(*t).Seconds())
	}
	if t := c.AckFloor.Last; t != nil {
		add("last_ack_seconds", "Seconds since the last acknowledgement.", c.TimeStamp.Sub(*t).Seconds())
	}
}
