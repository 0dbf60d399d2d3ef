package archive

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// script is the host of both exchanges, in virtual time; it prints what happens.
type script struct {
	t     *testing.T
	sim   *clock.Sim
	s     clock.Strand
	out   strings.Builder
	chunk []byte

	listens bool
	cold    int // fills that must wait first
	left    int // messages to write
	seq     uint64

	busy  int // items that make it busy
	taken []string
}

func newScript(t *testing.T) *script {
	sim := clock.NewSim(1)
	return &script{t: t, sim: sim, s: sim.Clock("server").NewStrand("stream"), listens: true}
}

func (h *script) printf(format string, args ...any) { fmt.Fprintf(&h.out, format+"\n", args...) }

// said gives what was printed since the last time.
func (h *script) said() string {
	defer h.out.Reset()
	return h.out.String()
}

func (h *script) NewTimer(task func()) clock.Timer { return h.s.NewTimer(task) }
func (h *script) Interested() bool                 { return h.listens }
func (h *script) Done(err error)                   { h.printf("done %v", err) }
func (h *script) Finish()                          { h.printf("finish") }
func (h *script) Abort(err error)                  { h.printf("abort %v", err) }

func (h *script) Send(reply string, header, data []byte) {
	h.printf("send %q %q %d", reply, header, len(data))
	h.chunk = append(h.chunk, data...)
}

func (h *script) Fill(w *Writer) {
	if h.cold > 0 {
		h.cold--
		h.printf("cold")
		return
	}
	if h.seq == 0 {
		w.State(&api.StreamState{Msgs: uint64(h.left)})
	}
	if h.left == 0 {
		w.End()
		return
	}
	h.left--
	h.seq++
	data := make([]byte, 1000)
	for i := range data {
		data[i] = byte(h.seq * uint64(i) * 2654435761 >> 13)
	}
	w.Message(&msgs.Msg{Seq: h.seq, Time: 1, Subject: "a", Data: data})
}

func (h *script) Reply(to, body []byte) { h.printf("reply %s %s", to, body) }

func (h *script) Take(it *Item) (bool, error) {
	h.taken = append(h.taken, describe(it))
	if it.Kind == IsMessage && string(it.Message.Data) == "bad" {
		return false, errors.New("no room")
	}
	if h.busy > 0 {
		h.busy--
		return false, nil
	}
	return true, nil
}

func snapshotOf(h *script, messages, chunk, window int) *Snapshot {
	h.left = messages
	return NewSnapshot(h, NewWriter(1), "S", "ID", chunk, window)
}

func TestSmallSnapshot(t *testing.T) {
	h := newScript(t)
	s := snapshotOf(h, 3, 0, 0)
	require.Equal(t, "$JS.SNAPSHOT.ACK.S.ID.>", s.AckSubject())
	s.Start()
	require.Regexp(t, `^send "" "" \d+\nsend "" "" 0\ndone <nil>\n$`, h.said())
	list, err := readAll(NewReader(Options{}), h.chunk, 100)
	require.NoError(t, err)
	require.Len(t, list, 5)
}

func TestSnapshotHeedsItsWindow(t *testing.T) {
	h := newScript(t)
	h.cold = 1
	s := snapshotOf(h, 1200, 100<<10, 250<<10)
	s.Start()
	require.Equal(t, "cold\n", h.said())
	s.Resume()
	two := `send "$JS.SNAPSHOT.ACK.S.ID.102400.1" "" 102400` + "\n" + `send "$JS.SNAPSHOT.ACK.S.ID.102400.2" "" 102400` + "\n"
	require.Equal(t, two, h.said())
	s.Resume()
	for _, odd := range []string{"$JS.SNAPSHOT.ACK.S.ID.102400.3", "$JS.SNAPSHOT.ACK.S.ID.102400.x", "", "$JS.SNAPSHOT.ACK.S.ID.102400.0"} {
		s.Ack([]byte(odd))
	}
	require.Empty(t, h.said())
	for n := 1; ; n++ {
		s.Ack([]byte(fmt.Sprint("$JS.SNAPSHOT.ACK.S.ID.102400.", n)))
		said := h.said()
		if !strings.Contains(said, "done") {
			require.Equal(t, fmt.Sprintf("send %q \"\" 102400\n", fmt.Sprint("$JS.SNAPSHOT.ACK.S.ID.102400.", n+2)), said)
			continue
		}
		require.Regexp(t, `^(send "" "" \d+\n)?send "" "NATS/1.0 204\\r\\n\\r\\n" 0\ndone <nil>\n$`, said)
		break
	}
	list, err := readAll(NewReader(Options{}), h.chunk, 1000)
	require.NoError(t, err)
	require.Len(t, list, 1202)
}

