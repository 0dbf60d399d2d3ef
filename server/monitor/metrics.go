//lockstep:exempt the Prometheus library takes metrics from a channel
package monitor

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

var valueTypes = [...]prometheus.ValueType{
	gauge: prometheus.GaugeValue, counter: prometheus.CounterValue, untyped: prometheus.UntypedValue,
}

// collector computes the metrics at each scrape.
type collector struct {
	m        *Monitor
	detailed bool
}

// Describe tells nothing: which metrics there are depends on accounts and
// connections.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect hands over what the answers of the moment say.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	for _, s := range c.m.samples(c.detailed) {
		d := prometheus.NewDesc(s.name, s.help, s.labels, nil)
		metric, err := prometheus.NewConstMetric(d, valueTypes[s.kind], s.value, s.values...)
		if err != nil {
			metric = prometheus.NewInvalidMetric(d, err)
		}
		to <- metric
	}
}

// registry has the server's metrics and those of the Go runtime and the process.
func (m *Monitor) registry(detailed bool) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		&collector{m, detailed}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// metrics serves /metrics; with ?connz=detailed also one series per connection.
func (m *Monitor) metrics() http.HandlerFunc {
	plain := promhttp.HandlerFor(m.registry(false), promhttp.HandlerOpts{})
	detailed := promhttp.HandlerFor(m.registry(true), promhttp.HandlerOpts{})
	return func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("connz") == "detailed" {
			detailed.ServeHTTP(w, r)
			return
		}
		plain.ServeHTTP(w, r)
	}
}
