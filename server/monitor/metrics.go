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
	m    *Monitor
	want scrape
}

// Describe tells nothing: which metrics there are depends on accounts and
// connections.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect hands over what the answers of the moment say.
func (c *collector) Collect(to chan<- prometheus.Metric) {
	for _, s := range c.m.samples(c.want) {
		d := prometheus.NewDesc(s.name, s.help, s.labels, nil)
		metric, err := prometheus.NewConstMetric(d, valueTypes[s.kind], s.value, s.values...)
		if err != nil {
			metric = prometheus.NewInvalidMetric(d, err)
		}
		to <- metric
	}
}

// registry has the server's metrics and those of the Go runtime and the process.
func (m *Monitor) registry(want scrape) *prometheus.Registry {
	r := prometheus.NewRegistry()
	r.MustRegister(
		&collector{m, want}, collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return r
}

// metrics serves /metrics; with ?connz=detailed also one series per connection, with
// ?jsz=consumers also those of consumers, with ?jsz=accounts none of streams.
func (m *Monitor) metrics() http.HandlerFunc {
	handlers := make(map[scrape]http.Handler)
	for d := range depths {
		for _, connections := range []bool{false, true} {
			want := scrape{connections, d}
			handlers[want] = promhttp.HandlerFor(m.registry(want), promhttp.HandlerOpts{})
		}
	}
	return func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		handlers[scrape{q.Get("connz") == "detailed", depthOf(q.Get("jsz"))}].ServeHTTP(w, r)
	}
}
