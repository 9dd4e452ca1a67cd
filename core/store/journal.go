package store

import (
	"github.com/lagan-storage/lagan/core/block"
	"github.com/lagan-storage/lagan/core/invariant"
	"github.com/lagan-storage/lagan/core/step"
	"github.com/lagan-storage/lagan/core/store/format"
)

const (
	// flightMax is how many batches are written at a time: while they are, the
	// next one gathers.
	flightMax = 2
	// flightWaitMax is how many are not accepted at a time: those that are written may
	// wait for one before them, or for the data of a MAP.
	flightWaitMax = 8
	// secondBatchRecords and secondBatchBytes are what must wait before a second
	// batch is worth its header.
	secondBatchRecords = 16
	secondBatchBytes   = 64 << 10
	// controlRingMax is the part of the ring that only control records may fill:
	// a promise must be possible while data waits for room.
	controlRingMax = 4 << 20
	// unsyncedMax bounds what an open after a crash must write anew.
	unsyncedMax = 128 << 20
)

// journal is the ring: batches in order of their sequence number.
//
//	tail ≤ sealed ≤ durable ≤ accepted ≤ head
//
// Invariant: a batch is accepted only after all before it; durable is covered by
// a completed sync; sealed is what a durable header says is durable.
type journal struct {
	head      uint64 // position of the next batch
	tail      uint64 // position recovery starts from
	next      uint64 // sequence number of the next batch
	prev      uint32 // crc of the last header
	accepted  uint64
	durable   uint64
	durableAt uint64 // position behind the durable batch
	sealed    mark   // the end of the last sealed batch
	claimed   uint64 // the highest Durable any header carries
	claimedBy uint64 // the first batch that carries it

	flight    []*batch // written or being written, and not accepted, in order
	writing   int      // of flight: being written
	unsealed  []*batch // accepted and not sealed, in order
	spare     []*batch
	spaces    []*headerSpace // without a batch
	stableDue []uint32       // replicas whose stable is not in the journal
	barrier   uint64         // newest batch with a barrier record
	newest    uint64         // newest batch with any record of a caller

	blocks   int // of data that would have to be parked
	records  int
	reserved int // chunks with a slot kept for them
}

// mark is the end of a batch.
type mark struct {
	batch    uint64
	position uint64
	crc      uint32
}

// note is what a batch means for one replica once it is accepted, durable and sealed.
type note struct {
	handle   uint32
	accepted bool // a stream record is among its records
	last     block.Seq
	stable   block.Seq
	controls uint16 // how many of its records are Counted
}

// done is a control record to be reported once it is durable.
type done struct {
	handle uint32
	token  uint64
}

// batch is one journal batch from gathering until it is sealed.
type batch struct {
	header   format.Header
	position uint64
	bytes    int // of data
	ops      []int32
	notes    []note
	done     []done
	written  bool
	barrier  bool         // holds a record that checkpoints wait for
	space    *headerSpace // records are encoded here while it gathers; nil before, and once it is emitted
	only     [1]note      // of notes, while one replica writes
}

// headerSpace is memory for the longest header. A batch has one only from its
// first record until it is emitted: thousands that are not sealed yet are kept.
type headerSpace [format.HeaderPagesMax * format.PageSize]byte

func (j *journal) used() int64 { return int64(j.head - j.tail) }

func (b *batch) end() mark {
	return mark{batch: b.header.Batch, position: b.position + uint64(b.header.Length), crc: b.header.CRC}
}

func (b *batch) note(h uint32) *note {
	for i := range b.notes {
		if b.notes[i].handle == h {
			return &b.notes[i]
		}
	}
	b.notes = append(b.notes, note{handle: h})
	return &b.notes[len(b.notes)-1]
}

