package coordinator

import (
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// propose starts a change of the configuration: one guarded transaction. Until
// its outcome is known, both the old and the new members are required.
func (c *Coordinator) propose(next *volume.Config, out *step.Effects) {
	invariant.That(c.proposed == nil, "one change of a configuration at a time")
	next.Epoch = max(next.Epoch, c.config.Epoch) + 1 // it leaps where the metadata store went back
	next.Change = c.random.next()
	if err := next.Check(); err != nil {
		invariant.Thatf(false, "a proposed configuration is sound: %v", err)
	}
	c.proposed, c.placement.proposed = next, c.placement.revision
	c.proposalTag++
	c.issue(out)
}

// issue sends the proposal, again if its outcome was unknown: same guard, same
// content, so that it is applied at most once.
func (c *Coordinator) issue(out *step.Effects) {
	key := volume.ConfigKey(c.p.Volume)
	txn := metadata.Txn{
		Guards: []metadata.Guard{{Key: key, Revision: c.revision}},
		Ops:    []metadata.Op{{Key: key, Value: c.proposed.Encode()}},
		Read:   []string{key, volume.AttachmentKey(c.p.Volume)},
	}
	if c.phase == claiming {
		txn.Guards = append(txn.Guards, metadata.Guard{Key: volume.AttachmentKey(c.p.Volume), Revision: c.p.Attached})
		txn.Read = append(txn.Read, volume.SnapshotsKey(c.p.Volume), volume.PlacementKey(c.p.Volume))
	}
	if !sameReplicas(c.config, c.proposed) { // by this very placement
		placement := volume.PlacementKey(c.p.Volume)
		txn.Guards = append(txn.Guards, metadata.Guard{Key: placement, Revision: c.placement.proposed})
		txn.Read = append(txn.Read, placement)
	}
	out.Transactions = append(out.Transactions, step.Transaction{Tag: step.Tag{Slot: reissueSlot, Generation: c.proposalTag}, Txn: txn})
}

// verify reads the configuration: somebody said that this session was replaced.
func (c *Coordinator) verify(out *step.Effects) {
	if c.verifying {
		return
	}
	c.verifying = true
	txn := metadata.Txn{Read: []string{volume.ConfigKey(c.p.Volume)}}
	out.Transactions = append(out.Transactions, step.Transaction{Txn: txn})
}

func (c *Coordinator) onTransaction(tag step.Tag, res *metadata.Result, out *step.Effects) {
	c.readSnapshots(res)
	c.readPlacement(res)
	if tag.Slot == snapshotsSlot {
		c.onSnapshotsRecorded(tag, res, out)
		return
	}
	if tag.Slot != reissueSlot {
		c.verifying = false
		if res.Outcome == metadata.Applied && c.proposed == nil {
			c.adoptFrom(res, out) // else the proposal's own answer says what there is
		}
		return
	}
	if c.proposed == nil || tag.Generation != c.proposalTag {
		return
	}
	switch res.Outcome {
	case metadata.Unknown:
		out.Marks.Hit("coordinator: transaction of unknown outcome re-issued")
		out.After(c.now, reissueAfter, tag)
	case metadata.Applied:
		c.settled(c.proposed, res.Revision, out)
	case metadata.Refused:
		c.onRefusedProposal(res, out)
	}
}

// onRefusedProposal learns what the store holds instead. The guard fails also
// when an earlier try of the same proposal was applied after all.
func (c *Coordinator) onRefusedProposal(res *metadata.Result, out *step.Effects) {
	item, found := res.Find(volume.ConfigKey(c.p.Volume))
	if found {
		if seen, err := volume.ParseConfig(item.Value); err == nil && seen.Change == c.proposed.Change {
			out.Marks.Hit("coordinator: refused proposal turned out to be applied")
			c.settled(c.proposed, item.Revision, out)
			return
		}
	}
	attachment, attached := res.Find(volume.AttachmentKey(c.p.Volume))
	if c.phase == claiming && (!attached || attachment.Revision != c.p.Attached) {
		c.end(step.VolumeFenced, "the volume was attached to another node or detached meanwhile", out)
		return
	}
	c.proposed = nil
	c.adoptFrom(res, out)
}

func (c *Coordinator) adoptFrom(res *metadata.Result, out *step.Effects) {
	item, found := res.Find(volume.ConfigKey(c.p.Volume))
	if !found {
		c.end(step.VolumeFenced, "the volume was deleted", out)
		return
	}
	seen, err := volume.ParseConfig(item.Value)
	if err != nil {
		c.end(step.VolumeFenced, err.Error(), out)
		return
	}
	c.adopt(seen, item.Revision, out)
}

// onConfigSeen takes a configuration from the watch. It may be older than what
// this session knows, or its own newest proposal before the answer to it.
func (c *Coordinator) onConfigSeen(seen *volume.Config, revision metadata.Revision, out *step.Effects) {
	if seen == nil || revision <= c.revision || c.phase == claiming {
		return
	}
	if c.proposed != nil && seen.Change == c.proposed.Change {
		return // the transaction's own answer is on its way
	}
	c.adopt(seen, revision, out)
}

// adopt takes over a whole configuration that this session did not expect.
// Whoever wrote it last, its members are the truth while its coordinator is
// this session.
func (c *Coordinator) adopt(seen *volume.Config, revision metadata.Revision, out *step.Effects) {
	if revision < c.revision {
		return
	}
	mine := seen.Coordinator != nil && seen.Coordinator.Session == c.session
	switch {
	case seen.Tombstone:
		c.end(step.VolumeFenced, "the volume is being deleted", out)
	case c.phase == claiming:
		c.config, c.revision = seen.Clone(), revision
		c.claim(out)
	case !mine:
		out.Marks.Hit("coordinator: replaced by another session")
		c.end(step.VolumeFenced, "another coordinator took the volume over", out)
	case seen.Epoch < c.config.Epoch:
		c.end(step.VolumeFenced, "the metadata store went back to an older state", out)
	case revision > c.revision:
		c.config, c.revision = seen.Clone(), revision
		c.proposed = nil
		c.alignMembers(out)
		if c.stopRegressed(out) {
			return
		}
		if c.phase < serving {
			c.restart(out)
			return
		}
		c.afterConfig(out)
	case c.refuted(out):
	case c.phase < serving && c.phase != preparing && c.proposed == nil:
		c.restart(out) // a proposal was refused although nothing changed: start over
	}
}

// settled makes the proposal the configuration: it is definitely in the store.
func (c *Coordinator) settled(applied *volume.Config, revision metadata.Revision, out *step.Effects) {
	c.config, c.revision, c.proposed = applied, revision, nil
	c.alignMembers(out)
	if c.stopRegressed(out) {
		return
	}
	if c.restartWanted && c.phase < serving {
		c.restart(out)
		return
	}
	switch c.phase {
	case claiming:
		c.prepare(out)
	case deciding:
		c.reconcile(out)
	case recording:
		c.grant(out)
	case serving:
		c.afterConfig(out)
	case detaching:
		if c.config.Coordinator == nil {
			c.end(step.VolumeDetached, "", out)
			return
		}
		c.afterConfig(out)
	case preparing, reconciling, granting, ended:
		invariant.That(false, "no change of the configuration is made in this phase")
	}
}

// afterConfig goes on with what waited for the members to change.
func (c *Coordinator) afterConfig(out *step.Effects) {
	c.afterResyncConfig(out)
	c.resume(out)
	c.advance(out)
	c.retryReads(out)
	c.reconfigure(out)
	c.driveGrowth(out)
	c.driveSnapshots(out)
}
