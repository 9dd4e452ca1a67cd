package store

import (
	"math/bits"

	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/message"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
	"github.com/lagan-storage/lagan/core/store/index"
)

// zeroBlocksMax bounds one OpZero: longer ones are cut by the coordinator.
const zeroBlocksMax = 16_384

// op is a record on its way into the journal.
type op struct {
	record  format.Record
	payload block.Buffer
	token   uint64
	next    int32
	ready   bool   // false: its data is still being written to its slot; it may be in a batch
	reserve bool   // it may need a slot of its own when it goes home
	soft    bool   // it waits for a checkpoint to free the space it was promised
	until   uint64 // of soft: as many checkpoints must have ended for the wait to be in vain
}

// opList is a replica's operations in order.
type opList struct{ head, tail int32 }

// queue is what waits for its journal batch, per replica in order.
type queue struct {
	ops     []op
	free    []int32
	active  []*replica // those with operations, in turn
	records int
	blocks  int // of data that goes into the ring
	bytes   int // of data, that of MAPs among it
	reserve int
	leaves  int // metadata pages that the operations touch

	softBlocks  int // of blocks, those whose operation waits for freed space
	softReserve int // of reserve, likewise
}

// barrier reports whether a record changes what a checkpoint's cut took for
// granted: such records and checkpoints wait for each other.
func barrier(k format.Kind) bool {
	return k == format.Truncate || k == format.Reset || k == format.Delete || k == format.Continue || k == format.Grow
}

// shrinks reports whether a record may take a chunk's slot away.
func shrinks(k format.Kind) bool {
	switch k {
	case format.ZeroRange, format.Resync, format.Reset, format.Delete:
		return true
	case format.Snap, format.Open: // what follows goes to another layer
		return true
	default:
		return false
	}
}

// enqueue puts a record at the end of its replica's line.
func (s *Store) enqueue(r *replica, rec format.Record, payload block.Buffer, token uint64) int32 {
	q := &s.queue
	var i int32
	if n := len(q.free); n > 0 {
		i = q.free[n-1]
		q.free = q.free[:n-1]
	} else {
		q.ops = append(q.ops, op{})
		i = int32(len(q.ops) - 1)
	}
	rec.Handle = r.handle
	q.ops[i] = op{record: rec, payload: payload, token: token, next: index.None, ready: true}
	if r.ops.tail == index.None {
		r.ops.head = i
	} else {
		q.ops[r.ops.tail].next = i
	}
	r.ops.tail = i
	if !r.active {
		r.active = true
		q.active = append(q.active, r)
	}
	q.count(&q.ops[i], s.blockSize, 1)
	return i
}

// count adds or takes away what o asks for.
func (q *queue) count(o *op, blockSize, sign int) {
	n := o.record.DataBlocks()
	q.records += sign
	q.blocks += sign * n
	q.bytes += sign * bits.OnesCount16(o.record.Holds()) * blockSize
	q.leaves += sign * o.leaves()
	if o.reserve {
		q.reserve += sign
	}
}

// await makes an operation wait for the space that a checkpoint will free.
func (s *Store) await(i int32) {
	o := &s.queue.ops[i]
	s.queue.soften(o, true)
	o.until = s.ckpt.done + 1
	if s.ckpt.phase != ckptIdle {
		o.until++ // the one that is running may have made its cut
	}
	s.ckpt.wanted = true
}

// soften makes o wait for space that a checkpoint will free, or ends that.
func (q *queue) soften(o *op, soft bool) {
	sign := 1
	if o.soft = soft; !soft {
		sign = -1
	}
	q.softBlocks += sign * o.record.DataBlocks()
	if o.reserve {
		q.softReserve += sign
	}
}

// leaves returns how many metadata pages o touches at most.
func (o *op) leaves() int {
	const perLeaf = format.LeafChunks * block.PerChunk
	if o.record.Range.Count == 0 {
		return 0
	}
	return int(o.record.Range.Count)/perLeaf + 2
}

// dequeue takes the first operation of r's line; its slot is freed by the
// caller with freeOp.
func (s *Store) dequeue(r *replica) int32 {
	i := r.ops.head
	r.ops.head = s.queue.ops[i].next
	if r.ops.head == index.None {
		r.ops.tail = index.None
	}
	return i
}

func (s *Store) freeOp(i int32) {
	s.queue.ops[i] = op{}
	s.queue.free = append(s.queue.free, i)
}

// ready reports whether no operation that waits has data on its way to its slot.
func (q *queue) ready() bool {
	for _, r := range q.active {
		for i := r.ops.head; i != index.None; i = q.ops[i].next {
			if !q.ops[i].ready {
				return false
			}
		}
	}
	return true
}

