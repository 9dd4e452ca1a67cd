package orchestrator

import (
	"fmt"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
)

// cordonDisk keeps new copies away from a disk, or lets them come again. Who
// places a volume guards the records of its disks: what was planned before is
// planned anew.
func (o *Orchestrator) cordonDisk(op *operation) decision {
	key, item := volume.DiskKey(op.command.Disk), o.view.Disk(op.command.Disk)
	switch {
	case item.Problem != nil:
		return refuse(unreadableDisk(op, item.Problem), key)
	case item.Value == nil:
		return refuse(NoSuchDisk(op.command.Name), key)
	case item.Value.Cordoned != op.command.Force:
		return succeed(block.VolumeID{}, key)
	}
	d := *item.Value
	d.Cordoned = !op.command.Force
	return write(metadata.Txn{
		Guards: []metadata.Guard{{Key: key, Revision: item.Revision}},
		Ops:    []metadata.Op{{Key: key, Value: volume.Encode(d)}},
	})
}

// removeDisk takes a disk of this node out of the records, if no copy is there or
// can come meanwhile: it is cordoned, nothing is promised to any volume, and its
// record is as it was.
//
//	cordoned ──▶ nothing promised, no copies ──▶ its record is gone ──▶ the body closes it
func (o *Orchestrator) removeDisk(op *operation) decision {
	id := op.command.Disk
	key, item := volume.DiskKey(id), o.view.Disk(id)
	switch {
	case item.Problem != nil:
		return refuse(unreadableDisk(op, item.Problem), key)
	case item.Value == nil:
		return succeed(block.VolumeID{}, key)
	case item.Value.Node != o.p.Node.ID:
		return refuse(notOurDisk(op.command.Name, o.nodeName(item.Value.Node)), key)
	case !item.Value.Cordoned:
		return refuse(notCordoned(op.command.Name), key)
	}
	held := o.copiesOn(id)
	if len(held) == 0 && item.Value.Promised > 0 {
		held = []string{"volumes that this node has not heard of yet"}
	}
	if len(held) > 0 {
		return refuse(holdsCopies(op.command.Name, held), key)
	}
	return write(metadata.Txn{
		Guards: []metadata.Guard{{Key: key, Revision: item.Revision}, {Key: volume.RemovedKey(o.p.Node.ID)}},
		Ops:    []metadata.Op{{Key: key, Delete: true}},
	})
}

// copiesOn says of which volumes copies are on a disk of this node, a line each.
func (o *Orchestrator) copiesOn(id block.DiskID) (lines []string) {
	listed := o.view.OnDisk(id)
	for _, v := range listed {
		held := o.view.Volume(v)
		name, state := v.String(), ""
		if held.Spec.Value != nil {
			name = held.Spec.Value.Name
		}
		if c := held.Config.Value; c != nil {
			for i := range c.Members {
				if c.Members[i].Disk == id {
					state = string(c.Members[i].State)
				}
			}
			if c.Tombstone {
				state = "being freed"
			}
		}
		lines = append(lines, fmt.Sprintf("volume %s: its copy here is %s", name, state))
	}
	for v, l := range o.volumes { // any order: sorted below
		for _, held := range l.replicas { // any order: likewise
			if held.disk == id && held.held && !slices.Contains(listed, v) {
				lines = append(lines, fmt.Sprintf("volume %v: a copy that is being freed", v))
			}
		}
	}
	slices.Sort(lines)
	return lines
}

// forgetDisk drops what was known of a disk that was removed. What it still says
// is late.
func (o *Orchestrator) forgetDisk(id block.DiskID) {
	o.gone[id] = true
	delete(o.disks, id)
	o.forgetReplicas(id)
}

// NoSuchDisk refuses what is no disk.
func NoSuchDisk(name string) error {
	return &volume.Error{
		Kind: volume.ErrDiskNotFound,
		What: fmt.Sprintf("there is no disk %q", name),
		Fix:  "look at:  lagan disk ls",
	}
}

func unreadableDisk(op *operation, problem error) error {
	return fmt.Errorf("cannot %s disk %s: %w", verbOf(op), op.command.Name, problem)
}

func notOurDisk(name, node string) error {
	return &volume.Error{
		Kind: volume.ErrDiskRefused,
		What: fmt.Sprintf("cannot remove disk %s: it is of node %s, and no other node can give it back", name, node),
		Fix:  fmt.Sprintf("ask node %s; if that is gone for good:  lagan node rm %s", node, node),
	}
}

func notCordoned(name string) error {
	return &volume.Error{
		Kind: volume.ErrDiskRefused,
		What: fmt.Sprintf("cannot remove disk %s: it is not cordoned, so new copies may come", name),
		Fix:  "cordon it first:  lagan disk cordon " + name,
	}
}

func holdsCopies(name string, held []string) error {
	if n := len(held) - namedMax; n > 0 {
		held = append(slices.Clone(held[:namedMax]), fmt.Sprintf("and %d more", n))
	}
	return &volume.Error{
		Kind:   volume.ErrDiskHoldsCopies,
		What:   fmt.Sprintf("cannot remove disk %s: it still holds copies, and is cordoned from now on", name),
		Causes: held,
		Fix:    "delete those volumes, or wait until what is being freed is gone; to let new copies come again:  lagan disk uncordon " + name,
	}
}

// DiskNamed finds the disk of an identity, or of the beginning of one that no
// other has.
func (o *Orchestrator) DiskNamed(text string) (d volume.Disk, found bool) {
	const least = 6
	for _, known := range o.view.Disks() {
		id := known.ID.String()
		switch {
		case id == text:
			return known, true
		case len(text) >= least && strings.HasPrefix(id, text):
			if found {
				return volume.Disk{}, false
			}
			d, found = known, true
		}
	}
	return d, found
}
