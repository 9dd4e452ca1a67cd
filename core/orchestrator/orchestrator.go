// Package orchestrator keeps one node's view of the cluster and does this
// node's part: it places volumes, attaches and detaches them here, deletes
// them, makes and frees the replicas on its disks, and starts and stops the
// coordinators of volumes attached here. Its callers are the body of the node,
// which hands it events, and the use cases, which read what it knows.
//
//	commands ──▶ operations ──▶ guarded transactions ──▶ metadata store
//	                                                          │
//	  MakeReplica, FreeReplica,      ┌─────────── watch ◀─────┘
//	  StartCoordinator, … ◀── reconcile
//	                                 └─ DiskReady, ReplicaMade, VolumeFenced, … from the other shards
//
// What the records ask of this node is compared with what has been done, volume
// by volume as they change, and what is missing is asked for: no command travels
// between nodes, so none can be lost. Duels between nodes cost a retry: every
// transaction is guarded by the revisions of what it was decided by. An answer
// that rests on no transaction of its own is confirmed by a linearizable read,
// since the view may lag behind.
package orchestrator

import (
	"strconv"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/orchestrator/view"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

const (
	tickEvery     = time.Second
	answerWithin  = 30 * time.Second       // a command: longer than any election, shorter than callers wait
	reissueAfter  = 100 * time.Millisecond // a transaction of unknown outcome, doubling
	reissueMax    = 2 * time.Second        // between two tries while the store is away
	operationsMax = 1024                   // commands under way: beyond that the node is not coping
	writesMax     = 64                     // of reconciliation under way: a store that is asked more often is no faster
	duelsMax      = 100                    // lost by one command before it gives up: each was progress of another
)

// Params is what an orchestrator is made from.
type Params struct {
	Node      volume.Node // this node's record
	Seed      uint64
	BlockSize int // bytes; 0 is block.Size
	// HealAfter is how long a copy's node or disk is gone before the copy is made
	// anew elsewhere; 0: it never is.
	HealAfter time.Duration
	// Held are the devices that outlived a former process of this node. Their
	// attachments are this process's own, as long as they are what is recorded.
	Held map[block.VolumeID]Held
}

// Held is what is known of a device that outlived the process which served it.
type Held struct {
	Number uint64      // of the attachment that it was made for
	Era    block.Epoch // of the session that served it first
}

// Orchestrator is a machine; see the package comment.
type Orchestrator struct {
	p      Params
	random random
	now    step.Time
	life   string // written under the alive key: tells this process from a former one
	view   *view.View

	started  step.Time
	disks    map[block.DiskID]*disk
	gone     map[block.DiskID]bool     // disks that were removed while this process ran
	nameless string                    // why a disk could not be opened whose identity is not known
	volumes  map[block.VolumeID]*local // those that this node has something to do with

	flights    map[uint32]*flight
	lastFlight uint32
	writing    map[string]bool         // keys with a write of reconciliation under way
	postponed  []block.VolumeID        // whose write waits until there are fewer
	waiting    map[block.VolumeID]bool // those in postponed

	lanes      map[string][]*operation // commands in order; the first of a lane is under way
	operations int
	ready      []*operation // to be looked at again
	dirty      map[block.VolumeID]bool
	machines   bool // the records of this node and its disks are to be compared
	witness    witness
	orphans    map[block.VolumeID]bool // a removed node would have to do something for them
	changing   map[block.VolumeID]bool // the first node has to settle their placement
	fills      map[block.VolumeID]bool // this node has attached them to fill copies
	healing    healing
	kept       map[block.VolumeID]bool // there is upkeep for them, or it is under way
	ended      bool                    // this node was removed, and the body told
}

// New returns an orchestrator; its first event is EventStart.
func New(p Params) *Orchestrator {
	if p.BlockSize == 0 {
		p.BlockSize = block.Size
	}
	p.Node.Format = volume.Format
	o := &Orchestrator{
		p:       p,
		random:  random(p.Seed),
		view:    view.New(p.Node.ID),
		disks:   map[block.DiskID]*disk{},
		gone:    map[block.DiskID]bool{},
		volumes: map[block.VolumeID]*local{},
		flights: map[uint32]*flight{},
		writing: map[string]bool{},
		waiting: map[block.VolumeID]bool{},
		lanes:   map[string][]*operation{},
		dirty:   map[block.VolumeID]bool{},
		witness: newWitness(),
		orphans: map[block.VolumeID]bool{},
		kept:    map[block.VolumeID]bool{},

		changing: map[block.VolumeID]bool{},
		fills:    map[block.VolumeID]bool{},
		healing:  newHealing(),
	}
	for id, h := range p.Held { // any order: each alone
		o.local(id).mine = h.Number
	}
	o.life = strconv.FormatUint(o.random.next(), 16)
	return o
}

// Step takes one event.
func (o *Orchestrator) Step(now step.Time, ev *step.Event, out *step.Effects) {
	o.now = now
	switch ev.Kind {
	case step.EventStart:
		o.started = now
		out.After(now, tickEvery, step.Tag{})
	case step.EventTimer:
		o.onTimer(ev.Tag, out)
	case step.EventTransaction:
		o.onTransaction(ev.Tag, &ev.Result, out)
	case step.EventWatch:
		o.onWatch(ev.Update, out)
	case step.EventControl:
		o.onControl(&ev.Control, out)
	case step.EventCommand:
		o.onCommand(ev.Command, out)
	case step.EventInvalid, step.EventDiskDone, step.EventConnected, step.EventAccepted,
		step.EventMessage, step.EventClosed, step.EventRequest, step.EventDelivered:
		// never sent to an orchestrator
	}
	o.settle(out)
}

// Timers: slot 0 is the tick, the others re-issue the flight of that number.
const tickSlot = 0

func (o *Orchestrator) onTimer(tag step.Tag, out *step.Effects) {
	if tag.Slot != tickSlot {
		if f := o.flights[tag.Slot]; f != nil && f.tries == tag.Generation {
			o.issue(tag.Slot, f, out)
		}
		return
	}
	out.After(o.now, tickEvery, step.Tag{})
	o.expire(out)
	o.wakeWanting()
	o.machines = true
	for id := range o.orphans { // any order: they are looked at in theirs
		o.dirty[id] = true
	}
	for id := range o.kept { // any order: likewise
		o.dirty[id] = true
	}
	for id := range o.changing { // any order: likewise
		o.dirty[id] = true
	}
	o.heal(out)
	o.rebalance(out)
}

func (o *Orchestrator) onWatch(u *metadata.Update, out *step.Effects) {
	first := !o.view.Known()
	if u.Snapshot && !first {
		out.Marks.Hit("orchestrator: watch began anew with a snapshot")
	}
	o.view.Watched(o.now, u)
	if first && o.view.Known() {
		o.machines = true
		o.readyAll()
	}
}

// settle compares desired and actual until nothing is left to do for now.
func (o *Orchestrator) settle(out *step.Effects) {
	if !o.view.Known() {
		return
	}
	for {
		changed := o.view.TakeChanged()
		for _, id := range changed {
			o.dirty[id] = true
		}
		o.tell(changed, out)
		if o.machines {
			o.machines = false
			o.reconcileMachines(out)
		}
		o.resume()
		if len(o.dirty) == 0 && len(o.ready) == 0 {
			return
		}
		o.reconcileDirty(out)
		ready := o.ready
		o.ready = nil
		for _, op := range ready {
			o.advance(op, out)
		}
	}
}

// random is splitmix64: all of an orchestrator's choices come from its seed.
type random uint64

func (r *random) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// id draws an identity.
func (r *random) id() (id block.ID) {
	for i := 0; i < len(id); i += 8 {
		x := r.next()
		for j := range 8 {
			id[i+j] = byte(x >> (8 * j))
		}
	}
	return id
}
