package api

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// corpus is what an official server answered to one base configuration, to that with one
// of a set of mutations, and with two of them at once: which error comes first. A pair's result
// is the name of the mutation whose own result it is, or a text.
type corpus struct {
	Base      map[string]json.RawMessage            `json:"base"`
	Mutations map[string]map[string]json.RawMessage `json:"mutations"`
	Single    map[string]string                     `json:"single"`
	Pedantic  map[string]string                     `json:"pedantic"`
	Pairs     map[string]string                     `json:"pairs"`
	Streams   []json.RawMessage                     `json:"streams"`
	Stream    json.RawMessage                       `json:"stream"` // of consumers
	Others    [][]string                            `json:"others"` // filters of its consumers
	Limits    struct{ Server, Account, Batch int }  `json:"limits"`
	Accepted  []accepted                            `json:"accepted"`
}

// accepted is a configuration as it was asked for, and as it was then shown.
type accepted struct {
	Req      json.RawMessage `json:"req"`
	Config   json.RawMessage `json:"config"`
	Pedantic bool            `json:"pedantic"`
}

func readCorpus(t *testing.T, name string) *corpus {
	t.Helper()
	c := &corpus{}
	readJSON(t, name, c)
	return c
}

// readJSON reads a file under testdata.
func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(expandLong(data), v))
}

// expandLong writes out "x*5000".
func expandLong(data []byte) []byte {
	for {
		i := bytes.Index(data, []byte(`"x*`))
		if i < 0 {
			return data
		}
		end := i + 3 + bytes.IndexByte(data[i+3:], '"')
		n, err := strconv.Atoi(string(data[i+3 : end]))
		if err != nil {
			panic(err)
		}
		data = bytes.Join([][]byte{data[:i+1], bytes.Repeat([]byte("x"), n), data[end:]}, nil)
	}
}

