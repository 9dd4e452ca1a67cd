package orchestrator

import (
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
)

// nodeSpec is what people asked of a node; of most nothing was.
func (o *Orchestrator) nodeSpec(id block.NodeID) volume.NodeSpec {
	if asked := o.view.Node(id).Spec.Value; asked != nil {
		return *asked
	}
	return volume.NodeSpec{Format: volume.Format, Node: id}
}

// changed is what an operation wants to be asked of its node.
func (o *Orchestrator) changed(op *operation) volume.NodeSpec {
	return o.nodeSpec(op.command.Node).With(&op.command.Change, op.command.Time, o.promisedOn(op.command.Node))
}

// promisedOn is what the disks of a node promise to volumes, in bytes.
func (o *Orchestrator) promisedOn(node block.NodeID) (bytes int64) {
	for _, d := range o.view.Disks() {
		if d.Node == node {
			bytes += d.Promised
		}
	}
	return bytes
}

// changeNode writes down what is asked of a node. Who places a copy guards that
// record: what was planned before is planned anew.
func (o *Orchestrator) changeNode(op *operation) decision {
	id := op.command.Node
	key, held := volume.NodeSpecKey(id), o.view.Node(id)
	asked := o.nodeSpec(id)
	next := o.changed(op)
	switch {
	case held.Record.Revision == 0:
		return refuse(NoSuchNode(op.command.Name), volume.NodeKey(id))
	case held.Spec.Problem != nil:
		return refuse(fmt.Errorf("cannot %s: %w", actionOf(op), held.Spec.Problem), key)
	case next == asked:
		return succeed(block.VolumeID{}, key)
	}
	return write(metadata.Txn{
		Guards: []metadata.Guard{{Key: key, Revision: held.Spec.Revision}, {Key: volume.RemovedKey(id)}},
		Ops:    []metadata.Op{{Key: key, Value: volume.Encode(next)}},
	})
}

// NoSuchNode refuses what is no node.
func NoSuchNode(name string) error {
	return &volume.Error{
		Kind: volume.ErrNodeNotFound,
		What: fmt.Sprintf("there is no node %q", name),
		Fix:  "look at:  lagan node ls",
	}
}
