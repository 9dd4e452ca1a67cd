// Package orchestrator keeps one node's view of the cluster and does this
// node's part: places volumes, makes and frees the replicas on its disks,
// starts and stops the coordinators of volumes attached here.
package orchestrator

import (
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// Params is what an orchestrator is made from.
type Params struct {
	Node volume.Node // this node's record
	Seed uint64
}

// Orchestrator is a machine; see the package comment.
type Orchestrator struct{}

// New returns an orchestrator; its first event is EventStart.
func New(p Params) *Orchestrator { return &Orchestrator{} }

// Step takes one event.
func (o *Orchestrator) Step(now step.Time, ev *step.Event, out *step.Effects) {}
