package volume

import (
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
	ErrNoPlacement       = errors.New("no-placement")
	ErrVolumeNotFound    = errors.New("volume-not-found")
	ErrVolumeDeleted     = errors.New("volume-deleted")
	ErrAttached          = errors.New("attached")
	ErrAttachedElsewhere = errors.New("attached-elsewhere")
	ErrNewerFormat       = errors.New("newer-format")
	ErrBrokenRecord      = errors.New("broken-record")
	ErrBusy              = errors.New("busy")
	ErrOutcomeUnknown    = errors.New("outcome-unknown")
	ErrDetachPending     = errors.New("detach-pending")
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
		{ErrInvalidName, "the name of a volume is not of the form that names have", "use lower-case letters, digits, '.', '_' and '-', 63 at most, starting with a letter or digit"},
		{ErrInvalidSize, "the size cannot be read, is too small for its file system, or is no multiple of 64 KiB", "give a whole number and a unit, as in 10GiB"},
		{ErrInvalidOption, "the value of an option is not one that it can have", "correct the value that the message names"},
		{ErrUnknownOption, "there is no option of that name", "use the name that the message suggests, or leave it out"},
		{ErrUnsupportedOption, "the option belongs to something that this version cannot do", "leave it out, or upgrade"},
		{ErrNameTaken, "a volume of that name exists and differs from the one asked for", "choose another name, or ask for what the volume is"},
		{ErrNoPlacement, "fewer nodes can take a copy than copies were asked for", "ask for less, widen nodes, zones or labels, or add a disk: the message has the reason for every node"},
		{ErrVolumeNotFound, "no volume has that name or identity", "look at: lagan volume ls"},
		{ErrVolumeDeleted, "the volume is being deleted", "create it again under the same name, or choose another volume"},
		{ErrAttached, "the volume is in use, so it cannot be deleted", "detach it first, on the node that the message names"},
		{ErrAttachedElsewhere, "another node uses the volume", "detach it there, or take it over with --force: what that node has not flushed is lost"},
		{ErrNewerFormat, "a record was written by a newer version of Lagan", "upgrade this node"},
		{ErrBrokenRecord, "a record of the metadata store is missing or cannot be read", "restore the metadata store from a backup, or delete the record by hand"},
		{ErrBusy, "the node has as many requests under way as it takes", "try again in a moment"},
		{ErrOutcomeUnknown, "the metadata store did not answer in time: the change was made, or it was not", "see that a majority of the voting nodes is up, then give the same command again: it is not done twice"},
		{ErrDetachPending, "the volume is to be detached, but its last writes are not on all copies yet", "wait and give the command again, or give them up with --force"},
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

// Error returns all of e, a line for each cause and one for what to do.
func (e *Error) Error() string {
	lines := []string{e.What}
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
	all := Catalogue()
	i := slices.IndexFunc(all, func(x Explanation) bool { return errors.Is(err, x.Kind) })
	if i < 0 {
		return ""
	}
	return all[i].Kind.Error()
}
