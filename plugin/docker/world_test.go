package docker

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/volume"
)

// cluster is the use cases of one node, as far as the engine sees them.
type cluster struct {
	mu       sync.Mutex
	lost     bool // of the quorum
	volumes  map[string]volume.Report
	done     []string      // what was changed
	hang     chan struct{} // an attach waits for it
	failures int           // of the next detachings
	busy     int           // how often what lingers elsewhere is not given up yet
}

func (c *cluster) note(format string, values ...any) {
	c.done = append(c.done, fmt.Sprintf(format, values...))
}

func notReady() error { return &volume.Error{Kind: volume.ErrNotReady, What: "no quorum"} }

func notFound(name string) error {
	return &volume.Error{Kind: volume.ErrVolumeNotFound, What: fmt.Sprintf("there is no volume %q", name)}
}

func (c *cluster) Volumes(context.Context) (all []volume.Report, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		return nil, notReady()
	}
	for _, r := range c.volumes {
		all = append(all, r)
	}
	return all, nil
}

func (c *cluster) Volume(_ context.Context, name string) (volume.Report, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		return volume.Report{}, notReady()
	}
	r, found := c.volumes[name]
	if !found {
		return r, notFound(name)
	}
	return r, nil
}

func (c *cluster) Create(_ context.Context, spec volume.Spec, _ bool) (volume.Report, []string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.lost {
		return volume.Report{}, nil, &volume.Error{Kind: volume.ErrOutcomeUnknown, What: "the store did not answer"}
	}
	if held, found := c.volumes[spec.Name]; found {
		if field := held.Spec.Difference(&spec); field != "" {
			return held, nil, &volume.Error{Kind: volume.ErrNameTaken, What: "a volume of that name has another " + field}
		}
		return held, nil, nil
	}
	c.note("create %s", spec.String())
	spec = spec.WithDefaults()
	spec.Created, spec.Volume = "2026-01-02T03:04:05Z", block.VolumeID{byte(len(c.volumes) + 1)}
	r := volume.Report{ID: spec.Volume, Spec: spec, Health: volume.Healthy, Epoch: 1, Copies: []volume.Copy{
		{Node: "a", State: volume.InSync}, {Node: "b", State: volume.Out},
	}}
	c.volumes[spec.Name] = r
	return r, nil, nil
}

func (c *cluster) Delete(_ context.Context, name string, _ bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r, found := c.volumes[name]
	switch {
	case !found:
		return notFound(name)
	case r.Attached != "":
		return &volume.Error{Kind: volume.ErrAttached, What: fmt.Sprintf("cannot delete volume %q: it is attached to node %s", name, r.Attached)}
	}
	c.note("delete %s", name)
	delete(c.volumes, name)
	return nil
}

func (c *cluster) Attach(_ context.Context, name string, o volume.AttachOptions) (volume.Report, error) {
	c.mu.Lock()
	hang := c.hang
	c.mu.Unlock()
	if hang != nil {
		<-hang
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	r, found := c.volumes[name]
	switch {
	case !found:
		return r, notFound(name)
	case r.Attached != "" && r.Attached != "a" && r.Lingers && c.busy == 0:
		c.note("take over %s", name)
		r.Attached, r.Lingers = "a", false
		c.volumes[name] = r
	case r.Attached != "" && r.Attached != "a" && !o.Force:
		c.busy--
		return r, &volume.Error{
			Kind: volume.ErrAttachedElsewhere, What: fmt.Sprintf("cannot attach volume %q: it is attached to node %s", name, r.Attached),
			Fix: "detach it there, or take it from that node:  lagan volume attach " + name + " --force",
		}
	case r.Attached != "a":
		c.note("attach %s force=%v", name, o.Force)
		r.Attached = "a"
		if o.Uses != nil {
			r.Users, r.Lingers = o.Uses.Users, o.Uses.Lingering
		}
		c.volumes[name] = r
	}
	return r, nil
}

func (c *cluster) Unmount(_ context.Context, name, _ string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.volumes[name]
	if r.Attached != "a" {
		return nil
	}
	if c.failures > 0 {
		c.failures--
		return errors.New("device is busy")
	}
	c.note("detach %s", name)
	r.Attached = ""
	c.volumes[name] = r
	return nil
}

func (c *cluster) Use(name, _ string, uses volume.Uses) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if r := c.volumes[name]; r.Attached == "a" {
		r.Users, r.Lingers = uses.Users, uses.Lingering
		c.volumes[name] = r
	}
}

