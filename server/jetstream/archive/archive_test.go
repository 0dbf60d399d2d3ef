package archive

import (
	"archive/tar"
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

var rewrite = flag.Bool("rewrite", false, "accept what backups are read as")

// describe prints an item.
func describe(it *Item) string {
	switch it.Kind {
	case IsConfig:
		return fmt.Sprintf("config %s %v max_msgs=%d", it.Config.Name, it.Config.Subjects, it.Config.MaxMsgs)
	case IsState:
		s := it.State
		return fmt.Sprintf("state msgs=%d bytes=%d first=%d %s last=%d %s consumers=%d", s.Msgs, s.Bytes,
			s.FirstSeq, s.FirstTime.Format(time.RFC3339Nano), s.LastSeq, s.LastTime.Format(time.RFC3339Nano), s.Consumers)
	case IsConsumer:
		return fmt.Sprintf("consumer %s durable=%s filter=%s %s", it.Name, it.Consumer.Config.Durable, it.Consumer.Config.FilterSubject, api.Marshal(it.Consumer.State))
	case IsMessage:
		m := &it.Message
		return fmt.Sprintf("message %d %s %s %q %q", m.Seq, time.Unix(0, m.Time).UTC().Format(time.RFC3339Nano), m.Subject, m.Header, m.Data)
	case IsRemoved:
		return fmt.Sprintf("removed %d-%d", it.From, it.To)
	case IsEnd:
		return "end"
	}
	return "nothing"
}

// readAll reads a backup that comes in pieces of n bytes.
func readAll(r *Reader, p []byte, n int) (list []string, err error) {
	var it Item
	for len(p) > 0 {
		n := min(n, len(p))
		r.Feed(p[:n])
		p = p[n:]
		for {
			ok, err := r.Next(&it)
			if err != nil {
				return list, err
			}
			if !ok {
				break
			}
			list = append(list, describe(&it))
		}
	}
	return list, r.End()
}

// The files were made by the official server and its tool: a stream of which messages were deleted, of
// the older one also by a limit, with consumers that have messages pending.
func TestOfficialBackups(t *testing.T) {
	for _, file := range []string{"official-2.15.arc.s2", "official-2.11.tar.s2"} {
		t.Run(file, func(t *testing.T) {
			p, err := os.ReadFile("testdata/" + file)
			require.NoError(t, err)
			for _, n := range []int{1, 7, 100, 1 << 20} {
				list, err := readAll(NewReader(Options{Stream: "BK"}), p, n)
				require.NoError(t, err)
				got := strings.Join(list, "\n") + "\n"
				if *rewrite {
					require.NoError(t, os.WriteFile("testdata/"+file+".txt", []byte(got), 0o644))
				}
				want, err := os.ReadFile("testdata/" + file + ".txt")
				require.NoError(t, err)
				require.Equal(t, string(want), got)
			}
			_, err = readAll(NewReader(Options{Stream: "BK"}), p[:len(p)-3], 100)
			require.EqualError(t, err, "backup was truncated")
		})
	}
}

func TestOlderBackupOfAnotherStream(t *testing.T) {
	p, err := os.ReadFile("testdata/official-2.11.tar.s2")
	require.NoError(t, err)
	_, err = readAll(NewReader(Options{Stream: "OTHER"}), p, 100)
	require.EqualError(t, err, "stream names do not match")
}

// backup is what a test writes.
type backup struct {
	state     api.StreamState
	names     []string
	consumers []Consumer
	messages  []msgs.Msg
}

func drawBackup(t *rapid.T) *backup {
	b := &backup{}
	text := rapid.StringMatching(`[a-zA-Z0-9.]{1,20}`)
	body := rapid.OneOf(rapid.SliceOfN(rapid.Byte(), 0, 300), rapid.Custom(func(t *rapid.T) []byte {
		return bytes.Repeat([]byte{rapid.Byte().Draw(t, "byte")}, rapid.IntRange(0, 200<<10).Draw(t, "size"))
	}))
	for range rapid.IntRange(0, 4).Draw(t, "consumers") {
		b.names = append(b.names, text.Draw(t, "name"))
		b.consumers = append(b.consumers, Consumer{&api.ConsumerConfig{Durable: text.Draw(t, "durable")}, &ConsumerState{
			Delivered: Pair{7, rapid.Uint64().Draw(t, "seq")}, Pending: map[uint64]*Pending{3: {1, 2}}, Redelivered: map[uint64]uint64{3: 4},
		}})
	}
	seq := uint64(0)
	for range rapid.IntRange(0, 7).Draw(t, "messages") {
		seq += 1 + rapid.Uint64Range(0, 1<<40).Draw(t, "gap")
		m := msgs.Msg{Seq: seq, Time: rapid.Int64().Draw(t, "time"), Subject: text.Draw(t, "subject"), Data: body.Draw(t, "data")}
		if rapid.Bool().Draw(t, "header") {
			m.Header = []byte("NATS/1.0\r\nA: b\r\n\r\n")
		}
		b.messages = append(b.messages, m)
	}
	b.state = api.StreamState{Msgs: uint64(len(b.messages)), LastSeq: seq, Consumers: len(b.names)}
	return b
}

// write writes a backup, taken n bytes at a time while it is written.
func (b *backup) write(n int) []byte {
	var out []byte
	w := NewWriter(1700000000000000000)
	take := func() {
		for w.Ready() >= n {
			out = w.Take(out, n)
		}
	}
	w.State(&b.state)
	for i := range b.names {
		w.Consumer(b.names[i], &b.consumers[i])
		take()
	}
	for i := range b.messages {
		w.Message(&b.messages[i])
		take()
	}
	w.End()
	take()
	return w.Take(out, w.Ready())
}

func (b *backup) lines() []string {
	list := []string{describe(&Item{Kind: IsState, State: &b.state})}
	for i := range b.names {
		list = append(list, describe(&Item{Kind: IsConsumer, Name: b.names[i], Consumer: &b.consumers[i]}))
	}
	for i := range b.messages {
		m := &b.messages[i]
		list = append(list, describe(&Item{Kind: IsMessage, Message: Message{m.Seq, m.Time, []byte(m.Subject), m.Header, m.Data}}))
	}
	return append(list, "end")
}

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		b := drawBackup(t)
		p := b.write(rapid.IntRange(500, 100000).Draw(t, "take"))
		list, err := readAll(NewReader(Options{}), p, rapid.IntRange(1+len(p)/20, 100000+len(p)/20).Draw(t, "feed"))
		require.NoError(t, err)
		require.Equal(t, b.lines(), list)

		plain, err := io.ReadAll(s2.NewReader(bytes.NewReader(p))) // others read it, too
		require.NoError(t, err)
		var again bytes.Buffer
		w := s2.NewWriter(&again, s2.WriterConcurrency(1), s2.WriterBlockSize(1<<20))
		_, err = w.Write(plain)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		list, err = readAll(NewReader(Options{}), again.Bytes(), 1<<20) // and we what others wrote
		require.NoError(t, err)
		require.Equal(t, b.lines(), list)
	})
}

