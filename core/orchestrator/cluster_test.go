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
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// gib is the unit of the disks in these tests.
const gib = 1 << 30

// cluster is a metadata store and some nodes. Every event is taken from the
// queues in an order that the seed decides.
type cluster struct {
	t           *testing.T
	random      *rand.Rand
	now         step.Time
	items       map[string]metadata.Item
	leased      map[string]int // key → index of the node whose lease it has
	changes     []metadata.Change
	nodes       []*machine
	late        []lateTxn // of unknown outcome: applied at any later time, or never
	unreachable bool      // every outcome is unknown
	arrival     int       // percent of the steps at which one of them is
	unknown     int       // percent of the transactions whose outcome is unknown
	marks       map[step.Mark]int
	steps       int
}

type lateTxn struct {
	node int
	txn  metadata.Txn
}

// machine is one node: its orchestrator, its disk's shard and its coordinators.
type machine struct {
	c       *cluster
	index   int
	record  volume.Node
	disk    block.DiskID
	size    int64
	o       *orchestrator.Orchestrator
	life    int
	out     step.Effects
	queue   []func() // in order
	slow    []func() // in any order: what the disk is doing
	watched int      // changes delivered
	deaf    bool
	timers  []step.Timer
	held    map[block.ReplicaID]block.VolumeID // survives a restart
	serving map[block.VolumeID]step.Control
	stuck   bool // coordinators do not end in order
	answers map[uint64]volume.Answer
	last    uint64
	born    uint64 // the last command before this life
	sent    []step.Control
}

