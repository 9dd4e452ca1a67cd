// Package load keeps a number of operations under way and measures them: how
// many a second, how long each took, and what CPU they cost. It owns the clock
// readings and histograms of a run, and promises that measuring allocates
// nothing per operation. The suite (package bench) and its references call it.
//
//	slot 0: one ─ one ─ one ─ …      a slot is a goroutine that does one
//	slot 1: one ─ one ─ one ─ …      operation after the other
//	  ⋮     ├ warm-up ┤ measured ┤
package load

import (
	"context"
	"errors"
	"fmt"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/core/step"
)

const (
	latencyMin = int64(100)      // ns: below that a clock reading weighs as much
	latencyMax = int64(60 * 1e9) // ns: anything above is counted as that
	digits     = 3               // of a latency that are kept
)

// Job is what one run does.
type Job struct {
	Clock  func() step.Time
	Depth  int           // operations under way
	WarmUp time.Duration // not measured
	Span   time.Duration // measured; not with Count
	Count  int64         // operations to measure instead of a span, shared by the slots
	Bytes  int           // that one operation moves
	// One performs one operation of a slot and returns when it has ended. It is
	// called on the slot's goroutine.
	One func(slot int) error

	left atomic.Int64 // of Count
}

// Sample is what one run measured.
type Sample struct {
	Elapsed time.Duration
	Count   int64
	Bytes   int64
	Latency *hdrhistogram.Histogram // ns
	CPU     time.Duration           // user and system, of the whole process
	Mallocs uint64                  // of the whole process
}

// slot is one goroutine's part of a run.
type slot struct {
	latency *hdrhistogram.Histogram
	count   int64
	err     error
}

// Run performs j. An error of an operation ends the run and is returned.
func Run(ctx context.Context, j *Job) (*Sample, error) {
	slots := make([]slot, j.Depth)
	for i := range slots {
		slots[i].latency = hdrhistogram.New(latencyMin, latencyMax, digits)
	}
	if err := j.pass(ctx, slots, j.WarmUp); err != nil {
		return nil, err
	}
	for i := range slots {
		slots[i].latency.Reset()
		slots[i].count = 0
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	cpu, begin := ProcessCPU(), j.Clock()
	span := j.Span
	if j.Count > 0 {
		j.left.Store(j.Count)
		span = math.MaxInt64 / 2
	}
	err := j.pass(ctx, slots, span)
	s := &Sample{Elapsed: j.Clock().Sub(begin), CPU: ProcessCPU() - cpu, Latency: slots[0].latency}
	runtime.ReadMemStats(&after)
	s.Mallocs = after.Mallocs - before.Mallocs
	for i := range slots {
		s.Count += slots[i].count
		if i > 0 {
			s.Latency.Merge(slots[i].latency)
		}
	}
	s.Bytes = s.Count * int64(j.Bytes)
	return s, err
}

// pass runs all slots for span.
func (j *Job) pass(ctx context.Context, slots []slot, span time.Duration) error {
	end := j.Clock().Add(span)
	var running sync.WaitGroup
	for i := range slots {
		running.Go(func() { slots[i].err = j.work(ctx, &slots[i], i, end) })
	}
	running.Wait()
	var errs []error
	for i := range slots {
		errs = append(errs, slots[i].err)
	}
	return errors.Join(errs...)
}

// work is one slot until end: the end of one operation is the begin of the next.
func (j *Job) work(ctx context.Context, s *slot, number int, end step.Time) error {
	for at := j.Clock(); at < end && (j.Count == 0 || j.left.Add(-1) >= 0); {
		if err := j.One(number); err != nil {
			return fmt.Errorf("operation %d of slot %d: %w", s.count, number, err)
		}
		now := j.Clock()
		if err := s.latency.RecordValue(min(int64(now.Sub(at)), latencyMax)); err != nil {
			return err
		}
		s.count++
		if at = now; s.count&255 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return nil
}

// ProcessCPU returns the time that this process has spent on all cores.
func ProcessCPU() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0 // cannot fail for the process itself
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Figures are the metrics of one run, or medians of several.
type Figures map[Metric]float64

// Metric names a figure; its unit is fixed.
type Metric string

// The metrics.
const (
	IOPS   Metric = "iops"
	MBps   Metric = "throughput"
	P50    Metric = "p50"
	P99    Metric = "p99"
	P999   Metric = "p99.9"
	CPU    Metric = "cpu"    // per operation
	Allocs Metric = "allocs" // per operation
	Time   Metric = "time"
	RSS    Metric = "rss"
	Moved  Metric = "moved" // by the network, beyond writes

	// Of the simulation: by CPU time, but for what is by the clock.
	Events       Metric = "events"
	Seeds        Metric = "seeds"
	SeedsByClock Metric = "seeds by the clock"
	Checked      Metric = "checked"
	Share        Metric = "share" // of runs
	Faults       Metric = "faults"
	Operations   Metric = "operations"
)

// Unit returns the unit in which m is given.
func (m Metric) Unit() string {
	switch m {
	case IOPS, Checked:
		return "1/s"
	case Events:
		return "1/s of a core"
	case Seeds, SeedsByClock:
		return "1/min"
	case Share:
		return "%"
	case MBps:
		return "MB/s"
	case Allocs, Faults, Operations:
		return "1"
	case Time:
		return "s"
	case RSS, Moved:
		return "MiB"
	default:
		return "µs"
	}
}

// Figures returns what a sample says.
func (s *Sample) Figures() Figures {
	seconds, count := s.Elapsed.Seconds(), math.Max(float64(s.Count), 1)
	micros := func(quantile float64) float64 { return float64(s.Latency.ValueAtQuantile(quantile)) / 1e3 }
	f := Figures{
		IOPS: float64(s.Count) / seconds,
		P50:  micros(50), P99: micros(99), P999: micros(99.9),
		CPU:    float64(s.CPU.Nanoseconds()) / 1e3 / count,
		Allocs: float64(s.Mallocs) / count,
	}
	if s.Bytes > 0 {
		f[MBps] = float64(s.Bytes) / 1e6 / seconds
	}
	return f
}

// Per returns the figures of runs whose operations were n each.
func (f Figures) Per(n int) Figures {
	out := Figures{}
	for m, v := range f { // any order: each is its own
		switch m {
		case IOPS:
			out[m] = v * float64(n)
		case MBps:
			out[m] = v
		default:
			out[m] = v / float64(n)
		}
	}
	return out
}
