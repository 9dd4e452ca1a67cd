// Package metrics shows what a node knows of itself to Prometheus. It owns the
// names of the metrics, which docs/metrics.md lists, and their registry: nothing
// is registered globally, so many nodes live in one process. It counts nothing
// but API requests: what it shows is read where it is, at every scrape.
//
//	host.Host (cluster, disks, volumes, events) ──┐
//	transport, metadata store ────────────────────┼──▶ Metrics ──▶ /metrics
//	API ── Count ─────────────────────────────────┘
//
// A scrape takes a shard's lock for a few loads. How many series there are
// follows from the volumes attached here and the node's disks, not from who
// asks for what. cmd/lagan makes it and hands its handler to the API.
package metrics

import (
	"log/slog"
	"net/http"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport/tcp"
)

// scrapesMax is how many scrapes are answered at once: two servers that scrape,
// and one person who looks.
const scrapesMax = 3

// Params is what Metrics is made from.
type Params struct {
	Node      volume.Node // this node's record
	Host      *host.Host
	Transport func() tcp.Figures
	Reachable func() bool // whether the metadata store answers
	Log       *slog.Logger
}

// Metrics is a node's registry.
type Metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	log      *slog.Logger
}

// New returns the metrics of a node.
func New(p Params) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(), log: p.Log,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: catalogue[requests].name, Help: catalogue[requests].help}, catalogue[requests].labels),
	}
	m.registry.MustRegister(
		&source{p},
		m.requests,
		collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Handler answers scrapes.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorLog:            slog.NewLogLogger(m.log.Handler(), slog.LevelWarn),
		ErrorHandling:       promhttp.ContinueOnError, // what can be shown is worth more than nothing
		MaxRequestsInFlight: scrapesMax,
	})
}

// nouns are the routes of the API that requests are counted by: what stands
// first in a path, after the version. Names of volumes and the like are no part
// of it, or everybody who asks could make series.
func nouns() []string {
	return []string{
		"alerts", "cluster", "disks", "events", "healthz", "join", "metrics", "nodes", "openapi.yaml", "operations", "readyz", "rebalance", "status", "stop", "tokens",
		"volumes",
	}
}

// other is the route of all other requests.
const other = "other"

// Count returns a handler that counts the requests that next answers.
func (m *Metrics) Count(next http.Handler) http.Handler {
	counted := map[string]http.Handler{}
	for _, noun := range append(nouns(), other) {
		counted[noun] = promhttp.InstrumentHandlerCounter(m.requests.MustCurryWith(prometheus.Labels{"route": noun}), next)
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		noun, _, _ := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(r.URL.Path, "/"), "v1/"), "/")
		handler := counted[noun]
		if handler == nil {
			handler = counted[other]
		}
		handler.ServeHTTP(w, r)
	})
}
