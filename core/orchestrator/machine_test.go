package orchestrator_test

import (
	"maps"
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

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
	making  map[block.ReplicaID]bool
	slow    []func() // in any order: what the disk is doing
	watched int      // changes delivered
	deaf    bool
	timers  []step.Timer
	held    map[block.ReplicaID]block.VolumeID // survives a restart
	serving map[block.VolumeID]step.Control
	uses    map[block.VolumeID]volume.Uses // told last of what serves
	keeps   bool                           // lets go of nothing
	full    bool                           // no replica can be made
	stuck   bool                           // coordinators do not end in order
	idle    bool                           // coordinators do nothing about snapshots and copies
	failing string                         // why they make none
	answers map[uint64]volume.Answer
	last    uint64
	born    uint64 // the last command before this life
	sent    []step.Control
	first   map[string]metadata.Item // what was recorded when this life first looked
	events  []volume.Event           // of this life
	flying  int                      // transactions under way in this life
	most    int                      // of them that ever were
}

// start begins a life of the node's process.
func (m *machine) start() {
	m.life++
	m.born, m.making = m.last, map[block.ReplicaID]bool{}
	m.flying, m.most = 0, 0
	m.queue, m.slow, m.timers, m.watched, m.serving = nil, nil, nil, -1, map[block.VolumeID]step.Control{}
	m.uses = map[block.VolumeID]volume.Uses{}
	m.o = orchestrator.New(orchestrator.Params{Node: m.record, Seed: uint64(m.life*100 + m.index), HealAfter: m.c.healAfter})
	m.out = step.Effects{Marks: step.Marks{Counts: m.c.marks}}
	m.first, m.events = nil, nil
	m.step(&step.Event{Kind: step.EventStart})
	if m.size > 0 {
		m.openDisk()
	}
}

func (m *machine) openDisk() {
	m.control(step.Control{Kind: step.DiskReady, Disk: m.disk, Capacity: m.size, Free: m.size})
	for _, r := range slices.SortedFunc(maps.Keys(m.held), func(a, b block.ReplicaID) int { return slices.Compare(a[:], b[:]) }) {
		m.control(step.Control{Kind: step.ReplicaMade, Disk: m.disk, Volume: m.held[r], Replica: r})
	}
}

// failDisk ends a life of the disk, with what it was doing, and begins the next.
func (m *machine) failDisk() {
	m.slow, m.making = nil, map[block.ReplicaID]bool{}
	m.control(step.Control{Kind: step.DiskUnusable, Disk: m.disk, Text: "it is broken"})
	m.openDisk()
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
	m.flying += len(m.out.Transactions)
	m.most = max(m.most, m.flying)
	if ev.Kind == step.EventTransaction {
		m.flying--
	}
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
	m.events = append(m.events, m.out.Events...)
	m.out.Reset()
}

// obey is the rest of the node: the disk's shard, the body, the coordinators.
func (m *machine) obey(c step.Control) {
	switch c.Kind {
	case step.MakeReplica:
		if m.full {
			return
		}
		m.making[c.Replica] = true
		m.slow = append(m.slow, func() {
			delete(m.making, c.Replica)
			m.held[c.Replica] = c.Volume
			m.control(step.Control{Kind: step.ReplicaMade, Disk: c.Disk, Volume: c.Volume, Replica: c.Replica})
		})
	case step.FreeReplica:
		if m.making[c.Replica] {
			return
		}
		delete(m.held, c.Replica)
		m.control(step.Control{Kind: step.ReplicaFreed, Disk: c.Disk, Volume: c.Volume, Replica: c.Replica})
	case step.StartCoordinator:
		if _, twice := m.serving[c.Volume]; twice {
			m.c.t.Fatalf("node %s: a second coordinator of one volume was started", m.record.Name)
		}
		m.serving[c.Volume] = c
		m.tend(c.Volume)
	case step.StopCoordinator:
		if _, found := m.serving[c.Volume]; found && (c.Force || !m.stuck) {
			m.end(c.Volume, step.VolumeDetached)
		}
	case step.SnapshotsChanged, step.PlacementChanged, step.SizeChanged:
		m.tend(c.Volume)
	case step.FreezeVolume:
		if !m.keeps {
			m.control(step.Control{Kind: step.VolumeFrozen, Volume: c.Volume})
		}
	case step.VolumeWanted:
		if _, found := m.serving[c.Volume]; found && m.uses[c.Volume].Lingering && !m.keeps {
			m.ask(volume.Command{Kind: volume.DetachVolume, Name: c.Volume.String()})
		}
	case step.ControlInvalid, step.ConfigChanged, step.DiskReady, step.DiskUnusable, step.DiskSpace, step.DiskAiling,
		step.ReplicaMade, step.ReplicaFreed, step.VolumeServing, step.VolumeGrown, step.CompareVolume, step.VolumeCompared, step.VolumeWaiting, step.VolumeFenced, step.VolumeDetached, step.VolumeUsed,
		step.NodeEnded, step.VolumeDamaged, step.DiskScrubbed, step.ScrubDisk, step.VolumeFrozen, step.ThawVolume:
		// nothing here depends on it
	}
}

