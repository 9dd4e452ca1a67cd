package orchestrator

import (
	"fmt"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
)

// The errors of commands on snapshots and clones.

func snapshotNotFound(verb, name, snapshot string) error {
	return &volume.Error{
		Kind: volume.ErrSnapshotNotFound,
		What: fmt.Sprintf("cannot %s snapshot %q of volume %q: there is none of that name", verb, snapshot, name),
		Fix:  "look at:  lagan snapshot ls " + name,
	}
}

func snapshotDeleted(verb, name, snapshot string) error {
	return &volume.Error{
		Kind: volume.ErrSnapshotDeleted,
		What: fmt.Sprintf("cannot %s snapshot %q of volume %q: one of that name is being deleted", verb, snapshot, name),
		Fix:  "choose another name, or wait until it is gone:  lagan snapshot ls " + name,
	}
}

func snapshotNotReady(verb, name string, s *volume.Snapshot) error {
	e := &volume.Error{
		Kind: volume.ErrSnapshotNotReady,
		What: fmt.Sprintf("cannot %s snapshot %q of volume %q: it is %s", verb, s.Name, name, s.State),
		Fix:  "wait, or choose another one:  lagan snapshot ls " + name,
	}
	if s.Error != "" {
		e.Causes = []string{s.Error}
	}
	return e
}

// snapshotTaken is for a name that another kind of snapshot has.
func snapshotTaken(c *volume.Command, s *volume.Snapshot) error {
	kind := func(rule string) string {
		if rule == "" {
			return "asked for by hand"
		}
		return "taken by the rule " + rule
	}
	is := kind(s.Rule)
	if s.Restores != 0 {
		is = "what the volume was before it went back to another snapshot"
	}
	return &volume.Error{
		Kind:   volume.ErrNameTaken,
		What:   fmt.Sprintf("cannot create snapshot %q of volume %q: there is another one of that name", s.Name, c.Name),
		Causes: []string{fmt.Sprintf("it is %s, the new one is %s", is, kind(c.Rule))},
		Fix:    "choose another name",
	}
}

func snapshotFailed(name string, s *volume.Snapshot) error {
	return &volume.Error{
		Kind:   volume.ErrNoSpace,
		What:   fmt.Sprintf("snapshot %q of volume %q was not made", s.Name, name),
		Causes: []string{s.Error},
		Fix:    "delete other snapshots or volumes, or add a disk, and give the command again",
	}
}

func tooManySnapshots(name string) error {
	return &volume.Error{
		Kind: volume.ErrSnapshotLimit,
		What: fmt.Sprintf("cannot take another snapshot of volume %q: it has %d", name, volume.SnapshotsMax),
		Fix:  fmt.Sprintf("delete some:  lagan snapshot rm %s SNAPSHOT", name),
	}
}

func restoring(verb, name string, s *volume.Snapshot) error {
	return &volume.Error{
		Kind: volume.ErrSnapshotPending,
		What: fmt.Sprintf("cannot %s snapshot %q of volume %q: the volume is going back to a snapshot right now", verb, s.Name, name),
		Fix:  "wait until that is done:  lagan operation ls",
	}
}

func beingCloned(what, clone string) error {
	return &volume.Error{
		Kind: volume.ErrBeingCloned,
		What: fmt.Sprintf("cannot %s: it is being cloned to volume %q", what, clone),
		Fix:  "try again in a moment, or delete the clone:  lagan volume rm " + clone,
	}
}

func hasSnapshots(name string, n int) error {
	return &volume.Error{
		Kind: volume.ErrHasSnapshots,
		What: fmt.Sprintf("cannot delete volume %q: it has %s", name, count(n, "snapshot")),
		Fix:  fmt.Sprintf("delete them with it:  lagan volume rm %s --snapshots", name),
	}
}

// pending is the answer to a command that waits for a snapshot, or for one to be
// restored, longer than it may.
func (o *Orchestrator) pending(op *operation, l *local) error {
	e := &volume.Error{
		Kind: volume.ErrSnapshotPending,
		What: fmt.Sprintf("%s is not %s yet: that has begun, but was not done within %d s", subjectOf(op), participleOf(op), answerWithin/time.Second),
		Fix:  "it goes on by itself:  lagan operation ls",
	}
	if op.command.Kind == volume.AttachVolume || op.command.Kind == volume.DeleteVolume {
		e.What = fmt.Sprintf("cannot %s volume %q: work on its snapshots was not done within %d s", verbOf(op), nameOf(op), answerWithin/time.Second)
	}
	v := o.view.Volume(op.volume)
	a := v.Attachment.Value
	switch {
	case l.status != "":
		e.Causes = []string{l.status}
	case a != nil && o.view.Node(a.Node).Alive.Revision == 0:
		e.Causes = []string{fmt.Sprintf("it is attached to node %s, which is not heard from", o.nodeName(a.Node))}
	}
	return e
}
