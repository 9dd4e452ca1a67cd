package coordinator

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/volume"
)

// snapshots is what this session does for the volume's list of snapshots:
//
//	creating ──▶ SNAP in the stream ──▶ durable on every required member ──▶ ready
//	                       └── no member has room: a NOP takes its place ──▶ failed
//	deleting ──▶ DELSNAP ─────────────▶ likewise ──▶ not listed any more
//
// Where in the stream a snapshot was taken decides what it holds, so none needs a
// lock. Members do a record that comes a second time once: a session puts into
// the stream whatever it finds undone, as the one before may have.
type snapshots struct {
	list     *volume.Snapshots // newest known; nil: there never was one
	revision metadata.Revision // of list
	work     []shaping
	tag      uint32 // of the transaction under way
	asking   bool
	newest   block.Seq // of the newest record that shapes layers
}

// shaping is a record of this session that makes or ends a snapshot.
type shaping struct {
	layer  block.LayerID
	ends   bool
	at     block.Position
	blocks uint64 // size of the volume there
	failed string // why it was not done, if so
}

// state is that of the snapshots that w is about.
func (w *shaping) state() volume.SnapshotState {
	if w.ends {
		return volume.SnapshotDeleting
	}
	return volume.SnapshotCreating
}

// Why a snapshot was not made.
const (
	noRoomForSnapshot = "no copy has room for one more snapshot: free space or delete older ones"
	nothingToRestore  = "the snapshot to go back to does not exist any more"
)

// onSnapshots takes the list from the watch. It may be older than what this
// session knows.
func (c *Coordinator) onSnapshots(list *volume.Snapshots, revision metadata.Revision, out *step.Effects) {
	if list == nil || revision <= c.snapshots.revision {
		return
	}
	c.knowSnapshots(list, revision)
	c.driveSnapshots(out)
}

// readSnapshots takes the list from a transaction that read it.
func (c *Coordinator) readSnapshots(res *metadata.Result) {
	item, found := res.Find(volume.SnapshotsKey(c.p.Volume))
	if !found || item.Revision <= c.snapshots.revision {
		return
	}
	if list, err := volume.Parse[volume.Snapshots](item.Value); err == nil {
		c.knowSnapshots(&list, item.Revision)
	}
}

// knowSnapshots forgets what was done for snapshots that are not in that state
// any more.
func (c *Coordinator) knowSnapshots(list *volume.Snapshots, revision metadata.Revision) {
	s := &c.snapshots
	s.list, s.revision = list, revision
	s.work = slices.DeleteFunc(s.work, func(w shaping) bool {
		listed := list.Find(w.layer)
		return listed == nil || listed.State != w.state()
	})
}

// driveSnapshots goes on with whatever the list asks for. Level-triggered: it is
// safe to call after any event.
func (c *Coordinator) driveSnapshots(out *step.Effects) {
	if c.phase != serving || c.snapshots.list == nil {
		return
	}
	for i := range c.snapshots.list.List {
		if snapshot := &c.snapshots.list.List[i]; c.undone(snapshot) && !c.window.full() {
			c.shapeLayers(snapshot, out)
		}
	}
	c.reportSnapshots(out)
}

// undone reports whether this session has to put a record for s into the stream.
func (c *Coordinator) undone(s *volume.Snapshot) bool {
	if s.State != volume.SnapshotCreating && s.State != volume.SnapshotDeleting {
		return false
	}
	if slices.ContainsFunc(c.snapshots.work, func(w shaping) bool { return w.layer == s.Layer }) {
		return false
	}
	return s.State == volume.SnapshotCreating || !c.neededBelow(s.Layer)
}

// neededBelow reports whether a snapshot under way goes back to layer: whether
// its record is in the stream already is not known, so layer has to be there.
func (c *Coordinator) neededBelow(layer block.LayerID) bool {
	return slices.ContainsFunc(c.snapshots.list.List, func(s volume.Snapshot) bool {
		return s.State == volume.SnapshotCreating && s.Restores == layer
	})
}

