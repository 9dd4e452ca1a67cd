// Package host is the body of a node: the goroutines, locks, clock, disks and
// connections that the machines of core/node do without. It brings events to
// them, performs their effects, and offers the use cases of one node to the
// faces (REST, command line, volume plugin).
//
//	transport, timers, disk workers, metadata watch, devices
//	        │ events, each on its own goroutine
//	        ▼
//	  shard: lock ─ machine.Step ─ unlock ─▶ effects ─▶ transport, disks, …
//
// One shard a disk, one a volume attached here, one for the orchestrator. No
// shard's lock is ever taken under another's. cmd/lagan and bench open a Host;
// nothing else makes one.
package host

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/coordinator"
	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/transport"
)

// transactionTimeout bounds one metadata transaction; its outcome is unknown
// after that and the machine that asked decides.
const transactionTimeout = 5 * time.Second

// Metadata is the metadata store as a node uses it; transport/etcd is one.
type Metadata interface {
	// Do performs a transaction; its outcome is Unknown when ctx ends first.
	Do(ctx context.Context, txn metadata.Txn) metadata.Result
	// Watch delivers the content below prefix and then every change, until ctx
	// ends.
	Watch(ctx context.Context, prefix string, deliver func(metadata.Update)) error
}

// Params is what a node is opened with.
type Params struct {
	Node      volume.Node
	Disks     []*diskio.File // formatted; owned by the host from Open on
	Unusable  []UnusableDisk // disks of this node that could not be opened at all
	Transport transport.Transport
	Metadata  Metadata
	Clock     func() step.Time // CLOCK_BOOTTIME
	Now       func() time.Time // for what people read; nil: the real time
	Seed      uint64           // another at every start
	BlockSize int              // bytes
	Pool      block.Pool
	Limits    store.Limits
	Markers   Markers
	// BlockingDisks leaves io_uring alone.
	BlockingDisks bool
	Scrub         ScrubParams
	// HealAfter is how long a copy's node or disk is gone before the copy is made
	// anew elsewhere; 0: it never is.
	HealAfter time.Duration
	// Held are the devices that outlived a former process of this node.
	Held    map[block.VolumeID]orchestrator.Held
	Removed func() // hears that the node was removed from the cluster, and must stop; nil: nobody does
	Log     *slog.Logger
}

// UnusableDisk is a disk that the node was given and cannot use.
type UnusableDisk struct {
	ID     block.DiskID // zero if it never had one
	Path   string
	Reason string
}

// Markers remembers, until the machine is booted anew, which disks may have
// lost what they had accepted.
type Markers interface {
	// Taint returns what SetTaint noted last during this boot, or 0.
	Taint(disk string) uint32
	// SetTaint notes that a write or sync of the disk failed.
	SetTaint(disk string, number uint32) error
}

// Host is a node at work.
type Host struct {
	params      Params
	machines    node.Params
	log         *slog.Logger
	effects     sync.Pool // of *effects
	timers      *timers
	controls    controls
	answers     answers
	events      *events
	scrubs      *scrubs
	comparisons *comparisons
	stopwatch   func() time.Duration
	life        context.Context // ends when the host closes
	end         context.CancelFunc
	running     sync.WaitGroup

	orchestrator *shard

	mu       sync.Mutex // guards what follows
	files    []*diskio.Queue
	numbered int // disks so far
	disks    map[block.DiskID]*shard
	volumes  map[block.VolumeID]*Volume
	started  uint64        // coordinators so far
	changed  chan struct{} // closed and replaced when volumes changes
}