// body is the base with mutations, as JSON. null takes a field away.
func (c *corpus) body(names ...string) []byte {
	m := make(map[string]json.RawMessage)
	for k, v := range c.Base {
		m[k] = v
	}
	for _, name := range names {
		for k, v := range c.Mutations[name] {
			m[k] = v
		}
	}
	for k, v := range m {
		if string(v) == "null" {
			delete(m, k)
		}
	}
	b, err := json.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// check compares every answer with that of judge.
func (c *corpus) check(t *testing.T, judge func(body []byte, pedantic bool) *Error) {
	t.Helper()
	result := func(e *Error) string {
		if e == nil {
			return "ok"
		}
		return fmt.Sprintf("%d %s", e.ErrCode, e.Description)
	}
	bad := 0
	compare := func(what, want string, got *Error) {
		if result(got) != want {
			if bad++; bad <= 40 {
				t.Errorf("%s: got %q, want %q", what, result(got), want)
			}
		}
	}
	for _, name := range sorted(c.Single) {
		compare(name, c.Single[name], judge(c.body(name), false))
	}
	for _, name := range sorted(c.Pedantic) {
		compare("pedantic "+name, c.Pedantic[name], judge(c.body(name), true))
	}
	for _, pair := range sorted(c.Pairs) {
		a, b, _ := strings.Cut(pair, "+")
		want := c.Pairs[pair]
		if single, ok := c.Single[want]; ok {
			want = single
		}
		compare(pair, want, judge(c.body(a, b), false))
	}
	require.NotEmpty(t, c.Single)
	if bad > 0 {
		t.Errorf("%d of %d differ", bad, len(c.Single)+len(c.Pedantic)+len(c.Pairs))
	}
}

func sorted[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// account are the streams that a corpus was recorded beside.
type account []*StreamConfig

func (a account) find(name string) *StreamConfig {
	for _, s := range a {
		if s.Name == name {
			return s
		}
	}
	return nil
}

// overlaps is what a server asks at last.
func (a account) overlaps(c *StreamConfig) bool {
	for _, s := range a {
		if s.Name != c.Name && SubjectsOverlap(s.Subjects, c.Subjects) {
			return true
		}
	}
	return false
}

func (c *corpus) account(t *testing.T) account {
	t.Helper()
	var a account
	for _, raw := range c.Streams {
		s := &StreamConfig{}
		require.Nil(t, DecodeStrict(raw, s))
		done, err := CheckStreamCreate(s, StreamLimits{Find: a.find}, false)
		require.Nil(t, err)
		a = append(a, done)
	}
	return a
}

func TestStreamCreateErrorsAsRecorded(t *testing.T) {
	c := readCorpus(t, "stream_create.json")
	a := c.account(t)
	c.check(t, func(body []byte, pedantic bool) *Error {
		r := &StreamConfigRequest{}
		if err := DecodeStrict(body, r); err != nil {
			return err
		}
		s, err := CheckStreamCreate(&r.StreamConfig, StreamLimits{Find: a.find}, pedantic)
		if err != nil {
			return err
		}
		if a.overlaps(s) {
			return ErrStreamSubjectOverlap
		}
		return nil
	})
}

func TestStreamDefaultsAsRecorded(t *testing.T) {
	a := readCorpus(t, "stream_create.json").account(t)
	eachLine(t, "stream_accepted.jsonl", func(line []byte) {
		var x accepted
		require.NoError(t, json.Unmarshal(line, &x))
		r := &StreamConfigRequest{}
		require.Nil(t, DecodeStrict(x.Req, r))
		s, err := CheckStreamCreate(&r.StreamConfig, StreamLimits{Find: a.find}, x.Pedantic)
		require.Nil(t, err, "%s", x.Req)
		require.Equal(t, compact(t, x.Config), string(Marshal(s)), "%s", x.Req)
	})
}

// compact is JSON without blanks, escaped for HTML.
func compact(t *testing.T, raw []byte) string {
	t.Helper()
	var b, h bytes.Buffer
	require.NoError(t, json.Compact(&b, raw))
	json.HTMLEscape(&h, b.Bytes())
	return h.String()
}

// eachLine visits the lines of a file under testdata.
func eachLine(t *testing.T, name string, visit func(line []byte)) {
	t.Helper()
	data, err := os.ReadFile("testdata/" + name)
	require.NoError(t, err)
	s := bufio.NewScanner(bytes.NewReader(expandLong(data)))
	s.Buffer(nil, 1<<20)
	n := 0
	for s.Scan() {
		visit(s.Bytes())
		n++
	}
	require.NoError(t, s.Err())
	require.NotZero(t, n)
}

func TestConsumerCreateAsRecorded(t *testing.T) {
	for _, name := range []string{
		"create", "push", "stream_limits", "workqueue", "workqueue_all", "workqueue_some", "interest",
		"server_limits", "account_limits",
	} {
		t.Run(name, func(t *testing.T) {
			c := readCorpus(t, "consumer_"+name+".json")
			stream := &StreamConfig{}
			require.Nil(t, DecodeStrict(c.Stream, stream))
			stream, err := CheckStreamCreate(stream, StreamLimits{}, false)
			require.Nil(t, err)
			judge := func(body []byte, pedantic bool) (*ConsumerConfig, *Error) {
				r := &CreateConsumerRequest{Stream: stream.Name, Pedantic: pedantic}
				if err := DecodeStrict(body, &r.Config); err != nil {
					return nil, err
				}
				if err := CheckConsumerRequest(stream.Name, "cz", "", false, r); err != nil {
					return nil, err
				}
				l := ConsumerServerLimits{MaxAckPending: c.Limits.Server, AccountMaxAckPending: c.Limits.Account, MaxRequestBatch: c.Limits.Batch}
				cfg, err := CheckConsumerConfig(&r.Config, stream, l, pedantic)
				if err != nil {
					return nil, err
				}
				return cfg, CheckConsumerFilters(cfg, stream, c.Others)
			}
			c.check(t, func(body []byte, pedantic bool) *Error {
				_, err := judge(body, pedantic)
				return err
			})
			for _, x := range c.Accepted {
				cfg, err := judge(x.Req, x.Pedantic)
				require.Nil(t, err, "%s", x.Req)
				require.Equal(t, compact(t, x.Config), string(Marshal(cfg)), "%s", x.Req)
			}
		})
	}
}

func TestStreamUpdateAsRecorded(t *testing.T) {
	var file struct{ Cases []*corpus }
	readJSON(t, "stream_update.json", &file)
	a := readCorpus(t, "stream_create.json").account(t)
	a = append(a, &StreamConfig{Name: "EX2", Subjects: []string{"taken.>"}})
	for i, c := range file.Cases {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			l := StreamLimits{Find: a.find}
			was := &StreamConfig{}
			require.Nil(t, DecodeStrict(c.body(), was))
			was, err := CheckStreamCreate(was, l, false)
			require.Nil(t, err)
			judge := func(body []byte, pedantic bool) (*StreamConfig, *Error) {
				next := &StreamConfig{}
				if err := DecodeStrict(body, next); err != nil {
					return nil, err
				}
				next, err := CheckStreamUpdate(was, next, l, pedantic)
				if err == nil && a.overlaps(next) {
					err = ErrStreamSubjectOverlap
				}
				return next, err
			}
			c.check(t, func(body []byte, pedantic bool) *Error {
				_, err := judge(body, pedantic)
				return err
			})
			for _, x := range c.Accepted {
				next, err := judge(x.Req, false)
				require.Nil(t, err, "%s", x.Req)
				require.Equal(t, compact(t, x.Config), string(Marshal(next)), "%s", x.Req)
			}
		})
	}
}

func TestConsumerUpdateAsRecorded(t *testing.T) {
	var file struct {
		Stream json.RawMessage
		Cases  []*corpus
	}
	readJSON(t, "consumer_update.json", &file)
	stream := &StreamConfig{}
	require.Nil(t, DecodeStrict(file.Stream, stream))
	stream, err := CheckStreamCreate(stream, StreamLimits{}, false)
	require.Nil(t, err)
	for i, c := range file.Cases {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			read := func(body []byte, pedantic bool) (*ConsumerConfig, *Error) {
				r := &CreateConsumerRequest{Stream: stream.Name}
				if err := DecodeStrict(body, &r.Config); err != nil {
					return nil, err
				}
				if err := CheckConsumerRequest(stream.Name, "cz", "", false, r); err != nil {
					return nil, err
				}
				return CheckConsumerConfig(&r.Config, stream, ConsumerServerLimits{}, pedantic)
			}
			was, err := read(c.body(), false)
			require.Nil(t, err)
			judge := func(body []byte, pedantic bool) (*ConsumerConfig, *Error) {
				next, err := read(body, pedantic)
				if err != nil {
					return nil, err
				}
				if !was.Direct && next.Direct && next.Sourcing {
					return next, nil // it gets a name of its own, and is new
				}
				return next, CheckConsumerUpdate(was, next)
			}
			c.check(t, func(body []byte, pedantic bool) *Error {
				_, err := judge(body, pedantic)
				return err
			})
			for _, x := range c.Accepted {
				next, err := judge(x.Req, false)
				require.Nil(t, err, "%s", x.Req)
				require.Equal(t, compact(t, x.Config), string(Marshal(next)), "%s", x.Req)
			}
		})
	}
}
