package source

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/jetstream/machine"
	"github.com/lockstepmq/lockstep/server/wire"
)

// level is how much a request asks of the origin, which may be an older server.
type level uint8

const (
	levelFull     level = iota // identities of streams
	levelSourcing              // consumers that serve a mirror or source and know it
	levelPlain                 // consumers as anybody's
)

// number is what the request says it needs; 0 says nothing.
func (l level) number(mirror bool) int {
	switch {
	case l == levelFull && !mirror:
		return 5
	case l <= levelSourcing:
		return 4
	}
	return 0
}

// lower is the next level to try after the origin did not understand.
func (l level) lower(mirror bool) level {
	if mirror {
		return levelPlain
	}
	return l + 1
}

// metadata of the consumer, so that an operator of the origin sees whose it is.
func (f *Follower) metadata() map[string]string {
	kind := "_nats.src."
	if f.mirror {
		kind = "_nats.mirror."
	}
	m := map[string]string{kind + "stream": f.set.cfg.Name, kind + "acc": f.set.opts.Account}
	if d := f.set.opts.Domain; d != "" {
		m[kind+"domain"] = d
	}
	return m
}

// call is the subject of a request about the origin: words that end in a dot, and the stream.
func (f *Follower) call(words string) string {
	prefix := strings.TrimSuffix(api.Prefix, ".")
	if e := f.src.External; e != nil && e.ApiPrefix != "" {
		prefix = e.ApiPrefix
	}
	return oneDot(prefix + "." + words + f.src.Name)
}

// deliverSubject draws where the origin should send to.
func (f *Follower) deliverSubject() string {
	if c := f.src.Consumer; c != nil {
		return c.DeliverSubject
	}
	kind := "S."
	if f.mirror {
		kind = "M."
	}
	prefix := "$JS."
	if e := f.src.External; e != nil && e.DeliverPrefix != "" {
		prefix = e.DeliverPrefix + "."
	}
	return oneDot(prefix + kind + api.Name8(f.host.Rand().Uint64()))
}

// oneDot makes each run of dots one.
func oneDot(subj string) string {
	for strings.Contains(subj, "..") {
		subj = strings.ReplaceAll(subj, "..", ".")
	}
	return subj
}

// ask asks the origin for a consumer, at the follower's level.
func (f *Follower) ask() {
	f.phase = asking
	f.everMade = true
	f.asked = f.host.Mono()
	f.locate()
	f.began = f.proposed
	f.attempt++
	attempt := f.attempt
	f.deliver = f.deliverSubject()
	stop, err := f.host.Listen(f.deliver, func(b []broker.Arrival) { f.arrived(attempt, b) })
	if err != nil {
		f.fail(f.failure(err.Error()))
		return
	}
	f.stop = stop
	f.send()
}

// send sends the request; what the origin delivers meanwhile waits for the reply.
func (f *Follower) send() {
	subj, body, timeout := f.createRequest()
	if f.src.Consumer != nil {
		subj, body, timeout = f.resetRequest()
	}
	attempt := f.attempt
	f.cancel = f.host.Request(subj, f.requestHeader(), body, timeout, func(header, body []byte, ok bool) {
		if f.attempt == attempt && f.phase == asking {
			f.cancel = nil
			f.replied(header, body, ok)
		}
	})
}

// requestHeader is nil where there is nothing to say.
func (f *Follower) requestHeader() []byte {
	n := f.level.number(f.mirror)
	if n == 0 {
		return nil
	}
	h := append([]byte(nil), api.HeaderLine...)
	h = api.AppendHeader(h, api.HdrRequiredApiLevel, strconv.Itoa(n))
	if f.level == levelFull && !f.mirror {
		h = api.AppendHeader(h, api.HdrStreamIdentity, f.asIdentity())
	}
	return append(h, "\r\n"...)
}

// asIdentity is the origin that the request means; "" for whatever is there now.
func (f *Follower) asIdentity() string {
	if f.fromStart {
		return ""
	}
	return f.identity
}

// locate finds where to begin: what is here of the origin, for certain.
func (f *Follower) locate() {
	if f.mirror {
		f.proposed = f.host.Store().State().Last
		return
	}
	seq, identity, ok := f.host.Position(f.key)
	f.chain = position{seq, identity}
	if !ok {
		p := f.set.found[f.key]
		seq, identity = p.seq, p.identity
	}
	if f.identity == "" && !f.fromStart {
		f.identity = identity
	}
	f.proposed = seq
	if f.remade = f.fromStart || (identity != "" && identity != f.identity); f.remade {
		f.proposed = 0
	}
}

// createRequest asks for a consumer of the follower's own.
func (f *Follower) createRequest() (subj string, body []byte, timeout time.Duration) {
	cfg := api.ConsumerConfig{
		Name: f.name, AckPolicy: api.AckNone, AckWait: 22 * time.Hour, MaxDeliver: 1,
		FlowControl: true, DeliverSubject: f.deliver, Heartbeat: time.Second, InactiveThreshold: 10 * time.Second,
		Direct: true, Sourcing: f.level != levelPlain, Metadata: f.metadata(),
	}
	if f.level == levelPlain {
		cfg.Name += "_" + api.Name8(f.host.Rand().Uint64())
	}
	f.setStart(&cfg)
	subj = f.call("CONSUMER.CREATE.")
	filters := f.filters()
	if len(filters) == 1 {
		cfg.FilterSubject = filters[0]
		subj += "." + cfg.Name + "." + filters[0]
	} else {
		cfg.FilterSubjects = filters
	}
	return subj, api.Marshal(api.CreateConsumerRequest{Stream: f.src.Name, Config: cfg}), createTimeout
}

