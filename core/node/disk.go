package node

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/replica"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
)

const (
	spaceEvery  = 5 * time.Second  // how often a change of free space is reported
	reopenAfter = time.Second      // before a disk that could not be opened is tried again,
	reopenMax   = 30 * time.Second // twice as long each time, at most this
)

// The tags of a disk's shard: the store's effects carry owner storeOwner.
const (
	storeOwner = 1
	diskOwner  = 2
	spaceSlot  = 0
	reopenSlot = 1
	scrubSlot  = 2
	cloneSlot  = 3
	countSlot  = 4
)

// Disk is the shard of one disk: its store, its replicas, and the connections
// that coordinators have to them.
//
//	[ opening ] ──Opened──▶ [ open ] ──write or sync error──▶ [ opening ], tainted
//	     └── superblock or journal unreadable ──▶ [ unusable ], tried again now and then;
//	                                              the node's other disks serve
type Disk struct {
	node     Params
	params   DiskParams
	random   uint64
	store    *store.Store
	open     bool
	failures int // openings that failed in a row
	disk     block.DiskID
	started  bool   // the first opening is behind: later replicas are known to be new
	taint    uint32 // of the last failure of this boot
	epoch    uint32 // of the store; timers and disk operations of an older one are late
	flying   int    // disk operations under way, of whichever life
	due      bool   // to be opened as soon as none is under way

	replicas map[block.ReplicaID]*replica.Replica
	handles  map[store.Handle]*replica.Replica
	conns    map[step.Conn]*replica.Replica
	making   map[uint64]block.ReplicaID       // tokens of Create
	waiting  map[block.ReplicaID]step.Control // clones whose snapshot is not here yet
	freeing  map[uint64]*replica.Replica      // tokens of Delete
	tokens   uint64
	reported int64 // free bytes as last reported
	scrub    scrub
	counting bool // what is used is being counted on

	// Opened, if set, is called with the disk's identity as soon as the store
	// is open, within Step: before anybody is told that the disk is ready.
	Opened func(id block.DiskID)

	results []store.Result     // being handed on
	touched []*replica.Replica // whose acknowledgements are due at the end of the step
}

// NewDisk returns the shard of a formatted disk. It opens its store on
// EventStart and reports DiskReady or DiskUnusable.
func NewDisk(p Params, d DiskParams) *Disk {
	return &Disk{
		node: p, params: d, taint: d.Taint, disk: d.Disk,
		random: derive(p.Seed, 3, uint64(d.Index)),
	}
}

// ID returns the disk's identity; ok is false until it is open.
func (d *Disk) ID() (id block.DiskID, ok bool) { return d.disk, d.open }

// Replica returns one of the disk's replicas, or nil.
func (d *Disk) Replica(id block.ReplicaID) *replica.Replica { return d.replicas[id] }

// Store returns the disk's store, for checks at rest.
func (d *Disk) Store() *store.Store { return d.store }

// Step takes one event.
func (d *Disk) Step(now step.Time, ev *step.Event, out *step.Effects) {
	before := len(out.Disk)
	d.take(now, ev, out)
	d.drain(now, out)
	d.flying += len(out.Disk) - before
	invariant.That(d.flying >= 0, "a disk operation completes once")
}

func (d *Disk) take(now step.Time, ev *step.Event, out *step.Effects) {
	switch ev.Kind {
	case step.EventStart:
		d.reopen(now, out)
	case step.EventTimer:
		d.onTimer(now, ev, out)
	case step.EventDiskDone:
		d.onDiskDone(now, ev, out)
	case step.EventAccepted:
		d.onAccepted(now, ev, out)
	case step.EventMessage:
		d.onMessage(now, ev, out)
	case step.EventClosed:
		if r := d.conns[ev.Conn]; r != nil {
			r.Closed(now, ev.Conn, out)
			delete(d.conns, ev.Conn)
		}
	case step.EventControl:
		d.onControl(now, &ev.Control, out)
	case step.EventInvalid, step.EventConnected, step.EventTransaction, step.EventWatch,
		step.EventRequest, step.EventDelivered, step.EventCommand:
		invariant.That(false, "an event that disks are sent")
	}
}

