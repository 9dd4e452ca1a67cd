package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/plugin/require"
	"github.com/lagan-storage/lagan/rest/api"
)

var (
	chaosFor  = flag.Duration("chaos", 0, "how long TestChaos breaks real processes; 0: not at all")
	chaosSeed = flag.Uint64("chaos-seed", 0, "draws its faults; 0: another one each time")
)

// calmWithin is how long everything may take to work again after the last fault.
const calmWithin = 3 * time.Minute

// chaos is a cluster of which nodes are killed, stopped in their tracks, cut off and
// taken the majority of. Two volumes are in use meanwhile: one under a file system, on a node that
// is spared, and one by clients that record what they asked and were told, on nodes that
// are not.
type chaos struct {
	t       *testing.T
	c       *cluster.Cluster
	random  *rand.Rand
	history *recorder
	faults  int
	moves   int
}

// TestChaos takes as long as it is told to: make test-chaos. A failure leaves the
// history, which lagan check judges as well, and names the seed: the faults are the
// same with that, how the processes meet them is not.
func TestChaos(t *testing.T) {
	if *chaosFor == 0 {
		t.Skip("takes minutes; run it with make test-chaos")
	}
	require.FUSE(t)
	require.Program(t, "fio", "fio")
	require.Program(t, "mkfs.ext4", "e2fsprogs")
	require.Program(t, "ip", "iproute2")
	require.Program(t, "nsenter", "util-linux")
	seed := *chaosSeed
	if seed == 0 {
		seed = rand.Uint64()
	}
	t.Logf("seed %d", seed)
	x := &chaos{t: t, c: newClusterOf(t, cluster.Params{Nodes: []string{"a", "b", "c", "spared"}, Disk: "1GiB", Apart: true}), random: rand.New(rand.NewPCG(seed, 0))}
	x.c.Node("spared").SetDisks()
	up(t, x.c)
	x.begin()
	ctx, cancel := context.WithCancel(t.Context())
	var working sync.WaitGroup
	x.history.work(ctx, &working)
	var files error // settled once broken is closed
	broken := make(chan struct{})
	working.Go(func() {
		defer close(broken)
		files = verify(ctx, "--directory="+filepath.Join(x.c.Node("spared").Dir(), "mnt"))
	})
	for began := time.Now(); time.Since(began) < *chaosFor && !over(broken); {
		x.strike()
	}
	x.calm()
	cancel()
	working.Wait()
	if files != nil {
		t.Errorf("the file system: %v", files)
	}
	x.judge()
}

func over(broken <-chan struct{}) bool {
	select {
	case <-broken:
		return true
	default:
		return false
	}
}

// begin makes the volumes and attaches them.
func (x *chaos) begin() {
	spared := x.c.Node("spared")
	create(x.t, spared, "files", map[string]string{"size": "128MiB", "replicas": "2"})
	attach(x.t, spared, "files", api.Attach{Mount: filepath.Join(spared.Dir(), "mnt")})
	v := create(x.t, spared, "blocks", map[string]string{"size": "1MiB", "fs": "none", "replicas": "2"})
	x.history = newRecorder(x.t, v)
	x.move()
}

// strike does one thing to the cluster, and takes it back after a while.
func (x *chaos) strike() {
	from := x.history.now()
	victim := []string{"a", "b", "c"}[x.random.IntN(3)]
	span := time.Duration(300+x.random.IntN(6000)) * time.Millisecond
	what := ""
	switch x.random.IntN(7) {
	case 0, 1:
		what = "kill of node " + victim
		x.down(span, victim)
	case 2:
		what = "node " + victim + " stands still"
		x.must(x.c.Node(victim).Freeze(x.t.Context()))
		x.wait(span)
		x.must(x.c.Node(victim).Thaw(x.t.Context()))
	case 3:
		what = "kill of two of three voters"
		x.down(span, victim, map[string]string{"a": "b", "b": "c", "c": "a"}[victim])
	case 4:
		what = "forced move"
		x.move()
	case 5:
		what = "node " + victim + " is cut off"
		x.cut(span, victim)
	case 6:
		what = "all nodes are cut off from each other"
		x.cut(span, "a", "b", "c", "spared")
	}
	x.faults++
	x.history.fault(from, what)
	x.t.Logf("%v: %s for %v", time.Duration(from).Round(time.Millisecond), what, span)
	x.wait(time.Duration(x.random.IntN(4000)) * time.Millisecond)
	if n := x.c.Node(x.history.holder()); !n.Running() || n.Client().Ready(x.t.Context()) != nil {
		x.move()
	}
}

