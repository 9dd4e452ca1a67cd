// Package node is one machine's set of machines: an orchestrator, a shard for
// every disk and one for every volume attached here. It makes them and says
// where the controls between them go; the body (core/host, sim) keeps them,
// locks them and performs their effects.
//
//	       Update, Command                    Request
//	            │                                │
//	    ┌───────▼──────┐ StartCoordinator ┌──────▼──────┐
//	    │ Orchestrator │ ───────────────▶ │ Coordinator │ one a volume
//	    └───────▲──────┘                  └──────┬──────┘
//	DiskReady … │ MakeReplica …                  │ messages, also to the
//	    ┌───────▼──────┐                         │ node's own disks
//	    │ Disk: store, │ ◀───────────────────────┘
//	    │   replicas   │ one a disk
//	    └──────────────┘
package node

import (
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/coordinator"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
)

// Params is what a node's machines are made from.
type Params struct {
	Node      volume.Node // its record: identity, name, address, boot id
	Seed      uint64      // of all random choices; another at every start
	BlockSize int         // bytes
	Pool      block.Pool
	Limits    store.Limits       // of every disk's store
	Window    coordinator.Window // of every attached volume's coordinator
	// HealAfter is how long a copy's node or disk is gone before the copy is made
	// anew elsewhere; 0: it never is.
	HealAfter time.Duration
	// Held are the devices that outlived a former process of this node.
	Held map[block.VolumeID]orchestrator.Held
}

// Machine is one shard's state machine.
type Machine interface {
	Step(now step.Time, ev *step.Event, out *step.Effects)
}

// Target says which shard of a node a control is for.
type Target uint8

// The targets.
const (
	ToBody         Target = iota // make or drop a coordinator, tell the device
	ToOrchestrator               //
	ToDisk                       // the shard of Control.Disk
	ToCoordinator                // the shard of Control.Volume, if there is one
)

// Targets returns where c goes, in order; a control may have several targets.
func Targets(c *step.Control) []Target {
	switch c.Kind {
	case step.DiskReady, step.DiskUnusable, step.ReplicaMade, step.ReplicaFreed, step.DiskSpace:
		return []Target{ToOrchestrator}
	case step.MakeReplica, step.FreeReplica, step.ScrubDisk:
		return []Target{ToDisk}
	case step.ConfigChanged:
		if c.Disk == (block.DiskID{}) {
			return []Target{ToCoordinator}
		}
		return []Target{ToDisk}
	case step.StartCoordinator, step.NodeEnded:
		return []Target{ToBody}
	case step.StopCoordinator, step.CompareVolume, step.PlacementChanged, step.SizeChanged, step.SnapshotsChanged:
		return []Target{ToCoordinator}
	case step.VolumeServing, step.VolumeGrown, step.VolumeWaiting, step.VolumeFenced, step.VolumeDetached:
		return []Target{ToOrchestrator, ToBody}
	case step.VolumeUsed, step.VolumeFrozen, step.DiskAiling, step.VolumeDamaged:
		return []Target{ToOrchestrator}
	case step.VolumeCompared:
		if c.Force {
			return []Target{ToOrchestrator, ToBody}
		}
		return []Target{ToBody}
	case step.VolumeWanted, step.FreezeVolume, step.ThawVolume, step.DiskScrubbed:
		return []Target{ToBody}
	case step.ControlInvalid:
	}
	return nil
}

// DiskParams describes a disk that a node was given.
type DiskParams struct {
	Index    int          // place among the node's disks
	Disk     block.DiskID // whose store must be on it; zero: whichever it is
	Capacity int64        // bytes of the device
	Taint    uint32       // of the last write or sync that failed during this boot, 0: none; see step.Event
}

// NewOrchestrator returns the node's orchestrator.
func NewOrchestrator(p Params) *orchestrator.Orchestrator {
	return orchestrator.New(orchestrator.Params{Node: p.Node, Seed: derive(p.Seed, 1, 0), BlockSize: p.BlockSize, HealAfter: p.HealAfter, Held: p.Held})
}

// NewCoordinator returns the machine that serves the volume of a
// StartCoordinator control. number tells apart the coordinators of one node's life.
func NewCoordinator(p Params, c *step.Control, number uint64) *coordinator.Coordinator {
	return coordinator.New(coordinator.Params{
		Node:      p.Node.ID,
		Volume:    c.Volume,
		Seed:      derive(p.Seed, 2, number),
		BlockSize: p.BlockSize,
		Pool:      p.Pool,
		Config:    c.Config,
		Revision:  metadata.Revision(c.Revision),
		Attached:  metadata.Revision(c.Attached),
		Served:    c.Era,
		Window:    p.Window,
	})
}

// derive returns the seed of one machine: different for every kind and number.
func derive(seed, kind, number uint64) uint64 {
	z := seed + kind*0x9e3779b97f4a7c15 + number*0xd1b54a32d192ed03
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
