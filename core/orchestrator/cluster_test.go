package orchestrator_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// gib is the unit of the disks in these tests.
const gib = 1 << 30

// cluster is a metadata store and some nodes. Every event is taken from the
// queues in an order that the seed decides.
type cluster struct {
	t           *testing.T
	healAfter   time.Duration
	random      *rand.Rand
	now         step.Time
	items       map[string]metadata.Item
	leased      map[string]int // key → index of the node whose lease it has
	changes     []metadata.Change
	nodes       []*machine
	late        []lateTxn          // of unknown outcome: applied at any later time, or never
	unreachable bool               // every outcome is unknown
	duel        func(metadata.Txn) // comes before each transaction
	arrival     int                // percent of the steps at which one of them is
	unknown     int                // percent of the transactions whose outcome is unknown
	marks       map[step.Mark]int
	steps       int
}

type lateTxn struct {
	node int
	txn  metadata.Txn
}

func newCluster(t *testing.T, seed uint64, sizes ...int64) *cluster {
	t.Helper()
	return newHealing(t, seed, 0, sizes...)
}

// newHealing makes a cluster in which a copy that was lost for a while is made anew.
func newHealing(t *testing.T, seed uint64, after time.Duration, sizes ...int64) *cluster {
	t.Helper()
	c := &cluster{
		t: t, healAfter: after, random: rand.New(rand.NewPCG(seed, 1)), now: 1,
		items: map[string]metadata.Item{}, leased: map[string]int{}, marks: map[step.Mark]int{}, arrival: 5,
	}
	for i, size := range sizes {
		id := byte(i + 1)
		m := &machine{
			c: c, index: i, disk: block.DiskID{15: 0x10 + id}, size: size,
			record: volume.Node{ID: block.NodeID{15: id}, Name: string(rune('a' + i)), Address: "x", Version: "test"},
			held:   map[block.ReplicaID]block.VolumeID{}, answers: map[uint64]volume.Answer{},
		}
		c.nodes = append(c.nodes, m)
		m.start()
	}
	c.run()
	return c
}

// transact decides a transaction, or leaves its outcome unknown.
func (c *cluster) transact(m *machine, x step.Transaction) {
	res := metadata.Result{}
	if c.duel != nil {
		c.duel(x.Txn)
	}
	if c.unreachable || c.random.IntN(100) < c.unknown {
		c.late = append(c.late, lateTxn{node: m.index, txn: x.Txn})
	} else {
		res = c.apply(m.index, x.Txn)
	}
	m.later(func() { m.step(&step.Event{Kind: step.EventTransaction, Tag: x.Tag, Result: res}) })
}

func (c *cluster) revision() metadata.Revision {
	if len(c.changes) == 0 {
		return 0
	}
	return c.changes[len(c.changes)-1].Revision
}

