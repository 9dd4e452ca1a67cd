package host

import (
	"sync/atomic"
	"time"

	"github.com/lagan-storage/lagan/core/step"
)

// requestKinds is how many kinds of request there are; they number from 0.
const requestKinds = int(step.FlushRequest) + 1

// Traffic counts what clients asked of a volume since it was attached here.
// Whoever reads it waits for nobody and makes nobody wait.
type Traffic struct {
	begun atomic.Uint64 // operations
	kinds [requestKinds]kindTraffic
}

// kindTraffic is the part of one kind of request.
type kindTraffic struct {
	latency latencies
	bytes   atomic.Uint64
	errors  atomic.Uint64
}

// KindFigures is what became of the operations of one kind.
type KindFigures struct {
	Latency Latencies // of all that ended, failed ones included
	Bytes   uint64    // read, written or zeroed
	Errors  uint64
}

// Kind returns the figures of one kind of request.
func (t *Traffic) Kind(kind step.RequestKind) KindFigures {
	k := &t.kinds[kind]
	return KindFigures{Latency: k.latency.read(), Bytes: k.bytes.Load(), Errors: k.errors.Load()}
}

// InFlight returns how many operations have begun and not ended.
func (t *Traffic) InFlight() uint64 {
	var ended uint64
	for i := range t.kinds { // before begun is read: the difference is never negative
		ended += t.kinds[i].latency.read().Count
	}
	return t.begun.Load() - ended
}

// ended counts an operation that took so long.
func (t *Traffic) ended(op *Operation, took time.Duration, outcome step.RequestError) {
	k := &t.kinds[op.Kind]
	if outcome == step.RequestOK {
		k.bytes.Add(uint64(op.Length))
	} else {
		k.errors.Add(1)
	}
	k.latency.observe(took)
}

// latencyBounds is how many buckets have an upper bound: six a decade, from
// 10 µs, less than any operation that reaches a disk takes, to 10 s, more than a
// takeover.
const latencyBounds = 37

// latencyMax are the upper bounds of the buckets, in nanoseconds.
var latencyMax = [latencyBounds]time.Duration{ // constant table: the round numbers that lie evenly on a logarithmic scale
	10e3, 15e3, 20e3, 30e3, 50e3, 70e3,
	100e3, 150e3, 200e3, 300e3, 500e3, 700e3,
	1e6, 15e5, 2e6, 3e6, 5e6, 7e6,
	10e6, 15e6, 20e6, 30e6, 50e6, 70e6,
	100e6, 150e6, 200e6, 300e6, 500e6, 700e6,
	1e9, 15e8, 2e9, 3e9, 5e9, 7e9,
	10e9,
}

// latencies is a histogram that many may add to at once without a lock.
type latencies struct {
	counts [latencyBounds + 1]atomic.Uint64 // the last one has no bound
	sum    atomic.Int64                     // nanoseconds
}

// Latencies is a histogram as it was at one moment.
type Latencies struct {
	Count  uint64
	Sum    time.Duration
	UpTo   [latencyBounds]uint64 // of Count, those that took at most as long as the bound
	Bounds *[latencyBounds]time.Duration
}

func (l *latencies) observe(took time.Duration) {
	low, high := 0, latencyBounds
	for low < high {
		if middle := int(uint(low+high) >> 1); latencyMax[middle] < took {
			low = middle + 1
		} else {
			high = middle
		}
	}
	l.counts[low].Add(1)
	l.sum.Add(int64(took))
}

// read returns the histogram; Sum may be of a few operations more or fewer.
func (l *latencies) read() Latencies {
	now := Latencies{Sum: time.Duration(l.sum.Load()), Bounds: &latencyMax}
	for i := range now.UpTo {
		now.Count += l.counts[i].Load()
		now.UpTo[i] = now.Count
	}
	now.Count += l.counts[latencyBounds].Load()
	return now
}
