package orchestrator

import (
	"fmt"
	"math"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// Disks are balanced by writing down that they are to be. Whoever is the first node
// plans, begins the first move of the plan as a command would that moves a copy, and
// plans anew at the next tick, for what is there by then:
//
//	command ──▶ record ──▶ a move, with the record, in one transaction ──▶ it arrived ──▶ another one
//	                                                              nothing is left to move ──▶ the record is gone
//
// While copies cannot be moved because a node is away, or others change their volumes,
// it waits for them.
//
// The record names what is on its way: whoever goes on knows how many that are.

// balancesMax is how many volumes are moved at a time to balance disks.
const balancesMax = 4

// RebalanceID is the identity of the operation: there is one at most.
const RebalanceID = "rebalance"

// balanceDisks writes down that disks are to be balanced, or not any more: what is on
// its way then arrives, and nothing else is begun.
func (o *Orchestrator) balanceDisks(op *operation) decision {
	item := o.view.Rebalance()
	switch {
	case item.Problem != nil:
		return refuse(fmt.Errorf("cannot %s disks: %w", verbOf(op), item.Problem), volume.RebalanceKey)
	case o.balances(op):
		return succeed(block.VolumeID{}, volume.RebalanceKey)
	}
	txn := metadata.Txn{Guards: []metadata.Guard{{Key: volume.RebalanceKey, Revision: item.Revision}}}
	if op.command.Spread == 0 {
		txn.Ops = []metadata.Op{{Key: volume.RebalanceKey, Delete: true}}
		return write(txn)
	}
	next := volume.Rebalance{Format: volume.Format, Since: op.command.Time}
	if item.Value != nil {
		next = *item.Value
	}
	next.Spread = op.command.Spread
	next.Left = o.Balance(next.Spread).Bytes
	txn.Ops = []metadata.Op{{Key: volume.RebalanceKey, Value: volume.Encode(next)}}
	return write(txn)
}

// balances reports whether the record says what a command asks for.
func (o *Orchestrator) balances(op *operation) bool {
	r := o.view.Rebalance().Value
	if r == nil {
		return op.command.Spread == 0
	}
	return r.Spread == op.command.Spread
}

// Balance plans which copies are to be moved to have disks differ by at most so many
// points.
func (o *Orchestrator) Balance(spread int) volume.Balance { return o.balance(spread, math.MaxInt) }

// balance plans most of the moves, at most.
func (o *Orchestrator) balance(spread, most int) volume.Balance {
	held := make([]placement.Held, 0, o.view.VolumeCount())
	o.view.EachVolume(func(id block.VolumeID, v *view.Volume) {
		c, p := v.Config.Value, v.Placement.Value
		if c == nil || v.Spec.Value == nil || v.Placement.Problem != nil {
			return
		}
		one := placement.Held{ID: id, Spec: v.Spec.Value, Copies: p.Wanted(c), Fixed: !o.settled(v)}
		if p != nil {
			one.Leaving = p.Leaving
		}
		if a := v.Attachment.Value; a != nil && !a.Upkeep {
			one.Attached = a.Node
		}
		held = append(held, one)
	})
	return placement.Balance(o.placeable(), held, spread, most)
}

// settled reports whether a volume is as it should be, with nothing under way, so
// that a copy may be moved that nobody asked to have moved.
func (o *Orchestrator) settled(v *view.Volume) bool {
	c, p := v.Config.Value, v.Placement.Value
	if c.Tombstone || v.Snapshots.Problem != nil || p.Changing() || o.grows(v) {
		return false
	}
	if s := v.Snapshots.Value; s != nil && slices.ContainsFunc(s.List, func(s volume.Snapshot) bool { return len(s.Cloning) > 0 }) {
		return false
	}
	count, whole := 0, true
	p.Each(c, func(at *volume.Place) {
		count++
		whole = whole && isInSync(c, at.Replica) && o.reachable(at.Disk, at.Node)
	})
	return whole && count == v.Spec.Value.Replicas
}

// rebalance does, at every tick, what is due: one write at most.
func (o *Orchestrator) rebalance(out *step.Effects) {
	item := o.view.Rebalance()
	if item.Value == nil || !o.view.Known() || o.writing[volume.RebalanceKey] || !o.first() {
		return
	}
	next := *item.Value
	next.Moving = slices.Clone(next.Moving)
	changed := o.arrived(&next)
	guard := metadata.Guard{Key: volume.RebalanceKey, Revision: item.Revision}
	if len(next.Moving) < balancesMax && len(o.healing.filling) < healsMax {
		plan := o.balance(next.Spread, 1)
		switch {
		case len(plan.Moves) > 0:
			out.Marks.Hit("orchestrator: copy is moved to balance disks")
			o.beginMove(&next, &plan.Moves[0], guard, out)
			return
		case len(next.Moving) == 0 && plan.Waiting == 0:
			out.Marks.Hit("orchestrator: disks are balanced")
			o.write(volume.RebalanceKey, block.VolumeID{}, metadata.Txn{
				Guards: []metadata.Guard{guard}, Ops: []metadata.Op{{Key: volume.RebalanceKey, Delete: true}},
			}, out)
			return
		}
	}
	if changed {
		o.write(volume.RebalanceKey, block.VolumeID{}, metadata.Txn{
			Guards: []metadata.Guard{guard}, Ops: []metadata.Op{{Key: volume.RebalanceKey, Value: volume.Encode(next)}},
		}, out)
	}
}

// arrived drops the moves that are over, and reports whether there were any. One that
// somebody broke off moved nothing.
func (o *Orchestrator) arrived(r *volume.Rebalance) bool {
	before := len(r.Moving)
	r.Moving = slices.DeleteFunc(r.Moving, func(m volume.Moving) bool {
		v := o.view.Volume(m.Volume)
		p := v.Placement.Value
		if p.Changing() {
			return false
		}
		if p != nil && p.Wants(m.Replica) {
			r.Moved += m.Bytes
		}
		return true
	})
	return len(r.Moving) != before
}

// beginMove writes down that a copy is to be elsewhere, as a command would, and that
// it is on its way.
func (o *Orchestrator) beginMove(next *volume.Rebalance, m *volume.CopyMove, guard metadata.Guard, out *step.Effects) {
	v := o.view.Volume(m.Volume)
	r := &rearrangement{id: m.Volume, v: v, spec: v.Spec.Value.Clone(), next: placementOf(m.Volume, &v)}
	r.next.Before = &volume.Former{Copies: slices.Clone(r.next.Copies), Replicas: r.spec.Replicas}
	i := slices.IndexFunc(r.next.Copies, func(at volume.Place) bool { return at.Disk == m.From.ID })
	at := volume.Place{Replica: block.ReplicaID(o.random.id()), Node: m.To.Node, Disk: m.To.ID}
	r.next.Leaving = append(r.next.Leaving, r.next.Copies[i])
	r.next.Copies = append(slices.Delete(r.next.Copies, i, i+1), at)
	next.Moving = append(next.Moving, volume.Moving{Volume: m.Volume, Replica: at.Replica, Bytes: m.Bytes})
	next.Left = max(0, next.Left-m.Bytes) // others change volumes meanwhile
	txn := o.rearranged(r)
	txn.Guards = append(txn.Guards, guard)
	txn.Ops = append(txn.Ops, metadata.Op{Key: volume.RebalanceKey, Value: volume.Encode(*next)})
	o.write(volume.RebalanceKey, m.Volume, txn, out)
}

// rebalancing adds what is left to be balanced to what is under way.
func (o *Orchestrator) rebalancing(all []volume.Operation) []volume.Operation {
	r := o.view.Rebalance().Value
	if r == nil {
		return all
	}
	total := r.Moved + r.Left
	for _, m := range r.Moving {
		total += m.Bytes
	}
	return append(all, volume.Operation{
		ID: RebalanceID, Kind: volume.RebalanceOperation, Since: r.Since, Cancellable: true, Done: r.Moved, Total: total,
		Reason: fmt.Sprintf("disks are to differ by at most %d points, %s on their way", r.Spread, copies(len(r.Moving))),
	})
}
