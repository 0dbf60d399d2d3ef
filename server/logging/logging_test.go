package logging

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

var moment = time.Date(2026, 8, 9, 13, 4, 5, 67_000, time.FixedZone("east", 2*3600))

func TestLineForm(t *testing.T) {
	for _, tc := range []struct {
		name  string
		form  Form
		level Level
		want  string
	}{
		{"everything", Form{Time: true, PID: 7}, Info, "[7] 2026/08/09 13:04:05.000067 [INF] text 1\n"},
		{"universal time", Form{Time: true, UTC: true, PID: 7}, Warn, "[7] 2026/08/09 11:04:05.000067 [WRN] text 1\n"},
		{"no time", Form{PID: 7}, Error, "[7] [ERR] text 1\n"},
		{"no pid", Form{}, Fatal, "[FTL] text 1\n"},
		{"debug in colour", Form{Colour: true}, Debug, "[\x1b[36mDBG\x1b[0m] text 1\n"},
		{"trace in colour", Form{Colour: true}, Trace, "[\x1b[33mTRC\x1b[0m] text 1\n"},
		{"info in colour", Form{Colour: true}, Info, "[\x1b[32mINF\x1b[0m] text 1\n"},
		{"warning in colour", Form{Colour: true}, Warn, "[\x1b[0;93mWRN\x1b[0m] text 1\n"},
		{"error in colour", Form{Colour: true}, Error, "[\x1b[31mERR\x1b[0m] text 1\n"},
		{"fatal in colour", Form{Colour: true}, Fatal, "[\x1b[31mFTL\x1b[0m] text 1\n"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			require.Equal(t, tc.want, string(tc.form.appendLine(nil, moment, tc.level, "text %d", []any{1})))
		})
	}
	require.Equal(t, "[INF] a\r\n", string(Form{}.appendLine(nil, moment, Info, "a\r\n", nil)), "a line ends once")
	require.Equal(t, "[INF] \n", string(Form{}.appendLine(nil, moment, Info, "", nil)))
}

// write logs one statement of each level.
func write(l Logger) {
	l.Noticef("n %d", 1)
	l.Warnf("w %d", 2)
	l.Errorf("e %d", 3)
	l.Fatalf("f %d", 4)
	l.Debugf("d %d", 5)
	l.Tracef("t %d", 6)
}

func TestWriter(t *testing.T) {
	var b bytes.Buffer
	write(NewWriter(&b, Form{}))
	require.Equal(t, "[INF] n 1\n[WRN] w 2\n[ERR] e 3\n[FTL] f 4\n[DBG] d 5\n[TRC] t 6\n", b.String())
	b.Reset()
	NewWriter(&b, Form{Time: true, PID: 12}).Noticef("x")
	require.Regexp(t, `^\[12\] \d{4}/\d\d/\d\d \d\d:\d\d:\d\d\.\d{6} \[INF\] x\n$`, b.String())
}

func TestSwitch(t *testing.T) {
	s := NewSwitch()
	write(s)
	require.Nil(t, s.Logger())
	require.NoError(t, s.Reopen())
	var b bytes.Buffer
	first := NewWriter(&b, Form{})
	require.Nil(t, s.Set(first))
	write(s)
	require.Equal(t, "[INF] n 1\n[WRN] w 2\n[ERR] e 3\n[FTL] f 4\n", b.String())
	require.False(t, s.Debug() || s.Trace() || s.TraceSystem())

	b.Reset()
	s.SetLevels(true, false, true)
	s.Debugf("d")
	s.Tracef("t")
	require.Equal(t, "[DBG] d\n", b.String())
	require.True(t, s.Debug() && !s.Trace() && s.TraceSystem())
	s.SetLevels(false, true, false)
	s.Tracef("t")
	require.Equal(t, "[DBG] d\n[TRC] t\n", b.String())
	require.True(t, s.Set(nil) == first)
	s.Noticef("dropped")
	require.Equal(t, "[DBG] d\n[TRC] t\n", b.String())
}

