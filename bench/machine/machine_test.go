package machine

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/lagan-storage/lagan/plugin/device/mounts"
	"github.com/lagan-storage/lagan/plugin/require"
)

func TestFoldersAreRemovedFromBelow(t *testing.T) {
	top := filepath.Join(t.TempDir(), "group")
	if err := os.MkdirAll(filepath.Join(top, "one", "two"), 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 { // what is gone is no error
		if err := removeFolders(top); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(top); !os.IsNotExist(err) {
			t.Errorf("after removal: %v", err)
		}
	}
}

func TestVolumesOfOthersAreKnownByTheirFiles(t *testing.T) {
	table := []mounts.Mount{
		{Point: "/", Type: "ext4", Source: "/dev/loop0"},
		{Point: "/run/x/devices/one", Type: "fuse.lagan", Source: "lagan:db"},
		{Point: "/mnt/db", Type: "ext4", Source: "/dev/loop1"},
		{Point: "/mnt/other", Type: "ext4", Source: "/dev/loop2"},
	}
	files := map[string]string{"/dev/loop0": "/images/root", "/dev/loop1": "/run/x/devices/one"}
	got := volumes(table, func(device string) string { return files[device] })
	if want := []string{"/run/x/devices/one", "/mnt/db"}; !slices.Equal(got, want) {
		t.Errorf("volumes are at %q, want %q", got, want)
	}
}

func TestImageHasAShell(t *testing.T) {
	require.Program(t, "busybox", "busybox-static")
	archive, err := busybox(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	links := map[string]string{}
	for r := tar.NewReader(bytes.NewReader(archive)); ; {
		header, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		links[header.Name] = header.Linkname
	}
	if _, there := links["bin/busybox"]; !there || links["bin/sh"] != "busybox" {
		t.Errorf("the image has %v", links)
	}
}
