package volume

import (
	"cmp"
	"errors"
	"slices"
	"strings"
)

// What callers act on. Each is the kind of an Error; its text is the stable
// code that users see in answers of the API, of the commands and in the docs.
var (
	ErrInvalidName       = errors.New("invalid-name")
	ErrInvalidSize       = errors.New("invalid-size")
	ErrInvalidOption     = errors.New("invalid-option")
	ErrUnknownOption     = errors.New("unknown-option")
	ErrUnsupportedOption = errors.New("unsupported-option")
	ErrNameTaken         = errors.New("name-taken")
	ErrCannotShrink      = errors.New("cannot-shrink")
	ErrNoPlacement       = errors.New("no-placement")
	ErrVolumeNotFound    = errors.New("volume-not-found")
	ErrVolumeDeleted     = errors.New("volume-deleted")
	ErrSnapshotNotFound  = errors.New("snapshot-not-found")
	ErrSnapshotDeleted   = errors.New("snapshot-deleted")
	ErrSnapshotNotReady  = errors.New("snapshot-not-ready")
	ErrSnapshotLimit     = errors.New("snapshot-limit")
	ErrSnapshotPending   = errors.New("snapshot-pending")
	ErrHasSnapshots      = errors.New("has-snapshots")
	ErrBeingCloned       = errors.New("being-cloned")
	ErrOperationNotFound = errors.New("operation-not-found")
	ErrNotCancellable    = errors.New("not-cancellable")
	ErrAttached          = errors.New("attached")
	ErrAttachedElsewhere = errors.New("attached-elsewhere")
	ErrNewerFormat       = errors.New("newer-format")
	ErrBrokenRecord      = errors.New("broken-record")
	ErrBusy              = errors.New("busy")
	ErrOutcomeUnknown    = errors.New("outcome-unknown")
	ErrDetachPending     = errors.New("detach-pending")
	ErrNotAttached       = errors.New("not-attached")
	ErrInUse             = errors.New("in-use")
	ErrNotServed         = errors.New("not-served")
	ErrNoSpace           = errors.New("no-space")
	ErrDamaged           = errors.New("damaged")
	ErrInvalidRange      = errors.New("invalid-range")
	ErrForeignData       = errors.New("foreign-data")
	ErrNotReady          = errors.New("not-ready")
	ErrInvalidRequest    = errors.New("invalid-request")
	ErrNodeNotFound      = errors.New("node-not-found")
	ErrNodeAlive         = errors.New("node-alive")
	ErrNodeRemoved       = errors.New("node-removed")
	ErrNodeNeeded        = errors.New("node-needed")
	ErrLastCopy          = errors.New("last-copy")
	ErrReplicaExists     = errors.New("replica-exists")
	ErrReplicaNotFound   = errors.New("replica-not-found")
	ErrReplicasChanging  = errors.New("replicas-changing")
	ErrNotLost           = errors.New("not-lost")
	ErrConfigRegressed   = errors.New("config-regressed")
	ErrSingleCopy        = errors.New("single-copy")
	ErrDiskNotFound      = errors.New("disk-not-found")
	ErrDiskNotBlank      = errors.New("disk-not-blank")
	ErrDiskRefused       = errors.New("disk-refused")
	ErrDiskHoldsCopies   = errors.New("disk-holds-copies")
	ErrTokenRefused      = errors.New("token-refused")
	ErrTokenNotFound     = errors.New("token-not-found")
	ErrNodeNameTaken     = errors.New("node-name-taken")
	ErrNoAuthority       = errors.New("no-authority")
	ErrEventsGone        = errors.New("events-gone")
	ErrInternal          = errors.New("internal")
)

// Explanation is a row of the catalogue of errors.
type Explanation struct {
	Kind    error  // one of the sentinels
	Meaning string // what has happened when a caller gets it
	Remedy  string // what to do
}

