// Package docker is the volume plugin of the container engine: it parses the
// engine's calls, calls a use case and answers. It owns who uses which mount on
// this node, and the catalogue from which it answers when the cluster does not.
// cmd/lagan puts its handler on a socket in /run/docker/plugins.
//
// The life of a mount. The engine counts badly: it mounts twice with one ID to
// copy a file, never unmounts what it had when it was killed, and says nothing
// when it stops waiting. So a holder is counted by (volume, ID), belongs to a
// generation of the engine, and the last one to go leaves the mount lingering:
//
//	         Mount                            Mount, same or other ID: +1
//	free ───────────▶ attaching ─────────────▶ held ◀──────────────┐
//	  ▲                   │ fails, or too late  │ last Unmount      │ Mount
//	  │                   ▼                     ▼                   │
//	  └──────────────── lingering ◀─────────────┴─────────── lingering
//	      10 s: unmount, detach
//
//	Another node wants it: what lingers ends at once.
//	Activate: a new generation. Holders of older ones count as one each, and
//	go when they are unmounted, or when the kernel shows no container with the mount.
//
// It promises that Get and List never say that a volume is not there because a
// quorum is lost: the engine would forget it, and run the container on an empty
// one. What is not known is not answered; the engine asks again.
package docker

import (
	"context"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
)

const (
	// LingerDefault is how long a mount stays after its last user: one docker run
	// mounts, unmounts and mounts again.
	LingerDefault = 10 * time.Second
	// answerWithin bounds a call that changes something. The engine gives up after
	// 120 s and never says so; what it is not told it cannot undo.
	answerWithin = 95 * time.Second
	// handOverTriesMax is how often a volume is asked for that lingers elsewhere:
	// each try waits a few seconds, and a file system may have much to write
	// before it is given up. An engine waits for longer than all of them.
	handOverTriesMax = 5
	// refreshEvery is how old the catalogue may be when a quorum is lost.
	refreshEvery = 15 * time.Second
)

// Volumes are the use cases that the plugin needs.
type Volumes interface {
	Volumes(ctx context.Context) ([]volume.Report, error)
	Volume(ctx context.Context, name string) (volume.Report, error)
	Create(ctx context.Context, spec volume.Spec, dryRun bool) (report volume.Report, placement []string, err error)
	Delete(ctx context.Context, name string, snapshots bool) error
	Attach(ctx context.Context, name string, o volume.AttachOptions) (volume.Report, error)
	Users
}

// Users are the use cases around the use of a volume.
type Users interface {
	// Unmount also detaches what was attached by its mount, however often it
	// takes.
	Unmount(ctx context.Context, name, target string) error
	// Use says who uses a volume through its mount at target; it does not wait.
	Use(name, target string, uses volume.Uses)
}

// Params is what a Plugin is made from.
type Params struct {
	Volumes   Volumes
	Node      string        // this node's name
	Catalogue string        // file of the catalogue; its directory is there
	Mounts    string        // directory of the mount points
	Linger    time.Duration // of a mount without users
	// AfterFunc calls f in a goroutine of its own when d has passed; stop reports
	// whether it kept it from that.
	AfterFunc func(d time.Duration, f func()) (stop func() bool)
	// Held reports whether a container has what is mounted at target.
	Held   func(target string) (bool, error)
	Engine string // socket of the engine, "": it is not touched
	// Containers asks the engine who runs with one of the volumes; nil: nobody
	// can be asked, and users have no names.
	Containers func(ctx context.Context, volumes []string) ([]Container, error)
	Now        func() time.Time // for what people read
	Log        *slog.Logger
}

// Plugin answers the engine.
type Plugin struct {
	p         Params
	log       *slog.Logger
	catalogue *catalogue
	started   int64         // Unix time
	ended     chan struct{} // closed by Close
	asking    chan struct{} // holds something while the engine is asked for containers
	running   sync.WaitGroup

	mu         sync.Mutex // guards what follows
	closed     bool
	generation uint64          // of the engine: its calls of Activate
	uses       map[string]*use // by name of the volume
}

// New returns a plugin. What is in the catalogue it knows at once.
func New(p Params) *Plugin {
	c, err := openCatalogue(p.Catalogue)
	if err != nil {
		p.Log.Warn("catalogue of volumes is left aside: the cluster is asked instead", slog.Any("error", err))
	}
	plugin := &Plugin{p: p, log: p.Log, catalogue: c, started: p.Now().Unix(), ended: make(chan struct{}), asking: make(chan struct{}, 1), uses: map[string]*use{}}
	for name, users := range c.users { // any order: each alone
		plugin.useOf(name).former = users
	}
	return plugin
}

// Run keeps the catalogue fresh until ctx ends. Once the cluster is known it
// makes the engine look for its plugins: Swarm uses only those that are active.
func (p *Plugin) Run(ctx context.Context) {
	touches := touchesMax
	for {
		if p.refresh(ctx) == nil && touches > 0 && p.p.Engine != "" {
			touches--
			if p.touch(ctx) == nil {
				touches = 0
			}
		}
		next := make(chan struct{})
		stop := p.p.AfterFunc(refreshEvery, func() { close(next) })
		select {
		case <-next:
		case <-ctx.Done():
			stop()
			return
		}
	}
}

// refresh takes what the cluster says into the catalogue.
func (p *Plugin) refresh(ctx context.Context) error {
	reports, err := p.p.Volumes.Volumes(ctx)
	if err == nil {
		p.keep(p.catalogue.replace(reports))
	}
	return err
}

// keep logs that the catalogue was not written: it is worth less then, and
// nothing else is.
func (p *Plugin) keep(err error) {
	if err != nil {
		p.log.Warn("catalogue of volumes was not written", slog.Any("error", err))
	}
}

// start runs f beside the caller unless the plugin is closed.
func (p *Plugin) start(f func()) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return false
	}
	p.running.Go(f)
	return true
}

// Close ends what waits and returns when nothing runs any more, or with ctx. It
// is called when nobody asks any more; mounts are left to the use cases, which
// end all of them.
func (p *Plugin) Close(ctx context.Context) error {
	close(p.ended)
	p.mu.Lock()
	p.closed = true
	for _, u := range p.uses { // any order: all of them
		u.disarm()
	}
	p.mu.Unlock()
	ended := make(chan struct{})
	go func() {
		p.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// pointOf returns where a volume is mounted.
func (p *Plugin) pointOf(name string) string { return filepath.Join(p.p.Mounts, name) }

// contentOf returns what containers get of a volume: not the root of its file
// system, where lost+found would keep them from taking it for empty.
func (p *Plugin) contentOf(name string) string { return filepath.Join(p.pointOf(name), "data") }
