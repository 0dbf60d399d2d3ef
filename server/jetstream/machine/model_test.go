package machine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// model is a stream as one would write it down: slow, and hardly possible to get wrong. Of
// several errors that apply it knows which come first only as far as a duplicate is concerned.
type model struct {
	cfg    *api.StreamConfig
	now    int64
	msgs   []modelMsg
	last   uint64
	lastID string
	ids    []modelID
}

type modelMsg struct {
	seq      uint64
	subject  string
	data     string
	time     int64
	deadline int64 // of its own TTL; 0 is none
	never    bool
	marker   bool
}

type modelID struct {
	id   string
	seq  uint64
	time int64
}

// publication is a message with what its headers say; "" is no such header.
type publication struct {
	subject, data, id, stream, expLast, expSubj, expOther, expID, rollup, ttl string
	purge                                                                     bool // KV-Operation: PURGE
}

func (p *publication) header() []byte {
	var b strings.Builder
	for _, h := range [...][2]string{
		{api.HdrMsgID, p.id}, {api.HdrExpectedStream, p.stream}, {api.HdrExpectedLastSeq, p.expLast},
		{api.HdrExpectedLastSubjSeq, p.expSubj}, {api.HdrExpectedLastSubjSeqSubj, p.expOther}, {api.HdrExpectedLastMsgID, p.expID},
		{api.HdrRollup, p.rollup}, {api.HdrTTL, p.ttl},
	} {
		if h[1] != "" {
			b.WriteString(h[0] + ": " + h[1] + "\r\n")
		}
	}
	if p.purge {
		b.WriteString("KV-Operation: PURGE\r\n")
	}
	if b.Len() == 0 {
		return nil
	}
	return []byte(api.HeaderLine + b.String() + "\r\n")
}

// verdictOf is what a publisher is to be told: one of the errors, or a duplicate, or that it is stored.
type verdictOf struct {
	errs      []int
	duplicate uint64
}

func (m *model) of(subj string) (list []modelMsg) {
	for _, g := range m.msgs {
		if g.subject == subj {
			list = append(list, g)
		}
	}
	return list
}

func (m *model) lastOf(subj string) uint64 {
	list := m.of(subj)
	if strings.Contains(subj, "*") {
		list = m.msgs
	}
	if len(list) == 0 {
		return 0
	}
	return list[len(list)-1].seq
}

func (m *model) known(id string) uint64 {
	for _, k := range m.ids {
		if k.id == id && m.now-k.time < int64(m.cfg.Duplicates) {
			return k.seq
		}
	}
	return 0
}

func (m *model) judge(p *publication, header int) verdictOf {
	var before, after []int // a duplicate is told of
	expectations := func(list *[]int) {
		if p.expSubj != "" {
			subj := p.subject
			if p.expOther != "" {
				subj = p.expOther
			}
			if p.expSubj != strconv.FormatUint(m.lastOf(subj), 10) {
				*list = append(*list, 10071)
			}
		} else if p.expOther != "" {
			*list = append(*list, 10193)
		}
		if p.expLast != "" && p.expLast != strconv.FormatUint(m.last, 10) {
			*list = append(*list, 10071)
		}
	}
	validTTL := p.ttl != "bad"
	if m.cfg.MaxMsgSize > 0 && header+len(p.data) > int(m.cfg.MaxMsgSize) {
		return verdictOf{errs: []int{10054}} // comes before whatever else is wrong
	}
	if p.stream != "" && p.stream != "S" {
		before = append(before, 10060)
	}
	if m.cfg.Replicas == 1 {
		if p.ttl != "" && validTTL && !m.cfg.AllowMsgTTL {
			before = append(before, 10166)
		}
		expectations(&before)
		if !validTTL {
			after = append(after, 10165)
		}
	} else {
		if p.ttl != "" && !m.cfg.AllowMsgTTL {
			before = append(before, 10166)
		} else if !validTTL {
			before = append(before, 10165)
		}
		expectations(&after)
	}
	if p.expID != "" && p.expID != m.lastID {
		after = append(after, 10070)
	}
	if p.rollup != "" && (!m.cfg.AllowRollup || p.rollup == "bad") {
		after = append(after, 10111)
	}
	if len(before) > 0 {
		return verdictOf{errs: before}
	}
	if p.id != "" {
		if seq := m.known(p.id); seq != 0 {
			return verdictOf{duplicate: seq}
		}
	}
	if m.full(p, header) {
		after = append(after, 10077)
	}
	return verdictOf{errs: after}
}

