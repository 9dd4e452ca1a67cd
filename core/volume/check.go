package volume

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/lagan-storage/lagan/core/block"
)

const (
	// SizeDefault is the size of a volume when none is given.
	SizeDefault int64 = 10 << 30
	// FilesystemDefault is the file system of a volume when none is given.
	FilesystemDefault = "ext4"
	// ReplicasDefaultMax is the number of copies when none is given and there
	// are as many nodes with disks.
	ReplicasDefaultMax = 2

	nameBytesMax = 128     // an engine's anonymous volumes have 64
	sizeMax      = 1 << 50 // 1 PiB: keeps every product of sizes within 63 bits
	replicasMax  = 5       // every write waits for all copies; more would only be slower
	listMax      = 64      // nodes, zones or labels of one specification: it is one small record
	optionMax    = 255     // bytes of a name or a value in a list
)

// What an option may look like is fixed here, once for all faces.
var (
	nameForm   = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]*$`)                                         // constant table: the form of a volume's name, which is the container engine's
	wordForm   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._:/-]*$`)                                       // constant table: a node, zone, label or its value
	mountsForm = regexp.MustCompile(`^[a-z0-9_]+(=[A-Za-z0-9._:/-]+)?(,[a-z0-9_]+(=[A-Za-z0-9._:/-]+)?)*$`) // constant table: options of mount(8)
)

// CheckName returns an error unless name can be the name of a volume. Upper and
// lower case are different.
func CheckName(name string) error {
	if len(name) <= nameBytesMax && nameForm.MatchString(name) {
		return nil
	}
	what := fmt.Sprintf("%q cannot be the name of a volume", name)
	if name == "" {
		what = "the volume has no name"
	}
	return &Error{
		Kind: ErrInvalidName,
		What: what,
		Fix:  fmt.Sprintf("use letters, digits, '.', '_' and '-', %d at most, and a letter or digit first", nameBytesMax),
	}
}

// CheckSnapshotName returns an error unless name can be the name of a snapshot:
// what holds for a volume's name holds for it.
func CheckSnapshotName(name string) error {
	err := CheckName(name)
	var e *Error
	if !errors.As(err, &e) {
		return err
	}
	told := *e
	told.What = fmt.Sprintf("%q cannot be the name of a snapshot", name)
	if name == "" {
		told.What = "the snapshot has no name"
	}
	return &told
}

// SplitParent takes VOLUME or VOLUME@SNAPSHOT apart.
func SplitParent(text string) (name, snapshot string) {
	name, snapshot, _ = strings.Cut(text, "@")
	return name, snapshot
}

func isParent(text string) bool {
	name, snapshot, named := strings.Cut(text, "@")
	return CheckName(name) == nil && (!named || CheckName(snapshot) == nil)
}

// Check returns an error naming the first field of s that no volume can have.
// A field that is not set is fine. blockSize is that of the cluster.
func (s *Spec) Check(blockSize int) error {
	if err := CheckName(s.Name); err != nil {
		return err
	}
	return s.checkOptions(blockSize)
}

func (s *Spec) checkOptions(blockSize int) error {
	if err := s.checkSize(int64(blockSize)); err != nil {
		return err
	}
	switch {
	case s.Replicas < 0 || s.Replicas > replicasMax:
		return invalidReplicas(strconv.Itoa(s.Replicas))
	case s.MinWritable < 0 || s.MinWritable > replicasMax:
		return invalidMinWritable(strconv.Itoa(s.MinWritable))
	case s.Replicas > 0 && s.MinWritable > s.Replicas:
		return invalidOption("min_writable", strconv.Itoa(s.MinWritable), fmt.Sprintf("at most the %d that replicas asks for: nothing could ever be written", s.Replicas))
	case !slices.Contains([]string{"", "ext4", "xfs", "none"}, s.Filesystem):
		return invalidOption("fs", s.Filesystem, "ext4, xfs or none")
	case s.Parent != "" && !isParent(s.Parent):
		return invalidOption("parent", s.Parent, "a volume, or one of its snapshots as in db@monday")
	case s.MountOptions != "" && (len(s.MountOptions) > optionMax || !mountsForm.MatchString(s.MountOptions)):
		return invalidOption("mount_options", s.MountOptions, "options of mount, as in noatime")
	}
	if err := checkWords("nodes", s.Nodes); err != nil {
		return err
	}
	if err := checkWords("zones", s.Zones); err != nil {
		return err
	}
	labels := slices.Sorted(maps.Keys(s.Labels))
	if err := checkWords("labels", labels); err != nil {
		return err
	}
	for _, key := range labels {
		if err := checkWords("labels", []string{s.Labels[key]}); err != nil {
			return err
		}
	}
	return nil
}