// Open starts a node. ctx bounds nothing but carries values; Close ends it.
func Open(ctx context.Context, p Params) *Host {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	if p.Now == nil {
		p.Now = time.Now //nolint:forbidigo // the body is where real time comes from
	}
	h := &Host{
		params: p,
		machines: node.Params{
			Node: p.Node, Seed: p.Seed, BlockSize: p.BlockSize, Pool: p.Pool, Limits: p.Limits,
			Window: coordinator.DefaultWindow(), HealAfter: p.HealAfter, Held: p.Held,
		},
		log:       p.Log,
		events:    newEvents(p.Now),
		stopwatch: newStopwatch(),
		timers:    newTimers(p.Clock),
		life:      life,
		end:       end,
		disks:     map[block.DiskID]*shard{},
		volumes:   map[block.VolumeID]*Volume{},
		changed:   make(chan struct{}),
	}
	h.effects.New = func() any { return &effects{} }
	h.controls.handOn = h.handOn
	h.scrubs = newScrubs(h, p.Scrub)
	h.comparisons = newComparisons(h)
	h.answers.waiting = map[uint64]chan volume.Answer{}
	h.orchestrator = newShard(h, slog.String("shard", "orchestrator"), node.NewOrchestrator(h.machines))
	h.running.Go(func() { h.timers.run(life) })
	h.running.Go(h.scrubs.run)
	h.start(h.orchestrator)
	for _, file := range p.Disks {
		h.startDisk(file)
	}
	for _, d := range p.Unusable {
		h.log.Error("disk cannot be used, the others of this node serve", slog.String("disk", d.Path), slog.String("reason", d.Reason))
		h.tell(h.orchestrator, &step.Control{Kind: step.DiskUnusable, Disk: d.ID, Text: d.Reason})
	}
	h.running.Go(func() { h.watch(life) })
	h.running.Go(func() { h.watchDisks(life) })
	return h
}

func (h *Host) start(s *shard) { s.deliver(&step.Event{Kind: step.EventStart}, nil) }

// watch feeds the orchestrator with the metadata store's changes.
func (h *Host) watch(ctx context.Context) {
	for ctx.Err() == nil {
		err := h.params.Metadata.Watch(ctx, volume.Prefix, func(u metadata.Update) {
			h.orchestrator.deliver(&step.Event{Kind: step.EventWatch, Update: &u}, nil)
		})
		if err != nil && ctx.Err() == nil {
			h.log.Warn("watch of the metadata store ended, starting it again", slog.Any("error", err))
		}
	}
}

// Accept implements transport.Acceptor: a peer's coordinator connects to one of
// this node's replicas.
func (h *Host) Accept(c transport.Conn, hello message.Hello) (transport.Handler, error) {
	removed := false
	h.View(func(o *orchestrator.Orchestrator) { removed = o.Removed(hello.Node) })
	if removed {
		return nil, fmt.Errorf("node %v was removed from the cluster", hello.Node)
	}
	s := h.diskShard(hello.Disk)
	if s == nil {
		return nil, fmt.Errorf("node %s has no disk %v that serves", h.params.Node.Name, hello.Disk)
	}
	return s.accept(c, &hello)
}

// onControl takes what machines tell the body.
func (h *Host) onControl(c *step.Control) {
	switch c.Kind {
	case step.StartCoordinator:
		h.startVolume(c)
	case step.VolumeServing:
		h.growVolume(c)
		h.setVolume(c.Volume, func(s *Serving) {
			s.Serving, s.Lossless, s.Era, s.Text, s.Blocks = true, c.Lossless, c.Era, "", c.Blocks
		})
	case step.VolumeGrown:
		h.growVolume(c)
		h.setVolume(c.Volume, func(s *Serving) { s.Blocks = c.Blocks })
	case step.VolumeWaiting:
		h.log.Warn("volume waits", slog.String("volume", c.Volume.String()), slog.String("reason", c.Text))
		h.setVolume(c.Volume, func(s *Serving) { s.Text = c.Text })
	case step.VolumeFenced, step.VolumeDetached:
		h.endVolume(c)
	case step.VolumeWanted:
		h.setVolume(c.Volume, func(s *Serving) { s.Wanted++ })
	case step.VolumeCompared:
		h.comparisons.progress(c.Volume, c.Comparison, c.Force)
	case step.DiskScrubbed:
		h.scrubs.progress(c.Disk, c.Scrub)
	case step.FreezeVolume:
		h.setVolume(c.Volume, func(s *Serving) { s.Freeze = true })
	case step.ThawVolume:
		h.setVolume(c.Volume, func(s *Serving) { s.Freeze = false })
	case step.NodeEnded:
		if h.params.Removed != nil {
			h.params.Removed()
		}
	default: // between machines
	}
}

