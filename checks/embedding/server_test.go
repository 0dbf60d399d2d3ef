package embedding

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"

	"github.com/lockstepmq/lockstep/server"
	"github.com/lockstepmq/lockstep/server/test"
)

// patience bounds every wait; only tests that fail spend it.
const patience = 20 * time.Second

func random() *server.Options {
	o := test.DefaultTestOptions
	o.Port = server.RANDOM_PORT
	return &o
}

func run(t *testing.T, o *server.Options) *server.Server {
	t.Helper()
	s := test.RunServer(o)
	t.Cleanup(s.Shutdown)
	return s
}

func connect(t *testing.T, s *server.Server, options ...nats.Option) *nats.Conn {
	t.Helper()
	nc, err := nats.Connect(s.ClientURL(), options...)
	require.NoError(t, err)
	t.Cleanup(nc.Close)
	return nc
}

func request(t *testing.T, nc *nats.Conn) {
	t.Helper()
	sub, err := nc.Subscribe("help", func(m *nats.Msg) { _ = m.Respond([]byte("here")) })
	require.NoError(t, err)
	m, err := nc.Request("help", nil, patience)
	require.NoError(t, err)
	require.Equal(t, "here", string(m.Data))
	require.NoError(t, sub.Unsubscribe())
}

func TestServerLife(t *testing.T) {
	s, err := server.NewServer(random())
	require.NoError(t, err)
	require.False(t, s.Running())
	require.Nil(t, s.Addr())
	require.NoError(t, server.Run(s))
	require.True(t, s.ReadyForConnections(patience))
	require.True(t, s.Running())
	require.True(t, strings.HasPrefix(s.ClientURL(), "nats://127.0.0.1:"))
	require.Equal(t, s.Addr().String(), strings.TrimPrefix(s.ClientURL(), "nats://"))
	require.Equal(t, []string{s.ClientURL()}, s.PortsInfo(patience).Nats)
	require.Len(t, s.ID(), 56)
	require.Equal(t, s.ID(), s.Name())
	require.Len(t, s.NodeName(), 8)
	require.Empty(t, s.ClusterName())
	require.Nil(t, s.MonitorAddr())
	require.Nil(t, s.ProfilerAddr())
	request(t, connect(t, s))
	s.Shutdown()
	s.WaitForShutdown()
	require.False(t, s.Running())
	require.False(t, s.ReadyForConnections(time.Millisecond))
	_, err = s.InProcessConn()
	require.Error(t, err)
	s.Shutdown() // again does no harm
}

func TestStartInGoroutine(t *testing.T) {
	s, err := server.NewServer(random())
	require.NoError(t, err)
	go s.Start()
	defer s.Shutdown()
	require.True(t, s.ReadyForConnections(patience))
	request(t, connect(t, s))
}

func TestShutdownWithoutStart(t *testing.T) {
	s, err := server.NewServer(random())
	require.NoError(t, err)
	s.Shutdown()
	s.WaitForShutdown()
	require.False(t, s.Running())
}

func TestWrongOptionsAreRefused(t *testing.T) {
	o := random()
	o.MaxPayload, o.MaxPending = 1000, 10
	_, err := server.NewServer(o)
	require.ErrorContains(t, err, "max_payload (1000) cannot be higher than max_pending (10)")
	require.Panics(t, func() { server.New(o) })
}

func TestPortInUse(t *testing.T) {
	s := run(t, random())
	o := random()
	o.Port = s.Addr().(*net.TCPAddr).Port
	second, err := server.NewServer(o)
	require.NoError(t, err)
	second.Start()
	defer second.Shutdown()
	require.False(t, second.ReadyForConnections(50*time.Millisecond))
}

func TestInProcess(t *testing.T) {
	o := random()
	o.DontListen = true
	s := run(t, o)
	require.Nil(t, s.Addr())
	nc, err := nats.Connect("", nats.InProcessServer(s))
	require.NoError(t, err)
	defer nc.Close()
	request(t, nc)
	require.Equal(t, 1, s.NumClients())
	big := make([]byte, 1<<20)
	sub, err := nc.SubscribeSync("big")
	require.NoError(t, err)
	for range 20 { // more than any buffer holds
		require.NoError(t, nc.Publish("big", big))
	}
	for range 20 {
		m, err := sub.NextMsg(patience)
		require.NoError(t, err)
		require.Len(t, m.Data, len(big))
	}
}

