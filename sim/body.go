package sim

import (
	"fmt"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/disk"
)

// body is the body of one node: its host, and the process that runs there now
// and then. What the process knows dies with it; the disks and, until the power
// goes, their caches stay.
type body struct {
	world  *World
	index  int
	name   string // "n0"
	id     block.NodeID
	rand   stream // of its processes' seeds
	clock  clock
	boot   block.BootID
	boots  int
	drives []*drive

	absent      bool // it has not joined yet
	joined      bool // it did, in the run
	powered     bool
	life        uint32 // number of the running process; 0: none
	lives       uint32
	pausedUntil int64
	stood       int64 // how long its pauses took, all together

	pool         *pool
	params       node.Params
	orchestrator *shard
	disks        []*shard
	coordinators []*shard
	started      uint64 // coordinators made in this life
	survivors    []*survivor
	armed        *crashPlan
}

// drive is a device of a host.
type drive struct {
	id                    block.DiskID
	device                *disk.Disk
	taint                 uint32        // the marker of the last failed write or sync: outlives the process, gone with the boot
	taints                uint32        // numbers them
	old                   oldImage      // what it may go back to
	restored              bool          // it went back to an older image
	damaged               bool          // it does not give back all that was written
	misread               disk.Kind     // what happens to the next read
	misreadAt, misreadEnd int64         // where the last read went wrong
	miswrite              disk.Kind     // what happens to the next write
	unsound               bool          // its journal or metadata are not what was written
	refused               bool          // it is unsound, and its store does not open
	hides                 bool          // what it lost may look like an end that a power loss tore
	expected              []recovered   // what its copies should come back with
	lives                 int           // disks that were put into this slot
	scrub                 *volume.Scrub // how far it is, as last told; nil: none was asked for
}

// oldImage is the durable content of a disk at a moment, with what was wrong
// with it by then.
type oldImage struct {
	kept             bool
	content          disk.Image
	damaged, unsound bool
}

type shardKind uint8

const (
	orchestratorShard shardKind = iota
	diskShard
	coordinatorShard
)

// shard is one machine of a process.
type shard struct {
	body     *body
	kind     shardKind
	machine  node.Machine
	effects  step.Effects
	conns    []connRef
	accepted step.Conn
	gone     bool // dropped, while the process goes on

	disk   int            // of a diskShard
	ready  bool           // its store is open
	volume block.VolumeID // of a coordinatorShard
	state  *serving       // of a coordinatorShard
}

// connRef is a connection as its shard knows it.
type connRef struct {
	id   step.Conn
	conn *conn
	peer int // the other end
}

func (s *shard) String() string {
	switch s.kind {
	case diskShard:
		return fmt.Sprintf("%s/disk%d", s.body.name, s.disk)
	case coordinatorShard:
		return fmt.Sprintf("%s/coordinator", s.body.name)
	case orchestratorShard:
	}
	return s.body.name + "/orchestrator"
}

// peer returns a connection and its other end.
func (s *shard) peer(id step.Conn) (*conn, int) {
	for i := range s.conns {
		if r := &s.conns[i]; r.id == id {
			return r.conn, r.peer
		}
	}
	return nil, 0
}

func (s *shard) forget(id step.Conn) {
	for i := range s.conns {
		if s.conns[i].id == id {
			s.conns = append(s.conns[:i], s.conns[i+1:]...)
			return
		}
	}
}

func (b *body) diskShard(id block.DiskID) *shard {
	for i, d := range b.drives {
		if d.id == id && i < len(b.disks) && !b.disks[i].gone {
			return b.disks[i]
		}
	}
	return nil
}

func (b *body) coordinator(v block.VolumeID) *shard {
	for _, s := range b.coordinators {
		if s.volume == v && !s.gone {
			return s
		}
	}
	return nil
}

func (w *World) bodyOf(id block.NodeID) *body {
	for _, b := range w.bodies {
		if b.id == id {
			return b
		}
	}
	return nil
}

// start runs a new process on the host, through the real start path of a node.
func (b *body) start() {
	w := b.world
	b.lives++
	b.life = b.lives
	b.started = 0
	b.pool = &w.memory.pool
	b.params = node.Params{
		Node: volume.Node{
			Format: volume.Format, ID: b.id, Name: b.name, Address: b.name + ":7300", API: b.name + ":7301",
			BootID: b.boot, Version: "sim",
		},
		Seed:      b.rand.nonzero(),
		BlockSize: w.plan.BlockSize,
		Pool:      b.pool,
		Limits:    w.plan.Limits,
		Window:    w.plan.window(),
		HealAfter: w.plan.HealAfter,
		Held:      b.held(),
	}
	w.tracef(b, "process %d starts", b.life)
	w.shootBody(shotUp, b)
	b.orchestrator = &shard{body: b, kind: orchestratorShard, machine: w.makers.orchestrator(b)}
	b.begin(b.orchestrator)
	b.disks, b.coordinators = nil, nil
	for i, d := range b.drives {
		s := &shard{body: b, kind: diskShard, machine: w.makers.disk(b, d, i), disk: i}
		b.disks = append(b.disks, s)
		b.begin(s)
	}
	w.metadata.listen(b)
	b.tendDevices()
}