// down kills nodes and starts them again after a while. The clients' volume moves at
// once, if it was there.
func (x *chaos) down(span time.Duration, names ...string) {
	for _, name := range names {
		x.must(x.c.Node(name).Kill(x.t.Context()))
	}
	x.wait(span)
	for _, name := range names {
		x.must(x.c.Node(name).Start(x.t.Context()))
	}
	for _, name := range names {
		if name == x.history.holder() {
			x.move()
		}
	}
}

// cut takes nodes off the network for a while. What they do meanwhile, they do alone.
func (x *chaos) cut(span time.Duration, names ...string) {
	for _, name := range names {
		x.must(x.c.Node(name).Link().Cut(x.t.Context()))
	}
	x.wait(span)
	for _, name := range names {
		x.must(x.c.Node(name).Link().Mend(x.t.Context()))
	}
}

// move attaches the clients' volume to another node, as soon as one takes it.
func (x *chaos) move() {
	names := []string{"a", "b", "c", "spared"}
	at := x.random.IntN(len(names))
	until(x.t, x.c, "the volume is attached elsewhere", func() (bool, error) {
		n := x.c.Node(names[at%len(names)])
		at++
		if n.Name == x.history.holder() && n.Running() {
			return false, errors.New("it is there already")
		}
		ctx, cancel := context.WithTimeout(x.t.Context(), 20*time.Second)
		defer cancel()
		_, err := n.Client().Attach(ctx, "blocks", api.Attach{Force: true})
		if err == nil {
			x.history.moved(n)
			x.moves++
		}
		return err == nil, err
	})
}

// calm waits until all is well again: every copy in sync, and every client answered.
func (x *chaos) calm() {
	ctx, cancel := context.WithTimeout(x.t.Context(), calmWithin)
	defer cancel()
	x.must(x.c.AwaitWhole(ctx))
	x.must(awaitInSync(ctx, x.c, x.c.Node("spared"), "files", "blocks"))
	before := x.history.answered()
	x.must(x.c.Until(ctx, "every client is answered", func() (bool, error) {
		for i, n := range x.history.answered() {
			if n == before[i] {
				return false, fmt.Errorf("client %d is not", i)
			}
		}
		return true, nil
	}))
}

// awaitInSync returns when a node says that every copy of these volumes is in sync.
func awaitInSync(ctx context.Context, c *cluster.Cluster, says *cluster.Node, volumes ...string) error {
	return c.Until(ctx, "every copy is in sync", func() (bool, error) {
		for _, name := range volumes {
			v, err := says.Client().Volume(ctx, name)
			if err != nil {
				return false, err
			}
			for _, r := range v.Status.Replicas {
				if r.State != string(volume.InSync) {
					return false, fmt.Errorf("the copy of %s on node %s is %s", name, r.Node, r.State)
				}
			}
		}
		return true, nil
	})
}

// judge holds the history against what a volume promises, with the program too.
func (x *chaos) judge() {
	name := filepath.Join(os.TempDir(), "lagan-chaos.history")
	var file bytes.Buffer
	x.must(x.history.save(&file))
	x.must(os.WriteFile(name, file.Bytes(), 0o600))
	x.t.Logf("%d faults, %d moves", x.faults, x.moves)
	out, err := x.c.Node("spared").Lagan(x.t.Context(), nil, "check", name)
	if err != nil {
		x.t.Fatalf("%s: %v\n%s", name, err, out)
	}
	x.t.Logf("%s", out)
	x.must(os.Remove(name))
}

func (x *chaos) wait(d time.Duration) { x.must(pause(x.t.Context(), d)) }

func (x *chaos) must(err error) {
	x.t.Helper()
	if err != nil {
		x.t.Fatal(err)
	}
}