func TestCounts(t *testing.T) {
	s := run(t, random())
	nc := connect(t, s)
	before := s.NumSubscriptions()
	_, err := nc.SubscribeSync("a.*")
	require.NoError(t, err)
	require.NoError(t, nc.Flush())
	require.Equal(t, 1, s.NumClients())
	require.Equal(t, before+1, s.NumSubscriptions())
	require.Zero(t, s.NumRoutes()+s.NumRemotes()+s.NumLeafNodes()+s.NumOutboundGateways()+s.NumInboundGateways())
	require.Zero(t, s.NumSlowConsumers())
	require.GreaterOrEqual(t, s.NumLoadedAccounts(), 1)
	require.False(t, s.NonceRequired())
	g := s.GlobalAccount()
	require.Equal(t, "$G", g.GetName())
	require.Equal(t, 1, g.NumConnections())
	require.True(t, g.SubscriptionInterest("a.b"))
	require.False(t, g.SubscriptionInterest("b.b"))
	require.Equal(t, 1, g.Interest("a.b"))
}

func TestMonitoring(t *testing.T) {
	o := random()
	o.HTTPHost, o.HTTPPort = "127.0.0.1", server.RANDOM_PORT
	s := run(t, o)
	nc := connect(t, s, nats.Name("watched"))
	require.NoError(t, nc.Flush())

	v, err := s.Varz(nil)
	require.NoError(t, err)
	require.Equal(t, s.ID(), v.ID)
	require.Equal(t, "2.15.0", v.Version)
	require.Equal(t, 1, v.Connections)
	c, err := s.Connz(&server.ConnzOptions{Subscriptions: true, Sort: server.ByCid})
	require.NoError(t, err)
	require.Equal(t, 1, c.NumConns)
	require.Equal(t, "watched", c.Conns[0].Name)
	subs, err := s.Subsz(nil)
	require.NoError(t, err)
	require.NotNil(t, subs.SublistStats)
	r, err := s.Routez(nil)
	require.NoError(t, err)
	require.Zero(t, r.NumRoutes)
	_, err = s.Gatewayz(nil)
	require.NoError(t, err)
	l, err := s.Leafz(nil)
	require.NoError(t, err)
	require.Zero(t, l.NumLeafs)
	a, err := s.Accountz(nil)
	require.NoError(t, err)
	require.Contains(t, a.Accounts, "$G")
	st, err := s.AccountStatz(nil)
	require.NoError(t, err)
	require.NotEmpty(t, st.Accounts)
	require.Equal(t, "ok", s.Healthz(nil).Status)

	answer, err := http.Get(fmt.Sprintf("http://%s/varz", s.MonitorAddr()))
	require.NoError(t, err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	require.NoError(t, err)
	var over map[string]any
	require.NoError(t, json.Unmarshal(text, &over))
	require.Equal(t, s.ID(), over["server_id"])
}

func TestAccountsFromCode(t *testing.T) {
	exporter, importer := server.NewAccount("EXP"), server.NewAccount("IMP")
	o := random()
	o.Accounts = []*server.Account{exporter, importer}
	o.Users = []*server.User{
		{Username: "e", Password: "e", Account: exporter},
		{Username: "i", Password: "i", Account: importer},
	}
	s := run(t, o)
	there, err := s.LookupAccount("EXP")
	require.NoError(t, err)
	here, err := s.LookupAccount("IMP")
	require.NoError(t, err)
	require.NoError(t, there.AddStreamExport("news.>", nil))
	require.NoError(t, there.AddServiceExport("help", []*server.Account{here}))
	require.NoError(t, here.AddStreamImport(there, "news.>", "from"))
	require.NoError(t, here.AddServiceImport(there, "ask", "help"))
	threshold, err := there.ServiceExportResponseThreshold("help")
	require.NoError(t, err)
	require.Equal(t, 2*time.Minute, threshold)
	require.NoError(t, there.SetServiceExportResponseThreshold("help", time.Second))

	e, i := connect(t, s, nats.UserInfo("e", "e")), connect(t, s, nats.UserInfo("i", "i"))
	_, err = e.Subscribe("help", func(m *nats.Msg) { _ = m.Respond([]byte("served")) })
	require.NoError(t, err)
	sub, err := i.SubscribeSync("from.news.>")
	require.NoError(t, err)
	require.NoError(t, e.Flush())
	require.NoError(t, i.Flush())
	require.NoError(t, e.Publish("news.today", []byte("x")))
	m, err := sub.NextMsg(patience)
	require.NoError(t, err)
	require.Equal(t, "from.news.today", m.Subject)
	m, err = i.Request("ask", nil, patience)
	require.NoError(t, err)
	require.Equal(t, "served", string(m.Data))

	_, err = s.LookupAccount("NONE")
	require.ErrorIs(t, err, server.ErrMissingAccount)
	_, err = s.RegisterAccount("EXP")
	require.ErrorIs(t, err, server.ErrAccountExists)
	fresh, isNew := s.LookupOrRegisterAccount("NEW")
	require.True(t, isNew)
	require.Equal(t, "NEW", fresh.Name)
	require.NoError(t, s.SetSystemAccount("NEW"))
	require.Equal(t, "NEW", s.SystemAccount().Name)
	require.ErrorIs(t, s.SetSystemAccount("NONE"), server.ErrMissingAccount)
}

// gatekeeper admits by its own rules.
type gatekeeper struct {
	mu   sync.Mutex
	seen []string
}

func (g *gatekeeper) Check(c server.ClientAuthentication) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	o := c.GetOpts()
	g.seen = append(g.seen, fmt.Sprintf("%s kind=%d nonce=%d tls=%t", o.Username, c.Kind(), len(c.GetNonce()), c.GetTLSConnectionState() != nil))
	if c.RemoteAddress() == nil || o.Password != "open" {
		return false
	}
	c.RegisterUser(&server.User{Username: "mapped", Permissions: &server.Permissions{
		Publish: &server.SubjectPermission{Allow: []string{"allowed", "help", "_INBOX.>"}},
	}})
	return true
}

