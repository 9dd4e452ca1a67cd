package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/require"
	"github.com/lagan-storage/lagan/rest/api"
)

// loopDevice shows a file of that size as a block device.
func loopDevice(t *testing.T, size int64) string {
	t.Helper()
	require.Root(t)
	require.Program(t, "losetup", "mount")
	file := filepath.Join(workDir(t), "backing")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, size); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), "losetup", "--find", "--show", file).CombinedOutput()
	require.Works(t, "losetup", err)
	device := strings.TrimSpace(string(out))
	t.Cleanup(func() {
		if out, err := exec.Command("losetup", "--detach", device).CombinedOutput(); err != nil {
			t.Errorf("losetup --detach %s: %s", device, out)
		}
	})
	return device
}

// disksOf returns the paths of the disks of a node that serve.
func disksOf(all []api.Disk, node string) (paths []string) {
	for _, d := range all {
		if d.Node == node && d.Problem == "" {
			paths = append(paths, d.Path)
		}
	}
	slices.Sort(paths)
	return paths
}

// TestE2EAddedDisksAreOpenedAgain gives a node a file and removes it, and gives it
// another; later starts know both.
func TestE2EAddedDisksAreOpenedAgain(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a")
	start(t, c, "a")
	a := c.Node("a")
	dir := workDir(t)
	kept, gone := filepath.Join(dir, "kept"), filepath.Join(dir, "gone")
	for _, path := range []string{kept, gone} {
		if _, err := a.Client().AddDisk(t.Context(), api.NewDisk{Path: path, Size: 128 * mebi}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Client().RemoveDisk(t.Context(), gone); err != nil {
		t.Fatal(err)
	}
	all, err := a.Client().Disks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := disksOf(all, "a")
	if len(want) != 2 || !slices.Contains(want, kept) {
		t.Fatalf("disks %q", want)
	}
	for range 2 {
		if err := a.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		start(t, c, "a")
		all, err := a.Client().Disks(t.Context())
		if got := disksOf(all, "a"); err != nil || !slices.Equal(got, want) || len(all) != 2 {
			t.Errorf("after a start it has %+v, %v, want %q", all, err, want)
		}
	}
	// What was given at the start can be removed as well, although every start gives it.
	for _, d := range all {
		if d.Path != kept {
			if err := a.Client().RemoveDisk(t.Context(), d.ID); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := a.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	start(t, c, "a")
	all, err = a.Client().Disks(t.Context())
	if got := disksOf(all, "a"); err != nil || len(all) != 1 || !slices.Equal(got, []string{kept}) {
		t.Errorf("it has %+v, %v", all, err)
	}
}

// TestE2EBlockDevicesAreDisks uses loop devices: blank ones are taken, those with
// a file system are not unless they are wiped, and never those that are mounted.
func TestE2EBlockDevicesAreDisks(t *testing.T) {
	t.Parallel()
	blank, used := loopDevice(t, 128*mebi), loopDevice(t, 128*mebi)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	if out, err := exec.CommandContext(t.Context(), "mkfs.ext4", "-q", used).CombinedOutput(); err != nil {
		t.Fatalf("mkfs: %s", out)
	}
	c := newCluster(t, "128MiB", "a")
	start(t, c, "a")
	a := c.Node("a")
	added, err := a.Client().AddDisk(t.Context(), api.NewDisk{Path: blank})
	if err != nil {
		t.Fatal(err)
	}
	d, err := a.Client().Disk(t.Context(), added.ID)
	if err != nil || d.Work == nil || !d.Work.Direct || d.Path != blank || d.Capacity < 64*mebi {
		t.Errorf("%+v, %v", d, err)
	}
	_, err = a.Client().AddDisk(t.Context(), api.NewDisk{Path: used})
	if !errors.Is(err, volume.ErrDiskNotBlank) || !strings.Contains(err.Error(), "ext4") {
		t.Errorf("a device with a file system: %v", err)
	}
	at := filepath.Join(workDir(t), "mnt")
	if err := os.Mkdir(at, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.CommandContext(t.Context(), "mount", used, at).CombinedOutput(); err != nil {
		t.Fatalf("mount: %s", out)
	}
	_, err = a.Client().AddDisk(t.Context(), api.NewDisk{Path: used, Wipe: true})
	if out, umountErr := exec.CommandContext(t.Context(), "umount", at).CombinedOutput(); umountErr != nil {
		t.Fatalf("umount: %s", out)
	}
	if !errors.Is(err, volume.ErrDiskRefused) || !strings.Contains(err.Error(), "mounted") {
		t.Errorf("a mounted device: %v", err)
	}
	if _, err = a.Client().AddDisk(t.Context(), api.NewDisk{Path: used, Wipe: true}); err != nil {
		t.Errorf("a device to be wiped: %v", err)
	}
	create(t, a, "db", map[string]string{"size": "64MiB", "fs": "none", "replicas": "1"})
	attach(t, a, "db", api.Attach{})
	content := random(mebi)
	if _, err := a.Client().WriteBlocks(t.Context(), "db", 0, strings.NewReader(string(content))); err != nil {
		t.Fatal(err)
	}
	wantContent(t, a, "db", 0, content)
}