func (d *Disk) onDiskDone(now step.Time, ev *step.Event, out *step.Effects) {
	d.flying--
	if ev.Taint != 0 {
		d.taint = ev.Taint
	}
	if ev.Tag.Owner == d.owner() {
		d.store.Step(now, ev, out)
	}
	if d.due {
		d.reopen(now, out)
	}
}

// owner tags the effects of the store's present life.
func (d *Disk) owner() uint32 { return storeOwner + d.epoch<<8 }

func (d *Disk) onTimer(now step.Time, ev *step.Event, out *step.Effects) {
	switch {
	case ev.Tag.Owner == d.owner():
		d.store.Step(now, ev, out)
	case ev.Tag.Owner != diskOwner || ev.Tag.Generation != d.epoch:
	case ev.Tag.Slot == cloneSlot:
		d.makeWaiting(now, out)
	case ev.Tag.Slot == reopenSlot:
		d.reopen(now, out)
	case ev.Tag.Slot == scrubSlot:
		d.scrub.asked = false
		d.scrubNext(now, out)
	case ev.Tag.Slot == countSlot:
		d.store.Measure(now, 0, out)
	case ev.Tag.Slot == spaceSlot:
		out.After(now, spaceEvery, step.Tag{Owner: diskOwner, Slot: spaceSlot, Generation: d.epoch})
		d.count(now, out)
		if capacity, free := d.store.Space(); free != d.reported {
			d.reported = free
			d.tell(step.Control{Kind: step.DiskSpace, Capacity: capacity, Free: free}, out)
		}
	}
}

// reopen starts a new life of the store: the first, or after a failure. A write
// of the former life that is still under way could land on what the new one has
// written, so it waits for all of them, however long a sick disk takes.
func (d *Disk) reopen(now step.Time, out *step.Effects) {
	if d.due = d.flying > 0; d.due {
		out.Marks.Hit("disk: opening waits for operations of the former life")
		return
	}
	d.open, d.counting = false, false
	d.epoch++
	d.store = store.New(store.Params{
		Pool: d.node.Pool, Seed: derive(d.random, 4, uint64(d.epoch)), Owner: d.owner(), Limits: d.node.Limits,
	})
	d.replicas = map[block.ReplicaID]*replica.Replica{}
	d.handles = map[store.Handle]*replica.Replica{}
	d.conns = map[step.Conn]*replica.Replica{}
	d.making = map[uint64]block.ReplicaID{}
	d.waiting = map[block.ReplicaID]step.Control{}
	d.freeing = map[uint64]*replica.Replica{}
	d.store.Open(now, d.params.Capacity, out)
}

// drain hands the store's results on until there are none. Taking a result can
// cause others.
func (d *Disk) drain(now step.Time, out *step.Effects) {
	for {
		d.results = append(d.results[:0], d.store.Results()...)
		if len(d.results) == 0 {
			break
		}
		for i := range d.results {
			d.onResult(now, &d.results[i], out)
		}
		clear(d.results)
	}
	for _, r := range d.touched {
		r.Flush(out)
	}
	d.touched = d.touched[:0]
}

// touch has r's acknowledgements sent at the end of the step.
func (d *Disk) touch(r *replica.Replica) {
	if !slices.Contains(d.touched, r) {
		d.touched = append(d.touched, r)
	}
}

func compareReplicas(a, b block.ReplicaID) int { return slices.Compare(a[:], b[:]) }

func (d *Disk) onResult(now step.Time, res *store.Result, out *step.Effects) {
	switch res.Kind {
	case store.Opened:
		d.onOpened(now, out)
	case store.Failed:
		d.onFailed(now, res, out)
	case store.Rotten:
		d.scrub.Lost++
		if r := d.handles[res.Handle]; r != nil {
			r.Result(now, res, out)
		}
	case store.ScrubDone:
		d.onScrubDone(now, res, out)
	case store.MeasureDone:
		d.onCounted(now, res, out)
	case store.RecordDone:
		if d.onRecordDone(now, res, out) {
			return
		}
		fallthrough
	default:
		if r := d.handles[res.Handle]; r != nil {
			d.touch(r)
			r.Result(now, res, out)
			return
		}
		res.Payload.Release()
	}
}

