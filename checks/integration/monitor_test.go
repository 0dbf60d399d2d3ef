package integration

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
)

// ports reads a ports file that the server wrote before it said it was ready.
func (p *process) ports(path string) map[string][]string {
	p.t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(p.t, err)
	listed := map[string][]string{}
	require.NoError(p.t, json.Unmarshal(text, &listed))
	return listed
}

// get asks a monitoring endpoint.
func get(t *testing.T, url string) (int, string, http.Header) {
	t.Helper()
	client := &http.Client{Timeout: patience}
	answer, err := client.Get(url)
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	return answer.StatusCode, string(text), answer.Header
}

// after is what follows a text on a line of the log.
func (p *process) after(text string) string {
	p.t.Helper()
	_, rest, _ := strings.Cut(p.waitLog(text), text)
	return rest
}

func TestMonitoringEndpoints(t *testing.T) {
	t.Parallel()
	p := start(t, "http: \"127.0.0.1:-1\"\nserver_name: watched")
	base := "http://" + p.after("Starting http monitor on ")
	nc := p.client(nats.Name("seen"))
	sub := flushed(t, nc, "a.b")
	require.NoError(t, nc.Publish("a.b", []byte("12345")))
	next(t, sub)
	require.NoError(t, nc.Flush())
	for path, key := range map[string]string{
		"/varz": "server_id", "/connz": "connections", "/subsz": "num_subscriptions", "/accountz": "accounts",
		"/accstatz": "account_statz", "/routez": "num_routes", "/gatewayz": "outbound_gateways", "/leafz": "leafnodes",
		"/healthz": "status",
	} {
		code, text, header := get(t, base+path)
		require.Equal(t, http.StatusOK, code, path)
		require.Contains(t, header.Get("Content-Type"), "application/json", path)
		var answer map[string]any
		require.NoError(t, json.Unmarshal([]byte(text), &answer), path)
		require.Contains(t, answer, key, path)
	}
	code, text, _ := get(t, base+"/")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, text, "varz")
	code, _, _ = get(t, base+"/nothing")
	require.Equal(t, http.StatusNotFound, code)
	_, text, _ = get(t, base+"/connz?subs=1")
	var conns struct {
		Conns []struct {
			Name string   `json:"name"`
			Subs []string `json:"subscriptions_list"`
			In   int      `json:"in_msgs"`
		} `json:"connections"`
	}
	require.NoError(t, json.Unmarshal([]byte(text), &conns))
	require.Len(t, conns.Conns, 1)
	require.Equal(t, "seen", conns.Conns[0].Name)
	require.Equal(t, []string{"a.b"}, conns.Conns[0].Subs)
	require.Equal(t, 1, conns.Conns[0].In)
	code, text, _ = get(t, base+"/metrics")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, text, "lockstep_")
	require.Contains(t, text, "gnatsd_varz_")
}

func TestMonitoringUnderABasePath(t *testing.T) {
	t.Parallel()
	p := start(t, "http: \"127.0.0.1:-1\"\nhttp_base_path: nats")
	base := "http://" + p.after("Starting http monitor on ")
	code, _, _ := get(t, base+"/nats/varz")
	require.Equal(t, http.StatusOK, code)
	code, _, _ = get(t, base+"/varz")
	require.Equal(t, http.StatusNotFound, code)
}

func TestProfiling(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	p := start(t, "prof_port: -1\nports_file_dir: \""+dir+"\"")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
	code, text, _ := get(t, p.ports(dir + "/" + entries[0].Name())["profile"][0]+"/debug/pprof/goroutine?debug=1")
	require.Equal(t, http.StatusOK, code)
	require.Contains(t, text, "goroutine profile: total")
}
