package host

import (
	"container/heap"
	"context"
	"sync"
	"time"

	"github.com/lagan-storage/lagan/core/step"
)

// timers delivers EventTimer when its time has come: one heap and one goroutine
// for all shards of a node.
type timers struct {
	clock func() step.Time
	wake  chan struct{} // of capacity 1: an earlier timer than the first was added

	mu   sync.Mutex // guards what follows
	heap timerHeap
}

type pendingTimer struct {
	at    step.Time
	shard *shard
	tag   step.Tag
}

func newTimers(clock func() step.Time) *timers {
	return &timers{clock: clock, wake: make(chan struct{}, 1)}
}

func (t *timers) add(s *shard, list []step.Timer) {
	if len(list) == 0 {
		return
	}
	t.mu.Lock()
	earliest := len(t.heap) == 0
	for _, timer := range list {
		earliest = earliest || timer.At < t.heap[0].at
		heap.Push(&t.heap, pendingTimer{at: timer.At, shard: s, tag: timer.Tag})
	}
	t.mu.Unlock()
	if earliest {
		select {
		case t.wake <- struct{}{}:
		default:
		}
	}
}

// run delivers timers until ctx ends.
func (t *timers) run(ctx context.Context) {
	sleep := time.NewTimer(time.Hour) //nolint:forbidigo // the body is where real time comes from
	defer sleep.Stop()
	for {
		timer, wait := t.next()
		if timer.shard != nil {
			timer.shard.deliver(&step.Event{Kind: step.EventTimer, Tag: timer.tag}, nil)
			continue
		}
		sleep.Reset(wait)
		select {
		case <-ctx.Done():
			return
		case <-sleep.C:
		case <-t.wake:
		}
	}
}

// next takes the first timer if it is due; otherwise it returns how long to wait.
func (t *timers) next() (due pendingTimer, wait time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.heap) == 0 {
		return due, time.Hour
	}
	if wait = t.heap[0].at.Sub(t.clock()); wait > 0 {
		return due, wait
	}
	return heap.Pop(&t.heap).(pendingTimer), 0
}

// timerHeap implements heap.Interface, the earliest first.
type timerHeap []pendingTimer

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].at < h[j].at }
func (h timerHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }

// Push implements heap.Interface.
func (h *timerHeap) Push(x any) { *h = append(*h, x.(pendingTimer)) }

// Pop implements heap.Interface.
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	x := (*h)[last]
	(*h)[last] = pendingTimer{}
	*h = (*h)[:last]
	return x
}
