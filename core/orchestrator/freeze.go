package orchestrator

import (
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// Where a volume is mounted, its file system is frozen while a snapshot is taken
// that asks for it: the session hears of the snapshot when that is done, or has
// taken too long.
//
//	creating, mounted here ──▶ FreezeVolume ──▶ VolumeFrozen, or freezeWithin ──▶ SnapshotsChanged
//	not creating any more ──▶ ThawVolume

// freezeWithin bounds the wait for a file system to be frozen: it has to write out
// what it holds. The body thaws it by itself a little later.
const freezeWithin = 3 * time.Second

// freezing is how far that has come for a volume.
type freezing uint8

const (
	thawed  freezing = iota
	freezes          // the body was told to
	frozen           // it has, or was waited for long enough
)

// tellSnapshots has the session hear of the newest list of snapshots.
func (o *Orchestrator) tellSnapshots(id block.VolumeID, v *view.Volume, l *local, out *step.Effects) {
	list := v.Snapshots
	if l.coordinator == absent || list.Value == nil {
		return
	}
	asked := slices.ContainsFunc(list.Value.List, func(s volume.Snapshot) bool { return s.State == volume.SnapshotCreating && s.Freeze })
	switch {
	case !asked && l.freeze != thawed:
		l.freeze = thawed
		out.Controls = append(out.Controls, step.Control{Kind: step.ThawVolume, Volume: id})
	case asked && l.freeze == thawed && l.mounted() && list.Revision > l.snapshots:
		l.freeze, l.freezeBy = freezes, o.now.Add(freezeWithin)
		out.Controls = append(out.Controls, step.Control{Kind: step.FreezeVolume, Volume: id})
	}
	if l.freeze == freezes && o.now < l.freezeBy {
		return
	}
	if l.freeze == freezes {
		out.Marks.Hit("orchestrator: waited in vain for a file system to be frozen")
		l.freeze = frozen
	}
	if list.Revision > l.snapshots {
		l.snapshots = list.Revision
		out.Controls = append(out.Controls, step.Control{
			Kind: step.SnapshotsChanged, Volume: id, Snapshots: list.Value, Revision: int64(list.Revision),
		})
	}
}

// mounted reports whether the body has said that the volume is mounted here.
func (l *local) mounted() bool {
	return l.serving && l.uses != nil && (l.uses.Lingering || len(l.uses.Users) > 0)
}

// onFrozen takes that the body has frozen a volume, or cannot.
func (o *Orchestrator) onFrozen(c *step.Control) {
	if l := o.volumes[c.Volume]; l != nil && l.freeze == freezes {
		l.freeze = frozen
		o.dirty[c.Volume] = true
	}
}