func (c *cluster) apply(node int, txn metadata.Txn) metadata.Result {
	res := metadata.Result{Outcome: metadata.Applied, Revision: c.revision()}
	for _, g := range txn.Guards {
		if c.items[g.Key].Revision != g.Revision {
			res.Outcome = metadata.Refused
		}
	}
	if res.Outcome == metadata.Applied && len(txn.Ops) > 0 {
		res.Revision++
		for _, op := range txn.Ops {
			c.set(node, op, res.Revision)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(c.items)) {
		if slices.ContainsFunc(txn.Read, func(r string) bool { return r == key || strings.HasSuffix(r, "/") && strings.HasPrefix(key, r) }) {
			res.Items = append(res.Items, c.items[key])
		}
	}
	return res
}

func (c *cluster) set(node int, op metadata.Op, at metadata.Revision) {
	change := metadata.Change{Item: metadata.Item{Key: op.Key, Value: op.Value, Revision: at}, Deleted: op.Delete}
	c.changes = append(c.changes, change)
	delete(c.leased, op.Key)
	delete(c.items, op.Key)
	if !op.Delete {
		c.items[op.Key] = change.Item
	}
	if op.Leased {
		c.leased[op.Key] = node
	}
}

// kill ends a node's process; its leased keys go.
func (c *cluster) kill(m *machine) {
	m.queue, m.slow, m.timers, m.deaf = nil, nil, nil, true
	for _, key := range slices.Sorted(maps.Keys(c.leased)) {
		if c.leased[key] == m.index {
			c.set(m.index, metadata.Op{Key: key, Delete: true}, c.revision()+1)
		}
	}
}

// choices returns what can happen next.
func (c *cluster) choices() []func() {
	var all []func()
	for _, m := range c.nodes {
		if len(m.queue) > 0 {
			all = append(all, func() {
				f := m.queue[0]
				m.queue = m.queue[1:]
				f()
			})
		}
		for i, f := range m.slow {
			all = append(all, func() {
				m.slow = slices.Delete(slices.Clone(m.slow), i, i+1)
				f()
			})
		}
		if !m.deaf && m.watched < len(c.changes) {
			all = append(all, m.watch)
		}
	}
	return all
}

// run lets happen what can, until nothing is left but timers.
func (c *cluster) run() {
	c.t.Helper()
	for {
		all := c.choices()
		if len(all) == 0 {
			if c.unreachable || !c.reissue() {
				return
			}
			continue
		}
		if c.steps++; c.steps > 200_000 {
			c.t.Fatal("the cluster does not come to rest")
		}
		all[c.random.IntN(len(all))]()
		c.arrive(c.arrival)
	}
}

// arrive applies, with a chance of so many percent, one transaction of unknown
// outcome.
func (c *cluster) arrive(percent int) {
	if len(c.late) == 0 || c.random.IntN(100) >= percent {
		return
	}
	i := c.random.IntN(len(c.late))
	x := c.late[i]
	c.late = slices.Delete(c.late, i, i+1)
	c.apply(x.node, x.txn)
}

// reissue fires the earliest timer that is not a tick.
func (c *cluster) reissue() bool {
	var owner *machine
	at := -1
	for _, m := range c.nodes {
		for i, timer := range m.timers {
			if timer.Tag.Slot != 0 && (owner == nil || timer.At < owner.timers[at].At) {
				owner, at = m, i
			}
		}
	}
	if owner == nil {
		return false
	}
	owner.fire(at)
	return true
}

// pass lets time go by: ticks fire.
func (c *cluster) pass(d time.Duration) {
	c.t.Helper()
	for end := c.now.Add(d); ; {
		var owner *machine
		at := -1
		for _, m := range c.nodes {
			for i, timer := range m.timers {
				if timer.At <= end && (owner == nil || timer.At < owner.timers[at].At) {
					owner, at = m, i
				}
			}
		}
		if owner == nil {
			c.now = end
			c.run()
			return
		}
		owner.fire(at)
		c.run()
	}
}

func (c *cluster) spec(options string) volume.Spec {
	c.t.Helper()
	s, err := volume.ParseSpec(options)
	if err != nil {
		c.t.Fatal(err)
	}
	return s
}

// config returns the recorded configuration of a volume.
func (c *cluster) config(id block.VolumeID) *volume.Config {
	c.t.Helper()
	item, found := c.items[volume.ConfigKey(id)]
	if !found {
		return nil
	}
	config, err := volume.ParseConfig(item.Value)
	if err != nil {
		c.t.Fatal(err)
	}
	return config
}

// snapshots returns the recorded list of a volume's snapshots, nil if there is none.
func (c *cluster) snapshots(id block.VolumeID) *volume.Snapshots {
	c.t.Helper()
	item, found := c.items[volume.SnapshotsKey(id)]
	if !found {
		return nil
	}
	list, err := volume.Parse[volume.Snapshots](item.Value)
	if err != nil {
		c.t.Fatal(err)
	}
	return &list
}

// placement returns the recorded placement of a volume, nil if there is none.
func (c *cluster) placement(id block.VolumeID) *volume.Placement {
	c.t.Helper()
	item, found := c.items[volume.PlacementKey(id)]
	if !found {
		return nil
	}
	p, err := volume.Parse[volume.Placement](item.Value)
	if err != nil {
		c.t.Fatal(err)
	}
	return &p
}

// attachedTo returns the index of the node that a volume is attached to, or -1.
func (c *cluster) attachedTo(id block.VolumeID) int {
	c.t.Helper()
	if a := c.attachment(id); a != nil {
		return int(a.Node[15]) - 1
	}
	return -1
}

// attachment returns the record that attaches a volume, nil if there is none.
func (c *cluster) attachment(id block.VolumeID) *volume.Attachment {
	c.t.Helper()
	item, found := c.items[volume.AttachmentKey(id)]
	if !found {
		return nil
	}
	a, err := volume.Parse[volume.Attachment](item.Value)
	if err != nil {
		c.t.Fatal(err)
	}
	return &a
}

// check compares, at rest, what is recorded with what the nodes do.
func (c *cluster) check() {
	c.t.Helper()
	promised := map[block.DiskID]int64{}
	replicas := map[block.ReplicaID]bool{}
	for _, key := range slices.Sorted(maps.Keys(c.items)) {
		name, isName := strings.CutPrefix(key, volume.NamesPrefix)
		if !isName {
			continue
		}
		id, _ := volume.ParseVolumeID(string(c.items[key].Value))
		spec, err := volume.Parse[volume.Spec](c.items[volume.SpecKey(id)].Value)
		config := c.config(id)
		if err != nil || spec.Name != name || config == nil || config.Tombstone {
			c.t.Fatalf("name %s: specification %+v (%v), configuration %+v", name, spec, err, config)
		}
		for _, at := range c.placement(id).Promised(config) {
			if c.items[volume.RemovedKey(at.Node)].Revision == 0 {
				promised[at.Disk] += spec.Size
			}
		}
		for _, m := range config.Members {
			if c.items[volume.RemovedKey(m.Node)].Revision == 0 {
				replicas[m.Replica] = true
			}
		}
		at := c.attachedTo(id)
		for i, m := range c.nodes {
			if _, serving := m.serving[id]; serving != (i == at) && !m.deaf {
				c.t.Errorf("volume %s: attached to node %d, but node %d serving it: %v", name, at, i, serving)
			}
			if uses, told := m.uses[id]; told && i == at && !m.deaf {
				if a := c.attachment(id); !slices.Equal(a.Users, uses.Users) || a.Lingering != uses.Lingering || a.Wanted != nil && !a.Lingering {
					c.t.Errorf("volume %s: used as %+v, but recorded as %+v", name, uses, a)
				}
			}
		}
	}
	for key := range c.items { // any order: each is judged alone
		if id, part, ok := volume.ParseVolumeKey(key); ok {
			if config := c.config(id); config == nil || config.Tombstone {
				c.t.Errorf("%s of a deleted volume is left", part)
			}
		}
	}
	c.checkRemoved()
	for _, m := range c.nodes {
		if m.deaf || c.removed(m) {
			continue
		}
		for _, status := range m.o.Disks() {
			if status.ID == m.disk && status.Promised != promised[m.disk] {
				c.t.Errorf("node %s: %d bytes are promised, but volumes take %d", m.record.Name, status.Promised, promised[m.disk])
			}
		}
		for r := range m.held { // any order: each is judged alone
			if !replicas[r] {
				c.t.Errorf("node %s: replica %v of a deleted volume is left", m.record.Name, r)
			}
			delete(replicas, r)
		}
		if c.items[volume.AliveKey(m.record.ID)].Revision == 0 {
			c.t.Errorf("node %s: nobody hears from it", m.record.Name)
		}
	}
	if len(replicas) > 0 && !slices.ContainsFunc(c.nodes, func(m *machine) bool { return m.deaf }) {
		c.t.Errorf("%d replicas were never made", len(replicas))
	}
}

func (c *cluster) removed(m *machine) bool {
	return c.items[volume.RemovedKey(m.record.ID)].Revision != 0
}

// checkRemoved insists that nothing is recorded of nodes that were removed but
// that, and copies that only a coordinator may drop.
func (c *cluster) checkRemoved() {
	c.t.Helper()
	for i, m := range c.nodes {
		if !c.removed(m) {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(c.items)) {
			item := c.items[key]
			if id, part, ok := volume.ParseVolumeKey(key); ok && part == "attachment" && c.attachedTo(id) == i {
				c.t.Errorf("volume %v is attached to node %s, which was removed", id, m.record.Name)
			}
			disk, err := volume.Parse[volume.Disk](item.Value)
			of := strings.HasPrefix(key, volume.DisksPrefix) && err == nil && disk.Node == m.record.ID
			if of || key == volume.NodeKey(m.record.ID) || key == volume.AliveKey(m.record.ID) {
				c.t.Errorf("%s is left of node %s, which was removed", key, m.record.Name)
			}
		}
	}
}

func (c *cluster) String() string { return fmt.Sprintf("%d steps, marks %v", c.steps, c.marks) }

func configOp(c *volume.Config) metadata.Op {
	return metadata.Op{Key: volume.ConfigKey(c.Volume), Value: c.Encode()}
}
