package rest_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest"
	"github.com/lagan-storage/lagan/rest/api"
)

// past is a node's events: as many as total, and one more for every wait until
// there are most.
type past struct {
	total, most uint64
	err         error // when a wait goes beyond most; ctx ends it otherwise
	limit       int   // the last one asked for
}

func (p *past) Events(ctx context.Context, after uint64, limit int, wait bool) (events []volume.Event, _ error) {
	p.limit = limit
	if wait && after >= p.total {
		if p.total == p.most {
			if p.err == nil {
				<-ctx.Done()
				return nil, ctx.Err()
			}
			return nil, p.err
		}
		p.total++
	}
	for ; after < p.total && len(events) < limit; after++ {
		events = append(events, volume.Event{Number: after + 1, Kind: volume.VolumeDegraded, Volume: "db", Text: "copy on node b is out"})
	}
	return events, nil
}

func (p *past) handler() http.Handler {
	n := &node{}
	return rest.New(rest.Params{Volumes: n, Blocks: n, Machines: n, Events: p, Log: slog.New(slog.DiscardHandler)})
}

func TestEventsAreListedFromWhereOneWas(t *testing.T) {
	for _, c := range []struct {
		query, header string
		status        int
		want          string
	}{
		{"", "", http.StatusOK, `"number":1,`},
		{"?after=6", "", http.StatusOK, `{"items":[{"kind":"volume-degraded","number":7,`},
		{"?after=7", "", http.StatusOK, `{"items":[]}`},
		{"?after=3", "6", http.StatusOK, `{"items":[{"kind":"volume-degraded","number":7,`},
		{"?limit=2&after=1", "", http.StatusOK, `"number":3,`},
		{"?after=18446744073709551615", "", http.StatusOK, `{"items":[]}`},
		{"?after=18446744073709551616", "", http.StatusBadRequest, "after"},
		{"?after=-1", "", http.StatusBadRequest, "after"},
		{"?after=", "", http.StatusBadRequest, "after"},
		{"", "-1", http.StatusBadRequest, "Last-Event-ID"},
		{"?limit=0", "", http.StatusBadRequest, "limit"},
		{"?limit=1001", "", http.StatusBadRequest, "limit"},
		{"?limit=99999999999999999999", "", http.StatusBadRequest, "limit"},
		{"?limit=1&limit=2", "", http.StatusBadRequest, "limit"},
		{"?follow=perhaps", "", http.StatusBadRequest, "follow"},
		{"?folow=1", "", http.StatusBadRequest, "folow"},
	} {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/events"+c.query, nil)
		if c.header != "" {
			r.Header.Set("Last-Event-ID", c.header)
		}
		w := httptest.NewRecorder()
		(&past{total: 7}).handler().ServeHTTP(w, r)
		if w.Code != c.status || !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%q after %q: answered %d %.200s, want %d and %s", c.query, c.header, w.Code, w.Body, c.status, c.want)
		}
	}
}

func TestAStreamOfEventsGoesOnAndEndsWithItsReader(t *testing.T) {
	p := &past{total: 150, most: 153} // more than one answer has
	c := serveHandler(t, p.handler())
	enough := errors.New("enough")
	want := uint64(3)
	err := c.Follow(t.Context(), want-1, func(e api.Event) error {
		if e.Number != want || e.Kind != "volume-degraded" || e.Volume != "db" {
			t.Errorf("got event %+v, want number %d", e, want)
		}
		if want++; e.Number == p.most {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Errorf("the stream ended after event %d: %v", want-1, err)
	}
}

func TestAStreamOfEventsEndsWithTheProblemThatEndsIt(t *testing.T) {
	p := &past{total: 2, most: 2, err: &volume.Error{Kind: volume.ErrNotReady, What: "the node forgot", Fix: "ask again"}}
	told := 0
	err := serveHandler(t, p.handler()).Follow(t.Context(), 0, func(api.Event) error { told++; return nil })
	if told != 2 || !errors.Is(err, volume.ErrNotReady) || !strings.Contains(err.Error(), "the node forgot") {
		t.Errorf("%d events, then %v", told, err)
	}
}

func TestWhatANodeDoesNotHaveIsNotThere(t *testing.T) {
	for _, target := range []string{"/metrics", "/v1/events", "/v1/events?follow=1"} {
		w := request(t, &node{}, http.MethodGet, target, "")
		if w.Code != http.StatusNotFound || w.Header().Get("Content-Type") != api.ProblemType {
			t.Errorf("%s: answered %d, %s: %s", target, w.Code, w.Header().Get("Content-Type"), w.Body)
		}
	}
}

func TestMetricsAreWhatTheirHandlerSays(t *testing.T) {
	measured := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = w.Write([]byte("lagan_up 1\n"))
	})
	w := httptest.NewRecorder()
	rest.New(rest.Params{Metrics: measured}).ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK || w.Body.String() != "lagan_up 1\n" || !strings.Contains(w.Header().Get("Content-Type"), "0.0.4") {
		t.Errorf("answered %d, %s: %s", w.Code, w.Header().Get("Content-Type"), w.Body)
	}
}