// full tells that a stream which discards new messages discards this one.
func (m *model) full(p *publication, header int) bool {
	if m.cfg.Discard != api.DiscardNew {
		return false
	}
	n := int64(len(m.of(p.subject)))
	replaces := m.cfg.MaxMsgsPer > 0 && n >= m.cfg.MaxMsgsPer
	if replaces && m.cfg.DiscardNewPer && p.rollup == "" {
		return true
	}
	return m.cfg.MaxMsgs > 0 && int64(len(m.msgs)) >= m.cfg.MaxMsgs && !replaces
}

func (m *model) remove(drop func(i int, g *modelMsg) bool) {
	i := -1
	m.msgs = slices.DeleteFunc(m.msgs, func(g modelMsg) bool { i++; return drop(i, &g) })
}

// store stores what was judged good.
func (m *model) store(p *publication, header int) uint64 {
	m.last++
	switch strings.ToLower(p.rollup) {
	case "all":
		m.msgs = nil
	case "sub":
		m.remove(func(_ int, g *modelMsg) bool { return g.subject == p.subject })
	}
	g := modelMsg{seq: m.last, subject: p.subject, data: p.data, time: m.now, marker: p.purge}
	if p.ttl != "" {
		if p.ttl == "never" {
			g.never = true
		} else {
			s, _ := strconv.Atoi(p.ttl)
			ttl := int64(s) * 1e9
			if m.cfg.MaxMsgsPer != 1 {
				ttl = max(ttl, int64(m.cfg.SubjectDeleteMarkerTTL))
			}
			g.deadline = m.now + ttl
		}
	}
	m.msgs = append(m.msgs, g)
	m.lastID = p.id
	if p.id != "" && m.cfg.Duplicates > 0 {
		m.ids = append(m.ids, modelID{p.id, m.last, m.now})
	}
	m.trim(p.subject)
	return m.last
}

func (m *model) trim(subj string) {
	if over := int64(len(m.of(subj))) - m.cfg.MaxMsgsPer; m.cfg.MaxMsgsPer > 0 && over > 0 {
		first := m.of(subj)[0].seq
		m.remove(func(_ int, g *modelMsg) bool { return g.seq == first })
	}
	if over := len(m.msgs) - int(m.cfg.MaxMsgs); m.cfg.MaxMsgs > 0 && over > 0 && m.cfg.Discard == api.DiscardOld {
		m.msgs = m.msgs[over:]
	}
}

func (m *model) expire() {
	var gone []modelMsg
	m.remove(func(_ int, g *modelMsg) bool {
		at := g.deadline
		if m.cfg.MaxAge > 0 && !g.never && (at == 0 || g.time+int64(m.cfg.MaxAge) < at) {
			at = g.time + int64(m.cfg.MaxAge)
		}
		if at == 0 || at > m.now {
			return false
		}
		gone = append(gone, *g)
		return true
	})
	if m.cfg.SubjectDeleteMarkerTTL <= 0 {
		return
	}
	for i, g := range gone {
		newer := slices.ContainsFunc(gone[i+1:], func(o modelMsg) bool { return o.subject == g.subject })
		p := publication{subject: g.subject}
		if newer || g.marker || len(m.of(g.subject)) > 0 || m.full(&p, 0) {
			continue
		}
		m.store(&p, 0)
		mark := &m.msgs[len(m.msgs)-1]
		mark.marker, mark.deadline = true, m.now+int64(m.cfg.SubjectDeleteMarkerTTL)
	}
}

// pair is the model, a machine that runs on, and one that is brought back from its snapshot all the time.
type pair struct {
	model  *model
	stores [2]msgs.Store
	ms     [2]*Machine
	said   [2]*answers
	// resumes counts what was left for later.
	resumes int
}

// answers are what a machine tells about an entry.
type answers struct {
	acks    []api.PubAck
	refused []api.Error
	order   []string
}

func (a *answers) Acked(_ int, k *api.PubAck)    { a.acks = append(a.acks, *k) }
func (a *answers) Refused(_ int, err *api.Error) { a.refused = append(a.refused, *err) }
func (a *answers) Stored(s *Stored)              { a.order = append(a.order, fmt.Sprint("+", s.Seq)) }
func (a *answers) Removed(seq uint64, _ string, _ int, _ msgs.Why) {
	a.order = append(a.order, fmt.Sprint("-", seq))
}

