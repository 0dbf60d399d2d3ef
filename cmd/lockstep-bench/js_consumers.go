package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// consumerCosts is what idle consumers cost.
type consumerCosts struct {
	bytes, creations   float64 // of RSS each; a second
	idle               float64 // CPU seconds a second with all of them idle
	deliveries, beside float64 // messages a second to an active one, without and with idle ones
}

// theirConsumersMax bounds the consumers made on the other server, which is slow at it.
const theirConsumersMax = 10_000

// manyConsumers measures what many durable consumers of a stream cost.
func (s *settings) manyConsumers(t table.Writer, nats string, pair [2]*process) error {
	noLimit := "limits {default_max_consumers: -1}"
	if err := s.withStore(pair, noLimit, noLimit); err != nil {
		return err
	}
	var cost [2]consumerCosts
	for i, p := range pair {
		n := s.consumers
		if i == 1 {
			n = min(n, theirConsumersMax)
		}
		fmt.Fprintf(os.Stderr, "\r%d consumers on %s\033[K", n, p.name)
		var err error
		if cost[i], err = s.consumersOf(nats, p, n); err != nil {
			return err
		}
	}
	fmt.Fprint(os.Stderr, "\r\033[K")
	row := func(name, unit string, a, b float64, verdict string) {
		t.AppendRow(table.Row{name, unit, fmt.Sprintf("%.0f", a), fmt.Sprintf("%.0f", b), fmt.Sprintf("%.2f", a/b), verdict})
	}
	a, b := cost[0], cost[1]
	row(fmt.Sprintf("%d durable consumers (the other: %d)", s.consumers, min(s.consumers, theirConsumersMax)), "bytes of RSS each", a.bytes, b.bytes, within(a.bytes <= 2048, "2,048"))
	row("", "creations/s", a.creations, b.creations, within(a.creations >= 10_000, "10,000"))
	row("", "idle CPU, ms/s", a.idle*1000, b.idle*1000, within(a.idle < 0.01, "none"))
	row("", "deliveries/s without them", a.deliveries, b.deliveries, "")
	row("", "deliveries/s beside them", a.beside, b.beside, within(a.beside >= 0.9*a.deliveries, "as without"))
	return nil
}

// deliveredMsgs is the length of a run of deliveries.
const deliveredMsgs = 200_000

func (s *settings) consumersOf(nats string, p *process, n int) (c consumerCosts, err error) {
	nc, js, err := p.js()
	if err != nil {
		return c, err
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: benchStream, Subjects: []string{"bench.>"}, MaxConsumers: n + 10}); err != nil {
		return c, err
	}
	msgs := int(deliveredMsgs * s.scale)
	if _, err := p.cli(nats, "bench", "js", "pub", "async", "bench.x", "--msgs", strconv.Itoa(msgs), "--size", "128B", "--no-progress"); err != nil {
		return c, err
	}
	l := jsLoad{kind: "js consume", clients: 1, durable: "active"}
	deliver := func() (float64, error) {
		var rates []float64
		for range s.runs {
			r, _, err := s.jsRun(nats, p, l, msgs)
			if err != nil {
				return 0, err
			}
			rates = append(rates, r)
		}
		return median(rates), nil
	}
	if c.deliveries, err = deliver(); err != nil {
		return c, err
	}
	before, err := p.rss()
	if err != nil {
		return c, err
	}
	if c.creations, err = createConsumers(nc, n); err != nil {
		return c, err
	}
	time.Sleep(settleTime)
	after, err := p.rss()
	if err != nil {
		return c, err
	}
	c.bytes = (after - before) / float64(n)
	used, err := p.cpu()
	if err != nil {
		return c, err
	}
	time.Sleep(settleTime)
	idle, err := p.cpu()
	if err != nil {
		return c, err
	}
	c.idle = (idle - used) / settleTime.Seconds()
	c.beside, err = deliver()
	return c, err
}

// createWindow is how many requests to create a consumer are under way.
const createWindow = 256

// createConsumers makes n durable consumers and tells how many a second.
func createConsumers(nc *nats.Conn, n int) (float64, error) {
	inbox := nats.NewInbox()
	sub, err := nc.SubscribeSync(inbox)
	if err != nil {
		return 0, err
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return 0, err
	}
	began, flying := time.Now(), 0
	for i := range n {
		name := "idle" + strconv.Itoa(i)
		request := fmt.Sprintf(`{"stream_name":%q,"config":{"durable_name":%q,"name":%q,"ack_policy":"explicit","filter_subject":"bench.idle.%d"},"action":"create"}`, benchStream, name, name, i)
		if err := nc.PublishRequest("$JS.API.CONSUMER.CREATE."+benchStream+"."+name+".bench.idle."+strconv.Itoa(i), inbox, []byte(request)); err != nil {
			return 0, err
		}
		if flying++; flying == createWindow {
			if err := created(sub); err != nil {
				return 0, err
			}
			flying--
		}
	}
	for ; flying > 0; flying-- {
		if err := created(sub); err != nil {
			return 0, err
		}
	}
	return float64(n) / time.Since(began).Seconds(), nil
}

// created awaits an answer.
func created(sub *nats.Subscription) error {
	m, err := sub.NextMsg(time.Minute)
	if err != nil {
		return err
	}
	var answer struct {
		Error *struct {
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &answer); err != nil {
		return err
	}
	if answer.Error != nil {
		return fmt.Errorf("create a consumer: %s", answer.Error.Description)
	}
	return nil
}
