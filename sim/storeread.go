package sim

import (
	"slices"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/node"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/disk"
)

// bareStore runs a store by itself, without time: to format a disk before its
// node starts, and to look at one afterwards.
type bareStore struct {
	world  *World
	store  *store.Store
	device *disk.Disk
	out    step.Effects
	ops    []step.DiskOp // being performed
	now    step.Time
	timers []step.Timer

	mayFail bool // its disk is unsound
}

func (w *World) bare(d *disk.Disk, seed uint64) *bareStore {
	return &bareStore{world: w, device: d, store: store.New(store.Params{Pool: &w.memory.pool, Seed: seed, Owner: 1, Limits: w.plan.Limits})}
}

// until performs what the store wants until it gives a result of a kind; other
// results are handed to each. It returns nil if an unsound disk is refused.
func (b *bareStore) until(kind store.ResultKind, each func(*store.Result)) *store.Result {
	for range 1 << 20 {
		for _, r := range b.store.Results() {
			if r.Kind == kind {
				return &r
			}
			if r.Kind == store.Failed && b.mayFail {
				return nil
			}
			if r.Kind == store.Failed {
				b.world.fail("store", "a store by itself fails: %s", r.Text)
			}
			if each != nil {
				each(&r)
			}
		}
		b.work()
	}
	b.world.fail("store", "a store by itself never gives result %d", kind)
	return nil
}

// work performs the pending effects, or fires the earliest timer.
func (b *bareStore) work() {
	b.ops = append(b.ops[:0], b.out.Disk...)
	ops := b.ops
	b.timers = append(b.timers, b.out.Timers...)
	b.out.Reset()
	for i := range ops {
		h, took := b.device.Submit(&ops[i])
		b.now = b.now.Add(took)
		ev := step.Event{Kind: step.EventDiskDone, Tag: ops[i].Tag, DiskError: b.device.Complete(h)}
		b.store.Step(b.now, &ev, &b.out)
	}
	if len(ops) > 0 || len(b.timers) == 0 {
		return
	}
	first := 0
	for i := range b.timers {
		if b.timers[i].At < b.timers[first].At {
			first = i
		}
	}
	t := b.timers[first]
	b.timers = append(b.timers[:first], b.timers[first+1:]...)
	b.now = max(b.now, t.At)
	b.store.Step(b.now, &step.Event{Kind: step.EventTimer, Tag: t.Tag}, &b.out)
}

// format makes an empty disk one of ours.
func (w *World) format(d *drive) {
	b := w.bare(d.device, scramble(w.plan.Seed^uint64(d.id[1])))
	b.store.Format(0, store.Geometry{
		Disk: d.id, Capacity: d.device.Size(), BlockSize: w.plan.BlockSize, JournalBytes: w.plan.JournalBytes,
	}, &b.out)
	b.until(store.Formatted, nil)
}

// afterLoss opens a copy of a disk that lost power at this moment. It returns nil
// if that is refused, as it may be of an unsound disk.
func (w *World) afterLoss(d *drive, how disk.Loss) *bareStore {
	device := d.device.Shadow(w.plan.Seed ^ w.steps)
	device.SetFaults(disk.Faults{})
	device.PowerLoss(how)
	b := w.bare(device, 1)
	b.mayFail = d.unsound
	b.store.Open(0, device.Size(), &b.out)
	if b.until(store.Opened, nil) == nil {
		return nil
	}
	return b
}

// find returns what an opened store knows of a replica.
func (b *bareStore) find(replica block.ReplicaID) (info store.ReplicaInfo, found bool) {
	for _, info := range b.store.Replicas(nil) {
		if info.Replica == replica {
			return info, true
		}
	}
	return store.ReplicaInfo{}, false
}

// mustFind is find where a member in sync cannot lack it.
func (b *bareStore) mustFind(replica block.ReplicaID) store.ReplicaInfo {
	info, found := b.find(replica)
	if !found {
		b.world.fail("I10", "a disk does not hold the replica %v that is in sync on it", replica)
	}
	return info
}

// lastAfterLoss returns the last record that a replica would come back with if
// its host lost power now.
func (w *World) lastAfterLoss(d *drive, replica block.ReplicaID) block.Seq {
	return w.afterLoss(d, disk.LossDrawn).mustFind(replica).LastAccepted.Seq
}

// durableOf returns the last record of a member that is durable on its disk,
// if the disk holds the whole of it up to there.
func (w *World) durableOf(m *volume.Member) (last block.Position, complete bool) {
	b := w.bodyOf(m.Node)
	for _, d := range b.drives {
		if d.id == m.Disk {
			if d.unsound {
				return block.Position{}, false
			}
			info, found := w.afterLoss(d, disk.LoseAll).find(m.Replica)
			return info.LastAccepted, found && info.Meta.Complete
		}
	}
	return block.Position{}, false
}

// readDisk returns what a copy of a replica's disk, which lost power at this
// moment, holds of it after recovery, and which blocks cannot be read: none but
// on a damaged disk. Of an unsound one that lacks records it returns nil.
func (w *World) readDisk(d *drive, replica block.ReplicaID, blocks int) (image []byte, holes []bool) {
	b := w.afterLoss(d, disk.LoseAll)
	if d.unsound && !b.holdsAll(d, replica) {
		return nil, nil
	}
	info := b.mustFind(replica)
	image, holes = make([]byte, blocks*w.plan.BlockSize), make([]bool, blocks)
	b.eachRange(d, blocks, func(r block.Range) {
		data := b.read(d, info.Handle, 0, r)
		holes[r.First] = data == nil
		copy(image[int(r.First)*w.plan.BlockSize:], data)
	})
	return image, holes
}

// eachRange visits a volume chunk by chunk, that on a damaged disk block by block.
func (b *bareStore) eachRange(d *drive, blocks int, visit func(block.Range)) {
	step := block.PerChunk
	if d.damaged {
		step = 1
	}
	for first := 0; first < blocks; first += step {
		visit(block.Range{First: block.Block(first), Count: uint32(min(step, blocks-first))})
	}
}

// read reads blocks of a layer. It returns nil if that is not possible, as it may
// be on a damaged disk.
func (b *bareStore) read(d *drive, h store.Handle, layer block.LayerID, r block.Range) []byte {
	b.store.Read(b.now, h, layer, r, 1, &b.out)
	result := b.until(store.ReadDone, nil)
	defer result.Payload.Release()
	if result.Status == message.OK {
		return slices.Clone(result.Payload.Bytes())
	}
	if !d.damaged {
		b.world.fail("I10", "a copy of a disk of a member in sync cannot be read: status %d", result.Status)
	}
	return nil
}

// storeOf returns the store of a disk's shard, or nil.
func (w *World) storeOf(s *shard) *store.Store {
	if shard, ours := s.machine.(*node.Disk); ours {
		return shard.Store()
	}
	return nil
}