func TestCustomAuthentication(t *testing.T) {
	g := &gatekeeper{}
	o := random()
	o.CustomClientAuthentication, o.AlwaysEnableNonce = g, true
	s := run(t, o)
	require.True(t, s.NonceRequired())
	_, err := nats.Connect(s.ClientURL(), nats.UserInfo("a", "shut"))
	require.ErrorIs(t, err, nats.ErrAuthorization)
	refused := make(chan error, 1)
	nc := connect(t, s, nats.UserInfo("b", "open"), nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refused <- err }))
	request(t, nc)
	require.NoError(t, nc.Publish("denied", nil))
	require.NoError(t, nc.Flush())
	require.ErrorContains(t, <-refused, `Permissions Violation for Publish to "denied"`)
	require.Equal(t, []string{"a kind=0 nonce=15 tls=false", "b kind=0 nonce=15 tls=false"}, g.seen)
}

// lines is a Logger that keeps what it is told.
type lines struct {
	mu   sync.Mutex
	text []string
}

func (l *lines) add(level, format string, v ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.text = append(l.text, level+" "+fmt.Sprintf(format, v...))
}
func (l *lines) Noticef(format string, v ...any) { l.add("INF", format, v...) }
func (l *lines) Warnf(format string, v ...any)   { l.add("WRN", format, v...) }
func (l *lines) Fatalf(format string, v ...any)  { l.add("FTL", format, v...) }
func (l *lines) Errorf(format string, v ...any)  { l.add("ERR", format, v...) }
func (l *lines) Debugf(format string, v ...any)  { l.add("DBG", format, v...) }
func (l *lines) Tracef(format string, v ...any)  { l.add("TRC", format, v...) }

func (l *lines) all() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.text, "\n")
}

