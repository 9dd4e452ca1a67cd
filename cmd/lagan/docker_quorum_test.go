package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The container engine waits 15 s for every volume whose plugin is silent.
func TestE2EDockerPluginAnswersBeforeThereIsAMajority(t *testing.T) {
	t.Parallel()
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

// Any error from the plugin means "no such volume" to an engine: it would run the
// container on an empty volume of its own, or forget what the volume was made with.
func (e *engines) getErrNeverTransient() {
	const node, name = "c", "steady"
	m := e.c.Node(node).Machine()
	e.create(node, name)
	e.hold(node, name, "--restart", "always")
	e.docker(node, "exec", name, "sh", "-c", "echo kept > /data/note && sync -f /data")
	for _, other := range []string{"a", "b"} {
		if err := e.c.Node(other).Kill(e.Context()); err != nil {
			e.Fatal(err)
		}
	}
	known := func(when string) {
		e.Helper()
		if list := e.docker(node, "volume", "ls", "--quiet"); list != name {
			e.Errorf("%s the engine lists %q", when, list)
		}
		if is := e.docker(node, "volume", "inspect", "--format", "{{.Driver}} {{.Options.size}}", name); is != "lagan 64MiB" {
			e.Errorf("%s the engine knows the volume as %q", when, is)
		}
		e.wantNote(node, name, "kept")
	}
	known("without a majority")
	// activateWithoutQuorum: an engine that starts now finds the plugin, and its
	// container the volume.
	if err := errors.Join(m.KillEngine(e.Context()), m.StartEngine(e.Context())); err != nil {
		e.Fatal(err)
	}
	until(e.T, e.c, "the container runs on its own volume again", func() (bool, error) {
		out, err := e.try(node, "exec", name, "cat", "/data/note")
		return out == "kept", err
	})
	known("after the engine's start")
	e.restart(false, "a", "b")
	known("with a majority again")
	e.docker(node, "rm", "--force", name)
	e.docker(node, "volume", "rm", name)
}
