package orchestrator_test

import (
	"fmt"
	"runtime"
	"testing"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// crowd is the orchestrator of one node in a large cluster that is at rest.
type crowd struct {
	o        *orchestrator.Orchestrator
	out      step.Effects
	revision metadata.Revision
	volumes  int
	nodes    int
}

func numbered(kind byte, n int) [16]byte {
	return [16]byte{kind, 12: byte(n >> 24), 13: byte(n >> 16), 14: byte(n >> 8), 15: byte(n)}
}

func (c *crowd) config(i int) *volume.Config {
	config := &volume.Config{Format: 1, Volume: block.VolumeID(numbered(1, i)), Blocks: 1 << 18, Epoch: 1, MinWritable: 1, Recovery: "wait"}
	for r := range 2 {
		config.Members = append(config.Members, volume.Member{
			Replica: block.ReplicaID(numbered(2, 2*i+r)), State: volume.InSync,
			Node: block.NodeID(numbered(3, (i+r)%c.nodes)), Disk: block.DiskID(numbered(4, (i+r)%c.nodes)),
		})
	}
	return config
}

// records are what the metadata store holds.
func (c *crowd) records() (all []metadata.Change) {
	put := func(key string, value []byte) {
		all = append(all, metadata.Change{Item: metadata.Item{Key: key, Value: value, Revision: 1}})
	}
	for i := range c.nodes {
		id := block.NodeID(numbered(3, i))
		put(volume.NodeKey(id), volume.Encode(volume.Node{Format: 1, ID: id, Name: fmt.Sprintf("n%d", i), Address: "10.0.0.1:7300"}))
		put(volume.AliveKey(id), []byte("x"))
		disk := volume.Disk{Format: 1, ID: block.DiskID(numbered(4, i)), Node: id, Capacity: 1 << 50, Free: 1 << 50}
		put(volume.DiskKey(disk.ID), volume.Encode(disk))
	}
	for i := range c.volumes {
		id := block.VolumeID(numbered(1, i))
		name := fmt.Sprintf("volume-%d", (i*7919)%c.volumes)
		text, _ := id.MarshalText()
		put(volume.NameKey(name), text)
		put(volume.SpecKey(id), volume.Encode(volume.Spec{Format: 1, Volume: id, Name: name, Size: 1 << 30, Replicas: 2, Filesystem: "ext4"}))
		put(volume.ConfigKey(id), c.config(i).Encode())
	}
	return all
}

// newCrowd returns it when its node has heard of everything.
func newCrowd(volumes, nodes int) *crowd {
	c := &crowd{volumes: volumes, nodes: nodes, revision: 1}
	c.o = orchestrator.New(orchestrator.Params{Node: volume.Node{ID: block.NodeID(numbered(3, 0)), Name: "n0"}, Seed: 1})
	c.step(&step.Event{Kind: step.EventStart})
	c.step(&step.Event{Kind: step.EventWatch, Update: &metadata.Update{Snapshot: true, Revision: 1, Changes: c.records()}})
	return c
}

func (c *crowd) step(ev *step.Event) {
	c.o.Step(1, ev, &c.out)
	c.out.Reset()
}

// change has one volume change.
func (c *crowd) change() {
	c.revision++
	config := c.config(int(c.revision) % c.volumes)
	config.Epoch = block.Epoch(c.revision)
	c.step(&step.Event{Kind: step.EventWatch, Update: &metadata.Update{Revision: c.revision, Changes: []metadata.Change{
		{Item: metadata.Item{Key: volume.ConfigKey(config.Volume), Value: config.Encode(), Revision: c.revision}},
	}}})
}

// plan has one volume placed, and refused by nobody.
func (c *crowd) plan() {
	spec := volume.Spec{Name: "new", Size: 1 << 30, Replicas: 3}
	c.step(&step.Event{Kind: step.EventCommand, Command: &volume.Command{ID: 1, Kind: volume.CreateVolume, Spec: spec, DryRun: true}})
}

func sizes() [][2]int { return [][2]int{{1000, 10}, {10_000, 100}, {100_000, 1000}} }

// BenchmarkCrowd is what an orchestrator costs in large clusters.
func BenchmarkCrowd(b *testing.B) {
	for _, size := range sizes() {
		name := fmt.Sprintf("volumes=%d,nodes=%d/", size[0], size[1])
		b.Run(name+"snapshot", func(b *testing.B) {
			var before, after runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&before)
			var c *crowd
			for b.Loop() {
				c = newCrowd(size[0], size[1])
			}
			runtime.GC()
			runtime.ReadMemStats(&after)
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/(1<<20), "MiB")
			runtime.KeepAlive(c)
		})
		c := newCrowd(size[0], size[1])
		for what, do := range map[string]func(){
			"change": c.change,
			"tick":   func() { c.step(&step.Event{Kind: step.EventTimer}) },
			"list":   func() { c.o.Volumes() },
			"get":    func() { c.o.Volume("volume-17") },
			"nodes":  func() { c.o.Nodes() },
		} {
			b.Run(name+what, func(b *testing.B) {
				for b.Loop() {
					do()
				}
			})
		}
	}
}
