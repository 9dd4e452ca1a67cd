package orchestrator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/orchestrator/placement"
	"github.com/lagan-storage/lagan/core/volume"
)

// The errors of commands: what happened to what, why, and what to do.

func notFound(verb, name string) error {
	return &volume.Error{
		Kind: volume.ErrVolumeNotFound,
		What: fmt.Sprintf("cannot %s volume %q: there is no volume of that name", verb, name),
		Fix:  "look at:  lagan volume ls",
	}
}

func beingDeleted(verb, name string) error {
	return &volume.Error{
		Kind: volume.ErrVolumeDeleted,
		What: fmt.Sprintf("cannot %s volume %q: it is being deleted", verb, name),
		Fix:  "choose another volume:  lagan volume ls",
	}
}

// unreadable is for records that this version cannot read, or that are not there
// although others say so.
func unreadable(verb, name string, problem error) error {
	e := &volume.Error{
		Kind: volume.ErrNewerFormat,
		What: fmt.Sprintf("cannot %s volume %q: its record cannot be read here", verb, name),
		Fix:  "upgrade this node, or use one that runs the newer version:  lagan node ls",
	}
	if problem != nil {
		e.Causes = []string{problem.Error()}
	}
	if problem == nil || !errors.Is(problem, volume.ErrNewerFormat) {
		e.Kind = volume.ErrBrokenRecord
		e.Fix = "restore the metadata store from a backup, or delete the record by hand"
	}
	return e
}

// attachedElsewhere names the node that has the volume, and who uses it there.
func (o *Orchestrator) attachedElsewhere(verb, name string, a *volume.Attachment) error {
	node := a.Node
	e := &volume.Error{
		Kind: volume.ErrAttachedElsewhere,
		What: fmt.Sprintf("cannot %s volume %q: it is attached to node %s", verb, name, o.nodeName(node)),
		Fix:  fmt.Sprintf("detach it there, or take it from that node:  lagan volume %s %s --force", verb, name),
	}
	held := o.view.Node(node)
	switch {
	case held.Alive.Revision != 0:
	case held.SilentSince != 0:
		e.Causes = []string{fmt.Sprintf("node %s: not heard from for %d s", o.nodeName(node), o.now.Sub(held.SilentSince)/time.Second)}
	default:
		e.Causes = []string{fmt.Sprintf("node %s: not heard from", o.nodeName(node))}
	}
	if users := usersOf(a); users != "" {
		e.Causes = append(e.Causes, "in use there: "+users)
	}
	return e
}

func (o *Orchestrator) attached(verb, name string, a *volume.Attachment) error {
	e := &volume.Error{
		Kind: volume.ErrAttached,
		What: fmt.Sprintf("cannot %s volume %q: it is attached to node %s", verb, name, o.nodeName(a.Node)),
		Fix:  fmt.Sprintf("detach it first, on node %s:  lagan volume detach %s", o.nodeName(a.Node), name),
	}
	if users := usersOf(a); users != "" {
		e.Causes = append(e.Causes, "in use there: "+users)
	}
	return e
}

// usersOf names who uses an attached volume.
func usersOf(a *volume.Attachment) string {
	var users []string
	for i := range a.Users {
		users = append(users, a.Users[i].String())
	}
	slices.Sort(users)
	return strings.Join(slices.Compact(users), ", ")
}

func nameTaken(name, field string, existing, asked *volume.Spec) error {
	option := func(s *volume.Spec) string {
		for _, part := range strings.Split(s.String(), ",") {
			if strings.HasPrefix(part, field+"=") {
				return part
			}
		}
		return "no " + field
	}
	return &volume.Error{
		Kind:   volume.ErrNameTaken,
		What:   fmt.Sprintf("cannot create volume %q: a volume of that name exists and differs in %s", name, field),
		Causes: []string{fmt.Sprintf("it has %s, asked for was %s", option(existing), option(asked))},
		Fix:    "choose another name, or leave " + field + " out to take the volume as it is",
	}
}

