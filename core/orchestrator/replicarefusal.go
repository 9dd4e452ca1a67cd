package orchestrator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/volume"
)

// The errors of commands that change the copies of a volume.

func (o *Orchestrator) alreadyChanging(op *operation, r *rearrangement) error {
	var coming, going []string
	c := r.v.Config.Value
	for _, at := range r.next.Copies {
		if !isInSync(c, at.Replica) {
			coming = append(coming, o.nodeName(at.Node))
		}
	}
	for _, at := range r.next.Leaving {
		going = append(going, o.nodeName(at.Node))
	}
	e := &volume.Error{
		Kind: volume.ErrReplicasChanging,
		What: fmt.Sprintf("cannot %s: its copies are being changed already", actionOf(op)),
		Fix:  "wait until that is done, or break it off:  lagan operation ls",
	}
	if len(coming) > 0 {
		e.Causes = append(e.Causes, "not in sync yet: the copy on node "+strings.Join(coming, ", "))
	}
	if len(going) > 0 {
		e.Causes = append(e.Causes, "leaving: the copy on node "+strings.Join(going, ", "))
	}
	return e
}

func tooManyReplicas(op *operation, err error) error {
	return fmt.Errorf("cannot %s: %w", actionOf(op), err)
}

// tooFewForWrites is for fewer copies than a write needs.
func tooFewForWrites(op *operation, replicas, needed int) error {
	return &volume.Error{
		Kind: volume.ErrInvalidOption,
		What: fmt.Sprintf("cannot %s: a write needs %s in sync, and it would have %d", actionOf(op), copies(needed), replicas),
		Fix:  fmt.Sprintf("ask for more copies, or have writes need fewer first:  lagan volume set %s --min-writable %d", nameOf(op), max(1, replicas)),
	}
}

func noPlaceFor(op *operation, plan *placement.Plan) error {
	fix := "add a disk, or a node:  lagan disk add PATH"
	if op.command.Node != (block.NodeID{}) {
		fix = "choose another node, or leave that to the cluster:  lagan replica add " + op.command.Name
	}
	return &volume.Error{
		Kind: volume.ErrNoPlacement,
		What: fmt.Sprintf("cannot %s: %s more, %s can take it", actionOf(op), count(plan.Replicas, "replica"), count(plan.Fitting, "node")),
		Causes: slices.DeleteFunc(slices.Clone(plan.Reasons), func(r string) bool {
			return strings.HasSuffix(r, ", not needed") || strings.HasSuffix(r, ": it has a copy")
		}),
		Fix: fix,
	}
}

func (o *Orchestrator) replicaExists(op *operation) error {
	return &volume.Error{
		Kind: volume.ErrReplicaExists,
		What: fmt.Sprintf("cannot %s: node %s has a copy already", actionOf(op), o.nodeName(op.command.Node)),
		Fix:  "choose another node:  lagan replica ls " + op.command.Name,
	}
}

func (o *Orchestrator) replicaNotFound(op *operation, node block.NodeID) error {
	return &volume.Error{
		Kind: volume.ErrReplicaNotFound,
		What: fmt.Sprintf("cannot %s: node %s has none", actionOf(op), o.nodeName(node)),
		Fix:  "look at:  lagan replica ls " + op.command.Name,
	}
}

// lastReplica is for a change that would leave no copy that holds everything.
func (o *Orchestrator) lastReplica(op *operation, r *rearrangement) error {
	name := op.command.Name
	e := &volume.Error{
		Kind: volume.ErrLastCopy,
		What: fmt.Sprintf("cannot %s: no copy that holds everything would be left", actionOf(op)),
		Fix:  fmt.Sprintf("add another one and wait until it is in sync:  lagan replica add %s;  or delete the volume:  lagan volume rm %s", name, name),
	}
	for _, at := range r.next.Copies {
		state := "not made yet"
		if m := r.v.Config.Value.Member(at.Replica); m != nil {
			state = string(m.State)
		}
		e.Causes = append(e.Causes, fmt.Sprintf("copy on node %s: %s", o.nodeName(at.Node), state))
	}
	return e
}

func nothingToKeep(op *operation) error {
	return &volume.Error{
		Kind: volume.ErrNotCancellable,
		What: fmt.Sprintf("cannot %s: no change of them is under way that could be broken off", actionOf(op)),
		Fix:  "look at:  lagan operation ls",
	}
}
