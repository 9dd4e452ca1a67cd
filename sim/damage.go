package sim

import (
	"encoding/binary"
	"time"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/volume"
	"github.com/lagan-storage/lagan/sim/disk"
)

// strikeDamage harms what a disk gives back. Copies elsewhere are whole at that
// moment, so that every block can still be answered.
func (w *World) strikeDamage(f *Fault, b *body) {
	d := b.drives[0]
	if b.life == 0 || !b.disks[0].ready || !w.sparable(b, 0) {
		w.counts.Faults[f.Kind]--
		return
	}
	switch f.Kind {
	case FailRead:
		w.misread(d, disk.ReadError)
	case MisdirectRead:
		w.misread(d, disk.MisdirectedRead)
	case RotBit, SpoilSector:
		at, found := w.homeBlock(d, f.Pick)
		if !found {
			w.counts.Faults[f.Kind]--
			return
		}
		d.damaged, d.hides = true, d.hides || d.unsound
		w.tracef(b, "disk 0 is damaged at %d", at)
		if f.Kind == RotBit {
			d.device.Rot(at+int64(f.Pick>>8%uint64(w.plan.BlockSize)), uint(f.Pick>>4&7))
		} else {
			d.device.Spoil(at)
		}
	case ResetStalled:
		w.planDisk(d.device, disk.Stall, f.For)
		for i := range time.Duration(resetsUnderStall) {
			w.after(f.For*(i+1)/2, callFault, func() { w.network.resetTo(b) })
		}
	default:
	}
}

const resetsUnderStall = 6

// misread has the next read of an open store go wrong. It is taken back when
// the store is opened anew: an opening that is shown something else in place of
// the journal's un-synced end cannot know.
func (w *World) misread(d *drive, k disk.Kind) { d.misread = k }

// submit hands an operation to the device, with the fault that waits for it. A
// read that is repeated goes right: what goes wrong twice is damage.
func (d *drive) submit(op *step.DiskOp) (disk.Handle, time.Duration) {
	waiting := &d.misread
	if op.Kind == step.DiskWrite {
		waiting = &d.miswrite
	}
	if *waiting == disk.None || op.Kind == step.DiskSync || op.Kind == step.DiskRead && d.misreadAt <= op.Offset && op.Offset < d.misreadEnd {
		return d.device.Submit(op)
	}
	if op.Kind == step.DiskRead {
		d.misreadAt, d.misreadEnd = op.Offset, op.Offset
		for _, piece := range op.Pieces {
			d.misreadEnd += int64(piece.Len())
		}
	}
	before := d.device.Faults()
	once := before
	once.Plan = []disk.Planned{{Op: d.device.Ops() + 1, Fault: *waiting}}
	*waiting = disk.None
	d.device.SetFaults(once)
	defer d.device.SetFaults(before)
	return d.device.Submit(op)
}

// homeBlock draws a block of a client's data that went home.
func (w *World) homeBlock(d *drive, pick uint64) (at int64, found bool) {
	list := w.homeBlocks(d)
	if len(list) == 0 {
		return 0, false
	}
	return list[pick%uint64(len(list))], true
}

func (w *World) homeBlocks(d *drive) (list []int64) {
	size := int64(w.plan.BlockSize)
	home := format.JournalOffset + max(w.plan.JournalBytes, w.plan.leastJournal())/format.PageSize*format.PageSize
	data := make([]byte, size)
	for _, span := range d.device.Written(home) {
		for at := span.Offset; at < span.Offset+span.Length; at += size {
			d.device.Peek(at, data)
			if binary.LittleEndian.Uint32(data) == stampMagic && w.volume(block.VolumeID(data[8:24])) != nil {
				list = append(list, at)
			}
		}
	}
	return list
}

// stampMagic is how a block that a client wrote begins (linearizability.Stamp).
const stampMagic = 0x504d5453

// readable reports whether a copy in sync lies on a disk that was not damaged:
// then every read has an answer, and every copy a source.
func (v *volumeState) readable(w *World) bool {
	for i := range v.config.Members {
		m := &v.config.Members[i]
		b := w.bodyOf(m.Node)
		if m.State == volume.InSync && !v.member(m.Replica).gone && b.drives[0].id == m.Disk && !b.drives[0].damaged {
			return true
		}
	}
	return false
}

// unreadable takes the answer that a range cannot be read: right only where no
// good copy is left.
func (w *World) unreadable(s *shard, q *request) {
	v := q.client.volume
	if q.kind != step.ReadRequest || v.readable(w) {
		w.fail("I16", "%s answers a %s from block %d of %s on with an I/O error", s, requestText(q.kind), q.blocks.First, v.name)
	}
	w.counts.Unreadable++
	q.history.Ambiguous(q.op)
}

// observeLoss looks at what is said of lost blocks: only a damaged disk has any,
// and what is filled from one is no better.
func (w *World) observeLoss(s *shard, m *step.Send) {
	if m.Message.Bad() == 0 {
		return
	}
	if s.kind == diskShard && !s.body.drives[s.disk].damaged {
		w.fail("I16", "%s says that blocks %016b of a chunk are lost, and nothing happened to it", s, m.Message.Bad())
	}
	if c, _ := s.peer(m.Conn); c != nil && m.Message.Kind == message.Push {
		for _, b := range w.bodies {
			for _, d := range b.drives {
				d.damaged = d.damaged || d.id == c.hello.Disk
			}
		}
	}
}

// missed notes that the read-back got no answer for a range.
func (v *volumeState) missed(r block.Range) {
	if v.unread == nil {
		v.unread = make([]bool, v.plan.Blocks)
	}
	for b := r.First; b < r.End(); b++ {
		v.unread[b] = true
	}
}

// worksRight takes back what waits for the next read or write.
func (d *drive) worksRight() { d.misread, d.miswrite = disk.None, disk.None }

// leastJournal is how long a store makes its journal if it is asked for less.
func (p *Plan) leastJournal() int64 {
	return 16 * (format.HeaderPagesMax*format.PageSize + max(format.PageSize, int64(block.PerChunk*p.BlockSize)))
}