// shapeLayers puts the record of a snapshot into the stream.
func (c *Coordinator) shapeLayers(s *volume.Snapshot, out *step.Effects) {
	at := block.Position{Era: c.era, Seq: c.window.next}
	w := shaping{layer: s.Layer, ends: s.State == volume.SnapshotDeleting, at: at, blocks: c.growth.stream}
	record := message.Record{Position: at, Op: message.OpSnap, Layer: s.Layer, Parent: s.Restores}
	switch {
	case w.ends:
		record = message.Record{Position: at, Op: message.OpDelSnap, Layer: s.Layer}
	case s.Restores != 0 && c.snapshots.list.Find(s.Restores) == nil:
		w.failed = nothingToRestore
	}
	c.snapshots.work = append(c.snapshots.work, w)
	if w.failed != "" {
		return
	}
	c.snapshots.newest = at.Seq
	c.window.push(entry{record: record, op: noOp, sentAt: c.now})
	for _, m := range c.members {
		if m.streaming {
			c.pump(m, out)
		}
	}
	c.resyncShaped(&record, out)
	c.askSyncTo(at.Seq, out)
}

// shapeRefused notes that no member had room for a record: a NOP took its place.
func (c *Coordinator) shapeRefused(at block.Position) {
	for i := range c.snapshots.work {
		if w := &c.snapshots.work[i]; w.at == at {
			w.failed = noRoomForSnapshot
		}
	}
}

// reportSnapshots records what became of the snapshots under way: in one
// transaction that only the session which serves can make.
func (c *Coordinator) reportSnapshots(out *step.Effects) {
	s := &c.snapshots
	if s.asking || c.proposed != nil {
		return
	}
	var next *volume.Snapshots
	for i := range s.work {
		w := &s.work[i]
		if w.failed == "" && c.stable < w.at.Seq {
			continue
		}
		if next == nil {
			next = s.list.Clone()
		}
		w.record(next)
	}
	if next == nil {
		return
	}
	s.asking = true
	s.tag++
	config, key := volume.ConfigKey(c.p.Volume), volume.SnapshotsKey(c.p.Volume)
	out.Transactions = append(out.Transactions, step.Transaction{
		Tag: step.Tag{Slot: snapshotsSlot, Generation: s.tag},
		Txn: metadata.Txn{
			Guards: []metadata.Guard{{Key: config, Revision: c.revision}, {Key: key, Revision: s.revision}},
			Ops:    []metadata.Op{{Key: key, Value: volume.Encode(*next)}},
			Read:   []string{config, key},
		},
	})
}

// record writes into a list what became of w.
func (w *shaping) record(list *volume.Snapshots) {
	if w.ends {
		list.List = slices.DeleteFunc(list.List, func(s volume.Snapshot) bool { return s.Layer == w.layer })
		return
	}
	listed := list.Find(w.layer)
	if w.failed != "" {
		listed.State, listed.Error = volume.SnapshotFailed, w.failed
		return
	}
	listed.State, listed.At, listed.Blocks = volume.SnapshotReady, w.at, w.blocks
	if listed.Restores != 0 {
		list.Restored = w.at.Seq
	}
}

// onSnapshotsRecorded takes the outcome. If it is not known the tick asks again,
// with the same guard on the list: it is changed at most once.
func (c *Coordinator) onSnapshotsRecorded(tag step.Tag, res *metadata.Result, out *step.Effects) {
	if tag.Generation != c.snapshots.tag {
		return
	}
	c.snapshots.asking = false
	switch res.Outcome {
	case metadata.Unknown:
		out.Marks.Hit("coordinator: record of snapshots of unknown outcome")
		return
	case metadata.Refused:
		out.Marks.Hit("coordinator: record of snapshots refused")
		if c.proposed == nil {
			c.adoptFrom(res, out)
		}
	case metadata.Applied:
		out.Marks.Hit("coordinator: snapshots recorded")
	}
	c.driveSnapshots(out)
}

// readable reports whether layer is the volume itself or a snapshot that can be
// read.
func (c *Coordinator) readable(layer block.LayerID) bool {
	if layer == 0 {
		return true
	}
	if c.snapshots.list == nil {
		return false
	}
	s := c.snapshots.list.Find(layer)
	return s != nil && (s.State == volume.SnapshotReady || s.State == volume.SnapshotCreating && c.taken(layer))
}

// taken reports whether a snapshot is ready, though the answer to the transaction
// that says so is not here yet: others may know of it.
func (c *Coordinator) taken(layer block.LayerID) bool {
	return slices.ContainsFunc(c.snapshots.work, func(w shaping) bool {
		return w.layer == layer && w.failed == "" && w.at.Seq <= c.stable
	})
}
