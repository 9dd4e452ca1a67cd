package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
)

// offline runs a command on the data directory of a node that does not run.
func offline(t *testing.T, n *cluster.Node, arguments ...string) (string, error) {
	t.Helper()
	out, err := n.Lagan(t.Context(), nil, append(arguments, "--data", n.Dir(), "--run", filepath.Dir(n.Socket))...)
	return string(out), err
}

func writeAll(t *testing.T, n *cluster.Node, name string, data []byte) {
	t.Helper()
	if _, err := n.Client().WriteBlocks(t.Context(), name, 0, bytes.NewReader(data)); err != nil {
		t.Fatal(err)
	}
}

// backUpTo takes a backup through a node, and insists that it is whole, its owner's
// alone, and never overwritten.
func backUpTo(t *testing.T, n *cluster.Node, file string) {
	t.Helper()
	if _, err := n.Lagan(t.Context(), nil, "cluster", "backup", file); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the backup is %v, %v", info, err)
	}
	if _, err := n.Lagan(t.Context(), nil, "cluster", "backup", file); err == nil || !strings.Contains(err.Error(), "not overwritten") {
		t.Errorf("a second backup to the same file: %v", err)
	}
	if left, err := filepath.Glob(file + ".*"); err != nil || len(left) > 0 {
		t.Errorf("left behind are %v, %v", left, err)
	}
}

// spoiled returns a copy of a file with one byte changed.
func spoiled(t *testing.T, file string) string {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/2] ^= 1
	other := file + ".spoiled"
	if err := os.WriteFile(other, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return other
}

// restoreOn makes the records anew on a stopped node, and has all others follow it.
func restoreOn(t *testing.T, c *cluster.Cluster, file, on string, others ...string) {
	t.Helper()
	n := c.Node(on)
	if _, err := offline(t, n, "cluster", "restore", spoiled(t, file)); err == nil || !strings.Contains(err.Error(), "not a whole backup") {
		t.Errorf("restoring a damaged file: %v", err)
	}
	out, err := offline(t, n, "cluster", "restore", file)
	if err != nil {
		t.Fatal(err)
	}
	address := regexp.MustCompile(`cluster rejoin (\S+)`).FindStringSubmatch(out)
	if address == nil {
		t.Fatalf("the restore does not say how others follow: %s", out)
	}
	start(t, c, on)
	for _, name := range others {
		if _, err := offline(t, c.Node(name), "cluster", "rejoin", address[1]); err != nil {
			t.Fatal(err)
		}
		start(t, c, name)
	}
}

// TestE2EOldBackupStopsWhatWentOnAndServesTheRest: what was written after a backup,
// under a configuration that is not in it, is never read as it was before; and what
// nothing happened to is used as if nothing had.
func TestE2EOldBackupStopsWhatWentOnAndServesTheRest(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a", "b", "c")
	up(t, c)
	a, b, other := c.Node("a"), c.Node("b"), c.Node("c")
	create(t, a, "db", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2", "nodes": "a+b"})
	create(t, a, "calm", map[string]string{"size": "16MiB", "fs": "none", "replicas": "2", "nodes": "b+c"})
	data := random(4 * mebi)
	old, quiet, late := data[:mebi], data[mebi:2*mebi], data[2*mebi:3*mebi]
	attach(t, other, "calm", api.Attach{})
	writeAll(t, other, "calm", quiet)
	if err := other.Client().Detach(t.Context(), "calm", false); err != nil {
		t.Fatal(err)
	}
	attach(t, a, "db", api.Attach{})
	writeAll(t, a, "db", old)
	file := filepath.Join(workDir(t), "cluster.backup")
	backUpTo(t, a, file)
	if _, err := offline(t, a, "cluster", "restore", file); err == nil || !strings.Contains(err.Error(), "in use by process") {
		t.Errorf("restoring under a daemon: %v", err)
	}
	if err := b.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	writeAll(t, a, "db", late) // the copy on b lacks it
	attach(t, other, "db", api.Attach{Force: true})
	create(t, other, "young", map[string]string{"size": "16MiB", "fs": "none", "replicas": "1", "nodes": "c"})
	for _, n := range []*cluster.Node{a, other} {
		if err := n.Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, n := range []*cluster.Node{a, b, other} {
		if err := os.RemoveAll(filepath.Join(n.Dir(), "etcd")); err != nil {
			t.Fatal(err)
		}
	}
	restoreOn(t, c, file, "b", "a", "c")
	awaitVoters(t, c, "a", 3)

	attach(t, a, "calm", api.Attach{})
	wantContent(t, a, "calm", 0, quiet)
	if _, err := a.Client().Volume(t.Context(), "young"); !errors.Is(err, volume.ErrVolumeNotFound) {
		t.Errorf("a volume that was created after the backup: %v", err)
	}
	var err error
	until(t, c, "the volume that went on is refused", func() (bool, error) {
		_, err = other.Client().Attach(t.Context(), "db", api.Attach{Force: true})
		if err == nil {
			t.Fatal("the volume is served from an old record")
		}
		return errors.Is(err, volume.ErrConfigRegressed), nil
	})
	if text := err.Error(); !strings.Contains(text, "node a") || !strings.Contains(text, "lagan volume recover db --accept-loss NODE") {
		t.Errorf("it is refused with: %v", err)
	}
	if _, err := other.Client().RecoverVolume(t.Context(), "db", "a"); err != nil {
		t.Fatal(err)
	}
	attach(t, other, "db", api.Attach{})
	wantContent(t, other, "db", 0, late)
	untilCopies(t, c, other, "db", "a", "b")
	wantContent(t, other, "db", 0, late)
	attach(t, b, "calm", api.Attach{Force: true})
	wantContent(t, b, "calm", 0, quiet)
}
