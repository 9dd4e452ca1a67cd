package datadir

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/host"
	"github.com/lagan-storage/lagan/core/host/diskio"
)

func open(t *testing.T, path string) *Dir {
	t.Helper()
	d, err := Open(path, block.NodeID{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() }) // closed twice where a test closes it itself
	return d
}

// reopen closes d and opens the directory as the next process would.
func reopen(t *testing.T, d *Dir) *Dir {
	t.Helper()
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, d.path)
}

func TestNodeKeepsItsIdentity(t *testing.T) {
	d := open(t, filepath.Join(t.TempDir(), "data"))
	id := d.Node()
	if id == (block.NodeID{}) {
		t.Fatal("a new node has no identity")
	}
	if got := reopen(t, d).Node(); got != id {
		t.Errorf("after a restart the node is %v, was %v", got, id)
	}
}

func TestDirectoryOfAnotherNodeIsRefused(t *testing.T) {
	d := open(t, t.TempDir())
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := Open(d.path, block.NodeID{1})
	if err == nil || !strings.Contains(err.Error(), d.Node().String()) {
		t.Errorf("got %v, want an error that names both nodes", err)
	}
}

func TestSecondProcessIsRefusedByName(t *testing.T) {
	d := open(t, t.TempDir())
	if _, err := Open(d.path, block.NodeID{}); !errors.Is(err, ErrInUse) {
		t.Errorf("got %v, want %v", err, ErrInUse)
	}
}

func TestDamagedOrNewerRecordIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"cut off": `{"format":1,"node":"0102`,
		"empty":   ``,
		"nobody":  `{"format":1}`,
		"newer":   `{"format":2,"node":"01020304050607080102030405060708"}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, nodeFile), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if d, err := Open(dir, block.NodeID{}); err == nil {
			t.Errorf("%s: taken as node %v", name, d.Node())
		}
	}
}

// formats counts what is formatted, instead of doing it.
type formats struct {
	files []string
	err   error
}

func (f *formats) format(file *diskio.File) error {
	f.files = append(f.files, file.Path)
	return f.err
}

func openDisks(t *testing.T, d *Dir, f *formats, given ...Disk) ([]*diskio.File, []host.UnusableDisk, error) {
	t.Helper()
	opened, unusable, err := d.OpenDisks(given, f.format)
	for _, file := range opened {
		if err := file.Close(); err != nil {
			t.Error(err)
		}
	}
	return opened, unusable, err
}

func TestDiskIsFormattedOnceAndKeepsItsIdentity(t *testing.T) {
	d := open(t, t.TempDir())
	disk := Disk{Path: d.Path("disk"), Size: 1 << 20}
	var f formats
	first, _, err := openDisks(t, d, &f, disk)
	if err != nil || len(first) != 1 || first[0].Size != 1<<20 || first[0].ID == (block.DiskID{}) {
		t.Fatalf("opened %v, %v", first, err)
	}
	d = reopen(t, d)
	second, unusable, err := openDisks(t, d, &f, disk)
	if err != nil || len(unusable) != 0 || len(second) != 1 || second[0].ID != first[0].ID {
		t.Errorf("after a restart: %v, %v, %v", second, unusable, err)
	}
	if len(f.files) != 1 {
		t.Errorf("formatted %v, want it once", f.files)
	}
}

func TestInterruptedFormattingIsDoneAgain(t *testing.T) {
	d := open(t, t.TempDir())
	disk := Disk{Path: d.Path("disk"), Size: 1 << 20}
	f := formats{err: errors.New("killed")}
	if _, _, err := openDisks(t, d, &f, disk); err == nil {
		t.Fatal("the error of formatting was lost")
	}
	if err := os.WriteFile(disk.Path, []byte("half of a superblock"), 0o600); err != nil {
		t.Fatal(err)
	}
	d, f.err = reopen(t, d), nil
	opened, unusable, err := openDisks(t, d, &f, disk)
	if err != nil || len(opened) != 1 || len(unusable) != 0 || len(f.files) != 2 {
		t.Errorf("opened %v, %v, %v; formatted %v", opened, unusable, err, f.files)
	}
}

func TestForeignDataIsNeverFormattedOver(t *testing.T) {
	d := open(t, t.TempDir())
	foreign, own := Disk{Path: d.Path("foreign"), Size: 1 << 20}, Disk{Path: d.Path("own"), Size: 1 << 20}
	if err := os.WriteFile(foreign.Path, append(make([]byte, 5000), "somebody's"...), 0o600); err != nil {
		t.Fatal(err)
	}
	var f formats
	opened, unusable, err := openDisks(t, d, &f, foreign, own)
	if err != nil || len(opened) != 1 || len(unusable) != 1 || unusable[0].Path != foreign.Path {
		t.Errorf("opened %v, unusable %v, %v; want the other disk to serve", opened, unusable, err)
	}
	if len(f.files) != 1 || f.files[0] != own.Path {
		t.Errorf("formatted %v", f.files)
	}
}

func TestMissingDiskIsReportedAndNeverMadeAnew(t *testing.T) {
	d := open(t, t.TempDir())
	disk, other := Disk{Path: d.Path("disk"), Size: 1 << 20}, Disk{Path: d.Path("other"), Size: 1 << 20}
	var f formats
	if _, _, err := openDisks(t, d, &f, disk, other); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(disk.Path); err != nil {
		t.Fatal(err)
	}
	d = reopen(t, d)
	opened, unusable, err := openDisks(t, d, &f, disk)
	if err != nil || len(opened) != 0 || len(unusable) != 2 {
		t.Fatalf("opened %v, unusable %v, %v; want one missing and one not given", opened, unusable, err)
	}
	if _, err := os.Stat(disk.Path); !errors.Is(err, os.ErrNotExist) || len(f.files) != 2 {
		t.Errorf("the missing disk was made anew: %v, formatted %v", err, f.files)
	}
	if unusable[0].ID == (block.DiskID{}) || unusable[1].Path != other.Path {
		t.Errorf("unusable %v", unusable)
	}
}

func TestMistakesInTheListOfDisksAreRefused(t *testing.T) {
	d := open(t, t.TempDir())
	disk := Disk{Path: d.Path("disk"), Size: 1 << 20}
	var f formats
	for name, given := range map[string][]Disk{
		"given twice":               {disk, disk},
		"neither there nor a size":  {{Path: d.Path("nowhere")}},
		"in a folder that is not":   {{Path: d.Path("no/such/disk"), Size: 1 << 20}},
		"the first is right":        {{Path: d.Path("right"), Size: 1 << 20}, {Path: d.Path("nowhere")}},
		"larger than any file here": {{Path: d.Path("large"), Size: 1 << 62}},
	} {
		if opened, _, err := openDisks(t, d, &f, given...); err == nil || len(opened) != 0 {
			t.Errorf("%s: opened %v, %v", name, opened, err)
		}
	}
}

func TestTaintCountsUntilTheNextBoot(t *testing.T) {
	dir := t.TempDir()
	boot := block.BootID{1}
	at := func(boot block.BootID) *Markers {
		m, err := OpenMarkers(dir, boot)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := at(boot)
	if m.Taint("/d") != 0 {
		t.Error("a disk is tainted that nobody tainted")
	}
	if err := m.SetTaint("/d", 7); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenMarkers(dir, boot); !errors.Is(err, ErrInUse) {
		t.Errorf("a second process: %v, want %v", err, ErrInUse)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = at(boot)
	if got := m.Taint("/d"); got != 7 || m.Taint("/e") != 0 {
		t.Errorf("the next process of the boot reads %d and %d, want 7 and 0", got, m.Taint("/e"))
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	m = at(block.BootID{2})
	if got := m.Taint("/d"); got != 0 {
		t.Errorf("after a boot the disk is tainted with %d", got)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestBootHasAnIdentity(t *testing.T) {
	first, err := ReadBootID()
	second, _ := ReadBootID()
	if err != nil || first == (block.BootID{}) || first != second {
		t.Errorf("read %v and %v, %v", first, second, err)
	}
}
