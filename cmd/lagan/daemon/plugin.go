package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"go.uber.org/fx"

	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/host/usecase"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/docker"
)

// PluginDir is where the container engine looks for plugins, and
// PluginNameDefault what this one is called there.
const (
	PluginDir         = "/run/docker/plugins"
	PluginNameDefault = "lagan"
)

// PluginOff in place of a socket says that there is none.
const PluginOff = "none"

// Plugin says how the container engine reaches this node.
type Plugin struct {
	Name   string        // as the engine calls it
	Socket string        // "": NAME.sock in PluginDir where Docker is; PluginOff: no plugin
	Linger time.Duration // of a volume after its last container
	Engine string        // the engine's socket; PluginOff: it is not touched
}

// volumePlugin is the volume plugin at work. It answers before the rest of the
// node is there: an engine waits 15 s a volume for a socket that is silent.
type volumePlugin struct {
	plugin  *docker.Plugin // nil: there is none
	socket  net.Listener
	server  *http.Server
	volumes lateVolumes
}

// openPlugin makes the plugin and serves it. Devices that a killed daemon left are
// gone by then, and the data directory is this process's own. A node that does not
// come up leaves no socket behind, on which the engine would wait.
func openPlugin(ctx context.Context, e *early, c Config, d *datadir.Dir, _ *devices, log *slog.Logger) (*volumePlugin, error) {
	v := &volumePlugin{}
	log = log.With(slog.String("part", "docker"))
	path := c.Plugin.Socket
	if path == "" {
		path = defaultSocket(c.Plugin.Name)
	}
	if path == PluginOff {
		return v, nil
	}
	listener, err := listenPlugin(ctx, path)
	switch {
	case err != nil && c.Plugin.Socket == "":
		log.Warn("there is no volume plugin for Docker", slog.Any("error", err))
		return v, nil
	case err != nil:
		return nil, err
	}
	data, err := filepath.EvalSymlinks(d.Path(".")) // the kernel's tables have no links
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	p := docker.Params{
		Volumes: &v.volumes, Node: c.Name, Catalogue: d.Path("volumes.json"), Mounts: filepath.Join(data, "mounts"),
		Linger: c.Plugin.Linger, Held: docker.Held, Log: log,
		AfterFunc: func(d time.Duration, f func()) func() bool { return time.AfterFunc(d, f).Stop },
		Now:       time.Now,
	}
	if c.Plugin.Engine != PluginOff {
		p.Engine, p.Containers = c.Plugin.Engine, docker.Containers(c.Plugin.Engine)
	}
	v.plugin, v.socket = docker.New(p), newBounded(listener)
	v.server = &http.Server{
		Handler: v.plugin.Handler(), ReadHeaderTimeout: headerWithin, ReadTimeout: requestWithin, IdleTimeout: idleWithin,
		MaxHeaderBytes: headerBytesMax,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		BaseContext:    func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if err := v.server.Serve(v.socket); !errors.Is(err, http.ErrServerClosed) {
			log.Error("volume plugin is not served any more", slog.String("socket", path), slog.Any("error", err))
		}
	}()
	e.add(func() {
		_ = errors.Join(v.server.Close(), v.socket.Close()) // what went wrong before is what matters
		<-ended
	})
	log.Info("volume plugin answers Docker", slog.String("socket", path))
	return v, nil
}

// defaultSocket returns where the plugin is by default: nowhere without Docker.
func defaultSocket(name string) string {
	if info, err := os.Stat(filepath.Dir(PluginDir)); err != nil || !info.IsDir() {
		return PluginOff
	}
	return filepath.Join(PluginDir, name+".sock")
}

// listenPlugin makes the socket. One that a killed daemon left is replaced, one
// that somebody serves is not.
func listenPlugin(ctx context.Context, path string) (net.Listener, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("make the directory of the volume plugin: %w", err)
	}
	var d net.Dialer
	if other, err := d.DialContext(ctx, "unix", path); err == nil {
		return nil, errors.Join(fmt.Errorf("volume plugin %s is served by another process: choose another with --plugin-name or --plugin-socket", path), other.Close())
	}
	socket, err := listenSocket(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("volume plugin: %w", err)
	}
	return socket, nil
}

// connectPlugin gives the plugin the node's use cases. At a stop it is the first
// to go: what it has mounted the use cases end with the rest.
func connectPlugin(ctx context.Context, life fx.Lifecycle, v *volumePlugin, n *usecase.Node, log *slog.Logger) {
	if v.plugin == nil {
		return
	}
	v.volumes.node.Store(n)
	n.OnWanted(v.plugin.Wanted)
	n.OnKept(v.plugin.Kept)
	run, end := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan struct{})
	life.Append(fx.StartStopHook(
		func() {
			go func() {
				v.plugin.Run(run)
				close(ended)
			}()
		},
		func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, drainWithin)
			defer cancel()
			end()
			if v.server.Shutdown(ctx) != nil {
				_ = v.server.Close() // what is under way is not heard any more
			}
			if err := v.plugin.Close(ctx); err != nil {
				log.Warn("a call of Docker is not done yet", slog.Any("error", err))
			}
			<-ended
		},
	))
}

// lateVolumes are the node's use cases as soon as there are any.
type lateVolumes struct{ node atomic.Pointer[usecase.Node] }

func (l *lateVolumes) ready() (*usecase.Node, error) {
	if n := l.node.Load(); n != nil {
		return n, nil
	}
	return nil, &volume.Error{
		Kind: volume.ErrNotReady,
		What: "this node waits for the cluster's metadata store",
		Fix:  "see that a majority of the voting nodes is up, then try again",
	}
}

// Volumes implements docker.Volumes, as do the others.
func (l *lateVolumes) Volumes(ctx context.Context) ([]volume.Report, error) {
	n, err := l.ready()
	if err != nil {
		return nil, err
	}
	return n.Volumes(ctx)
}

func (l *lateVolumes) Volume(ctx context.Context, name string) (volume.Report, error) {
	n, err := l.ready()
	if err != nil {
		return volume.Report{}, err
	}
	return n.Volume(ctx, name)
}

func (l *lateVolumes) Create(ctx context.Context, spec volume.Spec, dryRun bool) (volume.Report, []string, error) {
	n, err := l.ready()
	if err != nil {
		return volume.Report{}, nil, err
	}
	return n.Create(ctx, spec, dryRun)
}

func (l *lateVolumes) Delete(ctx context.Context, name string, snapshots bool) error {
	n, err := l.ready()
	if err != nil {
		return err
	}
	return n.Delete(ctx, name, snapshots)
}

func (l *lateVolumes) Attach(ctx context.Context, name string, o volume.AttachOptions) (volume.Report, error) {
	n, err := l.ready()
	if err != nil {
		return volume.Report{}, err
	}
	return n.Attach(ctx, name, o)
}

func (l *lateVolumes) Unmount(ctx context.Context, name, target string) error {
	n, err := l.ready()
	if err != nil {
		return err
	}
	return n.Unmount(ctx, name, target)
}

func (l *lateVolumes) Use(name, target string, uses volume.Uses) {
	if n, err := l.ready(); err == nil { // else nothing is mounted yet
		n.Use(name, target, uses)
	}
}