func TestSnapshotFailures(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(h *script, s *Snapshot)
		want string
	}{
		{"nobody listens", func(h *script, s *Snapshot) {
			h.listens = false
			s.Start()
			h.sim.RunFor(1900 * time.Millisecond)
			require.Empty(h.t, h.said())
			h.sim.RunFor(200 * time.Millisecond)
		}, `send "" "NATS/1.0 408 No Interest\r\n\r\n" 0` + "\ndone 408 No Interest\n"},
		{"listener goes", func(h *script, s *Snapshot) {
			s.Start()
			h.said()
			h.listens = false
			s.Interest()
		}, `send "" "NATS/1.0 408 No Interest\r\n\r\n" 0` + "\ndone 408 No Interest\n"},
		{"no acknowledgements", func(h *script, s *Snapshot) {
			s.Start()
			h.sim.RunFor(4 * time.Second)
			s.Ack([]byte("x.1"))
			h.said()
			h.sim.RunFor(4900 * time.Millisecond)
			require.Empty(h.t, h.said())
			h.sim.RunFor(200 * time.Millisecond)
		}, `send "" "NATS/1.0 408 No Flow Response\r\n\r\n" 0` + "\ndone 408 No Flow Response\n"},
		{"unreadable", func(h *script, s *Snapshot) {
			s.Start()
			h.said()
			s.Fail(errors.New("message 7\nis lost"))
			s.Fail(errors.New("again"))
			s.Ack([]byte("x.1"))
			s.Resume()
			h.sim.RunFor(time.Minute)
		}, `send "" "NATS/1.0 500 message 7 is lost\r\n\r\n" 0` + "\ndone 500 message 7\nis lost\n"},
		{"the stream goes", func(h *script, s *Snapshot) {
			s.Start()
			h.said()
			s.Stop()
			s.Interest()
			h.sim.RunFor(time.Minute)
		}, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newScript(t)
			tc.do(h, snapshotOf(h, 3000, 1<<10, 2<<10))
			require.Equal(t, tc.want, h.said())
		})
	}
}

func TestSlowStoreIsNotTheReceiversFault(t *testing.T) {
	h := newScript(t)
	h.cold = 1
	s := snapshotOf(h, 3, 0, 0)
	s.Start()
	h.sim.RunFor(time.Minute)
	require.Equal(t, "cold\n", h.said())
	s.Resume()
	require.Contains(t, h.said(), "done <nil>")
}

func TestSizes(t *testing.T) {
	for _, tc := range []struct{ chunk, window, wantChunk, wantWindow int }{
		{0, 0, 128 << 10, 8 << 20},
		{1, 1, 1 << 10, 1 << 10},
		{1 << 30, 1 << 30, 1 << 20, 32 << 20},
		{1 << 20, 1 << 10, 1 << 20, 1 << 20},
		{-1, -1, 128 << 10, 8 << 20},
	} {
		chunk, window := Sizes(tc.chunk, tc.window)
		require.Equal(t, tc.wantChunk, chunk)
		require.Equal(t, tc.wantWindow, window)
	}
}

// small is a backup with one message of this content.
func small(data string) []byte {
	return packed([]byte(magic), entry(stateName, 0, "", "{}"), entry("a", 1, "", data), entry("", 0, "", ""))
}

