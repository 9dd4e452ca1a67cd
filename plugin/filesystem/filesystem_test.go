package filesystem_test

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/filesystem"
	"github.com/lagan-storage/lagan/plugin/require"
)

const mib = 1 << 20

// image makes a sparse file, which mkfs and e2fsck take like a device.
func image(t *testing.T, size int64) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "image")
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, size); err != nil {
		t.Fatal(err)
	}
	return name
}

func put(t *testing.T, name string, offset int64, bytes ...byte) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt(bytes, offset); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

func probe(t *testing.T, name string) filesystem.Content {
	t.Helper()
	content, err := filesystem.Probe(name)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// programs says what each type needs.
var programs = map[filesystem.Type][2]string{
	filesystem.Ext4: {"mkfs.ext4", "e2fsprogs"},
	filesystem.XFS:  {"mkfs.xfs", "xfsprogs"},
}

func TestProbeRecognisesWhatMakeMade(t *testing.T) {
	for _, kind := range filesystem.Types() {
		t.Run(string(kind), func(t *testing.T) {
			require.Program(t, programs[kind][0], programs[kind][1])
			name := image(t, 512*mib)
			if err := filesystem.Make(t.Context(), name, kind); err != nil {
				t.Fatal(err)
			}
			if got := probe(t, name); got.Blank || got.Type != kind {
				t.Errorf("made %s, found %v", kind, got)
			}
			if err := filesystem.Check(t.Context(), name, kind); err != nil {
				t.Errorf("a new file system does not pass: %v", err)
			}
		})
	}
}

func TestMakeRefusesWhatIsNotBlank(t *testing.T) {
	const size = 64 * mib
	for name, offset := range map[string]int64{"first byte": 0, "end of the first MiB": mib - 1, "last byte": size - 1, "start of the last MiB": size - mib} {
		t.Run(name, func(t *testing.T) {
			file := image(t, size)
			put(t, file, offset, 1)
			if err := filesystem.Make(t.Context(), file, filesystem.Ext4); !errors.Is(err, filesystem.ErrNotBlank) {
				t.Errorf("got %v, want %v", err, filesystem.ErrNotBlank)
			}
			if got := probe(t, file); got.Blank || got.Type != "" {
				t.Errorf("found %v", got)
			}
		})
	}
}

func TestMakeRefusesAnExistingFileSystem(t *testing.T) {
	for _, kind := range filesystem.Types() {
		t.Run(string(kind), func(t *testing.T) {
			require.Program(t, programs[kind][0], programs[kind][1])
			name := image(t, 512*mib)
			if err := filesystem.Make(t.Context(), name, kind); err != nil {
				t.Fatal(err)
			}
			for _, other := range filesystem.Types() {
				if err := filesystem.Make(t.Context(), name, other); !errors.Is(err, filesystem.ErrNotBlank) {
					t.Errorf("make %s over %s: got %v, want %v", other, kind, err, filesystem.ErrNotBlank)
				}
			}
			if err := filesystem.Erase(t.Context(), name); !errors.Is(err, filesystem.ErrNotBlank) {
				t.Errorf("erase %s: got %v, want %v", kind, err, filesystem.ErrNotBlank)
			}
		})
	}
}

// An mkfs.xfs that was killed leaves its mark of being in progress; an mkfs.ext4
// leaves no superblock.
func TestProbeDoesNotTakeAnInterruptedMakeForAFileSystem(t *testing.T) {
	for kind, undo := range map[filesystem.Type]struct {
		offset int64
		bytes  []byte
	}{filesystem.XFS: {126, []byte{1}}, filesystem.Ext4: {1024, make([]byte, 1024)}} {
		t.Run(string(kind), func(t *testing.T) {
			require.Program(t, programs[kind][0], programs[kind][1])
			name := image(t, 512*mib)
			if err := filesystem.Make(t.Context(), name, kind); err != nil {
				t.Fatal(err)
			}
			put(t, name, undo.offset, undo.bytes...)
			if got := probe(t, name); got.Blank || got.Type != "" {
				t.Errorf("found %v", got)
			}
		})
	}
}

func TestProbeTellsExt4FromItsAncestors(t *testing.T) {
	name := image(t, 8*mib)
	put(t, name, 1024+0x38, 0x53, 0xEF)
	if got := probe(t, name); got.Type != "" {
		t.Errorf("a superblock without extents is taken for %v", got)
	}
	put(t, name, 1024+0x60, 0x40)
	if got := probe(t, name); got.Type != filesystem.Ext4 {
		t.Errorf("a superblock with extents is taken for %v", got)
	}
	put(t, name, 1024+0x60, 0x48)
	if got := probe(t, name); got.Type != "" {
		t.Errorf("an external journal is taken for %v", got)
	}
}

func TestProbeOfADeviceSmallerThanAMiB(t *testing.T) {
	name := image(t, 4096)
	if got := probe(t, name); !got.Blank {
		t.Errorf("found %v", got)
	}
	put(t, name, 4095, 1)
	if got := probe(t, name); got.Blank {
		t.Errorf("found %v", got)
	}
}

func TestCheckReportsWhatItMayNotRepair(t *testing.T) {
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	name := image(t, 64*mib)
	if err := filesystem.Make(t.Context(), name, filesystem.Ext4); err != nil {
		t.Fatal(err)
	}
	// Not clean any more, and no inode of the first group makes sense.
	if out, err := exec.CommandContext(t.Context(), "debugfs", "-w", "-R", "set_super_value state 0", name).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	junk := make([]byte, 8*mib)
	for i := range junk {
		junk[i] = byte(i*7 + i>>8)
	}
	put(t, name, 8192, junk...)
	if err := filesystem.Check(t.Context(), name, filesystem.Ext4); !errors.Is(err, filesystem.ErrDamaged) {
		t.Errorf("got %v, want %v", err, filesystem.ErrDamaged)
	}
}

func TestUnknownTypesAreNamed(t *testing.T) {
	name := image(t, 4*mib)
	for what, err := range map[string]error{
		"parse":          func() error { _, err := filesystem.ParseType("ntfs"); return err }(),
		"make":           filesystem.Make(t.Context(), name, "ntfs"),
		"check":          filesystem.Check(t.Context(), name, "ntfs"),
		"mount":          filesystem.Mount(t.Context(), name, t.TempDir(), "ntfs"),
		"grow":           filesystem.Grow(t.Context(), name, t.TempDir(), "ntfs"),
		"grow unmounted": filesystem.GrowUnmounted(t.Context(), name, "ntfs"),
	} {
		if err == nil {
			t.Errorf("%s takes a file system that nobody knows", what)
		}
	}
}

func TestWhatCanBeNoMountPointIsRefusedBeforehand(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, target := range []string{dir, "/", filepath.Join(dir, "new"), filepath.Join(dir, "quite", "new")} {
		if err := filesystem.CheckTarget(target); err != nil {
			t.Errorf("%s: %v", target, err)
		}
	}
	for _, target := range []string{
		file, filepath.Join(file, "x"), filepath.Join(file, "x", "y"), dir + "/\x00", filepath.Join(dir, strings.Repeat("x", 300)),
		"/" + strings.Repeat("x/", 4000), filepath.Join(dir, strings.Repeat("x", 300), "y"),
	} {
		if err := filesystem.CheckTarget(target); !errors.Is(err, volume.ErrInvalidOption) || len(err.Error()) > 1000 {
			t.Errorf("%.80q: %v", target, err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("looking made %v, %v", entries, err)
	}
}
