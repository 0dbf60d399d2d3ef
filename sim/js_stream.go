package sim

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/lockstepmq/lockstep/checks/core"
	"github.com/lockstepmq/lockstep/checks/js"
	"github.com/lockstepmq/lockstep/server/wire"
)

// jsStream is a stream as the workload knows it.
type jsStream struct {
	j       *jsWorld
	name    string
	config  map[string]any
	created bool
	asking  bool
	hist    *js.Stream
	plain   bool              // no direct gets: who answers them may be behind
	last    uint64            // the highest sequence that was acknowledged
	bySubj  map[string]uint64 // the same by subject
	ids     []string          // message ids used, the latest last
	lastID  string            // of what was acknowledged last
}

// newStream describes a stream; the first client that can creates it.
func (j *jsWorld) newStream(name string, config map[string]any, hist *js.Stream) *jsStream {
	config["name"], config["storage"], config["num_replicas"], config["allow_direct"] = name, "file", j.w.copies(), true
	hist.Name = name
	if hist.Retention == "" {
		hist.Retention = "limits"
	}
	config["retention"] = hist.Retention
	if hist.Window == 0 {
		hist.Window = 2 * time.Minute
	}
	if hist.MaxAge > 0 {
		hist.Window = min(hist.Window, hist.MaxAge)
		config["max_age"] = int64(hist.MaxAge)
	}
	config["duplicate_window"] = int64(hist.Window)
	if hist.MaxMsgs > 0 {
		config["max_msgs"] = hist.MaxMsgs
	}
	if hist.MaxBytes > 0 {
		config["max_bytes"] = hist.MaxBytes
	}
	if hist.MaxPer > 0 {
		config["max_msgs_per_subject"] = hist.MaxPer
	}
	if hist.DiscardNew {
		config["discard"] = "new"
	}
	if hist.NewPer {
		config["discard_new_per_subject"] = true
	}
	s := &jsStream{j: j, name: name, config: config, hist: hist, bySubj: make(map[string]uint64)}
	j.hist.Streams = append(j.hist.Streams, hist)
	return s
}

// ensure creates the stream unless it is known to be there.
func (s *jsStream) ensure(c *jsClient) bool {
	if s.created || s.asking {
		return s.created
	}
	s.asking = true
	c.request("STREAM.CREATE."+s.name, s.config, func(a *js.Answer) {
		s.asking = false
		switch {
		case a == nil || a.Err == js.NoResponders:
		case a.Err != 0:
			if !s.j.troubled() {
				s.j.w.violate(js.APITruth, "creating stream %s was refused: %s", s.name, a.Error.Description)
			}
		default:
			s.created = true
			s.j.ops["js_streams"]++
		}
	})
	return false
}

// troubled tells whether the disk, or other servers, may have made the server refuse something.
func (j *jsWorld) troubled() bool { return j.diskFaults() > 0 || j.w.replicas != nil }

// write makes the record of a publish; the caller adds conditions.
func (s *jsStream) write(c *jsClient, subject string) *js.Write {
	c.w.rec.ids++
	w := &js.Write{
		ID: c.w.rec.ids, Conn: fmt.Sprintf("%s#%d", c.name, c.life), Subject: subject, Call: c.w.rec.now(), Return: core.Never,
		LastSeq: -1, LastSubjSeq: -1, Size: 10 + c.rnd.IntN(150),
	}
	if c.rnd.IntN(12) == 0 {
		w.Size = c.rnd.IntN(2000)
	}
	s.hist.Writes = append(s.hist.Writes, w)
	s.j.ops["js_publishes"]++
	return w
}

// headersOf writes the conditions of a publish.
func headersOf(w *js.Write, more ...string) []byte {
	pairs := more
	add := func(name, value string) { pairs = append(pairs, name, value) }
	if w.MsgID != "" {
		add("Nats-Msg-Id", w.MsgID)
	}
	if w.LastSeq >= 0 {
		add("Nats-Expected-Last-Sequence", strconv.FormatInt(w.LastSeq, 10))
	}
	if w.LastSubjSeq >= 0 {
		add("Nats-Expected-Last-Subject-Sequence", strconv.FormatInt(w.LastSubjSeq, 10))
	}
	if w.LastMsgID != "" {
		add("Nats-Expected-Last-Msg-Id", w.LastMsgID)
	}
	if w.Rollup {
		add("Nats-Rollup", "sub")
	}
	if w.Incr != "" {
		add("Nats-Incr", w.Incr)
		add(idHeader, strconv.FormatUint(w.ID, 10))
	}
	if w.KV != "" {
		add("KV-Operation", w.KV)
	}
	if w.TTL > 0 {
		add("Nats-TTL", w.TTL.String())
	}
	if w.Batch != "" {
		add("Nats-Batch-Id", w.Batch)
		add("Nats-Batch-Sequence", strconv.Itoa(w.BatchSeq))
		if w.Commit {
			add("Nats-Batch-Commit", "1")
		}
	}
	return header(pairs...)
}

