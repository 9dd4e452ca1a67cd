package load

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/step"
)

// tick is a clock that advances by a millisecond with every reading.
type tick struct{ now atomic.Int64 }

func (t *tick) read() step.Time { return step.Time(t.now.Add(int64(time.Millisecond))) }

func TestEveryOperationIsMeasuredOnce(t *testing.T) {
	var clock tick
	calls := 0
	s, err := Run(t.Context(), &Job{
		Clock: clock.read, Depth: 1, WarmUp: 10 * time.Millisecond, Span: 100 * time.Millisecond, Bytes: 4096,
		One: func(int) error { calls++; return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if warm := int64(calls) - s.Count; warm < 5 || s.Count < 50 {
		t.Errorf("%d operations, %d of them measured", calls, s.Count)
	}
	if s.Latency.TotalCount() != s.Count || s.Bytes != s.Count*4096 {
		t.Errorf("%d latencies and %d bytes of %d operations", s.Latency.TotalCount(), s.Bytes, s.Count)
	}
	if f := s.Figures(); f[P50] < 990 || f[P50] > 1010 {
		t.Errorf("p50 %g µs, want the 1000 of the clock", f[P50])
	}
}

func TestCountEndsARun(t *testing.T) {
	var clock tick
	var calls atomic.Int64
	s, err := Run(t.Context(), &Job{
		Clock: clock.read, Depth: 7, Count: 100,
		One: func(int) error { calls.Add(1); return nil },
	})
	if err != nil || s.Count != 100 || calls.Load() != 100 {
		t.Errorf("%d operations, %d counted, error %v; want 100", calls.Load(), s.Count, err)
	}
}

func TestErrorOfAnOperationEndsTheRun(t *testing.T) {
	var clock tick
	broken := errors.New("broken")
	_, err := Run(t.Context(), &Job{Clock: clock.read, Depth: 2, Span: time.Hour, One: func(int) error { return broken }})
	if !errors.Is(err, broken) {
		t.Errorf("error %v, want that of the operation", err)
	}
}

func TestEndOfTheContextEndsTheRun(t *testing.T) {
	var clock tick
	ctx, cancel := context.WithCancel(t.Context())
	_, err := Run(ctx, &Job{Clock: clock.read, Depth: 1, Span: time.Hour, One: func(int) error { cancel(); return nil }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want the context's", err)
	}
}

func TestMediansLeaveOutWhatIsNotInAllRuns(t *testing.T) {
	got := Medians([]Figures{{P50: 3, CPU: 1}, {P50: 1}, {P50: 2}, {P50: 10}})
	if len(got) != 1 || got[P50] != 2.5 {
		t.Errorf("medians %v, want p50 2.5 alone", got)
	}
}

func TestFiguresOfOneOperationOfSeveral(t *testing.T) {
	got := Figures{IOPS: 10, MBps: 5, P50: 8, Allocs: 4}.Per(4)
	if got[IOPS] != 40 || got[MBps] != 5 || got[P50] != 2 || got[Allocs] != 1 {
		t.Errorf("figures %v", got)
	}
}
