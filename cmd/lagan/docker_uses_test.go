package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/require"
	"github.com/lagan-storage/lagan/rest/api"
)

// holder runs a container that keeps a volume until it is removed.
func (e *engine) holder(container, driver, name, command string) {
	e.t.Helper()
	e.cleanup("rm", "--force", container)
	e.run("run", "--detach", "--network", "none", "--pull", "never", "--volume-driver", driver, "--volume", name+":/data",
		"--name", container, e.name, "/bin/busybox", "sh", "-c", command+"; exec sleep 3600")
}

// used returns what docker volume inspect shows of who uses a volume, and where.
func (e *engine) used(name string) (node string, users []string, lingers bool) {
	e.t.Helper()
	var status struct {
		Node    string
		Users   []string
		Lingers bool
	}
	if err := json.Unmarshal([]byte(e.run("volume", "inspect", "--format", "{{json .Status}}", name)), &status); err != nil {
		e.t.Fatal(err)
	}
	return status.Node, status.Users, status.Lingers
}

// usedBy waits until an engine's plugin says that just this container uses a
// volume, on a node.
func (e *engine) usedBy(wait func(string, func() (bool, error)), name, node, container string) {
	e.t.Helper()
	wait(fmt.Sprintf("%s on node %s uses the volume", container, node), func() (bool, error) {
		at, users, lingers := e.used(name)
		return at == node && !lingers && slices.Equal(users, []string{"container " + container}), nil
	})
}

// A container that moves finds its volume at once, although it lingers where it
// was, and all nodes know where it is.
func TestE2EDockerVolumeThatLingersIsHandedOver(t *testing.T) {
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	e := newEngine(t)
	e.image()
	c := newCluster(t, "256MiB", "a", "b", "c")
	a, b := e.lingering(c.Node("a"), "1h"), e.plugin(c.Node("b"))
	up(t, c)
	wait := func(what string, holds func() (bool, error)) { e.t.Helper(); until(t, c, what, holds) }
	name, first, second := e.name, e.name+"-first", e.name+"-second"
	elsewhere := "size=64MiB,repl=2,name=" + name
	e.run("volume", "create", "-d", a, "-o", "size=64MiB", "-o", "replicas=2", name)
	e.run("volume", "create", "-d", b, elsewhere)
	e.holder(first, a, name, "echo kept > /data/note")
	e.usedBy(wait, elsewhere, "a", first) // says b
	e.usedBy(wait, name, "a", first)      // says a
	wait("lagan volume inspect names the container, on c", func() (bool, error) {
		out, err := c.Node("c").Lagan(t.Context(), nil, "volume", "inspect", name)
		return strings.Contains(string(out), "container "+first+", since "), err
	})

	_, err := e.try(t.Context(), nil, e.busybox(b, elsewhere, "cat", "/data/note")...)
	if err == nil || !strings.Contains(err.Error(), "attached to node a") || !strings.Contains(err.Error(), "container "+first) {
		t.Errorf("a container on b while one on a has the volume: %v", err)
	}
	if _, err := e.try(t.Context(), nil, "volume", "rm", elsewhere); err == nil || !strings.Contains(err.Error(), "node a") {
		t.Errorf("deletion on b while a has the volume: %v", err)
	}
	e.run("rm", "--force", first)
	wait("the volume lingers on a, says b", func() (bool, error) {
		node, users, lingers := e.used(elsewhere)
		return node == "a" && len(users) == 0 && lingers, nil
	})
	began := time.Now()
	e.holder(second, b, elsewhere, "cat /data/note")
	t.Logf("docker run on b after %v, while a would have kept the volume for an hour", time.Since(began).Round(time.Millisecond))
	wait("the second container reads the note", func() (bool, error) {
		out, err := e.try(t.Context(), nil, "logs", second)
		return out == "kept", err
	})
	e.usedBy(wait, name, "b", second) // says a

	// The daemon's mounts end with it; the container that is started again is known.
	if err := errors.Join(c.Node("b").Kill(t.Context()), c.Node("b").Start(t.Context()), c.Node("b").AwaitReady(t.Context())); err != nil {
		t.Fatal(err)
	}
	e.run("restart", "--time", "0", second)
	e.usedBy(wait, name, "b", second)
	e.run("rm", "--force", second)
	e.detached(c, name)
	e.run("volume", "rm", elsewhere)
	e.run("volume", "rm", "--force", name)
}