// bodyOf is what a publish sends: a counter's message has no body but what the server makes.
func bodyOf(w *js.Write) []byte {
	if w.Incr != "" {
		return nil
	}
	return appendPayload(nil, w.ID, w.Size)
}

// publish sends a write and notes what comes of it.
func (s *jsStream) publish(c *jsClient, w *js.Write, then func(*js.Answer), more ...string) {
	c.ask(w.Subject, headersOf(w, more...), bodyOf(w), func(r *jsReply) {
		if r != nil && r.Status == 0 && len(r.Body) == 0 && w.Batch != "" && !w.Commit {
			return // a batch takes note of its parts without a word
		}
		a := c.answer(r)
		s.outcome(w, a)
		if then != nil {
			then(a)
		}
	})
}

// outcome notes what a publish was answered.
func (s *jsStream) outcome(w *js.Write, a *js.Answer) {
	w.Outcome = js.OutcomeOf(a)
	if a == nil || w.Outcome == js.Unknown {
		s.j.ops["js_unknown"]++
		return
	}
	w.Return, w.Err = a.At, a.Err
	if w.Outcome == js.Refused {
		s.j.ops["js_refused"]++
		if text, ok := strings.CutPrefix(errText(a), "wrong last sequence: "); ok {
			w.ErrSeq, _ = strconv.ParseUint(text, 10, 64)
		}
		return
	}
	s.j.ops["js_acks"]++
	w.Seq, w.Dup, w.Val = a.Seq, a.Duplicate, a.Val
	if a.Stream != s.name {
		s.j.w.violate(js.APITruth, "%s was acknowledged by stream %q, and went to %q", w, a.Stream, s.name)
	}
	if w.Dup {
		s.j.ops["js_duplicates"]++
		return
	}
	if w.Seq > s.last {
		s.last, s.lastID = w.Seq, w.MsgID
	}
	s.bySubj[w.Subject] = max(s.bySubj[w.Subject], w.Seq)
}

func errText(a *js.Answer) string {
	if a.Error == nil {
		return ""
	}
	return a.Error.Description
}

// get reads one message: by sequence, or, when subject is not empty, the last on it.
func (s *jsStream) get(c *jsClient, seq uint64, subject string, direct bool) {
	r := &js.Read{Subject: subject, Seq: seq, Call: c.w.rec.now()}
	body := map[string]any{}
	if subject != "" {
		body["last_by_subj"] = subject
	} else {
		body["seq"] = seq
	}
	s.j.ops["js_reads"]++
	done := func(m *js.StoredMessage, at core.Stamp) {
		r.Return = at
		if m == nil {
			if subject != "" {
				s.hist.Reads = append(s.hist.Reads, r)
			}
			return
		}
		r.Seq = m.Seq
		r.ID, _, r.Val = identify(m.Header, m.Data)
		if isMarker(m.Header) {
			return
		}
		if subject != "" && m.Subject != subject || subject == "" && m.Seq != seq {
			s.j.w.violate(js.APITruth, "stream %s was asked for %d %q and gave %d %q", s.name, seq, subject, m.Seq, m.Subject)
		}
		s.bySubj[m.Subject] = max(s.bySubj[m.Subject], m.Seq)
		s.hist.Reads = append(s.hist.Reads, r)
	}
	if !direct {
		c.request("STREAM.MSG.GET."+s.name, body, func(a *js.Answer) {
			switch {
			case a == nil:
			case a.Err == 10037:
				done(nil, a.At)
			case a.Err == 0 && a.Message != nil:
				done(a.Message, a.At)
			}
		})
		return
	}
	text, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	c.ask("$JS.API.DIRECT.GET."+s.name, nil, text, func(r *jsReply) {
		switch {
		case r == nil || r.Status == 503:
		case r.Status == 404:
			done(nil, r.At)
		case r.Status == 0:
			m, _ := directMessage(r)
			done(m, r.At)
		}
	})
}

