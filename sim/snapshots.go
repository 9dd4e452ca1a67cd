package sim

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/disk"
)

// Snapshots are taken, deleted and read by clients. What one holds is known from
// its place in the stream: see images.

// drawSnapshots makes the volumes of half of the runs have some, and of three quarters
// of those whose disks fill up: there merges meet the end of the space. Such disks have
// no room for clones.
func (p *Plan) drawSnapshots() {
	if s := newStream(p.Seed, "snapshots", 0); s.oneIn(2) || p.Full && s.oneIn(2) {
		p.Snapshots, p.Clones = s.between(1, 6), s.below(3)
	}
	if p.Full {
		p.Clones = 0
	}
	s := newStream(p.Seed, "restores", 0)
	p.Restores = p.Snapshots > 0 && !p.Full && s.oneIn(2)
	p.Deletes = p.Clones > 0 && s.oneIn(2)
}

// changeSnapshots changes the list as a user's command does.
func (w *World) changeSnapshots(v *volumeState, change func(list *volume.Snapshots)) {
	if v.deleted {
		return
	}
	list := volume.Snapshots{Format: volume.Format, Volume: v.id}
	if v.snapshots != nil {
		list = *v.snapshots.Clone()
	}
	change(&list)
	w.metadata.put(metadata.Op{Key: volume.SnapshotsKey(v.id), Value: volume.Encode(list)})
}

// takeSnapshot asks for one more snapshot, if the volume may have more.
func (c *client) takeSnapshot(_ *operation, o Operation) {
	w, v := c.world, c.volume
	if v.snapshots != nil && len(v.snapshots.List) >= w.plan.Snapshots {
		c.dropSnapshot(nil, o)
		return
	}
	c.note(&o)
	w.snapshot(v, 0)
}

// snapshot asks for a snapshot, and to go back to an older one with it.
func (w *World) snapshot(v *volumeState, restores block.LayerID) block.LayerID {
	w.layers++
	id := block.LayerID(scramble(w.plan.Seed^w.layers<<40) | 1)
	v.floors[id] = floor{acked: v.acked, losses: v.losses}
	w.counts.Snapshots++
	w.tracef(nil, "%s: snapshot %x is asked for", v.name, id)
	w.changeSnapshots(v, func(list *volume.Snapshots) {
		list.List = append(list.List, volume.Snapshot{
			Layer: id, Name: fmt.Sprintf("s%d", w.layers), State: volume.SnapshotCreating, Blocks: uint64(v.plan.Blocks),
			Created: "2026-01-01T00:00:00Z", Restores: restores,
		})
	})
	return id
}

// floor is what a client knew when it asked for a snapshot.
type floor struct {
	acked  block.Seq
	losses int
}

// dropSnapshot asks for the deletion of the oldest snapshot, or of the one after.
func (c *client) dropSnapshot(_ *operation, o Operation) {
	v := c.volume
	if v.snapshots == nil {
		return
	}
	var ended []block.LayerID
	for i := range v.snapshots.List {
		if s := &v.snapshots.List[i]; (s.State == volume.SnapshotReady || s.State == volume.SnapshotFailed) && !c.world.isBeingCloned(v, s.Layer) {
			ended = append(ended, s.Layer)
		}
	}
	if len(ended) == 0 {
		return
	}
	c.note(&o)
	c.world.deleteSnapshot(v, ended[int(v.endedSnaps)%min(2, len(ended))])
	v.endedSnaps++
}

func (w *World) deleteSnapshot(v *volumeState, id block.LayerID) {
	w.tracef(nil, "%s: snapshot %x is to be deleted", v.name, id)
	w.changeSnapshots(v, func(list *volume.Snapshots) { list.Find(id).State = volume.SnapshotDeleting })
}

// readSnapshot reads from one of the snapshots.
func (c *client) readSnapshot(_ *operation, o Operation) {
	ready := c.volume.ready()
	if len(ready) == 0 || c.mount == nil || c.volume.crowded(o.Range) || int(o.Range.End()) > c.mount.blocks {
		return
	}
	c.note(&o)
	r := o.Range
	if over := int(r.First)%block.PerChunk + int(r.Count) - block.PerChunk; over > 0 {
		r.Count -= uint32(over)
	}
	c.askLayer(ready[int(r.First)%len(ready)].Layer, r, c.maps && c.mapper.oneIn(2))
}

