package main

import (
	"strings"
	"testing"

	"github.com/lagan-storage/lagan/bench/machine"
	"github.com/lagan-storage/lagan/plugin/require"
)

// Swarm places a service only where the engine has activated the plugin, and no
// engine does that by itself: the node asks its engine for volumes once both are
// up. Then a service takes its data along to wherever it is placed.
func TestE2EDockerSwarmWarmup(t *testing.T) {
	t.Parallel()
	b := newBeginner(t)
	manager := b.machines[0]
	b.follow(manager, "lagan up --disk /var/lib/lagan-pool:100GiB")
	_, err := manager.Docker(t.Context(), nil, "swarm", "init", "--advertise-addr", "10.0.0.1")
	require.Works(t, "swarm", err)
	token := b.docker(manager, "swarm", "join-token", "--quiet", "worker")
	for _, m := range b.machines[1:] {
		b.follow(m, "lagan join 10.0.0.1:7301 --token … --disk /var/lib/lagan-pool:100GiB")
		b.docker(m, "swarm", "join", "--token", token, "10.0.0.1:2377")
	}
	names := []string{"first", "second", "third"}
	for _, name := range names {
		b.soon("Swarm knows that node "+name+" has the plugin", func() (bool, error) {
			out, err := manager.Docker(t.Context(), nil, "node", "inspect", name, "--format", "{{json .Description.Engine.Plugins}}")
			return strings.Contains(out, `"lagan"`), err
		})
	}
	b.docker(manager, "service", "create", "--name", "web", "--detach", "--no-resolve-image", "--restart-delay", "1s",
		"--mount", "type=volume,source=db,target=/data,volume-driver=lagan,volume-opt=size=64MiB,volume-opt=replicas=2",
		"busybox", "sh", "-c", "trap exit TERM; echo from $(hostname) >> /data/note; sync -f /data; sleep 3600 & wait")
	at := b.placed(manager, "")
	b.docker(manager, "node", "update", "--availability", "drain", at)
	next := b.placed(manager, at)
	for i, name := range names {
		if name == next {
			b.wantTwoLines(b.machines[i])
		}
	}
	b.docker(manager, "service", "rm", "web")
}

// docker runs docker on a machine; it must work.
func (b *beginner) docker(m *machine.Machine, arguments ...string) string {
	b.Helper()
	out, err := m.Docker(b.Context(), nil, arguments...)
	if err != nil {
		b.Fatal(err)
	}
	return out
}

// placed waits until the service runs on a node other than former, and returns which.
func (b *beginner) placed(manager *machine.Machine, former string) (node string) {
	b.Helper()
	b.soon("the service runs, not on "+former, func() (bool, error) {
		out, err := manager.Docker(b.Context(), nil, "service", "ps", "--filter", "desired-state=running", "--format", "{{.Node}} {{.CurrentState}}", "web")
		name, state, _ := strings.Cut(out, " ")
		node = name
		return strings.HasPrefix(state, "Running") && name != former, err
	})
	return node
}

// wantTwoLines waits until the container of the service has what both of its lives wrote.
func (b *beginner) wantTwoLines(m *machine.Machine) {
	b.Helper()
	b.soon("the service finds what it wrote before", func() (bool, error) {
		id, err := m.Docker(b.Context(), nil, "ps", "--quiet", "--filter", "name=web")
		if err != nil || id == "" {
			return false, err
		}
		note, err := m.Docker(b.Context(), nil, "exec", id, "cat", "/data/note")
		return strings.Count(note, "from ") >= 2, err
	})
}
