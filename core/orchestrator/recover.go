package orchestrator

import (
	"fmt"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
)

// recoverVolume makes the copy on one node what the volume is. A person says with it
// that the copies which held more are lost for good; no loop ever does. Whoever
// serves the volume is replaced, the next session finds one copy in sync and a
// history that begins anew, and all others are filled from nothing:
//
//	no copy in sync can be reached ──▶ the named one alone is in sync, lossy ──▶ attached: served
func (o *Orchestrator) recoverVolume(op *operation) decision {
	id, v, missing := o.find(verbOf(op), op.command.Name)
	if missing != nil {
		return *missing
	}
	op.volume = id
	key, c := volume.ConfigKey(id), v.Config.Value
	switch {
	case c == nil:
		return refuse(unreadable(verbOf(op), op.command.Name, v.Config.Problem), key)
	case op.change != 0 && c.Change == op.change:
		return succeed(id)
	}
	if err := o.notLost(op, c); err != nil {
		return refuse(err, key, volume.AlivePrefix, volume.DisksPrefix)
	}
	op.change = o.random.next()
	next := c.Clone()
	next.Epoch, next.Change = c.Epoch+1, op.change
	next.Coordinator, next.CleanAt, next.History, next.Restored = nil, nil, nil, nil
	next.HistoryFloor, next.LossyEra = next.Epoch, next.Epoch
	for i := range next.Members {
		m := &next.Members[i]
		m.Incarnation, m.BootID, m.State = 0, block.BootID{}, volume.Out
		if m.Node == op.command.Node {
			m.State = volume.InSync
		}
	}
	txn := metadata.Txn{
		Guards: []metadata.Guard{{Key: key, Revision: v.Config.Revision}},
		Ops:    []metadata.Op{{Key: key, Value: next.Encode()}},
	}
	if v.Attachment.Revision != 0 { // its device shows what the others had
		attachment := volume.AttachmentKey(id)
		txn.Guards = append(txn.Guards, metadata.Guard{Key: attachment, Revision: v.Attachment.Revision})
		txn.Ops = append(txn.Ops, metadata.Op{Key: attachment, Delete: true})
	}
	return write(txn)
}

// notLost says why a volume is not to be recovered from the copy that is named: it
// is not there, or one that holds more is. What is recorded after the metadata store
// went back does not say which copy holds more: whoever asks knows it.
func (o *Orchestrator) notLost(op *operation, c *volume.Config) error {
	named := slices.IndexFunc(c.Members, func(m volume.Member) bool { return m.Node == op.command.Node })
	if named < 0 {
		return o.replicaNotFound(op, op.command.Node)
	}
	lost := false
	for i := range c.Members {
		m := &c.Members[i]
		there := o.reachable(m.Disk, m.Node)
		switch {
		case i == named && !there:
			return notRecoverable(op, fmt.Sprintf("its copy on node %s cannot be reached", o.nodeName(m.Node)),
				"start that node, or name another one:  lagan replica ls "+op.command.Name)
		case m.State == volume.InSync && i != named && there && c.Restored == nil:
			return notRecoverable(op, fmt.Sprintf("its copy on node %s is in sync and can be reached", o.nodeName(m.Node)),
				"attach it:  lagan volume attach "+op.command.Name)
		}
		lost = lost || m.State == volume.InSync && !there
	}
	if !lost && c.Restored == nil {
		return notRecoverable(op, "every copy that is in sync can be reached", "attach it:  lagan volume attach "+op.command.Name)
	}
	return nil
}

// notRecoverable refuses to give up data that is not lost.
func notRecoverable(op *operation, why, fix string) error {
	return &volume.Error{
		Kind: volume.ErrNotLost,
		What: fmt.Sprintf("cannot %s: %s", actionOf(op), why),
		Fix:  fix,
	}
}

// regressed refuses a volume whose recorded configuration is known to be too old.
func (o *Orchestrator) regressed(op *operation, c *volume.Config) error {
	return &volume.Error{
		Kind: volume.ErrConfigRegressed,
		What: fmt.Sprintf("cannot %s: the metadata store went back to an older state: the copy on node %s knows of configuration %d of the volume, which is lost (recorded was %d)",
			actionOf(op), o.nodeName(c.Restored.Node), c.Restored.Known, c.Restored.Epoch),
		Fix: "restore a newer backup if there is one; otherwise say which copy is to be believed, what others have more is lost:  lagan volume recover " + op.command.Name + " --accept-loss NODE",
	}
}