// ready returns the snapshots that can be read.
func (v *volumeState) ready() (list []volume.Snapshot) {
	if v.snapshots == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(v.snapshots.List), func(s volume.Snapshot) bool { return s.State != volume.SnapshotReady })
}

// readLayer asks for blocks of a snapshot, or of the volume if that is 0. Histories
// know nothing of it.
func (c *client) readLayer(id block.LayerID, r block.Range) *request {
	return c.askLayer(id, r, false)
}

// askLayer is readLayer, or asks only where there is data.
func (c *client) askLayer(id block.LayerID, r block.Range, maps bool) *request {
	w, st := c.world, c.mount
	w.requested++
	q := w.newRequest()
	*q = request{id: w.requested, client: c, epoch: c.epoch, kind: step.ReadRequest, apart: true, layer: id, maps: maps, blocks: r, mount: st, asked: w.now}
	it := w.queue.push(w.now)
	it.kind, it.body, it.life, it.shard = itemEvent, st.shard.body, st.shard.body.life, st.shard
	it.event.Kind = step.EventRequest
	it.event.Request = step.Request{ID: q.id, Kind: step.ReadRequest, Layer: id, Map: maps, Range: r}
	c.volume.occupy(r, 1)
	st.requests = append(st.requests, q)
	w.requests[q.id] = q
	c.inFlight++
	return q
}

// completeApart takes the answer to a read of a snapshot (I11). It may be refused:
// a snapshot is gone as soon as somebody deletes it.
func (w *World) completeApart(s *shard, q *request, c *step.Completion) {
	v := q.client.volume
	switch c.Error {
	case step.RequestOK:
		if q.maps {
			w.checkMap(s, q)
			break
		}
		w.counts.SnapshotReads++
		w.checkLayer(v, q.layer, q.blocks, c.Payload.Bytes(), func(n int) string {
			return fmt.Sprintf("%s reads block %d of snapshot %x of %s as %s", s, n, q.layer, v.name, w.blockText(c.Payload.Bytes(), n-int(q.blocks.First)))
		})
	case step.RequestIO:
		if v.readable(w) && !v.beyond {
			w.fail("I16", "%s answers a read from block %d of snapshot %x of %s on with an I/O error", s, q.blocks.First, q.layer, v.name)
		}
		w.counts.Unreadable++
	case step.RequestRefused:
	case step.RequestAmbiguous, step.RequestNoSpace:
		w.fail("completions", "%s answers a read of a snapshot with: %s", s, outcomeText(c.Error))
	}
	c.Payload.Release()
	w.finished(q, c.Error == step.RequestOK)
}

// checkLayer compares what a snapshot is said to hold with what the stream had at
// its place.
func (w *World) checkLayer(v *volumeState, id block.LayerID, r block.Range, data []byte, text func(n int) string) {
	if v.beyond || !v.images.has(id) {
		return
	}
	if n := v.images.differs(id, r, data, w.plan.BlockSize); n >= 0 {
		w.fail("I11", "%s; the stream had something else there", text(n))
	}
}

// listed takes note of a change of the list. A snapshot that is ready stays what
// it is for ever; it holds whatever was acknowledged before it was asked for.
func (w *World) listed(v *volumeState, list *volume.Snapshots) {
	before := v.snapshots
	v.snapshots = list
	for i := range list.List {
		s := &list.List[i]
		if before != nil {
			if old := before.Find(s.Layer); old != nil && old.State == s.State {
				continue
			}
		}
		if w.watched() {
			w.tracef(nil, "%s: snapshot %x is %s %s", v.name, s.Layer, s.State, s.Error)
		}
		switch s.State {
		case volume.SnapshotReady:
			w.becameReady(v, s)
		case volume.SnapshotFailed:
			if !w.plan.Full {
				w.fail("space", "snapshot %x of %s fails: %s", s.Layer, v.name, s.Error)
			}
			w.counts.SnapshotsFailed++
		case volume.SnapshotCreating, volume.SnapshotDeleting:
		}
	}
}

