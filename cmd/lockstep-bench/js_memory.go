package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// settleTime lets a server give back what it collected.
const settleTime = 5 * time.Second

// storedMemory measures what a message on a subject of its own costs, and a further one on a
// subject that is there.
func (s *settings) storedMemory(t table.Writer, nats string, pair [2]*process) error {
	for _, storage := range []string{"file", "memory"} {
		if err := s.withStore(pair, storeLazy, storeDefault); err != nil {
			return err
		}
		var subject, message [2]float64
		for i, p := range pair {
			fmt.Fprintf(os.Stderr, "\rmemory of messages in %s's %s store\033[K", p.name, storage)
			before, err := p.rss()
			if err != nil {
				return err
			}
			n := strconv.Itoa(s.subjects)
			if _, err := p.cli(nats, "bench", "js", "pub", "async", "bench", "--create", "--maxbytes", "4GB", "--storage", storage, "--size", "128B",
				"--msgs", n, "--multisubject", "--multisubjectmax", "0", "--no-progress"); err != nil {
				return err
			}
			time.Sleep(settleTime)
			first, err := p.rss()
			if err != nil {
				return err
			}
			if _, err := p.cli(nats, "bench", "js", "pub", "async", "bench.1", "--size", "128B", "--msgs", n, "--no-progress"); err != nil {
				return err
			}
			time.Sleep(settleTime)
			second, err := p.rss()
			if err != nil {
				return err
			}
			subject[i], message[i] = (first-before)/float64(s.subjects), (second-first)/float64(s.subjects)
		}
		fmt.Fprint(os.Stderr, "\r\033[K")
		name := fmt.Sprintf("%d subjects with a message each, %s", s.subjects, storage)
		t.AppendRow(table.Row{name, "bytes of RSS each", fmt.Sprintf("%.0f", subject[0]), fmt.Sprintf("%.0f", subject[1]), fmt.Sprintf("%.2f", subject[0]/subject[1]), atMost(subject[0]/subject[1], 0.6)})
		name = fmt.Sprintf("%d more messages on one subject, %s", s.subjects, storage)
		t.AppendRow(table.Row{name, "bytes of RSS each", fmt.Sprintf("%.0f", message[0]), fmt.Sprintf("%.0f", message[1]), fmt.Sprintf("%.2f", message[0]/message[1]), atMost(message[0]/message[1], 0.6)})
	}
	return nil
}

// js opens a connection for JetStream.
func (p *process) js() (*nats.Conn, jetstream.JetStream, error) {
	nc, err := nats.Connect(p.url(), nats.Timeout(30*time.Second))
	if err != nil {
		return nil, nil, err
	}
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(time.Minute))
	return nc, js, err
}

// objects measures puts and gets of a large object.
func (s *settings) objects(t table.Writer, _ string, pair [2]*process) error {
	content := make([]byte, s.object)
	_, _ = rand.Read(content) // documented never to fail
	if err := s.objectRuns(t, pair, content, storeLazy, "lazy flush on both", 1); err != nil {
		return err
	}
	return s.objectRuns(t, pair, content, storeDefault, "default of each", 0)
}

func (s *settings) objectRuns(t table.Writer, pair [2]*process, content []byte, ours, mode string, target float64) error {
	if err := s.withStore(pair, ours, storeDefault); err != nil {
		return err
	}
	var put, get [2][]float64
	for run := range s.runs {
		for i, p := range pair {
			fmt.Fprintf(os.Stderr, "\robject store run %d of %d on %s\033[K", run+1, s.runs, p.name)
			a, b, err := p.object(run, content)
			if err != nil {
				return err
			}
			put[i], get[i] = append(put[i], a), append(get[i], b)
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	for _, r := range []struct {
		name string
		v    [2][]float64
	}{{"put", put}, {"get", get}} {
		a, b := median(r.v[0]), median(r.v[1])
		t.AppendRow(table.Row{fmt.Sprintf("object store %s, %d MiB, %s", r.name, s.object>>20, mode), "MiB/s", fmt.Sprintf("%.0f", a), fmt.Sprintf("%.0f", b), fmt.Sprintf("%.2f", a/b), atLeast(a/b, target)})
	}
	return nil
}

// object puts and gets an object, and tells the MiB a second of each.
func (p *process) object(run int, content []byte) (put, get float64, err error) {
	nc, js, err := p.js()
	if err != nil {
		return 0, 0, err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	bucket, err := js.CreateOrUpdateObjectStore(ctx, jetstream.ObjectStoreConfig{Bucket: "bench"})
	if err != nil {
		return 0, 0, err
	}
	mib := float64(len(content)) / (1 << 20)
	name := "object" + strconv.Itoa(run)
	began := time.Now()
	if _, err := bucket.PutBytes(ctx, name, content); err != nil {
		return 0, 0, err
	}
	put = mib / time.Since(began).Seconds()
	began = time.Now()
	r, err := bucket.Get(ctx, name)
	if err != nil {
		return 0, 0, err
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); err != nil || n != int64(len(content)) {
		return 0, 0, fmt.Errorf("got %d bytes of an object of %d: %w", n, len(content), err)
	}
	get = mib / time.Since(began).Seconds()
	return put, get, bucket.Delete(ctx, name)
}

// restarts measures the time from kill -9 and start to the first answer of the stream.
func (s *settings) restarts(t table.Writer, nats string, pair [2]*process) error {
	if err := s.withStore(pair, storeLazy, storeDefault); err != nil {
		return err
	}
	var took [2][]float64
	for _, p := range pair {
		fmt.Fprintf(os.Stderr, "\rfilling the store of %s\033[K", p.name)
		if _, err := p.cli(nats, "bench", "js", "pub", "async", "bench", "--create", "--maxbytes", "20GB", "--msgs", strconv.Itoa(s.restart), "--size", "128B",
			"--multisubject", "--multisubjectmax", "100000", "--no-progress"); err != nil {
			return err
		}
	}
	for range s.runs {
		for i, p := range pair {
			fmt.Fprintf(os.Stderr, "\rrestarting %s\033[K", p.name)
			d, err := p.restartTime(s.restart)
			if err != nil {
				return err
			}
			took[i] = append(took[i], d)
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	a, b := median(took[0]), median(took[1])
	verdict := atMost(a/b, 0.5)
	if a > 2 {
		verdict += ", " + missed("2 s")
	}
	t.AppendRow(table.Row{fmt.Sprintf("restart after kill -9, %d messages on 100,000 subjects", s.restart), "seconds", fmt.Sprintf("%.2f", a), fmt.Sprintf("%.2f", b), fmt.Sprintf("%.2f", a/b), verdict})
	return nil
}

// restartTime kills the server, starts it, and waits for the stream with its n messages.
func (p *process) restartTime(n int) (float64, error) {
	p.stop()
	began := time.Now()
	if err := p.launch(); err != nil {
		return 0, err
	}
	nc, js, err := p.js()
	if err != nil {
		return 0, err
	}
	defer nc.Close()
	for {
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		stream, err := js.Stream(ctx, benchStream)
		cancel()
		switch {
		case err == nil && stream.CachedInfo().State.Msgs == uint64(n):
			return time.Since(began).Seconds(), nil
		case err == nil:
			return 0, fmt.Errorf("%s has %d messages after the restart, not %d", p.name, stream.CachedInfo().State.Msgs, n)
		case time.Since(began) > 10*time.Minute:
			return 0, fmt.Errorf("%s does not know its stream: %w", p.name, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