// setStart says where the consumer begins.
func (f *Follower) setStart(cfg *api.ConsumerConfig) {
	switch {
	case f.proposed > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = api.DeliverByStartSequence, f.proposed+1
	case f.remade:
	case f.src.OptStartSeq > 0:
		cfg.DeliverPolicy, cfg.OptStartSeq = api.DeliverByStartSequence, f.src.OptStartSeq
	case f.src.OptStartTime != nil:
		cfg.DeliverPolicy, cfg.OptStartTime = api.DeliverByStartTime, f.src.OptStartTime
	}
}

// filters are the subjects wanted; none for all.
func (f *Follower) filters() []string {
	if len(f.src.SubjectTransforms) == 0 {
		if s := f.src.FilterSubject; s != "" {
			return []string{s}
		}
		return nil
	}
	var list []string
	for _, t := range f.src.SubjectTransforms {
		if t.Source == "" || t.Source == ">" {
			return nil
		}
		list = append(list, t.Source)
	}
	return list
}

// resetRequest moves the consumer that was made beforehand to where to begin.
func (f *Follower) resetRequest() (subj string, body []byte, timeout time.Duration) {
	switch {
	case f.proposed > 0:
		body = api.Marshal(api.JSApiConsumerResetRequest{Seq: f.proposed + 1})
	case f.remade:
		body = api.Marshal(api.JSApiConsumerResetRequest{Seq: 1})
	}
	return f.call("CONSUMER.RESET.") + "." + f.src.Consumer.Name, body, resetTimeout
}

// consumerReply is what matters of the replies to both requests. Origins may be newer servers: what is
// not needed is not read.
type consumerReply struct {
	Error  *api.Error `json:"error"`
	Config struct {
		AckPolicy      string `json:"ack_policy"`
		DeliverSubject string `json:"deliver_subject"`
	} `json:"config"`
	Delivered  api.SequenceInfo `json:"delivered"`
	NumPending uint64           `json:"num_pending"`
}

// replied reads the origin's reply.
func (f *Follower) replied(header, body []byte, ok bool) {
	var r consumerReply
	if code, _, status := wire.HeaderStatus(header); !ok || (status && code >= 300) {
		f.fail(nil)
		return
	}
	if err := json.Unmarshal(body, &r); err != nil {
		f.fail(f.failure("reply of the origin: " + err.Error()))
		return
	}
	if r.Error != nil {
		f.rejected(r.Error)
		return
	}
	if err := f.unfit(&r); err != nil {
		f.fail(err)
		return
	}
	if id := string(api.HeaderValue(header, api.HdrStreamIdentity)); id != "" && !f.mirror {
		was := f.identity
		f.identity = id
		if was != "" && was != id && !f.fromStart {
			f.again() // it was made anew, and the consumer begins where the old one ended
			return
		}
		f.fromStart = false
	}
	f.follow(&r)
}

// unfit tells what is wrong with a consumer that was made beforehand.
func (f *Follower) unfit(r *consumerReply) *api.Error {
	c := f.src.Consumer
	if c == nil || (r.Config.AckPolicy == api.AckFlowControl.String() && r.Config.DeliverSubject == c.DeliverSubject) {
		return nil
	}
	if f.mirror {
		return api.ErrMirrorConsumerRequiresAckFC
	}
	return api.ErrSourceConsumerRequiresAckFC
}

// rejected goes on after an error of the origin's.
func (f *Follower) rejected(err *api.Error) {
	switch err.ErrCode {
	case api.ErrRequiredApiLevel.ErrCode, api.ErrInvalidJSON.ErrCode:
		if f.level < levelPlain && f.src.Consumer == nil {
			f.level = f.level.lower(f.mirror)
			f.send()
			return
		}
	case api.ErrConsumerStreamIdentityMismatch.ErrCode:
		if !f.mirror && !f.fromStart {
			f.fromStart = true
			f.again()
			return
		}
	}
	f.fail(err)
}

// follow begins to take messages.
func (f *Follower) follow(r *consumerReply) {
	f.phase = following
	f.failures = 0
	if f.refusals == 0 {
		f.err = nil
	}
	f.acksFlow = r.Config.AckPolicy == api.AckFlowControl.String()
	f.lag = r.NumPending
	f.hear()
	f.timer.Reset(stallAfter)
	if f.mirror && !f.acksFlow && r.Delivered.Consumer == 0 && r.Delivered.Stream > f.proposed {
		f.skip(r.Delivered.Stream)
	}
	early := f.early
	f.early, f.earlyBytes = nil, 0
	for i := range early {
		if f.phase != following {
			break
		}
		m := &early[i]
		f.takeOne(&broker.Arrival{Subject: m.subject, Reply: m.reply, Header: m.header, Data: m.data})
	}
	f.settle()
}

// skip uses the sequences up to seq: the origin has nothing there any more that is wanted.
func (f *Follower) skip(seq uint64) {
	b := f.set.newBatch(f)
	f.proposed = seq
	b.upTo = f.taken
	f.propose(b, machine.EncodeSkip(f.host.Entry(16), f.host.Now(), seq))
}