func TestDisabledStatementsAllocateNothing(t *testing.T) {
	s := NewSwitch()
	s.Set(NewWriter(&bytes.Buffer{}, Form{}))
	subject := "a.b"
	require.Zero(t, testing.AllocsPerRun(100, func() {
		if s.Trace() {
			s.Tracef("%s - %s", subject, subject)
		}
		s.Debugf("nothing to format")
	}))
}

func TestSwitchUnderConcurrentUse(t *testing.T) {
	s := NewSwitch()
	s.SetLevels(true, true, false)
	var out [2]bytes.Buffer
	loggers := []Logger{NewWriter(&out[0], Form{}), NewWriter(&out[1], Form{})}
	s.Set(loggers[0])
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for i := range 200 {
				s.Tracef("line %d", i)
				if i%50 == 0 {
					s.Set(loggers[i/50%2])
				}
			}
		})
	}
	wg.Wait()
	lines := strings.Split(strings.TrimSpace(out[0].String()+out[1].String()), "\n")
	require.Len(t, lines, 800)
	for _, line := range lines {
		require.Regexp(t, `^\[TRC\] line \d+$`, line)
	}
}

// openFile makes a file logger whose clock ticks a second a statement.
func openFile(t *testing.T, o FileOptions) *FileLogger {
	t.Helper()
	l, err := NewFile(o)
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	now := moment.UTC()
	l.o.now = func() time.Time { now = now.Add(time.Second); return now }
	return l
}

func contents(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(b)
}

func TestFileAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.log")
	require.NoError(t, os.WriteFile(path, []byte("before\n"), 0o600))
	l := openFile(t, FileOptions{Path: path})
	write(l)
	require.NoError(t, l.Close())
	require.NoError(t, l.Close())
	l.Noticef("dropped")
	require.Equal(t, "before\n[INF] n 1\n[WRN] w 2\n[ERR] e 3\n[FTL] f 4\n[DBG] d 5\n[TRC] t 6\n", contents(t, path))

	fresh := filepath.Join(t.TempDir(), "t.log")
	openFile(t, FileOptions{Path: fresh})
	info, err := os.Stat(fresh)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o640), info.Mode().Perm())
}

func TestFileThatCannotBeOpened(t *testing.T) {
	dir := t.TempDir()
	_, err := NewFile(FileOptions{Path: dir})
	require.EqualError(t, err, "error opening file: open "+dir+": is a directory")
}

func TestRotation(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.log")
	l := openFile(t, FileOptions{Path: path, SizeMax: 20, FilesMax: 3})
	l.Noticef("0123456789") // 17 bytes: stays
	require.Equal(t, "[INF] 0123456789\n", contents(t, path))
	l.Noticef("x")
	backup := path + ".2026.08.09.11.04.08.000067000"
	require.Equal(t, "[INF] 0123456789\n[INF] x\n", contents(t, backup))
	require.Equal(t, fmt.Sprintf("[INF] Rotated log, backup saved as %q\r\n", backup), contents(t, path))

	other := filepath.Join(dir, "s.log.notes") // not a backup
	require.NoError(t, os.WriteFile(other, nil, 0o600))
	l.Noticef("a")
	l.Noticef("b")
	backups, err := filepath.Glob(path + ".2026*")
	require.NoError(t, err)
	require.Len(t, backups, 2, "with the current one, three")
	require.NotContains(t, backups, backup, "the oldest goes")
	require.FileExists(t, other)
	require.Contains(t, contents(t, path), fmt.Sprintf("[INF] Purged log file %q\r\n", filepath.Base(backup)))
}

func TestRotationKeepsEverythingWithoutALimitOfFiles(t *testing.T) {
	dir := t.TempDir()
	l := openFile(t, FileOptions{Path: filepath.Join(dir, "s.log"), SizeMax: 1})
	for range 5 {
		l.Noticef("x")
	}
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 6)
}