// A node that dies while a volume only lingers there is waited for no longer
// than for its lease.
func TestE2EDockerVolumeThatLingeredOnADeadNodeIsTaken(t *testing.T) {
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	e := newEngine(t)
	e.image()
	c := newCluster(t, "256MiB", "a", "b", "c")
	a, b := e.lingering(c.Node("a"), "1h"), e.plugin(c.Node("b"))
	up(t, c)
	name := e.name
	elsewhere := "size=64MiB,repl=2,name=" + name
	e.run("volume", "create", "-d", a, "-o", "size=64MiB", "-o", "replicas=2", name)
	e.run("volume", "create", "-d", b, elsewhere)
	e.run(e.busybox(a, name, "sh", "-c", "echo kept > /data/note && sync -f /data/note")...)
	until(t, c, "the volume lingers on a, says b", func() (bool, error) {
		node, _, lingers := e.used(elsewhere)
		return node == "a" && lingers, nil
	})
	if err := c.Node("a").Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if got := e.run(e.busybox(b, elsewhere, "cat", "/data/note")...); got != "kept" {
		t.Errorf("read %q", got)
	}
	t.Logf("docker run on b after %v, with a dead", time.Since(began).Round(time.Millisecond))
	if err := errors.Join(c.Node("a").Start(t.Context()), c.Node("a").AwaitReady(t.Context())); err != nil {
		t.Fatal(err)
	}
	e.detached(c, name)
	e.run("volume", "rm", elsewhere)
	e.run("volume", "rm", "--force", name)
}

// A node dies with its container; what the cluster says is of the node and the
// container that have the volume then.
func TestE2EDockerUsersAreThoseOfTheNewNodeWhenTheOldOneDies(t *testing.T) {
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	e := newEngine(t)
	e.image()
	c := newCluster(t, "256MiB", "a", "b", "c")
	a, b := e.plugin(c.Node("a")), e.plugin(c.Node("b"))
	up(t, c)
	wait := func(what string, holds func() (bool, error)) { e.t.Helper(); until(t, c, what, holds) }
	name, first, second := e.name, e.name+"-first", e.name+"-second"
	elsewhere := "size=64MiB,repl=2,name=" + name
	e.run("volume", "create", "-d", a, "-o", "size=64MiB", "-o", "replicas=2", name)
	e.run("volume", "create", "-d", b, elsewhere)
	e.holder(first, a, name, "true")
	e.usedBy(wait, elsewhere, "a", first)
	if err := c.Node("a").Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	e.cleanup("rm", "--force", second)
	wait("a container on b gets the volume", func() (bool, error) {
		_, err := e.try(t.Context(), nil, "run", "--detach", "--network", "none", "--pull", "never", "--volume-driver", b, "--volume", elsewhere+":/data",
			"--name", second, e.name, "/bin/busybox", "sleep", "3600")
		if err == nil || !strings.Contains(err.Error(), "attached to node a") {
			return err == nil, err
		}
		_, err = e.try(t.Context(), nil, "rm", "--force", second) // a may live, for all that b knows
		return false, err
	})
	e.usedBy(wait, elsewhere, "b", second)
	if err := errors.Join(c.Node("a").Start(t.Context()), c.Node("a").AwaitReady(t.Context())); err != nil {
		t.Fatal(err)
	}
	e.usedBy(wait, name, "b", second) // says a, where the first one runs on what is no more
	e.run("rm", "--force", first, second)
	e.detached(c, name)
	e.run("volume", "rm", elsewhere)
	e.run("volume", "rm", "--force", name)
}

// Swarm has the engines of all nodes create a volume at the same time.
func TestE2EDockerVolumeIsCreatedFromManyNodesAtOnce(t *testing.T) {
	c := newCluster(t, "128MiB", "a", "b", "c")
	sockets := map[string]string{}
	for _, node := range []string{"a", "b", "c"} {
		sockets[node] = filepath.Join(c.Node(node).Dir(), "plugin.sock")
		c.Node(node).SetArguments("--plugin-socket", sockets[node], "--plugin-engine", "none")
	}
	up(t, c)
	anonymous := strings.Repeat("0123456789abcdef", 4)
	for _, name := range []string{"My_project_DB", anonymous, "db"} {
		var group sync.WaitGroup
		for node, socket := range sockets {
			for i := range 4 {
				group.Go(func() {
					body := fmt.Sprintf(`{"Name":%q,"Opts":{"size":"16MiB","replicas":"2"}}`, name)
					text, err := callPlugin(t, socket, "VolumeDriver.Create", body)
					if err != nil || strings.Contains(text, "Err") && !strings.Contains(text, `"Err":""`) {
						t.Errorf("creation %d of %s on %s: %s, %v", i, name, node, text, err)
					}
				})
			}
		}
		group.Wait()
	}
	ids := map[string]string{}
	for _, node := range []string{"a", "b", "c"} {
		until(t, c, "all volumes are there, says "+node, func() (bool, error) {
			s, err := c.Node(node).Client().Status(t.Context())
			return len(s.Volumes) == 3, err
		})
		for name := range map[string]bool{"My_project_DB": true, anonymous: true, "db": true} {
			v, err := c.Node(node).Client().Volume(t.Context(), name)
			if err != nil || ids[name] != "" && ids[name] != v.ID || v.Spec.Size != 16<<20 {
				t.Errorf("%s has %s as %+v, %v; elsewhere it is %s", node, name, v, err, ids[name])
			}
			ids[name] = v.ID
		}
	}
	text, err := callPlugin(t, sockets["b"], "VolumeDriver.Create", `{"Name":"db","Opts":{"size":"32MiB"}}`)
	if err != nil || !strings.Contains(text, "differs in size") {
		t.Errorf("another size: %s, %v", text, err)
	}
}

