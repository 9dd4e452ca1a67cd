package host

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

func eventHost(t *testing.T) *Host {
	h := &Host{log: slog.New(slog.DiscardHandler), events: newEvents(func() time.Time { return time.Unix(7, 0) })}
	h.life, h.end = context.WithCancel(t.Context())
	return h
}

func (h *Host) happen(kinds ...volume.EventKind) {
	var list []volume.Event
	for _, kind := range kinds {
		list = append(list, volume.Event{Kind: kind})
	}
	h.events.add(list)
}

func TestEventsAreNumberedAndTimed(t *testing.T) {
	h := eventHost(t)
	h.happen(volume.NodeJoined)
	h.happen(volume.NodeSilent, volume.NodeBack)
	all, err := h.Events(t.Context(), 0, 0, false)
	if err != nil || len(all) != 3 {
		t.Fatalf("%+v, %v", all, err)
	}
	for i, e := range all {
		if e.Number != uint64(i+1) || !e.Time.Equal(time.Unix(7, 0)) {
			t.Errorf("event %d: %+v", i, e)
		}
	}
	if some, err := h.Events(t.Context(), 1, 1, false); err != nil || len(some) != 1 || some[0].Kind != volume.NodeSilent {
		t.Errorf("%+v, %v", some, err)
	}
	if none, err := h.Events(t.Context(), 3, 0, false); err != nil || len(none) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
	if counts := h.EventCounts(); len(counts) != 3 || counts[volume.NodeBack] != 1 {
		t.Errorf("%v", counts)
	}
}

func TestEventsThatAreNotKeptAreNeverLeftOutSilently(t *testing.T) {
	h := eventHost(t)
	for range eventsMax + 10 {
		h.happen(volume.NodeBack)
	}
	all, err := h.Events(t.Context(), 0, 0, false)
	if err != nil || len(all) != eventsMax || all[0].Number != 11 || all[eventsMax-1].Number != eventsMax+10 {
		t.Fatalf("%d events, %v", len(all), err)
	}
	if list, err := h.Events(t.Context(), 10, 3, false); err != nil || len(list) != 3 || list[0].Number != 11 {
		t.Errorf("%+v, %v", list, err)
	}
	for after, text := range map[uint64]string{9: "the events from 10 to 10 are not kept", eventsMax + 11: "it was started anew"} {
		_, err := h.Events(t.Context(), after, 3, true)
		if !errors.Is(err, volume.ErrEventsGone) || !strings.Contains(err.Error(), text) {
			t.Errorf("after %d: %v", after, err)
		}
	}
}

func TestWaitEndsWithAnEventAndWithTheNode(t *testing.T) {
	h := eventHost(t)
	h.happen(volume.NodeJoined)
	got := make(chan []volume.Event)
	wait := func() {
		list, err := h.Events(t.Context(), 1, 0, true)
		if err == nil {
			got <- list
			return
		}
		close(got)
	}
	go wait()
	h.happen(volume.NodeSilent)
	if list := <-got; len(list) != 1 || list[0].Number != 2 {
		t.Errorf("%+v", list)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := h.Events(ctx, 2, 0, true); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	go func() {
		list, err := h.Events(t.Context(), 2, 0, true)
		if err == nil {
			t.Errorf("%+v", list)
		}
		close(got)
	}()
	h.EndEvents()
	<-got
	h.happen(volume.NodeBack)
	if list, err := h.Events(t.Context(), 2, 0, true); err != nil || len(list) != 1 {
		t.Errorf("%+v, %v", list, err)
	}
	if _, err := h.Events(t.Context(), 3, 0, true); !errors.Is(err, volume.ErrNotReady) {
		t.Errorf("%v", err)
	}
}

// emitter tells an event at every step.
type emitter struct{}

func (emitter) Step(_ step.Time, _ *step.Event, out *step.Effects) {
	out.Events = append(out.Events, volume.Event{Kind: volume.DiskFailed, Node: "a", Disk: "d", Text: "it is broken"})
}

func TestEventsOfAMachineAreKeptAndLoggedOnce(t *testing.T) {
	h, _, _, _ := talkingHost(t)
	var log strings.Builder
	h.log = slog.New(slog.NewTextHandler(&log, nil))
	s := newShard(h, slog.String("shard", "orchestrator"), emitter{})
	s.deliver(&step.Event{}, nil)
	s.deliverAll(2, func(int, *step.Event) {})
	list, err := h.Events(t.Context(), 0, 0, false)
	if err != nil || len(list) != 3 || list[2].Number != 3 {
		t.Errorf("%+v, %v", list, err)
	}
	if lines := strings.Split(strings.TrimSpace(log.String()), "\n"); len(lines) != 3 || !strings.HasSuffix(lines[0], `msg=event kind=disk-failed number=1 of_node=a disk=d text="it is broken"`) {
		t.Errorf("logged:\n%s", log.String())
	}
	h.params.Node.Name = "a"
	s.deliver(&step.Event{}, nil)
	if strings.Contains(log.String(), "number=4") {
		t.Error("what becomes of an own disk is logged twice")
	}
}
