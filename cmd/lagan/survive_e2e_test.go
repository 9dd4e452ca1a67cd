package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/plugin/device/mounts"
	"github.com/lagan-storage/lagan/plugin/require"
	"github.com/lagan-storage/lagan/rest/api"
)

// lasting is a cluster with a volume mounted and another shown as a device, on node a.
type lasting struct {
	t      *testing.T
	c      *cluster.Cluster
	n      *cluster.Node
	mount  string
	device string
}

func newLasting(t *testing.T, settings ...string) *lasting {
	t.Helper()
	require.FUSE(t)
	require.Program(t, "fio", "fio")
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	l := &lasting{t: t, c: newClusterWith(t, settings, "512MiB", "a", "b", "c")}
	up(t, l.c)
	l.n = l.c.Node("a")
	l.mount = filepath.Join(l.n.Dir(), "mnt")
	create(t, l.n, "files", map[string]string{"size": "96MiB", "replicas": "2"})
	attach(t, l.n, "files", api.Attach{Mount: l.mount})
	create(t, l.n, "blocks", map[string]string{"size": "64MiB", "fs": "none", "replicas": "2"})
	attach(t, l.n, "blocks", api.Attach{Device: true})
	v, err := l.n.Client().Volume(t.Context(), "blocks")
	if err != nil {
		t.Fatal(err)
	}
	l.device = v.Status.Attachment.Device
	return l
}

// restart ends the daemon, starts it again, and waits until it has taken over what it
// had. It returns how long that took.
func (l *lasting) restart(end func(context.Context) error) time.Duration {
	l.t.Helper()
	began := time.Now()
	if err := errors.Join(end(l.t.Context()), l.n.Start(l.t.Context())); err != nil {
		l.t.Fatal(err)
	}
	until(l.t, l.c, "the volume is mounted as before", func() (bool, error) {
		v, err := l.n.Client().Volume(l.t.Context(), "files")
		return err == nil && v.Status.Attachment != nil && len(v.Status.Attachment.Mounts) > 0, err
	})
	took := time.Since(began)
	if err := pause(l.t.Context(), time.Second); err != nil { // of load, not of waiting
		l.t.Fatal(err)
	}
	return took
}

// verify has fio write and read back until ctx ends, where and how its options say:
// nothing of what is done to the cluster may show but as time.
func verify(ctx context.Context, where ...string) error {
	arguments := append([]string{
		"--name=lasting", "--size=16MiB", "--rw=randwrite", "--bs=4k", "--direct=1", "--fsync=8",
		"--verify=crc32c", "--verify_state_save=0", "--verify_fatal=1", "--verify_backlog=64",
	}, where...)
	for ctx.Err() == nil {
		fio := exec.CommandContext(context.WithoutCancel(ctx), "fio", arguments...)
		if out, err := fio.CombinedOutput(); err != nil {
			return fmt.Errorf("fio: %w\n%s", err, out)
		}
	}
	return nil
}

// longest writes durably until ctx ends, and returns how long one write took at most.
func longest(ctx context.Context, path string) (most time.Duration, err error) {
	for ctx.Err() == nil && err == nil {
		began := time.Now()
		err = writeDurably(path, "something")
		most = max(most, time.Since(began))
	}
	return most, err
}

