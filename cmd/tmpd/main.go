package main

import (
	"fmt"
	"net/http"
	_ "net/http/pprof"
	"os"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/netsim"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
)

type nolog struct{}

func (nolog) Noticef(f string, v ...any) { fmt.Printf(f+"\n", v...) }
func (nolog) Warnf(f string, v ...any)   { fmt.Printf(f+"\n", v...) }
func (nolog) Errorf(f string, v ...any)  { fmt.Printf(f+"\n", v...) }
func (nolog) Debugf(f string, v ...any)  {}
func (nolog) Tracef(f string, v ...any)  {}
func (nolog) Debug() bool                { return false }
func (nolog) Trace() bool                { return false }

func main() {
	c := clock.NewReal()
	o := &config.Options{Host: "127.0.0.1", Port: 4333, MaxConn: 65536, MaxControlLine: 4096, MaxPayload: 1 << 20, MaxPending: 64 << 20,
		MaxClosedClients: 1000, PingInterval: 2 * time.Minute, MaxPingsOut: 2, WriteDeadline: 10 * time.Second, AuthTimeout: 2}
	b, err := broker.New(broker.Config{Clock: c, Log: nolog{}, Options: o, Identity: broker.Identity{ServerID: "NTEST", ServerName: "test", Version: "2.15.0", LockstepVersion: "0.1.0", GoVersion: "go"}})
	if err != nil {
		panic(err)
	}
	n := netsim.NewReal()
	l, err := n.Listen(c.NewStrand("accept"), os.Args[1], b.Accept)
	if err != nil {
		panic(err)
	}
	fmt.Println(l.Addr())
	http.ListenAndServe("127.0.0.1:6060", nil)
}