func (a *answers) Cleared() { a.order = append(a.order, "all") }

func newPair(cfg *api.StreamConfig, slice int) *pair {
	p := &pair{model: &model{cfg: cfg, now: 3600e9}}
	for i := range p.ms {
		p.stores[i] = &naiveStore{}
		if i == 0 {
			p.stores[i] = msgs.NewMemory(nil, msgs.Options{})
		}
		p.said[i] = &answers{}
		p.ms[i] = New(Options{Store: p.stores[i], Config: cfg, Effects: p.said[i], Slice: slice, Resume: func() { p.resumes++ }})
	}
	return p
}

// apply applies an entry to both, and restarts the second.
func (p *pair) apply(t *rapid.T, entry []byte) *answers {
	for i, m := range p.ms {
		*p.said[i] = answers{}
		for p.resumes = 0; !m.Apply(entry); p.resumes-- {
			require.Equal(t, 1, p.resumes, "it says that it can go on")
			require.True(t, m.Halfway())
		}
		require.False(t, m.Halfway())
		require.NoError(t, m.Err(), "machine %d", i)
	}
	snapshot, hash := p.ms[1].Snapshot(), p.ms[1].Hash()
	p.ms[1] = New(Options{Store: p.stores[1], Config: p.model.cfg, Effects: p.said[1]})
	if err := p.ms[1].Restore(snapshot); err != nil {
		t.Fatal(err)
	}
	require.Equal(t, p.said[0], p.said[1], "both told the same")
	require.Equal(t, hash, p.ms[1].Hash())
	require.Equal(t, p.ms[0].Hash(), p.ms[1].Hash())
	require.Equal(t, p.ms[0].Snapshot(), p.ms[1].Snapshot())
	return p.said[0]
}

// check compares what is stored with the model.
func (p *pair) check(t *rapid.T) {
	for i, st := range p.stores {
		state := st.State()
		require.Equal(t, p.model.last, state.Last, "store %d", i)
		require.Equal(t, uint64(len(p.model.msgs)), state.Msgs, "store %d", i)
		for _, want := range p.model.msgs {
			got, found := st.Load(want.seq)
			require.Equal(t, msgs.Cached, found, "store %d, sequence %d", i, want.seq)
			require.Equal(t, want.subject, got.Subject)
			require.Equal(t, want.data, string(got.Data))
		}
	}
}

func drawConfig(t *rapid.T) *api.StreamConfig {
	pick := func(name string, of ...int64) int64 { return rapid.SampledFrom(of).Draw(t, name) }
	return testConfig(func(c *api.StreamConfig) {
		c.Replicas = int(pick("replicas", 1, 3))
		c.MaxMsgs, c.MaxMsgsPer = pick("max_msgs", -1, 4), pick("per subject", -1, 1, 2)
		c.MaxMsgSize = int32(pick("max_msg_size", -1, 60))
		c.Duplicates = durationOf(pick("window", 0, 2, 10))
		c.MaxAge = durationOf(pick("age", 0, 5))
		c.AllowMsgTTL = rapid.Bool().Draw(t, "ttl")
		c.AllowRollup = rapid.Bool().Draw(t, "rollup")
		c.AllowAtomicPublish = true
		if c.AllowMsgTTL && c.AllowRollup {
			c.SubjectDeleteMarkerTTL = durationOf(pick("marker", 0, 2))
		}
		if rapid.Bool().Draw(t, "discard new") {
			c.Discard = api.DiscardNew
			c.DiscardNewPer = c.MaxMsgsPer > 0 && rapid.Bool().Draw(t, "per")
		}
	})
}

func drawPublication(t *rapid.T, m *model) publication {
	maybe := func(name string, of ...string) string {
		if rapid.IntRange(0, 3).Draw(t, name+"?") > 0 {
			return ""
		}
		return rapid.SampledFrom(of).Draw(t, name)
	}
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	p := publication{
		subject: rapid.SampledFrom([]string{"s.a", "s.b", "s.c"}).Draw(t, "subject"),
		data:    rapid.SampledFrom([]string{"", "x", "0123456789"}).Draw(t, "data"),
	}
	if rapid.Bool().Draw(t, "headers") {
		p.id = maybe("id", "1", "2", "3")
		p.stream = maybe("stream", "S", "S", "T")
		p.expLast = maybe("last", number(m.last), number(m.last), number(m.last+1))
		p.expOther = maybe("other", "s.a", "s.b", "s.*")
		subj := p.subject
		if p.expOther != "" {
			subj = p.expOther
		}
		p.expSubj = maybe("last of subject", "0", number(m.lastOf(subj)), number(m.lastOf(subj)))
		p.expID = maybe("last id", m.lastID, "1")
		p.rollup = maybe("rollup", "sub", "SUB", "all", "bad")
		p.ttl = maybe("ttl", "1", "4", "never", "bad")
		p.purge = maybe("purge", "yes") != ""
	}
	return p
}

func TestMachineAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := newPair(drawConfig(t), rapid.IntRange(0, 3).Draw(t, "slice"))
		m := p.model
		var b Builder
		batches := 0
		t.Repeat(map[string]func(*rapid.T){
			"publish": func(t *rapid.T) {
				pub := drawPublication(t, m)
				header := pub.header()
				want := m.judge(&pub, len(header))
				b.Begin(nil, m.now)
				b.Add([]byte(pub.subject), header, []byte(pub.data), Verdict{})
				got := p.apply(t, b.Bytes())
				p.compare(t, &pub, header, want, got)
			},
			"batch": func(t *rapid.T) {
				batches++
				p.batch(t, fmt.Sprint("b", batches))
			},
			"delete": func(t *rapid.T) {
				seq := rapid.Uint64Range(1, m.last+1).Draw(t, "seq")
				p.apply(t, EncodeDelete(nil, m.now, seq, true))
				n := len(m.msgs)
				m.remove(func(_ int, g *modelMsg) bool { return g.seq == seq })
				require.Equal(t, uint64(n-len(m.msgs)), p.ms[0].Result().Count)
				require.Equal(t, n == len(m.msgs), p.ms[0].Result().Err != nil)
			},
			"purge": func(t *rapid.T) {
				filter := rapid.SampledFrom([]string{"", "s.a", "s.*"}).Draw(t, "filter")
				keep := rapid.Uint64Range(0, 2).Draw(t, "keep")
				before := uint64(0)
				if keep == 0 {
					before = rapid.Uint64Range(0, m.last+1).Draw(t, "before")
				}
				p.apply(t, EncodePurge(nil, m.now, filter, before, keep))
				var hit []uint64
				for _, g := range m.msgs {
					if (filter != "s.a" || g.subject == "s.a") && (before == 0 || g.seq < before) {
						hit = append(hit, g.seq)
					}
				}
				hit = hit[:max(0, len(hit)-int(keep))]
				m.remove(func(_ int, g *modelMsg) bool { return slices.Contains(hit, g.seq) })
				require.Equal(t, uint64(len(hit)), p.ms[0].Result().Count)
			},
			"limits": func(t *rapid.T) {
				cfg := *m.cfg
				cfg.MaxMsgs, cfg.MaxMsgsPer = rapid.SampledFrom([]int64{-1, 1, 2, 4}).Draw(t, "msgs"), rapid.SampledFrom([]int64{-1, 1, 2}).Draw(t, "per subject")
				cfg.DiscardNewPer = cfg.DiscardNewPer && cfg.MaxMsgsPer > 0
				if cfg.Discard == api.DiscardNew && cfg.MaxMsgs > 0 { // which removes nothing
					cfg.MaxMsgs = max(cfg.MaxMsgs, int64(len(m.msgs)))
				}
				m.cfg = &cfg
				p.apply(t, EncodeConfig(nil, m.now, &cfg))
				of := map[string]int64{}
				for i := len(m.msgs) - 1; i >= 0; i-- {
					subj := m.msgs[i].subject
					if of[subj]++; cfg.MaxMsgsPer > 0 && of[subj] > cfg.MaxMsgsPer {
						m.remove(func(j int, _ *modelMsg) bool { return j == i })
					}
				}
				if n := len(m.msgs) - int(cfg.MaxMsgs); cfg.MaxMsgs > 0 && n > 0 {
					m.remove(func(i int, _ *modelMsg) bool { return i < n })
				}
			},
			"wait": func(t *rapid.T) {
				m.now += int64(rapid.SampledFrom([]int{1, 1000, 2000, 5000}).Draw(t, "ms")) * 1e6
				p.apply(t, EncodeExpire(nil, m.now))
				m.expire()
			},
			"": p.check,
		})
	})
}

