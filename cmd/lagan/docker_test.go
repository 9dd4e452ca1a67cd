package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/bench/machine"
	"github.com/lagan-storage/lagan/plugin/require"
)

// engines is a cluster whose nodes have a container engine each, as one test
// uses it.
type engines struct {
	*testing.T
	c *cluster.Cluster
}

// newEngines makes a cluster of machines. A volume lingers on a for as long as
// that, on b for a moment. It is skipped where no engine works.
func newEngines(t *testing.T, lingerOfA string) *engines {
	t.Helper()
	require.FUSE(t)
	require.Docker(t)
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	c := newClusterOf(t, cluster.Params{Nodes: []string{"a", "b", "c"}, Disk: "512MiB", Machines: true})
	c.Node("a").SetArguments("--plugin-linger", lingerOfA)
	c.Node("b").SetArguments("--plugin-linger", "100ms")
	err := c.Up(t.Context())
	if errors.Is(err, machine.ErrEngine) {
		require.Works(t, "docker", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return &engines{t, c}
}

// in is the same for a test within the test.
func (e *engines) in(t *testing.T) *engines { return &engines{t, e.c} }

// try runs docker on a node.
func (e *engines) try(node string, arguments ...string) (string, error) {
	return e.c.Node(node).Machine().Docker(e.Context(), nil, arguments...)
}

// docker is try for what must work.
func (e *engines) docker(node string, arguments ...string) string {
	e.Helper()
	out, err := e.try(node, arguments...)
	if err != nil {
		e.Fatal(err)
	}
	return out
}

// restart starts nodes that were killed, with their engines where those are needed.
func (e *engines) restart(engines bool, nodes ...string) {
	e.Helper()
	ctx, cancel := context.WithTimeout(e.Context(), patience)
	defer cancel()
	var errs []error
	for _, node := range nodes {
		errs = append(errs, e.c.Node(node).Start(ctx))
	}
	for _, node := range nodes {
		n := e.c.Node(node)
		errs = append(errs, n.AwaitReady(ctx))
		if engines {
			errs = append(errs, n.Machine().StartEngine(ctx))
		}
	}
	if err := errors.Join(errs...); err != nil {
		e.Fatal(err)
	}
}

// create makes a small volume of two copies.
func (e *engines) create(node, name string, options ...string) {
	e.Helper()
	arguments := []string{"volume", "create", "--driver", "lagan", "--opt", "size=64MiB", "--opt", "replicas=2"}
	e.docker(node, append(append(arguments, options...), name)...)
}

// once returns the arguments of docker for a container that has a volume at
// /data and does one thing.
func once(name string, command ...string) []string {
	return append([]string{
		"run", "--rm", "--network", "none", "--pull", "never", "--volume-driver", "lagan", "--volume", name + ":/data", cluster.Image,
	}, command...)
}

// hold starts a container that has the volume until it is removed, and is called
// as the volume is unless options say otherwise.
func (e *engines) hold(node, name string, options ...string) {
	e.Helper()
	arguments := append([]string{
		"run", "--detach", "--network", "none", "--pull", "never", "--volume-driver", "lagan", "--volume", name + ":/data", "--name", name,
	}, options...)
	// The first process of a container ends by a signal only if it says so.
	e.docker(node, append(arguments, cluster.Image, "sh", "-c", "trap exit TERM; while :; do sleep 3600 & wait; done")...)
}

// wantNote fails unless the container of that name reads what the volume's note says.
func (e *engines) wantNote(node, container, want string) {
	e.Helper()
	if got, err := e.try(node, "exec", container, "cat", "/data/note"); err != nil || got != want {
		e.Errorf("container %s on %s reads %q, %v, want %q", container, node, got, err, want)
	}
}

// detached waits until no node uses the volume, as every node sees it.
func (e *engines) detached(name string) {
	e.Helper()
	for _, node := range []string{"a", "b", "c"} {
		until(e.T, e.c, "the volume is detached, says "+node, func() (bool, error) {
			v, err := e.c.Node(node).Client().Volume(e.Context(), name)
			return v.Status.Attachment == nil, err
		})
	}
}

// wantStatus fails unless docker volume inspect shows how the volume is.
func (e *engines) wantStatus(name, node string) {
	e.Helper()
	var status struct {
		Health, Node string
		Epoch        uint64
		Spec         struct{ Size, Replicas, FS string }
		Replicas     []struct{ Node, State string }
	}
	text := e.docker(node, "volume", "inspect", "--format", "{{json .Status}}", name)
	if err := json.Unmarshal([]byte(text), &status); err != nil {
		e.Fatal(err)
	}
	if status.Health != "healthy" || status.Node != node || status.Epoch == 0 || len(status.Replicas) != 2 ||
		status.Spec.Size != "64MiB" || status.Spec.Replicas != "2" || status.Spec.FS != "ext4" {
		e.Errorf("docker volume inspect shows %s", text)
	}
}

// call calls a node's plugin as its engine does.
func (e *engines) call(node, what, body string) (string, error) {
	m := e.c.Node(node).Machine()
	return callPlugin(e.T, m.Path("/run/docker/plugins/lagan.sock"), what, body)
}

// callPlugin calls the plugin on a socket, as an engine does.
func callPlugin(t *testing.T, socket, what, body string) (string, error) {
	t.Helper()
	transport := &http.Transport{
		DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var d net.Dialer
			return d.DialContext(ctx, "unix", socket)
		},
	}
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://plugin/"+what, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(response.Body)
	return string(text), errors.Join(err, response.Body.Close())
}