func TestLogger(t *testing.T) {
	l := &lines{}
	s, err := server.NewServer(random())
	require.NoError(t, err)
	s.SetLogger(l, true, true)
	s.Start()
	request(t, connect(t, s))
	s.Warnf("mine: %d", 7)
	s.Shutdown()
	for _, want := range []string{"INF Starting lockstep", "INF Server is ready", "DBG ", "TRC ", "PING", "WRN mine: 7"} {
		require.Contains(t, l.all(), want)
	}
}

func TestConfigFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c.conf")
	write := func(text string) { require.NoError(t, os.WriteFile(path, []byte(text), 0o600)) }
	write("listen: \"127.0.0.1:-1\"\nmax_payload: 1000")
	s, o := test.RunServerWithConfig(path)
	defer s.Shutdown()
	require.True(t, strings.HasPrefix(o.ConfigDigest(), "sha256:"))
	require.EqualValues(t, 1000, connect(t, s).MaxPayload())
	loaded := s.ConfigTime()
	write("listen: \"127.0.0.1:-1\"\nmax_payload: 2000")
	require.NoError(t, s.Reload())
	require.EqualValues(t, 2000, connect(t, s).MaxPayload())
	require.False(t, s.ConfigTime().Before(loaded))
	write("listen: \"127.0.0.1:-1\"\nmax_payload: 2000\nserver_name: other")
	require.ErrorContains(t, s.Reload(), "config reload not supported for ServerName")
	write("nonsense: 1")
	require.ErrorContains(t, s.Reload(), `unknown field "nonsense"`)
	_, err := server.ProcessConfigFile(path)
	require.ErrorContains(t, err, `unknown field "nonsense"`)
}

func TestReloadOptions(t *testing.T) {
	o := random()
	s := run(t, o)
	next := o.Clone()
	next.MaxPayload = 512
	require.NoError(t, s.ReloadOptions(next))
	require.EqualValues(t, 512, connect(t, s).MaxPayload())
}

func TestConfigureOptions(t *testing.T) {
	fs := flag.NewFlagSet("mine", flag.ContinueOnError)
	mine := fs.Bool("mine", false, "a flag of the program")
	o, err := server.ConfigureOptions(fs, []string{"-p", "5222", "--mine", "-a", "localhost", "-D"}, func() {}, func() {}, func() {})
	require.NoError(t, err)
	require.True(t, *mine)
	require.Equal(t, 5222, o.Port)
	require.Equal(t, "localhost", o.Host)
	require.True(t, o.Debug)
	asked := false
	o, err = server.ConfigureOptions(flag.NewFlagSet("x", flag.ContinueOnError), []string{"-v"}, func() { asked = true }, func() {}, func() {})
	require.NoError(t, err)
	require.Nil(t, o)
	require.True(t, asked)
}

func TestClientsByID(t *testing.T) {
	s := run(t, random())
	told, gone := make(chan struct{}, 1), make(chan struct{}, 1)
	nc := connect(t, s, nats.NoReconnect(),
		nats.LameDuckModeHandler(func(*nats.Conn) { told <- struct{}{} }),
		nats.ClosedHandler(func(*nats.Conn) { gone <- struct{}{} }))
	require.NoError(t, nc.Flush())
	id, err := nc.GetClientID()
	require.NoError(t, err)
	require.NotNil(t, s.GetClient(id))
	require.Nil(t, s.GetClient(id+1000))
	require.NoError(t, s.LDMClientByID(id))
	<-told
	require.NoError(t, s.DisconnectClientByID(id))
	<-gone
	require.Error(t, s.DisconnectClientByID(id+1000))
	require.Error(t, s.LDMClientByID(id+1000))
}

func TestLameDuck(t *testing.T) {
	o := random()
	o.LameDuckGracePeriod, o.LameDuckDuration = time.Millisecond, 10*time.Millisecond
	s := run(t, o)
	told := make(chan struct{}, 1)
	nc := connect(t, s, nats.NoReconnect(), nats.LameDuckModeHandler(func(*nats.Conn) { told <- struct{}{} }))
	require.NoError(t, nc.Flush())
	s.LameDuckShutdown()
	<-told
	require.False(t, s.Running())
}