// world is a plugin in a bubble of fake time, and the engine that calls it.
type world struct {
	*cluster
	t      *testing.T
	dir    string
	plugin *Plugin
	held   atomic.Bool // a container has every mount
	engine []Container // that run; cluster.mu guards it
	asked  int         // how often the engine was; likewise
}

// in runs a test in a bubble: time passes there when everybody waits.
func in(t *testing.T, test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{cluster: &cluster{volumes: map[string]volume.Report{}}, t: t, dir: t.TempDir()}
		w.start()
		test(w)
		if err := w.plugin.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// start starts the plugin, or another one on the same directory.
func (w *world) start() {
	w.plugin = New(Params{
		Volumes: w.cluster, Node: "a", Catalogue: filepath.Join(w.dir, "volumes.json"), Mounts: filepath.Join(w.dir, "mounts"),
		Linger: LingerDefault, Log: slog.New(slog.DiscardHandler),
		AfterFunc: func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop },
		Held:      func(string) (bool, error) { return w.held.Load(), nil },
		Now:       time.Now,
		Containers: func(context.Context, []string) ([]Container, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.asked++
			return w.engine, nil
		},
	})
}

// pass lets time pass in the bubble, and what is due then happen.
func (w *world) pass(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// answer is what the engine hears of a call.
type answer struct {
	hungUp bool
	status int
	Err    string

	Mountpoint string
	Volume     *struct {
		Name, Mountpoint, CreatedAt string
		Status                      map[string]any
	}
	Volumes      []struct{ Name, CreatedAt string }
	Capabilities struct{ Scope string }
	Implements   []string
}

// call calls the plugin as the engine does.
func (w *world) call(what, body string) (a answer) {
	w.t.Helper()
	recorder := httptest.NewRecorder()
	defer func() {
		switch p := recover(); p {
		case nil:
		case http.ErrAbortHandler:
			a = answer{hungUp: true}
		default:
			panic(p)
		}
	}()
	path := "/VolumeDriver." + what
	if what == "Activate" {
		path = "/Plugin.Activate"
	}
	w.plugin.Handler().ServeHTTP(recorder, httptest.NewRequestWithContext(w.t.Context(), http.MethodPost, path, strings.NewReader(body)))
	if err := json.NewDecoder(bytes.NewReader(recorder.Body.Bytes())).Decode(&a); err != nil {
		w.t.Fatalf("%s answered %q: %v", what, recorder.Body, err)
	}
	a.status = recorder.Code
	return a
}

// ask calls with a name and an ID.
func (w *world) ask(what, name, id string) answer {
	w.t.Helper()
	return w.call(what, fmt.Sprintf(`{"Name":%q,"ID":%q}`, name, id))
}

// ok is ask for a call that must do what it is told.
func (w *world) ok(what, name, id string) answer {
	w.t.Helper()
	a := w.ask(what, name, id)
	if a.hungUp || a.Err != "" || a.status != http.StatusOK {
		w.t.Fatalf("%s of %s for %s: %+v", what, name, id, a)
	}
	return a
}

// did fails unless exactly this was changed since the last time.
func (w *world) did(want ...string) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.done, want) {
		w.t.Errorf("did %q, want %q", w.done, want)
	}
	w.done = nil
}

// change changes the cluster.
func (w *world) change(with func(c *cluster)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	with(w.cluster)
}

func (w *world) setLost(lost bool) { w.change(func(c *cluster) { c.lost = lost }) }

// runs has a container run with a volume, as the engine says from now on.
func (w *world) runs(name, called string) {
	w.change(func(*cluster) {
		w.engine = append(w.engine, Container{Name: name, Created: time.Now().Unix(), Volumes: []string{called}})
	})
}

// ends has a container run no more.
func (w *world) ends(name string) {
	w.change(func(*cluster) {
		w.engine = slices.DeleteFunc(w.engine, func(c Container) bool { return c.Name == name })
	})
}

// usedBy fails unless the cluster was told of exactly these users.
func (w *world) usedBy(name string, want ...string) {
	w.t.Helper()
	synctest.Wait()
	w.mu.Lock()
	defer w.mu.Unlock()
	r := w.volumes[name]
	var got []string
	for i := range r.Users {
		got = append(got, r.Users[i].Mount+"="+r.Users[i].Container)
	}
	slices.Sort(got)
	if !slices.Equal(got, want) || r.Lingers != (len(want) == 0) {
		w.t.Errorf("used by %q, lingers: %v; want %q", got, r.Lingers, want)
	}
}
