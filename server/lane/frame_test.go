package lane_test

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/lockstepmq/lockstep/server/lane"
)

// readAll reads frames from pieces of p, cut at the given sizes in turn, and prints them.
func readAll(p []byte, cuts []int) (frames []string, held int, err error) {
	var r lane.Reader
	for i := 0; len(p) > 0; i++ {
		n := len(p)
		if len(cuts) > 0 {
			n = min(n, 1+cuts[i%len(cuts)])
		}
		piece := bytes.Clone(p[:n])
		for p = p[n:]; len(piece) > 0; {
			kind, payload, rest, ok, err := r.Next(piece)
			if err != nil {
				return frames, r.Held(), err
			}
			if !ok {
				break
			}
			frames = append(frames, string(kind)+string(payload))
			piece = rest
		}
		held = max(held, r.Held())
	}
	return frames, held, nil
}

func appendFrame(dst []byte, kind byte, payload []byte) []byte {
	return append(append(dst, head(len(payload), kind)...), payload...)
}

// TestFramesHoweverTheyAreCut: the same bytes give the same frames, in whichever pieces they come.
func TestFramesHoweverTheyAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var p []byte
		var want []string
		for range rapid.IntRange(0, 12).Draw(t, "frames") {
			payload := rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, "payload")
			kind := rapid.ByteRange(1, 3).Draw(t, "kind")
			if kind > 1 {
				payload = append(payload, make([]byte, 8)...)[:8]
			}
			p = appendFrame(p, kind, payload)
			want = append(want, string(kind)+string(payload))
		}
		cuts := rapid.SliceOfN(rapid.IntRange(0, 30), 1, 8).Draw(t, "cuts")
		got, _, err := readAll(p, cuts)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

// TestMemoryFollowsWhatArrived: a head that announces much costs nothing.
func TestMemoryFollowsWhatArrived(t *testing.T) {
	p := append(head(lane.FrameMax, 1), make([]byte, 1000)...)
	_, held, err := readAll(p, []int{6})
	require.NoError(t, err)
	require.Less(t, held, 4096)

	var r lane.Reader
	big := appendFrame(nil, 1, make([]byte, 1<<20))
	_, _, _, ok, err := r.Next(big[:1000])
	require.False(t, ok)
	require.NoError(t, err)
	_, _, _, ok, err = r.Next(big[1000:])
	require.True(t, ok)
	require.NoError(t, err)
	require.Greater(t, r.Held(), 1<<20)
	_, _, _, ok, _ = r.Next([]byte{1})
	require.False(t, ok)
	require.Less(t, r.Held(), 100, "a long frame's memory is given back")
}

// FuzzFrames: whatever comes, the frames do not depend on how it was cut, and memory is bounded by what came.
func FuzzFrames(f *testing.F) {
	f.Add(appendFrame(appendFrame(nil, 1, []byte("hello")), 2, []byte("12345678")), byte(3))
	f.Add(head(lane.FrameMax+1, 1), byte(1))
	f.Add(head(8, 3), byte(2))
	f.Add([]byte{0, 0, 0, 0, 9}, byte(0))
	f.Fuzz(func(t *testing.T, p []byte, cut byte) {
		whole, _, err1 := readAll(p, nil)
		pieces, held, err2 := readAll(p, []int{int(cut), int(cut) / 3})
		require.Equal(t, whole, pieces)
		require.Equal(t, err1, err2)
		require.LessOrEqual(t, held, 4*len(p)+64)
	})
}

// FuzzHello: a line is read alike however it is cut, what was written is read, and no error quotes a password.
func FuzzHello(f *testing.F) {
	good := lane.Hello{Lane: 1, Member: 7, ServerID: "N", ServerName: "n", Cluster: "C", User: "u", Pass: "p", Nonce: "a", Answers: "b"}
	f.Add(lane.AppendHello(nil, &good), 3)
	f.Add([]byte("LANE {\"lane\":1,\"member\":\"0\"}\r\nrest"), 1)
	f.Add([]byte("-ERR 'Authorization Violation'\r\n"), 5)
	f.Add([]byte("LANE {\"pass\":17}\n"), 2)
	f.Add(bytes.Repeat([]byte("x"), 17<<10), 1000)
	f.Fuzz(func(t *testing.T, p []byte, cut int) {
		var r, s lane.HelloReader
		h1, rest1, done1, err1 := r.Next(p)
		n := min(max(cut, 0), len(p))
		h2, rest2, done2, err2 := s.Next(p[:n])
		if !done2 && err2 == nil {
			h2, rest2, done2, err2 = s.Next(p[n:])
		} else if done2 {
			rest2 = append(bytes.Clone(rest2), p[n:]...)
		}
		require.Equal(t, err1, err2)
		require.Equal(t, done1, done2)
		require.Equal(t, h1, h2)
		if !done1 {
			return
		}
		require.True(t, bytes.Equal(rest1, rest2))
		var again lane.HelloReader
		h3, rest3, done3, err := again.Next(lane.AppendHello(nil, &h1))
		if err == nil { // a line of the greatest length may have grown by escapes
			require.True(t, done3)
			require.Empty(t, rest3)
			require.Equal(t, h1, h3)
		}
	})
}