// tend is what a session does about its volume's snapshots, one after the other;
// and its first claim makes a clone independent.
func (m *machine) tend(id block.VolumeID) {
	m.slow = append(m.slow, func() {
		started, found := m.serving[id]
		if !found || m.idle {
			return
		}
		if c := m.c.config(id); c != nil && c.Origin != nil && c.Virgin() {
			c.Epoch, c.CleanAt = c.Epoch+1, nil
			m.c.apply(m.index, metadata.Txn{Ops: []metadata.Op{configOp(c)}})
		}
		m.follow(id)
		list := m.c.snapshots(id)
		if list == nil {
			return
		}
		i := slices.IndexFunc(list.List, func(s volume.Snapshot) bool { return s.Pending() })
		if i < 0 {
			return
		}
		switch s := &list.List[i]; {
		case s.State == volume.SnapshotDeleting:
			list.List = slices.Delete(list.List, i, i+1)
		case m.failing != "":
			s.State, s.Error = volume.SnapshotFailed, m.failing
		default:
			s.State, s.At = volume.SnapshotReady, block.Position{Seq: block.Seq(len(m.c.changes))}
		}
		if s := m.c.attachment(id); s == nil || s.Number == 0 || started.Attached == 0 {
			m.c.t.Fatalf("node %s serves a volume without an attachment", m.record.Name)
		}
		m.c.apply(m.index, metadata.Txn{Ops: []metadata.Op{{Key: volume.SnapshotsKey(id), Value: volume.Encode(*list)}}})
		m.tend(id)
	})
}

// follow is what a session does about its volume's placement: as if copies were
// filled in no time.
func (m *machine) follow(id block.VolumeID) {
	c, p := m.c.config(id), m.c.placement(id)
	if c == nil || c.Tombstone || p == nil || p.Reached(c) {
		return
	}
	c.Epoch++
	c.Members = slices.DeleteFunc(c.Members, func(o volume.Member) bool { return !p.Wants(o.Replica) })
	for _, at := range p.Copies {
		if o := c.Member(at.Replica); o != nil {
			o.State = volume.InSync
			continue
		}
		c.Members = append(c.Members, volume.Member{Replica: at.Replica, Node: at.Node, Disk: at.Disk, State: volume.InSync})
	}
	m.c.apply(m.index, metadata.Txn{Ops: []metadata.Op{configOp(c)}})
}

// use makes a volume serve, if it does not yet, and has it used by containers;
// by none it lingers.
func (m *machine) use(id block.VolumeID, containers ...string) {
	uses := volume.Uses{Lingering: len(containers) == 0}
	for _, name := range containers {
		uses.Users = append(uses.Users, volume.User{Mount: "id of " + name, Container: name, Since: "2026-01-02T03:04:05Z"})
	}
	m.control(step.Control{Kind: step.VolumeServing, Volume: id})
	m.later(func() {
		if _, found := m.serving[id]; found {
			m.uses[id] = uses
			m.step(&step.Event{Kind: step.EventControl, Control: step.Control{Kind: step.VolumeUsed, Volume: id, Uses: &uses}})
		}
	})
}

// end makes a coordinator end and say so.
func (m *machine) end(id block.VolumeID, how step.ControlKind) {
	delete(m.serving, id)
	delete(m.uses, id)
	m.control(step.Control{Kind: how, Volume: id})
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
		if m.first == nil {
			m.first = maps.Clone(m.c.items)
		}
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

func (m *machine) fire(i int) {
	timer := m.timers[i]
	m.timers = slices.Delete(m.timers, i, i+1)
	m.c.now = max(m.c.now, timer.At)
	m.step(&step.Event{Kind: step.EventTimer, Tag: timer.Tag})
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
