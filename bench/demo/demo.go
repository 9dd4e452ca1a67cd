// Package demo shows that a volume survives its node: three nodes on this
// machine, each with a container engine, a volume with two copies, a real file
// tree written to it by a container, kill -9 of the node that uses it (daemon,
// engine, containers) in the middle of a write, and every byte that had been
// synced found again by a container on a node that holds no copy. cmd/demo calls
// it.
//
//	up ▶ create ▶ run on A ▶ copy, sync, checksum ▶ write on … kill -9 A
//	   ▶ run on B (no copy) ▶ verify ▶ A again ▶ two copies ▶ run on A ▶ verify ▶ clean up
//
// After every fault the record of who uses the volume is looked at, too. Without
// a container engine it does the same with files, and without root or /dev/fuse
// with blocks, and says DEGRADED.
package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/bench/cluster"
	"github.com/lagan-storage/lagan/rest/api"
)

const (
	volumeName = "demo"
	volumeSize = "1GiB"
	diskSize   = "2GiB"
	// failoverMax is the promise: from the kill to the first successful read
	// elsewhere.
	failoverMax = 6 * time.Second
	// resyncMax bounds the wait for the second copy.
	resyncMax = time.Minute
	// writesBeforeKill is how many writes after the tree are synced before the
	// node is killed: enough that another is always under way.
	writesBeforeKill = 40
	// openMax bounds the wait for a node to be given the volume.
	openMax = time.Minute
)

// Kind is what is written to the volume, and by whom.
type Kind uint8

// The kinds, the truest first.
const (
	Containers Kind = iota // files, by containers
	Files                  // files, by this process
	Blocks                 // blocks, with lagan volume write
)

// Params is what the demonstration needs.
type Params struct {
	Binary   string // the program lagan
	Dir      string // to work in; removed at the end
	Tree     string // the files to unpack
	Kind     Kind
	Degraded string // why it is not Containers; "" if it is
	Out      io.Writer
	Now      func() time.Time
	Pause    func(ctx context.Context, d time.Duration) error
	Env      []string // more of the program's environment
}

// demo is one run.
type demo struct {
	p       Params
	cluster *cluster.Cluster
	began   time.Time
	killed  time.Time
	user    string // the node that uses the volume and is killed
	other   string // the node that holds no copy
	store   workload
}

// workload is what is written and looked for again: files, or blocks.
type workload interface {
	// Create makes the volume.
	Create(ctx context.Context, n *cluster.Node) error
	// Open has the node use the volume, and takes it from another if force.
	Open(ctx context.Context, n *cluster.Node, force bool) error
	// Fill writes a lot, and everything of it durably.
	Fill(ctx context.Context) (summary string, err error)
	// Append writes one piece more, durably.
	Append(ctx context.Context, number int) error
	// Glance reads one thing that was durable.
	Glance(ctx context.Context) error
	// Verify reads everything that was durable.
	Verify(ctx context.Context) (summary string, err error)
	// Close ends the use of the volume.
	Close(ctx context.Context) error
	// Remove deletes it.
	Remove(ctx context.Context) error
}

// workload returns what is to be shown.
func (d *demo) workload() workload {
	switch d.p.Kind {
	case Blocks:
		return &blocks{d: d}
	case Files:
		return &files{d: d}
	case Containers:
	}
	return &containers{d: d}
}

// create makes the volume with the command line.
func (d *demo) create(ctx context.Context, n *cluster.Node) error {
	_, err := n.Lagan(ctx, nil, "volume", "create", volumeName, "--size", volumeSize, "--replicas", "2", "--fs", "ext4")
	return err
}

// Run runs the demonstration and returns nil only if all held.
func Run(ctx context.Context, p Params) (err error) {
	d := &demo{p: p, began: p.Now()}
	if p.Degraded != "" {
		instead := map[Kind]string{Files: "files", Blocks: "blocks"}[p.Kind]
		d.say("DEGRADED: %s instead of containers, because %s", instead, p.Degraded)
	}
	d.cluster, err = cluster.New(ctx, cluster.Params{
		Binary: p.Binary, Dir: p.Dir, Nodes: []string{"a", "b", "c"}, Disk: diskSize, Pause: p.Pause, Env: p.Env,
		Machines: p.Kind == Containers,
	})
	if err != nil {
		return err
	}
	err = d.run(ctx)
	if err != nil {
		d.say("FAILED: %v", err)
		d.tails()
	}
	d.say("cleaning up")
	if closeErr := d.cluster.Close(ctx); closeErr != nil {
		err = errors.Join(err, fmt.Errorf("clean up: %w", closeErr))
	}
	if err == nil {
		d.say("all held")
	}
	return err
}

// say prints a line of the timeline.
func (d *demo) say(format string, values ...any) {
	_, _ = fmt.Fprintf(d.p.Out, "%7.2fs  %s\n", d.p.Now().Sub(d.began).Seconds(), fmt.Sprintf(format, values...)) // there is nowhere else to say it
}

// tails prints the end of every node's log.
func (d *demo) tails() {
	for _, name := range []string{"a", "b", "c"} {
		_, _ = fmt.Fprintf(d.p.Out, "--- end of the log of node %s\n%s", name, d.cluster.Node(name).Tail())
	}
}

func (d *demo) run(ctx context.Context) error {
	if err := d.prepare(ctx); err != nil {
		return err
	}
	if err := d.killInMidWrite(ctx); err != nil {
		return err
	}
	if err := d.takeOver(ctx); err != nil {
		return err
	}
	return d.heal(ctx)
}