func (d *Disk) onOpened(now step.Time, out *step.Effects) {
	if found := d.store.Disk(); d.params.Disk != (block.DiskID{}) && found != d.params.Disk {
		d.tell(step.Control{Kind: step.DiskUnusable, Text: fmt.Sprintf("it carries the store of disk %v, not of disk %v", found, d.params.Disk)}, out)
		return
	}
	d.open, d.failures = true, 0
	d.disk = d.store.Disk()
	if d.Opened != nil {
		d.Opened(d.disk)
	}
	for _, info := range d.store.Replicas(nil) {
		d.adopt(now, info, true)
	}
	d.started = true
	capacity, free := d.store.Space()
	d.reported = free
	d.tell(step.Control{Kind: step.DiskReady, Capacity: capacity, Free: free}, out)
	for _, id := range slices.SortedFunc(maps.Keys(d.replicas), compareReplicas) {
		d.tell(step.Control{Kind: step.ReplicaMade, Replica: id, Volume: d.replicas[id].Volume()}, out)
	}
	out.After(now, spaceEvery, step.Tag{Owner: diskOwner, Slot: spaceSlot, Generation: d.epoch})
	d.scrub.asked = false
	d.scrubNext(now, out)
}

// adopt makes the replica of info: a new life, hence a new incarnation.
func (d *Disk) adopt(now step.Time, info store.ReplicaInfo, restarted bool) {
	d.tokens++
	r := replica.New(now, replica.Params{
		Store:       d.store,
		Info:        info,
		Incarnation: block.Incarnation(derive(d.random, 5+uint64(d.epoch)<<8, d.tokens) | 1),
		BootID:      d.node.Node.BootID,
		Taint:       d.taint,
		Restarted:   restarted,
	})
	d.replicas[info.Replica] = r
	d.handles[info.Handle] = r
}

// onFailed: a write or sync failed, so what was accepted may be gone although
// nobody restarted; or the disk could not be opened at all.
func (d *Disk) onFailed(now step.Time, res *store.Result, out *step.Effects) {
	out.Closes = append(out.Closes, slices.Sorted(maps.Keys(d.conns))...)
	if d.open {
		out.Marks.Hit("disk: failed while open, opened anew")
	}
	d.open = false
	clear(d.conns)
	clear(d.replicas)
	clear(d.handles)
	d.tell(step.Control{Kind: step.DiskUnusable, Text: res.Text}, out)
	wait := min(reopenAfter<<min(d.failures, 8), reopenMax)
	d.failures++
	out.After(now, wait, step.Tag{Owner: diskOwner, Slot: reopenSlot, Generation: d.epoch})
}

func (d *Disk) tell(c step.Control, out *step.Effects) {
	c.Disk = d.disk
	out.Controls = append(out.Controls, c)
}

// onAccepted takes a coordinator's connection to one of the replicas.
func (d *Disk) onAccepted(now step.Time, ev *step.Event, out *step.Effects) {
	r := d.replicas[ev.Hello.Replica]
	if r == nil || r.Volume() != ev.Hello.Volume {
		out.Closes = append(out.Closes, ev.Conn)
		return
	}
	d.conns[ev.Conn] = r
	r.Accept(now, ev.Conn, &ev.Hello, out)
}

func (d *Disk) onMessage(now step.Time, ev *step.Event, out *step.Effects) {
	r := d.conns[ev.Conn]
	if r == nil {
		ev.Message.Payload.Release()
		return
	}
	d.touch(r)
	r.Message(now, ev.Conn, &ev.Message, out)
}

func (d *Disk) onControl(now step.Time, c *step.Control, out *step.Effects) {
	if c.Kind == step.ScrubDisk {
		d.onScrubDisk(now, c.Scrub, out)
		return
	}
	if !d.open {
		return // DiskReady makes the orchestrator ask again
	}
	switch c.Kind {
	case step.MakeReplica:
		d.makeReplica(now, c, out)
	case step.FreeReplica:
		d.freeReplica(now, c, out)
	case step.ConfigChanged:
		for _, m := range c.Config.Members {
			if r := d.replicas[m.Replica]; r != nil {
				r.Learn(now, c.Config, out)
			} else if _, waits := d.waiting[m.Replica]; waits {
				d.makeReplica(now, &step.Control{Kind: step.MakeReplica, Volume: c.Volume, Replica: m.Replica, Config: c.Config}, out)
			}
		}
	default:
		invariant.That(false, "a control that disks are sent")
	}
}