func (s *Spec) checkSize(blockSize int64) error {
	invalid := func(format string, values ...any) error {
		return &Error{
			Kind: ErrInvalidSize,
			What: fmt.Sprintf("a volume cannot have %s: ", FormatSize(s.Size)) + fmt.Sprintf(format, values...),
			Fix:  "choose another size, as in 10GiB",
		}
	}
	chunk := blockSize * block.PerChunk
	switch {
	case s.Size == 0:
		return nil
	case s.Size < 0:
		return invalid("a size is not negative")
	case s.Size%chunk != 0:
		return invalid("it is no multiple of %s", FormatSize(chunk))
	case s.Size > sizeMax:
		return invalid("the largest volume has %s", FormatSize(sizeMax))
	case s.Size < smallest(s.Filesystem):
		return invalid("%s needs at least %s", s.Filesystem, FormatSize(smallest(s.Filesystem)))
	}
	return nil
}

// smallest is the least size on which a file system can be made; what is not
// yet chosen is not yet judged.
func smallest(filesystem string) int64 {
	switch filesystem {
	case "ext4":
		return 4 << 20
	case "xfs":
		return 300 << 20 // mkfs.xfs refuses less
	}
	return 0
}

func checkWords(key string, words []string) error {
	if len(words) > listMax {
		return invalidOption(key, fmt.Sprintf("a list of %d", len(words)), fmt.Sprintf("at most %d entries", listMax))
	}
	for i, word := range words {
		if len(word) > optionMax || !wordForm.MatchString(word) {
			return invalidOption(key, word, "a word of letters, digits, '.', '_', ':', '/' and '-'")
		}
		if slices.Contains(words[:i], word) {
			return invalidOption(key, word, "a list that names each entry once")
		}
	}
	return nil
}

func invalidReplicas(value string) error {
	return invalidOption("replicas", value, fmt.Sprintf("a number from 1 to %d", replicasMax))
}

func invalidMinWritable(value string) error {
	return invalidOption("min_writable", value, fmt.Sprintf("a number from 1 to %d", replicasMax))
}

func invalidOption(key, value, want string) error {
	return &Error{
		Kind: ErrInvalidOption,
		What: fmt.Sprintf("option %s: %q is not %s", key, value, want),
		Fix:  "correct " + key + ", or leave it out",
	}
}

// WithDefaults returns s with the defaults in place of what is not set, but for
// the number of replicas: that depends on the cluster.
func (s *Spec) WithDefaults() Spec {
	d := *s
	d.Format = Format
	if d.Size == 0 {
		d.Size = SizeDefault
	}
	if d.Filesystem == "" {
		d.Filesystem = FilesystemDefault
	}
	return d
}

// Difference names, as an option, the first thing asked for that the volume s
// does not have, or returns "". What is not set is not asked for.
func (s *Spec) Difference(asked *Spec) string {
	switch {
	case asked.Size != 0 && asked.Size != s.Size:
		return "size"
	case asked.Replicas != 0 && asked.Replicas != s.Replicas:
		return "replicas"
	case asked.MinWritable != 0 && asked.MinWritable != max(1, s.MinWritable):
		return "min_writable"
	case asked.Filesystem != "" && asked.Filesystem != s.Filesystem:
		return "fs"
	case len(asked.Nodes) > 0 && !slices.Equal(asked.Nodes, s.Nodes):
		return "nodes"
	case len(asked.Zones) > 0 && !slices.Equal(asked.Zones, s.Zones):
		return "zones"
	case len(asked.Labels) > 0 && !maps.Equal(asked.Labels, s.Labels):
		return "labels"
	case asked.MountOptions != "" && asked.MountOptions != s.MountOptions:
		return "mount_options"
	case asked.Preempt && !s.Preempt:
		return "preempt"
	case asked.Parent != "" && asked.Parent != s.Parent:
		return "parent"
	case asked.Schedule != "" && asked.Schedule != cmp.Or(s.Schedule, NoSchedule):
		return "snapshot_schedule"
	}
	return ""
}
