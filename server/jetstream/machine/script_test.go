package machine

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/subject"
	"github.com/lockstepmq/lockstep/server/test/scripts"
	"github.com/lockstepmq/lockstep/storage/msgs"
	"github.com/stretchr/testify/require"
)

// script runs the commands of testdata/*.txt. A command is a line; what it brings about follows
// "----". Words are separated by blanks; "Name: value" headers stand in brackets.
type script struct {
	t       *testing.T
	out     *strings.Builder
	store   msgs.Store
	naive   *naiveStore // store, unless a real one is tried
	real    bool
	m       *Machine
	now     int64
	want    []string // filters of consumers
	resumed bool
	builder Builder
	staging *Staging
	fast    *FastBatches
	total   OpenBatches
	sources SourceBuilder
	copies  Copies
	flying  []flying // of fast batches
	hold    bool     // fast messages are not applied at once
}

// flying is a message of a fast batch that is proposed.
type flying struct {
	a     FastAnswer
	entry []byte
	reply []byte
}

func (s *script) printf(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *script) Acked(i int, a *api.PubAck) { s.printf("ack %d %s", i, a.AppendJSON(nil)) }
func (s *script) Refused(i int, err *api.Error) {
	s.printf("refused %d %d %s", i, err.ErrCode, err.Description)
}
func (s *script) Stored(m *Stored) {
	s.printf("stored %d at %s %s %s%s", m.Seq, time.Duration(m.Time), m.Subject, headerText(m.Header), dataText(m.Data))
}
func (s *script) Removed(seq uint64, subj string, size int, why msgs.Why) {
	s.printf("removed %d %s by %s", seq, subj, [...]string{"limit", "age", "delete", "purge", "ack"}[why])
}

func (s *script) Cleared() { s.printf("cleared") }

func (s *script) Wanted(subj []byte) bool {
	for _, w := range s.want {
		if subject.Matches(subj, w) {
			return true
		}
	}
	return false
}

func headerText(h []byte) string {
	if len(h) == 0 {
		return ""
	}
	text := strings.TrimSuffix(strings.TrimPrefix(string(h), api.HeaderLine), "\r\n\r\n")
	if len(text) > 500 {
		return fmt.Sprintf("[%d bytes] ", len(h))
	}
	return "[" + strings.ReplaceAll(text, "\r\n", "; ") + "] "
}

func dataText(d []byte) string {
	if len(d) > 60 {
		return fmt.Sprintf("(%d bytes)", len(d))
	}
	return string(d)
}

// line is a command in parts: words, a header block, and what follows it.
type line struct {
	words  []string
	header []byte
	data   []byte
}

func parseLine(text string) line {
	var l line
	head, rest, hasHeader := strings.Cut(text, "[")
	if hasHeader {
		block, data, _ := strings.Cut(rest, "]")
		l.header = []byte(api.HeaderLine)
		for h := range strings.SplitSeq(block, "; ") {
			l.header = append(append(l.header, h...), "\r\n"...)
		}
		l.header = append(l.header, "\r\n"...)
		l.data = sizedData([]byte(strings.TrimSpace(data)))
		l.words = strings.Fields(head)
		return l
	}
	l.words = strings.Fields(head)
	for i, w := range l.words {
		if data, ok := strings.CutPrefix(w, "="); ok {
			l.data = []byte(data)
			l.words = l.words[:i]
			break
		}
	}
	l.data = sizedData(l.data)
	return l
}

// sizedData is as many bytes as "bytes:n" says, or what it is given.
func sizedData(data []byte) []byte {
	if n, ok := strings.CutPrefix(string(data), "bytes:"); ok {
		size, _ := strconv.Atoi(n)
		return make([]byte, size)
	}
	return data
}

func (l *line) word(i int) string {
	if i < len(l.words) {
		return l.words[i]
	}
	return ""
}

func (l *line) number(i int) uint64 {
	n, _ := strconv.ParseUint(l.word(i), 10, 64)
	return n
}

func (s *script) run(text string) {
	cmd, rest, _ := strings.Cut(text, " ")
	switch cmd {
	case "stream":
		s.create(rest)
	case "update":
		cfg := s.m.Config().Clone()
		require.NoError(s.t, json.Unmarshal([]byte(rest), cfg))
		s.apply(EncodeConfig(nil, s.now, cfg))
	case "wait":
		d, err := time.ParseDuration(rest)
		require.NoError(s.t, err)
		s.now += int64(d)
		s.due()
	case "consumers":
		s.want = strings.Fields(rest)
	case "state":
		st := s.store.State()
		s.printf("msgs=%d bytes=%d first=%d last=%d deadline=%s", st.Msgs, st.Bytes, st.First, st.Last, time.Duration(s.m.Deadline()))
	case "cold":
		s.naive.cold = rest == "on"
	case "restart":
		s.restart()
	default:
		l := parseLine(rest)
		s.message(cmd, &l)
	}
}

