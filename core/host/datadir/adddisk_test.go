package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lagan-storage/lagan/core/host/diskio"
	"github.com/lagan-storage/lagan/core/volume"
)

const mebi = 1 << 20

// given opens the disks that a start is given, and returns those that serve.
func given(t *testing.T, d *Dir, paths ...string) (serving []string, unusable int) {
	t.Helper()
	var list []Disk
	for _, path := range paths {
		list = append(list, Disk{Path: path, Size: 4 * mebi})
	}
	opened, bad, err := d.OpenDisks(list, func(*diskio.File) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range opened {
		serving = append(serving, filepath.Base(f.Path))
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	return serving, len(bad)
}

func TestDisksThatCameAndWentStaySo(t *testing.T) {
	d, dir := open(t, filepath.Join(t.TempDir(), "data")), t.TempDir()
	first := filepath.Join(dir, "first")
	if got, bad := given(t, d, first); !slices.Equal(got, []string{"first"}) || bad != 0 {
		t.Fatalf("serving %q, %d unusable", got, bad)
	}
	second, err := d.AddDisk(volume.NewDisk{Path: filepath.Join(dir, "second"), Size: 4 * mebi}, func(*diskio.File) error { return nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
	d = reopen(t, d)
	if got, bad := given(t, d, first); !slices.Equal(got, []string{"first", "second"}) || bad != 0 {
		t.Errorf("after one was added: serving %q, %d unusable", got, bad)
	}
	if err := d.ForgetDisk(d.record.Disks[0].ID); err != nil {
		t.Fatal(err)
	}
	d = reopen(t, d)
	if got, bad := given(t, d, first); !slices.Equal(got, []string{"second"}) || bad != 0 {
		t.Errorf("after one was removed that is still given: serving %q, %d unusable", got, bad)
	}
	if again, err := d.AddDisk(volume.NewDisk{Path: first}, func(*diskio.File) error { return nil }); err != nil {
		t.Errorf("one that was removed comes back: %v", err)
	} else if err := again.Close(); err != nil {
		t.Error(err)
	}
	if got, _ := given(t, reopen(t, d), first); !slices.Equal(got, []string{"first", "second"}) {
		t.Errorf("after it came back: serving %q", got)
	}
}

func TestDiskThatCannotBeAddedLeavesNoTrace(t *testing.T) {
	d, dir := open(t, filepath.Join(t.TempDir(), "data")), t.TempDir()
	used := filepath.Join(dir, "used")
	if err := os.WriteFile(used, append([]byte("letters"), make([]byte, 4*mebi)...), 0o600); err != nil {
		t.Fatal(err)
	}
	nothing := func(*diskio.File) error { return nil }
	missing := filepath.Join(dir, "missing")
	if _, err := d.AddDisk(volume.NewDisk{Path: missing}, nothing); !errors.Is(err, volume.ErrDiskRefused) {
		t.Errorf("a file that is not there: %v", err)
	}
	if _, err := d.AddDisk(volume.NewDisk{Path: used}, nothing); !errors.Is(err, volume.ErrDiskNotBlank) {
		t.Errorf("a file with letters: %v", err)
	}
	if text, err := os.ReadFile(used); err != nil || string(text[:7]) != "letters" {
		t.Errorf("what was refused was changed: %q, %v", text[:7], err)
	}
	tooSmall := errors.New("too small")
	if _, err := d.AddDisk(volume.NewDisk{Path: missing, Size: mebi}, func(*diskio.File) error { return tooSmall }); !errors.Is(err, volume.ErrDiskRefused) {
		t.Errorf("a file that cannot be formatted: %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("a file that could not be formatted is left")
	}
	if len(d.record.Disks) != 0 || len(reopen(t, d).record.Disks) != 0 {
		t.Errorf("known are %+v", d.record.Disks)
	}
}
