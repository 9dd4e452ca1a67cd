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
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// Params is what a node's machines are made from.
type Params struct {
	Node      volume.Node // its record: identity, name, address, boot id
	Seed      uint64      // of all random choices; another at every start
	BlockSize int         // bytes
	Pool      block.Pool
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
func Targets(c *step.Control) []Target { return nil }

// DiskParams describes a disk that a node was given.
type DiskParams struct {
	Index    int   // place among the node's disks
	Capacity int64 // bytes of the device
	Tainted  bool  // a former process of this boot saw a write or sync error on it
}

// NewOrchestrator returns the node's orchestrator.
func NewOrchestrator(p Params) Machine { return nil }

// NewCoordinator returns the machine that serves the volume of a
// StartCoordinator control. number tells apart the coordinators of one node's life.
func NewCoordinator(p Params, c *step.Control, number uint64) Machine { return nil }

// NewDisk returns the shard of a formatted disk. It opens its store on
// EventStart and reports DiskReady or DiskUnusable.
func NewDisk(p Params, d DiskParams) Machine { return nil }
