package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/bench/demo"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/require"
	"github.com/lagan-storage/lagan/rest/api"
	"github.com/lagan-storage/lagan/rest/client"
)

// asLagan makes the program of the tests be lagan itself: the processes of these
// tests run the very code that was compiled with them.
const asLagan = "LAGAN_TEST_IS_LAGAN"

func TestMain(m *testing.M) {
	if os.Getenv(asLagan) != "" {
		main()
		return
	}
	testscript.Main(m, map[string]func(){"lagan": transcribed})
}

const mebi = 1 << 20

func workDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "lagan-e2e-") //nolint:usetesting // the path of a socket has 107 bytes at most, and t.TempDir repeats the test's name
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

func program(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("starts real processes")
	}
	path, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// newCluster makes a cluster that ends with the test.
func newCluster(t *testing.T, disk string, nodes ...string) *cluster.Cluster {
	t.Helper()
	return newClusterWith(t, nil, disk, nodes...)
}

// newClusterWith is newCluster with settings in the environment of every node.
func newClusterWith(t *testing.T, settings []string, disk string, nodes ...string) *cluster.Cluster {
	t.Helper()
	return newClusterOf(t, cluster.Params{Nodes: nodes, Disk: disk, Env: settings})
}

// newClusterOf makes a cluster of lagan itself that ends with the test.
func newClusterOf(t *testing.T, p cluster.Params) *cluster.Cluster {
	t.Helper()
	p.Binary, p.Dir, p.Pause, p.Env = program(t), workDir(t), pause, append(p.Env, asLagan+"=1")
	c, err := cluster.New(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return c
}

func up(t *testing.T, c *cluster.Cluster) {
	t.Helper()
	if err := c.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// until looks until holds, for as long as a busy machine may take.
func until(t *testing.T, c *cluster.Cluster, what string, holds func() (bool, error)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Until(ctx, what, holds); err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, n *cluster.Node, name string, options map[string]string) api.Volume {
	t.Helper()
	v, err := n.Client().Create(t.Context(), name, options, false)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func attach(t *testing.T, n *cluster.Node, name string, a api.Attach) {
	t.Helper()
	if _, err := n.Client().Attach(t.Context(), name, a); err != nil {
		t.Fatal(err)
	}
}

func random(bytes int) []byte {
	data := make([]byte, bytes)
	source := rand.NewChaCha8([32]byte{7})
	_, _ = source.Read(data) // never fails
	return data
}

func wantContent(t *testing.T, n *cluster.Node, name string, offset int64, want []byte) {
	t.Helper()
	var got bytes.Buffer
	if err := n.Client().ReadBlocks(t.Context(), name, offset, int64(len(want)), &got); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Fatalf("volume %s: %d bytes at %d are not what was written", name, len(want), offset)
	}
}

// demonstrate runs the demonstration with a small tree.
func demonstrate(t *testing.T, kind demo.Kind) {
	var out bytes.Buffer
	err := demo.Run(t.Context(), demo.Params{
		Binary: program(t), Dir: workDir(t), Tree: filepath.Join("..", "..", "core"), Kind: kind,
		Out: &out, Now: time.Now, Pause: pause, Env: []string{asLagan + "=1"},
	})
	if err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
}

func TestE2EFilesSurviveTheirNode(t *testing.T) {
	t.Parallel()
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	demonstrate(t, demo.Files)
}

func TestE2EBlocksSurviveTheirNode(t *testing.T) {
	t.Parallel()
	demonstrate(t, demo.Blocks)
}

func TestE2ESecondDaemonOnADataDirectoryIsRefused(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a")
	up(t, c)
	n := c.Node("a")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for _, arguments := range [][]string{
		{"--data", n.Dir(), "--run", filepath.Join(n.Dir(), "other-run")},
		{"--data", filepath.Join(n.Dir(), "other-data"), "--run", filepath.Dir(n.Socket), "--no-disk", "--listen", "127.0.0.1:1"},
	} {
		arguments = append([]string{"up", "--name", "a"}, arguments...)
		_, err := n.Lagan(ctx, nil, arguments...)
		if err == nil || !strings.Contains(err.Error(), "in use by process") {
			t.Errorf("second daemon with %v: %v, want it refused", arguments, err)
		}
	}
	if err := n.Client().Ready(t.Context()); err != nil {
		t.Errorf("the first daemon after that: %v", err)
	}
}

func TestE2ECorruptSuperblockIsNamedWhileTheOtherDiskServes(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a")
	n := c.Node("a")
	good, bad := filepath.Join(n.Dir(), "good"), filepath.Join(n.Dir(), "bad")
	n.SetDisks(good+":128MiB", bad+":128MiB")
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, c, "both disks serve", func() (bool, error) {
		disks, err := n.Client().Disks(t.Context())
		return len(disks) == 2, err
	})
	// Two volumes, too large for one disk together: one on each.
	content := random(mebi)
	paths := map[string]string{} // disk by volume
	for _, name := range []string{"one", "two"} {
		v := create(t, n, name, map[string]string{"size": "64MiB", "fs": "none"})
		disks, err := n.Client().Disks(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range disks {
			if d.ID == v.Status.Replicas[0].Disk {
				paths[name] = d.Path
			}
		}
		attach(t, n, name, api.Attach{})
		if _, err := n.Client().WriteBlocks(t.Context(), name, 0, bytes.NewReader(content)); err != nil {
			t.Fatal(err)
		}
	}
	healthy, broken := "one", "two"
	if paths[healthy] == bad {
		healthy, broken = broken, healthy
	}
	if paths[healthy] != good || paths[broken] != bad {
		t.Fatalf("volumes are on %v, want one on each disk", paths)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	scribble(t, bad, 4*mebi) // all copies of the superblock
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, c, "the broken disk is named", func() (bool, error) {
		disks, err := n.Client().Disks(t.Context())
		for _, d := range disks {
			if d.Path == bad && d.Problem != "" {
				t.Logf("disk %s: %s", d.Path, d.Problem)
				return true, err
			}
		}
		return false, err
	})
	if err := n.Client().Ready(t.Context()); err == nil || !strings.Contains(err.Error(), bad) {
		t.Errorf("readiness says %v, want it to name %s", err, bad)
	}
	attach(t, n, healthy, api.Attach{})
	wantContent(t, n, healthy, 0, content)
}

// scribble overwrites the first bytes of a file.
func scribble(t *testing.T, path string, length int) {
	t.Helper()
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err == nil {
		_, err = file.Write(random(length))
		err = errors.Join(err, file.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestE2EFullDiskTellsTheWriterAndReadsGoOn(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "128MiB", "a")
	up(t, c)
	n := c.Node("a")
	daemon := n.Client()
	first, second := random(48*mebi), random(64*mebi)
	for name, size := range map[string]string{"first": "48MiB", "second": "64MiB"} {
		create(t, n, name, map[string]string{"size": size, "fs": "none"})
		attach(t, n, name, api.Attach{})
	}
	if _, err := daemon.WriteBlocks(t.Context(), "first", 0, bytes.NewReader(first)); err != nil {
		t.Fatal(err)
	}
	if _, err := daemon.WriteBlocks(t.Context(), "second", 0, bytes.NewReader(second)); !errors.Is(err, volume.ErrNoSpace) {
		t.Fatalf("writing more than the disk holds: %v, want %v", err, volume.ErrNoSpace)
	}
	wantContent(t, n, "first", 0, first)
	wantContent(t, n, "second", 0, second[:mebi])
	if err := errors.Join(daemon.Detach(t.Context(), "first", false), daemon.Delete(t.Context(), "first")); err != nil {
		t.Fatal(err)
	}
	until(t, c, "the freed space takes the rest", func() (bool, error) {
		_, err := daemon.WriteBlocks(t.Context(), "second", 0, bytes.NewReader(second))
		return err == nil, err
	})
	wantContent(t, n, "second", 0, second)
}

func TestE2EFrozenMemberIsWaitedForUntilItIsEvicted(t *testing.T) {
	t.Parallel()
	c := newCluster(t, "256MiB", "a", "b", "c")
	up(t, c)
	v := create(t, c.Node("a"), "db", map[string]string{"size": "64MiB", "fs": "none", "replicas": "2"})
	n, member := c.Node(v.Status.Replicas[0].Node), c.Node(v.Status.Replicas[1].Node)
	attach(t, n, "db", api.Attach{})
	daemon := n.Client()
	before := random(mebi)
	if _, err := daemon.WriteBlocks(t.Context(), "db", 0, bytes.NewReader(before)); err != nil {
		t.Fatal(err)
	}
	if err := member.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The coordinator hears of every member at least every 0.4 s and gives up a
	// silent one after 1.2 s, so nothing can be acknowledged for the difference.
	const waited = 700 * time.Millisecond
	began := time.Now()
	after := bytes.Repeat([]byte("after the freeze"), mebi/16)
	if _, err := daemon.WriteBlocks(t.Context(), "db", mebi, bytes.NewReader(after)); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took < waited {
		t.Errorf("a write was acknowledged %v after a member froze: nobody can know by then that it may be left out", took)
	}
	until(t, c, "the frozen member is out", func() (bool, error) { return memberState(t.Context(), daemon, member.Name, volume.Out) })
	if err := member.Thaw(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, c, "it is in sync again", func() (bool, error) { return memberState(t.Context(), daemon, member.Name, volume.InSync) })
	if err := daemon.Detach(t.Context(), "db", false); err != nil {
		t.Fatal(err)
	}
	attach(t, member, "db", api.Attach{})
	wantContent(t, member, "db", 0, before)
	wantContent(t, member, "db", mebi, after)
}

func memberState(ctx context.Context, daemon *client.Client, node string, want volume.State) (bool, error) {
	v, err := daemon.Volume(ctx, "db")
	for _, r := range v.Status.Replicas {
		if r.Node == node {
			return r.State == string(want), err
		}
	}
	return false, errors.Join(err, fmt.Errorf("volume has no copy on node %s", node))
}

func TestE2EForcedAttachTearsDownTheDeviceOfTheFormerNode(t *testing.T) {
	t.Parallel()
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	c := newCluster(t, "256MiB", "a", "b", "c")
	up(t, c)
	former, next := c.Node("a"), c.Node("b")
	create(t, former, "db", map[string]string{"size": "64MiB", "replicas": "2"})
	target := filepath.Join(former.Dir(), "mnt")
	attach(t, former, "db", api.Attach{Mount: target})
	note := filepath.Join(target, "note")
	if err := writeDurably(note, "kept"); err != nil {
		t.Fatal(err)
	}
	open, err := os.OpenFile(filepath.Join(target, "open"), os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = open.Close() }() // its device is gone by then
	if _, err := next.Client().Attach(t.Context(), "db", api.Attach{Mount: filepath.Join(next.Dir(), "mnt")}); !errors.Is(err, volume.ErrAttachedElsewhere) {
		t.Fatalf("attaching what another node uses: %v, want %v", err, volume.ErrAttachedElsewhere)
	}
	if v, err := next.Client().Volume(t.Context(), "db"); err != nil || v.Status.Attachment == nil || v.Status.Attachment.Node != "a" {
		t.Fatalf("after an attachment that was refused the volume is attached to %+v, %v, want a", v.Status.Attachment, err)
	}
	attach(t, next, "db", api.Attach{Mount: filepath.Join(next.Dir(), "mnt"), Force: true})
	if text, err := os.ReadFile(filepath.Join(next.Dir(), "mnt", "note")); err != nil || string(text) != "kept" {
		t.Errorf("on the next node the file reads %q, %v", text, err)
	}
	until(t, c, "the former node has no mount any more", func() (bool, error) {
		_, err := os.Stat(note)
		return err != nil, nil
	})
	if _, err := open.Write([]byte("late")); err == nil {
		err = open.Sync()
		if err == nil {
			t.Error("a writer of the former node was told that its write is durable")
		}
	}
	v, err := former.Client().Volume(t.Context(), "db")
	if err != nil || v.Status.Attachment == nil || v.Status.Attachment.Node != "b" {
		t.Errorf("the former node says %+v, %v, want it attached to b", v.Status.Attachment, err)
	}
}

func writeDurably(path, text string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = file.WriteString(text)
	return errors.Join(err, file.Sync(), file.Close())
}

func TestE2EStopUnmountsAndDetaches(t *testing.T) {
	t.Parallel()
	require.FUSE(t)
	require.Program(t, "mkfs.xfs", "xfsprogs")
	c := newCluster(t, "512MiB", "a")
	up(t, c)
	n := c.Node("a")
	create(t, n, "db", map[string]string{"size": "400MiB", "fs": "xfs"})
	target := filepath.Join(n.Dir(), "mnt")
	attach(t, n, "db", api.Attach{Mount: target})
	note := filepath.Join(target, "note")
	if err := os.WriteFile(note, []byte("never synced by its writer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := n.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(note); !os.IsNotExist(err) {
		t.Errorf("the file is there after the stop (%v): the volume is mounted still", err)
	}
	if err := errors.Join(n.Start(t.Context()), n.AwaitReady(t.Context())); err != nil {
		t.Fatal(err)
	}
	attach(t, n, "db", api.Attach{Mount: target})
	if text, err := os.ReadFile(note); err != nil || string(text) != "never synced by its writer" {
		t.Errorf("after an orderly stop the file reads %q, %v", text, err)
	}
	if _, err := n.Lagan(t.Context(), nil, "volume", "detach", "db"); err == nil || !strings.Contains(err.Error(), "unmount") {
		t.Errorf("detaching a mounted volume: %v, want it refused", err)
	}
	out, err := n.Lagan(t.Context(), nil, "volume", "read", "db", "--length", "4KiB")
	if err != nil || len(out) != 4096 {
		t.Errorf("read of %d bytes beside the mount: %v", len(out), err)
	}
	if _, err := n.Lagan(t.Context(), io.LimitReader(zeroes{}, 4096), "volume", "write", "db"); err == nil {
		t.Error("writing under a mounted file system was not refused")
	}
}

// A whole cluster is told to stop at once: the last copy's node may be gone
// before a file system could be written out.
func TestE2EStopEndsWhenTheCopiesAreGone(t *testing.T) {
	t.Parallel()
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	c := newCluster(t, "256MiB", "a", "b", "c")
	up(t, c)
	create(t, c.Node("a"), "db", map[string]string{"size": "64MiB", "replicas": "2"})
	v, err := c.Node("a").Client().Volume(t.Context(), "db")
	if err != nil {
		t.Fatal(err)
	}
	holds := func(node string) bool {
		return slices.ContainsFunc(v.Status.Replicas, func(r api.Replica) bool { return r.Node == node })
	}
	names := []string{"a", "b", "c"}
	user := c.Node(names[slices.IndexFunc(names, func(name string) bool { return !holds(name) })])
	target := filepath.Join(user.Dir(), "mnt")
	attach(t, user, "db", api.Attach{Mount: target})
	for _, r := range v.Status.Replicas {
		if err := c.Node(r.Node).Kill(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(target, "note"), []byte("never synced by its writer"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := user.Stop(t.Context()); err != nil {
		t.Errorf("stop without the copies: %v", err)
	}
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(table), user.Dir()) {
		t.Errorf("something of the stopped node is still mounted:\n%s", table)
	}
}

// zeroes is an endless reader.
type zeroes struct{}

func (zeroes) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
