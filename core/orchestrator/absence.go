package orchestrator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/volume"
)

// Absence returns what the rest of the cluster would notice if a node were away
// now. voters are the nodes that vote in the metadata store; none: not known, or
// others run it.
func (o *Orchestrator) Absence(node block.NodeID, voters []block.NodeID) volume.Absence {
	a := volume.Absence{Node: o.nodeName(node), Voters: o.VotersWithout(node, voters)}
	enough := a.Voters.Enough()
	o.view.EachVolume(func(id block.VolumeID, v *view.Volume) {
		if c := v.Config.Value; c == nil || c.Tombstone {
			return
		}
		if loss := o.lossWithout(id, v, node, enough); loss.Fate != volume.Unaffected {
			a.Losses = append(a.Losses, loss)
		}
		if at := v.Attachment.Value; at != nil && at.Node == node && !at.Upkeep {
			a.Stays = append(a.Stays, volume.Stay{Volume: calledBy(id, v), Users: slices.Clone(at.Users), Lingers: at.Lingering})
		}
	})
	slices.SortFunc(a.Losses, func(x, y volume.Loss) int { return strings.Compare(x.Volume, y.Volume) })
	slices.SortFunc(a.Stays, func(x, y volume.Stay) int { return strings.Compare(x.Volume, y.Volume) })
	for i := range a.Losses {
		if l := &a.Losses[i]; l.Fate != volume.LessRedundant {
			a.Reasons = append(a.Reasons, l.Text)
		}
	}
	if !enough {
		a.Reasons = append(a.Reasons, fmt.Sprintf("the metadata store would have %d of its %s, %d are needed: no volume can be created, attached or deleted meanwhile",
			a.Voters.Left, count(a.Voters.All, "voter"), a.Voters.Needed))
	}
	a.Safe = len(a.Reasons) == 0
	return a
}

// VotersWithout counts who of those that vote could decide without a node.
func (o *Orchestrator) VotersWithout(node block.NodeID, voters []block.NodeID) volume.Voters {
	v := volume.Voters{Known: len(voters) > 0, Votes: slices.Contains(voters, node), All: len(voters), Needed: len(voters)/2 + 1}
	for _, id := range voters {
		if id != node && o.view.Node(id).Alive.Revision != 0 {
			v.Left++
		}
	}
	return v
}

// calledBy is what people call a volume.
func calledBy(id block.VolumeID, v *view.Volume) string {
	if v.Spec.Value != nil {
		return v.Spec.Value.Name
	}
	return id.String()
}

// lossWithout says what becomes of a volume without a node; enough: the metadata
// store has a majority then. Without one no copy can be declared out, and what
// writes to it waits.
func (o *Orchestrator) lossWithout(id block.VolumeID, v *view.Volume, node block.NodeID, enough bool) volume.Loss {
	c := v.Config.Value
	name := calledBy(id, v)
	loss := volume.Loss{Volume: name, Fate: volume.Unaffected}
	if v.Spec.Value != nil {
		loss.Asked = v.Spec.Value.Replicas
	}
	here := 0
	for i := range c.Members {
		switch m := &c.Members[i]; {
		case m.State != volume.InSync:
		case m.Node == node:
			here++
		case o.reachable(m.Disk, m.Node):
			loss.Left++
		}
	}
	a := v.Attachment.Value
	served := a != nil && a.Node != node
	switch {
	case here == 0:
		loss.Text = fmt.Sprintf("volume %s: no copy in sync is there", name)
	case loss.Left == 0:
		loss.Fate, loss.Text = volume.Unavailable, fmt.Sprintf("volume %s stops: no other copy that holds everything can be reached", name)
	case served && !enough:
		loss.Fate, loss.Text = volume.Unavailable, fmt.Sprintf("volume %s stops: without a majority in the metadata store it cannot go on without its copy there", name)
	case loss.Left < minWritable(v):
		loss.Fate = volume.Unwritable
		loss.Text = fmt.Sprintf("volume %s cannot be written to: %s in sync would be left, and it is to have %d", name, copies(loss.Left), minWritable(v))
	default:
		loss.Fate, loss.Text = volume.LessRedundant, fmt.Sprintf("volume %s goes on with %d of %s in sync", name, loss.Left, copies(cmp.Or(loss.Asked, len(c.Members))))
	}
	return loss
}

// minWritable is how many copies in sync a write to a volume needs, or will once
// something serves it.
func minWritable(v *view.Volume) int {
	if v.Spec.Value != nil && v.Spec.Value.MinWritable > 0 {
		return v.Spec.Value.MinWritable
	}
	return max(1, v.Config.Value.MinWritable)
}

func copies(n int) string {
	if n == 1 {
		return "1 copy"
	}
	return fmt.Sprintf("%d copies", n)
}