// directMessage reads what a direct get gave.
func directMessage(r *jsReply) (*js.StoredMessage, bool) {
	value := func(name string) string {
		v, _ := wire.HeaderValue(r.Header, name)
		return string(v)
	}
	seq, err := strconv.ParseUint(value("Nats-Sequence"), 10, 64)
	if err != nil {
		return nil, false
	}
	at, err := time.Parse(time.RFC3339Nano, value("Nats-Time-Stamp"))
	if err != nil {
		return nil, false
	}
	return &js.StoredMessage{Subject: value("Nats-Subject"), Seq: seq, Header: r.Header, Data: r.Body, Time: at}, true
}

// isMarker tells whether the server made a message itself.
func isMarker(h []byte) bool { return bytes.Contains(h, []byte("Nats-Marker-Reason")) }

// info asks a stream for its bounds.
func (s *jsStream) info(c *jsClient) {
	call := c.w.rec.now()
	c.request("STREAM.INFO."+s.name, nil, func(a *js.Answer) {
		if a != nil && a.Err == 0 && a.State != nil {
			s.hist.FirstLast = append(s.hist.FirstLast, js.Bounds{First: a.State.FirstSeq, Last: a.State.LastSeq, Call: call, At: a.At})
		}
	})
}

// delete removes one message.
func (s *jsStream) delete(c *jsClient, seq uint64) {
	r := &js.Removal{Seq: seq, Call: c.w.rec.now(), Return: core.Never}
	s.hist.Removals = append(s.hist.Removals, r)
	c.request("STREAM.MSG.DELETE."+s.name, map[string]any{"seq": seq, "no_erase": c.rnd.IntN(2) == 0}, func(a *js.Answer) { s.removed(r, a) })
}

// purge removes many.
func (s *jsStream) purge(c *jsClient, filter string, keep int, upTo uint64) {
	r := &js.Removal{Filter: filter, Keep: keep, UpTo: upTo, Call: c.w.rec.now(), Return: core.Never}
	s.hist.Removals = append(s.hist.Removals, r)
	body := map[string]any{}
	if filter != "" {
		body["filter"] = filter
	}
	if keep > 0 {
		body["keep"] = keep
	}
	if upTo > 0 {
		body["seq"] = upTo
	}
	c.request("STREAM.PURGE."+s.name, body, func(a *js.Answer) { s.removed(r, a) })
}

func (s *jsStream) removed(r *js.Removal, a *js.Answer) {
	if r.Outcome = js.OutcomeOf(a); a != nil && r.Outcome != js.Unknown {
		r.Return, r.Purged = a.At, a.Purged
		s.j.ops["js_removals"]++
	}
}

// batch publishes several messages as one.
func (s *jsStream) batch(c *jsClient, subjects []string, commit bool) {
	s.batchOf(c, subjects, commit, s.write)
}

// batchOf is batch with messages that write makes.
func (s *jsStream) batchOf(c *jsClient, subjects []string, commit bool, write func(*jsClient, string) *js.Write) {
	id := fmt.Sprintf("b%d-%s", c.w.rec.ids, c.name)
	var list []*js.Write
	for i, subject := range subjects {
		w := write(c, subject)
		w.Batch, w.BatchSeq, w.Size = id, i+1, 10+c.rnd.IntN(100)
		w.Commit = commit && i == len(subjects)-1
		list = append(list, w)
	}
	s.j.ops["js_batches"]++
	for i, w := range list {
		if !w.Commit {
			c.put(w.Subject, "", headersOf(w), bodyOf(w))
			continue
		}
		s.publish(c, w, func(a *js.Answer) {
			for k, part := range list[:i] {
				part.Outcome, part.Return, part.Err = w.Outcome, w.Return, w.Err
				if w.Outcome == js.OK {
					part.Seq = w.Seq - uint64(i-k)
					s.bySubj[part.Subject] = max(s.bySubj[part.Subject], part.Seq)
				}
			}
			if w.Outcome == js.OK && a.Count != len(list) {
				s.j.w.violate(js.Batch, "a batch of %d in stream %s was acknowledged with %d", len(list), s.name, a.Count)
			}
		})
	}
}