func (w *World) becameReady(v *volumeState, s *volume.Snapshot) {
	w.counts.SnapshotsReady++
	v.images.upTo(s.At.Seq, w.zeroSum)
	if v.beyond {
		return
	}
	if v.images.taken[s.Layer] == nil {
		w.fail("I11", "snapshot %x of %s is ready, and no record up to %v took it", s.Layer, v.name, s.At)
	}
	if f := v.floors[s.Layer]; f.losses == v.losses && f.acked > s.At.Seq {
		w.fail("I11", "snapshot %x of %s is at %v, and operation %d was acknowledged before it was asked for", s.Layer, v.name, s.At, f.acked)
	}
	if s.Layer == v.restore.layer {
		w.restored(v)
	}
}

// snapshotsSettled reports whether nothing waits to be done for v's snapshots.
func (v *volumeState) snapshotsSettled() bool { return v.snapshotsText() == "" }

func (v *volumeState) snapshotsText() string {
	var left []string
	if v.snapshots != nil {
		for _, s := range v.snapshots.List {
			if s.State == volume.SnapshotCreating || s.State == volume.SnapshotDeleting {
				left = append(left, fmt.Sprintf("snapshot %x is %s", s.Layer, s.State))
			}
		}
	}
	return strings.Join(left, ", ")
}

// readSnapshots reads every snapshot of every volume of a healed world, once more
// where the operator moved the volume meanwhile.
func (w *World) readSnapshots() {
	for range 4 {
		if w.readEverySnapshot() {
			return
		}
		w.run(w.now+int64(w.plan.Liveness), w.recovered)
	}
	w.fail("liveness", "snapshots cannot be read in a healed world: %s", w.missing())
}

func (w *World) readEverySnapshot() bool {
	open, all := 0, true
	for i, v := range w.volumes {
		if v.lost() {
			continue
		}
		c := newClient(w, len(w.plan.Clients)+i, &ClientPlan{Volume: i, Depth: 1})
		c.mount = v.newest()
		for _, s := range v.ready() {
			for first := 0; first < v.plan.Blocks; first += block.PerChunk {
				open++
				r := block.Range{First: block.Block(first), Count: uint32(min(block.PerChunk, v.plan.Blocks-first))}
				c.readLayer(s.Layer, r).reader = func(ok bool) {
					open--
					all = all && (ok || v.beyond || !v.readable(w))
				}
			}
		}
	}
	w.run(w.now+int64(w.plan.Liveness), func() bool { return open == 0 })
	if open > 0 {
		w.fail("liveness", "%d reads of snapshots were not answered in %v: %s", open, w.plan.Liveness, w.missing())
	}
	return all
}

// compareSnapshots looks at what a disk that lost power at this moment holds of a
// copy: the snapshots that are listed, each as the stream made it (I10, I11), and
// no others.
func (w *World) compareSnapshots(v *volumeState, b *body, m *volume.Member, holes *snapshotHoles) {
	if v.beyond || w.plan.Snapshots == 0 {
		return
	}
	d := b.drives[0]
	bare := w.afterLoss(d, disk.LoseAll)
	if d.unsound && !bare.holdsAll(d, m.Replica) {
		return
	}
	info := bare.mustFind(m.Replica)
	for _, l := range bare.store.Layers(info.Handle, nil) {
		if l.Own && l.ID != 0 && !l.Deleted && (v.snapshots == nil || v.snapshots.Find(l.ID) == nil) {
			w.fail("debris", "%s holds snapshot %x of %s, which is not listed", b.name, l.ID, v.name)
		}
	}
	v.images.upTo(info.LastAccepted.Seq, w.zeroSum)
	holes.copies++
	for _, s := range append(v.ready(), volume.Snapshot{}) {
		if s.Layer != 0 && !bare.store.HasLayer(info.Handle, s.Layer) {
			w.fail("I10", "%s does not hold snapshot %x of %s, which is ready", b.name, s.Layer, v.name)
		}
		bare.eachRange(d, v.plan.Blocks, func(r block.Range) {
			switch data := bare.read(d, info.Handle, s.Layer, r); {
			case data == nil && s.Layer != 0:
				holes.add(s.Layer, r.First, b)
			case data != nil:
				w.checkLayer(v, s.Layer, r, data, func(n int) string {
					return fmt.Sprintf("block %d of snapshot %x of %s on %s is %s", n, s.Layer, v.name, b.name, w.blockText(data, n-int(r.First)))
				})
			}
		})
	}
}