// Catalogue returns every kind of error a user can meet, in the order of the
// sentinels. The documentation of the API and of the commands is made from it.
func Catalogue() []Explanation {
	return []Explanation{
		{ErrInvalidName, "the name of a volume or snapshot is not of the form that names have", "use letters, digits, '.', '_' and '-', 128 at most, starting with a letter or digit"},
		{ErrInvalidSize, "the size cannot be read, is too small for its file system, or is no multiple of 64 KiB", "give a whole number and a unit, as in 10GiB"},
		{ErrInvalidOption, "the value of an option is not one that it can have", "correct the value that the message names"},
		{ErrUnknownOption, "there is no option of that name", "use the name that the message suggests, or leave it out"},
		{ErrUnsupportedOption, "the option belongs to something that this version cannot do", "leave it out, or upgrade"},
		{ErrNameTaken, "a volume or snapshot of that name exists and differs from the one asked for", "choose another name, or ask for what is there"},
		{ErrCannotShrink, "a volume was to become smaller, which none does", "ask for more than it has, or copy its files to a smaller volume"},
		{ErrNoPlacement, "fewer nodes can take a copy than copies were asked for", "ask for less, widen nodes, zones or labels, or add a disk: the message has the reason for every node"},
		{ErrVolumeNotFound, "no volume has that name or identity", "look at: lagan volume ls"},
		{ErrVolumeDeleted, "the volume is being deleted", "create it again under the same name, or choose another volume"},
		{ErrSnapshotNotFound, "the volume has no snapshot of that name", "look at: lagan snapshot ls"},
		{ErrSnapshotDeleted, "the snapshot is being deleted", "choose another one, or another name"},
		{ErrSnapshotNotReady, "the snapshot is not on all copies yet, or was never made", "look at its state: lagan snapshot ls"},
		{ErrSnapshotLimit, "the volume has as many snapshots as it can have", "delete some of them: lagan snapshot rm VOLUME SNAPSHOT"},
		{ErrSnapshotPending, "the work on a snapshot has begun, but is not done on all copies yet", "wait and look at it: lagan operation ls; it goes on by itself, and the same command may be given again"},
		{ErrHasSnapshots, "the volume has snapshots, so it is not deleted", "delete them with it: lagan volume rm NAME --snapshots"},
		{ErrBeingCloned, "a volume is being cloned from the snapshot, so it must stay", "wait until the clone was used once, or delete the clone"},
		{ErrOperationNotFound, "no operation has that identity: it is done, or never was", "look at: lagan operation ls"},
		{ErrNotCancellable, "the operation cannot be broken off", "wait until it is done"},
		{ErrAttached, "the volume is in use, so it cannot be deleted or restored", "detach it first, on the node that the message names"},
		{ErrAttachedElsewhere, "another node uses the volume", "detach it there, or take it over with --force: what that node has not flushed is lost"},
		{ErrNewerFormat, "a record was written by a newer version of Lagan", "upgrade this node"},
		{ErrBrokenRecord, "a record of the metadata store is missing or cannot be read", "restore the metadata store from a backup, or delete the record by hand"},
		{ErrBusy, "the node has as many requests under way as it takes", "try again in a moment"},
		{ErrOutcomeUnknown, "the metadata store did not answer in time: the change was made, or it was not", "see that a majority of the voting nodes is up, then give the same command again: it is not done twice"},
		{ErrDetachPending, "the volume is to be detached, but its last writes are not on all copies yet", "wait and give the command again, or give them up with --force"},
		{ErrNotAttached, "the volume is not attached to the node that was asked", "ask the node that it is attached to, or attach it: lagan volume attach NAME"},
		{ErrInUse, "the volume's device, file system or export is in use on this node", "stop what uses it, and unmount it or end its export: lagan volume unmount NAME, lagan volume unexport NAME"},
		{ErrNotServed, "the volume is attached, but requests are not answered yet", "the message says what it waits for; see that the nodes with its copies are up"},
		{ErrNoSpace, "no disk with a copy of the volume has room for the data", "delete volumes or add a disk; reading goes on meanwhile"},
		{ErrDamaged, "no good copy of the data could be read", "restore it from a backup; the message has the place"},
		{ErrInvalidRange, "the bytes asked for do not lie in the volume or are not aligned to its blocks of 4096 bytes", "correct offset and length"},
		{ErrForeignData, "the volume was to get a file system, but carries data of another kind", "use it without a file system, or create another volume"},
		{ErrNotReady, "the node has not heard from the cluster's metadata store since it was started", "see that a majority of the voting nodes is up, then try again"},
		{ErrInvalidRequest, "the request has not the form that the API asks for", "correct what the message names"},
		{ErrNodeNotFound, "no node has that name or identity", "look at: lagan node ls"},
		{ErrNodeAlive, "the node is heard from, so it cannot be removed", "stop it first, there: lagan down"},
		{ErrNodeRemoved, "the node was removed from its cluster", "remove its data directory, erase its disks, and join the cluster anew: lagan join"},
		{ErrNodeNeeded, "the cluster cannot do without the node now: a volume would stop, or records could not be changed", "see to what the message names first; for maintenance all the same: --force"},
		{ErrLastCopy, "a node or a copy to be removed has, or is, the only copy of a volume that holds everything", "wait until another copy is in sync, or delete the volumes that the message names"},
		{ErrReplicaExists, "the node has a copy of the volume already, or one that is still leaving", "choose another node, or wait until the copy has left: lagan replica ls VOLUME"},
		{ErrReplicaNotFound, "the volume has no copy on that node", "look at: lagan replica ls VOLUME"},
		{ErrReplicasChanging, "the copies of the volume are being changed already", "wait until that is done, or break it off: lagan operation ls"},
		{ErrNotLost, "a copy that holds everything is there, or the one named is not: nothing has to be given up", "attach the volume, or name another copy: lagan replica ls VOLUME"},
		{ErrConfigRegressed, "the metadata store went back to an older state, and a copy knows of a newer configuration of the volume, which is lost", "restore a newer backup if there is one; otherwise name the copy that is to be believed: lagan volume recover VOLUME --accept-loss NODE"},
		{ErrSingleCopy, "the volume has one copy, and nothing to compare it with", "add a copy: lagan replica add VOLUME; or have the disk read that has it: lagan disk scrub ID"},
		{ErrDiskNotFound, "no disk has that identity or path", "look at: lagan disk ls"},
		{ErrDiskNotBlank, "a disk to be added carries data", "give another one, or have what is on it erased with --wipe"},
		{ErrDiskRefused, "a file or device cannot be a disk of the node, or a disk cannot be removed by it", "the message says why; give another one, or ask the node that has it"},
		{ErrDiskHoldsCopies, "a disk to be removed still holds copies of volumes", "delete the volumes that the message names, or leave the disk cordoned until they are gone"},
		{ErrTokenRefused, "the cluster does not know the token, or it has run out", "make another on any node: lagan token create"},
		{ErrTokenNotFound, "no token has that id", "look at: lagan token ls"},
		{ErrNodeNameTaken, "a node of that name belongs to the cluster", "choose another name: lagan join --name NAME"},
		{ErrNoAuthority, "the cluster's metadata store has no authority to admit nodes with: the first node has not founded the cluster yet", "wait a moment; if it stays so, look at the first node's log"},
		{ErrEventsGone, "the node does not have the events asked for: it keeps the newest, of its present life", "ask from the beginning, without a number, and look at the state of what matters: some events were not seen"},
		{ErrInternal, "the node could not do what was asked, and no kind of error is known for why", "see the log of the node that was asked, and try again"},
	}
}

