package rest

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

const (
	// eventsPath is where events are, listed or as a stream.
	eventsPath = "/v1/events"
	// eventsDefault is how many events are told when no limit is given, and how
	// many of a stream are on their way at once.
	eventsDefault = 100
	// eventsMax bounds what one answer has: more is asked for with after.
	eventsMax = 1000
)

// ListEvents implements api.StrictServerInterface.
func (s *server) ListEvents(ctx context.Context, r api.ListEventsRequestObject) (api.ListEventsResponseObject, error) {
	request, after, limit := requestOf(ctx), r.Params.After, eventsDefault
	if s.Events == nil {
		return nil, nothingAt(request.URL.Path)
	}
	if last := r.Params.LastEventID; last != nil {
		after = *last
	}
	if given := r.Params.Limit; given != nil {
		if limit = *given; limit < 1 || limit > eventsMax {
			return nil, invalidRequest("parameter limit is %d: want 1 to %d", limit, eventsMax)
		}
	}
	first, err := s.Events.Events(request.Context(), after, limit, false)
	if err != nil {
		return nil, err
	}
	if r.Params.Follow {
		return stream{s, request, first, after, limit}, nil
	}
	return api.ListEvents200JSONResponse{Items: itemsOf(first, eventOf)}, nil
}

// stream is an answer that goes on while events happen.
type stream struct {
	s       *server
	request *http.Request
	first   []volume.Event
	after   uint64
	limit   int
}

// VisitListEventsResponse implements api.ListEventsResponseObject. It returns
// when nobody listens any more.
func (t stream) VisitListEventsResponse(w http.ResponseWriter) error {
	leave, err := t.s.bounds.followers.enter(t.request.Context())
	if err != nil {
		return err
	}
	defer leave()
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	flush := http.NewResponseController(w)
	for events, after := t.first, t.after; ; {
		for i := range events {
			after = events[i].Number
			if err := serverSent(w, fmt.Sprint(after), string(events[i].Kind), eventOf(&events[i])); err != nil {
				return err
			}
		}
		if err := flush.Flush(); err != nil {
			return err
		}
		var err error
		events, err = t.s.Events.Events(t.request.Context(), after, t.limit, true)
		switch {
		case t.request.Context().Err() != nil:
			return nil
		case err != nil: // the answer has begun: what is wrong can only be an event
			return serverSent(w, "", "problem", t.s.problemOf(t.request, err))
		}
	}
}

// serverSent writes one event of a stream. JSON has no line breaks.
func serverSent(w http.ResponseWriter, id, kind string, value any) error {
	data, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	_, err = fmt.Fprintf(w, "%sevent: %s\ndata: %s\n\n", id, kind, data)
	return err
}

func eventOf(e *volume.Event) api.Event {
	return api.Event{Number: e.Number, Time: e.Time, Kind: string(e.Kind), Volume: e.Volume, Node: e.Node, Disk: e.Disk, Text: e.Text}
}