// noteFailure remembers, before any machine hears of it, that a write or sync
// of a disk failed: what was accepted before may be lost.
func (h *Host) noteFailure(path string) (number uint32) {
	number = uint32(h.params.Clock()>>10) | 1
	h.log.Error("disk failed a write or sync, it is opened anew", slog.String("disk", path))
	if err := h.params.Markers.SetTaint(path, number); err != nil {
		h.log.Error("disk failure could not be noted", slog.String("disk", path), slog.Any("error", err))
	}
	return number
}

func (h *Host) startVolume(c *step.Control) {
	name := c.Volume.String()
	h.View(func(o *orchestrator.Orchestrator) {
		if known, found := o.Volume(name); found {
			name = known.Spec.Name
		}
	})
	h.mu.Lock()
	h.started++
	machine := node.NewCoordinator(h.machines, c, h.started)
	v := &Volume{
		host: h, id: c.Volume, name: name, number: c.Number, free: -1,
		shard:   newShard(h, slog.String("volume", c.Volume.String()), machine),
		changed: make(chan struct{}),
	}
	v.shard.volume = v
	v.first.Store(c.Config.LeastBlocks())
	v.blocks.Store(c.Config.LeastBlocks())
	h.volumes[c.Volume] = v
	h.announce()
	h.mu.Unlock()
	h.start(v.shard)
}

// announce wakes who waits for a volume to appear; the lock is held.
func (h *Host) announce() {
	close(h.changed)
	h.changed = make(chan struct{})
}

// growVolume lets requests reach as far as its coordinator takes them.
func (h *Host) growVolume(c *step.Control) {
	h.mu.Lock()
	v := h.volumes[c.Volume]
	h.mu.Unlock()
	if v != nil {
		v.blocks.Store(max(v.blocks.Load(), c.Blocks))
	}
}

func (h *Host) setVolume(id block.VolumeID, change func(*Serving)) {
	h.mu.Lock()
	v := h.volumes[id]
	h.mu.Unlock()
	if v != nil {
		v.set(change)
	}
}

func (h *Host) endVolume(c *step.Control) {
	h.mu.Lock()
	v := h.volumes[c.Volume]
	delete(h.volumes, c.Volume)
	h.announce()
	h.mu.Unlock()
	if v == nil {
		return
	}
	if c.Kind == step.VolumeFenced { // of an end in order the event says enough
		h.log.Info("volume is not served here any more", slog.String("volume", v.name), slog.String("reason", c.Text))
	}
	v.set(func(s *Serving) {
		s.Ended, s.Serving, s.Text = true, false, c.Text
		s.Clean = c.Kind == step.VolumeDetached
	})
	h.comparisons.broken(c.Volume, c.Text)
	v.shard.remove()
}

// Close stops the node: machines are not stepped any more, disks are closed
// after what is under way. Nothing is lost that was acknowledged; an orderly
// end detaches the volumes before.
func (h *Host) Close() error {
	h.end()
	h.EndEvents()
	h.mu.Lock()
	shards := []*shard{h.orchestrator}
	for _, s := range h.disks { // any order: all of them
		shards = append(shards, s)
	}
	for _, v := range h.volumes { // any order: all of them
		shards = append(shards, v.shard)
	}
	files := h.files
	h.mu.Unlock()
	for _, s := range shards {
		s.remove()
	}
	var errs []error
	for _, f := range files {
		errs = append(errs, f.Stop())
	}
	h.running.Wait()
	return errors.Join(errs...)
}

// Volume returns the volume with id if this node serves it, or is about to.
func (h *Host) Volume(id block.VolumeID) (*Volume, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	v, ok := h.volumes[id]
	return v, ok
}

// Config returns the newest configuration that the volume's coordinator knows.
func (v *Volume) Config() *volume.Config {
	v.shard.mu.Lock()
	defer v.shard.mu.Unlock()
	return v.shard.machine.(*coordinator.Coordinator).Config()
}

// View calls f with the orchestrator's view of the cluster, under its lock.
func (h *Host) View(f func(o *orchestrator.Orchestrator)) {
	h.orchestrator.mu.Lock()
	defer h.orchestrator.mu.Unlock()
	f(h.orchestrator.machine.(*orchestrator.Orchestrator))
}