func newCluster(t *testing.T, seed uint64, sizes ...int64) *cluster {
	t.Helper()
	c := &cluster{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), now: 1,
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

// start begins a life of the node's process.
func (m *machine) start() {
	m.life++
	m.born = m.last
	m.queue, m.slow, m.timers, m.watched, m.serving = nil, nil, nil, -1, map[block.VolumeID]step.Control{}
	m.o = orchestrator.New(orchestrator.Params{Node: m.record, Seed: uint64(m.life*100 + m.index)})
	m.out = step.Effects{Marks: step.Marks{Counts: m.c.marks}}
	m.step(&step.Event{Kind: step.EventStart})
	if m.size > 0 {
		m.control(step.Control{Kind: step.DiskReady, Disk: m.disk, Capacity: m.size, Free: m.size})
		for _, r := range slices.SortedFunc(maps.Keys(m.held), func(a, b block.ReplicaID) int { return slices.Compare(a[:], b[:]) }) {
			m.control(step.Control{Kind: step.ReplicaMade, Disk: m.disk, Volume: m.held[r], Replica: r})
		}
	}
}

// later queues an event of this life.
func (m *machine) later(f func()) {
	m.queue = append(m.queue, f)
}

func (m *machine) control(c step.Control) {
	m.later(func() { m.step(&step.Event{Kind: step.EventControl, Control: c}) })
}

// ask queues a command and returns its number.
func (m *machine) ask(c volume.Command) uint64 {
	m.last++
	c.ID = m.last
	m.later(func() { m.step(&step.Event{Kind: step.EventCommand, Command: &c}) })
	return c.ID
}

// do asks and runs until all is quiet.
func (m *machine) do(c volume.Command) volume.Answer {
	m.c.t.Helper()
	id := m.ask(c)
	m.c.run()
	return m.answer(id)
}

func (m *machine) answer(id uint64) volume.Answer {
	m.c.t.Helper()
	a, found := m.answers[id]
	if !found {
		m.c.t.Fatalf("node %s: command %d was not answered", m.record.Name, id)
	}
	return a
}

func (m *machine) step(ev *step.Event) {
	m.o.Step(m.c.now, ev, &m.out)
	for _, x := range m.out.Transactions {
		m.later(func() { m.c.transact(m, x) })
	}
	m.timers = append(m.timers, m.out.Timers...)
	for _, a := range m.out.Answers {
		if _, twice := m.answers[a.ID]; twice {
			m.c.t.Fatalf("node %s: command %d was answered twice", m.record.Name, a.ID)
		}
		m.answers[a.ID] = a
	}
	for _, control := range m.out.Controls {
		m.sent = append(m.sent, control)
		m.later(func() { m.obey(control) })
	}
	m.out.Reset()
}

// obey is the rest of the node: the disk's shard, the body, the coordinators.
func (m *machine) obey(c step.Control) {
	switch c.Kind {
	case step.MakeReplica:
		m.slow = append(m.slow, func() {
			m.held[c.Replica] = c.Volume
			m.control(step.Control{Kind: step.ReplicaMade, Disk: c.Disk, Volume: c.Volume, Replica: c.Replica})
		})
	case step.FreeReplica:
		delete(m.held, c.Replica)
		m.control(step.Control{Kind: step.ReplicaFreed, Disk: c.Disk, Volume: c.Volume, Replica: c.Replica})
	case step.StartCoordinator:
		if _, twice := m.serving[c.Volume]; twice {
			m.c.t.Fatalf("node %s: a second coordinator of one volume was started", m.record.Name)
		}
		m.serving[c.Volume] = c
	case step.StopCoordinator:
		if _, found := m.serving[c.Volume]; found && (c.Force || !m.stuck) {
			m.end(c.Volume, step.VolumeDetached)
		}
	}
}

// end makes a coordinator end and say so.
func (m *machine) end(id block.VolumeID, how step.ControlKind) {
	delete(m.serving, id)
	m.control(step.Control{Kind: how, Volume: id})
}

// transact decides a transaction, or leaves its outcome unknown.
func (c *cluster) transact(m *machine, x step.Transaction) {
	res := metadata.Result{}
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

// watch delivers the next changes to a node: everything at first, then whole
// revisions.
func (m *machine) watch() {
	u := &metadata.Update{}
	if m.watched < 0 {
		u.Snapshot, u.Revision = true, m.c.revision()
		for _, key := range slices.Sorted(maps.Keys(m.c.items)) {
			u.Changes = append(u.Changes, metadata.Change{Item: m.c.items[key]})
		}
		m.watched = len(m.c.changes)
	} else {
		for first := true; m.watched < len(m.c.changes); first = false {
			next := m.c.changes[m.watched]
			if !first && next.Revision != u.Revision && m.c.random.IntN(2) == 0 {
				break
			}
			u.Changes = append(u.Changes, next)
			u.Revision = next.Revision
			m.watched++
		}
	}
	m.step(&step.Event{Kind: step.EventWatch, Update: u})
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

func (m *machine) fire(i int) {
	timer := m.timers[i]
	m.timers = slices.Delete(m.timers, i, i+1)
	m.c.now = max(m.c.now, timer.At)
	m.step(&step.Event{Kind: step.EventTimer, Tag: timer.Tag})
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

// create asks node m for a volume and insists that it is made.
func (m *machine) create(options string) volume.Answer {
	m.c.t.Helper()
	a := m.do(volume.Command{Kind: volume.CreateVolume, Spec: m.c.spec(options)})
	if a.Err != nil {
		m.c.t.Fatal(a.Err)
	}
	return a
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

// attachedTo returns the index of the node that a volume is attached to, or -1.
func (c *cluster) attachedTo(id block.VolumeID) int {
	c.t.Helper()
	item, found := c.items[volume.AttachmentKey(id)]
	if !found {
		return -1
	}
	a, err := volume.Parse[volume.Attachment](item.Value)
	if err != nil {
		c.t.Fatal(err)
	}
	return int(a.Node[15]) - 1
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
		for _, m := range config.Members {
			promised[m.Disk] += spec.Size
			replicas[m.Replica] = true
		}
		at := c.attachedTo(id)
		for i, m := range c.nodes {
			if _, serving := m.serving[id]; serving != (i == at) && !m.deaf {
				c.t.Errorf("volume %s: attached to node %d, but node %d serving it: %v", name, at, i, serving)
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
	for _, m := range c.nodes {
		if m.deaf {
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

func (c *cluster) String() string { return fmt.Sprintf("%d steps, marks %v", c.steps, c.marks) }
