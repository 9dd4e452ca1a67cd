package sim

import (
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// operator is the container engine and the people around the cluster: it wants
// every volume to be served somewhere, moves it now and then, and moves it by
// force when its node is not heard from. It goes through the nodes' commands.
type operator struct {
	world   *World
	rand    stream
	wants   []want // by volume
	again   func() // turn
	command uint64
	hands   stream                         // of what handOver draws: other seeds stay what they were
	keeps   bool                           // containers let go of nothing
	heard   func(number uint64, err error) // of every answer; nil: nobody listens
	grown   int64                          // when volumes were last asked to grow in a healed world
	cleared int64                          // when short-lived volumes were last looked after
	gone    metadata.Revision              // at which none was left
	answers map[uint64]*volume.Answer      // to those who wait for one
}

// want is where a volume should be served.
type want struct {
	node      int
	since     int64 // when this became the wish, or was last asked for
	patience  time.Duration
	detaching bool // in order, before it is attached at node
	handing   bool // asked for without force
	asked     uint64
}

const (
	operatorTurn = 50 * time.Millisecond
	giveUpAfter  = 20 * time.Second // a volume that waits is attached anew
)

func newOperator(w *World) operator {
	o := operator{world: w, rand: newStream(w.plan.Seed, "operator", 0), hands: newStream(w.plan.Seed, "hand over", 0), wants: make([]want, len(w.volumes))}
	for i := range o.wants {
		o.wish(i)
	}
	return o
}

// wish draws where a volume is wanted first.
func (o *operator) wish(volume int) {
	for volume >= len(o.wants) {
		o.wants = append(o.wants, want{})
	}
	o.wants[volume] = want{node: o.rand.below(len(o.world.bodies)), since: -int64(time.Hour), patience: time.Second}
}

// turn looks after every volume, again and again.
func (o *operator) turn() {
	for i := range o.wants {
		o.look(o.world.volumes[i], &o.wants[i])
	}
	o.growAll()
	o.clearShortLived()
	o.world.busyClones()
	o.world.after(operatorTurn, callOperator, o.again)
}

func (o *operator) look(v *volumeState, want *want) {
	w := o.world
	if v.deleting {
		o.bury(v, want)
		return
	}
	b := w.bodies[want.node]
	waited := w.now - want.since
	if waited > int64(10*time.Second) {
		want.asked = 0 // its process died before it answered
	}
	if waited < int64(want.patience) {
		return
	}
	st := v.servingAt(b)
	switch {
	case b.life == 0 || w.metadata.views[b.index].cuts > 0:
		o.moveTo(v, want, o.another(v, want.node))
	case want.detaching && v.attachment.Node != (block.NodeID{}):
		want.detaching = false // it did not work in time: by force
		o.moveTo(v, want, want.node)
	case v.attachment.Node != b.id || st == nil:
		want.detaching = false
		o.attach(v, want)
	case !st.ready && waited > int64(giveUpAfter):
		o.rebootTainted(v)
		o.moveTo(v, want, o.another(v, want.node))
	case st.ready && st.text != "" && w.now-st.waits > int64(giveUpAfter) && !v.lost():
		w.counts.Reattached++
		o.rebootTainted(v)
		o.moveTo(v, want, o.another(v, want.node))
	}
}

// rebootTainted turns the hosts off and on again whose disks failed during this
// boot and which a volume waits for: what they hold is not trusted before. In
// the safety phase people sleep.
func (o *operator) rebootTainted(v *volumeState) {
	w := o.world
	if !w.healed || v.lost() {
		return
	}
	for i := range v.config.Members {
		m := &v.config.Members[i]
		b := w.bodyOf(m.Node)
		if m.State == volume.InSync && b.powered && b.drives[0].taint != 0 {
			w.counts.Reboots++
			w.tracef(b, "somebody turns it off and on again")
			w.stop(b, true, time.Second)
		}
	}
}

// content reports whether a volume is served where it should be, and nothing
// else was asked for.
func (o *operator) content(v *volumeState, i int) bool {
	want := &o.wants[i]
	st := v.newest()
	return want.asked == 0 && st != nil && st.shard.body.index == want.node && v.attachment.Node == st.shard.body.id
}

// servingAt returns v's coordinator at b.
func (v *volumeState) servingAt(b *body) *serving {
	for _, st := range v.servings {
		if st.shard.body == b && !st.shard.gone {
			return st
		}
	}
	return nil
}

// another draws a node that is up, other than the given one if possible; half
// of the time one that holds a copy.
func (o *operator) another(v *volumeState, not int) int {
	var list, copies []int
	for i, b := range o.world.bodies {
		if i != not && b.life != 0 && o.world.metadata.views[i].cuts == 0 {
			list = append(list, i)
			if slices.Contains(v.plan.Members, i) {
				copies = append(copies, i)
			}
		}
	}
	if len(copies) > 0 && o.rand.oneIn(2) {
		list = copies
	}
	if len(list) == 0 {
		return not
	}
	return list[o.rand.below(len(list))]
}

// moveTo wishes v to be served at another node from now on, by force.
func (o *operator) moveTo(v *volumeState, want *want, node int) {
	want.node, want.detaching = node, false
	o.attach(v, want)
}

// attach asks the wanted node to serve the volume.
func (o *operator) attach(v *volumeState, want *want) {
	b := o.world.bodies[want.node]
	want.handing = false
	want.since, want.patience, want.asked = o.world.now, o.rand.logSpan(200*time.Millisecond, 8*time.Second), 0
	if b.life == 0 {
		return
	}
	want.asked = o.send(b, volume.Command{Kind: volume.AttachVolume, Name: v.name, Force: true})
}

// detach asks for an orderly move: detach where it is, then attach at node.
func (o *operator) detach(v *volumeState, want *want, node int) {
	from := o.world.bodies[want.node]
	if from.life == 0 || v.servingAt(from) == nil {
		o.moveTo(v, want, node)
		return
	}
	o.world.counts.Detaches++
	want.asked = o.send(from, volume.Command{Kind: volume.DetachVolume, Name: v.name})
	want.node, want.detaching = node, true
	want.since, want.patience = o.world.now, o.rand.logSpan(500*time.Millisecond, 8*time.Second)
}

func (o *operator) send(b *body, c volume.Command) uint64 {
	o.command++
	c.ID = o.command
	if o.world.watched() {
		o.world.tracef(b, "command %d: %s %s", c.ID, commandText(&c), c.Name)
	}
	it := o.world.queue.push(o.world.now)
	it.kind, it.body, it.life, it.shard = itemEvent, b, b.life, b.orchestrator
	it.event.Kind, it.event.Command = step.EventCommand, &c
	return c.ID
}

func commandText(c *volume.Command) string {
	switch c.Kind {
	case volume.CreateVolume:
		return "create " + c.Spec.Name
	case volume.DeleteVolume:
		return "delete"
	case volume.DetachVolume:
		return "detach"
	case volume.AttachVolume:
		return "attach"
	case volume.RemoveNode:
		return "remove node"
	case volume.MarkFormatted, volume.FindVolume, volume.SetVolume, volume.CreateSnapshot, volume.DeleteSnapshot, volume.RestoreSnapshot,
		volume.CordonDisk, volume.RemoveDisk, volume.ChangeNode, volume.BalanceDisks:
	case volume.AddReplica:
		return "add a copy of"
	case volume.MoveReplica:
		return "move a copy of"
	case volume.RemoveReplica:
		return "remove a copy of"
	case volume.KeepReplicas:
		return "keep the copies of"
	case volume.RecoverVolume:
		return "recover"
	}
	return "other"
}

// answered takes the answer to a command.
func (o *operator) answered(b *body, a *volume.Answer) {
	o.world.tracef(b, "command %d: answered: %v", a.ID, a.Err)
	if o.heard != nil {
		o.heard(a.ID, a.Err)
	}
	if _, awaited := o.answers[a.ID]; awaited {
		kept := *a
		o.answers[a.ID] = &kept
	}
	for i := range o.wants {
		want := &o.wants[i]
		if want.asked != a.ID {
			continue
		}
		want.asked = 0
		if want.handing {
			o.handed(o.world.volumes[i], want, a.Err)
		}
		if want.detaching && a.Err == nil {
			want.detaching = false
			o.attach(o.world.volumes[i], want)
		}
	}
}

// createVolumes writes the records of the plan's volumes as the orchestrator's
// one transaction of a creation would.
func (w *World) createVolumes() {
	promised := map[int]int64{} // by node
	defer func() {
		for i, b := range w.bodies {
			if b.absent && promised[i] == 0 {
				continue // it makes its record when it joins
			}
			size := b.drives[0].device.Size()
			d := volume.Disk{Format: volume.Format, ID: b.drives[0].id, Node: b.id, Capacity: size, Free: size, Promised: promised[i]}
			w.metadata.put(metadata.Op{Key: volume.DiskKey(d.ID), Value: volume.Encode(d)})
		}
	}()
	for i := range w.plan.Volumes {
		p := &w.plan.Volumes[i]
		v := w.volumes[i]
		c := &volume.Config{
			Format: volume.Format, Volume: v.id, Blocks: uint64(p.first()), Epoch: 1, Change: 1,
			CleanAt: &block.Position{}, MinWritable: 1, Recovery: "wait",
		}
		for j, n := range p.Members {
			promised[n] += int64(p.first()) * int64(w.plan.BlockSize)
			c.Members = append(c.Members, volume.Member{
				Replica: block.ReplicaID(id('r', i, j)), Node: w.bodies[n].id, Disk: w.bodies[n].drives[0].id, State: volume.InSync,
			})
		}
		s := volume.Spec{
			Format: volume.Format, Volume: v.id, Name: v.name, Size: int64(p.first()) * int64(w.plan.BlockSize),
			Replicas: len(p.Members), Filesystem: "none", Created: "2026-01-01T00:00:00Z",
		}
		w.metadata.put(
			metadata.Op{Key: volume.NameKey(v.name), Value: []byte(v.id.String())},
			metadata.Op{Key: volume.SpecKey(v.id), Value: volume.Encode(s)},
			metadata.Op{Key: volume.ConfigKey(v.id), Value: c.Encode()},
		)
	}
}
