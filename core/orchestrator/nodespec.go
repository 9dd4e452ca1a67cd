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

// changeNode writes down what is asked of a node. Who places a copy guards that
// record: what was planned before is planned anew.
func (o *Orchestrator) changeNode(op *operation) decision {
	id := op.command.Node
	key, held := volume.NodeSpecKey(id), o.view.Node(id)
	asked := o.nodeSpec(id)
	next := asked.With(&op.command.Change)
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
