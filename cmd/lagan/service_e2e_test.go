package main

import (
	"context"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/bench/cluster"
)

func TestE2EServiceManagerHearsOfStartAndStop(t *testing.T) {
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
