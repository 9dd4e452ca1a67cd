package bench

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/bench/hosts"
	"github.com/lagan-storage/lagan/bench/load"
	"github.com/lagan-storage/lagan/bench/reference"
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/store"
)

const (
	nodes    = 3
	idleSpan = time.Second
	largeIO  = 128 << 10
	deepest  = 32 // operations under way in the throughput benches
	largeDep = 8  // the same, of large ones
)

// layout is a volume and where its copies are; it is always served by the first
// node.
type layout struct {
	name   string
	copies []int // nodes, by index
}

func layouts() []layout {
	return []layout{
		{"1-copy", []int{0}},
		{"2-copies", []int{0, 1}},
		{"3-copies", []int{0, 1, 2}},
		{"2-copies-remote", []int{1, 2}},
	}
}

// engine is the clusters under measurement: the same volumes on both.
type engine struct {
	plain, tls *hosts.Cluster
	clients    map[string]*client // by layout and "/plain" or "/tls"
}

// measureEngine measures volumes from within the node that serves them.
func (s *suite) measureEngine(ctx context.Context) (err error) {
	e := &engine{clients: map[string]*client{}}
	defer func() { err = errors.Join(err, e.close()) }()
	if err := s.openEngine(ctx, e); err != nil {
		if ctx.Err() != nil {
			return err
		}
		for _, c := range s.engineContests(e) {
			s.skip(c.name+"/*", err)
		}
		return nil
	}
	if err := s.measureIdle(ctx); err != nil {
		return err
	}
	for _, c := range s.engineContests(e) {
		if err := s.hold(ctx, &c); err != nil {
			return err
		}
	}
	return s.measureDevice(ctx, e)
}

