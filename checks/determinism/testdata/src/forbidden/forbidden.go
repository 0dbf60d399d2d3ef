package forbidden

import (
	"context"
	"fmt"
	"hash/maphash" // want `import of hash/maphash`
	"iter"
	"log" // want `import of log`
	"math/rand/v2"
	"net/url"
	"os"        // want `import of os: the operating system`
	"os/signal" // want `import of os/signal`
	"reflect"
	"runtime"
	"sync"
	"syscall" // want `import of syscall`
	tm "time"
	"unsafe"
)

var (
	_ maphash.Hash
	_ = log.Print
	_ url.URL
	_ = os.Exit
	_ = signal.Notify
	_ = syscall.EIO
)

func goroutines(m *sync.Mutex) {
	go goroutines(m)       // want `go statement`
	c := make(chan int, 1) // want `channel type`
	c <- 1                 // want `channel send`
	<-c                    // want `channel receive`
	for range c {          // want `range over a channel`
	}
	close(c)  // want `close of a channel`
	select {} // want `select: its choice is random`
}

type mailbox struct {
	in <-chan string // want `channel type`
}

type closer struct{}

func (closer) close(int) {}

func closes(c closer) { c.close(1) }

func times(t tm.Time) {
	_ = tm.Now()         // want `time.Now: the machine's clock`
	tm.Sleep(tm.Second)  // want `time.Sleep`
	_ = tm.After         // want `time.After: the machine's clock`
	tm.AfterFunc(1, nil) // want `time.AfterFunc`
	_ = tm.NewTimer(1)   // want `time.NewTimer`
	_ = tm.NewTicker(1)  // want `time.NewTicker`
	_ = tm.Tick(1)       // want `time.Tick`
	_ = tm.Since(t)      // want `time.Since`
	_ = tm.Until(t)      // want `time.Until`
	_ = t.In(tm.Local)   // want `time.Local: the machine's time zone`
	_ = t.Local()        // want `\(time.Time\).Local: the machine's time zone`
	_ = tm.Unix(1, 0)    // want `time.Unix makes a time in the machine's zone`
	_ = tm.Unix(1, 0).UTC()
	_ = tm.UnixMilli(1).In(tm.UTC)
	_ = t.Add(tm.Second).Sub(t)
}

func contexts(ctx context.Context) {
	_, _ = context.WithTimeout(ctx, 1)          // want `context.WithTimeout`
	_, _ = context.WithDeadline(ctx, tm.Time{}) // want `context.WithDeadline`
	_, _ = context.WithCancel(ctx)
}

func randomness(r *rand.Rand) {
	_ = rand.IntN(3)      // want `math/rand/v2.IntN: unseeded randomness`
	rand.Shuffle(3, nil)  // want `math/rand/v2.Shuffle`
	_ = rand.N(tm.Second) // want `math/rand/v2.N: unseeded`
	_ = rand.New(rand.NewPCG(1, 2)).IntN(3)
	_ = rand.NewChaCha8([32]byte{})
	_ = r.IntN(3)
}

func shared() {
	var m sync.Map       // want `sync.Map`
	var p sync.Pool      // want `sync.Pool`
	var w sync.WaitGroup // want `sync.WaitGroup`
	var o sync.Once
	_, _, _ = &m, &p, &w
	_ = sync.NewCond(nil) // want `sync.NewCond`
	o.Do(nil)
}

func machine() {
	runtime.SetFinalizer(nil, nil) // want `runtime.SetFinalizer`
	_ = runtime.NumCPU()           // want `runtime.NumCPU`
	_ = runtime.GOMAXPROCS(0)      // want `runtime.GOMAXPROCS`
	_ = runtime.GOOS
}

func pointers(p *int, u uintptr, format string) {
	_ = uintptr(unsafe.Pointer(p)) // want `pointer as a number`
	_ = uintptr(u)
	_ = unsafe.Sizeof(p)
	_ = fmt.Sprintf("%-8p", p) // want `%p in a format`
	_ = fmt.Sprintf("100%%p %d", 1)
	_ = fmt.Sprintf(format, "percent")
}

func reflection(v reflect.Value) {
	_ = v.MapKeys()  // want `MapKeys: the order changes`
	_ = v.MapRange() // want `MapRange: the order changes`
	_ = v.Len()
}

func coroutine(s iter.Seq[int]) {
	_, _ = iter.Pull(s) // want `coroutines belong to the simulator`
}
