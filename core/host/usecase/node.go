// Package usecase is what a person or a container engine can ask of one node:
// create, list, attach, mount and their opposites, reading and writing blocks,
// and what the cluster looks like from here. It owns what ties a volume that
// this node serves to its device and its mounts.
//
//	rest, command line, volume plugin
//	        │
//	      Node ──▶ host.Host (commands, volumes)
//	        └────▶ Attacher, Filesystem (declared here, filled by cmd)
//
// The faces call it. It promises that what one of them asks is done whole or
// rolled back, whoever hangs up meanwhile, and that a volume whose coordinator
// was fenced loses its device at once.
package usecase

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/volume"
)

const (
	// changeWithin bounds one change: container engines give up after 120 s and
	// never say so.
	changeWithin = 100 * time.Second
	// rollBackWithin bounds the undoing of one that did not come to its end.
	rollBackWithin = 20 * time.Second
)

// Attacher shows volumes to the kernel.
type Attacher interface {
	// Attach makes a block device of the volume.
	Attach(ctx context.Context, name string, v *host.Volume) (Device, error)
}

// Device is a volume as a block device of this machine.
type Device interface {
	Path() string
	// Resize makes the device grow to that many bytes, mounted or not.
	Resize(ctx context.Context, size int64) error
	// Detach writes everything out and removes the device; it refuses while a
	// file system is mounted from it.
	Detach(ctx context.Context) error
	// Abort removes the device and what is mounted from it, whoever hangs.
	Abort() error
}

// Exporter shows volumes to block clients.
type Exporter interface {
	// Export makes a volume reachable under a name, or a snapshot of it for reading.
	Export(name string, v *host.Volume, s *volume.Snapshot) (Export, error)
	// URIs says where clients find what has a name.
	URIs(name string) []string
}

// Export is what block clients can use.
type Export interface {
	// Clients returns how many connections there are.
	Clients() int
	// Close ends the export; without force it refuses while clients are connected.
	Close(force bool) error
}

// Filesystem makes and mounts file systems on devices.
type Filesystem interface {
	// Probe says what a device carries: "" if it is blank, the name of a file
	// system that is complete and one of ours, or "unknown data".
	Probe(device string) (string, error)
	Make(ctx context.Context, device, kind string) error
	// Erase makes a device blank again whose Make was interrupted.
	Erase(ctx context.Context, device string) error
	Check(ctx context.Context, device, kind string) error
	// CheckTarget refuses what can be no mount point, before anything is done.
	CheckTarget(target string) error
	Mount(ctx context.Context, device, target, kind string, options ...string) error
	Unmount(ctx context.Context, target string) error
	// Grow makes a mounted file system take all of its device. ErrGrowUnmounted: that
	// works here only by GrowUnmounted, while it is not mounted.
	Grow(ctx context.Context, device, target, kind string) error
	GrowUnmounted(ctx context.Context, device, kind string) error
	// Freeze writes everything out and has writers wait until thaw is called, most
	// has passed, or this process has ended.
	Freeze(ctx context.Context, target string, most time.Duration) (thaw func() error, err error)
}

// Membership is who was admitted to the cluster, and who of them votes in its
// metadata store.
type Membership interface {
	// Voting returns the nodes that vote, as last heard; none if that is not known.
	Voting() []block.NodeID
	// Founding reports whether this node is still founding the cluster.
	Founding() bool
	// Admitted finds a node by name or identity, whether or not it ever started.
	Admitted(ctx context.Context, text string) (id block.NodeID, name string, found bool, err error)
	// Withdraw takes the seat and the name of a node that was removed.
	Withdraw(ctx context.Context, node block.NodeID) error
}

// Params is what a Node is made from.
type Params struct {
	Host       *host.Host
	Membership Membership
	Node       volume.Node // this node's record
	Attacher   Attacher    // nil: this machine shows no devices, and NoDevices says why
	NoDevices  string
	Exporter   Exporter // nil: this node exports nothing
	Filesystem Filesystem
	Drives     Drives
	Peers      Peers // nil: others cannot be asked
	Unusable   []host.UnusableDisk
	Pool       block.Pool
	Reach      func() error     // returns why the metadata store does not answer now
	Now        func() time.Time // for what people read
	// Survivors are the devices that outlived a former process, and Grace is how long
	// they wait for their volumes.
	Survivors []Survivor
	Grace     time.Duration
	Log       *slog.Logger
}

// Node carries out the use cases of this node.
type Node struct {
	p       Params
	log     *slog.Logger
	running sync.WaitGroup
	ended   chan struct{} // closed by Close

	mu     sync.Mutex // guards what follows
	uses   map[block.VolumeID]*use
	wanted func(ctx context.Context, name string)
	kept   func(ctx context.Context, name, target string, users []volume.User)
}

// New returns the use cases of a node.
func New(p Params) *Node {
	return &Node{p: p, log: p.Log, ended: make(chan struct{}), uses: map[block.VolumeID]*use{}}
}

// use is one volume as this node uses it.
//
//	free ──attach──▶ [ attached: serving, device? ] ──mount──▶ [ mounted at … ]
//	  ▲                   │ detach, or the coordinator's end        │ unmount
//	  └───────────────────┘ ◀──────────────────────────────────────┘
//
// Beside that it is exported or not, but to clients for writing only without a device:
// two writers would ruin its file system.
type use struct {
	name string

	changing sync.Mutex // one change of the volume's use at a time
	telling  sync.Mutex // one word on who uses it at a time, so that the last is the newest

	mu       sync.Mutex // guards what follows
	byUse    bool       // attached by a mount or an export, so that the end of the last is the attachment's
	volume   *host.Volume
	device   Device
	survivor Survivor // waits to become device
	mounts   []mount
	exports  map[string]Export // by name of the snapshot, "" for the volume itself
	stopping bool              // somebody here asked for the end
	smaller  string            // why what is on the volume is smaller than it, if so, and what to do
	frozen   chan struct{}     // its file system is, or is to be, until this is closed; nil: it is not
}