// prepare brings up the cluster and fills a volume.
func (d *demo) prepare(ctx context.Context) error {
	if err := d.cluster.Up(ctx); err != nil {
		return err
	}
	d.say("three nodes are up: a, b, c, speaking mutual TLS%s", map[Kind]string{Containers: ", each with a container engine"}[d.p.Kind])
	d.store = d.workload()
	if err := d.store.Create(ctx, d.cluster.Node("a")); err != nil {
		return err
	}
	v, err := d.cluster.Node("a").Client().Volume(ctx, volumeName)
	if err != nil {
		return err
	}
	if err := d.cast(&v); err != nil {
		return err
	}
	d.say("volume %s of %s has copies on %s and %s; %s holds none", volumeName, volumeSize,
		v.Status.Replicas[0].Node, v.Status.Replicas[1].Node, d.other)
	if err := d.use(ctx, d.cluster.Node(d.user), false); err != nil {
		return err
	}
	summary, err := d.store.Fill(ctx)
	if err != nil {
		return err
	}
	d.say("%s", summary)
	return nil
}

// use has a node use the volume.
func (d *demo) use(ctx context.Context, n *cluster.Node, force bool) error {
	if err := d.store.Open(ctx, n, force); err != nil {
		return err
	}
	d.say("node %s uses it", n.Name)
	return d.mapped(ctx, n.Name)
}

// cast decides who plays what: the user of the volume holds a copy, so that its
// death takes a copy with it.
func (d *demo) cast(v *api.Volume) error {
	holds := func(node string) bool {
		return slices.ContainsFunc(v.Status.Replicas, func(r api.Replica) bool { return r.Node == node })
	}
	for _, name := range []string{"a", "b", "c"} {
		switch {
		case !holds(name):
			d.other = name
		case d.user == "":
			d.user = name
		}
	}
	if len(v.Status.Replicas) != 2 || d.other == "" || d.user == "" {
		return fmt.Errorf("volume has %d copies, want them on two of three nodes", len(v.Status.Replicas))
	}
	return nil
}

// killInMidWrite goes on writing and kills the node while it does.
func (d *demo) killInMidWrite(ctx context.Context) error {
	writing, stop := context.WithCancel(ctx)
	defer stop()
	enough := make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		for i := 0; ; i++ {
			if err := d.store.Append(writing, i); err != nil {
				ended <- fmt.Errorf("write %d: %w", i, err)
				return
			}
			if i == writesBeforeKill {
				close(enough)
			}
		}
	}()
	select {
	case <-enough:
	case err := <-ended:
		return fmt.Errorf("writing ended before the node was killed: %w", err)
	}
	if err := d.cluster.Node(d.user).Kill(ctx); err != nil {
		return err
	}
	d.say("kill -9 of node %s%s in mid-write", d.user, map[Kind]string{Containers: " (daemon, engine and containers)"}[d.p.Kind])
	d.killed = d.p.Now()
	err := <-ended
	d.say("its writer was told: %v", err)
	return nil
}

// takeOver uses the volume on the node that holds no copy.
func (d *demo) takeOver(ctx context.Context) error {
	if err := d.store.Open(ctx, d.cluster.Node(d.other), true); err != nil {
		return err
	}
	if err := d.store.Glance(ctx); err != nil {
		return err
	}
	failover := d.p.Now().Sub(d.killed)
	d.say("node %s, which holds no copy, reads it: FAILOVER TIME %.2f s", d.other, failover.Seconds())
	if err := d.record(failover); err != nil {
		return err
	}
	summary, err := d.store.Verify(ctx)
	if err != nil {
		return err
	}
	d.say("%s", summary)
	if failover > failoverMax {
		return fmt.Errorf("failover took %v, more than %v", failover, failoverMax)
	}
	return d.mapped(ctx, d.other)
}

// record leaves the figure for the suite of measurements, beside the folder that
// is removed at the end.
func (d *demo) record(failover time.Duration) error {
	text := fmt.Sprintf("{\"failover_s\": %.2f}\n", failover.Seconds())
	return os.WriteFile(filepath.Join(filepath.Dir(d.p.Dir), "demo.json"), []byte(text), 0o644)
}

// heal brings the killed node back, waits for the second copy, and reads all
// from the node that was dead.
func (d *demo) heal(ctx context.Context) error {
	n := d.cluster.Node(d.user)
	if err := n.Start(ctx); err != nil {
		return err
	}
	again, cancel := context.WithTimeout(ctx, resyncMax)
	defer cancel()
	if err := n.AwaitReady(again); err != nil {
		return err
	}
	if m := n.Machine(); m != nil {
		if err := m.StartEngine(again); err != nil {
			return err
		}
	}
	d.say("node %s is up again", d.user)
	api := d.cluster.Node(d.other).Client()
	defer api.Close()
	err := d.cluster.Until(again, "the volume has two copies", func() (bool, error) {
		v, err := api.Volume(again, volumeName)
		return v.Status.Health == "healthy", err
	})
	if err != nil {
		return err
	}
	d.say("the volume has two copies again")
	if err := d.mapped(ctx, d.other); err != nil {
		return err
	}
	return d.goBack(ctx, n)
}

// goBack has the node that was dead use the volume, and deletes it.
func (d *demo) goBack(ctx context.Context, n *cluster.Node) error {
	if err := d.store.Close(ctx); err != nil {
		return err
	}
	if err := d.use(ctx, n, false); err != nil {
		return err
	}
	summary, err := d.store.Verify(ctx)
	if err != nil {
		return err
	}
	d.say("again on node %s: %s", d.user, summary)
	if err := d.store.Close(ctx); err != nil {
		return err
	}
	return d.store.Remove(ctx)
}