func (j *journal) newBatch() *batch {
	var b *batch
	if n := len(j.spare); n > 0 {
		b = j.spare[n-1]
		j.spare = j.spare[:n-1]
		b.ops, b.notes, b.done = b.ops[:0], b.notes[:0], b.done[:0]
		b.header, b.bytes, b.written, b.barrier = format.Header{}, 0, false, false
	} else {
		b = &batch{}
		b.notes = b.only[:0]
	}
	return b
}

// newSpace returns memory to encode the records of a batch in.
func (j *journal) newSpace() *headerSpace {
	n := len(j.spaces)
	if n == 0 {
		return &headerSpace{}
	}
	space := j.spaces[n-1]
	j.spaces = j.spaces[:n-1]
	return space
}

func (s *Store) ringAddress(position uint64) int64 {
	return format.JournalOffset + int64(position%uint64(s.super.Journal.Length))
}

// batchBytes bounds the data of one batch: small rings take small batches.
func (s *Store) batchBytes() int {
	return max(block.PerChunk*s.blockSize, min(s.limits.BatchBytes, int(s.super.Journal.Length/16)))
}

func pageUp(n int) int { return (n + format.PageSize - 1) / format.PageSize * format.PageSize }

// room returns how many bytes a batch may take now, the loss at the ring's end
// counted.
func (s *Store) room(control bool) int {
	length := s.super.Journal.Length
	room := length - s.journal.used() - 2*sealBytes
	if !control {
		room -= min(controlRingMax, length/8)
	}
	most := int64(format.HeaderPagesMax*format.PageSize + pageUp(s.batchBytes()+block.PerChunk*s.blockSize))
	if toEnd := length - int64(s.journal.head%uint64(length)); toEnd < most {
		room -= toEnd
	}
	return int(room)
}

// writeBatches emits as many batches as may be in flight.
func (s *Store) writeBatches(out *step.Effects) {
	for j := &s.journal; j.writing < flightMax && len(j.flight) < flightWaitMax; {
		if j.writing > 0 && s.queue.records < secondBatchRecords && s.queue.bytes < secondBatchBytes {
			return
		}
		b := j.newBatch()
		s.gather(b, out)
		if b.header.Records == 0 {
			j.spare = append(j.spare, b)
			return
		}
		s.writeBatch(b, out)
	}
}

// writeBatch completes b's header and emits its write, after a WRAP if the
// ring's end is too near.
func (s *Store) writeBatch(b *batch, out *step.Effects) {
	j := &s.journal
	b.header.Pages = 1
	if b.header.Bytes > format.RecordsRoom(1) {
		b.header.Pages = 2
		out.Marks.Hit("store: batch header of two pages")
	}
	length := b.header.Pages*format.PageSize + pageUp(b.bytes)
	if toEnd := int(s.super.Journal.Length) - int(j.head%uint64(s.super.Journal.Length)); length > toEnd {
		out.Marks.Hit("store: WRAP")
		w := j.newBatch()
		s.encode(w, &format.Record{Kind: format.Wrap})
		w.header.Pages = 1
		s.emitBatch(w, toEnd, out)
	}
	s.emitBatch(b, length, out)
}

func (s *Store) emitBatch(b *batch, length int, out *step.Effects) {
	j := &s.journal
	h := &b.header
	h.Prev, h.Generation, h.Batch, h.Durable, h.Length = j.prev, s.super.Journal.OpenCount, j.next, j.durable, uint32(length)
	b.position = j.head
	address := s.ringAddress(b.position)
	header := s.params.Pool.Get(h.Pages * format.PageSize)
	if b.space != nil { // a seal has no records
		copy(format.RecordSpace(header.Bytes()), format.RecordSpace(b.space[:])[:h.Bytes])
		j.spaces = append(j.spaces, b.space)
		b.space = nil
	}
	h.Seal(header.Bytes(), s.super.Pool, address)
	j.prev, j.next, j.head = h.CRC, j.next+1, j.head+uint64(length)
	if h.Durable > j.claimed {
		j.claimed, j.claimedBy = h.Durable, h.Batch
	}
	invariant.That(j.used() <= s.super.Journal.Length, "the journal's head never passes its tail")
	io := s.begin(ioBatch, int32(uint32(h.Batch)))
	s.piece(io, header)
	for _, i := range b.ops {
		o := &s.queue.ops[i]
		s.pieces(io, o)
	}
	s.recent.remember(address+int64(header.Len()), s.ios[io].pieces[1:])
	s.emit(io, step.DiskWrite, address, out)
	if b.barrier {
		j.barrier = h.Batch
	}
	if len(b.ops) > 0 {
		j.newest = h.Batch
	}
	j.flight = append(j.flight, b)
	j.writing++
}

