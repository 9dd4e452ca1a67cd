package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/bench/cluster"
)

func TestE2EServiceManagerHearsOfStartAndStop(t *testing.T) {
	t.Parallel()
	manager, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(workDir(t), "notify"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = manager.Close() }() // nothing was written
	c, err := cluster.New(t.Context(), cluster.Params{
		Binary: program(t), Dir: workDir(t), Nodes: []string{"a"}, Disk: "128MiB", Pause: pause,
		Env: []string{asLagan + "=1", "NOTIFY_SOCKET=" + manager.LocalAddr().String()},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	start(t, c, "a")
	if err := c.Node("a").Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := manager.SetReadDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	var heard []string
	for range 2 {
		text := make([]byte, 100)
		n, err := manager.Read(text)
		if err != nil {
			t.Fatalf("heard %v, then %v", heard, err)
		}
		heard = append(heard, string(text[:n]))
	}
	if want := []string{"READY=1", "STOPPING=1"}; !slices.Equal(heard, want) {
		t.Errorf("heard %v, want %v", heard, want)
	}
}

// As a service manager starts it: the same command every time, and a file.
func TestE2ENodeJoinsByItsFileOnce(t *testing.T) {
	t.Parallel()
	first, second := newCluster(t, "128MiB", "a"), newCluster(t, "128MiB", "b")
	start(t, first, "a")
	a, b := first.Node("a"), second.Node("b")
	token, err := a.Client().CreateToken(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(workDir(t), "lagan.yaml")
	text := "join: " + token.API + "\ntoken: " + token.Token + "\nzone: east\nlabel: [disk=ssd]\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	b.SetArguments("--config", file)
	for range 2 {
		start(t, second, "b")
		n, err := a.Client().Node(t.Context(), "b")
		if err != nil || n.Zone != "east" || n.Labels["disk"] != "ssd" {
			t.Errorf("a knows %+v, %v", n, err)
		}
		if err := b.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}