func (b *body) begin(s *shard) {
	it := b.world.queue.push(b.world.now)
	it.kind, it.body, it.life, it.shard = itemEvent, b, b.life, s
	it.event.Kind = step.EventStart
}

// startCoordinator makes the machine that serves a volume.
func (b *body) startCoordinator(c *step.Control) {
	if b.coordinator(c.Volume) != nil {
		b.world.fail("shards", "%s is told to start a second coordinator of volume %v", b.name, c.Volume)
	}
	b.started++
	s := &shard{body: b, kind: coordinatorShard, volume: c.Volume}
	s.machine = b.world.makers.coordinator(b, c)
	s.state = b.world.newServing(s)
	s.state.number = c.Number
	b.coordinators = append(b.coordinators, s)
	b.begin(s)
}

// dropCoordinator takes a machine away; its connections close in order.
func (b *body) dropCoordinator(v block.VolumeID) {
	s := b.coordinator(v)
	if s == nil {
		return
	}
	for len(s.conns) > 0 {
		b.world.network.close(s, s.conns[0].id)
	}
	s.gone = true
	b.world.abandon(s)
	for i, o := range b.coordinators {
		if o == s {
			b.coordinators = append(b.coordinators[:i], b.coordinators[i+1:]...)
			break
		}
	}
}

// kill ends the process as kill -9 does; the host and its page cache stay.
func (b *body) kill() {
	if b.life == 0 {
		return
	}
	b.world.counts.Kills++
	b.world.tracef(b, "process %d is killed", b.life)
	b.keepDevices()
	b.die()
	b.world.shootBody(shotDown, b)
	for _, d := range b.drives {
		d.device.Kill()
	}
	b.world.network.died(b, true)
}

// powerLoss takes the host away, and of what was not flushed as much as how says.
func (b *body) powerLoss(how disk.Loss) {
	if !b.powered {
		return
	}
	w := b.world
	w.counts.PowerLosses++
	b.die()
	for len(b.survivors) > 0 {
		b.tearDown(b.survivors[0], "the power is gone")
	}
	b.powered = false
	w.shootBody(shotOff, b)
	for i, d := range b.drives {
		lost := d.device.PowerLoss(how)
		d.taint = 0
		d.expectDurable()
		w.tracef(b, "power loss: disk %d %v", i, lost)
	}
	w.network.died(b, false)
	w.wound(b, -1, "power loss")
}

// die drops the objects of the process.
func (b *body) die() {
	for _, s := range b.coordinators {
		s.gone = true
		b.world.abandon(s)
	}
	for i, d := range b.drives {
		d.worksRight()
		b.expect(i)
	}
	b.life, b.pausedUntil, b.armed = 0, 0, nil
	b.coordinators, b.disks, b.orchestrator = nil, nil, nil
	b.world.metadata.died(b)
}

// powerOn boots the host: a new boot id, a clock that starts anew.
func (b *body) powerOn() {
	if b.powered {
		return
	}
	b.powered = true
	b.boots++
	b.boot = block.BootID(id('b', b.index, b.boots))
	b.clock.booted, b.clock.start = b.world.now, step.Time(b.rand.below(int(1e12)))
}

// up makes the host and its process run, if they do not and the cluster has them.
func (b *body) up() {
	if b.absent {
		return
	}
	b.powerOn()
	if b.life == 0 {
		b.start()
	}
}

// pause stops the process for a while, as SIGSTOP or a hypervisor would.
func (b *body) pause(until int64) {
	if b.life != 0 {
		b.stood += until - b.world.now
		b.pausedUntil = max(b.pausedUntil, until)
		b.world.metadata.paused(b)
		b.world.shootBody(shotPause, b)
	}
}

// complete ends a disk operation in the device; the event follows.
func (b *body) complete(it *item) {
	d := b.drives[it.disk]
	it.ended = true
	it.event.DiskError = d.device.Complete(it.handle)
	b.world.shootDisk(b)
	if it.event.DiskError == step.DiskOK {
		return
	}
	b.world.tracef(b, "disk %d: operation fails: error %d", it.disk, it.event.DiskError)
	if it.label != uint32(step.DiskRead)+1 {
		d.taints++
		d.taint = d.taints
		it.event.Taint = d.taint
		b.world.wound(b, int(it.disk), "disk error")
	}
}

// revive restarts a process some time after one of its disks stopped, as the
// supervisor of a node would. In a healed world somebody has seen that it does
// not help where the disk is refused.
func (w *World) revive(s *shard) {
	b, life := s.body, s.body.life
	w.after(w.plan.ReviveAfter, callStart, func() {
		if b.life == life && !s.ready && (!w.healed || !b.drives[s.disk].refused) {
			b.kill()
			b.up()
		}
	})
}
