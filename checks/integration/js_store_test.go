package integration

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
)

// storeFiles are the files below a store, by path, in order.
func storeFiles(t *testing.T, dir string) []string {
	t.Helper()
	var files []string
	require.NoError(t, filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, path)
		}
		return err
	}))
	return files
}

// holds tells whether some file of a store has the text in it.
func holds(t *testing.T, dir, text string) bool {
	t.Helper()
	for _, file := range storeFiles(t, dir) {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		if bytes.Contains(content, []byte(text)) {
			return true
		}
	}
	return false
}

func TestStoreCommand(t *testing.T) {
	t.Parallel()
	p := startJS(t)
	js, _ := p.js()
	stream(t, js, jetstream.StreamConfig{Name: "ORDERS"})
	fill(t, js, "ORDERS.x", 2000)
	p.kill()
	dir := filepath.Join(p.dir, "data")
	sound := func(what string) {
		t.Helper()
		for _, verb := range []string{"verify", "inspect"} {
			stdout, stderr, code := command(t, binary, "store", verb, dir)
			require.Zero(t, code, stdout+stderr)
			require.Contains(t, stdout, "$G > ORDERS")
			require.Contains(t, strings.Join(strings.Fields(strings.ReplaceAll(stdout, "│", " ")), " "), what)
			require.Contains(t, stdout, "SOUND")
		}
	}
	sound("in the log")
	again := startIn(t, binary, p.dir, jsConfig) // looking changed nothing
	js, _ = again.js()
	s, err := js.Stream(within(t), "ORDERS")
	require.NoError(t, err)
	require.EqualValues(t, 2000, state(t, s).Msgs)
	again.signal(syscall.SIGTERM)
	require.Zero(t, again.exit())
	sound("2000 messages (1 to 2000)")
	_, stderr, code := command(t, binary, "store", "verify", t.TempDir())
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "lockstep: store ")
	_, stderr, code = command(t, binary, "store", "mend", dir)
	require.Equal(t, 2, code)
	require.Contains(t, stderr, "usage: lockstep store verify|inspect DIR")
}

// A byte that rotted is told by the command and by the server, with the stream that it
// concerns, and the others serve.
func TestDamagedStore(t *testing.T) {
	t.Parallel()
	p := startJS(t, `http: "127.0.0.1:-1"`)
	js, _ := p.js()
	for _, name := range []string{"GOOD", "BAD"} {
		stream(t, js, jetstream.StreamConfig{Name: name})
	}
	fill(t, js, "GOOD", 10)
	fill(t, js, "BAD.needle", 1000)
	fill(t, js, "GOOD", 10)
	p.kill()
	dir := filepath.Join(p.dir, "data")
	spoilt := false
	for _, file := range storeFiles(t, dir) {
		content, err := os.ReadFile(file)
		require.NoError(t, err)
		if bytes.Count(content, []byte("BAD.needle")) < 900 {
			continue
		}
		at := len(content)
		for range 500 { // the middle one of them
			at = bytes.LastIndex(content[:at], []byte("BAD.needle"))
		}
		content[at+4] ^= 1
		require.NoError(t, os.WriteFile(file, content, 0o600))
		spoilt = true
	}
	require.True(t, spoilt)
	stdout, _, code := command(t, binary, "store", "verify", dir)
	require.Equal(t, 1, code, stdout)
	require.Contains(t, stdout, "DAMAGED")
	require.Contains(t, stdout, "BAD")
	again := startIn(t, binary, p.dir, jsConfig+`http: "127.0.0.1:-1"`)
	again.waitLog("log is damaged")
	status, text, _ := get(t, "http://"+again.after("Starting http monitor on ")+"/healthz?details=1")
	require.Equal(t, 503, status, text)
	stdout, _, code = command(t, binary, "store", "inspect", dir)
	require.Equal(t, 1, code, "the server mended nothing in silence: %s", stdout)
}