// nameIsIdentity is for a name that is already the identity of a volume: every
// command takes either.
func nameIsIdentity(name string) error {
	return &volume.Error{
		Kind: volume.ErrNameTaken,
		What: fmt.Sprintf("cannot create volume %q: that is the identity of another volume", name),
		Fix:  "choose another name",
	}
}

func noPlacement(s *volume.Spec, plan *placement.Plan) error {
	e := &volume.Error{
		Kind: volume.ErrNoPlacement,
		What: fmt.Sprintf("cannot create volume %q: %s asked, %s can take it", s.Name,
			count(plan.Replicas, "replica"), count(plan.Fitting, "node")),
		Causes: slices.DeleteFunc(slices.Clone(plan.Reasons), func(r string) bool { return strings.HasSuffix(r, ", not needed") }),
		Fix:    "try a smaller size, delete volumes, or add a disk:  lagan disk add PATH",
	}
	if plan.Fitting > 0 {
		e.Fix = fmt.Sprintf("try a smaller size, or:  lagan volume create %s --replicas %d", s.Name, plan.Fitting)
	}
	return e
}

func count(n int, thing string) string {
	switch n {
	case 0:
		return "no " + thing
	case 1:
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

func busy(op *operation) error {
	return &volume.Error{
		Kind: volume.ErrBusy,
		What: fmt.Sprintf("cannot %s: this node has too many commands under way", actionOf(op)),
		Fix:  "try again in a moment",
	}
}

// contended is the answer to a command that lost too many duels.
func contended(op *operation) error {
	return &volume.Error{
		Kind: volume.ErrBusy,
		What: fmt.Sprintf("cannot %s %s: others changed what it needs %d times meanwhile", verbOf(op), subjectOf(op), duelsMax),
		Fix:  "try again in a moment",
	}
}

// late is the answer to a command whose time is over.
func (o *Orchestrator) late(op *operation) error {
	if l := o.volumes[op.volume]; l != nil && slices.Contains(l.detaching, op) && l.coordinator == stopping {
		e := &volume.Error{
			Kind: volume.ErrDetachPending,
			What: fmt.Sprintf("volume %q is not detached yet: its last writes are not on all copies", nameOf(op)),
			Fix:  fmt.Sprintf("wait and ask again, or give them up:  lagan volume detach %s --force", nameOf(op)),
		}
		if l.status != "" {
			e.Causes = []string{l.status}
		}
		return e
	}
	if l := o.volumes[op.volume]; l != nil && slices.Contains(l.awaiting, op) {
		return o.pending(op, l)
	}
	return &volume.Error{
		Kind: volume.ErrOutcomeUnknown,
		What: fmt.Sprintf("cannot tell whether %s was %s: the metadata store has not answered for %d s",
			subjectOf(op), participleOf(op), answerWithin/time.Second),
		Fix: "see that most of the voting nodes are up (lagan status), then give the same command again: it is not done twice",
	}
}

func removesItself(name string) error {
	return &volume.Error{
		Kind: volume.ErrNodeAlive,
		What: fmt.Sprintf("node %s cannot remove itself from the cluster", name),
		Fix:  "stop it with  lagan down  and remove it on another node:  lagan node rm " + name,
	}
}

func stillAlive(name string) error {
	return &volume.Error{
		Kind: volume.ErrNodeAlive,
		What: fmt.Sprintf("cannot remove node %s: it is heard from", name),
		Fix:  fmt.Sprintf("stop it first, on node %s:  lagan down", name),
	}
}

// namedMax is how many volumes an error names.
const namedMax = 10

func lastCopies(node string, volumes []string) error {
	more := ""
	if n := len(volumes) - namedMax; n > 0 {
		volumes, more = volumes[:namedMax], fmt.Sprintf(" and %d more", n)
	}
	return &volume.Error{
		Kind:   volume.ErrLastCopy,
		What:   fmt.Sprintf("cannot remove node %s: it has the only copy that holds everything of some volumes", node),
		Causes: []string{"volumes: " + strings.Join(volumes, ", ") + more},
		Fix:    fmt.Sprintf("start node %s again and wait until other copies are in sync, or give the volumes up:  lagan volume rm NAME", node),
	}
}

// subjectOf says in words what a command is about.
func subjectOf(op *operation) string {
	switch op.command.Kind {
	case volume.RemoveNode, volume.ChangeNode:
		return "node " + op.command.Name
	case volume.CordonDisk, volume.RemoveDisk:
		return "disk " + op.command.Name
	case volume.BalanceDisks:
		return "disks"
	case volume.CreateSnapshot, volume.DeleteSnapshot:
		return fmt.Sprintf("snapshot %q of volume %q", op.command.Snapshot, op.command.Name)
	default:
	}
	return fmt.Sprintf("volume %q", nameOf(op))
}

// actionOf is what a command wants.
func actionOf(op *operation) string {
	verb, _, _ := strings.Cut(verbOf(op), " a snapshot of")
	return verb + " " + subjectOf(op)
}

// intentOf is what a command wants while its names make no sense.
func intentOf(op *operation) string {
	switch op.command.Kind {
	case volume.CreateSnapshot:
		return "take a snapshot"
	case volume.DeleteSnapshot:
		return "delete a snapshot"
	case volume.CreateVolume, volume.AttachVolume, volume.DetachVolume, volume.DeleteVolume, volume.MarkFormatted,
		volume.FindVolume, volume.SetVolume, volume.RestoreSnapshot, volume.RemoveNode, volume.ChangeNode, volume.CordonDisk, volume.RemoveDisk,
		volume.AddReplica, volume.MoveReplica, volume.RemoveReplica, volume.KeepReplicas, volume.RecoverVolume,
		volume.BalanceDisks:
	}
	return verbOf(op) + " the volume"
}

func nameOf(op *operation) string {
	if op.command.Kind == volume.CreateVolume {
		return op.command.Spec.Name
	}
	return op.command.Name
}

func verbOf(op *operation) string {
	switch op.command.Kind {
	case volume.CreateVolume:
		return "create"
	case volume.AttachVolume:
		return "attach"
	case volume.DetachVolume:
		return "detach"
	case volume.DeleteVolume:
		return "delete"
	case volume.MarkFormatted:
		return "mark as formatted"
	case volume.FindVolume:
		return "find"
	case volume.RemoveNode, volume.RemoveDisk:
		return "remove"
	case volume.CordonDisk:
		return "cordon"
	case volume.SetVolume, volume.ChangeNode:
		return "change"
	case volume.CreateSnapshot:
		return "take a snapshot of"
	case volume.DeleteSnapshot:
		return "delete a snapshot of"
	case volume.RestoreSnapshot:
		return "restore"
	case volume.AddReplica:
		return "add a copy to"
	case volume.MoveReplica:
		return "move a copy of"
	case volume.RemoveReplica:
		return "remove a copy of"
	case volume.KeepReplicas:
		return "keep the copies of"
	case volume.RecoverVolume:
		return "recover"
	case volume.BalanceDisks:
		return "balance"
	}
	return "use"
}

func participleOf(op *operation) string {
	switch op.command.Kind {
	case volume.CreateVolume:
		return "created"
	case volume.AttachVolume:
		return "attached"
	case volume.DetachVolume:
		return "detached"
	case volume.DeleteVolume:
		return "deleted"
	case volume.MarkFormatted:
		return "marked as formatted"
	case volume.FindVolume:
		return "found"
	case volume.RemoveNode, volume.RemoveDisk:
		return "removed"
	case volume.CordonDisk:
		return "cordoned"
	case volume.SetVolume, volume.ChangeNode, volume.AddReplica, volume.MoveReplica, volume.RemoveReplica, volume.KeepReplicas:
		return "changed"
	case volume.CreateSnapshot:
		return "taken"
	case volume.DeleteSnapshot:
		return "deleted"
	case volume.RestoreSnapshot:
		return "restored"
	case volume.RecoverVolume:
		return "recovered"
	case volume.BalanceDisks:
		return "balanced"
	}
	return "used"
}
