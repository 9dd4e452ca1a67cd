package host

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
)

// eventsMax is how many events a node keeps. A node that fails and comes back
// makes some five of each of its volumes: a thousand volumes are covered while
// whoever follows is away for the time of one failure. They take about 1 MiB.
const eventsMax = 5000

// events keeps the newest events of a node's life, numbered from 1.
type events struct {
	now func() time.Time

	mu      sync.Mutex     // guards what follows
	last    uint64         // number of the newest, 0 = none
	ring    []volume.Event // that of number n is at (n-1) % eventsMax
	kinds   map[volume.EventKind]uint64
	arrived chan struct{} // closed and replaced when events arrive
	ended   bool          // nobody waits for more; arrived is not replaced any more
}

func newEvents(now func() time.Time) *events {
	return &events{now: now, kinds: map[volume.EventKind]uint64{}, arrived: make(chan struct{})}
}

// add numbers and keeps list. It is called under the lock of the shard that
// emitted it.
func (e *events) add(list []volume.Event) {
	if len(list) == 0 {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.now()
	for i := range list {
		e.last++
		list[i].Number, list[i].Time = e.last, now
		e.kinds[list[i].Kind]++
		if len(e.ring) < eventsMax {
			e.ring = append(e.ring, list[i])
		} else {
			e.ring[(e.last-1)%eventsMax] = list[i]
		}
	}
	if !e.ended {
		close(e.arrived)
		e.arrived = make(chan struct{})
	}
}

// end lets those who wait go, and those who are to come.
func (e *events) end() {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !e.ended {
		e.ended = true
		close(e.arrived)
	}
}

// since returns at most limit events after that of number after, and a channel
// that is closed when there are more; nil if there will be no more.
func (e *events) since(after uint64, limit int) (list []volume.Event, arrived <-chan struct{}, err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	gone := e.last - uint64(len(e.ring)) // number of the newest that left the ring
	switch {
	case after > e.last:
		return nil, nil, &volume.Error{
			Kind:   volume.ErrEventsGone,
			What:   fmt.Sprintf("there is no event %d yet", after),
			Causes: []string{fmt.Sprintf("the newest of this node is %d: it was started anew, and counts from 1 again", e.last)},
			Fix:    "ask from the beginning, without a number, and look at the state of what matters",
		}
	case after > 0 && after < gone:
		return nil, nil, &volume.Error{
			Kind:   volume.ErrEventsGone,
			What:   fmt.Sprintf("the events from %d to %d are not kept any more", after+1, gone),
			Causes: []string{fmt.Sprintf("a node keeps the newest %d", eventsMax)},
			Fix:    "ask from the beginning, without a number, and look at the state of what matters",
		}
	}
	first := max(after, gone)
	for n := first; n < e.last && len(list) < limit; n++ {
		list = append(list, e.ring[n%eventsMax])
	}
	if e.ended {
		return list, nil, nil
	}
	return list, e.arrived, nil
}

// Events returns what has happened in the cluster as this node saw it: the
// oldest of the events after that of number after, at most limit of them, and
// all if limit is not above 0. With wait it returns as soon as there is one, or
// with an error when ctx or the node ends.
//
// After 0 the list begins with the oldest event that is kept: if its number is
// not 1, those before it are lost to whoever asks. After any other number nothing is left
// out: when some of the events that follow are not kept any more, or the
// number is of a former life of the node as far as that can be told, the error
// is ErrEventsGone. Numbers begin at 1 with every start.
func (h *Host) Events(ctx context.Context, after uint64, limit int, wait bool) ([]volume.Event, error) {
	if limit <= 0 {
		limit = eventsMax
	}
	for {
		list, arrived, err := h.events.since(after, limit)
		if err != nil || len(list) > 0 || !wait {
			return list, err
		}
		if arrived == nil {
			return nil, &volume.Error{
				Kind: volume.ErrNotReady,
				What: fmt.Sprintf("node %s stops and tells of no more events", h.params.Node.Name),
				Fix:  "follow those of another node, or of this one when it is up again",
			}
		}
		select {
		case <-arrived:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// EndEvents ends all waiting for events, so that a node that stops need not wait
// for those who follow them.
func (h *Host) EndEvents() { h.events.end() }

// EventsArrived returns a channel that is closed when there are more events.
func (h *Host) EventsArrived() <-chan struct{} {
	h.events.mu.Lock()
	defer h.events.mu.Unlock()
	if h.events.ended {
		return nil
	}
	return h.events.arrived
}

// EventCounts returns how many events of each kind there were since the start.
func (h *Host) EventCounts() map[volume.EventKind]uint64 {
	h.events.mu.Lock()
	defer h.events.mu.Unlock()
	counts := make(map[volume.EventKind]uint64, len(h.events.kinds))
	for kind, n := range h.events.kinds { // any order: they are copied
		counts[kind] = n
	}
	return counts
}

// logEvent writes one event. What becomes of this node's own disks note says,
// with their paths.
func (h *Host) logEvent(e *volume.Event) {
	ofDisk := e.Kind == volume.DiskFailed || e.Kind == volume.DiskBack
	if ofDisk && e.Node == h.params.Node.Name {
		return
	}
	attributes := []slog.Attr{slog.String("kind", string(e.Kind)), slog.Uint64("number", e.Number)}
	for _, a := range []slog.Attr{slog.String("volume", e.Volume), slog.String("of_node", e.Node), slog.String("disk", e.Disk)} {
		if a.Value.String() != "" {
			attributes = append(attributes, a)
		}
	}
	h.log.LogAttrs(h.life, slog.LevelInfo, "event", append(attributes, slog.String("text", e.Text))...)
}
