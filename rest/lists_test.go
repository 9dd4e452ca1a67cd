package rest_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest"
)

// slowNode is a node whose volumes are listed when the test says so.
type slowNode struct {
	*node
	entered  chan struct{} // one for each request that waits
	released chan struct{} // closed: none waits any more

	mu    sync.Mutex // guards what follows
	lists int        // of volumes or alerts under way
	most  int        // lists that were under way at once
}

func (n *slowNode) Volumes(ctx context.Context) ([]volume.Report, error) {
	n.list()
	return n.node.Volumes(ctx)
}

func (n *slowNode) Alerts(ctx context.Context) ([]volume.Alert, error) {
	n.list()
	return n.node.Alerts(ctx)
}

func (n *slowNode) list() {
	n.mu.Lock()
	n.lists++
	n.most = max(n.most, n.lists)
	n.mu.Unlock()
	n.entered <- struct{}{}
	<-n.released
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lists--
}

func newSlowNode() (*slowNode, http.Handler) {
	n := &slowNode{node: &node{}, entered: make(chan struct{}), released: make(chan struct{})}
	return n, rest.New(rest.Params{Volumes: n, Blocks: n, Machines: n, Node: "a", Log: slog.New(slog.DiscardHandler)})
}

// ask makes a request and returns its answer.
func ask(ctx context.Context, h http.Handler, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, path, nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestLargeAnswersAreMadeFewAtATime(t *testing.T) {
	n, h := newSlowNode()
	var asking sync.WaitGroup
	const clients = 18
	for i := range clients {
		path := []string{"/v1/volumes", "/v1/status", "/v1/alerts"}[i%3]
		asking.Go(func() {
			if w := ask(t.Context(), h, path); w.Code != http.StatusOK {
				t.Errorf("%s: %d %s", path, w.Code, w.Body)
			}
		})
	}
	<-n.entered
	<-n.entered
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if w := ask(gone, h, "/v1/volumes"); w.Code != http.StatusServiceUnavailable {
		t.Errorf("who hung up before the turn came was answered %d %s", w.Code, w.Body)
	}
	close(n.released)
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for range n.entered { // a status asks for volumes and alerts
		}
	}()
	asking.Wait()
	close(n.entered)
	<-drained
	if n.most != 2 {
		t.Errorf("%d large answers at once, want 2", n.most)
	}
}

// A server gives up who does not read an answer, unless the answer is as long as
// who listens wants.
func TestBlocksAndStreamsHaveNoDeadline(t *testing.T) {
	n := &node{content: make([]byte, 4096)}
	server := httptest.NewUnstartedServer(rest.New(rest.Params{
		Volumes: n, Blocks: n, Machines: n, Events: &past{total: 1, most: 2, err: errors.New("the end")}, Log: slog.New(slog.DiscardHandler),
	}))
	server.Config.WriteTimeout = 1 // is over before anything is written
	server.Start()
	defer server.Close()
	for path, answered := range map[string]bool{
		"/v1/volumes": false, "/v1/events": true, "/v1/events?follow=1": true, "/v1/volumes/db/blocks?offset=0&length=4096": true,
	} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		response, err := server.Client().Do(request)
		if err == nil {
			_, err = io.ReadAll(response.Body)
			err = errors.Join(err, response.Body.Close())
		}
		if (err == nil) != answered {
			t.Errorf("%s: %v, want it answered: %v", path, err, answered)
		}
	}
}
