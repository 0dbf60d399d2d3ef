//lockstep:exempt waits for strands on behalf of those who ask from outside
package monitor

import (
	"errors"
	"time"
)

// answerWait is how long somebody outside waits for JetStream to answer.
const answerWait = 10 * time.Second

var errNoAnswer = errors.New("JetStream did not answer in time")

// await asks, and waits for the answer. It must not be called from a strand.
func await[T any](ask func(done func(T))) (T, error) {
	answer := make(chan T, 1)
	ask(func(v T) { answer <- v })
	select {
	case v := <-answer:
		return v, nil
	default:
	}
	late := time.NewTimer(answerWait)
	defer late.Stop()
	select {
	case v := <-answer:
		return v, nil
	case <-late.C:
		var none T
		return none, errNoAnswer
	}
}

// Jsz is [Monitor.AskJsz] for callers outside of all strands: it waits.
func (m *Monitor) Jsz(opts *JSzOptions) (*JSInfo, error) {
	type answer struct {
		z   *JSInfo
		err error
	}
	a, err := await(func(done func(answer)) {
		m.AskJsz(opts, func(z *JSInfo, err error) { done(answer{z, err}) })
	})
	if err != nil {
		return nil, err
	}
	return a.z, a.err
}

// Healthz is [Monitor.AskHealthz] for callers outside of all strands: it waits.
func (m *Monitor) Healthz(opts *HealthzOptions) *HealthStatus {
	h, err := await(func(done func(*HealthStatus)) { m.AskHealthz(opts, done) })
	if err != nil {
		return m.verdict(&HealthzOptions{}, 503, "unavailable", []HealthzError{{Type: HealthzErrorJetStream, Error: err.Error()}})
	}
	return h
}
