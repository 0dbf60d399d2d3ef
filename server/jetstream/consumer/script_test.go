package consumer

import (
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/lockstepmq/lockstep/server/jetstream/api"
	"github.com/lockstepmq/lockstep/server/test/scripts"
	"github.com/lockstepmq/lockstep/storage/msgs"
)

// TestScripts runs the scripts of testdata: a command a line, after a blank line or more of them the
// output after ----, printed in full.
func TestScripts(t *testing.T) { scripts.Run(t, "testdata/*.txt", runScript) }

func runScript(t *testing.T, text string) string {
	w := newWorld(t)
	return scripts.Blocks(text, func(in string) string {
		w.out.Reset()
		for line := range scripts.Commands(in) {
			w.command(line)
		}
		return w.out.String()
	})
}

// command carries out one line of a script.
func (w *world) command(line string) {
	verb, rest, _ := strings.Cut(line, " ")
	args := strings.Fields(rest)
	switch verb {
	case "stream": // JSON
		if err := json.Unmarshal([]byte(rest), w.stream); err != nil {
			w.t.Fatal(line, err)
		}
	case "consumer": // JSON of the configuration
		w.out.Grow(1)
		w.create(config(rest))
	case "update":
		w.update(config(rest))
	case "publish": // subject [times [data [header]]]
		n, data, header := 1, "m", ""
		if len(args) > 1 {
			n, _ = strconv.Atoi(args[1])
		}
		if len(args) > 2 {
			data = args[2]
		}
		if len(args) > 3 {
			header = "NATS/1.0\r\n" + args[3] + "\r\n\r\n"
		}
		for range n {
			w.publish(args[0], header, data)
		}
	case "remove": // seq [limit|age|delete|purge]
		why := map[string]msgs.Why{"limit": msgs.ByLimit, "age": msgs.ByAge, "delete": msgs.ByDelete, "purge": msgs.ByPurge}
		w.remove(number(args[0]), why[append(args, "delete")[1]])
	case "purge": // to seq
		for seq := uint64(1); seq <= number(args[0]); seq++ {
			w.remove(seq, msgs.ByPurge)
		}
		w.c.Purged()
		w.drain()
	case "cold": // seq
		w.store.cold[number(args[0])] = true
	case "pull": // inbox [body]
		inbox, body, _ := strings.Cut(rest, " ")
		w.c.Pull(inbox, nil, []byte(body))
		w.drain()
	case "ack": // deliveries.sseq.dseq [payload]; ack? asks for an answer
		w.ack(args[0], strings.TrimSpace(strings.TrimPrefix(rest, args[0])), "")
	case "ack?":
		w.ack(args[0], strings.TrimSpace(strings.TrimPrefix(rest, args[0])), "ackbox")
	case "flow": // subject, or last for the latest question, [header]
		if args[0] == "last" {
			args[0] = w.question
		}
		header := ""
		if len(args) > 1 {
			header = "NATS/1.0\r\n" + strings.ReplaceAll(strings.Join(args[1:], " "), ",", "\r\n") + "\r\n\r\n"
		}
		w.c.FlowReply([]byte(args[0]), []byte(header))
		w.drain()
	case "advance":
		d, err := time.ParseDuration(rest)
		if err != nil {
			w.t.Fatal(line, err)
		}
		w.advance(d)
	case "wall": // duration: the wall clock is set forward by it, or back
		d, err := time.ParseDuration(rest)
		if err != nil {
			w.t.Fatal(line, err)
		}
		w.skew += int64(d)
	case "deaf": // inbox
		w.deaf[args[0]] = true
		w.c.InterestChanged(args[0])
		w.drain()
	case "hears":
		delete(w.deaf, args[0])
		w.c.InterestChanged(args[0])
		w.drain()
	case "records": // on, off: print them
		w.verbose = args[0] == "on"
	case "lazy": // on: records wait for commit
		w.lazy = args[0] == "on"
		w.drain()
	case "commit": // all, or n records
		n := len(w.log)
		if len(args) > 0 && args[0] != "all" {
			n = int(number(args[0]))
		}
		w.commit(n)
		w.drain()
	case "crash":
		w.crash()
	case "restart": // in order
		w.c.Stop(Shutdown)
		w.commit(len(w.log))
		w.crash()
	case "reload":
		w.reload()
	case "stop":
		reasons := map[string]Reason{"deleted": Deleted, "moved": Moved, "shutdown": Shutdown}
		w.c.Stop(reasons[args[0]])
	case "pause": // duration
		d, _ := time.ParseDuration(rest)
		w.c.Pause(time.Unix(0, w.Now()+int64(d)).UTC(), func() { w.printf("paused") })
		w.drain()
	case "startover": // seq
		w.c.StartOver(number(rest), func(seq uint64, _ *api.Error) { w.printf("starts over at %d", seq) })
		w.drain()
	case "reset": // [seq]
		seq := uint64(0)
		if len(args) > 0 && args[0] != "all" {
			seq = number(args[0])
		}
		w.c.Reset(seq, func(seq uint64, err *api.Error) {
			if err != nil {
				w.printf("reset: %v", err)
				return
			}
			w.printf("reset to %d", seq)
		})
		w.drain()
	case "unpin":
		w.printf("%v", w.c.Unpin(rest))
		w.drain()
	case "needs": // seqs
		for _, a := range args {
			w.printf("%s %v", a, w.c.Needs(number(a)))
		}
	case "info":
		w.printInfo()
	default:
		w.t.Fatalf("no command %q", line)
	}
}

func number(s string) uint64 {
	n, err := strconv.ParseUint(s, 10, 64)
	if err != nil {
		panic(err)
	}
	return n
}

// ack acknowledges by what the middle of an ack subject says.
func (w *world) ack(place, payload, reply string) {
	f := strings.Split(place, ".")
	a := &api.AckReply{
		Stream: []byte("S"), Consumer: []byte("C"), Delivered: number(f[0]), StreamSeq: number(f[1]), ConsumerSeq: number(f[2]),
	}
	w.c.Ack(a, []byte(payload), []byte(reply))
	w.drain()
}

func (w *world) printInfo() {
	i := w.c.Info()
	w.printf("delivered %d/%d floor %d/%d pending %d acks %d redelivered %d waiting %d%s%s",
		i.Delivered.Consumer, i.Delivered.Stream, i.AckFloor.Consumer, i.AckFloor.Stream, i.NumPending, i.NumAckPending,
		i.NumRedelivered, i.NumWaiting, map[bool]string{true: " bound"}[i.PushBound], map[bool]string{true: " paused"}[i.Paused])
	for _, g := range i.PriorityGroups {
		w.printf("group %s pinned %q", g.Group, g.PinnedClientID)
	}
}