// packed compresses a backup that is given in the clear.
func packed(plain ...[]byte) []byte {
	var f framer
	for _, p := range plain {
		f.write(p)
	}
	f.flush()
	return f.out
}

func entry(name string, seq uint64, header, data string) []byte {
	b := binary.AppendUvarint(nil, uint64(len(name)))
	b = binary.AppendVarint(b, 1)
	b = binary.AppendUvarint(b, seq)
	b = binary.AppendUvarint(b, uint64(len(header)))
	b = binary.AppendUvarint(b, uint64(len(data)))
	return append(b, name+header+data...)
}

func TestUnusableBackups(t *testing.T) {
	state, empty := entry(stateName, 0, "", `{"consumer_count":0}`), entry("", 0, "", "")
	one := entry(stateName, 0, "", `{"consumer_count":1}`)
	long := entry("a", 9, "", strings.Repeat("x", 101))
	for _, tc := range []struct {
		name string
		in   []byte
		want string
	}{
		{"nothing", nil, "backup was truncated"},
		{"no s2", []byte("NATSARC1"), "s2: corrupt input"},
		{"damaged", append(packed([]byte(magic), state)[:30], "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"...), "s2: corrupt input, crc mismatch"},
		{"unknown chunk", append(packed([]byte(magic)), 0x02, 0, 0, 0), "s2: unsupported input"},
		{"no state", packed([]byte(magic), entry("consumers/a", 0, "", "{}")), "expected state.json first"},
		{"message first", packed([]byte(magic), entry("a", 1, "", "")), "expected state.json first"},
		{"bad state", packed([]byte(magic), entry(stateName, 0, "", "{")), "expected state.json contents"},
		{"negative consumers", packed([]byte(magic), entry(stateName, 0, "", `{"consumer_count":-1}`)), "expected state.json contents"},
		{"consumer missing", packed([]byte(magic), one, entry("a", 1, "", "x")), "unexpected content (account=ACC)"},
		{"end before consumers", packed([]byte(magic), one, empty), "unexpected content (account=ACC)"},
		{"bad consumer", packed([]byte(magic), one, entry("consumers/c", 0, "", "{}")), `consumer "c": unreadable contents`},
		{"something else", packed([]byte(magic), state, entry("a", 0, "", "x")), "unexpected content (account=ACC)"},
		{"behind the end", packed([]byte(magic), state, empty, empty), "unexpected content (account=ACC)"},
		{"order", packed([]byte(magic), state, entry("a", 5, "", "x"), entry("a", 5, "", "x")), "message sequence 5 out of order"},
		{"no subject", packed([]byte(magic), state, entry("", 5, "", "x")), "unexpected content (account=ACC)"},
		{"payload", packed([]byte(magic), state, long), "message sequence 9 exceeds maximum payload size"},
		{"message size", packed([]byte(magic), state, entry("a", 9, "", strings.Repeat("x", 60))), "message sequence 9 exceeds maximum message size"},
		{"no end", packed([]byte(magic), state, entry("a", 5, "", "x")), "backup was truncated"},
		{"name", packed([]byte(magic), []byte{0xff, 0xff, 0xff, 0x7f, 0, 0, 0, 0}), "malformed entry"},
		{"number", packed([]byte(magic), bytes.Repeat([]byte{0xff}, 20)), "malformed entry"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := NewReader(Options{Account: "ACC", MaxPayload: 100, MaxMsgSize: 50})
			_, err := readAll(r, tc.in, 10)
			require.EqualError(t, err, tc.want)
			_, again := r.Next(&Item{})
			if tc.want != "backup was truncated" {
				require.Equal(t, err, again)
			}
		})
	}
}

