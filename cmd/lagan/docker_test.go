package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/require"
)

// engine is the machine's container engine, as one test uses it: all that it
// makes has the test's own name in it and goes at the end.
type engine struct {
	t    *testing.T
	name string
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	require.Docker(t)
	require.Program(t, "busybox", "busybox-static")
	lock, err := os.OpenFile(filepath.Join(os.TempDir(), "lagan-test-engine.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = lock.Close() }) // which unlocks it
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	return &engine{t, fmt.Sprintf("lagan-test-%08x", rand.Uint32())}
}

// try runs docker and returns what it printed.
func (e *engine) try(ctx context.Context, in io.Reader, arguments ...string) (string, error) {
	var out, complaint bytes.Buffer
	command := exec.CommandContext(ctx, "docker", arguments...)
	command.Stdin, command.Stdout, command.Stderr = in, &out, &complaint
	if err := command.Run(); err != nil {
		return out.String(), fmt.Errorf("docker %s: %w: %s", strings.Join(arguments, " "), err, strings.TrimSpace(complaint.String()))
	}
	return strings.TrimSpace(out.String()), nil
}

func (e *engine) run(arguments ...string) string {
	e.t.Helper()
	out, err := e.try(e.t.Context(), nil, arguments...)
	if err != nil {
		e.t.Fatal(err)
	}
	return out
}

// image makes an image of nothing but busybox.
func (e *engine) image() {
	e.t.Helper()
	path, err := exec.LookPath("busybox")
	if err != nil {
		e.t.Fatal(err)
	}
	program, err := os.ReadFile(path)
	if err != nil {
		e.t.Fatal(err)
	}
	var archive bytes.Buffer
	w := tar.NewWriter(&archive)
	err = w.WriteHeader(&tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(program))})
	if err == nil {
		_, err = w.Write(program)
	}
	if err = errors.Join(err, w.Close()); err != nil {
		e.t.Fatal(err)
	}
	e.cleanup("rmi", "--force", e.name)
	if _, err := e.try(e.t.Context(), &archive, "import", "-", e.name); err != nil {
		e.t.Fatal(err)
	}
}

// cleanup runs docker when the test ends, as far as there is something to clean.
func (e *engine) cleanup(arguments ...string) {
	e.t.Cleanup(func() {
		if _, err := e.try(context.Background(), nil, arguments...); err != nil && !strings.Contains(err.Error(), "o such") {
			e.t.Error(err)
		}
	})
}

// busybox runs a command in a container that has a volume at /data.
func (e *engine) busybox(driver, name string, command ...string) []string {
	return append([]string{
		"run", "--rm", "--network", "none", "--pull", "never", "--volume-driver", driver, "--volume", name + ":/data",
		e.name, "/bin/busybox",
	}, command...)
}

// plugin has a node serve the volume plugin, as the driver that it returns. An
// engine never forgets a driver, and waits 15 s for each that is gone when it is
// asked for a name that it does not know: so the names are the same for all
// tests, and one of them has the engine at a time.
func (e *engine) plugin(n *cluster.Node) (driver string) { return e.lingering(n, "100ms") }

// lingering is plugin for a node where volumes stay for as long as that after
// their last container.
func (e *engine) lingering(n *cluster.Node, linger string) (driver string) {
	driver = "lagan-test-" + n.Name
	n.SetArguments("--plugin-socket", filepath.Join("/run/docker/plugins", driver+".sock"), "--plugin-linger", linger)
	return driver
}

func TestE2EDockerVolumeFollowsItsContainer(t *testing.T) {
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	e := newEngine(t)
	e.image()
	c := newCluster(t, "256MiB", "a", "b", "c")
	drivers := map[string]string{"a": e.plugin(c.Node("a")), "b": e.plugin(c.Node("b"))}
	up(t, c)
	name := e.name
	// One engine takes a name for one volume: it knows this one by a second name
	// from the second node's plugin.
	second := "size=64MiB,repl=2,name=" + name
	t.Cleanup(func() {
		if t.Failed() { // or they are gone, and the engine would ask all that it ever heard of
			_, _ = e.try(context.Background(), nil, "volume", "rm", "--force", name, second)
		}
	})

	_, err := e.try(t.Context(), nil, "volume", "create", "-d", drivers["a"], "-o", "sise=64MiB", name)
	if err == nil || !strings.Contains(err.Error(), "did you mean size?") {
		t.Errorf("an option that there is not: %v", err)
	}
	e.run("volume", "create", "-d", drivers["a"], "-o", "size=64MiB", "-o", "replicas=2", name)
	e.run(e.busybox(drivers["a"], name, "sh", "-c", "echo kept > /data/note")...)
	holder := e.run("run", "--detach", "--network", "none", "--pull", "never", "--volume", name+":/data", "--name", e.name,
		e.name, "/bin/busybox", "sleep", "3600")
	e.cleanup("rm", "--force", e.name)
	e.run("cp", c.Node("a").LogFile(), holder+":/data/log") // mounts and unmounts with the ID of the container
	e.wantStatus(name, "a")

	_, err = e.try(t.Context(), nil, e.busybox(drivers["b"], second, "cat", "/data/note")...)
	if err == nil || !strings.Contains(err.Error(), "attached to node a") {
		t.Errorf("a container on b while one on a has the volume: %v", err)
	}
	if _, err := e.try(t.Context(), nil, "volume", "rm", second); err == nil || !strings.Contains(err.Error(), "node a") {
		t.Errorf("deletion on b while a has the volume: %v", err)
	}
	if got := e.run("exec", holder, "/bin/busybox", "cat", "/data/note"); got != "kept" {
		t.Errorf("the container on a reads %q", got)
	}
	e.run("rm", "--force", e.name)
	e.detached(c, name)
	if got := e.run(e.busybox(drivers["b"], second, "cat", "/data/note")...); got != "kept" {
		t.Errorf("the container on b reads %q", got)
	}
	e.detached(c, name)
	e.run("volume", "rm", second)
	if _, err := c.Node("c").Client().Volume(t.Context(), name); !errors.Is(err, volume.ErrVolumeNotFound) {
		t.Errorf("after its deletion: %v", err)
	}
	if _, err := e.try(t.Context(), nil, "volume", "rm", name); err == nil || !strings.Contains(err.Error(), "o such volume") {
		t.Errorf("deletion of what is gone by its first name: %v", err)
	}
}