func TestE2EMountByHandIsAUseThatOtherNodesAreToldOf(t *testing.T) {
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	c := newCluster(t, "128MiB", "a", "b", "c")
	up(t, c)
	create(t, c.Node("a"), "db", map[string]string{"size": "16MiB", "replicas": "2"})
	at := filepath.Join(c.Node("a").Dir(), "by-hand")
	attach(t, c.Node("a"), "db", api.Attach{Mount: at})
	until(t, c, "c knows where it is mounted", func() (bool, error) {
		v, err := c.Node("c").Client().Volume(t.Context(), "db")
		if err != nil || v.Status.Attachment == nil {
			return false, err
		}
		a := v.Status.Attachment
		return a.Node == "a" && !a.Lingering && len(a.Users) == 1 && a.Users[0].Mount == at && a.Users[0].Container == "", nil
	})
	_, err := c.Node("b").Client().Attach(t.Context(), "db", api.Attach{})
	if !errors.Is(err, volume.ErrAttachedElsewhere) || !strings.Contains(err.Error(), "mounted at "+at) {
		t.Errorf("attached to b: %v", err)
	}
	if err := c.Node("a").Client().Unmount(t.Context(), "db", at); err != nil {
		t.Fatal(err)
	}
	attach(t, c.Node("b"), "db", api.Attach{})
}

// What the engine asks of a node that has the volume already is answered there;
// the cluster hears of it later.
func TestE2EDockerSecondMountNeedsNoMajority(t *testing.T) {
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	c := newCluster(t, "128MiB", "a", "b", "c")
	n := c.Node("a")
	socket := filepath.Join(n.Dir(), "plugin.sock")
	n.SetArguments("--plugin-socket", socket, "--plugin-engine", "none")
	up(t, c)
	name := "DB_" + strings.Repeat("x", 125) // the longest that there is
	create(t, n, name, map[string]string{"size": "16MiB", "replicas": "1", "nodes": "a"})
	call := func(what, id string) {
		t.Helper()
		text, err := callPlugin(t, socket, "VolumeDriver."+what, fmt.Sprintf(`{"Name":%q,"ID":%q}`, name, id))
		if err != nil || strings.Contains(text, "cannot") || what == "Mount" && !strings.Contains(text, name+"/data") {
			t.Errorf("%s for %s: %s, %v", what, id, text, err)
		}
	}
	users := func(node, want string) func() (bool, error) {
		return func() (bool, error) {
			v, err := c.Node(node).Client().Volume(t.Context(), name)
			if err != nil || v.Status.Attachment == nil {
				return false, err
			}
			var ids []string
			for _, u := range v.Status.Attachment.Users {
				ids = append(ids, u.Mount)
			}
			return strings.Join(ids, " ") == want && v.Status.Attachment.Lingering == (want == ""), nil
		}
	}
	call("Mount", "one")
	until(t, c, "c hears of the mount", users("c", "one"))
	for _, node := range []string{"b", "c"} {
		if err := c.Node(node).Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	call("Mount", "two")
	until(t, c, "a knows who uses it", users("a", "one two"))
	call("Unmount", "one")
	until(t, c, "a knows who uses it still", users("a", "two"))
	for _, node := range []string{"b", "c"} {
		if err := c.Node(node).Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	until(t, c, "c hears of it in the end", users("c", "two"))
	call("Unmount", "two")
	until(t, c, "c hears that it lingers", users("c", ""))
	call("Remove", "")
}