// dropQueue releases everything that waits, when the store has failed.
func (s *Store) dropQueue() {
	for _, r := range s.queue.active {
		for i := r.ops.head; i != index.None; i = s.queue.ops[i].next {
			s.queue.ops[i].payload.Release()
			s.queue.ops[i].payload = block.Buffer{}
		}
		r.ops, r.active = opList{head: index.None, tail: index.None}, false
	}
	s.queue = queue{}
}

// Append adds the next record of h's stream: rec.Position.Seq must be one above
// the last appended. The data of an OpWrite is payload, whose reference is taken
// over if the answer is OK. Results: Accepted, and Durable after a later sync.
// NoSpace: nothing was changed.
func (s *Store) Append(now step.Time, h Handle, rec message.Record, payload block.Buffer, out *step.Effects) message.Status {
	s.now = max(s.now, now)
	r := s.replica(h)
	if r == nil {
		return s.refusal()
	}
	if st := s.checkAppend(r, &rec, payload); st != message.OK {
		return st
	}
	s.company.note(r.handle, s.now)
	record := format.Record{Position: rec.Position, FUA: rec.FUA, Range: rec.Range}
	st := message.OK
	switch rec.Op {
	case message.OpWrite:
		record.Kind, record.Sums = format.Write, rec.Checksums
		st = s.appendWrite(r, r.head, record, payload, 0, out)
	case message.OpZero:
		record.Kind = format.ZeroRange
		s.enqueue(r, record, block.Buffer{}, 0)
		r.shrinking++
	case message.OpSnap:
		record.Kind, record.Range, record.Layer, record.Parent = format.Snap, block.Range{}, rec.Layer, rec.Parent
		s.enqueue(r, record, block.Buffer{}, 0)
		r.shrinking++
		s.deepen(r, 1)
	case message.OpDelSnap:
		record.Kind, record.Range, record.Layer = format.DelSnap, block.Range{}, rec.Layer
		s.enqueue(r, record, block.Buffer{}, 0)
	case message.OpResize:
		record.Kind, record.Range, record.Blocks = format.Resize, block.Range{}, rec.Blocks
		s.enqueue(r, record, block.Buffer{}, 0)
		r.growing++
		r.asked = rec.Blocks
	default:
		record.Kind, record.Range = format.Nop, block.Range{}
		s.enqueue(r, record, block.Buffer{}, 0)
	}
	if st != message.OK {
		return st
	}
	r.appended = rec.Position
	s.timer.touched = s.now
	s.pump(out)
	return message.OK
}

// refusal is the answer to a call for a replica that cannot take it.
func (s *Store) refusal() message.Status {
	if s.phase == phaseFailed {
		return message.DiskFailed
	}
	return message.NoReplica
}

// checkAppend refuses what breaks the rules of a stream.
func (s *Store) checkAppend(r *replica, rec *message.Record, payload block.Buffer) message.Status {
	if r.damaged || rec.Position.Seq != r.appended.Seq+1 && !anySeq || rec.Position.Era < r.appended.Era {
		return message.WrongState
	}
	n := uint64(rec.Range.Count)
	inside := n > 0 && uint64(rec.Range.First) < r.ahead() && uint64(rec.Range.First)+n <= r.ahead()
	switch rec.Op {
	case message.OpWrite:
		if !inside || !rec.Range.InOneChunk() || payload.Len() != int(n)*s.blockSize {
			return message.WrongState
		}
		for i := range int(n) {
			if block.ChecksumOf(payload.Bytes()[i*s.blockSize:(i+1)*s.blockSize]) != rec.Checksums[i] {
				return message.Corrupt
			}
		}
	case message.OpZero:
		if !inside || n > zeroBlocksMax || !s.fits(s.zeroSlack()) {
			if inside && n <= zeroBlocksMax {
				return message.NoSpace
			}
			return message.WrongState
		}
	case message.OpSnap:
		if rec.Layer == 0 {
			return message.WrongState
		}
		if !s.mayDeepen(r) || !s.mayLayer() {
			return message.NoSpace
		}
	case message.OpDelSnap:
		if rec.Layer == 0 {
			return message.WrongState
		}
	case message.OpResize:
		if rec.Blocks < r.ahead() {
			return message.WrongState // nothing shrinks
		}
		if !s.fits(s.zeroSlack()) {
			return message.NoSpace
		}
	case message.OpNop:
	default:
		return message.WrongState
	}
	return message.OK
}

// deepen counts the layers that records on their way into the journal will open.
func (s *Store) deepen(r *replica, by int) {
	r.snaps += by
	s.deeper += by
}