// snapshotHoles are blocks of snapshots that copies in sync cannot give.
type snapshotHoles struct {
	copies int // that were looked at
	list   []snapshotHole
}

type snapshotHole struct {
	layer block.LayerID
	block block.Block
	on    []*body
}

func (h *snapshotHoles) add(layer block.LayerID, b block.Block, on *body) {
	i := slices.IndexFunc(h.list, func(o snapshotHole) bool { return o.layer == layer && o.block == b })
	if i < 0 {
		i = len(h.list)
		h.list = append(h.list, snapshotHole{layer: layer, block: b})
	}
	h.list[i].on = append(h.list[i].on, on)
}

// compareHoles insists that what one copy in sync has of a snapshot all have, after
// all disks were scrubbed (I16).
func (w *World) compareHoles(v *volumeState, h *snapshotHoles) {
	for _, hole := range h.list {
		if len(hole.on) < h.copies {
			w.fail("I16", "block %d of snapshot %x of %s cannot be read on %s after all disks were scrubbed, and another copy has it", hole.block, hole.layer, v.name, hole.on[0].name)
		}
	}
}

// mergedAfter is when a store without work has merged what was deleted.
const mergedAfter = 60 * time.Second

// dropSnapshots deletes every snapshot of some healed worlds: nothing may be left
// of them.
func (w *World) dropSnapshots() {
	if s := newStream(w.plan.Seed, "drop snapshots", 0); w.plan.Snapshots == 0 || !s.oneIn(3) {
		return
	}
	w.clearSnapshots()
	w.run(w.now+int64(mergedAfter), nil)
	for _, v := range w.volumes {
		for i := range v.config.Members {
			w.checkMerged(v, &v.config.Members[i])
		}
	}
}

// clearSnapshots has every snapshot deleted, and waits until that is done.
func (w *World) clearSnapshots() {
	each := func(is func(*volumeState) bool) func() bool {
		return func() bool {
			return !slices.ContainsFunc(w.volumes, func(v *volumeState) bool { return v.snapshots != nil && !v.lost() && !is(v) })
		}
	}
	w.run(w.now+int64(w.plan.Liveness), each((*volumeState).snapshotsSettled))
	for _, v := range w.volumes {
		if v.snapshots == nil {
			continue
		}
		w.changeSnapshots(v, func(list *volume.Snapshots) {
			for i := range list.List {
				if s := &list.List[i]; s.State == volume.SnapshotReady || s.State == volume.SnapshotFailed {
					s.State = volume.SnapshotDeleting
				}
			}
		})
	}
	cleared := each(func(v *volumeState) bool { return len(v.snapshots.List) == 0 })
	if w.run(w.now+int64(w.plan.Liveness), cleared); !cleared() {
		w.fail("liveness", "snapshots are not deleted in %v: %s", w.plan.Liveness, w.missing())
	}
}

// checkMerged looks for layers of a copy whose volume has no snapshot any more.
func (w *World) checkMerged(v *volumeState, m *volume.Member) {
	state, s := v.member(m.Replica), w.bodyOf(m.Node).diskShard(m.Disk)
	if m.State != volume.InSync || state.gone || state.refused || v.lost() || v.beyond || s == nil || !s.ready || w.bodyOf(m.Node).drives[0].damaged {
		return
	}
	found := w.storeOf(s)
	for _, info := range found.Replicas(nil) {
		layers := slices.DeleteFunc(found.Layers(info.Handle, nil), func(l store.LayerInfo) bool {
			return l.ID == 0 || !l.Own || l.Deleted && w.isCloned(v)
		})
		if info.Replica == m.Replica && len(layers) > 0 {
			w.fail("debris", "%s has %d snapshots of %s, which has none: %+v", s, len(layers), v.name, layers)
		}
	}
}