// tarFiles makes an older backup.
func tarFiles(files ...string) []byte {
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		kind := byte(tar.TypeReg)
		if strings.HasSuffix(files[i], "/") {
			kind = tar.TypeDir
		}
		h := &tar.Header{Name: files[i], Size: int64(len(files[i+1])), Mode: 0o600, Typeflag: kind, Format: tar.FormatPAX, ModTime: time.Unix(1, 5)}
		if err := w.WriteHeader(h); err != nil {
			panic(err)
		}
		if _, err := w.Write([]byte(files[i+1])); err != nil {
			panic(err)
		}
	}
	if err := w.Close(); err != nil {
		panic(err)
	}
	return packed(b.Bytes())
}

func record(seq uint64, subject, header, data string) string {
	n := recordFixed + recordSum + len(subject) + len(data)
	word := uint32(0)
	if header != "" {
		n += 4 + len(header)
		word = recordHasHeader
	}
	b := binary.LittleEndian.AppendUint32(nil, word|uint32(n))
	b = binary.LittleEndian.AppendUint64(b, seq)
	b = binary.LittleEndian.AppendUint64(b, 1e9)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(subject)))
	b = append(b, subject...)
	if header != "" {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(header)))
		b = append(b, header...)
	}
	return string(append(b, data+"checksum"...))
}

const meta = `{"name":"S","retention":"limits","discard":"old","storage":"file","compression":"none"}`

