package main

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/bench/demo"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/require"
)

func TestE2EContainersSurviveTheirNode(t *testing.T) {
	t.Parallel()
	require.FUSE(t)
	require.Docker(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	demonstrate(t, demo.Containers)
}

// TestE2EDocker has what a real engine does to the plugin: each test within is
// named after one thing that engines were seen to do. What needs time that is
// handed in is tested in package docker.
func TestE2EDocker(t *testing.T) {
	t.Parallel()
	e := newEngines(t, "100ms")
	for _, c := range []struct {
		name string
		test func(e *engines)
	}{
		{"volumeFollowsItsContainer", (*engines).volumeFollowsItsContainer},
		{"inlineSpec", (*engines).inlineSpec},
		{"createdAtRFC3339", (*engines).createdAtRFC3339},
		{"concurrentCreateFromManyNodes", (*engines).concurrentCreateFromManyNodes},
		{"sameIDNestedMount", (*engines).sameIDNestedMount},
		{"unmountUnknownID", (*engines).unmountUnknownID},
		{"removeWhileAttachedElsewhere", (*engines).removeWhileAttachedElsewhere},
		{"sameIDRemountAfterEngineKill", (*engines).sameIDRemountAfterEngineKill},
		{"liveRestoreUnmountWithoutMount", (*engines).liveRestoreUnmountWithoutMount},
		{"emptyBodyRetry", (*engines).emptyBodyRetry},
		{"daemonEndsUnderAContainer", (*engines).daemonEndsUnderAContainer},
		{"cloneOfASnapshot", (*engines).cloneOfASnapshot},
		{"nodeDies", (*engines).nodeDies},
		{"getErrNeverTransient", (*engines).getErrNeverTransient}, // and activateWithoutQuorum
	} {
		t.Run(c.name, func(t *testing.T) { c.test(e.in(t)) })
	}
}

func (e *engines) volumeFollowsItsContainer() {
	const name = "follow"
	_, err := e.try("a", "volume", "create", "--driver", "lagan", "--opt", "sise=64MiB", name)
	if err == nil || !strings.Contains(err.Error(), "did you mean size?") {
		e.Errorf("an option that there is not: %v", err)
	}
	e.create("a", name)
	e.docker("a", once(name, "sh", "-c", "echo kept > /data/note")...)
	e.hold("a", name)
	e.wantStatus(name, "a")
	_, err = e.try("b", once(name, "cat", "/data/note")...)
	if err == nil || !strings.Contains(err.Error(), "attached to node a") {
		e.Errorf("a container on b while one on a has the volume: %v", err)
	}
	e.wantNote("a", name, "kept")
	e.docker("a", "rm", "--force", name)
	e.detached(name)
	if got := e.docker("b", once(name, "cat", "/data/note")...); got != "kept" {
		e.Errorf("the container on b reads %q", got)
	}
	e.detached(name)
	e.docker("b", "volume", "rm", name)
	if _, err := e.c.Node("c").Client().Volume(e.Context(), name); !errors.Is(err, volume.ErrVolumeNotFound) {
		e.Errorf("after its deletion: %v", err)
	}
	if _, err := e.try("a", "volume", "rm", name); err == nil || !strings.Contains(err.Error(), "o such volume") {
		e.Errorf("deletion of what is gone, where it was made: %v", err)
	}
}

// One line of docker run says all of a volume.
func (e *engines) inlineSpec() {
	const inline = "size=64M,repl=2,name=inline"
	e.docker("a", once(inline, "sh", "-c", "echo kept > /data/note")...)
	e.detached("inline")
	if got := e.docker("b", once("inline", "cat", "/data/note")...); got != "kept" {
		e.Errorf("by its own name the volume says %q", got)
	}
	for spec, says := range map[string]string{
		"block_size=64,name=other": `there is no option "block_size"`,
		"size=oops,name=other":     `"oops"`,
		"size=1G":                  "no name",
	} {
		if _, err := e.try("a", once(spec, "true")...); err == nil || !strings.Contains(err.Error(), says) {
			e.Errorf("docker run with %s: %v, want it to say %s", spec, err, says)
		}
	}
	e.detached("inline")
	e.docker("b", "volume", "rm", "inline")
	if _, err := e.c.Node("a").Client().Volume(e.Context(), "other"); !errors.Is(err, volume.ErrVolumeNotFound) {
		e.Errorf("what was refused left a volume: %v", err)
	}
}

// A time that the engine cannot read would make it drop the whole list.
func (e *engines) createdAtRFC3339() {
	e.create("a", "when")
	for _, node := range []string{"a", "b"} {
		text := e.docker(node, "volume", "inspect", "--format", "{{.CreatedAt}}", "when")
		if at, err := time.Parse(time.RFC3339, text); err != nil || time.Since(at) > time.Hour {
			e.Errorf("on %s it was created at %q, %v", node, text, err)
		}
		if list := e.docker(node, "volume", "ls", "--quiet"); list != "when" {
			e.Errorf("%s lists %q", node, list)
		}
	}
	e.docker("a", "volume", "rm", "when")
}

func (e *engines) concurrentCreateFromManyNodes() {
	const name, times = "together", 4
	ended := make(chan error)
	for i := range times {
		for _, node := range []string{"a", "b", "c"} {
			go func() {
				_, err := e.try(node, "volume", "create", "--driver", "lagan", "--opt", "size=64MiB", "--opt", "replicas=2", name)
				if err != nil {
					err = fmt.Errorf("creation %d on %s: %w", i, node, err)
				}
				ended <- err
			}()
		}
	}
	for range 3 * times {
		if err := <-ended; err != nil {
			e.Error(err)
		}
	}
	identity := e.docker("a", "volume", "inspect", "--format", "{{.Status.id}}", name)
	for _, node := range []string{"b", "c"} {
		if other := e.docker(node, "volume", "inspect", "--format", "{{.Status.id}}", name); other != identity {
			e.Errorf("%s knows volume %s, a knows %s", node, other, identity)
		}
	}
	// An engine that knows the volume is not asked for anything; another one is
	// told that the volume is not what it asked for.
	e.docker("c", "volume", "rm", name)
	e.create("a", name)
	_, err := e.try("b", "volume", "create", "--driver", "lagan", "--opt", "size=128MiB", name)
	if err == nil {
		size := e.docker("b", "volume", "inspect", "--format", "{{.Status.spec.size}}", name)
		if size != "64MiB" {
			e.Errorf("a creation of another size was taken, and inspect shows %s", size)
		}
	}
	e.docker("a", "volume", "rm", name)
}

func (e *engines) removeWhileAttachedElsewhere() {
	const name = "elsewhere"
	e.create("a", name)
	e.hold("a", name)
	if _, err := e.try("b", "volume", "rm", name); err == nil || !strings.Contains(err.Error(), "node a") {
		e.Errorf("deletion on b while a has the volume: %v", err)
	}
	if _, err := e.try("a", "volume", "rm", name); err == nil || !strings.Contains(err.Error(), "in use") {
		e.Errorf("deletion on a while a container has the volume: %v", err)
	}
	e.wantStatus(name, "a")
	e.docker("a", "rm", "--force", name)
	e.detached(name)
	e.docker("a", "volume", "rm", name)
}

// A container sees what another one had when a snapshot was taken, and neither what
// that one does nor its end changes anything for it.
func (e *engines) cloneOfASnapshot() {
	const name, clone, inline = "origin", "clone", "clone-inline"
	parent := func(of string) []string {
		return []string{"volume", "create", "--driver", "lagan", "--opt", "parent=" + of, clone}
	}
	e.create("a", name)
	e.hold("a", name)
	e.docker("a", "exec", name, "sh", "-c", "echo monday > /data/note") // not synced: its file system is frozen for the snapshot
	lagan(e.T, e.c.Node("c"), "snapshot", "create", name, "monday")
	e.docker("a", "exec", name, "sh", "-c", "echo tuesday > /data/note && sync -f /data")
	if _, err := e.try("b", parent(name+"@sunday")...); err == nil || !strings.Contains(err.Error(), `snapshot "sunday"`) {
		e.Errorf("a clone of a snapshot that there is not: %v", err)
	}
	e.docker("b", parent(name+"@monday")...)
	e.hold("b", clone)
	e.wantNote("b", clone, "monday")
	if of := e.docker("b", "volume", "inspect", "--format", "{{.Status.spec.parent}}", clone); of != name+"@monday" {
		e.Errorf("docker volume inspect says that it is a clone of %q", of)
	}
	e.docker("b", "exec", clone, "sh", "-c", "echo mine > /data/note && sync -f /data")
	e.wantNote("a", name, "tuesday")

	// Without a snapshot it is what the volume is now, though a container uses that.
	if got := e.docker("c", once("name="+inline+",parent="+name, "cat", "/data/note")...); got != "tuesday" {
		e.Errorf("the clone of what the volume is now says %q", got)
	}
	e.detached(inline)
	e.docker("c", "volume", "rm", inline)

	e.docker("a", "rm", "--force", name)
	e.detached(name)
	if _, err := e.try("a", "volume", "rm", name); err == nil || !strings.Contains(err.Error(), "snapshot") {
		e.Errorf("deletion of a volume that has snapshots: %v", err)
	}
	lagan(e.T, e.c.Node("c"), "volume", "rm", name, "--snapshots", "--wait")
	e.docker("b", "restart", clone)
	e.wantNote("b", clone, "mine")
	e.docker("b", "rm", "--force", clone)
	e.detached(clone)
	e.docker("b", "volume", "rm", clone)
}

// The founding story, without the option that makes it quicker: the node of a
// container dies, the container starts elsewhere and finds what it had synced.
func (e *engines) nodeDies() {
	const name = "founding"
	e.create("a", name)
	e.hold("a", name)
	e.docker("a", "exec", name, "sh", "-c", "echo kept > /data/note && sync -f /data")
	if err := e.c.Node("a").Kill(e.Context()); err != nil {
		e.Fatal(err)
	}
	until(e.T, e.c, "a container on b reads the note", func() (bool, error) {
		out, err := e.try("b", once(name, "cat", "/data/note")...)
		if err == nil && out != "kept" {
			e.Fatalf("the container on b reads %q", out)
		}
		return err == nil, err
	})
	e.restart(true, "a")
	e.docker("a", "rm", "--force", name)
	e.detached(name)
	e.docker("a", "volume", "rm", name)
}
