package machine

import (
	"encoding/binary"
	"testing"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
	"github.com/stretchr/testify/require"
)

// nullStore takes messages and keeps nothing, so that what the machine costs can be measured.
type nullStore struct {
	naiveStore
	n uint64
}

func (s *nullStore) Append(uint64, int64, []byte, []byte, []byte, msgs.TTL) (uint64, error) {
	s.n++
	return s.n, nil
}
func (s *nullStore) State() msgs.State { return msgs.State{Last: s.n} }
func (s *nullStore) Subject([]byte) msgs.SubjectState {
	return msgs.SubjectState{Count: 1, First: 1, Last: 1}
}
func (s *nullStore) Admit([]byte, int, int, bool) error { return nil }
func (s *nullStore) Load(uint64) (msgs.Msg, msgs.Found) { return s.last() }
func (s *nullStore) last() (msgs.Msg, msgs.Found) {
	return msgs.Msg{Seq: s.n, Data: lastCount}, msgs.Cached
}

var lastCount = []byte(`{"val":"41"}`)

// countEffects counts.
type countEffects struct{ acked, refused, stored int }

func (c *countEffects) Acked(int, *api.PubAck)                { c.acked++ }
func (c *countEffects) Refused(int, *api.Error)               { c.refused++ }
func (c *countEffects) Stored(*Stored)                        { c.stored++ }
func (c *countEffects) Removed(uint64, string, int, msgs.Why) {}
func (c *countEffects) Cleared()                              {}

// entryOf is an entry of n like messages.
func entryOf(n int, header, data []byte) []byte {
	var b Builder
	b.Begin(nil, 3600e9)
	for range n {
		b.Add([]byte("orders.eu.1234"), header, data, Verdict{})
	}
	return b.Bytes()
}

func TestPublishAllocatesNothing(t *testing.T) {
	header := func(lines string) []byte { return []byte("NATS/1.0\r\n" + lines + "\r\n\r\n") }
	for _, tc := range []struct {
		name   string
		header []byte
		data   []byte
		change func(*api.StreamConfig)
		want   float64 // for a message
	}{
		{"plain", nil, make([]byte, 128), nil, 0},
		{"any header", header("A: b"), make([]byte, 128), nil, 0},
		{"expected sequence of the subject", header("Nats-Expected-Last-Subject-Sequence: 1"), make([]byte, 128), nil, 0},
		{"replicated", header("Nats-Expected-Stream: S"), make([]byte, 128), func(c *api.StreamConfig) { c.Replicas = 3 }, 0},
		{"lifetime", header("Nats-TTL: 5"), make([]byte, 128), func(c *api.StreamConfig) { c.AllowMsgTTL = true }, 0},
		{"rewritten lifetime", header("Nats-TTL: 5"), make([]byte, 128),
			func(c *api.StreamConfig) { c.AllowMsgTTL, c.SubjectDeleteMarkerTTL = true, 10e9 }, 1}, // the value as a string
		{"transform", nil, make([]byte, 128), func(c *api.StreamConfig) {
			c.SubjectTransform = &api.SubjectTransformConfig{Source: "orders.*.*", Destination: "o.$2.$1"}
		}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			effects := &countEffects{}
			m := New(Options{Store: &nullStore{}, Config: testConfig(tc.change), Effects: effects})
			entry := entryOf(64, tc.header, tc.data)
			got := testing.AllocsPerRun(20, func() { m.Apply(entry) })
			require.LessOrEqual(t, got/64, tc.want)
			require.Positive(t, effects.acked+effects.refused)
		})
	}
}

func TestBuilderAllocatesNothing(t *testing.T) {
	var b Builder
	buf, subj, data := make([]byte, 0, 1<<16), []byte("orders.eu.1234"), make([]byte, 128)
	header := []byte("NATS/1.0\r\nA: b\r\n\r\n")
	require.Zero(t, testing.AllocsPerRun(20, func() {
		b.Begin(buf[:0], 3600e9)
		for range 64 {
			b.Add(subj, nil, data, Verdict{})
			b.Add(subj, header, data, Verdict{})
		}
		buf = b.Bytes()
	}))
}

func TestDedupeAllocatesLittle(t *testing.T) {
	d := dedupe{window: 1000}
	id, now := make([]byte, 22), int64(0)
	add := func() {
		for range 1000 {
			now++
			binary.BigEndian.PutUint64(id, uint64(now)) // no fmt: its pool drops at random under the race detector
			if _, ok := d.find(id, now); ok {
				t.Fatal("an id was known that never came")
			}
			d.expire(now)
			d.add(id, uint64(now), now)
		}
	}
	add()
	require.Less(t, testing.AllocsPerRun(5, add), 20.0)
}

func BenchmarkPublish(b *testing.B) {
	for _, tc := range []struct {
		name   string
		header string
		change func(*api.StreamConfig)
	}{
		{"kind=plain", "", nil},
		{"kind=header", "NATS/1.0\r\nTraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n\r\n", nil},
		{"kind=expected", "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 1\r\n\r\n", nil},
		{"kind=conflict", "NATS/1.0\r\nNats-Expected-Last-Subject-Sequence: 7\r\n\r\n", nil},
		{"kind=counter", "NATS/1.0\r\nNats-Incr: 1\r\n\r\n", func(c *api.StreamConfig) { c.AllowMsgCounter = true }},
	} {
		b.Run(tc.name, func(b *testing.B) {
			m := New(Options{Store: &nullStore{}, Config: testConfig(tc.change), Effects: &countEffects{}})
			size := 128
			if tc.change != nil {
				size = 0
			}
			entry := entryOf(64, []byte(tc.header), make([]byte, size))
			b.ReportAllocs()
			for i := 0; i < b.N; i += 64 {
				m.Apply(entry)
			}
		})
	}
	b.Run("kind=id", func(b *testing.B) {
		m := New(Options{Store: &nullStore{}, Config: testConfig(func(c *api.StreamConfig) { c.Duplicates = 1e6 }), Effects: &countEffects{}})
		var build Builder
		header := []byte("NATS/1.0\r\nNats-Msg-Id: 0000000000000000000000\r\n\r\n")
		subj, data, buf := []byte("orders.eu.1234"), make([]byte, 128), []byte(nil)
		b.ReportAllocs()
		for i := 0; i < b.N; i++ {
			for j, n := 24, i; j < 40; j, n = j+1, n/10 {
				header[j] = byte('0' + n%10)
			}
			build.Begin(buf[:0], int64(i)*100)
			build.Add(subj, header, data, Verdict{})
			buf = build.Bytes()
			m.Apply(buf)
		}
	})
}

func BenchmarkBuilder(b *testing.B) {
	var build Builder
	buf, subj, data := make([]byte, 0, 1<<16), []byte("orders.eu.1234"), make([]byte, 128)
	b.ReportAllocs()
	for i := 0; i < b.N; i += 64 {
		build.Begin(buf[:0], 3600e9)
		for range 64 {
			build.Add(subj, nil, data, Verdict{})
		}
		buf = build.Bytes()
	}
}