func (s *script) create(text string) {
	cfg := testConfig(nil)
	require.NoError(s.t, json.Unmarshal([]byte(text), cfg))
	s.naive = &naiveStore{}
	s.store = s.naive
	if s.real {
		s.store = msgs.NewMemory(nil, msgs.Options{})
	}
	s.now, s.want = int64(time.Hour), nil
	s.m = s.machine(cfg)
	s.staging = NewStaging(BatchLimits{Msgs: 5, AtomicPerStream: 2, Bytes: 1000}, &s.total)
	s.fast = NewFastBatches(BatchLimits{FastPerStream: 2}, &s.total, 1000)
	s.hold, s.flying = false, nil
}

func (s *script) machine(cfg *api.StreamConfig) *Machine {
	return New(Options{Store: s.store, Config: cfg, Effects: s, Interest: s, Resume: func() { s.resumed = true }})
}

// restart brings the machine back from its snapshot.
func (s *script) restart() {
	snapshot, hash, cfg := s.m.Snapshot(), s.m.Hash(), s.m.Config()
	if !s.real {
		s.naive = s.naive.clone()
		s.store = s.naive
	}
	s.m = s.machine(cfg)
	require.NoError(s.t, s.m.Restore(snapshot))
	require.Equal(s.t, hash, s.m.Hash())
	require.Equal(s.t, snapshot, s.m.Snapshot())
}

func (s *script) apply(entry []byte) {
	for !s.m.Apply(entry) {
		s.printf("waits")
		s.resumed = false
		s.naive.answer()
		require.True(s.t, s.resumed)
	}
	require.NoError(s.t, s.m.Err())
}

// due proposes what is due.
func (s *script) due() {
	for range 100 {
		entry := s.m.Due(nil, s.now, func() {})
		if entry == nil && len(s.naive.fetches) > 0 {
			s.naive.answer()
			continue
		}
		if entry == nil {
			break
		}
		s.apply(entry)
	}
	s.staging.Expire(s.now)
	s.abandoned()
	s.fast.Expire(s.now)
}

func (s *script) abandoned() {
	for _, a := range s.staging.TakeAbandoned() {
		s.printf("abandoned %s %s", a.ID, a.Reason)
	}
}

func (s *script) verdict(header []byte) Verdict {
	var h api.PublishHeaders
	h.Parse(header)
	return Verdict{Schedule: JudgeSchedule(&h, s.now)}
}

func (s *script) message(cmd string, l *line) {
	v := s.verdict(l.header)
	switch cmd {
	case "pub", "pub-account", "pub-tier", "pub-server", "pub-payload20", "pub-header":
		if cmd == "pub-header" { // as many bytes as the second word says
			l.header = []byte(api.HeaderLine + "A: " + strings.Repeat("x", int(l.number(1))-len(api.HeaderLine+"A: \r\n\r\n")) + "\r\n\r\n")
		}
		v.Limits = map[string]LeaderLimits{"pub-account": AccountExceeded, "pub-tier": NoTier, "pub-server": ServerExceeded}[cmd]
		s.builder.MaxPayload = 0
		if cmd == "pub-payload20" {
			s.builder.MaxPayload = 20
		}
		s.builder.Begin(nil, s.now)
		s.builder.Add([]byte(l.word(0)), l.header, l.data, v)
		s.apply(s.builder.Bytes())
	case "batch":
		s.batch(l, v)
	case "fast":
		s.fastMessage(l, v)
	case "hold":
		s.hold = true
	case "land":
		s.hold = false
		landing := s.flying
		s.flying = nil
		for _, f := range landing {
			s.land(f)
		}
	case "delete":
		s.apply(EncodeDelete(nil, s.now, l.number(0), true))
		s.result()
	case "purge":
		s.apply(EncodePurge(nil, s.now, strings.Trim(l.word(0), `"`), l.number(1), l.number(2)))
		s.result()
	case "copy", "restore":
		s.copies.Begin(nil, s.now)
		s.copies.Add(&Copy{Seq: l.number(0), Time: int64(l.number(1)) * 1e9, Subject: []byte(l.word(2)), Header: l.header, Data: l.data,
			Restored: cmd == "restore", Schedule: v.Schedule})
		s.apply(s.copies.Bytes())
	case "skip":
		s.apply(EncodeSkip(nil, s.now, l.number(0)))
	case "source": // name after seq subject
		s.sources.Begin(nil, s.now)
		src := s.m.Config().Sources[l.number(0)]
		s.sources.Add(&Sourced{Source: src, After: l.number(1), Seq: l.number(2), Identity: "ID", Origin: []byte(l.word(3)), Subject: []byte(l.word(3)),
			Header: l.header, Data: l.data, Verdict: v})
		s.apply(s.sources.Bytes())
		seq, _, _ := s.m.SourcePosition(SourceKey(src))
		s.printf("position %d", seq)
	default:
		s.t.Fatalf("command %q is not known", cmd)
	}
}

