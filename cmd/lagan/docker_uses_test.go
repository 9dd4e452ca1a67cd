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

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/require"
	"github.com/lagan-storage/lagan/rest/api"
)

// used returns what docker volume inspect shows on a node of who uses a volume,
// and where.
func (e *engines) used(says, name string) (node string, users []string, lingers bool) {
	e.Helper()
	var status struct {
		Node    string
		Users   []string
		Lingers bool
	}
	if err := json.Unmarshal([]byte(e.docker(says, "volume", "inspect", "--format", "{{json .Status}}", name)), &status); err != nil {
		e.Fatal(err)
	}
	return status.Node, status.Users, status.Lingers
}

// usedBy waits until a node says that just this container uses a volume, on a node.
func (e *engines) usedBy(says, name, node, container string) {
	e.Helper()
	until(e.T, e.c, fmt.Sprintf("%s on node %s uses the volume, says %s", container, node, says), func() (bool, error) {
		at, users, lingers := e.used(says, name)
		return at == node && !lingers && slices.Equal(users, []string{"container " + container}), nil
	})
}

// lingering waits until a node says that a volume lingers on a.
func (e *engines) lingering(says, name string) {
	e.Helper()
	until(e.T, e.c, "the volume lingers on a, says "+says, func() (bool, error) {
		node, users, lingers := e.used(says, name)
		return node == "a" && len(users) == 0 && lingers, nil
	})
}

// What the cluster says of who uses a volume is true after containers moved and
// nodes died.
func TestE2EDockerUsers(t *testing.T) {
	t.Parallel()
	e := newEngines(t, "1h")
	t.Run("volumeThatLingersIsHandedOver", func(t *testing.T) { e.in(t).volumeThatLingersIsHandedOver() })
	t.Run("volumeThatLingeredOnADeadNodeIsTaken", func(t *testing.T) { e.in(t).volumeThatLingeredOnADeadNodeIsTaken() })
	t.Run("usersAreThoseOfTheNewNodeWhenTheOldOneDies", func(t *testing.T) { e.in(t).usersAreThoseOfTheNewNode() })
}

// A container that moves finds its volume at once, although it lingers where it
// was, and all nodes know where it is.
func (e *engines) volumeThatLingersIsHandedOver() {
	const name, first, second = "moves", "moves", "moves-second"
	e.create("a", name)
	e.hold("a", name)
	e.docker("a", "exec", first, "sh", "-c", "echo kept > /data/note")
	for _, says := range []string{"a", "b"} {
		e.usedBy(says, name, "a", first)
	}
	until(e.T, e.c, "lagan volume inspect names the container, on c", func() (bool, error) {
		out, err := e.c.Node("c").Lagan(e.Context(), nil, "volume", "inspect", name)
		return strings.Contains(string(out), "container "+first+", since "), err
	})
	_, err := e.try("b", once(name, "cat", "/data/note")...)
	if err == nil || !strings.Contains(err.Error(), "attached to node a") || !strings.Contains(err.Error(), "container "+first) {
		e.Errorf("a container on b while one on a has the volume: %v", err)
	}
	if _, err := e.try("b", "volume", "rm", name); err == nil || !strings.Contains(err.Error(), "node a") {
		e.Errorf("deletion on b while a has the volume: %v", err)
	}
	e.docker("a", "rm", "--force", first)
	e.lingering("b", name)
	began := time.Now()
	e.hold("b", name, "--name", second)
	e.Logf("docker run on b after %v, while a would have kept the volume for an hour", time.Since(began).Round(time.Millisecond))
	e.wantNote("b", second, "kept")
	e.usedBy("a", name, "b", second)

	// Everything on the machine ends; the container that is started again is known.
	if err := e.c.Node("b").Kill(e.Context()); err != nil {
		e.Fatal(err)
	}
	e.restart(true, "b")
	until(e.T, e.c, "the container is started again", func() (bool, error) {
		_, err := e.try("b", "start", second)
		return err == nil, err
	})
	e.usedBy("a", name, "b", second)
	e.docker("b", "rm", "--force", second)
	e.detached(name)
	e.docker("a", "volume", "rm", name)
}

// A node that dies while a volume only lingers there is waited for no longer
// than for its lease.
func (e *engines) volumeThatLingeredOnADeadNodeIsTaken() {
	const name = "lingered"
	e.create("a", name)
	e.docker("a", once(name, "sh", "-c", "echo kept > /data/note && sync -f /data/note")...)
	e.lingering("b", name)
	if err := e.c.Node("a").Kill(e.Context()); err != nil {
		e.Fatal(err)
	}
	began := time.Now()
	if got := e.docker("b", once(name, "cat", "/data/note")...); got != "kept" {
		e.Errorf("read %q", got)
	}
	e.Logf("docker run on b after %v, with a dead", time.Since(began).Round(time.Millisecond))
	e.restart(true, "a")
	e.detached(name)
	e.docker("a", "volume", "rm", name)
}

// A node dies with its container; what the cluster says is of the node and the
// container that have the volume then.
func (e *engines) usersAreThoseOfTheNewNode() {
	const name, first, second = "dies", "dies", "dies-second"
	e.create("a", name)
	e.hold("a", name)
	e.usedBy("b", name, "a", first)
	if err := e.c.Node("a").Kill(e.Context()); err != nil {
		e.Fatal(err)
	}
	until(e.T, e.c, "a container on b gets the volume", func() (bool, error) {
		_, err := e.try("b", "run", "--detach", "--rm", "--network", "none", "--pull", "never", "--volume-driver", "lagan",
			"--volume", name+":/data", "--name", second, cluster.Image, "sleep", "infinity")
		return err == nil, err
	})
	e.usedBy("b", name, "b", second)
	e.restart(true, "a")
	e.usedBy("a", name, "b", second) // a itself knows that it is not used there any more
	e.docker("a", "rm", "--force", first)
	e.docker("b", "rm", "--force", second)
	e.detached(name)
	e.docker("a", "volume", "rm", name)
}

// Swarm has the engines of all nodes create a volume at the same time.
func TestE2EDockerVolumeIsCreatedFromManyNodesAtOnce(t *testing.T) {
	t.Parallel()
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
	t.Parallel()
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
	t.Parallel()
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
