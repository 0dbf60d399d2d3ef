// Package monitor answers what operators ask: the HTTP endpoints and the
// Prometheus metrics.
package monitor

import (
	"net/http"
	"time"

	"github.com/lockstepmq/lockstep/clock"
	"github.com/lockstepmq/lockstep/server/broker"
	"github.com/lockstepmq/lockstep/server/config"
)

// Config is what a monitor asks.
type Config struct {
	Broker       *broker.Broker
	Clock        clock.Clock
	Options      func() *config.Options
	Started      time.Time
	ConfigLoaded func() time.Time
	Digest       func() string
	Listening    func() error
}

// Monitor answers.
type Monitor struct{ c Config }

// New makes a monitor.
func New(c Config) *Monitor { return &Monitor{c} }

// Handler serves.
func (m *Monitor) Handler() http.Handler { return http.NotFoundHandler() }
