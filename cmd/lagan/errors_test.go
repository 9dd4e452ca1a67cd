package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/cmd/lagan/command"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/docker"
	"github.com/lagan-storage/lagan/rest"
	"github.com/lagan-storage/lagan/rest/api"
)

// useCases are those that rest and the plugin ask for.
type useCases interface {
	rest.Volumes
	docker.Volumes
}

// unwilling is the use cases of a node that creates nothing.
type unwilling struct {
	useCases // none: the others are not called
	err      error
}

// Volume is what the API looks at before it creates one.
func (u *unwilling) Volume(context.Context, string) (volume.Report, error) {
	return volume.Report{}, u.err
}

// Create refuses.
func (u *unwilling) Create(context.Context, volume.Spec, bool) (volume.Report, []string, error) {
	return volume.Report{}, nil, u.err
}

// faces are the three of one node.
type faces struct {
	node   unwilling
	api    http.Handler
	engine http.Handler
	socket string
}

func newFaces(t *testing.T) *faces {
	t.Helper()
	f := &faces{socket: filepath.Join(workDir(t), "s")}
	log := slog.New(slog.DiscardHandler)
	f.api = rest.New(rest.Params{Volumes: &f.node, Node: "a", Log: log})
	f.engine = docker.New(docker.Params{
		Volumes: &f.node, Node: "a", Catalogue: filepath.Join(t.TempDir(), "catalogue"), Now: time.Now, Log: log,
		AfterFunc: func(time.Duration, func()) (stop func() bool) { return func() bool { return true } },
	}).Handler()
	var config net.ListenConfig
	listener, err := config.Listen(t.Context(), "unix", f.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewUnstartedServer(f.api)
	if err := server.Listener.Close(); err != nil {
		t.Fatal(err)
	}
	server.Listener = listener
	server.Start()
	t.Cleanup(server.Close)
	return f
}

// problem returns what the API answers.
func (f *faces) problem(t *testing.T) (p api.Problem) {
	t.Helper()
	w := httptest.NewRecorder()
	f.api.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/volumes/db", nil))
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Status != w.Code || w.Code < http.StatusBadRequest {
		t.Fatalf("the API answered %d %s: %v", w.Code, w.Body, err)
	}
	return p
}

// complaint returns what the command line says.
func (f *faces) complaint(t *testing.T) string {
	t.Helper()
	var out, complaint bytes.Buffer
	code := command.Run(t.Context(), []string{"--socket", f.socket, "volume", "create", "db"}, command.Streams{Out: &out, Err: &complaint})
	if code != 1 || out.Len() > 0 {
		t.Errorf("the command ended with %d and printed %q", code, &out)
	}
	return complaint.String()
}

// answer returns what the engine is told.
func (f *faces) answer(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	f.engine.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/VolumeDriver.Create", strings.NewReader(`{"Name":"db"}`)))
	var told struct{ Err string }
	if err := json.Unmarshal(w.Body.Bytes(), &told); err != nil {
		t.Fatalf("the plugin answered %q: %v", w.Body, err)
	}
	return told.Err
}

func TestEveryErrorIsTheSameOnAllFaces(t *testing.T) {
	f := newFaces(t)
	check := func(err error, x volume.Explanation, what, fix string, causes ...string) {
		t.Helper()
		f.node.err = err
		want := what + " [" + x.Kind.Error() + "]\n"
		for _, cause := range causes {
			want += "  " + cause + "\n"
		}
		want += fix
		if got := f.complaint(t); got != "lagan: "+want+"\n" {
			t.Errorf("%v: the command line says\n%s\nwant\n%s", x.Kind, got, want)
		}
		if got := f.answer(t); got != want {
			t.Errorf("%v: the engine is told\n%s\nwant\n%s", x.Kind, got, want)
		}
		p := f.problem(t)
		if p.Code != x.Kind.Error() || p.Title != x.Meaning || p.Detail != what || p.Fix != fix || strings.Join(p.Cause, "|") != strings.Join(causes, "|") {
			t.Errorf("%v: the API answers %+v, want\n%s", x.Kind, p, want)
		}
	}
	for _, x := range volume.Catalogue() {
		made := &volume.Error{Kind: x.Kind, What: "it happened", Causes: []string{"first", "second"}, Fix: "do this"}
		check(made, x, "it happened", "do this", "first", "second")
		check(fmt.Errorf("create db: %w", made), x, "create db: it happened", "do this", "first", "second")
		check(errors.Join(made, errors.New("and more")), x, "it happened", "do this", "first", "second", "and more")
		check(&volume.Error{Kind: x.Kind, What: "it happened"}, x, "it happened", x.Remedy)
		check(fmt.Errorf("create db: %w", x.Kind), x, "create db: "+x.Kind.Error(), x.Remedy)
		if errors.Is(x.Kind, volume.ErrInternal) {
			check(errors.New("boom"), x, "boom", x.Remedy)
		}
	}
}
