package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/metadata"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/linearizability"
)

// Clones are volumes that come into being while a run goes, each with a client of
// its own. A history knows nothing of what one begins with: to it, that reads as
// never written. So nobody zeroes blocks of a clone.

// addVolume makes the state of one more volume.
func (w *World) addVolume(p *VolumePlan) *volumeState {
	i := len(w.volumes)
	v := &volumeState{plan: p, id: block.VolumeID(id('v', i, 0)), name: fmt.Sprintf("v%d", i)}
	v.members, v.eras = make(map[block.ReplicaID]*memberState), make(map[block.Session]block.Epoch)
	v.accepted, v.began = make(map[saying]said), make(map[block.Epoch]beginning)
	v.counted = make(map[counted]block.Seq)
	v.writes = make(map[uint64]*request)
	v.proposed = make(map[uint64]proposal)
	v.syncing = make(map[block.ReplicaID]int)
	v.busy = make([]uint8, p.Blocks)
	v.floors = make(map[block.LayerID]floor)
	v.images = w.newImages(p.Blocks)
	v.history = linearizability.NewHistory(v.id)
	w.volumes = append(w.volumes, v)
	return v
}

// cloneSnapshot makes a volume of one of the snapshots, if the run may have more.
func (c *client) cloneSnapshot(_ *operation, o Operation) {
	w := c.world
	ready := c.volume.ready()
	if len(w.volumes) >= len(w.plan.Volumes)+w.plan.Clones || len(ready) == 0 || w.healed || c.volume.beyond ||
		!slices.ContainsFunc(c.volume.config.Members, func(m volume.Member) bool { return c.volume.lends(&m) }) {
		return
	}
	c.note(&o)
	w.clone(c.volume, ready[len(w.volumes)%len(ready)].Layer)
}

// lends reports whether clones begin with a copy: it is in sync, and stays.
func (v *volumeState) lends(m *volume.Member) bool {
	return m.State == volume.InSync && v.placement.Wants(m.Replica)
}

// clone writes the records of a clone as the orchestrator's one transaction would:
// on the disks of the copies that are in sync.
func (w *World) clone(v *volumeState, layer block.LayerID) *volumeState {
	p := *v.plan
	p.First = 0 // it has room for all that its origin may become
	n := w.addVolume(&p)
	n.origin, n.layer = v, layer
	n.base = v.images.of(layer)
	n.images.head = append(n.images.head[:0], n.base...)
	w.tracef(nil, "%s is cloned from snapshot %x of %s", n.name, layer, v.name)
	w.counts.Clones++
	config := &volume.Config{
		Format: volume.Format, Volume: n.id, Blocks: uint64(p.Blocks), Epoch: 1, Change: 1,
		CleanAt: &block.Position{}, MinWritable: 1, Recovery: "wait", Origin: &volume.Origin{Volume: v.id, Layer: layer},
	}
	size := int64(p.Blocks) * int64(w.plan.BlockSize)
	var ops []metadata.Op
	p.Members = nil
	for i, m := range v.config.Members {
		if !v.lends(&m) {
			continue
		}
		replica := block.ReplicaID(id('r', len(w.volumes)-1, i))
		p.Members = append(p.Members, w.bodyOf(m.Node).index)
		config.Members = append(config.Members, volume.Member{Replica: replica, Node: m.Node, Disk: m.Disk, State: volume.InSync})
		of := v.member(m.Replica) // nobody may have noticed yet what its disk has come to
		*n.member(replica) = memberState{gone: of.gone, refused: of.refused, unsound: of.unsound, since: w.now}
		ops = append(ops, w.promiseMore(m.Disk, size))
	}
	spec := volume.Spec{
		Format: volume.Format, Volume: n.id, Name: n.name, Size: size, Replicas: len(config.Members), Filesystem: "none", Created: "2026-01-01T00:00:00Z",
	}
	list := v.snapshots.Clone()
	from := list.Find(layer)
	from.Cloning = append(from.Cloning, n.id)
	w.metadata.put(append(ops,
		metadata.Op{Key: volume.NameKey(n.name), Value: []byte(n.id.String())},
		metadata.Op{Key: volume.SpecKey(n.id), Value: volume.Encode(spec)},
		metadata.Op{Key: volume.ConfigKey(n.id), Value: config.Encode()},
		metadata.Op{Key: volume.SnapshotsKey(v.id), Value: volume.Encode(*list)},
	)...)
	w.operator.wish(len(w.volumes) - 1)
	return n
}

// promiseMore promises more of a disk.
func (w *World) promiseMore(disk block.DiskID, bytes int64) metadata.Op {
	item, _ := w.metadata.record(volume.DiskKey(disk))
	d, err := volume.Parse[volume.Disk](item.Value)
	if err != nil {
		w.fail("records", "a disk: %v", err)
	}
	d.Promised += bytes
	return metadata.Op{Key: item.Key, Value: volume.Encode(d)}
}

// cloneClients is the number of the first client of a clone.
const cloneClients = 100

// busyClones gives clones that have none a client.
func (w *World) busyClones() {
	for _, v := range w.volumes[len(w.plan.Volumes):] {
		if !v.busied && !w.healed && len(w.plan.Clients) > 0 {
			v.busied = true
			w.busyClone(v)
		}
	}
}

// busyClone gives a clone a client. It draws what it asks for also where others
// follow a script.
func (w *World) busyClone(v *volumeState) {
	of := w.plan.Clients[0]
	of.Volume, of.Script, of.Operations = w.volumeIndex(v.id), nil, max(of.Operations/2, 50)
	of.Depth, of.Think = max(1, of.Depth), w.plan.Safety/time.Duration(of.Operations+1)
	c := newClient(w, cloneClients+of.Volume, &of)
	c.turn = c.tick
	w.after(c.think, callClient, c.turn)
}

// isBeingCloned reports whether a clone of a snapshot may have copies that are not
// made yet: until its first session serves, the snapshot must stay.
func (w *World) isBeingCloned(v *volumeState, layer block.LayerID) bool {
	for _, n := range w.volumes {
		if n.origin == v && n.layer == layer && n.config.Virgin() {
			return true
		}
	}
	return false
}

// isCloned reports whether a volume has clones: its deleted snapshots may stay for
// them.
func (w *World) isCloned(v *volumeState) bool {
	for _, n := range w.volumes {
		if n.origin == v {
			return true
		}
	}
	return false
}

// overBase returns what a history is told that a read of a clone returned: blocks
// that still hold what it began with were never written.
func (w *World) overBase(v *volumeState, r block.Range, data []byte) []byte {
	if v.base == nil {
		return data
	}
	size := w.plan.BlockSize
	seen := append([]byte(nil), data...)
	for i := range int(r.Count) {
		at := seen[i*size : (i+1)*size]
		switch sum := block.ChecksumOf(at); {
		case sum == v.base[int(r.First)+i]:
			clear(at)
		case sum == w.zeroSum && !v.beyond: // then it may have gone back to before its base
			w.fail("I11", "block %d of %s reads as zeroes; it began with data and nobody zeroed it", int(r.First)+i, v.name)
		}
	}
	return seen
}
