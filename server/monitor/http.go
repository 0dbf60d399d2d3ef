//lockstep:exempt serves HTTP
package monitor

import (
	"encoding/json"
	"expvar"
	"fmt"
	"html"
	"net"
	"net/http"
	"path"
	"runtime"
	"strings"
)

// stackMax bounds the dump of goroutines, in bytes.
const stackMax = 64 << 20

// Handler serves the endpoints below http_base_path. It keeps no goroutine.
func (m *Monitor) Handler() http.Handler {
	m.UseProcess(ReadProcess)
	base := basePath(m.c.Options().HTTPBasePath)
	s := &site{m: m, pages: map[string]http.HandlerFunc{}}
	for _, e := range endpoints {
		s.pages[base+e.path] = s.json(e)
	}
	root := base
	if root == "" {
		root = "/"
	}
	s.pages[root] = s.index(base)
	s.pages[base+"/stacksz"] = stacks
	s.pages[base+"/debug/vars"] = expvar.Handler().ServeHTTP
	s.pages[base+"/metrics"] = m.metrics()
	return s
}

// basePath is what all paths begin with: "" or "/name".
func basePath(configured string) string {
	p := path.Clean("/" + configured)
	if p == "/" {
		return ""
	}
	return p
}

// site finds the page of a path.
type site struct {
	m     *Monitor
	pages map[string]http.HandlerFunc
}

// ServeHTTP answers any method; there is nothing to change here.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.m.learnPort(r)
	page := s.pages[r.URL.Path]
	if page != nil {
		page(w, r)
		return
	}
	if clean := path.Clean("/" + r.URL.Path); s.pages[clean] != nil && strings.Contains(r.URL.Path, "//") {
		u := *r.URL
		u.Path = clean
		http.Redirect(w, r, u.RequestURI(), http.StatusTemporaryRedirect)
		return
	}
	http.NotFound(w, r)
}

// learnPort notes the port that a random one turned out to be.
func (m *Monitor) learnPort(r *http.Request) {
	if m.httpPort.Load() != 0 {
		return
	}
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		m.httpPort.Store(int64(a.Port))
	}
}

// json serves an endpoint.
func (s *site) json(e endpoint) http.HandlerFunc {
	counted := e.path
	if counted == "/subscriptionsz" {
		counted = "/subsz"
	}
	return func(w http.ResponseWriter, r *http.Request) {
		s.m.countRequest(counted)
		v, err := e.answer(s.m, &query{get: r.URL.Query().Get})
		if err != nil {
			refuse(w, err)
			return
		}
		code := http.StatusOK
		var text []byte
		if h, ok := v.(*HealthStatus); ok {
			code = h.StatusCode
			h.StatusCode = 0
			text, err = json.Marshal(h)
		} else {
			text, err = json.MarshalIndent(v, "", "  ")
		}
		if err != nil {
			refuse(w, err)
			return
		}
		asJSON(w)
		w.WriteHeader(code)
		w.Write(text)
	}
}

func asJSON(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Access-Control-Allow-Origin", "*")
}

func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(http.StatusBadRequest)
	w.Write([]byte(err.Error()))
}

// stacks dumps all goroutines. Tools expect the content type of the others.
func stacks(w http.ResponseWriter, _ *http.Request) {
	for size := 64 << 10; ; size *= 4 {
		buf := make([]byte, size)
		if n := runtime.Stack(buf, true); n < size || size >= stackMax {
			asJSON(w)
			w.Write(buf[:n])
			return
		}
	}
}

// index serves the page that links to the others. Links are relative to the page,
// so that a proxy may put it anywhere.
func (s *site) index(base string) http.HandlerFunc {
	var b strings.Builder
	id := s.m.c.Broker.Identity()
	fmt.Fprintf(&b, indexHead, html.EscapeString(id.ServerName), html.EscapeString(id.Version), html.EscapeString(id.LockstepVersion))
	link := func(label, to string) {
		fmt.Fprintf(&b, "    <li><a href=\"./%s\">%s</a> <code>%s</code></li>\n",
			html.EscapeString(strings.TrimPrefix(base+to, "/")), label, to)
	}
	for _, e := range endpoints {
		if e.label != "" {
			link(e.label, e.path)
		}
	}
	link("Metrics", "/metrics")
	link("Expvar", "/debug/vars")
	b.WriteString(indexTail)
	page := []byte(b.String())
	return func(w http.ResponseWriter, _ *http.Request) {
		s.m.countRequest("/")
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		w.Write(page)
	}
}

const indexHead = `<!DOCTYPE html>
<html lang="en">
<head>
  <title>%[1]s</title>
  <style>
    body { font-family: system-ui, sans-serif; margin: 2em }
    li { margin: .4em 0 }
    code { color: #888; margin-left: 1em }
  </style>
</head>
<body>
  <h1>%[1]s</h1>
  <p>Version %[2]s (Lockstep %[3]s)</p>
  <ul>
`

const indexTail = `  </ul>
</body>
</html>
`