// The founding story: the node of a container dies, the container starts
// elsewhere and finds what it had synced.
func TestE2EDockerContainerFindsItsDataElsewhereWhenItsNodeDies(t *testing.T) {
	require.FUSE(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	e := newEngine(t)
	e.image()
	c := newCluster(t, "256MiB", "a", "b", "c")
	a, b := e.plugin(c.Node("a")), e.plugin(c.Node("b"))
	up(t, c)
	name := e.name
	second := "size=64MiB,repl=2,name=" + name
	e.run("volume", "create", "-d", a, "-o", "size=64MiB", "-o", "replicas=2", name)
	holder := e.run("run", "--detach", "--network", "none", "--pull", "never", "--volume", name+":/data", "--name", e.name,
		e.name, "/bin/busybox", "sh", "-c", "echo kept > /data/note && sync -f /data/note && echo synced && sleep 3600")
	e.cleanup("rm", "--force", e.name)
	until(t, c, "the container has synced its note", func() (bool, error) {
		out, err := e.try(t.Context(), nil, "logs", holder)
		return strings.Contains(out, "synced"), err
	})
	if err := c.Node("a").Kill(t.Context()); err != nil {
		t.Fatal(err)
	}
	until(t, c, "a container on b reads the note", func() (bool, error) {
		out, err := e.try(t.Context(), nil, e.busybox(b, second, "cat", "/data/note")...)
		if err != nil && strings.Contains(err.Error(), "attached to node a") {
			return false, nil // a may live, for all that b knows
		}
		return out == "kept", err
	})
	if err := errors.Join(c.Node("a").Start(t.Context()), c.Node("a").AwaitReady(t.Context())); err != nil {
		t.Fatal(err)
	}
	e.run("rm", "--force", e.name)
	e.detached(c, name)
	e.run("volume", "rm", second)
	e.run("volume", "rm", "--force", name)
}

// detached waits until no node uses the volume, as every node sees it.
func (e *engine) detached(c *cluster.Cluster, name string) {
	e.t.Helper()
	for _, node := range []string{"a", "b", "c"} {
		until(e.t, c, "the volume is detached, says "+node, func() (bool, error) {
			v, err := c.Node(node).Client().Volume(e.t.Context(), name)
			return v.Status.Attachment == nil, err
		})
	}
}

// wantStatus fails unless docker volume inspect shows how the volume is.
func (e *engine) wantStatus(name, node string) {
	e.t.Helper()
	var status struct {
		Health, Node string
		Epoch        uint64
		Spec         struct{ Size, Replicas, FS string }
		Replicas     []struct{ Node, State string }
	}
	text := e.run("volume", "inspect", "--format", "{{json .Status}}", name)
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		e.t.Fatal(err)
	}
	if status.Health != "healthy" || status.Node != node || status.Epoch == 0 || len(status.Replicas) != 2 ||
		status.Spec.Size != "64MiB" || status.Spec.Replicas != "2" || status.Spec.FS != "ext4" {
		e.t.Errorf("docker volume inspect shows %s", text)
	}
}

// The container engine waits 15 s for every volume whose plugin is silent.
func TestE2EDockerPluginAnswersBeforeThereIsAMajority(t *testing.T) {
	c := newCluster(t, "128MiB", "a", "b", "c")
	n := c.Node("a")
	socket := filepath.Join(n.Dir(), "plugin.sock")
	n.SetArguments("--plugin-socket", socket, "--plugin-engine", "none")
	up(t, c)
	for _, name := range []string{"c", "b", "a"} {
		if err := c.Node(name).Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := n.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	call := func(what, body string) (string, error) { return callPlugin(t, socket, what, body) }
	until(t, c, "the plugin answers", func() (bool, error) {
		text, err := call("Plugin.Activate", "")
		return strings.Contains(text, "VolumeDriver"), err
	})
	if text, err := call("VolumeDriver.Get", `{"Name":"db"}`); !errors.Is(err, io.EOF) {
		t.Errorf("a node that knows nothing answered %q, %v", text, err)
	}
	// Until the rest of the node is open the plugin says so itself.
	if text, err := call("VolumeDriver.Mount", `{"Name":"db","ID":"one"}`); !strings.Contains(text, "waits for the cluster") &&
		!strings.Contains(text, "has not heard from the metadata store") {
		t.Errorf("a mount without a cluster: %q, %v", text, err)
	}
	for _, other := range []string{"b", "c"} {
		if err := c.Node(other).Start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	until(t, c, "the node is told of the cluster", func() (bool, error) {
		text, err := call("VolumeDriver.Get", `{"Name":"db"}`)
		return strings.Contains(text, "no such volume"), err
	})
	if err := n.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(socket); !os.IsNotExist(err) {
		t.Errorf("the socket of a node that has stopped: %v", err)
	}
}

// callPlugin calls a volume plugin as an engine does.
func callPlugin(t *testing.T, socket, what, body string) (string, error) {
	t.Helper()
	caller := http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://plugin/"+what, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	response, err := caller.Do(request)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(response.Body)
	return string(text), errors.Join(err, response.Body.Close())
}
