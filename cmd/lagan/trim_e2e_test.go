package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/plugin/require"
	"github.com/lagan-storage/lagan/rest/api"
)

// fileBytes is the size of what is written and deleted; slackBytes what a disk's
// record may be off, and the file system writes beside.
const (
	fileBytes  = 200 * mebi
	slackBytes = 30 * mebi
)

// untilUsed waits until every disk has given its copy of a volume about as much
// as want.
func untilUsed(t *testing.T, c *cluster.Cluster, what string, free map[string]int64, want int64) {
	t.Helper()
	until(t, c, what, func() (bool, error) {
		disks, err := c.Node("a").Client().Disks(t.Context())
		for _, d := range disks {
			used := free[d.Node] - d.Free
			if err == nil && (used < want-slackBytes || used > want+slackBytes) {
				return false, fmt.Errorf("the copy on node %s has %d MiB, want %d", d.Node, used/mebi, want/mebi)
			}
		}
		return err == nil, err
	})
}

// writeFile writes what it is given, as much as is deleted later, and syncs it.
func writeFile(t *testing.T, name string, content io.Reader) {
	t.Helper()
	file, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.CopyN(file, content, fileBytes)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		t.Fatal(err)
	}
}

func removeFile(t *testing.T, name string) {
	t.Helper()
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	call(t, "sync", "--file-system", filepath.Dir(name))
}

func call(t *testing.T, program string, arguments ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), program, arguments...).CombinedOutput(); err != nil {
		t.Fatalf("%s %v: %v\n%s", program, arguments, err, out)
	}
}

// What a file system trims is free on every copy, by whichever way it says so; and
// zeroes never take space.
func TestE2ETrimmedSpaceComesBackOnEveryCopy(t *testing.T) {
	t.Parallel()
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	require.Program(t, "fstrim", "util-linux")
	c := newCluster(t, "768MiB", "a", "b")
	up(t, c)
	n := c.Node("a")
	create(t, n, "db", map[string]string{"size": "400MiB", "replicas": "2", "mount_options": "discard"})
	target := filepath.Join(n.Dir(), "mnt")
	attach(t, n, "db", api.Attach{Mount: target})
	disks, err := n.Client().Disks(t.Context())
	if err != nil || len(disks) != 2 {
		t.Fatalf("%d disks, %v", len(disks), err)
	}
	free := map[string]int64{}
	for _, d := range disks {
		free[d.Node] = d.Free
	}
	file := filepath.Join(target, "file")

	writeFile(t, file, content{})
	untilUsed(t, c, "both copies have the file", free, fileBytes)
	untilUsage(t, c, "db", "the volume uses what its file does", func(u *api.Usage) bool { return u.Used > fileBytes && u.Used < fileBytes+slackBytes })
	removeFile(t, file)
	untilUsed(t, c, "the mount option discard gave its space back", free, 0)

	call(t, "mount", "-o", "remount,nodiscard", target)
	writeFile(t, file, content{})
	untilUsed(t, c, "both copies have the file again", free, fileBytes)
	removeFile(t, file)
	untilUsed(t, c, "without discard its space stays taken", free, fileBytes)
	call(t, "fstrim", target)
	untilUsed(t, c, "fstrim gave its space back", free, 0)
	untilUsage(t, c, "db", "and the volume shows it", func(u *api.Usage) bool { return u.Used < slackBytes })

	writeFile(t, file, zeroes{})
	untilUsed(t, c, "zeroes take no space", free, 0)
}

// untilUsage waits until nodes a and b, which have a copy each of a volume, show
// what is wanted of it.
func untilUsage(t *testing.T, c *cluster.Cluster, name, what string, wanted func(*api.Usage) bool) {
	t.Helper()
	until(t, c, what, func() (bool, error) {
		for _, n := range []*cluster.Node{c.Node("a"), c.Node("b")} {
			v, err := n.Client().Volume(t.Context(), name)
			if u := v.Status.Usage; err != nil || u == nil || !wanted(u) {
				return false, errors.Join(err, fmt.Errorf("volume %s takes %+v on node %s", name, u, n.Name))
			}
		}
		return true, nil
	})
}

// content is anything but zeroes.
type content struct{}

func (content) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(i%251 + 1)
	}
	return len(p), nil
}