// Error is a failure as a user sees it: what happened to what, why, and what to
// do next. Compare its kind with errors.Is(err, ErrNameTaken).
type Error struct {
	Kind   error    // one of the sentinels of this package
	What   string   // what happened, to what: `cannot create volume "db": 2 replicas asked, 1 node can take it`
	Causes []string // why, a line each; may be empty
	Fix    string   // what to do, often the command to run
}

// Error returns all of e: what happened with its code, a line for each cause
// and one for what to do.
//
//	cannot attach volume "db": it is attached to node b [attached-elsewhere]
//	  node b: not heard from for 7 s
//	detach it there, or take it from that node:  lagan volume attach db --force
func (e *Error) Error() string {
	lines := []string{e.What}
	if e.Kind != nil {
		lines[0] += " [" + e.Kind.Error() + "]"
	}
	for _, cause := range e.Causes {
		lines = append(lines, "  "+cause)
	}
	if e.Fix != "" {
		lines = append(lines, e.Fix)
	}
	return strings.Join(lines, "\n")
}

// Unwrap returns the kind.
func (e *Error) Unwrap() error { return e.Kind }

// CodeOf returns the stable code of err, or "" if it is none that users act on.
func CodeOf(err error) string {
	if x, known := explanationOf(err); known {
		return x.Kind.Error()
	}
	return ""
}

func explanationOf(err error) (x Explanation, known bool) {
	all := Catalogue()
	i := slices.IndexFunc(all, func(x Explanation) bool { return errors.Is(err, x.Kind) })
	if i < 0 {
		return x, false
	}
	return all[i], true
}

// whatBytesMax bounds what is told of one error: some repeat a value that they
// were given, and nobody reads a mebibyte of it.
const whatBytesMax = 2000

// Told returns err as every face tells it: as it was made, with what the layers
// above have added, else with what the catalogue says of its kind. An error of
// no kind is ErrInternal. err is not nil.
func Told(err error) *Error {
	x, known := explanationOf(err)
	var made *Error
	whole := false // what it was made with is known
	if errors.As(err, &made) {
		if own, known := explanationOf(made); known {
			x, whole = own, true
		}
	}
	if !known {
		x, _ = explanationOf(ErrInternal)
	}
	told := &Error{Kind: x.Kind, What: err.Error(), Fix: x.Remedy}
	if whole {
		told.Causes, told.Fix = made.Causes, cmp.Or(made.Fix, x.Remedy)
		// What stands around it: before it the operation, beside it other errors.
		before, after, _ := strings.Cut(err.Error(), made.Error())
		last := strings.LastIndex(before, "\n") + 1
		told.What = before[last:] + made.What
		for line := range strings.Lines(before[:last] + after) {
			if line = strings.TrimSpace(line); line != "" {
				told.Causes = append(slices.Clip(told.Causes), line)
			}
		}
	}
	const more = "…"
	if len(told.What) > whatBytesMax {
		told.What = strings.ToValidUTF8(told.What[:whatBytesMax-len(more)], "") + more
	}
	return told
}
