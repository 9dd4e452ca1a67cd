package mounts_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/plugin/device/mounts"
)

func TestTableOfMountsIsReadByField(t *testing.T) {
	const table = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
90 22 0:48 / /run/lagan/my\040volume rw,nosuid,nodev shared:9 master:1 - fuse.lagan lagan:db rw,user_id=0
91 22 7:3 /data /var/lib/lagan/mounts/db rw - ext4 /dev/loop3 rw
92 22 0:5 / /empty rw -  tmpfs  rw
`
	got, err := mounts.Parse(strings.NewReader(table))
	if err != nil {
		t.Fatal(err)
	}
	want := []mounts.Mount{
		{Major: 254, Minor: 0, Point: "/", Type: "ext4", Source: "/dev/vda"},
		{Major: 0, Minor: 48, Point: "/run/lagan/my volume", Type: "fuse.lagan", Source: "lagan:db"},
		{Major: 7, Minor: 3, Point: "/var/lib/lagan/mounts/db", Type: "ext4", Source: "/dev/loop3"},
		{Major: 0, Minor: 5, Point: "/empty", Type: "tmpfs"},
	}
	if !slices.Equal(got, want) {
		t.Errorf("read %+v, want %+v", got, want)
	}
}

func TestTableOfMountsWithABrokenLineIsRefused(t *testing.T) {
	for _, line := range []string{"", "22 1 254:0 / / rw", "22 1 254 / / rw - ext4 /dev/vda rw", "22 1 x:0 / / rw - ext4 a rw"} {
		if got, err := mounts.Parse(strings.NewReader(line + "\n")); err == nil {
			t.Errorf("line %q was read as %+v", line, got)
		}
	}
}

func TestBelowIsDecidedByFolderNotByPrefix(t *testing.T) {
	for point, want := range map[string]bool{
		"/run/lagan/a": true, "/run/lagan/a/b": true,
		"/run/lagan": false, "/run/lagan2/a": false, "/run": false,
	} {
		for _, dir := range []string{"/run/lagan", "/run/lagan/"} {
			if got := (mounts.Mount{Point: point}).Below(dir); got != want {
				t.Errorf("%s below %s: %v, want %v", point, dir, got, want)
			}
		}
	}
}
