package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/plugin/require"
	"github.com/lagan-storage/lagan/rest/api"
)

// freezers returns the processes that freeze the file system mounted somewhere, and
// whether one of them waits for the moment to thaw it.
func freezers(t *testing.T, target string) (found map[int]bool, waits bool) {
	t.Helper()
	names, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		t.Fatal(err)
	}
	found = map[int]bool{}
	var timers []int // their parents
	for _, name := range names {
		line, _ := os.ReadFile(filepath.Join(name, "cmdline")) // it may have ended
		arguments := strings.Split(string(bytes.TrimRight(line, "\x00")), "\x00")
		switch {
		case strings.Contains(string(line), "fsfreeze --freeze") && arguments[len(arguments)-2] == target:
			pid, _ := strconv.Atoi(filepath.Base(name))
			found[pid] = true
		case arguments[0] == "timeout":
			timers = append(timers, parentOf(name))
		}
	}
	for _, parent := range timers {
		waits = waits || found[parent]
	}
	return found, waits
}

func parentOf(process string) int {
	text, _ := os.ReadFile(filepath.Join(process, "stat"))
	_, rest, _ := strings.Cut(string(text), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 2 {
		return 0
	}
	parent, _ := strconv.Atoi(fields[1])
	return parent
}

// catchFrozen takes snapshots of a volume mounted at target until one leaves its file
// system frozen: the metadata store loses its majority while the file system is on
// the way there. The channel that it returns is closed when that snapshot has ended.
func catchFrozen(t *testing.T, c *cluster.Cluster, name, target string) (ended chan struct{}) {
	t.Helper()
	others := []*cluster.Node{c.Node("b"), c.Node("c")}
	frozen := false
	for try := range 20 {
		dirty := bytes.Repeat([]byte{byte(try + 1)}, 16*mebi) // not synced: to write it out takes a while
		if err := os.WriteFile(filepath.Join(target, "dirty"), dirty, 0o600); err != nil {
			t.Fatal(err)
		}
		ended = make(chan struct{})
		go func() {
			defer close(ended)
			_, _, err := c.Node("a").Client().TakeSnapshot(t.Context(), name, fmt.Sprint("s", try), true)
			t.Logf("snapshot %d: %v", try, err) // it is taken, lacks a majority, or its daemon is killed
		}()
		until(t, c, "its file system is being frozen", func() (bool, error) {
			found, _ := freezers(t, target)
			return len(found) > 0 || isClosed(ended), nil
		})
		for _, n := range others {
			if err := n.Freeze(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		until(t, c, "it is frozen, or was", func() (bool, error) {
			found, waits := freezers(t, target)
			frozen = waits
			return waits || len(found) == 0, nil
		})
		if frozen {
			return ended
		}
		thaw(t, others...)
		<-ended
	}
	t.Fatal("the file system was never seen frozen")
	return nil
}

func isClosed(c chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func thaw(t *testing.T, nodes ...*cluster.Node) {
	t.Helper()
	for _, n := range nodes {
		if err := n.Thaw(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// The kernel thaws nothing when a process dies that froze a file system. A daemon
// that is killed in that very moment leaves nobody waiting, and its node works on.
func TestE2EDaemonKilledWhileAFileSystemIsFrozenLeavesItThawed(t *testing.T) {
	t.Parallel()
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	require.Program(t, "fsfreeze", "util-linux")
	c := newCluster(t, "256MiB", "a", "b", "c")
	up(t, c)
	a := c.Node("a")
	create(t, a, "db", map[string]string{"size": "64MiB", "replicas": "1", "nodes": "a"})
	target := filepath.Join(a.Dir(), "mnt")
	attach(t, a, "db", api.Attach{Mount: target})
	note := filepath.Join(target, "note")
	if err := writeDurably(note, "kept"); err != nil {
		t.Fatal(err)
	}
	ended := catchFrozen(t, c, "db", target)
	if err := a.Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	<-ended
	thaw(t, c.Node("b"), c.Node("c"))
	start(t, c, "a") // what thaws it writes to the device, and waits for the next daemon
	until(t, c, "nobody holds the file system", func() (bool, error) {
		left, _ := freezers(t, target)
		return len(left) == 0, nil
	})
	until(t, c, "it is mounted again", func() (bool, error) {
		_, err := a.Client().Attach(t.Context(), "db", api.Attach{Mount: target})
		return err == nil, err
	})
	if text, err := os.ReadFile(note); err != nil || string(text) != "kept" {
		t.Errorf("it has %q, %v", text, err)
	}
	if err := writeDurably(note, "changed"); err != nil {
		t.Errorf("the file system is frozen: %v", err)
	}
	until(t, c, "no snapshot is left half taken", func() (bool, error) {
		return len(snapshotNames(t, a, "db", "creating")) == 0, nil
	})
	if err := a.Client().Unmount(t.Context(), "db", ""); err != nil {
		t.Error(err)
	}
}
