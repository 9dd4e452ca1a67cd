package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/host/datadir"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/rest/api"
	"github.com/lagan-storage/lagan/rest/client"
	"github.com/lagan-storage/lagan/transport/identity"
)

// overPort returns a client of the port of a node's API, with the certificate of
// another one.
func overPort(t *testing.T, to, as *cluster.Node) *client.Client {
	t.Helper()
	self, err := identity.Load(filepath.Join(as.Dir(), datadir.TLSDir))
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := to.Client().Nodes(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if n.Name != to.Name {
			continue
		}
		config := self.Client(nodeID(t, n.ID))
		return client.OverTLS(to.API(), config)
	}
	t.Fatalf("node %s does not know itself: %+v", to.Name, nodes)
	return nil
}

// memoryPeak returns the most memory that a process ever had, in MiB.
func memoryPeak(t *testing.T, pid int) (mebibytes int) {
	t.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		if rest, found := strings.CutPrefix(line, "VmHWM:"); found {
			var kibibytes int
			if _, err := fmt.Sscan(rest, &kibibytes); err != nil {
				t.Fatal(err)
			}
			return kibibytes >> 10
		}
	}
	t.Fatal("the kernel does not say how much memory a process has had")
	return 0
}

// visitor is one of a crowd: it makes volumes, looks at them, lists all and
// deletes its own again.
type visitor struct {
	name string
	node *client.Client

	answers, busy atomic.Int64
}

// told counts an answer and passes on what is not busy.
func (v *visitor) told(err error) error {
	v.answers.Add(1)
	if errors.Is(err, volume.ErrBusy) {
		v.busy.Add(1)
		return nil
	}
	return err
}

func (v *visitor) visit(ctx context.Context, rounds int) error {
	options := map[string]string{"size": "64KiB", "fs": "none", "replicas": "1"}
	for i := range rounds {
		name := fmt.Sprintf("%s-%d", v.name, i)
		_, created := v.node.Create(ctx, name, options, false)
		if err := v.told(created); err != nil {
			return fmt.Errorf("create: %w", err)
		}
		if err := v.node.Ready(ctx); err != nil {
			return fmt.Errorf("is it ready: %w", err)
		}
		all, err := v.node.Volumes(ctx)
		if err := v.told(err); err != nil {
			return fmt.Errorf("list: %w", err)
		}
		listed := slices.ContainsFunc(all, func(one api.Volume) bool { return one.Name == name })
		if err == nil && created == nil && !listed {
			return fmt.Errorf("list: volume %s is not in it", name)
		}
		if created != nil {
			continue
		}
		if _, err := v.node.Volume(ctx, name); v.told(err) != nil {
			return fmt.Errorf("get: %w", err)
		}
		for deleted := false; !deleted; {
			err := v.node.Delete(ctx, name)
			if v.told(err) != nil {
				return fmt.Errorf("delete: %w", err)
			}
			deleted = err == nil
		}
	}
	return nil
}

// TestE2ECrowdOfClientsIsServed has 200 clients list, create, look at and delete
// volumes, half of them over the socket of a node and half over its port: each
// answer is a success or busy, whoever asks whether the node is ready is answered
// meanwhile, its memory is bounded, and nothing is left.
func TestE2ECrowdOfClientsIsServed(t *testing.T) {
	c := newCluster(t, "256MiB", "a", "b", "c")
	up(t, c)
	a := c.Node("a")
	s := openStore(t, c, a)
	const clients, rounds, present = 200, 2, 500
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var making sync.WaitGroup
	maker := a.Client()
	defer maker.Close()
	for first := range 8 {
		making.Go(func() {
			for i := first; i < present; i += 8 { // a list is as long as that
				if _, err := maker.Create(ctx, fmt.Sprintf("present-%d", i), map[string]string{"size": "64KiB", "fs": "none"}, false); err != nil {
					t.Error(err)
				}
			}
		})
	}
	making.Wait()
	before := memoryPeak(t, a.PID())
	var crowd []*visitor
	for i := range clients {
		v := &visitor{name: fmt.Sprintf("v%d", i), node: a.Client()}
		if i%2 == 1 {
			v.node = overPort(t, a, c.Node("b"))
		}
		t.Cleanup(v.node.Close)
		crowd = append(crowd, v)
	}
	var visiting sync.WaitGroup
	for _, v := range crowd {
		visiting.Go(func() {
			if err := v.visit(ctx, rounds); err != nil {
				t.Errorf("client %s: %v", v.name, err)
			}
		})
	}
	visiting.Wait()
	answers, busy := int64(0), int64(0)
	for _, v := range crowd {
		answers, busy = answers+v.answers.Load(), busy+v.busy.Load()
	}
	peak := memoryPeak(t, a.PID())
	t.Logf("%d answers, %d of them busy; memory %d MiB, %d before", answers, busy, peak, before)
	const growthMax = 150 // MiB: a client costs two connections, some buffers and what waits for it
	if peak-before > growthMax {
		t.Errorf("memory grew from %d to %d MiB, want %d more at most", before, peak, growthMax)
	}
	if r := awaitOrder(t, c, s); len(r.names) != present {
		t.Errorf("%d volumes are left, want %d", len(r.names), present)
	}
}
