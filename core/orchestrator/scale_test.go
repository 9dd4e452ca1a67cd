package orchestrator_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

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
	asked    uint64
	now      step.Time
	machines []metadata.Item // records of nodes and disks, by key
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
	c := &crowd{volumes: volumes, nodes: nodes, revision: 1, now: step.Time(time.Hour)}
	c.o = orchestrator.New(orchestrator.Params{Node: volume.Node{ID: block.NodeID(numbered(3, 0)), Name: "n0"}, Seed: 1})
	c.step(&step.Event{Kind: step.EventStart})
	records := c.records()
	c.step(&step.Event{Kind: step.EventWatch, Update: &metadata.Update{Snapshot: true, Revision: 1, Changes: records}})
	for i := range 3 * nodes {
		c.machines = append(c.machines, records[i].Item)
	}
	c.now += step.Time(time.Hour)
	byKey(c.machines)
	return c
}

func byKey(items []metadata.Item) {
	slices.SortFunc(items, func(a, b metadata.Item) int { return strings.Compare(a.Key, b.Key) })
}

func (c *crowd) step(ev *step.Event) {
	c.o.Step(c.now, ev, &c.out)
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

// command has a volume planned or made, and the metadata store answer.
func (c *crowd) command(dryRun bool) {
	c.asked++
	spec := volume.Spec{Name: fmt.Sprintf("new-%d", c.asked), Size: 1 << 30, Replicas: 3}
	c.o.Step(c.now, &step.Event{Kind: step.EventCommand, Command: &volume.Command{
		ID: c.asked, Kind: volume.CreateVolume, Spec: spec, DryRun: dryRun,
	}}, &c.out)
	for len(c.out.Answers) == 0 {
		x := c.out.Transactions[len(c.out.Transactions)-1]
		c.out.Reset()
		result := c.transact(&x.Txn)
		c.o.Step(c.now, &step.Event{Kind: step.EventTransaction, Tag: x.Tag, Result: result}, &c.out)
	}
	if err := c.out.Answers[0].Err; err != nil {
		panic(err)
	}
	c.out.Reset()
}

// transact applies a transaction: nobody else writes.
func (c *crowd) transact(txn *metadata.Txn) metadata.Result {
	if len(txn.Ops) > 0 {
		c.revision++
	}
	result := metadata.Result{Outcome: metadata.Applied, Revision: c.revision}
	for _, op := range txn.Ops {
		result.Items = append(result.Items, metadata.Item{Key: op.Key, Value: op.Value, Revision: c.revision})
		if i := slices.IndexFunc(c.machines, func(item metadata.Item) bool { return item.Key == op.Key }); i >= 0 {
			c.machines[i] = result.Items[len(result.Items)-1]
		}
	}
	byKey(result.Items)
	if slices.Contains(txn.Read, volume.DisksPrefix) {
		result.Items = c.machines
	}
	return result
}

// One volume costs the same however many there are; all of them are listed without
// a copy of each.
func TestCostOfOneVolumeDoesNotGrowWithTheirNumber(t *testing.T) {
	few, many := newCrowd(100, 10), newCrowd(5000, 10)
	for what, do := range map[string]func(*crowd){
		"a change":   (*crowd).change,
		"a look":     func(c *crowd) { c.o.Volume("volume-17") },
		"a creation": func(c *crowd) { c.command(false) },
		"a list":     func(c *crowd) { c.o.Volumes() },
	} {
		allocs := func(c *crowd) float64 { return testing.AllocsPerRun(50, func() { do(c) }) }
		if one, other := allocs(few), allocs(many); other > one+20 {
			t.Errorf("%s allocates %.0f times among 100 volumes and %.0f times among 5000", what, one, other)
		}
	}
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
			"alerts": func() { recorded := c.o.Recorded(); orchestrator.Alerts(&recorded) },
			"plan":   func() { c.command(true) },
			"create": func() { c.command(false) },
		} {
			b.Run(name+what, func(b *testing.B) {
				for b.Loop() {
					do()
				}
			})
		}
	}
}