// makeReplica creates a replica that a configuration lists on this disk. It is
// whole only if no record of the volume was ever written: one that is made
// later has lost what it once held, and must be filled. That of a clone begins
// with the snapshot that this disk has.
func (d *Disk) makeReplica(now step.Time, c *step.Control, out *step.Effects) {
	delete(d.waiting, c.Replica)
	if d.replicas[c.Replica] != nil {
		d.tell(step.Control{Kind: step.ReplicaMade, Replica: c.Replica, Volume: c.Volume}, out)
		return
	}
	if d.underWay(c.Replica) {
		return
	}
	member := c.Config.Member(c.Replica)
	if member == nil || member.Disk != d.disk || c.Config.Tombstone {
		return
	}
	meta := store.Meta{
		KnownEpoch: c.Config.Epoch, MemberEpoch: c.Config.Epoch,
		Complete: c.Config.Virgin() && member.State == volume.InSync,
	}
	var image store.Image
	if origin := c.Config.Origin; origin != nil && meta.Complete {
		var whole bool
		if image, whole = d.imageOf(origin); !whole {
			out.Marks.Hit("disk: snapshot to be cloned is not there")
			d.makeAgain(now, c, out)
			return
		}
	}
	d.tokens++
	_, status := d.store.Create(now, c.Replica, c.Volume, c.Config.Blocks, image, meta, d.tokens, out)
	if status == message.BehindSeq || status == message.WrongState && image != (store.Image{}) {
		out.Marks.Hit("disk: snapshot to be cloned is not there")
		d.makeAgain(now, c, out)
		return
	}
	if status != message.OK {
		out.Marks.Hit("disk: no room for another replica")
		return // its other replicas are served; DiskSpace makes the orchestrator ask again
	}
	d.making[d.tokens] = c.Replica
}

// freeReplica deletes a replica once a configuration proves that it is not and
// will not be needed. Its connections go first.
func (d *Disk) freeReplica(now step.Time, c *step.Control, out *step.Effects) {
	delete(d.waiting, c.Replica)
	r := d.replicas[c.Replica]
	if r == nil {
		if !d.underWay(c.Replica) {
			d.tell(step.Control{Kind: step.ReplicaFreed, Replica: c.Replica, Volume: c.Volume}, out)
		}
		return
	}
	if c.Config == nil || !r.MayBeFreed(c.Config) {
		out.Marks.Hit("disk: freeing a replica on a stale configuration refused")
		return
	}
	r.Drop(out)
	for _, conn := range slices.Sorted(maps.Keys(d.conns)) {
		if d.conns[conn] == r {
			delete(d.conns, conn)
		}
	}
	delete(d.replicas, r.ID())
	delete(d.handles, r.Handle())
	d.tokens++
	d.freeing[d.tokens] = r
	d.store.Delete(now, r.Handle(), d.tokens, out)
}

// underWay reports whether a replica is being made or freed. The orchestrator
// hears of it when that is done, and asks again if it wants the contrary.
func (d *Disk) underWay(id block.ReplicaID) bool {
	for _, made := range d.making { // any order: looks for one value
		if made == id {
			return true
		}
	}
	for _, freed := range d.freeing { // any order: looks for one value
		if freed.ID() == id {
			return true
		}
	}
	return false
}

// onRecordDone finishes a Create or Delete; ours is false for a replica's own
// records.
func (d *Disk) onRecordDone(now step.Time, res *store.Result, out *step.Effects) (ours bool) {
	if id, made := d.making[res.Token]; made && d.handles[res.Handle] == nil {
		delete(d.making, res.Token)
		if info, known := d.store.Info(res.Handle); known {
			d.adopt(now, info, false)
			d.tell(step.Control{Kind: step.ReplicaMade, Replica: id, Volume: info.Volume}, out)
		}
		return true
	}
	if r, freed := d.freeing[res.Token]; freed && d.handles[res.Handle] == nil {
		delete(d.freeing, res.Token)
		d.tell(step.Control{Kind: step.ReplicaFreed, Replica: r.ID(), Volume: r.Volume()}, out)
		return true
	}
	return false
}