// TestE2EVolumesOutliveTheirDaemon kills the daemon, stops it in order and replaces it by
// another program, while fio verifies what it wrote: nothing shows but time.
func TestE2EVolumesOutliveTheirDaemon(t *testing.T) {
	t.Parallel()
	l := newLasting(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var mounted, raw sync.WaitGroup
	var files, blocks, writer error
	var stall time.Duration
	mounted.Go(func() { files = verify(ctx, "--directory="+l.mount, "--ioengine=libaio", "--iodepth=8") })
	mounted.Go(func() { stall, writer = longest(ctx, filepath.Join(l.mount, "stamp")) })
	rawCtx, endRaw := context.WithCancel(ctx)
	raw.Go(func() { blocks = verify(rawCtx, "--filename="+l.device, "--ioengine=libaio", "--iodepth=8") })
	restarts := max(l.restart(l.n.KillDaemon), l.restart(l.n.KillDaemon))
	l.n.SetBinary(upgraded(t))
	restarts = max(restarts, l.restart(l.n.KillDaemon))
	endRaw() // a device that is not mounted ends with an orderly stop
	raw.Wait()
	restarts = max(restarts, l.restart(l.n.Stop))
	cancel()
	mounted.Wait()
	if err := errors.Join(files, blocks, writer); err != nil {
		t.Fatal(err)
	}
	t.Logf("a durable write took %v at most, a daemon %v to end and come back", stall.Round(time.Millisecond), restarts.Round(time.Millisecond))
	l.leavesNothing()
}

// upgraded is the same program at another place.
func upgraded(t *testing.T) string {
	t.Helper()
	to, err := os.OpenFile(filepath.Join(workDir(t), "lagan"), os.O_CREATE|os.O_WRONLY, 0o700)
	if err != nil {
		t.Fatal(err)
	}
	from, err := os.Open(program(t))
	if err == nil {
		_, err = io.Copy(to, from)
		err = errors.Join(err, from.Close())
	}
	if err = errors.Join(err, to.Close()); err != nil {
		t.Fatal(err)
	}
	return to.Name()
}

// leavesNothing ends the use of the volumes in order: no mount, no loop device and no
// holder is left.
func (l *lasting) leavesNothing() {
	l.t.Helper()
	d := l.n.Client()
	err := errors.Join(d.Unmount(l.t.Context(), "files", ""), d.Detach(l.t.Context(), "files", false))
	if err != nil {
		l.t.Fatal(err)
	}
	behind, err := os.ReadFile("/sys/block/" + filepath.Base(l.device) + "/loop/backing_file")
	if err == nil && strings.HasPrefix(string(behind), l.n.Dir()) { // not another's by now
		l.t.Errorf("%s is still a device", l.device)
	}
	table, err := mounts.List()
	if err != nil {
		l.t.Fatal(err)
	}
	for _, m := range table {
		if strings.HasPrefix(m.Point, l.n.Dir()) {
			l.t.Errorf("%s is still mounted", m.Point)
		}
	}
	if err := l.n.Stop(l.t.Context()); err != nil {
		l.t.Fatal(err)
	}
	until(l.t, l.c, "the holder has ended", func() (bool, error) {
		_, err := os.Stat(filepath.Join(l.n.Dir(), "run", "holder.sock"))
		return errors.Is(err, os.ErrNotExist), nil
	})
}

// TestE2EDevicesWaitForADaemonOnlySoLong: nobody comes back, and what waits gets an error.
func TestE2EDevicesWaitForADaemonOnlySoLong(t *testing.T) {
	t.Parallel()
	l := newLasting(t, "LAGAN_HOLD_GRACE=1s")
	if err := l.n.KillDaemon(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := writeDurably(filepath.Join(l.mount, "stamp"), "something"); err == nil {
		t.Error("a write that no daemon answered succeeded")
	}
	until(t, l.c, "the holder has ended", func() (bool, error) {
		_, err := os.Stat(filepath.Join(l.n.Dir(), "run", "holder.sock"))
		return errors.Is(err, os.ErrNotExist), nil
	})
}

// TestE2EForceTakesAHungDeviceAway: the only copy stands still under a write. The log
// says how long whoever waited for it had to wait after the command.
func TestE2EForceTakesAHungDeviceAway(t *testing.T) {
	t.Parallel()
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	c := newCluster(t, "256MiB", "a", "b", "c")
	up(t, c)
	n, copyOn := c.Node("a"), c.Node("b")
	target := filepath.Join(n.Dir(), "mnt")
	create(t, n, "db", map[string]string{"size": "64MiB", "replicas": "1", "nodes": "b"})
	attach(t, n, "db", api.Attach{Mount: target})
	if err := copyOn.Freeze(t.Context()); err != nil {
		t.Fatal(err)
	}
	failed := make(chan error, 1)
	go func() { failed <- writeDurably(filepath.Join(target, "stamp"), "something") }()
	if err := pause(t.Context(), time.Second); err != nil { // the write is under way by then, or fails at once
		t.Fatal(err)
	}
	began := time.Now()
	if err := n.Client().Detach(t.Context(), "db", true); err != nil {
		t.Error(err)
	}
	detached := time.Since(began)
	if err := <-failed; err == nil {
		t.Error("a write whose copy stands still succeeded")
	}
	t.Logf("detached by force in %v, whoever waited had an error after %v", detached.Round(time.Millisecond), time.Since(began).Round(time.Millisecond))
	if err := copyOn.Thaw(t.Context()); err != nil {
		t.Fatal(err)
	}
}