// mayDeepen reports whether one more snapshot may be below r's head.
func (s *Store) mayDeepen(r *replica) bool {
	all, staying := r.head.depth()
	return staying+r.snaps < layersMax && all+r.snaps < depthMax
}

// appendWrite queues a record with data: through a fresh slot if it covers a
// chunk and one can be spared, else through the journal. Where there is no room a
// push waits for a checkpoint nevertheless: what was pushed before it takes less at
// home than on its way there, and to be refused would cost a whole resync, which
// came no further the next time.
func (s *Store) appendWrite(r *replica, l *layer, rec format.Record, payload block.Buffer, token uint64, out *step.Effects) message.Status {
	if rec.Holds() == 0xffff && s.slots.Free() > s.need()+s.reserve() {
		return s.appendMapped(r, l, rec, payload, token, out)
	}
	if rec.Holds() == 0xffff {
		out.Marks.Hit("store: full chunk through the journal")
	}
	reserve := r.shrinking > 0 || !s.hasRoomAtHome(l, rec.Range.First.Chunk())
	i := s.enqueueData(r, rec, payload, token, reserve)
	switch s.admit(reserve) {
	case admitNow:
	case admitSoft:
		s.await(i)
		out.Marks.Hit("store: append waits for freed space")
	case admitNever:
		if rec.Kind == format.Resync && s.unfinished() {
			s.await(i)
			out.Marks.Hit("store: push waits for others to go home")
			return message.OK
		}
		out.Marks.Hit("store: no space")
		s.unqueue(r, i)
		return message.NoSpace
	}
	return message.OK
}

func (s *Store) enqueueData(r *replica, rec format.Record, payload block.Buffer, token uint64, reserve bool) int32 {
	i := s.enqueue(r, rec, payload, token)
	if reserve {
		s.queue.ops[i].reserve = true
		s.queue.reserve++
	}
	return i
}

// unqueue takes back the operation that was queued last.
func (s *Store) unqueue(r *replica, i int32) {
	s.queue.count(&s.queue.ops[i], s.blockSize, -1)
	if r.ops.head == i {
		r.ops = opList{head: index.None, tail: index.None}
	} else {
		before := r.ops.head
		for s.queue.ops[before].next != i {
			before = s.queue.ops[before].next
		}
		s.queue.ops[before].next = index.None
		r.ops.tail = before
	}
	s.freeOp(i)
}

// appendMapped writes a whole chunk to a fresh slot. Its record goes into the
// journal meanwhile, and is accepted once both are written (rule 15).
func (s *Store) appendMapped(r *replica, l *layer, rec format.Record, payload block.Buffer, token uint64, out *step.Effects) message.Status {
	slot, ok := s.slots.Alloc(l.hint)
	if !ok {
		return message.NoSpace
	}
	l.hint = slot + 1
	if rec.Kind == format.Write {
		rec.Kind = format.Map
	}
	rec.Slot = slot
	i := s.enqueue(r, rec, block.Buffer{}, token)
	s.queue.ops[i].ready = false
	io := s.begin(ioMapData, i)
	s.piece(io, payload)
	if mapEarly {
		out.Marks.Hit("mutant: map early")
		s.queue.ops[i].ready = true
		s.ios[io].ref = index.None
	}
	s.emit(io, step.DiskWrite, s.slotAddress(slot), out)
	return message.OK
}

// onMapWritten lets a record be accepted now that its data is written.
func (s *Store) onMapWritten(i int32, out *step.Effects) {
	if mapEarly && i == index.None {
		return
	}
	s.queue.ops[i].ready = true
	s.acceptWritten(out)
}

// hasRoomAtHome reports whether a write to the chunk needs no slot of its own
// when it goes home.
func (s *Store) hasRoomAtHome(l *layer, c block.Chunk) bool {
	if i := s.index.Find(index.Key{Layer: l.number, Chunk: c}); i != index.None {
		mapped := false // its slot becomes the chunk's; what drops it drops everything newer too
		for v := s.index.Chunk(i).Newest; v != index.None; v = s.index.Older(v) {
			k := s.index.Version(v).Kind
			if k > index.Mapped {
				return false
			}
			mapped = mapped || k == index.Mapped
		}
		if mapped || s.index.Chunk(i).Reserved {
			return true
		}
	}
	t := l.tree
	if d := s.leaves.peek(t, c); l.under != nil && l.down && (d == nil || d.Empty()) {
		if d == nil && t.has(uint64(c)/format.LeafChunks, int(c%format.LeafChunks)) {
			return false // which tree it goes to is not known without reading
		}
		t = l.under
	}
	d := s.leaves.peek(t, c)
	return d != nil && d.Slot != 0
}