func restoreOf(h *script) *Restore {
	s := NewRestore(h, NewReader(Options{}), "ACC", "S")
	s.Start()
	return s
}

func TestRestoreTakesChunks(t *testing.T) {
	h := newScript(t)
	s := restoreOf(h)
	p := small("x")
	s.Chunk([]byte("r1"), p[:20])
	require.Equal(t, "reply r1 \n", h.said())
	h.sim.RunFor(4 * time.Second)
	h.busy = 1
	s.Chunk([]byte("r2"), p[20:])
	require.Empty(t, h.said())
	h.sim.RunFor(time.Minute) // as long as the host needs
	s.Chunk([]byte("r3"), nil)
	s.Resume()
	require.Equal(t, "finish\n", h.said())
	s.Finished([]byte("info"))
	require.Equal(t, "reply r2 \nreply r3 info\n", h.said())
	require.EqualValues(t, len(p), s.Bytes())
	require.Len(t, h.taken, 3)
	s.Finished([]byte("info"))
	s.Chunk([]byte("r4"), p)
	h.sim.RunFor(time.Minute)
	require.Empty(t, h.said())
}

func TestRestoreFailures(t *testing.T) {
	refused := func(text string) string {
		return `{"type":"io.nats.jetstream.api.v1.stream_create_response","error":{"code":500,"err_code":10062,"description":"restore failed: ` + strings.ReplaceAll(text, ">", `\u003e`) + `"}}` + "\n"
	}
	for _, tc := range []struct {
		name string
		do   func(h *script, s *Restore)
		want string
	}{
		{"nothing comes", func(h *script, s *Restore) { h.sim.RunFor(6 * time.Second); s.Chunk([]byte("r"), nil) }, "abort <nil>\n"},
		{"garbage", func(h *script, s *Restore) { s.Chunk([]byte("r"), []byte("garbage")) }, "reply r " + refused("s2: corrupt input") + "abort s2: corrupt input\n"},
		{"cut off", func(h *script, s *Restore) { s.Chunk([]byte("r"), small("x")[:40]); s.Chunk([]byte("e"), nil) }, "reply r \nreply e " + refused("backup was truncated") + "abort backup was truncated\n"},
		{"no reply", func(h *script, s *Restore) {
			s.Chunk(nil, []byte("x"))
			s.Chunk([]byte("r"), nil)
			s.Chunk([]byte("r"), nil)
		},
			"abort restore for stream 'ACC > S' requires reply subject for each chunk\nreply r " + refused("restore for stream 'ACC > S' requires reply subject for each chunk")},
		{"host refuses", func(h *script, s *Restore) { s.Chunk([]byte("r"), small("bad")) }, "reply r " + refused("no room") + "abort no room\n"},
		{"host fails", func(h *script, s *Restore) {
			s.Chunk([]byte("r"), small("x"))
			s.Chunk([]byte("e"), nil)
			s.Fail(api.ErrStreamNotFound)
			s.Finished([]byte("never"))
		}, "reply r \nfinish\nreply e " + `{"type":"io.nats.jetstream.api.v1.stream_create_response","error":{"code":404,"err_code":10059,"description":"stream not found"}}` + "\nabort stream not found (10059)\n"},
		{"behind the end", func(h *script, s *Restore) {
			h.busy = 1
			s.Chunk([]byte("r"), small("x"))
			s.Chunk([]byte("e"), nil)
			s.Chunk([]byte("f"), []byte("x"))
		}, "reply r \nreply e " + refused("restore for stream 'ACC > S' received more than was asked for") + "abort restore for stream 'ACC > S' received more than was asked for\n"},
		{"server goes", func(h *script, s *Restore) { s.Stop(); s.Chunk([]byte("r"), nil); h.sim.RunFor(time.Minute) }, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			h := newScript(t)
			tc.do(h, restoreOf(h))
			require.Equal(t, tc.want, h.said())
		})
	}
}