func TestOlderBackups(t *testing.T) {
	long := strings.Repeat("obs/", 1) + strings.Repeat("c", 200) + "/meta.inf"
	for _, tc := range []struct {
		name string
		in   []byte
		want []string
		err  string
	}{
		{"blocks", tarFiles("meta.inf", meta, "msgs/1.blk", record(1, "a", "", "x")+record(2|recordErased, "a", "", "x"),
			"msgs/2.blk", record(5, "b", "NATS/1.0\r\n\r\n", "")+record(5|recordTombstone, "", "", ""), "errors.txt", "", "msgs/thw.db", "zz"), []string{
			"config S [] max_msgs=0", `message 1 1970-01-01T00:00:01Z a "" "x"`, `message 5 1970-01-01T00:00:01Z b "NATS/1.0\r\n\r\n" ""`, "removed 5-5", "end"}, ""},
		{"consumer without state", tarFiles("meta.inf", meta, long, `{"durable_name":"c"}`), []string{
			"config S [] max_msgs=0", "consumer " + strings.Repeat("c", 200) + ` durable=c filter= {"delivered":{"consumer_seq":0,"stream_seq":0},"ack_floor":{"consumer_seq":0,"stream_seq":0}}`}, ""},
		{"directory", tarFiles("msgs/", ""), nil, "unexpected content (account=ACC)"},
		{"other file", tarFiles("x", "y"), nil, "unexpected content (account=ACC)"},
		{"record", tarFiles("meta.inf", meta, "msgs/1.blk", "\x05\x00\x00\x00"+strings.Repeat("x", 60)), nil, "msgs/1.blk: malformed record"},
		{"record cut", tarFiles("meta.inf", meta, "msgs/1.blk", record(1, "a", "", "x")+"abc"), nil, "msgs/1.blk: backup was truncated"},
		{"header length", tarFiles("meta.inf", meta, "msgs/1.blk", strings.Replace(record(1, "a", "zzzz", "x"), "\x04\x00\x00\x00zzzz", "\xff\x00\x00\x00zzzz", 1)), nil, "msgs/1.blk: malformed record"},
		{"order", tarFiles("meta.inf", meta, "msgs/1.blk", record(2, "a", "", "x")+record(1, "a", "", "x")), nil, "msgs/1.blk: message sequence 1 out of order"},
		{"payload", tarFiles("meta.inf", meta, "msgs/1.blk", record(2, "a", "", strings.Repeat("x", 200))), nil, "msgs/1.blk: message sequence 2 exceeds maximum payload size"},
		{"index", tarFiles("meta.inf", meta, "msgs/index.db", "\x0b\x09xxxxxxxxxxxx"), nil, "msgs/index.db: version 11.9 of the index is not known"},
		{"index cut", tarFiles("meta.inf", meta, "msgs/index.db", "\x0b\x02\x01"), nil, "msgs/index.db: backup was truncated"},
		{"consumer state", tarFiles("meta.inf", meta, "obs/c/meta.inf", "{}", "obs/c/o.dat", "\x16\x02\x01"), nil, "obs/c/o.dat: malformed consumer state"},
		{"no tar", packed(bytes.Repeat([]byte("x"), 1024)), nil, "archive/tar: invalid tar header"},
		{"no configuration", tarFiles("errors.txt", ""), nil, "backup was truncated"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			list, err := readAll(NewReader(Options{Account: "ACC", Stream: "S", MaxPayload: 100}), tc.in, 33)
			if tc.err != "" {
				require.EqualError(t, err, tc.err)
				return
			}
			require.NoError(t, err)
			require.Equal(t, tc.want, list)
		})
	}
}

// What is small compressed must not be large in memory.
func TestReaderIsBounded(t *testing.T) {
	var f framer
	f.write([]byte(magic))
	f.write(entry(stateName, 0, "", `{}`))
	for seq := range 2000 {
		f.write(entry("a", uint64(seq+1), "", strings.Repeat("x", 1<<14)))
	}
	f.write(entry("", 0, "", ""))
	f.flush()
	require.Less(t, len(f.out), 4<<20)
	r := NewReader(Options{})
	r.Feed(f.out)
	var it Item
	n := 0
	for {
		ok, err := r.Next(&it)
		require.NoError(t, err)
		if !ok {
			break
		}
		n++
		require.Less(t, cap(r.buf), 4<<20)
	}
	require.Equal(t, 2002, n)
	require.NoError(t, r.End())
}

func FuzzReader(f *testing.F) {
	for _, file := range []string{"official-2.15.arc.s2", "official-2.11.tar.s2"} {
		p, err := os.ReadFile("testdata/" + file)
		require.NoError(f, err)
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, p []byte) {
		_, _ = readAll(NewReader(Options{Stream: "BK"}), p, 100)
	})
}

// FuzzContent is FuzzReader below the compression, which keeps random bytes out.
func FuzzContent(f *testing.F) {
	for _, file := range []string{"official-2.15.arc.s2", "official-2.11.tar.s2"} {
		p, err := os.ReadFile("testdata/" + file)
		require.NoError(f, err)
		plain, err := io.ReadAll(s2.NewReader(bytes.NewReader(p)))
		require.NoError(f, err)
		f.Add(plain)
	}
	f.Fuzz(func(t *testing.T, plain []byte) {
		list, err := readAll(NewReader(Options{Stream: "BK"}), packed(plain), 100)
		if err == nil && len(list) == 0 {
			t.Fatal("nothing is no backup")
		}
	})
}

func BenchmarkWriter(b *testing.B) {
	for _, size := range []int{128, 4096} {
		b.Run(fmt.Sprintf("size=%d", size), func(b *testing.B) {
			w := NewWriter(1)
			w.State(&api.StreamState{})
			m := msgs.Msg{Subject: "a.b.c", Data: bytes.Repeat([]byte("abcdefgh"), size/8)}
			b.SetBytes(int64(size))
			b.ReportAllocs()
			out := make([]byte, 0, 1<<20)
			for b.Loop() {
				m.Seq++
				w.Message(&m)
				if w.Ready() > 0 {
					out = w.Take(out[:0], w.Ready())
				}
			}
		})
	}
}