// pieces adds the data of o to a batch's write and hands its reference over.
func (s *Store) pieces(io int32, o *op) {
	holds := o.record.Holds()
	if o.record.DataBlocks() == 0 {
		o.payload.Release()
		o.payload = block.Buffer{}
		return
	}
	if o.record.Kind == format.Write {
		s.piece(io, o.payload)
		o.payload = block.Buffer{}
		return
	}
	for b := range block.PerChunk { // a push: present blocks are at their places in the chunk
		if holds&(1<<b) != 0 {
			s.piece(io, o.payload.Slice(b*s.blockSize, (b+1)*s.blockSize).Retain())
		}
	}
	o.payload.Release()
	o.payload = block.Buffer{}
}

// onBatchWritten notes that a batch is written.
func (s *Store) onBatchWritten(ref uint64, out *step.Effects) {
	j := &s.journal
	for _, b := range j.flight {
		if uint32(b.header.Batch) == uint32(ref) {
			b.written = true
			j.writing--
		}
	}
	s.acceptWritten(out)
}

// acceptWritten accepts in order what is written, with the data of its MAPs (rule 15).
func (s *Store) acceptWritten(out *step.Effects) {
	j := &s.journal
	for len(j.flight) > 0 && j.flight[0].written && s.dataWritten(j.flight[0]) {
		b := j.flight[0]
		n := copy(j.flight, j.flight[1:])
		j.flight = j.flight[:n]
		s.accept(b, out)
	}
}

// dataWritten reports whether the data of all MAPs of a batch is written.
func (s *Store) dataWritten(b *batch) bool {
	for _, i := range b.ops {
		if !s.queue.ops[i].ready {
			return false
		}
	}
	return true
}

// tellAccepted reports how far r is accepted, in terms of what its caller knows
// of: a Reset or Truncate that was called already drops what is still on its
// way into the journal.
func (s *Store) tellAccepted(r *replica) {
	if r.gone || r.resets > 0 {
		return
	}
	at := r.last
	if at.Seq > r.appended.Seq {
		at = r.appended
	}
	if r.known(at.Seq) < at.Seq {
		at = r.cutAt
	}
	s.result(Result{Kind: Accepted, Handle: Handle(r.handle), Position: at})
}

// accept applies the records of a written batch and reports them.
func (s *Store) accept(b *batch, out *step.Effects) {
	j := &s.journal
	invariant.That(b.header.Batch == j.accepted+1, "batches are accepted in order")
	j.accepted = b.header.Batch
	j.unsealed = append(j.unsealed, b)
	at := s.ringAddress(b.position) + int64(b.header.Pages*format.PageSize)
	for _, i := range b.ops {
		o := &s.queue.ops[i]
		j.inFlight(o, -1)
		s.apply(&o.record, applied{batch: b.header.Batch, at: at, reserve: o.reserve}, out)
		at += int64(o.record.DataBlocks() * s.blockSize)
		if o.record.Kind == format.Resync {
			s.result(Result{Kind: PushDone, Handle: Handle(o.record.Handle), Token: o.token})
		}
		s.freeOp(i)
	}
	b.ops = b.ops[:0]
	for _, n := range b.notes {
		if r := s.byHandle[n.handle]; r != nil && n.accepted {
			s.tellAccepted(r)
		}
	}
	if len(b.done) > 0 {
		s.syncs.want = b.header.Batch
	}
}