func (p *pair) compare(t *rapid.T, pub *publication, header []byte, want verdictOf, got *answers) {
	switch {
	case len(want.errs) > 0:
		require.Len(t, got.refused, 1)
		require.Contains(t, want.errs, got.refused[0].ErrCode, got.refused[0].Description)
	case want.duplicate != 0:
		require.Equal(t, []api.PubAck{{Stream: "S", Sequence: want.duplicate, Duplicate: true}}, got.acks)
	default:
		require.Empty(t, got.refused)
		seq := p.model.store(pub, len(header))
		require.Equal(t, []api.PubAck{{Stream: "S", Sequence: seq}}, got.acks)
		require.Contains(t, got.order, fmt.Sprint("+", seq))
		require.Equal(t, fmt.Sprint("+", seq), got.order[0], "a message is stored before limits remove others")
	}
}

// batch commits a batch: all of it is stored, or nothing.
func (p *pair) batch(t *rapid.T, id string) {
	m := p.model
	staging := NewStaging(BatchLimits{}, &OpenBatches{})
	n := rapid.IntRange(1, 4).Draw(t, "messages")
	var pubs []publication
	bad := map[int]bool{}
	ids, subjects, fresh := map[string]bool{}, map[string]int64{}, int64(0)
	var out Outcome
	for i := range n {
		pub := publication{subject: rapid.SampledFrom([]string{"s.a", "s.b", "s.c"}).Draw(t, "subject"), data: fmt.Sprint(i)}
		if rapid.Bool().Draw(t, "id?") {
			pub.id = rapid.SampledFrom([]string{"1", "2", "3", "4", "5"}).Draw(t, "id")
			if ids[pub.id] || m.known(pub.id) != 0 {
				bad[10201] = true
			}
			ids[pub.id] = true
		}
		if rapid.IntRange(0, 3).Draw(t, "expect?") == 0 {
			pub.expSubj = strconv.FormatUint(m.lastOf(pub.subject), 10)
			if subjects[pub.subject] > 0 {
				bad[10164] = true
			}
		}
		if rapid.IntRange(0, 3).Draw(t, "rollup?") == 0 {
			pub.rollup = "sub"
			if !m.cfg.AllowRollup || subjects[pub.subject] > 0 {
				bad[10111] = true
			}
		}
		full := m.cfg.MaxMsgsPer > 0 && int64(len(m.of(pub.subject)))+subjects[pub.subject] >= m.cfg.MaxMsgsPer
		if full && m.cfg.DiscardNewPer && pub.rollup == "" {
			bad[10077] = true
		}
		if !full {
			fresh++
		}
		subjects[pub.subject]++
		header := pub.header()
		if header == nil {
			header = []byte(api.HeaderLine + "\r\n")
		}
		batch := fmt.Sprintf("Nats-Batch-Id: %s\r\nNats-Batch-Sequence: %d\r\n", id, i+1)
		if i == n-1 {
			batch += "Nats-Batch-Commit: 1\r\n"
		}
		header = append([]byte(api.HeaderLine+batch), header[len(api.HeaderLine):]...)
		if m.cfg.MaxMsgSize > 0 {
			t.Skip("messages of a batch have large headers")
		}
		pubs = append(pubs, pub)
		var h api.PublishHeaders
		h.Parse(header)
		out = staging.Add(nil, m.now, m.cfg, &Arrival{Subject: []byte(pub.subject), Header: header, Data: []byte(pub.data), Headers: &h}, 0)
		require.Nil(t, out.Err)
	}
	if m.cfg.Discard == api.DiscardNew && m.cfg.MaxMsgs > 0 && int64(len(m.msgs))+fresh > m.cfg.MaxMsgs && fresh > 0 {
		bad[10077] = true
	}
	got := p.apply(t, out.Commit)
	if len(bad) > 0 {
		require.Len(t, got.refused, 1)
		require.True(t, bad[got.refused[0].ErrCode], "%d %s, of %v", got.refused[0].ErrCode, got.refused[0].Description, bad)
		require.Empty(t, got.order)
		return
	}
	require.Empty(t, got.refused)
	for i := range pubs {
		m.store(&pubs[i], 0)
	}
	require.Equal(t, []api.PubAck{{Stream: "S", Sequence: m.last, BatchId: id, BatchSize: uint64(n)}}, got.acks)
}