func TestRotationThatFails(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.log")
	l := openFile(t, FileOptions{Path: path, SizeMax: 40})
	require.NoError(t, os.Rename(path, path+".moved"))
	l.Noticef("%s", strings.Repeat("x", 60))
	require.Contains(t, contents(t, path+".moved"), "[ERR] Unable to rotate log file")
	require.NoError(t, l.Reopen())
	l.Noticef("on")
	require.Equal(t, "[INF] on\n", contents(t, path))
}

func TestReopen(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "s.log")
	l := openFile(t, FileOptions{Path: path})
	s := NewSwitch()
	s.Set(l)
	s.Noticef("one")
	require.NoError(t, os.Rename(path, path+".1"))
	s.Noticef("two")
	require.NoError(t, s.Reopen())
	s.Noticef("three")
	require.Equal(t, "[INF] one\n[INF] two\n", contents(t, path+".1"))
	require.Equal(t, "[INF] three\n", contents(t, path))

	require.NoError(t, os.Remove(path))
	require.NoError(t, os.Mkdir(path, 0o700))
	require.ErrorContains(t, s.Reopen(), "error opening file: ")
	s.Noticef("still written")
	require.NoError(t, os.Remove(path))
}

func TestFileUnderConcurrentUse(t *testing.T) {
	dir := t.TempDir()
	l := openFile(t, FileOptions{Path: filepath.Join(dir, "s.log"), SizeMax: 2000})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 100 {
				l.Noticef("from %d: %d", g, i)
				if i%30 == 0 {
					require.NoError(t, l.Reopen())
				}
			}
		})
	}
	wg.Wait()
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	count := 0
	line := regexp.MustCompile(`^\[INF\] from \d: \d+$`)
	for _, e := range entries {
		for text := range strings.Lines(contents(t, filepath.Join(dir, e.Name()))) {
			if line.MatchString(strings.TrimSuffix(text, "\n")) {
				count++
			}
		}
	}
	require.Equal(t, 400, count)
}

func TestRepeats(t *testing.T) {
	var r Repeats
	require.True(t, r.Allow(0, "a"))
	require.False(t, r.Allow(999*time.Millisecond, "a"))
	require.True(t, r.Allow(999*time.Millisecond, "b"))
	require.True(t, r.Allow(time.Second, "a"))
	require.False(t, r.Allow(1998*time.Millisecond, "b"))
	require.True(t, r.Allow(1999*time.Millisecond, "b"))
}

func TestRepeatsAgainstAModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var r Repeats
		last := make(map[string]time.Duration)
		now := time.Duration(0)
		for range rapid.IntRange(1, 200).Draw(t, "steps") {
			now += time.Duration(rapid.IntRange(0, 700).Draw(t, "ms")) * time.Millisecond
			s := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "statement")
			at, seen := last[s]
			want := !seen || now-at >= time.Second
			if got := r.Allow(now, s); got != want {
				t.Fatalf("%s at %v: got %v, want %v", s, now, got, want)
			}
			if want {
				last[s] = now
			}
		}
	})
}

func TestRepeatsStaySmall(t *testing.T) {
	var r Repeats
	for i := range 10 * repeatsMax {
		require.True(t, r.Allow(0, fmt.Sprint(i)))
		require.LessOrEqual(t, len(r.recent)+len(r.older), 2*repeatsMax)
	}
}

func BenchmarkStatement(b *testing.B) {
	for _, on := range []bool{false, true} {
		b.Run(fmt.Sprintf("trace=%v", on), func(b *testing.B) {
			s := NewSwitch()
			s.Set(NewWriter(discard{}, Form{Time: true, PID: 1}))
			s.SetLevels(false, on, false)
			b.ReportAllocs()
			for b.Loop() {
				if s.Trace() {
					s.Tracef("%s - <<- [%s]", "127.0.0.1:1 - cid:5", "PUB a.b 5")
				}
			}
		})
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