// read audits the stream: all its messages, and what it reports of itself. done is given
// nil when something did not answer.
func (s *jsStream) read(c *jsClient, direct bool, done func(*js.Audit)) {
	a := &js.Audit{At: c.w.rec.now()}
	known := uint64(0)
	var walk func(from uint64)
	finish := func() {
		c.request("STREAM.INFO."+s.name, nil, func(ans *js.Answer) {
			if ans == nil || ans.Err != 0 || ans.State == nil {
				done(nil)
				return
			}
			a.State = *ans.State
			if s.hist.Schedules && a.State.LastSeq > known { // what came since the last walk is walked too
				known = a.State.LastSeq
				from := uint64(1)
				if n := len(a.Msgs); n > 0 {
					from = a.Msgs[n-1].Seq + 1
				}
				walk(from)
				return
			}
			s.hist.FirstLast = append(s.hist.FirstLast, js.Bounds{First: a.State.FirstSeq, Last: a.State.LastSeq, Call: a.At, At: ans.At})
			done(a)
		})
		c.send()
	}
	walk = func(from uint64) {
		if direct {
			s.readDirect(c, from, a, finish, done)
		} else {
			s.readOne(c, from, a, finish, done)
		}
		c.send()
	}
	walk(1)
}

// stored is a message that was just read.
func (s *jsStream) stored(m *js.StoredMessage) js.Stored {
	id, intact, val := identify(m.Header, m.Data)
	fired := firingOf(m.Header)
	return js.Stored{
		Seq: m.Seq, Subject: m.Subject, Header: m.Header, ID: id, Intact: intact, Time: m.Time, Marker: isMarker(m.Header) || fired != nil, Read: s.j.serverNow(), Val: val,
		Fired: fired,
	}
}

// readOne reads message after message.
func (s *jsStream) readOne(c *jsClient, from uint64, a *js.Audit, finish func(), done func(*js.Audit)) {
	c.request("STREAM.MSG.GET."+s.name, map[string]any{"seq": from, "next_by_subj": ">"}, func(ans *js.Answer) {
		switch {
		case ans == nil || ans.Err != 0 && ans.Err != 10037:
			done(nil)
		case ans.Err == 10037:
			finish()
		default:
			a.Msgs = append(a.Msgs, s.stored(ans.Message))
			s.readOne(c, ans.Message.Seq+1, a, finish, done)
			c.send()
		}
	})
}

// readDirect reads in batches.
func (s *jsStream) readDirect(c *jsClient, from uint64, a *js.Audit, finish func(), done func(*js.Audit)) {
	const batch = 20
	text := fmt.Sprintf(`{"seq":%d,"batch":%d,"next_by_subj":">"}`, from, batch)
	got := 0
	c.call("$JS.API.DIRECT.GET."+s.name, nil, []byte(text), jsTimeout, func(r *jsReply) bool {
		switch {
		case r == nil || r.Status == 503:
			done(nil)
			return true
		case r.Status == 404:
			finish()
			return true
		case r.Status == 204:
			if got == 0 {
				finish()
			} else {
				s.readDirect(c, a.Msgs[len(a.Msgs)-1].Seq+1, a, finish, done)
				c.send()
			}
			return true
		case r.Status != 0:
			s.j.w.violate(js.APITruth, "a direct get of stream %s was answered with %d %s", s.name, r.Status, r.Text)
			done(nil)
			return true
		}
		m, ok := directMessage(r)
		if !ok {
			s.j.w.violate(js.APITruth, "a direct get of stream %s gave a message without what it should say: %q", s.name, r.Header)
			return false
		}
		got++
		a.Msgs = append(a.Msgs, s.stored(m))
		return false
	})
}

// serverNow is the server's wall clock.
func (j *jsWorld) serverNow() time.Time {
	if p := j.w.someProcess(); p != nil {
		j.wall = p.clock.Now()
	}
	return j.wall
}

// sampleWall notes how late the server's clock may have been.
func (j *jsWorld) sampleWall() {
	now := j.serverNow()
	for _, h := range j.hist.Streams {
		if now.After(h.WallMax) {
			h.WallMax = now
		}
	}
}