func (e *engine) close() error {
	var errs []error
	for _, c := range []*hosts.Cluster{e.plain, e.tls} {
		if c != nil {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// openEngine starts both clusters, and makes, verifies and fills the volumes.
func (s *suite) openEngine(ctx context.Context, e *engine) (err error) {
	begin := s.Clock()
	if e.plain, err = s.openCluster(ctx, true, s.scale.disk); err != nil {
		return err
	}
	// It holds one volume where the other holds three.
	if e.tls, err = s.openCluster(ctx, false, s.scale.disk-2*s.scale.volume); err != nil {
		return err
	}
	for _, l := range layouts() {
		if err := s.openVolume(ctx, e, e.plain, l, "/plain"); err != nil {
			return err
		}
	}
	err = s.openVolume(ctx, e, e.tls, layouts()[1], "/tls")
	s.printf("\nvolumes made, verified (%d blocks each) and filled in %.1f s\n", s.scale.verified, s.Clock().Sub(begin).Seconds())
	return err
}

func (s *suite) openCluster(ctx context.Context, plain bool, disk int64) (*hosts.Cluster, error) {
	return hosts.Open(ctx, hosts.Params{
		Dir: s.Out, Nodes: nodes, Plain: plain, Disk: disk, Journal: s.scale.journal,
		Limits: store.Limits{CacheBytes: s.scale.cache, RecentBytes: s.scale.recent}, Clock: s.Clock, Now: s.Now, Log: s.Log,
	})
}

func (s *suite) openVolume(ctx context.Context, e *engine, on *hosts.Cluster, l layout, suffix string) error {
	if err := on.Create(ctx, l.name, s.scale.volume, l.copies...); err != nil {
		return err
	}
	v, err := on.Attach(ctx, 0, l.name)
	if err != nil {
		return err
	}
	c := &client{volume: v, pool: on.Pool(0), clock: s.Clock}
	if err := c.verify(s.scale.verified); err != nil {
		return fmt.Errorf("volume %s%s does not keep its data: %w", l.name, suffix, err)
	}
	if err := c.fill(ctx); err != nil {
		return fmt.Errorf("volume %s%s: %w", l.name, suffix, err)
	}
	e.clients[l.name+suffix] = c
	return nil
}

// measureIdle learns what the heartbeats of nodes and etcd allocate, which is no
// part of any operation.
func (s *suite) measureIdle(ctx context.Context) error {
	if err := s.settle(ctx); err != nil {
		return err
	}
	sample, err := load.Run(ctx, &load.Job{
		Clock: s.Clock, Depth: 1, Span: idleSpan,
		One: func(int) error {
			window, cancel := context.WithTimeout(ctx, quietWindow)
			defer cancel()
			<-window.Done()
			return ctx.Err()
		},
	})
	if err == nil {
		s.idle = float64(sample.Mallocs) / sample.Elapsed.Seconds()
		s.printf("an idle engine allocates %.0f times a second: taken off the figures below\n", s.idle)
	}
	return err
}

// on returns a contender for each of the named volumes.
func (s *suite) on(e *engine, p pattern, names ...string) (list []contender) {
	for _, name := range names {
		list = append(list, contender{name, func(ctx context.Context, warmUp, span time.Duration) (load.Figures, error) {
			f, err := e.clients[name].run(ctx, &p, warmUp, span)
			if err == nil {
				f[load.Allocs] = max(0, f[load.Allocs]-s.idle/f[load.IOPS])
			}
			return f, err
		}})
	}
	return list
}

// engineContests is what is measured of the engine.
func (s *suite) engineContests(e *engine) []contest {
	all := []string{"1-copy/plain", "2-copies/plain", "2-copies/tls", "3-copies/plain"}
	more := append(all[:len(all):len(all)], "2-copies-remote/plain")
	two := []string{"2-copies/plain", "2-copies/tls"}
	write := func(length, depth int, random, flush bool) (pattern, reference.Pattern) {
		return pattern{writes: 100, random: random, flush: flush, length: length, depth: depth},
			reference.Pattern{Write: true, Random: random, Sync: flush, Length: length, Depth: depth}
	}
	write1, rawWrite1 := write(block.Size, 1, true, false)
	write32, rawWrite32 := write(block.Size, deepest, true, false)
	flush1, rawFlush1 := write(block.Size, 1, false, true)
	large, rawLarge := write(largeIO, largeDep, false, false)
	read := func(depth int) (pattern, reference.Pattern) {
		return pattern{random: true, length: block.Size, depth: depth}, reference.Pattern{Random: true, Length: block.Size, Depth: depth}
	}
	read1, rawRead1 := read(1)
	read32, rawRead32 := read(deepest)
	mixed := pattern{writes: 30, random: true, length: block.Size, depth: deepest}
	const accepted = "acknowledged means accepted: the journal write of every copy has completed"
	const flushed = "each write is followed by a flush; raw appends and calls fdatasync"
	withRaw := func(p reference.Pattern, ours []contender) []contender {
		return append([]contender{{"raw", s.rawRun(p)}, {"fio", s.fioRun(p)}}, ours...)
	}
	return []contest{
		{name: "write-4k-qd1", against: "loopback", conditions: accepted, contenders: slices.Concat(
			[]contender{{"loopback", s.network.Run}, {"raw-two-files", s.twinRun(rawWrite1)}}, withRaw(rawWrite1, s.on(e, write1, more...)),
		)},
		{name: "write-4k-qd32", against: "raw", conditions: accepted, contenders: withRaw(rawWrite32, s.on(e, write32, more...))},
		{name: "flush-4k-qd1", against: "raw", conditions: flushed, contenders: slices.Concat(
			[]contender{{"raw-two-files", s.twinRun(rawFlush1)}}, withRaw(rawFlush1, s.on(e, flush1, all...)),
		)},
		{name: "write-128k-qd8", against: "raw", conditions: "sequential; " + accepted, contenders: withRaw(rawLarge, s.on(e, large, all...))},
		{name: "read-4k-qd1", against: "raw", conditions: s.readConditions(), contenders: withRaw(rawRead1, s.on(e, read1, two...))},
		{name: "read-4k-qd32", against: "raw", conditions: s.readConditions(), contenders: withRaw(rawRead32, s.on(e, read32, two...))},
		{name: "mixed-4k-qd32", conditions: "30 % writes; " + accepted, contenders: s.on(e, mixed, two...)},
		{name: "sustained-4k-qd32", conditions: s.sustainedConditions(), rounds: 1, span: s.scale.sustained, contenders: s.on(e, write32, two...)},
	}
}

func (s *suite) readConditions() string {
	return fmt.Sprintf("volume of %d MiB, written from end to end, caches of %d MiB a disk; served by the local copy", s.scale.volume>>20, (s.scale.cache+s.scale.recent)>>20)
}

func (s *suite) sustainedConditions() string {
	const perSecond = 20000 * (block.Size + block.Size/16) // a header for some sixteen writes
	return fmt.Sprintf("one run of %v; three fills of the journal (%d MiB) take about %d s at 20000 writes/s",
		s.scale.sustained, s.scale.journal>>20, 3*s.scale.journal/perSecond+1)
}
