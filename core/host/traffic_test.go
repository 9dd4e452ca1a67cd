package host

import (
	"sync"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/step"
)

func TestLatenciesFallIntoTheirBuckets(t *testing.T) {
	var l latencies
	for i := 1; i < latencyBounds; i++ {
		if latencyMax[i] <= latencyMax[i-1] || latencyMax[i]%time.Microsecond != 0 {
			t.Fatalf("bound %d is %v after %v", i, latencyMax[i], latencyMax[i-1])
		}
	}
	for _, took := range []time.Duration{0, 10 * time.Microsecond, 10*time.Microsecond + 1, 149 * time.Millisecond, 10 * time.Second, time.Hour} {
		l.observe(took)
	}
	now := l.read()
	if now.Count != 6 || now.Sum != 10*time.Second+time.Hour+149*time.Millisecond+20*time.Microsecond+1 {
		t.Errorf("%d in %v", now.Count, now.Sum)
	}
	for i, bound := range latencyMax {
		want := uint64(3)
		switch {
		case bound < 15*time.Microsecond:
			want = 2
		case bound >= 10*time.Second:
			want = 5
		case bound >= 150*time.Millisecond:
			want = 4
		}
		if now.UpTo[i] != want {
			t.Errorf("%d took at most %v, want %d", now.UpTo[i], bound, want)
		}
	}
}

func TestTrafficOfManyAtOnceAddsUp(t *testing.T) {
	var traffic Traffic
	const workers, each = 8, 1000
	var all sync.WaitGroup
	for worker := range workers {
		all.Go(func() {
			op := Operation{Kind: step.RequestKind(worker % requestKinds), Length: 4096}
			for i := range each {
				traffic.begun.Add(1)
				outcome := step.RequestOK
				if i%10 == 0 {
					outcome = step.RequestIO
				}
				traffic.ended(&op, time.Millisecond, outcome)
			}
		})
	}
	traffic.begun.Add(3)
	all.Wait()
	for kind := range requestKinds {
		f := traffic.Kind(step.RequestKind(kind))
		if f.Latency.Count != 2*each || f.Errors != 2*each/10 || f.Bytes != 4096*(2*each-2*each/10) || f.Latency.Sum != 2*each*time.Millisecond {
			t.Errorf("kind %d: %+v", kind, f)
		}
	}
	if n := traffic.InFlight(); n != 3 {
		t.Errorf("%d are in flight, want 3", n)
	}
}

// BenchmarkTraffic is what counting costs one operation: with both readings of
// the clock, and without.
func BenchmarkTraffic(b *testing.B) {
	var traffic Traffic
	op := Operation{Kind: step.WriteRequest, Length: 4096}
	b.Run("observe", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			traffic.kinds[step.WriteRequest].latency.observe(137 * time.Microsecond)
		}
	})
	b.Run("operation", func(b *testing.B) {
		stopwatch := newStopwatch()
		b.ReportAllocs()
		for b.Loop() {
			op.began = stopwatch()
			traffic.begun.Add(1)
			traffic.ended(&op, stopwatch()-op.began, step.RequestOK)
		}
	})
	b.Run("observe-parallel", func(b *testing.B) {
		b.RunParallel(func(p *testing.PB) {
			for p.Next() {
				traffic.kinds[step.WriteRequest].latency.observe(137 * time.Microsecond)
			}
		})
	})
}
