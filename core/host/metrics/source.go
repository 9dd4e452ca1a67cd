package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// source reads all metrics but the counted ones where they are.
type source struct{ p Params }

var _ prometheus.Collector = (*source)(nil)

// Describe implements prometheus.Collector.
func (s *source) Describe(out chan<- *prometheus.Desc) {
	for i := range catalogue {
		if i != requests {
			out <- catalogue[i].desc()
		}
	}
}

// Collect implements prometheus.Collector.
func (s *source) Collect(out chan<- prometheus.Metric) {
	c := collection{out: out}
	c.set(build, 1, s.p.Node.Name, s.p.Node.Version)
	s.collectCluster(&c)
	s.collectTransport(&c)
	s.collectDisks(&c)
	for _, v := range s.p.Host.VolumeFigures() {
		collectVolume(&c, &v)
	}
}

// collection is one scrape under way.
type collection struct {
	out   chan<- prometheus.Metric
	descs [count]*prometheus.Desc // made when they are first needed
}

func (c *collection) desc(number int) *prometheus.Desc {
	if c.descs[number] == nil {
		c.descs[number] = catalogue[number].desc()
	}
	return c.descs[number]
}

func (c *collection) set(number int, value float64, labels ...string) {
	kind := prometheus.GaugeValue
	if catalogue[number].kind == "counter" {
		kind = prometheus.CounterValue
	}
	for i := range labels {
		labels[i] = strings.ToValidUTF8(labels[i], "\uFFFD") // a path need not be text, a label must
	}
	c.out <- prometheus.MustNewConstMetric(c.desc(number), kind, value, labels...)
}

func (c *collection) setIf(number int, is bool, labels ...string) {
	value := 0.0
	if is {
		value = 1
	}
	c.set(number, value, labels...)
}

func (s *source) collectCluster(c *collection) {
	var tally map[volume.Health]int
	var machines []orchestrator.NodeStatus
	known, underWay := false, 0
	s.p.Host.View(func(o *orchestrator.Orchestrator) { // nothing is handed over under its lock
		known, underWay, tally, machines = o.Known(), o.UnderWay(), o.Tally(), o.Nodes()
	})
	c.set(commands, float64(underWay))
	if known { // otherwise nobody has counted yet, and it is not 0
		alive := 0
		for i := range machines {
			if machines[i].Alive {
				alive++
			}
		}
		c.set(nodes, float64(alive), "alive")
		c.set(nodes, float64(len(machines)-alive), "silent")
		for _, health := range []volume.Health{volume.Healthy, volume.Degraded, volume.Stalled, volume.Deleting, volume.Unreadable} {
			c.set(volumes, float64(tally[health]), string(health))
		}
	}
	c.setIf(reachable, s.p.Reachable())
	seen := s.p.Host.EventCounts()
	for _, kind := range volume.EventKinds() {
		c.set(events, float64(seen[kind]), string(kind))
	}
}

func (s *source) collectTransport(c *collection) {
	f := s.p.Transport()
	c.set(connections, float64(f.Connections))
	c.set(messages, float64(f.MessagesSent), "sent")
	c.set(messages, float64(f.MessagesReceived), "received")
	c.set(wireBytes, float64(f.BytesSent), "sent")
	c.set(wireBytes, float64(f.BytesReceived), "received")
}

func (s *source) collectDisks(c *collection) {
	for _, d := range s.p.Host.DiskFigures() {
		id := d.ID.String()
		c.set(diskCapacity, float64(d.Capacity), id, d.Path)
		c.set(diskFree, float64(d.Free), id, d.Path)
		c.set(diskPromised, float64(d.Promised), id, d.Path)
		c.set(diskMayPromise, float64(s.p.Node.MayPromise(&d.Disk)), id, d.Path)
		c.setIf(diskUnusable, d.Unusable != "", id, d.Path)
		c.setIf(diskAiling, d.Ailing != "", id, d.Path)
		c.set(diskWaiting, d.Work.Waiting.Seconds(), id, d.Path)
		for _, k := range []struct {
			name string
			did  volume.Operations
		}{{"read", d.Work.Reads}, {"write", d.Work.Writes}, {"sync", d.Work.Syncs}} {
			c.set(diskOperations, float64(k.did.Count), id, d.Path, k.name)
			c.set(diskErrors, float64(k.did.Errors), id, d.Path, k.name)
			c.set(diskBusy, k.did.Took.Seconds(), id, d.Path, k.name)
		}
		if d.Open {
			c.set(diskJournal, d.JournalFill, id, d.Path)
			c.collectScrub(&d.Scrub, s.p.Host.Now(), id, d.Path)
		}
	}
}

func (c *collection) collectScrub(r *host.ScrubReport, now time.Time, labels ...string) {
	progress, since := 1.0, r.Seen
	if r.Going {
		progress = min(1, float64(r.Read)/float64(max(1, r.Total)))
	}
	if r.Ended.After(since) {
		since = r.Ended
	}
	c.set(diskScrubbed, progress, labels...)
	c.set(diskScrubAge, now.Sub(since).Seconds(), labels...)
	c.set(diskScrubDamage, float64(r.Lost), labels...)
}

func collectVolume(c *collection, v *host.VolumeFigures) {
	c.setIf(serving, v.Serving, v.Name)
	c.set(epoch, float64(v.Epoch), v.Name)
	c.set(inSync, float64(v.InSync), v.Name)
	c.setIf(resyncing, v.Fill != nil, v.Name)
	fill := volume.Fill{}
	if v.Fill != nil {
		fill = *v.Fill
	}
	c.set(resyncDone, float64(fill.Done), v.Name)
	c.set(resyncTotal, float64(fill.Total), v.Name)
	c.set(resyncBytes, float64(v.Resynced), v.Name)
	c.set(repairedBlocks, float64(v.Repaired), v.Name)
	c.set(lostBlocks, float64(v.Lost), v.Name)
	c.set(requestsOpen, float64(v.Traffic.InFlight()), v.Name)
	for _, k := range []struct {
		kind step.RequestKind
		name string
	}{{step.ReadRequest, "read"}, {step.WriteRequest, "write"}, {step.ZeroRequest, "zero"}, {step.FlushRequest, "flush"}} {
		f := v.Traffic.Kind(k.kind)
		buckets := make(map[float64]uint64, len(f.Latency.UpTo))
		for i, n := range f.Latency.UpTo {
			buckets[seconds(f.Latency.Bounds[i])] = n
		}
		c.out <- prometheus.MustNewConstHistogram(c.desc(requestDuration), f.Latency.Count, seconds(f.Latency.Sum), buckets, v.Name, k.name)
		c.set(requestErrors, float64(f.Errors), v.Name, k.name)
		if k.kind != step.FlushRequest {
			c.set(requestBytes, float64(f.Bytes), v.Name, k.name)
		}
	}
}

// seconds is exact for the bounds: they are whole numbers of microseconds, and
// 0.0003 is to look like that on the page.
func seconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1e6 }