func (s *script) result() {
	if r := s.m.Result(); r.Err != nil {
		s.printf("error %d %s", r.Err.ErrCode, r.Err.Description)
	} else {
		s.printf("done %d", r.Count)
	}
}

func (s *script) arrival(l *line, v Verdict, h *api.PublishHeaders) *Arrival {
	h.Parse(l.header)
	return &Arrival{Subject: []byte(l.word(0)), Header: l.header, Data: l.data, Headers: h, Verdict: v}
}

func (s *script) batch(l *line, v Verdict) {
	var h api.PublishHeaders
	o := s.staging.Add(nil, s.now, s.m.Config(), s.arrival(l, v, &h), 0)
	switch {
	case o.Err != nil:
		s.Refused(0, o.Err)
	case o.Commit != nil:
		s.apply(o.Commit)
	default:
		s.printf("staged")
	}
	s.abandoned()
}

// fastMessage publishes a message of a fast batch: subject, then the reply subject's middle.
func (s *script) fastMessage(l *line, v Verdict) {
	var h api.PublishHeaders
	reply := []byte("inbox." + l.word(1) + ".$FI")
	a := s.fast.Add(nil, s.now, s.m.Config(), s.arrival(l, v, &h), reply)
	s.answer(&a, reply)
	if !a.Store {
		return
	}
	v.Chain = a.Chain
	s.builder.Begin(nil, s.now)
	s.builder.Add([]byte(l.word(0)), l.header, l.data, v)
	f := flying{a, s.builder.Bytes(), reply}
	if s.hold {
		s.flying = append(s.flying, f)
		return
	}
	s.land(f)
}

func (s *script) land(f flying) {
	c := &capture{}
	s.m.effects = c
	s.apply(f.entry)
	s.m.effects = s
	var a FastAnswer
	if c.err != nil {
		a = s.fast.Refused(nil, f.a.Batch, f.a.Seq, c.err, f.reply)
	} else {
		a = s.fast.Stored(nil, f.a.Batch, f.a.Seq, c.seq)
	}
	s.answer(&a, f.reply)
}

func (s *script) answer(a *FastAnswer, reply []byte) {
	name := strings.TrimSuffix(strings.TrimPrefix(string(reply), "inbox."), ".$FI")
	if a.Err != nil {
		s.printf("%s <- %s", name, api.AppendPubAckError(nil, "S", a.Err))
	}
	for _, body := range [][]byte{a.Body, a.Then} {
		if len(body) > 0 {
			s.printf("%s <- %s", name, body)
		}
	}
	if a.Final {
		a.Ack.Stream = "S"
		s.printf("%s <- %s", strings.TrimSuffix(strings.TrimPrefix(string(a.Reply), "inbox."), ".$FI"), a.Ack.AppendJSON(nil))
	}
}

// capture keeps what became of one message.
type capture struct {
	seq uint64
	err *api.Error
}

func (c *capture) Acked(_ int, a *api.PubAck)            { c.seq = a.Sequence }
func (c *capture) Refused(_ int, err *api.Error)         { c.err = err }
func (c *capture) Stored(*Stored)                        {}
func (c *capture) Removed(uint64, string, int, msgs.Why) {}
func (c *capture) Cleared()                              {}

func TestScripts(t *testing.T) {
	scripts.Run(t, "testdata/*.txt", func(t *testing.T, text string) string {
		printed := runScript(t, text, false)
		// On a real store it is the same, but that nothing has to be waited for.
		require.Equal(t, strings.ReplaceAll(printed, "waits\n", ""), runScript(t, text, true))
		return printed
	})
}

// runScript gives the script with the output that it has now.
func runScript(t *testing.T, text string, real bool) string {
	s := &script{t: t, real: real}
	return scripts.Blocks(text, func(in string) string {
		s.out = &strings.Builder{}
		for line := range scripts.Commands(in) {
			s.run(line)
		}
		return s.out.String()
	})
}
