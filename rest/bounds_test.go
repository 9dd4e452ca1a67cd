package rest_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest"
)

// slow is a node whose expensive use cases last until a test ends them.
type slow struct {
	node
	entered atomic.Int64
	end     chan struct{}
	broken  atomic.Int64 // use cases whose request ended before
}

func (n *slow) wait(ctx context.Context) error {
	n.entered.Add(1)
	select {
	case <-n.end:
	case <-ctx.Done():
		n.broken.Add(1)
	}
	return ctx.Err()
}

// Volume, unlike the node's, notes nothing: many ask at once.
func (n *slow) Volume(context.Context, string) (volume.Report, error) {
	return volume.Report{}, &volume.Error{Kind: volume.ErrVolumeNotFound, What: "there is no volume"}
}

func (n *slow) Create(ctx context.Context, s volume.Spec, _ bool) (volume.Report, []string, error) {
	return volume.Report{Spec: s}, nil, n.wait(ctx)
}

func (n *slow) Attach(ctx context.Context, _ string, _ volume.AttachOptions) (volume.Report, error) {
	return volume.Report{}, n.wait(ctx)
}

func (n *slow) ReadBlocks(ctx context.Context, _ string, _, _ int64, _ io.Writer) error {
	return n.wait(ctx)
}

func (n *slow) WriteBlocks(ctx context.Context, _ string, _ int64, r io.Reader) (int64, error) {
	count, err := io.Copy(io.Discard, r)
	return count, errors.Join(err, ctx.Err())
}

func (n *slow) Events(ctx context.Context, after uint64, limit int, wait bool) ([]volume.Event, error) {
	if wait {
		return nil, n.wait(ctx)
	}
	return nil, nil
}

func (n *slow) handler() http.Handler {
	return rest.New(rest.Params{
		Volumes: n, Blocks: n, Machines: n, Events: n, Node: "a", Log: slog.New(slog.DiscardHandler),
	})
}

func TestExpensiveRequestsAreBounded(t *testing.T) {
	for _, c := range []struct {
		method, target  string
		inside, waiting int
	}{
		{http.MethodPut, "/v1/volumes/new", 64, 256},
		{http.MethodPut, "/v1/volumes/db/attachment", 64, 256},
		{http.MethodGet, "/v1/volumes/db/blocks?length=0", 32, 0},
		{http.MethodGet, "/v1/events?follow=1", 128, 0},
	} {
		t.Run(c.target, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const asked = 400
				n := &slow{end: make(chan struct{})}
				h := n.handler()
				ctx, hangUp := context.WithCancel(t.Context())
				defer hangUp()
				answers := make([]*httptest.ResponseRecorder, asked)
				var busy atomic.Int64
				var asking sync.WaitGroup
				for i := range answers {
					answers[i] = httptest.NewRecorder()
					asking.Go(func() {
						h.ServeHTTP(answers[i], httptest.NewRequestWithContext(ctx, c.method, c.target, nil))
						if w := answers[i]; w.Code == http.StatusServiceUnavailable {
							busy.Add(1)
							if !strings.Contains(w.Body.String(), `"code":"busy"`) || w.Header().Get("Retry-After") == "" {
								t.Errorf("answered %v %s", w.Header(), w.Body)
							}
						}
					})
				}
				synctest.Wait()
				if got := int(n.entered.Load()); got != c.inside || int(busy.Load()) != asked-c.inside-c.waiting {
					t.Errorf("of %d requests %d were let in and %d refused, want %d and %d", asked, got, busy.Load(), c.inside, asked-c.inside-c.waiting)
				}
				w := httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/v1/volumes", nil))
				if w.Code != http.StatusOK {
					t.Errorf("meanwhile a list is answered %d", w.Code)
				}
				if c.waiting > 0 {
					close(n.end) // whoever waits has a turn
				} else {
					hangUp()
				}
				asking.Wait()
				if got := int(n.entered.Load()); c.waiting > 0 && got != c.inside+c.waiting {
					t.Errorf("in the end %d were let in, want %d", got, c.inside+c.waiting)
				}
				before := n.entered.Load()
				again, hangUp := context.WithCancel(t.Context())
				asking.Go(func() {
					h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(again, c.method, c.target, nil))
				})
				synctest.Wait()
				hangUp()
				asking.Wait()
				if n.entered.Load() != before+1 {
					t.Error("a place was not given back")
				}
			})
		})
	}
}

func TestWhoeverHangsUpGivesUpHisTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &slow{end: make(chan struct{})}
		h := n.handler()
		var asking sync.WaitGroup
		ask := func(ctx context.Context) {
			asking.Go(func() {
				h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequestWithContext(ctx, http.MethodPut, "/v1/volumes/new", nil))
			})
		}
		ctx, hangUp := context.WithCancel(t.Context())
		for range 64 {
			ask(t.Context())
		}
		synctest.Wait()
		for range 256 {
			ask(ctx)
		}
		synctest.Wait()
		hangUp()
		synctest.Wait()
		for range 256 {
			ask(t.Context())
		}
		synctest.Wait()
		close(n.end)
		asking.Wait()
		if got := n.entered.Load(); got != 64+256 {
			t.Errorf("%d were let in, want 64 and the 256 that still wanted", got)
		}
	})
}

// pipes is a listener within the process: its clock is the test's.
type pipes struct {
	connections chan net.Conn
	closed      chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.connections:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "unix"} }

// overPipe sends a request whose body comes in pieces, one every 10 s, to a
// server that wants all of it within 30 s.
func overPipe(t *testing.T, n *slow, head string, pieces ...string) (status int, text string) {
	t.Helper()
	listener := &pipes{make(chan net.Conn), make(chan struct{})}
	server := http.Server{Handler: n.handler(), ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 30 * time.Second}
	var running sync.WaitGroup
	running.Go(func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			t.Error(err)
		}
	})
	ours, theirs := net.Pipe()
	listener.connections <- theirs
	running.Go(func() {
		_, err := io.WriteString(ours, head)
		for _, piece := range pieces {
			<-time.After(10 * time.Second)
			if err == nil {
				_, err = io.WriteString(ours, piece)
			}
		}
		_ = err // the answer says what came of it
	})
	response, err := http.ReadResponse(bufio.NewReader(ours), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	if err = errors.Join(err, response.Body.Close(), ours.Close(), server.Close()); err != nil {
		t.Fatal(err)
	}
	running.Wait()
	return response.StatusCode, string(body)
}

func TestARequestComesInTimeAndTakesItsTime(t *testing.T) {
	put := func(target string, bytes int) string {
		return fmt.Sprintf("PUT %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", target, bytes)
	}
	pieces := func(n int) []string { return strings.Split(strings.Repeat("x", n), "") }
	for name, c := range map[string]struct {
		head   string
		pieces []string
		ends   time.Duration // of the use case
		status int
	}{
		"a body that comes byte by byte":          {put("/v1/volumes/db/attachment", 6), pieces(6), 0, http.StatusRequestTimeout},
		"a use case that takes long":              {put("/v1/volumes/db/attachment", 2), []string{"{}"}, 95 * time.Second, http.StatusOK},
		"a use case that takes long, no body":     {put("/v1/volumes/db/attachment", 0), nil, 95 * time.Second, http.StatusOK},
		"a stream of blocks that takes long":      {put("/v1/volumes/db/blocks", 10), pieces(10), 0, http.StatusOK},
		"a reader of blocks that is kept waiting": {"GET /v1/volumes/db/blocks?length=0 HTTP/1.1\r\nHost: a\r\n\r\n", nil, 95 * time.Second, http.StatusOK},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := &slow{end: make(chan struct{})}
				time.AfterFunc(c.ends, func() { close(n.end) })
				if status, text := overPipe(t, n, c.head, c.pieces...); status != c.status || n.broken.Load() > 0 {
					t.Errorf("answered %d %s, with %d use cases broken off", status, text, n.broken.Load())
				}
			})
		})
	}
}

func TestABodyThatBreaksOffIsNoBody(t *testing.T) {
	for _, target := range []string{anyName, blocksOf} {
		n := &counted{}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, target, io.MultiReader(strings.NewReader("{}"), broken{}))
		w := httptest.NewRecorder()
		n.handler().ServeHTTP(w, r)
		if wrong := n.judge(w); wrong != "" || w.Code != http.StatusBadRequest {
			t.Errorf("%s: answered %d %s; %s", target, w.Code, w.Body, wrong)
		}
	}
}

// broken is the end of a body that was to go on.
type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