// useOf returns the volume's use, made when there is none.
func (n *Node) useOf(id block.VolumeID, name string) *use {
	n.mu.Lock()
	defer n.mu.Unlock()
	u := n.uses[id]
	if u == nil {
		u = &use{name: name}
		n.uses[id] = u
	}
	return u
}

// known returns the volume's use if there is one.
func (n *Node) known(id block.VolumeID) *use {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.uses[id]
}

// change returns the context of a change: it goes on when whoever asked hangs
// up, so that nothing is left half done, and ends by itself.
func change(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), changeWithin)
}

// find returns the volume called name as the orchestrator knows it. That there
// is none, the metadata store has to confirm: the volume may have been created
// through another node a moment ago.
func (n *Node) find(ctx context.Context, name string) (status orchestrator.VolumeStatus, err error) {
	known, status, found := n.look(name)
	switch {
	case !known:
		return status, n.notReady()
	case found:
		return status, nil
	case volume.CheckName(name) == nil:
		_, err = n.p.Host.Command(ctx, volume.Command{Kind: volume.FindVolume, Name: name})
		if err != nil && !errors.Is(err, volume.ErrVolumeNotFound) {
			return status, err
		}
		if _, status, found = n.look(name); found {
			return status, nil
		}
	}
	return status, &volume.Error{
		Kind: volume.ErrVolumeNotFound,
		What: fmt.Sprintf("there is no volume %q", name),
		Fix:  "look at:  lagan volume ls",
	}
}

func (n *Node) look(name string) (known bool, status orchestrator.VolumeStatus, found bool) {
	n.p.Host.View(func(o *orchestrator.Orchestrator) {
		known = o.Known()
		status, found = o.Volume(name)
	})
	return known, status, found
}

func (n *Node) notReady() error {
	return &volume.Error{
		Kind: volume.ErrNotReady,
		What: fmt.Sprintf("node %s has not heard from the metadata store since it was started", n.p.Node.Name),
		Fix:  "see that a majority of the voting nodes is up, then try again",
	}
}

// Ready returns nil if the node can do its part: it knows the cluster, a majority
// of the metadata store answers, and its disks serve.
func (n *Node) Ready() error {
	if err := n.p.Reach(); err != nil {
		return &volume.Error{
			Kind:   volume.ErrNotReady,
			What:   fmt.Sprintf("node %s can change nothing: the metadata store does not answer", n.p.Node.Name),
			Causes: []string{err.Error()},
			Fix:    "see that a majority of the voting nodes is up, or the etcd that you run; what is attached goes on meanwhile",
		}
	}
	known := false
	var disks []volume.Disk
	n.p.Host.View(func(o *orchestrator.Orchestrator) { known, disks = o.Known(), o.Disks() })
	if !known {
		return n.notReady()
	}
	if n.p.Membership != nil && n.p.Membership.Founding() {
		return &volume.Error{
			Kind: volume.ErrNotReady,
			What: fmt.Sprintf("node %s is founding its cluster", n.p.Node.Name),
			Fix:  "wait a moment; if that does not help, see its log",
		}
	}
	for _, own := range n.p.Host.OwnDisks() {
		recorded := false
		for i := range disks {
			if disks[i].ID == own.ID {
				recorded = true
				if disks[i].Unusable != "" {
					return n.diskNotReady(own.Path, disks[i].Unusable)
				}
			}
		}
		if !recorded {
			return n.diskNotReady(own.Path, "it is still being opened")
		}
	}
	for _, d := range n.p.Unusable {
		return n.diskNotReady(d.Path, d.Reason)
	}
	return nil
}

func (n *Node) diskNotReady(path, reason string) error {
	return &volume.Error{
		Kind:   volume.ErrNotReady,
		What:   fmt.Sprintf("disk %s of node %s does not serve", path, n.p.Node.Name),
		Causes: []string{reason},
		Fix:    "look at:  lagan disk ls",
	}
}

// Close detaches everything in order, within ctx, and what does not let itself
// be detached by force. It is called once, when nobody asks any more.
func (n *Node) Close(ctx context.Context) error {
	n.mu.Lock()
	uses := make([]*use, 0, len(n.uses))
	for _, u := range n.uses { // any order: all of them
		uses = append(uses, u)
	}
	n.mu.Unlock()
	var mu sync.Mutex // guards errs
	var errs []error
	var closing sync.WaitGroup
	for _, u := range uses {
		closing.Go(func() {
			if err := n.closeUse(ctx, u); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("volume %q: %w", u.name, err))
			}
		})
	}
	closing.Wait()
	close(n.ended)
	n.running.Wait()
	return errors.Join(errs...)
}

// closeUse ends one use. Whatever hangs on its device, even a change under way,
// ends with the abort when ctx does.
func (n *Node) closeUse(ctx context.Context, u *use) error {
	if u.served() == nil || u.occupied() && n.leave(u) {
		return nil
	}
	aborted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(aborted)
		n.abort(u)
	})
	n.endExports(u)
	err := n.detachUse(ctx, u, volume.DetachOptions{Unmount: true})
	switch {
	case !stop():
		<-aborted
	case err != nil && n.leave(u): // somebody works in it
		err = nil
	case err != nil:
		n.abort(u)
	}
	return err
}
