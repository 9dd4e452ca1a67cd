// Package coordinator serves one attached volume.
package coordinator

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/step"
)

// Params is what a coordinator is made from.
type Params struct {
	Node      block.NodeID
	Volume    block.VolumeID
	Seed      uint64
	BlockSize int
	Pool      block.Pool
}

// Coordinator is one session of one volume.
type Coordinator struct{}

// New returns a coordinator; its first event is EventStart.
func New(p Params) *Coordinator { return &Coordinator{} }

// Step takes one event.
func (c *Coordinator) Step(now step.Time, ev *step.Event, out *step.Effects) {}