func TestEncryptionAndRotationOfKeys(t *testing.T) {
	t.Parallel()
	const secret = "a-text-that-nobody-may-read"
	with := func(keys string) string {
		return strings.Replace(jsConfig, "jetstream {", "jetstream { "+keys, 1)
	}
	for _, cipher := range []string{"chacha", "aes"} {
		t.Run(cipher, func(t *testing.T) {
			t.Parallel()
			p := start(t, with("cipher: "+cipher+", key: first,"))
			js, nc := p.js()
			stream(t, js, jetstream.StreamConfig{Name: "S"})
			require.Zero(t, code(request(t, nc, "S."+secret, secret)))
			fill(t, js, "S", 100)
			p = p.restartWith(syscall.SIGTERM, with("cipher: "+cipher+", key: second, prev_encryption_key: first,"))
			p = p.restartWith(syscall.SIGKILL, with("cipher: "+cipher+", key: second,"))
			js, nc = p.js()
			s, err := js.Stream(within(t), "S")
			require.NoError(t, err)
			m, err := s.GetMsg(within(t), 1)
			require.NoError(t, err)
			require.Equal(t, secret, string(m.Data))
			require.EqualValues(t, 102, request(t, nc, "S", "more")["seq"])
			p.kill()
			require.False(t, holds(t, filepath.Join(p.dir, "data"), secret))
			for _, verb := range []string{"verify", "inspect"} {
				stdout, stderr, code := command(t, binary, "store", verb, filepath.Join(p.dir, "data"))
				require.Zero(t, code, stdout+stderr)
				require.Contains(t, stdout, "encrypted (cannot be")
				require.NotContains(t, strings.ToLower(stdout), "damage")
			}
			p.write(with("cipher: " + cipher + ", key: wrong,"))
			_, stderr, code := command(t, binary, "-c", p.config)
			require.Equal(t, 1, code, "a wrong key stops the start")
			require.Contains(t, stderr, "key")
			p = startIn(t, binary, p.dir, with("cipher: "+cipher+", key: second,"))
			js, _ = p.js()
			s, err = js.Stream(within(t), "S")
			require.NoError(t, err)
			require.EqualValues(t, 102, state(t, s).Msgs)
		})
	}
	p := startJS(t)
	js, nc := p.js()
	stream(t, js, jetstream.StreamConfig{Name: "S"})
	require.Zero(t, code(request(t, nc, "S", secret)))
	p.kill()
	require.True(t, holds(t, filepath.Join(p.dir, "data"), secret), "the search finds what is not encrypted")
}

func TestStoresOfOthersAreRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	official := filepath.Join(dir, "data", "jetstream", "$G", "streams", "ORDERS")
	require.NoError(t, os.MkdirAll(filepath.Join(official, "msgs"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(official, "meta.inf"), []byte(`{"name":"ORDERS"}`), 0o600))
	require.NoError(t, os.WriteFile(filepath.Join(official, "meta.sum"), []byte("0011"), 0o600))
	config := filepath.Join(dir, "c.conf")
	require.NoError(t, os.WriteFile(config, fmt.Appendf(nil, "listen: \"127.0.0.1:-1\"\njetstream { store_dir: %q }\n", filepath.Join(dir, "data")), 0o600))
	_, stderr, code := command(t, binary, "-c", config)
	require.Equal(t, 1, code)
	require.Contains(t, stderr, "backup")
	require.FileExists(t, filepath.Join(official, "meta.inf"))
	require.NoDirExists(t, filepath.Join(dir, "data", "jetstream", "streams"))
}

func TestLazyFlushing(t *testing.T) {
	t.Parallel()
	lazy := strings.Replace(jsConfig, "jetstream {", "jetstream { sync_interval: \"1h\",", 1)
	p := start(t, lazy)
	js, _ := p.js()
	s, err := js.CreateStream(within(t), jetstream.StreamConfig{Name: "S", Subjects: []string{"S"}})
	require.NoError(t, err)
	fill(t, js, "S", 1000)
	require.EqualValues(t, 1000, state(t, s).Msgs)
	js, _ = p.restartWith(syscall.SIGKILL, lazy).js() // a killed process loses nothing that it wrote
	s, err = js.Stream(within(t), "S")
	require.NoError(t, err)
	require.EqualValues(t, 1000, state(t, s).Msgs)
}
