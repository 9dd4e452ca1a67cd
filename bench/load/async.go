package load

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/lagan-storage/lagan/core/step"
)

// Async measures operations whose end is told instead of waited for: no slot has
// a goroutine.
//
//	begin(slot) ─▶ … ─▶ Ended(slot) ─again─▶ …      until the span is over
type Async struct {
	clock   func() step.Time
	from    step.Time // the first moment that is measured
	until   step.Time
	slots   []asyncSlot
	running sync.WaitGroup
}

type asyncSlot struct {
	latency *hdrhistogram.Histogram
	begun   step.Time
	count   int64
	err     error
}

// NewAsync returns a run of depth operations under way.
func NewAsync(clock func() step.Time, depth int) *Async {
	a := &Async{clock: clock, slots: make([]asyncSlot, depth)}
	for i := range a.slots {
		a.slots[i].latency = hdrhistogram.New(latencyMin, latencyMax, digits)
	}
	return a
}

// Run measures operations of length bytes for span, after warmUp. begin begins
// the first operation of a slot.
func (a *Async) Run(ctx context.Context, warmUp, span time.Duration, length int, begin func(slot int)) (*Sample, error) {
	now := a.clock()
	a.from, a.until = now.Add(warmUp), now.Add(warmUp+span)
	for i := range a.slots {
		a.slots[i].begun = now
		a.running.Add(1)
		begin(i)
	}
	var before, after runtime.MemStats
	pause(ctx, warmUp)
	runtime.ReadMemStats(&before)
	cpu, at := ProcessCPU(), a.clock()
	pause(ctx, a.until.Sub(at))
	s := &Sample{Elapsed: span, CPU: ProcessCPU() - cpu, Latency: a.slots[0].latency, Bytes: int64(length)}
	runtime.ReadMemStats(&after)
	s.Mallocs = after.Mallocs - before.Mallocs
	a.running.Wait()
	errs := []error{ctx.Err()}
	for i := range a.slots {
		s.Count += a.slots[i].count
		errs = append(errs, a.slots[i].err)
		if i > 0 {
			s.Latency.Merge(a.slots[i].latency)
		}
	}
	s.Bytes *= s.Count
	return s, errors.Join(errs...)
}

// pause waits for span or for the end of ctx.
func pause(ctx context.Context, span time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, span)
	defer cancel()
	<-ctx.Done()
}

// Ended notes that a slot's operation has ended, and says whether it begins
// another one. It is called by one goroutine at a time for each slot.
func (a *Async) Ended(slot int, err error) (again bool) {
	s, now := &a.slots[slot], a.clock()
	if err == nil && now >= a.from && now < a.until {
		err = s.latency.RecordValue(min(int64(now.Sub(s.begun)), latencyMax))
		s.count++
	}
	s.begun = now
	if err != nil || now >= a.until {
		s.err = err
		a.running.Done()
		return false
	}
	return true
}
